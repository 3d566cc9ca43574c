"""All measures of a coloring against its true photo, in parts. What depends only on the true photo is computed once.

The evaluation takes them of every validation photo, the demo's tab Measure of a visitor's.
"""

import functools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chromagan.imaging import color
from chromagan.measures import metrics
from chromagan.measures.color_groups import TRAITS, ColorGroups, photo_traits
from chromagan.measures.patches import Spots, false_red
from chromagan.measures.transitions import Transitions, border_excess, border_mask, border_stripes

WORST = 0.9  # places of a mean difference from the truth: above this quantile of CIEDE2000


class Truth:
    """A true photo and the quantities that its colorings are compared with, computed when first needed."""

    def __init__(self, srgb: Tensor):
        """srgb: (1, 3, H, W) in [0, 1], 8-bit values."""
        self.srgb = srgb
        self.lab = color.srgb_to_lab(srgb)
        self.L = self.lab[:, :1]

    @functools.cached_property
    def chroma(self) -> float:
        return metrics.mean_chroma(self.srgb).item()

    @functools.cached_property
    def similarity(self) -> metrics.StructuralSimilarity | None:
        """None for a photo that is too small for it."""
        large = min(self.srgb.shape[-2:]) >= metrics.StructuralSimilarity.WINDOW
        return metrics.StructuralSimilarity(self.srgb) if large else None

    @functools.cached_property
    def edges(self) -> Tensor:
        return metrics.chroma_edges(self.lab)

    @functools.cached_property
    def near(self) -> Tensor:
        return metrics.near_edges(self.edges)

    @functools.cached_property
    def clusters(self) -> metrics.ClusterDiscrepancy:
        return metrics.ClusterDiscrepancy(self.lab[0])

    @functools.cached_property
    def groups(self) -> ColorGroups:
        return ColorGroups(self.lab)

    @functools.cached_property
    def transitions(self) -> Transitions:
        return Transitions(self.lab[0], self.edges[0])

    @functools.cached_property
    def spots(self) -> Spots:
        return Spots(self.lab[0])

    @functools.cached_property
    def traits(self) -> dict[str, float]:
        return {name: value.item() for name, value in photo_traits(self.srgb).items()}

    def measure(self, output: Tensor, parts: Collection[str] | None = None) -> dict[str, float]:
        """The columns of `parts` (keys of PARTS; None: all) for a coloring, sRGB (1, 3, H, W) in [0, 1]; NaN for what
        the photo gives no occasion to measure.
        """
        coloring = Coloring(output, self)
        row = {}
        for name in PARTS if parts is None else parts:
            row |= PARTS[name].measure(self, coloring)
        return row


class Coloring:
    """A coloring, sRGB (1, 3, H, W), of a true photo, and quantities that several parts need."""

    def __init__(self, srgb: Tensor, truth: Truth):
        self.srgb, self.truth = srgb, truth
        self.is_truth = torch.equal(srgb, truth.srgb)
        self.lab = truth.lab if self.is_truth else color.srgb_to_lab(srgb)

    @functools.cached_property
    def difference(self) -> Tensor:
        """CIEDE2000, (1, H, W)."""
        return metrics.ciede2000(self.lab, self.truth.lab)


def _fidelity(truth: Truth, coloring: Coloring) -> dict[str, float]:
    return {
        "psnr": metrics.psnr(coloring.srgb, truth.srgb).item(),
        "ssim": truth.similarity(coloring.srgb).item() if truth.similarity else math.nan,
        "ciede2000": coloring.difference.mean(dtype=torch.float64).item(),
        "ciede2000_p95": float(np.quantile(coloring.difference.cpu().double().numpy(), 0.95)),
        "colorfulness": metrics.colorfulness(coloring.srgb).item(),
    }


def _boundaries(truth: Truth, coloring: Coloring) -> dict[str, float]:
    near, elsewhere = metrics.boundary_means(coloring.difference, truth.near)
    ratio = (1.0 if truth.clusters.channels else math.nan) if coloring.is_truth else truth.clusters(coloring.lab[0])
    return {"ciede2000_near": near.item(), "ciede2000_elsewhere": elsewhere.item(), "cdr": ratio}


def _groups(truth: Truth, coloring: Coloring) -> dict[str, float]:
    return {name: value.item() for name, value in truth.groups(coloring.lab).items()}


def _transitions(truth: Truth, coloring: Coloring) -> dict[str, float]:
    return truth.transitions(coloring.lab[0])


def _border(truth: Truth, coloring: Coloring) -> dict[str, float]:
    return {
        "border_excess": border_excess(coloring.difference).item(),
        "border_stripes": border_stripes(coloring.lab).item(),
    }


def _patches(truth: Truth, coloring: Coloring) -> dict[str, float]:
    return {
        "false_red": false_red(coloring.lab, truth.lab).double().mean().item(),
        "spots": float(truth.spots(coloring.lab[0])[0]),
    }


def _traits(truth: Truth, coloring: Coloring) -> dict[str, float]:
    return truth.traits  # of the photo: the same for all its colorings


@dataclass(frozen=True)
class Part:
    """Measures that are taken together. version: incremented when one of them changes, so that they are taken again."""

    columns: tuple[str, ...]
    measure: Callable[[Truth, Coloring], dict[str, float]]
    version: int = 1


PARTS = {
    "fidelity": Part(("psnr", "ssim", "ciede2000", "ciede2000_p95", "colorfulness"), _fidelity),
    "boundaries": Part(("ciede2000_near", "ciede2000_elsewhere", "cdr"), _boundaries),
    "color groups": Part(ColorGroups.NAMES, _groups),
    "transitions": Part(Transitions.NAMES, _transitions),
    "border": Part(("border_excess", "border_stripes"), _border),
    "patches": Part(("false_red", "spots"), _patches),
    "traits": Part(TRAITS, _traits),
}


def place_of(measure: str, coloring: Coloring) -> np.ndarray:
    """Mask (H, W) of the pixels of a coloring that a measure looks at or found something at; all True for measures of
    the whole picture."""
    truth, (height, width) = coloring.truth, coloring.lab.shape[-2:]
    groups = truth.groups.places(coloring.lab)
    if measure in groups:
        return groups[measure][0].numpy()
    if measure == "false_red":
        return false_red(coloring.lab, truth.lab)[0].numpy()
    if measure == "spots":
        return truth.spots.outlined(coloring.lab[0])
    if measure.startswith("border_"):
        return border_mask(height, width).numpy()
    if measure.startswith("edge_") or measure in ("ciede2000_near", "cdr"):
        return truth.near[0].numpy()
    if measure == "ciede2000_elsewhere":
        return ~truth.near[0].numpy()
    if measure.startswith("ciede2000"):
        difference = coloring.difference[0].numpy()
        return difference > np.quantile(difference, WORST)
    return np.ones((height, width), bool)
