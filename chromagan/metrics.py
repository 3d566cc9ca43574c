"""Measures of colorization, batched over images: how far from the truth, and how colorful.

All take sRGB (B, 3, H, W) in [0, 1], rounded to 8 bits by the caller where 8-bit output is measured, and
return one number per image, (B,). PSNR rewards gray: it is never to be shown without colorfulness.
"""

import math

import torch
from torch import Tensor

from chromagan import color


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal images."""
    return -10 * (image - truth).square().flatten(1).mean(dim=1).log10()


def colorfulness(image: Tensor) -> Tensor:
    """Hasler and Süsstrunk 2003, M3, on 8-bit sRGB values: 0 for gray, about 37.7 for Imagenette."""
    r, g, b = (255 * image).flatten(2).unbind(dim=1)  # (B, P) each
    opponents = torch.stack([r - g, (r + g) / 2 - b])  # red-green, yellow-blue
    deviation = opponents.std(dim=2, correction=0).square().sum(dim=0).sqrt()
    return deviation + 0.3 * opponents.mean(dim=2).square().sum(dim=0).sqrt()


def mean_chroma(image: Tensor) -> Tensor:
    """Mean CIELAB chroma, sqrt(a^2 + b^2). Below GRAY_CHROMA an image counts as gray."""
    return color.srgb_to_lab(image)[:, 1:].square().sum(dim=1).sqrt().flatten(1).mean(dim=1)


GRAY_CHROMA = 2.0


def ciede2000(lab_1: Tensor, lab_2: Tensor) -> Tensor:
    """Color difference of Lab images (B, 3, H, W), per pixel (B, H, W); kL = kC = kH = 1.

    CIE 142-2001, in the form of Sharma, Wu and Dalal 2005, whose equation numbers stand at the right.
    """
    L1, a1, b1 = lab_1.unbind(dim=1)
    L2, a2, b2 = lab_2.unbind(dim=1)
    mean_C_7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7  # (2), (3)
    G = 0.5 * (1 - (mean_C_7 / (mean_C_7 + 25**7)).sqrt())  # (4)
    a1, a2 = (1 + G) * a1, (1 + G) * a2  # (5)
    C1, C2 = torch.hypot(a1, b1), torch.hypot(a2, b2)  # (6)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)  # (7)

    colored = C1 * C2 != 0  # hue means nothing where either is gray
    dh = h2 - h1
    dh = torch.where(dh.abs() > math.pi, dh - dh.sign() * 2 * math.pi, dh)
    dh = torch.where(colored, dh, 0)  # (10)
    dH = 2 * (C1 * C2).sqrt() * torch.sin(dh / 2)  # (11)

    mean_L, mean_C = (L1 + L2) / 2, (C1 + C2) / 2  # (12), (13)
    total_h = h1 + h2
    turned = torch.where(total_h < 2 * math.pi, total_h + 2 * math.pi, total_h - 2 * math.pi)
    mean_h = torch.where((h1 - h2).abs() > math.pi, turned, total_h) / 2
    mean_h = torch.where(colored, mean_h, total_h)  # (14)

    T = (
        1
        - 0.17 * torch.cos(mean_h - math.radians(30))
        + 0.24 * torch.cos(2 * mean_h)
        + 0.32 * torch.cos(3 * mean_h + math.radians(6))
        - 0.20 * torch.cos(4 * mean_h - math.radians(63))
    )  # (15)
    turn = math.radians(30) * torch.exp(-(((torch.rad2deg(mean_h) - 275) / 25) ** 2))  # (16)
    R_C = 2 * (mean_C**7 / (mean_C**7 + 25**7)).sqrt()  # (17)
    S_L = 1 + 0.015 * (mean_L - 50) ** 2 / (20 + (mean_L - 50) ** 2).sqrt()  # (18)
    S_C = 1 + 0.045 * mean_C  # (19)
    S_H = 1 + 0.015 * mean_C * T  # (20)
    R_T = -torch.sin(2 * turn) * R_C  # (21)

    L_term, C_term, H_term = (L2 - L1) / S_L, (C2 - C1) / S_C, dH / S_H
    squared = L_term**2 + C_term**2 + H_term**2 + R_T * C_term * H_term
    return squared.clamp_min(0).sqrt()  # (22); rounding can take a zero below zero
