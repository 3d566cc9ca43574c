"""Chrominance at full resolution: a small ab map upsampled to the size of the photo, along its edges."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chromagan.errors import OptionError
from chromagan.imaging.compiled import compiled
from chromagan.imaging.scaling import scaled

MODES = ("edge-aware", "bilinear")

# Chosen by CIEDE2000 near and away from chroma edges on 64 Imagenette training photos, ab reduced 4 and 8 times.
NOISE = np.float32(9)  # variance, in squared Lab units, below which L and ab cannot be distinguished from noise
LATTICE = -0.3, -0.45  # r in _restore: no lattice, and certainly a lattice
SMOOTH = 0.6, 0.45  # r: certainly interpolated, and averaged
FAINT = 0.05  # squared Lab units: smaller differences are insignificant
SHARPENINGS = 4  # steps of the mean-preserving inverse; each at least halves the error


class ChromaUpsampler:
    """ab at the size of the photo, for any range of rows: bounded memory, and no seams between bands of rows.

    "edge-aware" is a guided filter (He, Sun and Tang 2010) adapted to chroma that was averaged over cells. Its heavy
    part runs at the network's size, as in the fast guided filter (He and Sun 2015). In each window

        slope = cov(L, ab) / var(L) * r^4,      r the correlation of L and ab,

    and, with M the bilinear interpolation of values sharpened such that the means over cells are preserved,

        ab = M(ab_low) + slope * (L - M(L_low)).

    The plain guided filter smooths (its b is a mean over windows) and trusts every slope: on photos it is worse than
    bilinear. r^4 preserves edges shared by L and ab, and nearly suppresses texture of L that has no color. At 4 times
    the network's size M alone gives most of the gain; slope adds more the stronger the edges and the larger the photo.
    A network's ab is not always averaged chroma: `_restore` checks this before it sharpens, and removes the lattice of
    transposed convolutions and pixel shuffles, which sharpening would amplify.
    If the photo has at least twice the network's resolution, L guides at half of the photo's resolution: photographs
    have hardly any chroma detail beyond that (JPEG stores it at half resolution), and it costs a quarter.
    "bilinear" is plain bilinear interpolation, for comparison. Both antialias along an axis on which the photo is
    smaller than the network's map.
    """

    def __init__(self, ab: Tensor, L: Tensor, L_low: Tensor | None = None, mode: str = "edge-aware"):
        """Prepare the maps of a batch: does the work at low resolution.

        ab: (B, 2, h, w), the network's chrominance, CIELAB units. All on the CPU, in float32.
        L: (B, 1, H, W), the photo's lightness, [0, 100]; kept, not copied.
        L_low: (B, 1, h, w), `L` at the network's size; None averages `L`.
        Raises OptionError for an unknown mode, ValueError for shapes that do not match.
        """
        if mode not in MODES:
            raise OptionError(f"unknown mode {mode!r}; choose from {', '.join(MODES)}")
        if L_low is None:
            L_low = F.interpolate(L, size=ab.shape[-2:], mode="area")
        for name, tensor, shape in (
            ("ab", ab, (len(L), 2, *ab.shape[-2:])),
            ("L", L, (len(L), 1, *L.shape[-2:])),
            ("L_low", L_low, (len(L), 1, *ab.shape[-2:])),
        ):
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} must be of shape {shape}, got {tuple(tensor.shape)}")
        edge_aware = mode == "edge-aware"
        self.L = L
        self.height, self.width = L.shape[-2:]

        maps = torch.cat([L_low, ab], dim=1)
        low = tuple(min(sides) for sides in zip(maps.shape[-2:], L.shape[-2:]))
        if low != tuple(maps.shape[-2:]):
            maps = scaled(maps, low)
        scale = self.height / low[0], self.width / low[1]  # photo pixels per pixel of the maps, at least 1
        self.steps = tuple(2 if edge_aware and factor >= 2 else 1 for factor in scale)  # photo pixels per guide pixel
        self.pitch = self.steps[0] / scale[0]
        strengths = [min(2 * (factor / step - 1), 1.0) for factor, step in zip(scale, self.steps)] if edge_aware else []
        # Columns are interpolated here, once, rows in `rows`: (2, h, w of the guide), or (5, ...): ab, L, slope.
        self.maps = []
        for L_and_ab in maps.contiguous().numpy():
            slope = [_slope(L_and_ab)] if max(self.steps) > 1 else []
            for rows, strength in zip((True, False), strengths):
                # Along columns through the transpose: vector instructions process many pixels of a row at a time.
                turned = L_and_ab if rows else np.ascontiguousarray(L_and_ab.transpose(0, 2, 1))
                turned = _restore(turned, strength)
                L_and_ab = turned if rows else np.ascontiguousarray(turned.transpose(0, 2, 1))
            parts = [L_and_ab[1:], L_and_ab[:1], *slope] if slope else [L_and_ab[1:]]
            whole = np.empty((sum(map(len, parts)), low[0], -(-self.width // self.steps[1])), np.float32)
            _interpolate_columns(np.concatenate(parts), self.steps[1] / scale[1], whole)
            self.maps.append(whole)

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of the result: (B, 2, stop - start, W), CIELAB units."""
        if not 0 <= start < stop <= self.height:
            raise ValueError(f"rows must be within 0..{self.height}, got {start}..{stop}")
        ab = torch.empty(len(self.maps), 2, stop - start, self.width, dtype=torch.float32, device="cpu")
        for maps, L, out in zip(self.maps, self.L.numpy(), ab.numpy()):
            if len(maps) == 2:
                _interpolate_rows(maps, start, self.pitch, out)
            else:
                _guided_rows(maps, L[0], start, self.pitch, *self.steps, out)
        return ab


def upsample(ab: Tensor, L: Tensor, L_low: Tensor | None = None, mode: str = "edge-aware") -> Tensor:
    """ab (B, 2, h, w) -> (B, 2, H, W), the size of L (B, 1, H, W), in one piece. See ChromaUpsampler."""
    return ChromaUpsampler(ab, L, L_low, mode).rows(0, L.shape[-2])


@compiled
def _interpolate_columns(maps, pitch, out):
    """Columns of maps (C, h, w), `pitch` of them apart, cell centers aligned: out (C, h, n)."""
    last = maps.shape[2] - 1
    below, weight = np.empty(out.shape[2], np.int32), np.empty(out.shape[2], np.float32)
    for x in range(out.shape[2]):
        at = min(max((x + 0.5) * pitch - 0.5, 0.0), float(last))
        below[x] = int(at)
        weight[x] = at - below[x]
    for c in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                left, right = maps[c, y, below[x]], maps[c, y, min(below[x] + 1, last)]
                out[c, y, x] = left + weight[x] * (right - left)


@compiled
def _interpolate_rows(maps, first, pitch, out):
    """Rows first, first + 1, ... of maps (C, h, W), `pitch` of its rows apart, cell centers aligned: out (C, n, W)."""
    last = maps.shape[1] - 1
    for y in range(out.shape[1]):
        at = min(max((first + y + 0.5) * pitch - 0.5, 0.0), float(last))
        below = int(at)
        above = min(below + 1, last)
        weight = np.float32(at - below)
        for c in range(maps.shape[0]):
            for x in range(maps.shape[2]):
                out[c, y, x] = maps[c, below, x] + weight * (maps[c, above, x] - maps[c, below, x])


@compiled
def _guided_rows(maps, L, first, pitch, step_y, step_x, out):
    """Rows first, first + 1, ... of ab, guided by L: out (2, n, W).

    maps: (5, h, w), of ab, L and slope, columns at the guide's size. L: (H, W). pitch: rows of maps per guide row.
    step_y, step_x: pixels of L to one of the guide, 1 or 2.
    """
    height, width = L.shape
    guides, columns = (height + step_y - 1) // step_y, maps.shape[2]
    # Guide rows, with a margin for the sharpening and the last interpolation: one row each.
    margin = 2 if step_y > 1 else 0
    top = max(first // step_y - margin, 0)
    bottom = min((first + out.shape[1] - 1) // step_y + 1 + margin, guides)

    low = np.empty((5, 1, columns), np.float32)
    guide = np.empty(columns, np.float32)
    ab = np.empty((2, bottom - top, columns), np.float32)
    row = np.empty(columns, np.float32)
    for y in range(bottom - top):
        _interpolate_rows(maps, top + y, pitch, low)
        one = (top + y) * step_y
        other = min(one + step_y - 1, height - 1)
        if step_x == 1:
            for x in range(columns):
                guide[x] = np.float32(0.5) * (L[one, x] + L[other, x])
        else:
            for x in range(width // 2):
                upper, lower = L[one, 2 * x] + L[one, 2 * x + 1], L[other, 2 * x] + L[other, 2 * x + 1]
                guide[x] = np.float32(0.25) * (upper + lower)
            if width % 2:
                guide[columns - 1] = np.float32(0.5) * (L[one, width - 1] + L[other, width - 1])
        for c in range(2):
            for x in range(columns):
                row[x] = low[c, 0, x] + low[3 + c, 0, x] * (guide[x] - low[2, 0, x])
            _sharpen_row(row, step_x, ab[c, y])

    sharp = np.empty((2, columns), np.float32)
    for y in range(out.shape[1]):
        middle = (first + y) // step_y
        beside = min(max(middle - 1 if (first + y) % step_y == 0 else middle + 1, 0), guides - 1)
        for c in range(2):
            if step_y == 1:
                row[:] = ab[c, y]
            else:
                for place, at in enumerate((middle, beside)):
                    before, here, after = max(at - 1, 0) - top, at - top, min(at + 1, guides - 1) - top
                    for x in range(columns):
                        around = ab[c, before, x] + ab[c, after, x]
                        sharp[place, x] = np.float32(1.25) * ab[c, here, x] - np.float32(0.125) * around
                for x in range(columns):
                    row[x] = np.float32(0.75) * sharp[0, x] + np.float32(0.25) * sharp[1, x]
            if step_x == 1:
                out[c, y] = row
            else:
                _double_row(row, out[c, y])


@compiled
def _sharpen_row(row, step, out):
    """One step of `_sharpen` along a row of half the photo's width (more steps gain nothing); else a copy."""
    last = len(row) - 1
    if step == 1 or last == 0:
        out[:] = row
        return
    for x in range(1, last):
        out[x] = np.float32(1.25) * row[x] - np.float32(0.125) * (row[x - 1] + row[x + 1])
    out[0] = np.float32(1.125) * row[0] - np.float32(0.125) * row[1]
    out[last] = np.float32(1.125) * row[last] - np.float32(0.125) * row[last - 1]


@compiled
def _double_row(row, out):
    """Each value twice, interpolated a quarter of the way to its neighbors; the last one once if out is odd."""
    last = len(row) - 1
    out[0] = row[0]
    for x in range(last):
        out[2 * x + 1] = np.float32(0.75) * row[x] + np.float32(0.25) * row[x + 1]
        out[2 * x + 2] = np.float32(0.25) * row[x] + np.float32(0.75) * row[x + 1]
    if len(out) == 2 * last + 2:
        out[2 * last + 1] = row[last]


@compiled
def _slope(maps):
    """Slope of ab over L around each pixel, weighted by r^4: maps (3, h, w), of L and ab -> (2, h, w)."""
    _, height, width = maps.shape
    values, mean, square = np.empty_like(maps), np.empty_like(maps), np.empty_like(maps)
    product = np.empty((height, width), np.float32)
    for c in range(3):
        middle = np.float32(maps[c].mean())  # centered, so that variances are accurate in float32
        for y in range(height):
            for x in range(width):
                values[c, y, x] = maps[c, y, x] - middle
                product[y, x] = values[c, y, x] * values[c, y, x]
        _window_mean(values[c], mean[c])
        _window_mean(product, square[c])
    slope = np.empty((2, height, width), np.float32)
    covariance = np.empty((height, width), np.float32)
    for c in range(2):
        for y in range(height):
            for x in range(width):
                product[y, x] = values[0, y, x] * values[1 + c, y, x]
        _window_mean(product, covariance)
        for y in range(height):
            for x in range(width):
                var_L = max(square[0, y, x] - mean[0, y, x] * mean[0, y, x], np.float32(0)) + NOISE
                var_ab = max(square[1 + c, y, x] - mean[1 + c, y, x] * mean[1 + c, y, x], np.float32(0)) + NOISE
                cov = covariance[y, x] - mean[0, y, x] * mean[1 + c, y, x]
                r2 = cov * cov / (var_L * var_ab)
                product[y, x] = cov / var_L * r2 * r2
        _window_mean(product, slope[c])
    return slope


@compiled
def _window_mean(x, out):
    """Means of 3 x 3 windows of x (h, w), edges repeated."""
    height, width = x.shape
    third = np.float32(1 / 3)
    sums = np.empty(width, np.float32)
    for row in range(height):
        before, after = max(row - 1, 0), min(row + 1, height - 1)
        for column in range(width):
            sums[column] = (x[before, column] + x[row, column] + x[after, column]) * third
        for column in range(1, width - 1):
            out[row, column] = (sums[column - 1] + sums[column] + sums[column + 1]) * third
        for column in (0, width - 1):
            left, right = max(column - 1, 0), min(column + 1, width - 1)
            out[row, column] = (sums[left] + sums[column] + sums[right]) * third


@compiled
def _restore(maps, strength):
    """L and ab (3, h, w) sharpened along the second axis, to the extent that ab looks like averaged chroma.

    The criterion is the correlation of neighboring differences d of ab over the whole map,

        r = sum(d[i] d[i+1]) / sum(d[i]^2):

    which is -0.3 to 0.5 for the chroma of photographs. A lattice of period 2, alternating at every pixel, has -1; a map
    that a decoder interpolated is near 1, and is left as sharp as it is.
    """
    _, height, width = maps.shape
    lattice, averaged = 0.0, 1.0
    if height > 2:
        together = energy = 0.0
        for c in range(1, 3):
            for y in range(height - 2):
                for x in range(width):
                    before, after = maps[c, y + 1, x] - maps[c, y, x], maps[c, y + 2, x] - maps[c, y + 1, x]
                    together += before * after
                    energy += (before * before + after * after) / 2
        r = together / (energy + FAINT * 2 * (height - 2) * width)
        lattice, averaged = _ramp(r, *LATTICE), _ramp(r, *SMOOTH)

    out = maps.copy()
    for c in range(3):
        if averaged > 0 and strength > 0:
            _mix(out[c], _sharpen(maps[c], strength), np.float32(averaged))
        if lattice > 0:
            once, smooth = np.empty_like(maps[c]), np.empty_like(maps[c])
            _toward_neighbors(maps[c], maps[c], np.float32(0.25), once)  # twice: (1, 4, 6, 4, 1) / 16
            _toward_neighbors(once, once, np.float32(0.25), smooth)
            _mix(out[c], smooth, np.float32(lattice))
    return out


@compiled
def _mix(x, other, share):
    """Move x toward `other` by `share`, in place: all (h, w)."""
    for y in range(x.shape[0]):
        for column in range(x.shape[1]):
            x[y, column] += share * (other[y, column] - x[y, column])


@compiled
def _ramp(x, zero, one):
    """0 at `zero` and beyond, 1 at `one` and beyond, linear between."""
    return min(max((x - zero) / (one - zero), 0.0), 1.0)


@compiled
def _sharpen(x, strength):
    """Values whose linear interpolation along the first axis of x (h, w) has the means of x over its cells.

    The mean over a cell of a linear interpolation weights the values by (1/8, 3/4, 1/8); the inverse is computed as a
    Neumann series. strength: 1 for cells of 1.5 pixels and more, down to 0 for cells of one pixel, whose mean is the
    value itself.
    """
    side = np.float32(-strength / 8)
    sharp, sharper = x.copy(), np.empty_like(x)
    for _ in range(SHARPENINGS):
        _toward_neighbors(x, sharp, side, sharper)
        sharp, sharper = sharper, sharp
    return sharp


@compiled
def _toward_neighbors(x, of, weight, out):
    """x, moved by `weight` of the second difference of `of` along the first axis, edges repeated: all (h, w)."""
    last = len(x) - 1
    for y in range(len(x)):
        before, after = max(y - 1, 0), min(y + 1, last)
        for column in range(x.shape[1]):
            bend = of[before, column] + of[after, column] - np.float32(2) * of[y, column]
            out[y, column] = x[y, column] + weight * bend
