"""Chrominance at full resolution: bringing a small ab map up to the photo along its edges, and into the sRGB gamut."""

import torch
from torch import Tensor
from torch.nn import functional as F

from chromagan import color

MODES = ("edge-aware", "bilinear")

# Chosen by CIEDE2000 near and away from chroma edges on 64 Imagenette training photos, ab reduced 4 and 8 times.
NOISE = 9.0  # variance, in squared Lab units, below which L and ab are not told apart from noise
LATTICE = -0.3, -0.45  # of r in _restore: none, and a lattice for certain
SMOOTH = 0.6, 0.45  # of r: interpolated for certain, and averaged
FAINT = 0.05  # squared Lab units: differences below it mean nothing
SHARPENINGS = 4  # steps of the mean-preserving inverse; each leaves at most half of the error of the one before

# Share of the chroma that sRGB has at a lightness and hue up to which colors are left alone. At 0.9 photographs
# themselves change by a mean CIEDE2000 of 0.01.
KNEE = 0.9
REACH = 1.3  # see near_gamut_edge; over random lightnesses and hues, what it misses is off by less than 0.5 / 255
BISECTIONS = 8  # of the largest scale of ab that fits: found within 1/256


class ChromaUpsampler:
    """ab at the size of the photo, in any rows of it: bounded memory, and no seams between bands of rows.

    "edge-aware" is a guided filter (He, Sun and Tang 2010) turned around for chroma that was averaged over cells.
    Its heavy part runs at the network's size, as in the fast guided filter (He and Sun 2015). In each window

        slope = cov(L, ab) / var(L) * r^4,      r the correlation of L and ab,

    and with M the bilinear interpolation of values sharpened so that the means over cells stay what they were,

        ab = M(ab_low) + slope * (L - M(L_low)).

    The plain guided filter smooths (its b is a mean over windows) and believes every slope: on photos it is worse
    than bilinear. r^4 leaves an edge that L and ab share as it is, and texture of L that has no color nearly out.
    At 4 times the network's size M alone makes most of the gain; slope adds more the stronger the edges and the
    larger the photo.
    A network's ab is not always chroma that was averaged: `_restore` looks whether it is before it sharpens, and
    takes out the lattice of transposed convolutions and pixel shuffles, which sharpening would bring up.
    Where the photo has twice the network's resolution and more, L guides at half of the photo's: photographs hold
    hardly any chroma above that (JPEG stores it at half resolution), and it costs a quarter.
    "bilinear" is plain bilinear interpolation, for comparison. Both average (antialiased) along an axis on which the
    photo is smaller than the network's map.
    """

    def __init__(self, ab: Tensor, L: Tensor, L_low: Tensor | None = None, mode: str = "edge-aware"):
        """Take the maps of a batch and do the work at low resolution.

        ab: (B, 2, h, w), the network's chrominance, CIELAB units.
        L: (B, 1, H, W), the photo's lightness, [0, 100]; kept, not copied.
        L_low: (B, 1, h, w), `L` at the network's size; None averages `L`.
        Raises ValueError for an unknown mode and for shapes that do not belong together.
        """
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}; choose from {', '.join(MODES)}")
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
            maps = F.interpolate(maps, size=low, mode="bilinear", antialias=True)
        scale = self.height / low[0], self.width / low[1]  # photo pixels per pixel of the maps, at least 1
        self.steps = tuple(2 if edge_aware and factor >= 2 else 1 for factor in scale)  # photo pixels per guide pixel
        step_y, step_x = self.steps
        slope = _slope(maps[:, :1], maps[:, 1:]) if max(self.steps) > 1 else None
        if edge_aware:
            for dim, factor, step in zip((-2, -1), scale, self.steps):
                maps = _restore(maps, dim, min(2 * (factor / step - 1), 1.0))
        # Columns are interpolated here, once, rows in `rows`: (B, 2, h, w of the guide), or (B, 5, ...): ab, L, slope.
        maps = maps[:, 1:] if slope is None else torch.cat([maps[:, 1:], maps[:, :1], slope], dim=1)
        self.maps = _interpolate(maps, -1, 0, -(-self.width // step_x), step_x / scale[1])
        self.pitch = step_y / scale[0]

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of the result: (B, 2, stop - start, W), CIELAB units."""
        if not 0 <= start < stop <= self.height:
            raise ValueError(f"rows must be within 0..{self.height}, got {start}..{stop}")
        step_y, step_x = self.steps
        # Guide rows, with those beyond the band that the sharpening and the last interpolation look at: one each.
        margin = 2 if step_y > 1 else 0
        top = max(start // step_y - margin, 0)
        bottom = min(-(-stop // step_y) + margin, -(-self.height // step_y))
        maps = _interpolate(self.maps, -2, top, bottom, self.pitch)
        ab = maps[:, :2]
        if maps.shape[1] == 5:
            guide = self.L[..., top * step_y : bottom * step_y, :]
            for dim, step in ((-2, step_y), (-1, step_x)):
                if step > 1:
                    guide = _halve(guide, dim)
            ab = torch.addcmul(ab, maps[:, 3:], guide - maps[:, 2:3])
            for dim, step in ((-2, step_y), (-1, step_x)):
                if step > 1:
                    ab = _sharpen(ab, dim, 1.0, steps=1)  # more gains nothing
            ab = F.interpolate(ab, size=(ab.shape[-2] * step_y, ab.shape[-1] * step_x), mode="bilinear")
        return ab[..., start - top * step_y : stop - top * step_y, : self.width]


def upsample(ab: Tensor, L: Tensor, L_low: Tensor | None = None, mode: str = "edge-aware") -> Tensor:
    """ab (B, 2, h, w) -> (B, 2, H, W), the size of L (B, 1, H, W), in one piece. See ChromaUpsampler."""
    return ChromaUpsampler(ab, L, L_low, mode).rows(0, L.shape[-2])


def _slope(L: Tensor, ab: Tensor) -> Tensor:
    """Change of ab with L around each pixel, as far as they correlate: (B, 1, h, w), (B, 2, h, w) -> (B, 2, h, w)."""
    both = torch.cat([L, ab], dim=1)
    both = both - both.mean(dim=(-2, -1), keepdim=True)  # variances from smaller numbers, for float32
    L, ab = both[:, :1], both[:, 1:]
    mean_L, mean_ab, mean_LL, mean_abab, mean_Lab = _window_mean(
        torch.cat([both, L * L, ab * ab, L * ab], dim=1)
    ).split((1, 2, 1, 2, 2), dim=1)
    var_L = (mean_LL - mean_L * mean_L).clamp_min(0) + NOISE
    var_ab = (mean_abab - mean_ab * mean_ab).clamp_min(0) + NOISE
    cov = mean_Lab - mean_L * mean_ab
    return _window_mean(cov / var_L * (cov * cov / (var_L * var_ab)) ** 2)


def _window_mean(x: Tensor) -> Tensor:
    """Means of 3 x 3 windows, edges repeated."""
    for dim in (-2, -1):
        x = (x + _neighbors(x, dim)) / 3
    return x


def _restore(maps: Tensor, dim: int, strength: float) -> Tensor:
    """L and ab (B, 3, h, w) sharpened along `dim` as far as ab is what a photograph's chroma is after averaging.

    What tells is how neighboring differences d of ab along `dim` go together over the whole map,

        r = sum(d[i] d[i+1]) / sum(d[i]^2):

    over chroma of photographs -0.3 to 0.5. A lattice of period 2, up and down at every pixel, has -1; a map that
    a decoder made by interpolation comes near 1 and is as sharp as it was meant to be.
    """
    d = maps[:, 1:].diff(dim=dim)
    pairs = d.shape[dim] - 1
    if pairs < 1:
        return _sharpen(maps, dim, strength)
    before, after = d.narrow(dim, 0, pairs), d.narrow(dim, 1, pairs)
    together = (before * after).mean(dim=(1, 2, 3), keepdim=True)
    energy = (before.square() + after.square()).mean(dim=(1, 2, 3), keepdim=True) / 2
    r = together / (energy + FAINT)
    lattice, averaged = _ramp(r, *LATTICE), _ramp(r, *SMOOTH)
    smooth = maps
    for _ in range(2):  # (1, 4, 6, 4, 1) / 16
        smooth = (2 * smooth + _neighbors(smooth, dim)) / 4
    sharp = torch.lerp(maps, _sharpen(maps, dim, strength), averaged)
    return torch.lerp(sharp, smooth, lattice)


def _ramp(x: Tensor, zero: float, one: float) -> Tensor:
    """0 at `zero` and beyond, 1 at `one` and beyond, straight between."""
    return ((x - zero) / (one - zero)).clamp(0, 1)


def _sharpen(x: Tensor, dim: int, strength: float, steps: int = SHARPENINGS) -> Tensor:
    """Values that, interpolated linearly along `dim`, have the means of x over its cells.

    The mean over a cell of the lines between values is (1/8, 3/4, 1/8) of them; the inverse is its Neumann series.
    strength: 1 for cells of 1.5 pixels and more, down to 0 for cells of one, whose mean is the value itself.
    """
    side = strength / 8
    sharp = x
    for _ in range(steps):
        sharp = torch.sub(x, torch.sub(_neighbors(sharp, dim), sharp, alpha=2), alpha=side)
    return sharp


def _neighbors(x: Tensor, dim: int) -> Tensor:
    """Sum of the values before and after each along `dim`, edges repeated."""
    padded = torch.cat([x.narrow(dim, 0, 1), x, x.narrow(dim, -1, 1)], dim)
    return padded.narrow(dim, 0, x.shape[dim]) + padded.narrow(dim, 2, x.shape[dim])


def _halve(x: Tensor, dim: int) -> Tensor:
    """Means of neighbors along `dim`; a last one without a neighbor stays as it is."""
    pairs, odd = divmod(x.shape[dim], 2)
    index = [slice(None)] * x.ndim
    index[dim] = slice(0, 2 * pairs, 2)
    even = x[tuple(index)]
    index[dim] = slice(1, 2 * pairs, 2)
    means = (even + x[tuple(index)]) / 2
    return torch.cat([means, x.narrow(dim, -1, 1)], dim) if odd else means


def _interpolate(x: Tensor, dim: int, start: int, stop: int, pitch: float) -> Tensor:
    """Linear interpolation: outputs start..stop along `dim`, `pitch` of x's pixels apart, cell centers aligned."""
    last = x.shape[dim] - 1
    at = ((torch.arange(start, stop, dtype=torch.float64) + 0.5) * pitch - 0.5).clamp(0, last)  # MPS has no float64
    below = at.floor().long()
    weight = (at - below).to(x.device, x.dtype).view(-1, *[1] * (-dim - 1))
    below = below.to(x.device)
    return torch.lerp(x.index_select(dim, below), x.index_select(dim, (below + 1).clamp_max(last)), weight)


def fit_gamut(lab: Tensor) -> Tensor:
    """Lab (B, 3, H, W), L in [0, 100] -> sRGB (B, 3, H, W) in [0, 1], giving up chroma, not lightness or hue.

    A network may ask for colors that sRGB does not have at that lightness, most of all near black and
    white. Clipping each channel would change the lightness of the photograph, so ab is scaled toward
    gray, pixel by pixel: with x the chroma over the largest that sRGB has at this lightness and hue,

        x                                                     up to KNEE: left alone
        KNEE + (1 - KNEE) (1 - exp(-(x - KNEE) / (1 - KNEE))) above: the same slope at the knee, never beyond 1

    so that what was different stays different, where a hard clip would leave flat patches with an outline.
    """
    pixels = lab.movedim(1, 0).flatten(1)  # (3, B * H * W)
    linear = color.lab_to_linear(pixels[..., None])[..., 0]
    index = near_gamut_edge(pixels, linear)
    linear[:, index] = soften(pixels[:, index])
    shape = 3, len(lab), *lab.shape[2:]
    return color.linear_to_srgb(linear.clamp_(0, 1)).clamp_(0, 1).view(shape).movedim(0, 1)


def near_gamut_edge(lab: Tensor, linear: Tensor) -> Tensor:
    """Which pixels of Lab (3, n), and the same in linear RGB, `soften` might change: their indices, of at most n.

    Nearly all pixels of a photo are far inside. Going 1 / KNEE further out in Lab moves a linear channel away from the
    gray of its lightness, Y, by less than REACH times: what stays inside then needs no closer look. That is
    (1 - 1 / REACH) Y <= channel <= (1 - 1 / REACH) Y + 1 / REACH.
    """
    middle = (1 - 1 / REACH) * color.L_to_Y(lab[:1]) + 0.5 / REACH
    return ((linear - middle).abs_().amax(dim=0) > 0.5 / REACH).nonzero()[:, 0]


def soften(lab: Tensor) -> Tensor:
    """The compression of `fit_gamut` on pixels (3, n) -> linear RGB (3, n); scales up to 1 / KNEE are bisected."""
    todo = (~_in_gamut(_scale_ab(lab, 1 / KNEE))).nonzero()[:, 0]
    pixels = lab[:, todo]
    fit = _in_gamut(pixels)
    inside, beyond = fit.to(lab.dtype), torch.where(fit, 1 / KNEE, 1.0).to(lab.dtype)
    for _ in range(BISECTIONS):
        middle = (inside + beyond) / 2
        fit = _in_gamut(_scale_ab(pixels, middle))
        inside, beyond = torch.where(fit, middle, inside), torch.where(fit, beyond, middle)
    x = 1 / inside.clamp_min(1e-6)  # none is inside where L is that of black or white
    softened = lab.clone()
    softened[:, todo] = _scale_ab(pixels, inside * (KNEE - (1 - KNEE) * torch.expm1((KNEE - x) / (1 - KNEE))))
    return color.lab_to_linear(softened[..., None])[..., 0]


def _in_gamut(lab: Tensor) -> Tensor:
    linear = color.lab_to_linear(lab[..., None])[..., 0]
    return (linear - 0.5).abs_().amax(dim=0) <= 0.5


def _scale_ab(lab: Tensor, scale: Tensor | float) -> Tensor:
    return torch.cat([lab[:1], lab[1:] * scale])
