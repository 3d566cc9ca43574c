"""The three terms of ChromaGAN's objective, in the units for which its weights are defined.

    generator:  L_e + 0.1 L_g + 0.003 L_s        (Vitoria et al. 2020, eq. 1)
    critic:     Wasserstein loss + 10 gradient penalty

Those weights hold for L and ab scaled to [0, 1] ("loss units": 8-bit Lab over 255), for scores averaged
over patches, and for a penalty on the gradient of the *sum* of an image's patch scores. Networks
work in [-1, 1]; only `loss_units` converts between the two.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from chromagan.imaging import color
from chromagan.network.critic import Critic

GRAY = 128 / 255  # a and b of gray, in loss units
# L_e per unit of color difference. With it, the gradient of a difference equals that of the squared error at 13 Lab
# units, the mean distance of colors, so that the paper's weights of the other terms apply.
LOSS_PER_DIFFERENCE = 4e-4
# What L_e can be, and to which power it scales with a pivot.
COLOR_LOSSES = {"difference": 1 / 3, "squared": 1 / 2}


def loss_units(L: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """L and ab as the networks hold them, in [-1, 1] -> 8-bit Lab over 255, in [0, 1]."""
    return (L + 1) / 2, color.denormalize_ab(ab) / 255 + GRAY


def color_loss(ab_pred: Tensor, ab: Tensor, kind: str = "squared", pivot: float = 0.0) -> Tensor:
    """L_e, the error of ab (B, 2, H, W), both in loss units: their mean squared error (eq. 2), or their mean
    `color_difference` in the squared error's units.

    kind: one of COLOR_LOSSES. Against several plausible colors a squared error is least at their mean, which a few
    vivid ones pull away from gray; a difference at their median, which follows the majority.
    pivot: a chroma in Lab units; 0 is the paper's loss. With a pivot the prediction is scaled before it is compared, so
    that the color at which the loss is least keeps its hue, and its chroma is raised to about the power 2 (squared) or
    1.5 (difference): unchanged at the pivot, more vivid above it, where the network is sure of a color, nearer to gray
    below it, where it is not. CIEDE2000 penalizes errors of vivid colors less than those of gray ones, so this costs
    less of it than scaling all colors equally.
    """
    ab_pred, ab = 255 * (ab_pred - GRAY), 255 * (ab - GRAY)
    if pivot:
        ab_pred = ab_pred * ((pivot + 2) / (chroma(*ab_pred.split(1, dim=1)) + 2)) ** COLOR_LOSSES[kind]
    if kind == "squared":
        return F.mse_loss(ab_pred, ab) / 255**2
    return LOSS_PER_DIFFERENCE * color_difference(ab_pred, ab).mean()


def color_difference(ab_1: Tensor, ab_2: Tensor, dim: int = 1) -> Tensor:
    """Approximate CIEDE2000 of two colors of equal lightness, from ab in CIELAB units along `dim`, 8 times as fast.

    CIEDE2000 (with the symbols of metrics.ciede2000) without the terms that need angles: T, which weights hues, is 1,
    and R_T, which rotates blues, is 0. Differentiable everywhere.
    """
    a1, b1 = ab_1.unbind(dim)
    a2, b2 = ab_2.unbind(dim)
    mean_C = (chroma(a1, b1) + chroma(a2, b2)) / 50
    cube = mean_C * mean_C * mean_C  # pow takes as long as everything else
    mean_C_7 = cube * cube * mean_C
    stretch = 1.5 - 0.5 * (mean_C_7 / (mean_C_7 + 1) + 1e-6).sqrt()  # 1 + G
    a1, a2 = stretch * a1, stretch * a2
    C1, C2 = chroma(a1, b1), chroma(a2, b2)
    mean_C = (C1 + C2) / 2
    dC = C2 - C1
    dH_2 = ((a1 - a2).square() + (b1 - b2).square() - dC.square()).clamp_min(0)
    return ((dC / (1 + 0.045 * mean_C)).square() + dH_2 / (1 + 0.015 * mean_C).square() + 1e-6).sqrt()


def chroma(a: Tensor, b: Tensor) -> Tensor:
    """Chroma of a and b in CIELAB units, or from differences the distance of two colors; differentiable at gray."""
    return (a * a + b * b + 1e-4).sqrt()


def wasserstein_loss(fake_scores: Tensor, real_scores: Tensor) -> Tensor:
    """The critic's loss: mean score of predicted colors minus that of true ones (eq. 4)."""
    return fake_scores.mean() - real_scores.mean()


def adversarial_loss(fake_scores: Tensor) -> Tensor:
    """L_g, the generator's adversarial loss: the negated mean score of its colors."""
    return -fake_scores.mean()


def class_loss(class_logits: Tensor, class_target: Tensor) -> Tensor:
    """L_s: KL(class_target || softmax(class_logits)), summed over classes, averaged over images (eq. 3).

    class_logits: (B, K), before the softmax; class_target: (B, K), the teacher's probabilities.
    """
    return F.kl_div(class_logits.log_softmax(dim=1), class_target, reduction="batchmean")


def gradient_penalty(critic: Critic, L: Tensor, ab: Tensor, ab_pred: Tensor, mix: Tensor) -> Tensor:
    """Mean over images of (||gradient|| - 1)^2 on random mixtures (Gulrajani et al. 2017, eq. 3).

    The gradient is that of the *sum* of one image's patch scores with respect to the mixed ab, and its norm
    runs over both channels and all pixels. Averaging the patches instead would make the adversarial
    term about 784 times (28 x 28) stronger; other units of ab would also change it.

    L (B, 1, H, W), ab and ab_pred (B, 2, H, W): loss units, detached.
    mix: (B, 1, 1, 1), uniform in [0, 1], the share of the true ab. L is the same for both.
    The norm is taken in float32 even where the critic's convolutions run in bfloat16.
    """
    gradient = critic.ab_gradient(L, mix * ab + (1 - mix) * ab_pred)
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
