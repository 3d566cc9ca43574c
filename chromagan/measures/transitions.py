"""How colors change across the boundaries of objects, and at the border of the image: blurred edges and stripes."""

import math

import torch
from torch import Tensor

from chromagan.measures.metrics import chroma_edges
from chromagan.measures.segmentation import blur, gradient

REACH = 6  # pixels on each side of an edge over which its transition is followed
LEAST_EDGES = 50  # least number of edge pixels in a photo
BAND = 4  # pixels: the band at the border of the image
ACROSS = 8  # lines parallel to the border that are searched for stripes: twice that band
SEGMENT = 28  # pixels along the border, averaged to distinguish a stripe from texture


class Transitions:
    """Color across the true edges of one photo (O4, C3, T4, D5, P3 of the paper's claims), floats; NaN without edges.

    edge_gradient_kept   slope of ab across the true chroma edges over the true photo's: 0 is gray, 1 the truth
    edge_width           pixels over which ab changes from one side to the other: the height of the step divided by
                         its steepest slope. An ideal step has 2 (2.8 on a diagonal), since slopes are taken over two
                         pixels; a ramp of w pixels has w

    Edges are those of `metrics.chroma_edges`. Each edge pixel has a profile of 2 * REACH + 1 pixels along the edge's
    normal. Ratios are of sums over the profiles of a photo, so that strong edges count more and no denominator is near
    zero. Hue does not matter: a boundary between two wrong colors can be as sharp as one between the true ones.
    """

    NAMES = ("edge_gradient_kept", "edge_width")

    def __init__(self, lab_truth: Tensor, edges: Tensor | None = None):
        """lab_truth: Lab (3, H, W). edges: its `metrics.chroma_edges`, bool (H, W), if already computed."""
        if edges is None:
            edges = chroma_edges(lab_truth[None])[0]
        height, width = edges.shape
        y, x = edges.nonzero().unbind(dim=1)
        dy, dx = (slopes[:, y, x] for slopes in gradient(blur(lab_truth[1:], 1.0)))  # (2, E) each
        stronger = torch.hypot(dy, dx).argmax(dim=0, keepdim=True)
        dy, dx = dy.gather(0, stronger)[0], dx.gather(0, stronger)[0]
        # One pixel per step along the normal's longer axis, so that no pixel is visited twice.
        longer = torch.maximum(dy.abs(), dx.abs()).clamp_min(1e-12)
        dy, dx = dy / longer, dx / longer
        at = torch.arange(-REACH, REACH + 1, device=edges.device)
        ys, xs = y[:, None] + (at * dy[:, None]).round().long(), x[:, None] + (at * dx[:, None]).round().long()
        inside = ((ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)).all(dim=1)
        self.profiles = (ys * width + xs)[inside]  # (E, 2 * REACH + 1)
        self.step = torch.hypot(dy, dx)[inside]  # length of a step, in pixels
        self.true_slope = self._slopes(lab_truth)[0] if len(self.profiles) >= LEAST_EDGES else None

    def _slopes(self, lab: Tensor) -> tuple[float, float, float]:
        """Sums over the profiles: slope at the edge, steepest slope (Lab units per pixel), height of the step."""
        ab = lab[1:].flatten(1)[:, self.profiles]  # (2, E, 2 * REACH + 1)
        along = (ab[..., 2:] - ab[..., :-2]).square().sum(dim=0).sqrt() / (2 * self.step[:, None])
        height = (ab[..., -1] - ab[..., 0]).square().sum(dim=0).sqrt()
        sums = along[:, REACH - 1], along.amax(dim=1), height
        return tuple(each.sum(dtype=torch.float64).item() for each in sums)

    def __call__(self, lab: Tensor) -> dict[str, float]:
        """{name: value} of NAMES for Lab (3, H, W); the width is NaN if the coloring has no color at the edges."""
        if self.true_slope is None:
            return dict.fromkeys(self.NAMES, math.nan)
        slope, steepest, height = self._slopes(lab)
        visible = height / len(self.profiles) >= 1  # Lab unit: less is rounding to 8 bits
        return {
            "edge_gradient_kept": slope / self.true_slope,
            "edge_width": height / steepest if visible else math.nan,
        }


def border_mask(height: int, width: int) -> Tensor:
    """The band of BAND pixels at the border of an image: bool (H, W)."""
    mask = torch.ones(height, width, dtype=torch.bool)
    mask[BAND : height - BAND, BAND : width - BAND] = False
    return mask


def border_excess(difference: Tensor) -> Tensor:
    """Mean of a map (B, H, W) of errors over the band of BAND pixels at the border, minus that inside, (B,) (D2)."""
    height, width = difference.shape[-2:]
    inner = difference[:, BAND : height - BAND, BAND : width - BAND]
    inside, whole = (part.flatten(1).sum(dim=1, dtype=torch.float64) for part in (inner, difference))
    count = inner[0].numel()
    return (whole - inside) / (height * width - count) - inside / count


def border_stripes(lab: Tensor) -> Tensor:
    """How much ab changes from line to line along the border of Lab (B, 3, H, W), Lab units, (B,) (D2).

    In the ACROSS outermost lines of each side, ab is averaged over SEGMENT pixels along the side; the variance of
    those means across the lines, summed over a and b and averaged over all segments of all sides, square root.
    Texture averages out; a stripe along the border does not. NaN for images smaller than SEGMENT pixels.
    """
    ab = lab[:, 1:]
    if min(ab.shape[-2:]) < SEGMENT:
        return torch.full((len(lab),), math.nan, dtype=torch.float64)
    variances = []
    for image in (ab, ab.mT):
        for lines in (image[:, :, :ACROSS], image[:, :, -ACROSS:]):  # (B, 2, ACROSS, length)
            length = lines.shape[-1] // SEGMENT * SEGMENT
            means = lines[..., :length].unflatten(-1, (-1, SEGMENT)).mean(dim=-1)
            variances.append(means.var(dim=2, correction=0).sum(dim=1))  # (B, segments)
    return torch.cat(variances, dim=1).mean(dim=1, dtype=torch.float64).sqrt()
