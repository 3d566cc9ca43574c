"""Pictures of where a coloring is wrong: uint8 RGB (H, W, 3) arrays for reports and the demo."""

import numpy as np
import torch
from torch.nn import functional as F

from chromagan.imaging import color
from chromagan.measures.metrics import chroma_edges, ciede2000

FULL_SCALE = 30.0  # CIEDE2000 at which the heat map saturates; about 2.3 is just noticeable

# Anchors of "inferno" (van der Walt and Smith, CC0), dark to light: perceptually uniform, also in gray print.
HEAT = np.array([(0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85),
                 (227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164)], dtype=np.float32)  # fmt: skip
TRUE_EDGE, FOUND_EDGE, BOTH_EDGES = (255, 64, 160), (0, 190, 255), (255, 255, 255)


def heat_map(values: np.ndarray, full_scale: float = FULL_SCALE) -> np.ndarray:
    """A map (H, W) of numbers, from 0 (dark) to `full_scale` and above (light) -> RGB (H, W, 3) uint8."""
    at = np.clip(np.asarray(values, np.float32) / full_scale, 0, 1) * (len(HEAT) - 1)
    anchors = np.arange(len(HEAT))
    return np.stack([np.interp(at, anchors, HEAT[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def error_map(image: np.ndarray, truth: np.ndarray, full_scale: float = FULL_SCALE) -> np.ndarray:
    """Heat map of CIEDE2000 between two 8-bit sRGB images (H, W, 3): RGB (H, W, 3) uint8."""
    lab, lab_truth = (color.srgb_to_lab(color.to_tensor(picture)) for picture in (image, truth))
    return heat_map(ciede2000(lab, lab_truth)[0].numpy(), full_scale)


def edge_overlay(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Chroma edges of two 8-bit sRGB images (H, W, 3) drawn on the gray, darkened image: RGB (H, W, 3) uint8.

    White where both have an edge (within a pixel), pink where only the truth has one: color bled over it; blue where
    only the image has one: an edge that is not there.
    """
    lab, lab_truth = (color.srgb_to_lab(color.to_tensor(picture)) for picture in (image, truth))
    found, true = chroma_edges(lab), chroma_edges(lab_truth)
    near_found, near_true = (F.max_pool2d(edges.float()[None], 3, 1, 1)[0] > 0 for edges in (found, true))
    gray = color.to_uint8(0.55 * color.L_to_gray(lab_truth[:, :1])[0, 0])
    overlay = gray[..., None].repeat(1, 1, 3)
    for mask, ink in (
        (true & ~near_found, TRUE_EDGE),
        (found & ~near_true, FOUND_EDGE),
        (true & near_found, BOTH_EDGES),
    ):
        overlay[mask[0]] = torch.tensor(ink, dtype=torch.uint8)
    return overlay.numpy()


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An 8-bit sRGB image (H, W, 3) with a place marked, bool (H, W): RGB (H, W, 3) uint8.

    A white line runs just outside the place, with a black one around it, and the rest is dimmed. If the mask is empty
    or covers everything, the image is returned unchanged.
    """
    if not mask.any() or mask.all():
        return image.copy()
    place = torch.from_numpy(np.ascontiguousarray(mask))[None].float()
    grown, wider = (F.max_pool2d(place, 2 * r + 1, 1, r)[0].numpy() > 0 for r in (1, 2))
    result = np.where(mask[..., None], image, image // 2)
    result[wider & ~grown] = 0
    result[grown & ~mask] = 255
    return result
