"""Connected patches of wrong color in a coloring: false red patches and small spots. 8-connected throughout."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from chromagan.imaging.compiled import compiled
from chromagan.measures.metrics import near_edges

RED, NOT_RED = 25.0, 8.0  # a* above which a color is red, and below which a true color is not
SPOT = 64  # pixels: smaller ones are spots, others patches
LEAST_SPOT = 4  # pixels: smaller ones are rounding artifacts
APART = 15.0  # Lab units by which a spot differs from its surroundings
AROUND = 16  # pixels on each side that form a pixel's surroundings
RING = 4  # pixels around a patch to compare it with
SPOT_MARGIN = 3  # pixels between a spot and its outline, which would otherwise cover it


def label_patches(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected patches of bool (H, W): int32 labels (H, W), 0 outside and 1, 2, ... inside; sizes (patches + 1,).

    sizes[0] is 0. Labels are in raster order.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels, sizes


def false_red(lab: Tensor, lab_truth: Tensor) -> Tensor:
    """Patches of at least SPOT pixels that come out red (a* above 25) where the truth is not (a* below 8) (T2).

    Lab (B, 3, H, W), lab_truth the same or (1, 3, H, W) -> bool (B, H, W), on the CPU; its mean is their share of the
    area. Claim T2 of Luo and Li 2025, section 4.2: the red patches of transposed convolutions.
    """
    red = ((lab[:, 1] > RED) & (lab_truth[:, 1] < NOT_RED)).cpu().numpy()
    for mask in red:
        labels, sizes = label_patches(mask)
        mask &= (sizes >= SPOT)[labels]
    return torch.from_numpy(red)


class Spots:
    """Small scattered spots of color that one true photo does not have (D3 of the paper's claims).

    A spot is a connected patch of at least 4 and under 64 pixels that differ in ab by more than 15 Lab units from
    their surroundings, the mean of ab over 33 x 33 pixels, and whose mean differs as much from the mean of what
    lies within 4 pixels around its bounding box. If the truth also differs from its surroundings on half of the patch,
    it is a detail of the photo, not a spot. A coloring keeps the truth's lightness: only ab is compared.
    """

    def __init__(self, lab_truth: Tensor):
        """lab_truth: Lab (3, H, W)."""
        self.true_details = _apart(_planes(lab_truth), AROUND, np.float32(APART))

    def __call__(self, lab: Tensor) -> tuple[int, np.ndarray]:
        """How many spots a coloring, Lab (3, H, W), has, and their pixels, bool (H, W)."""
        ab = _planes(lab)
        apart = _apart(ab, AROUND, np.float32(APART))
        if not apart.any():
            return 0, apart
        labels, sizes = label_patches(apart)
        kept = _spots(ab, labels, sizes, self.true_details)
        return int(kept.sum()), kept[labels]

    def outlined(self, lab: Tensor) -> np.ndarray:
        """The area around the spots of a coloring, Lab (3, H, W), to outline: bool (H, W)."""
        return near_edges(torch.from_numpy(self(lab)[1])[None], SPOT_MARGIN)[0].numpy()


def _planes(lab: Tensor) -> np.ndarray:
    return np.ascontiguousarray(lab[1:].float().cpu().numpy())


@compiled
def _apart(ab, half, limit):
    """Pixels of ab (2, H, W) that differ by more than `limit` from the mean of their window, cropped at the border."""
    _, height, width = ab.shape
    mask = np.zeros((height, width), np.bool_)
    columns = np.zeros((2, width))  # float64 sums over the rows of the window
    for y in range(min(half, height)):
        for c in range(2):
            for x in range(width):
                columns[c, x] += ab[c, y, x]
    for y in range(height):
        for c in range(2):
            if y + half < height:
                for x in range(width):
                    columns[c, x] += ab[c, y + half, x]
            if y - half - 1 >= 0:
                for x in range(width):
                    columns[c, x] -= ab[c, y - half - 1, x]
        rows = min(y + half, height - 1) - max(y - half, 0) + 1
        sum_a, sum_b = 0.0, 0.0
        for x in range(min(half, width)):
            sum_a += columns[0, x]
            sum_b += columns[1, x]
        for x in range(width):
            if x + half < width:
                sum_a += columns[0, x + half]
                sum_b += columns[1, x + half]
            if x - half - 1 >= 0:
                sum_a -= columns[0, x - half - 1]
                sum_b -= columns[1, x - half - 1]
            count = rows * (min(x + half, width - 1) - max(x - half, 0) + 1)
            a, b = ab[0, y, x] - sum_a / count, ab[1, y, x] - sum_b / count
            mask[y, x] = a * a + b * b > limit * limit
    return mask


@compiled
def _spots(ab, labels, sizes, true_details):
    """Which of the patches are spots: bool (patches + 1,)."""
    height, width = labels.shape
    patches = len(sizes)
    ends = np.zeros((patches, 4), np.int32)  # top, bottom, left, right
    sums = np.zeros((patches, 3))  # of a, b, and of the pixels where the truth has a detail
    ends[:, 0], ends[:, 2] = height, width
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if LEAST_SPOT <= sizes[label] < SPOT:
                ends[label, 0], ends[label, 1] = min(ends[label, 0], y), max(ends[label, 1], y)
                ends[label, 2], ends[label, 3] = min(ends[label, 2], x), max(ends[label, 3], x)
                sums[label, 0] += ab[0, y, x]
                sums[label, 1] += ab[1, y, x]
                sums[label, 2] += true_details[y, x]
    found = np.zeros(patches, np.bool_)
    for label in range(1, patches):
        size = sizes[label]
        if size < LEAST_SPOT or size >= SPOT or 2 * sums[label, 2] >= size:
            continue
        ring_a, ring_b, ring = 0.0, 0.0, 0
        for y in range(max(ends[label, 0] - RING, 0), min(ends[label, 1] + RING + 1, height)):
            for x in range(max(ends[label, 2] - RING, 0), min(ends[label, 3] + RING + 1, width)):
                if labels[y, x] != label:
                    ring_a += ab[0, y, x]
                    ring_b += ab[1, y, x]
                    ring += 1
        if ring:
            a, b = sums[label, 0] / size - ring_a / ring, sums[label, 1] / size - ring_b / ring
            found[label] = a * a + b * b > APART * APART
    return found
