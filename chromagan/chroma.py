"""Chrominance at full resolution: bringing a small ab map up to the photo, and into the sRGB gamut."""

import torch
from torch import Tensor
from torch.nn import functional as F

from chromagan import color

BISECTIONS = 12  # the scale is then found within 1/4096: far below one 8-bit step


def upsample(ab: Tensor, size: tuple[int, int]) -> Tensor:
    """ab (B, 2, h, w) -> (B, 2, *size), bilinear, cell centers aligned."""
    return F.interpolate(ab, size=size, mode="bilinear", antialias=False)


def fit_gamut(lab: Tensor) -> Tensor:
    """Lab (B, 3, H, W) -> sRGB (B, 3, H, W) in [0, 1], giving up chroma and never lightness or hue.

    A network may ask for colors that sRGB does not have at that lightness, most of all near black and
    white. Clipping each channel would change the lightness of the photograph, so ab is scaled toward
    gray, by as little as brings the color in, pixel by pixel.
    """
    linear = color.lab_to_linear(lab)
    outside = ((linear < 0) | (linear > 1)).any(dim=1)  # (B, H, W)
    if outside.any():
        pixels = lab.movedim(1, -1)[outside].T[:, :, None]  # (3, n, 1): the pixels as an image
        inside, beyond = torch.zeros_like(pixels[:1]), torch.ones_like(pixels[:1])
        for _ in range(BISECTIONS):
            middle = (inside + beyond) / 2
            trial = color.lab_to_linear(_scale_ab(pixels, middle))
            fits = ((trial >= 0) & (trial <= 1)).all(dim=0, keepdim=True)
            inside, beyond = torch.where(fits, middle, inside), torch.where(fits, beyond, middle)
        fitted = color.lab_to_linear(_scale_ab(pixels, inside))
        linear.movedim(1, -1)[outside] = fitted[:, :, 0].T
    return color.linear_to_srgb(linear.clamp(0, 1)).clamp(0, 1)


def _scale_ab(lab: Tensor, scale: Tensor) -> Tensor:
    return torch.cat([lab[:1], lab[1:] * scale])
