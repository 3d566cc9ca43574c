"""Gamut mapping to sRGB: chroma is reduced, lightness and hue are kept."""

import numpy as np
import torch
from torch import Tensor

from chromagan.imaging import color
from chromagan.imaging.compiled import compiled

# Share of sRGB's maximum chroma at a lightness and hue up to which colors stay unchanged. At 0.9, photographs change
# by a mean CIEDE2000 of 0.01.
KNEE = 0.9
REACH = 1.3  # see near_gamut_edge; over random lightnesses and hues, what it misses is off by less than 0.5 / 255
BISECTIONS = 8  # of the largest scale of ab that fits: found within 1/256
MOST_CHROMA = 134  # the maximum of sRGB, that of blue. Larger values are first reduced to it

# For the compiled loops: float64 would take twice the time.
DELTA, SLOPE_BELOW = np.float32(color.DELTA), np.float32(3 * color.DELTA**2)
XYZ_TO_RGB = np.float32(color.WHITE_XYZ_TO_RGB)


def fit_gamut(lab: Tensor) -> Tensor:
    """Lab (B, 3, H, W), L in [0, 100] -> sRGB (B, 3, H, W) in [0, 1], reducing chroma, not lightness or hue.

    A network may predict colors that sRGB does not have at that lightness, mostly near black and white.
    Clipping each channel would change the lightness of the photograph, so ab is scaled toward gray, pixel
    by pixel: with x the ratio of the chroma to the maximum of sRGB at this lightness and hue,

        x                                                     up to KNEE: unchanged
        KNEE + (1 - KNEE) (1 - exp(-(x - KNEE) / (1 - KNEE))) above: the same slope at the knee, never beyond 1

    so that different colors stay different, whereas a hard clip would leave flat patches with an outline.
    """
    pixels = lab.movedim(1, 0).flatten(1)  # (3, B * H * W)
    linear = color.lab_to_linear(pixels[..., None])[..., 0]
    index = near_gamut_edge(pixels, linear)
    linear[:, index] = soften(pixels[:, index])
    shape = 3, len(lab), *lab.shape[2:]
    return color.linear_to_srgb(linear.clamp_(0, 1)).clamp_(0, 1).view(shape).movedim(0, 1)


def near_gamut_edge(lab: Tensor, linear: Tensor) -> Tensor:
    """Indices of the pixels of Lab (3, n), with the same in linear RGB, that `soften` might change.

    Nearly all pixels of a photo are far inside. Scaling ab by 1 / KNEE moves a linear channel away from the gray of its
    lightness, Y, by a factor of less than REACH: pixels that stay inside need no closer look. That is
    (1 - 1 / REACH) Y <= channel <= (1 - 1 / REACH) Y + 1 / REACH.
    """
    middle = (1 - 1 / REACH) * color.L_to_Y(lab[:1]) + 0.5 / REACH
    return ((linear - middle).abs_().amax(dim=0) > 0.5 / REACH).nonzero()[:, 0]


def soften(lab: Tensor) -> Tensor:
    """The compression of `fit_gamut` on pixels (3, n) -> linear RGB (3, n); scales up to 1 / KNEE are bisected."""
    todo = (~_in_gamut(_scale_ab(lab, 1 / KNEE))).nonzero()[:, 0]
    pixels = lab[:, todo]
    pixels = _scale_ab(pixels, (MOST_CHROMA / pixels[1:].norm(dim=0).clamp_min(1)).clamp_max(1))
    fit = _in_gamut(pixels)
    inside, beyond = fit.to(lab.dtype), torch.where(fit, 1 / KNEE, 1.0).to(lab.dtype)
    for _ in range(BISECTIONS):
        middle = (inside + beyond) / 2
        fit = _in_gamut(_scale_ab(pixels, middle))
        inside, beyond = torch.where(fit, middle, inside), torch.where(fit, beyond, middle)
    x = 1 / inside.clamp_min(1e-6)  # no scale is inside at the L of black or white
    softened = lab.clone()
    softened[:, todo] = _scale_ab(pixels, inside * (KNEE - (1 - KNEE) * torch.expm1((KNEE - x) / (1 - KNEE))))
    return color.lab_to_linear(softened[..., None])[..., 0]


def _in_gamut(lab: Tensor) -> Tensor:
    linear = color.lab_to_linear(lab[..., None])[..., 0]
    return (linear - 0.5).abs_().amax(dim=0) <= 0.5


def _scale_ab(lab: Tensor, scale: Tensor | float) -> Tensor:
    return torch.cat([lab[:1], lab[1:] * scale])


def lab_to_srgb8(L: np.ndarray, ab: np.ndarray, out: np.ndarray) -> None:
    """L (H, W) and ab (2, H, W) in float32 -> 8-bit sRGB (H, W, 3) in uint8: `fit_gamut`, rounded.

    NaN gives an arbitrary color, without an error.
    """
    _lab_to_srgb8(L, ab, color.srgb8_table().numpy(), out)


@compiled
def _lab_to_srgb8(L, ab, table, out):
    # Row by row, in simple loops: those that only compute become vector instructions. For that, the pixels to soften
    # are gathered first and scattered afterwards.
    height, width = L.shape
    far = np.float32(1 / KNEE)
    level, soft_level = np.empty((3, width), np.uint16), np.empty((3, width), np.uint16)
    beyond, where = np.empty(width, np.uint8), np.empty(width, np.int32)
    soft_L, soft_a, soft_b = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        _levels(width, L[y], ab[0, y], ab[1, y], level)
        for x in range(width):
            beyond[x] = not _fits(L[y, x], ab[0, y, x] * far, ab[1, y, x] * far)
        count = 0
        for x in range(width):
            where[count] = x
            count += beyond[x]
        for i in range(count):
            x = where[i]
            soft_L[i], soft_a[i], soft_b[i] = L[y, x], ab[0, y, x], ab[1, y, x]
        _soften(count, soft_L, soft_a, soft_b)
        _levels(count, soft_L, soft_a, soft_b, soft_level)
        for i in range(count):
            x = where[i]
            level[0, x], level[1, x], level[2, x] = soft_level[0, i], soft_level[1, i], soft_level[2, i]
        for x in range(width):
            for c in range(3):
                out[y, x, c] = table[level[c, x]]


@compiled
def _levels(count, L, a, b, out):
    """Indices into the table of 8-bit values for the first `count` pixels of L, a and b: out (3, n)."""
    for i in range(count):
        red, green, blue = _linear(L[i], a[i], b[i])
        out[0, i], out[1, i], out[2, i] = _level(red), _level(green), _level(blue)


@compiled
def _linear(L, a, b):
    """Lab -> linear RGB."""
    fy = (L + np.float32(16)) * np.float32(1 / 116)
    X, Y, Z = _cube(fy + a * np.float32(1 / 500)), _cube(fy), _cube(fy - b * np.float32(1 / 200))
    return (
        XYZ_TO_RGB[0, 0] * X + XYZ_TO_RGB[0, 1] * Y + XYZ_TO_RGB[0, 2] * Z,
        XYZ_TO_RGB[1, 0] * X + XYZ_TO_RGB[1, 1] * Y + XYZ_TO_RGB[1, 2] * Z,
        XYZ_TO_RGB[2, 0] * X + XYZ_TO_RGB[2, 1] * Y + XYZ_TO_RGB[2, 2] * Z,
    )


@compiled
def _cube(f):
    """The inverse of CIE's f: a cube, linear below DELTA."""
    bent = max(f, DELTA)
    return bent * bent * bent + (f - bent) * SLOPE_BELOW


@compiled
def _level(linear):
    return np.uint16(np.int32(min(max(linear, np.float32(0)), np.float32(1)) * np.float32(65535) + np.float32(0.5)))


@compiled
def _fits(L, a, b):
    red, green, blue = _linear(L, a, b)
    half = np.float32(0.5)
    return (abs(red - half) <= half) & (abs(green - half) <= half) & (abs(blue - half) <= half)


@compiled
def _soften(count, L, a, b):
    """`soften`, in place, of the first `count` pixels of L, a and b, all of which are beyond KNEE.

    Without branches and calls it becomes vector instructions, which bisect many pixels in a tenth of the time.
    """
    one, far, half = np.float32(1), np.float32(1 / KNEE), np.float32(0.5)
    knee, room, most = np.float32(KNEE), np.float32(1 - KNEE), np.float32(MOST_CHROMA)
    for i in range(count):
        within = min(most / max(np.sqrt(a[i] * a[i] + b[i] * b[i]), one), one)
        a[i] *= within
        b[i] *= within
        fits = _fits(L[i], a[i], b[i])
        inside, beyond = one if fits else np.float32(0), far if fits else one
        for _ in range(BISECTIONS):
            middle = half * (inside + beyond)
            fits = _fits(L[i], a[i] * middle, b[i] * middle)
            inside, beyond = middle if fits else inside, beyond if fits else middle
        x = one / max(inside, np.float32(1e-6))  # no scale is inside at the L of black or white
        u = min((x - knee) / room, np.float32(20)) / np.float32(128)
        decay = (one - u) / (one + u)
        for _ in range(6):  # to the 64th power: exp(-128 u) within 3e-5
            decay *= decay
        scale = inside * (knee + room * (one - decay))
        a[i] *= scale
        b[i] *= scale
