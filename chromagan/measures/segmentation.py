"""Edges and superpixels of one image channel, batched: what the boundary metrics stand on.

Both take planes (B, H, W) in the channel's own units and treat each plane on its own.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chromagan.imaging import color

SEGMENTS, COMPACTNESS, SIGMA = 250, 10.0, 1.0  # those of the cluster discrepancy ratio's authors
ROUNDS = 6  # scikit-image makes 10; with 6, ratios came out nearest to those of its superpixels


def blur(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian filter of (B, H, W), cut off at 4 sigma, the image mirrored at its edges (SciPy's defaults)."""
    radius = min(int(4 * sigma + 0.5), *(side for side in planes.shape[-2:]))
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    mirrored = planes
    for dim in (-2, -1):
        size = mirrored.shape[dim]
        ends = [mirrored.narrow(dim, 0, radius).flip(dim), mirrored.narrow(dim, size - radius, radius).flip(dim)]
        mirrored = torch.cat([ends[0], mirrored, ends[1]], dim)
    return filter_inside(mirrored, kernel / kernel.sum())


BLOCK = 54  # outputs of one product; a few dozen are best, and four of these are an SSIM map's 214


def filter_inside(planes: Tensor, kernel: Tensor) -> Tensor:
    """Filter (..., H, W) by a kernel (k,) along both axes, where it fits: (..., H - k + 1, W - k + 1).

    As products with a band of the filter's matrix, block by block: half the time of a grouped convolution on the CPU.
    """
    more = len(kernel) - 1
    band = torch.zeros(BLOCK + more, BLOCK, dtype=kernel.dtype)
    for shift, weight in enumerate(kernel):
        band.diagonal(-shift).fill_(weight)
    band = band.to(planes)

    def blocks(size: int):
        for start in range(0, size - more, BLOCK):
            outputs = min(BLOCK, size - more - start)
            yield start, outputs + more, band[: outputs + more, :outputs]

    planes = torch.cat([planes.narrow(-1, at, length) @ part for at, length, part in blocks(planes.shape[-1])], -1)
    return torch.cat([part.mT @ planes.narrow(-2, at, length) for at, length, part in blocks(planes.shape[-2])], -2)


def gradient(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel derivatives along rows and along columns, per pixel: two of (B, H, W). Borders are repeated."""
    padded = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    down, right = padded[:, 2:] - padded[:, :-2], padded[:, :, 2:] - padded[:, :, :-2]
    dy = (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]) / 8
    dx = (right[:, :-2] + 2 * right[:, 1:-1] + right[:, 2:]) / 8
    return dy, dx


def thin_edges(dy: Tensor, dx: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Canny 1986 from a gradient field (B, H, W): bool (B, H, W).

    An edge pixel's gradient is the largest along its direction (interpolated between the two neighbors on each side)
    and above `low`; it is connected, through such pixels, to one above `high`. The frame of one pixel has no edges.
    """
    magnitude = torch.hypot(dy, dx)
    padded = F.pad(magnitude, (1, 1, 1, 1))
    height, width = magnitude.shape[-2:]

    def neighbor(step_y: int, step_x: int) -> Tensor:
        return padded[:, 1 + step_y : 1 + step_y + height, 1 + step_x : 1 + step_x + width]

    steep = dy.abs() >= dx.abs()
    weight = torch.where(steep, dx.abs(), dy.abs()) / torch.where(steep, dy.abs(), dx.abs()).clamp_min(1e-30)
    same = dy * dx >= 0  # the gradient points along the main diagonal rather than the other
    largest = torch.ones_like(steep)
    for side in (1, -1):
        straight = torch.where(steep, neighbor(side, 0), torch.where(same, neighbor(0, side), neighbor(0, -side)))
        diagonal = torch.where(same, neighbor(side, side), neighbor(side, -side))
        largest &= magnitude >= torch.lerp(straight, diagonal, weight)
    weak = largest & (magnitude >= low) & (magnitude > 0)
    weak[:, [0, -1]] = weak[:, :, [0, -1]] = False
    return _connected_to(weak & (magnitude >= high), weak)


def _connected_to(seeds: Tensor, mask: Tensor) -> Tensor:
    """Those pixels of `mask` that 8-connected paths inside it join to a seed."""
    grown, size = seeds, -1
    while size != int(grown.sum()):
        size = int(grown.sum())
        for _ in range(8):  # asking whether anything changed costs more than a step
            for dim in (1, 2):
                padded = F.pad(grown, (0, 0, 1, 1) if dim == 1 else (1, 1))
                length = grown.shape[dim]
                grown = padded.narrow(dim, 0, length) | grown | padded.narrow(dim, 2, length)
            grown = grown & mask
    return grown


def canny(planes: Tensor, sigma: float = 1.2, low: float = 0.2, high: float = 0.7) -> Tensor:
    """Canny edges of (B, H, W), `low` and `high` being quantiles of each plane's gradient: bool (B, H, W)."""
    dy, dx = gradient(blur(planes, sigma))
    magnitude = torch.hypot(dy, dx).flatten(1)
    quantiles = torch.quantile(magnitude, torch.tensor([low, high]).to(magnitude), dim=1)
    return thin_edges(dy, dx, *quantiles[..., None, None])


def superpixels(planes: Tensor) -> Tensor:
    """SLIC superpixels (Achanta et al. 2012) of single-channel planes (B, H, W): int32 labels (B, H, W), on the CPU.

    About 250 clusters start as a grid of cells; each of 6 rounds gives every pixel to the nearest of the nine
    clusters of its own cell and those around it (as in gSLIC, Ren and Reid 2011), then moves the clusters to the means
    of their pixels. The squared distance is (dy^2 + dx^2) / S^2 + (dv / 10)^2, S the cell's side, v the channel
    stretched to [0, 1], read as an sRGB gray's lightness and blurred (sigma 1): scikit-image's SLIC with its defaults
    does that to a channel, and the authors of the cluster discrepancy ratio call it so. A channel whose range is below
    one Lab unit is not stretched to its range but divided by 1: the rounding of 8-bit colors is not an edge.
    scikit-image searches farther (all clusters within 2 S) and then joins loose parts to their neighbors; this does
    neither, and takes a tenth of the time.
    """
    low, high = planes.amin(dim=(1, 2), keepdim=True), planes.amax(dim=(1, 2), keepdim=True)
    values = blur(color.gray_to_L((planes - low) / (high - low).clamp_min(1)), SIGMA) / COMPACTNESS
    return torch.from_numpy(np.stack([_slic(plane) for plane in values.float().cpu().numpy()]))


def _slic(values: np.ndarray) -> np.ndarray:
    """The rounds of `superpixels` on one prepared plane (H, W): int32 labels.

    torch for the arithmetic, whose broadcasting takes half of NumPy's time on the CPU; NumPy for the comparisons,
    which take a tenth of torch's. Arrays stay small enough for the processor's cache.
    """
    grid = _grid(*values.shape)
    values = grid.to_cells(values)
    terms = *grid.terms, (grid.in_image * values).ravel().astype(np.float64)
    centers = np.stack([grid.y.mean(axis=0), grid.x.mean(axis=0), values[grid.cell_y // 2, grid.cell_x // 2]])
    distance, best, closer = np.empty_like(values), np.empty_like(values), np.empty(values.shape, bool)
    nearest, candidate = np.empty(values.shape, np.int8), np.empty(values.shape, np.int8)
    plane, pixel_y, pixel_x, out = (torch.from_numpy(array) for array in (values, grid.y, grid.x, distance))
    # Of the nine: from a pixel's own cluster to that one, less what keeps the first of them from being 0.
    shifts = [(dy, dx) for dy in range(3) for dx in range(3)]
    to_cluster = np.array([dy * grid.columns + dx for dy, dx in shifts])
    for _ in range(ROUNDS):
        around = np.full((3, grid.rows + 2, grid.columns + 2), np.inf, np.float32)  # no cluster beyond the image
        around[:, 1:-1, 1:-1] = centers.reshape(3, grid.rows, grid.columns)
        nine = np.stack([around[:, dy : dy + grid.rows, dx : dx + grid.columns].reshape(3, -1) for dy, dx in shifts])
        center_y, center_x, center_v = torch.from_numpy(nine).unbind(dim=1)  # (9, clusters) each
        from_y = (pixel_y - center_y[:, None]).square_().mul_(grid.scale)  # (9, cell_y, clusters)
        from_x = (pixel_x - center_x[:, None]).square_().mul_(grid.scale)
        best.fill(np.inf)
        nearest.fill(0)
        for shift in range(9):
            torch.sub(plane, center_v[shift], out=out).square_()
            out += from_y[shift, :, None]
            out += from_x[shift]
            np.less(distance, best, out=closer)
            # The last that was closer wins, and they ascend: their maximum, which has no branches to mispredict.
            np.multiply(closer.view(np.int8), np.int8(shift), out=candidate)
            np.maximum(nearest, candidate, out=nearest)
            np.minimum(best, distance, out=best)
        labels = to_cluster.take(nearest) + (grid.clusters - grid.columns - 1)
        sizes, *sums = (np.bincount(labels.ravel(), term, len(grid.clusters)) for term in terms)
        centers = np.where(sizes > 0, sums / np.maximum(sizes, 1), centers).astype(np.float32)
    return grid.to_image(labels.astype(np.int32))


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> "_Grid":
    return _Grid(height, width)


class _Grid:
    """The cells that SLIC starts from, and the layout (cell_y, cell_x, clusters) that puts each into one column.

    A cluster then meets the pixels of its own cell and of those around it by plain broadcasting along rows of memory.
    """

    def __init__(self, height: int, width: int):
        side = math.sqrt(height * width / SEGMENTS)
        self.shape = height, width
        self.rows, self.columns = max(1, round(height / side)), max(1, round(width / side))
        self.cell_y, self.cell_x = -(-height // self.rows), -(-width // self.columns)
        self.clusters = np.arange(self.rows * self.columns)
        top, left = self.clusters // self.columns * self.cell_y, self.clusters % self.columns * self.cell_x
        self.y = (top + np.arange(self.cell_y)[:, None]).astype(np.float32)  # (cell_y, clusters)
        self.x = (left + np.arange(self.cell_x)[:, None]).astype(np.float32)
        self.in_image = (self.y < height)[:, None] & (self.x < width)[None]  # (cell_y, cell_x, clusters)
        self.terms = [(self.in_image * t).ravel().astype(np.float64) for t in (1, self.y[:, None], self.x[None])]
        self.scale = 1 / (self.cell_y * self.cell_x)

    def to_cells(self, plane: np.ndarray) -> np.ndarray:
        height, width = self.shape
        more = (0, self.rows * self.cell_y - height), (0, self.columns * self.cell_x - width)
        cells = np.pad(plane, more, mode="edge").reshape(self.rows, self.cell_y, self.columns, self.cell_x)
        return np.ascontiguousarray(cells.transpose(1, 3, 0, 2)).reshape(self.cell_y, self.cell_x, -1)

    def to_image(self, cells: np.ndarray) -> np.ndarray:
        cells = cells.reshape(self.cell_y, self.cell_x, self.rows, self.columns).transpose(2, 0, 3, 1)
        return cells.reshape(self.rows * self.cell_y, -1)[: self.shape[0], : self.shape[1]]
