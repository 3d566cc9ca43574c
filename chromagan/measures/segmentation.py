"""Edges and superpixels of one image channel, batched: the basis of the boundary metrics.

Both take planes (B, H, W) in the channel's units and process each plane independently.
"""

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from chromagan.imaging import color
from chromagan.imaging.compiled import compiled

SEGMENTS, COMPACTNESS, SIGMA = 250, 10.0, 1.0  # those of the cluster discrepancy ratio's authors
ROUNDS = 6  # scikit-image has 10; with 6, ratios are nearest to those of its superpixels


def blur(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian filter of (B, H, W), cut off at 4 sigma, the image mirrored at its edges (SciPy's defaults).

    In an image with a side shorter than that, cut off at that side.
    """
    radius = min(int(4 * sigma + 0.5), *(side for side in planes.shape[-2:]))
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    mirrored = planes
    for dim in (-2, -1):
        size = mirrored.shape[dim]
        ends = [mirrored.narrow(dim, 0, radius).flip(dim), mirrored.narrow(dim, size - radius, radius).flip(dim)]
        mirrored = torch.cat([ends[0], mirrored, ends[1]], dim)
    return filter_inside(mirrored, kernel / kernel.sum())


BLOCK = 54  # outputs per product; a few dozen are fastest, and four blocks cover an SSIM map's 214


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
    same = dy * dx >= 0  # the gradient is along the main diagonal rather than the other
    largest = torch.ones_like(steep)
    for side in (1, -1):
        straight = torch.where(steep, neighbor(side, 0), torch.where(same, neighbor(0, side), neighbor(0, -side)))
        diagonal = torch.where(same, neighbor(side, side), neighbor(side, -side))
        largest &= magnitude >= torch.lerp(straight, diagonal, weight)
    weak = largest & (magnitude >= low) & (magnitude > 0)
    weak[:, [0, -1]] = weak[:, :, [0, -1]] = False
    return _connected_to(weak & (magnitude >= high), weak)


def _connected_to(seeds: Tensor, mask: Tensor) -> Tensor:
    """The pixels of `mask` (B, H, W) that are connected to a seed by 8-connected paths inside it."""
    grown = ndimage.binary_propagation(seeds.cpu().numpy(), np.ones((1, 3, 3), bool), mask.cpu().numpy())
    return torch.from_numpy(grown).to(mask.device)


def canny(planes: Tensor, sigma: float = 1.2, low: float = 0.2, high: float = 0.7) -> Tensor:
    """Canny edges of (B, H, W), `low` and `high` being quantiles of each plane's gradient: bool (B, H, W)."""
    dy, dx = gradient(blur(planes, sigma))
    magnitude = torch.hypot(dy, dx).flatten(1)
    quantiles = torch.quantile(magnitude, torch.tensor([low, high]).to(magnitude), dim=1)
    return thin_edges(dy, dx, *quantiles[..., None, None])


def superpixels(planes: Tensor) -> Tensor:
    """SLIC superpixels (Achanta et al. 2012) of single-channel planes (B, H, W): int32 labels (B, H, W), on the CPU.

    About 250 clusters, up to twice as many in an image a few pixels wide, start as a grid of cells; each of 6 rounds
    gives every pixel to the nearest of the nine clusters of its own cell and those around it (as in gSLIC, Ren and Reid
    2011), then moves the clusters to the means of their pixels. The squared distance is
    (dy^2 + dx^2) / S^2 + (dv / 10)^2, S the cell's side, v the channel stretched to [0, 1], read as an sRGB gray's
    lightness and blurred (sigma 1): scikit-image's SLIC does that to a channel by default, and the authors of the
    cluster discrepancy ratio use it so. A channel whose range is below one Lab unit is divided by 1 instead of its
    range, so that rounding to 8 bits does not become an edge.
    scikit-image searches farther (all clusters within 2 S) and then merges disconnected parts into their neighbors;
    this does neither, and takes a sixth of the time.
    """
    low, high = planes.amin(dim=(1, 2), keepdim=True), planes.amax(dim=(1, 2), keepdim=True)
    values = blur(color.gray_to_L((planes - low) / (high - low).clamp_min(1)), SIGMA) / COMPACTNESS
    return torch.from_numpy(np.stack([_slic(plane) for plane in values.float().cpu().numpy()]))


def _slic(values: np.ndarray) -> np.ndarray:
    """The rounds of `superpixels` on one prepared plane (H, W) in float32: int32 labels, row by row of clusters."""
    height, width = values.shape
    side = math.sqrt(height * width / SEGMENTS)
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    cell_y, cell_x = -(-height // rows), -(-width // columns)
    y, x = np.arange(rows) * cell_y, np.arange(columns) * cell_x
    # y, x and value of each cluster; those of the padding are infinitely far from every pixel.
    centers = np.full((3, rows + 2, columns + 2), np.inf, np.float32)
    centers[0, 1:-1, 1:-1] = (y + (cell_y - 1) / 2)[:, None]
    centers[1, 1:-1, 1:-1] = x + (cell_x - 1) / 2
    middle_y, middle_x = (y + cell_y // 2).clip(max=height - 1), (x + cell_x // 2).clip(max=width - 1)
    centers[2, 1:-1, 1:-1] = values[np.ix_(middle_y, middle_x)]
    labels = np.empty((height, width), np.int32)
    _rounds(values, centers, cell_y, cell_x, labels)
    return labels


@compiled
def _rounds(values, centers, cell_y, cell_x, labels):
    """ROUNDS times: assign every pixel of `values` (H, W) to a cluster of `centers` (3, rows + 2, columns + 2), then
    move the clusters to the means of their pixels. The last assignment is in `labels`."""
    height, width = values.shape
    rows, columns = centers.shape[1] - 2, centers.shape[2] - 2
    scale = np.float32(1) / np.float32(cell_y * cell_x)
    at_x = np.arange(width).astype(np.float32)
    around = np.empty((3, 9, width), np.float32)  # the nine clusters of each pixel of a row
    best, nearest = np.empty(width, np.float32), np.empty(width, np.int32)
    for _ in range(ROUNDS):
        sums = np.zeros((4, rows, columns))
        for y in range(height):
            at_y, row = np.float32(y), y // cell_y
            if y % cell_y == 0:
                for shift in range(9):
                    for x in range(width):
                        for axis in range(3):
                            around[axis, shift, x] = centers[axis, row + shift // 3, x // cell_x + shift % 3]
            best[:] = np.inf
            for shift in range(9):  # each over the whole row, so that the comparison is vectorized
                for x in range(width):
                    dy, dx = at_y - around[0, shift, x], at_x[x] - around[1, shift, x]
                    dv = values[y, x] - around[2, shift, x]
                    distance = dv * dv + dy * dy * scale + dx * dx * scale
                    closer = distance < best[x]
                    best[x] = distance if closer else best[x]
                    nearest[x] = shift if closer else nearest[x]
            for x in range(width):
                in_row, in_column = row + nearest[x] // 3 - 1, x // cell_x + nearest[x] % 3 - 1
                labels[y, x] = in_row * columns + in_column
                sums[0, in_row, in_column] += 1
                sums[1, in_row, in_column] += y
                sums[2, in_row, in_column] += x
                sums[3, in_row, in_column] += values[y, x]
        for row in range(rows):
            for column in range(columns):
                if sums[0, row, column] > 0:
                    for axis in range(3):
                        centers[axis, row + 1, column + 1] = sums[axis + 1, row, column] / sums[0, row, column]
