"""sRGB <-> CIE Lab under D65, for batched tensors: the only place of these constants.

Everything here works on tensors of shape (..., 3, H, W) or (..., 1, H, W), in the tensor's floating
type and on its device, and is differentiable in both directions with finite gradients everywhere,
including black and the edge of the gamut. Units:

    sRGB          gamma-encoded, [0, 1]
    linear RGB    after the inverse transfer curve, [0, 1]
    Lab           CIELAB: L in [0, 100]; for sRGB colors a is in -86..98 and b in -108..95

Each curve here is a straight line below a threshold and curved above it. It is written as the curved part of
max(x, threshold) plus the line of x - max(x, threshold): no `where`, whose unused branch costs time and gives NaN
gradients.

Sources: IEC 61966-2-1 (transfer curve, primaries), CIE 15:2004 (Lab). Matrix and white point are
the six-digit ones that scikit-image uses, so that published Lab values compare digit for digit.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from chromagan.imaging.compiled import compiled

RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
D65_WHITE = (0.95047, 1.0, 1.08883)  # XYZ of the 2-degree observer, Y = 1

DELTA = 6 / 29  # CIE's f is a cube root above DELTA**3 and a straight line below

L_RANGE = 100.0
AB_RANGE = 110.0  # |a|, |b| <= 108 in sRGB, so ab / 110 fits in [-1, 1] (Zhang et al. 2016)


def normalize_L(L: Tensor) -> Tensor:
    """L in [0, 100] -> [-1, 1], the networks' input."""
    return L * (2 / L_RANGE) - 1


def denormalize_L(L_norm: Tensor) -> Tensor:
    """[-1, 1] -> L in [0, 100]."""
    return (L_norm + 1) * (L_RANGE / 2)


def normalize_ab(ab: Tensor) -> Tensor:
    """ab in CIELAB units -> [-1, 1], the networks' output."""
    return ab / AB_RANGE


def denormalize_ab(ab_norm: Tensor) -> Tensor:
    """[-1, 1] -> ab in CIELAB units."""
    return ab_norm * AB_RANGE


def to_tensor(image: np.ndarray) -> Tensor:
    """8-bit sRGB (H, W, 3) -> float32 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)[None].float() / 255


def to_uint8(srgb: Tensor) -> Tensor:
    """sRGB in [0, 1], any shape -> the nearest 8-bit values, uint8."""
    return (255 * srgb).round().to(torch.uint8)


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Inverse transfer curve. Values below 0 follow the straight part, values above 1 the curve."""
    bent = srgb.clamp_min(0.04045)
    return _power((bent + 0.055) / 1.055, 2.4) + (srgb - bent) / 12.92


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Transfer curve. Values below 0 follow the straight part, values above 1 the curve."""
    bent = linear.clamp_min(0.0031308)
    return 1.055 * _power(bent, 1 / 2.4) - 0.055 + 12.92 * (linear - bent)


@functools.cache
def srgb8_table() -> Tensor:
    """8-bit sRGB for 65,536 linear values from 0 to 1: a lookup takes a third of the time of the curve.

    They are 1/20 of a step apart where the curve is steepest: equal to rounding `linear_to_srgb`, except within 1/30 of
    an 8-bit step of the midpoint between two steps.
    """
    return to_uint8(linear_to_srgb(torch.arange(1 << 16, dtype=torch.float32, device="cpu") / ((1 << 16) - 1)))


def srgb_to_lab(srgb: Tensor) -> Tensor:
    """sRGB (..., 3, H, W) in [0, 1] -> Lab (..., 3, H, W)."""
    _require_channels(srgb, 3, "sRGB")
    xyz = _mix_channels(srgb_to_linear(srgb), RGB_TO_XYZ)
    fx, fy, fz = _f(xyz / _column(D65_WHITE, xyz)).unbind(dim=-3)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def srgb_to_L(srgb: Tensor) -> Tensor:
    """sRGB (..., 3, H, W) in [0, 1] -> L (..., 1, H, W), the first channel of `srgb_to_lab` alone."""
    _require_channels(srgb, 3, "sRGB")
    r, g, b = srgb_to_linear(srgb).unbind(dim=-3)
    y = RGB_TO_XYZ[1][0] * r + RGB_TO_XYZ[1][1] * g + RGB_TO_XYZ[1][2] * b
    return Y_to_L(y).unsqueeze(-3)


def gray_to_L(gray: Tensor) -> Tensor:
    """The sRGB value of a gray, any shape, in [0, 1] -> its L in [0, 100]; the inverse of `L_to_gray`."""
    return Y_to_L(srgb_to_linear(gray))


def srgb8_to_L(pixels: np.ndarray, out: np.ndarray) -> None:
    """8-bit sRGB (H, W, 3), as images are stored -> L (H, W) in float32, within 1e-4 of `srgb_to_L`."""
    _srgb8_to_L(pixels, _luminance_table(), out)


@compiled
def _srgb8_to_L(pixels, table, out):
    width = out.shape[1]
    Y, root = np.empty(width, np.float32), np.empty(width, np.float32)
    Y_bits, root_bits = Y.view(np.int32), root.view(np.int32)
    for y in range(out.shape[0]):
        for x in range(width):
            Y[x] = table[0, pixels[y, x, 0]] + table[1, pixels[y, x, 1]] + table[2, pixels[y, x, 2]]
        # Cube roots in vector instructions: a third of the exponent, within 4 %, then two Halley steps.
        for x in range(width):
            root_bits[x] = np.int32(np.float32(Y_bits[x]) * np.float32(1 / 3)) + np.int32(0x2A5119F2)
        for x in range(width):
            f = root[x]
            for _ in range(2):
                cube = f * f * f
                f *= (cube + Y[x] + Y[x]) / (cube + cube + Y[x])
            line = Y[x] * np.float32(116 / (3 * DELTA**2))
            out[y, x] = np.float32(116) * f - np.float32(16) if Y[x] > np.float32(DELTA**3) else line


@functools.cache
def _luminance_table() -> np.ndarray:
    """The contribution of each 8-bit value of a channel to luminance: (3, 256)."""
    linear = srgb_to_linear(torch.arange(256, dtype=torch.float64, device="cpu") / 255)
    return (linear.new_tensor(RGB_TO_XYZ[1])[:, None] * linear).float().numpy()


def lab_to_srgb(lab: Tensor) -> Tensor:
    """Lab (..., 3, H, W) -> sRGB (..., 3, H, W), not clipped: outside [0, 1] is outside the gamut."""
    return linear_to_srgb(lab_to_linear(lab))


def lab_to_linear(lab: Tensor) -> Tensor:
    """Lab (..., 3, H, W) -> linear RGB (..., 3, H, W), not clipped."""
    _require_channels(lab, 3, "Lab")
    L, a, b = lab.unbind(dim=-3)
    fy = (L + 16) / 116
    xyz = _f_inverse(torch.stack((fy + a / 500, fy, fy - b / 200), dim=-3))
    return _mix_channels(xyz, WHITE_XYZ_TO_RGB)


def L_to_Y(L: Tensor) -> Tensor:
    """L in [0, 100], any shape -> luminance Y in [0, 1]: the value of every linear channel of that gray."""
    return _f_inverse((L + 16) / 116)


def L_to_gray(L: Tensor) -> Tensor:
    """L (..., 1, H, W) in [0, 100] -> the sRGB value in [0, 1] of the gray of that lightness.

    The sRGB gray (v, v, v) has this L: it is the gray photograph to show to a pretrained classifier,
    whereas a linearly rescaled L would be too bright in the shadows.
    """
    return linear_to_srgb(L_to_Y(L)).clamp(0, 1)


def Y_to_L(y: Tensor) -> Tensor:
    return 116 * _f(y / D65_WHITE[1]) - 16


def _f(t: Tensor) -> Tensor:
    """CIE's f of X/Xn: cube root, linear near black, where the root's slope is infinite."""
    bent = t.clamp_min(DELTA**3)
    return _power(bent, 1 / 3) + (t - bent) / (3 * DELTA**2)


def _f_inverse(f: Tensor) -> Tensor:
    """The inverse of `_f`. Without gradients, f is overwritten, which takes half of the time."""
    bent = f.clamp_min(DELTA)
    if f.requires_grad:
        return torch.addcmul((f - bent) * (3 * DELTA**2), bent * bent, bent)
    line = f.sub_(bent).mul_(3 * DELTA**2)
    return line.addcmul_(bent * bent, bent)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for x > 0, in a fifth of the time of `pow` with a non-integer exponent."""
    return (x.log() * exponent).exp()


def _mix_channels(image: Tensor, matrix) -> Tensor:
    """Apply a 3x3 matrix to the channel axis of (..., 3, H, W)."""
    matrix = torch.tensor(matrix, dtype=image.dtype, device=image.device)
    return (matrix @ image.flatten(-2)).view(image.shape)


def _column(values, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1)


def _require_channels(image: Tensor, channels: int, name: str) -> None:
    if image.ndim < 3 or image.shape[-3] != channels or not image.is_floating_point():
        raise ValueError(
            f"{name} must be a floating-point tensor (..., {channels}, H, W), "
            f"got {image.dtype} of shape {tuple(image.shape)}"
        )


# For XYZ relative to the white point, as returned by the inverse of f.
WHITE_XYZ_TO_RGB = (
    torch.linalg.inv(torch.tensor(RGB_TO_XYZ, dtype=torch.float64, device="cpu"))
    * torch.tensor(D65_WHITE, dtype=torch.float64, device="cpu")
).tolist()
