"""A refiner's actions on a coloring, step by step: how many pixels took each action, and where."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chromagan.network.refiner import ACTIONS

# Color of each action on the map, roughly the color that it adds; pixels left alone show the dimmed photo.
ACTION_COLORS = {
    "leave": None, "redder": (220, 60, 80), "greener": (40, 160, 90), "yellower": (235, 195, 50),
    "bluer": (60, 110, 230), "weaker": (150, 150, 150), "stronger": (240, 130, 230),
    "like its neighbors": (90, 220, 230),
}  # fmt: skip
STRENGTH = 0.75  # opacity of those colors over the photo


def action_picture(actions: Tensor, gray: Image.Image) -> Image.Image:
    """A map of `actions` (h, w), indices of ACTIONS, over the dimmed photo `gray`, at its size."""
    index = Image.fromarray(actions.to(torch.uint8).numpy()).resize(gray.size, Image.Resampling.NEAREST)
    below = 0.5 * np.asarray(gray.convert("RGB"), np.float32)
    palette = np.array([color or (0, 0, 0) for color in ACTION_COLORS.values()], np.float32)
    share = np.array([STRENGTH if color else 0.0 for color in ACTION_COLORS.values()], np.float32)
    taken = np.asarray(index)
    mixed = below * (1 - share[taken])[..., None] + palette[taken] * share[taken][..., None]
    return Image.fromarray(mixed.round().astype(np.uint8))


def action_shares(actions: Tensor) -> list[tuple[str, float]]:
    """(action, share of the pixels that took it) of `actions` (h, w), in the order of ACTIONS."""
    counts = torch.bincount(actions.flatten(), minlength=len(ACTIONS)).double() / actions.numel()
    return list(zip(ACTIONS, counts.tolist(), strict=True))
