"""The rewards of an agent that refines colors, at each pixel and for each of its actions.

The outcome of every action is known beforehand, and so is the true photo: rewards are computed for all actions, not
only for the one taken.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromagan.imaging import color
from chromagan.network.folding import fold
from chromagan.network.losses import chroma, color_difference
from chromagan.network.refiner import Refiner, double
from chromagan.network.trunk import Trunk


class Rewards:
    """The rewards for one batch of photos, whose true colors stay the same over a rollout."""

    def __init__(self, refiner: Refiner, truth: Tensor, weights: Tensor, consistency: float, squared: float):
        """truth: ab (B, 2, h, w) in [-1, 1], at the refiner's size. weights: from `Refiner.bilateral_weights`.

        consistency: weight of local consistency. squared: weight of the squared color difference.
        """
        self.refiner, self.weights, self.consistency, self.squared = refiner, weights, consistency, squared
        self.truth = color.denormalize_ab(truth)
        self.true_contrast = self.truth - refiner.mean_of_neighbors(self.truth, weights)

    def utility(
        self, ab: Tensor, truth: Tensor, multiplier: float | Tensor, dim: int, slope: Tensor | None = None
    ) -> Tensor:
        """The utility of colors, without regard to their neighbors; ab and truth in Lab units along `dim`.

        slope: the weighted gradient from `FeatureDistance.slope`, in the shape of ab.
        """
        error = color_difference(ab, truth, dim)
        utility = multiplier * chroma(*ab.unbind(dim)) - error - self.squared * error.square()
        return utility if slope is None else utility - (slope * ab).sum(dim)

    def __call__(self, outcomes: Tensor, multiplier: float | Tensor, slope: Tensor | None = None) -> Tensor:
        """The reward of each action, in units of CIEDE2000, (B, len(ACTIONS), h, w): its gain in utility over leaving
        the pixel as it is.

        outcomes: from `Refiner.apply_each_action`, (B, len(ACTIONS), 2, h, w). multiplier: the reward for a Lab unit of
        chroma, the Lagrange multiplier of `RefinerLoss`: without it, gray would be the safest answer to every doubt.
        slope: (B, 2, h, w), see `utility`.
        """
        outcomes = color.denormalize_ab(outcomes)
        utility = self.utility(outcomes, self.truth[:, None], multiplier, 2, None if slope is None else slope[:, None])
        if self.consistency:
            # The contrast of a pixel to neighbors of like lightness, compared with the contrast in the true photo.
            # Spots and blotches are penalized, edges of L are not. The neighbors' colors are those before the step.
            mean = self.refiner.mean_of_neighbors(outcomes[:, 0], self.weights)
            contrast = outcomes - mean[:, None] - self.true_contrast[:, None]
            utility = utility - self.consistency * contrast.square().sum(dim=2).sqrt()
        return utility - utility[:, :1]


class FeatureDistance(nn.Module):
    """The distance of a coloring to the true photo in features of a network pretrained on ImageNet: squared differences
    of unit-length features, averaged over positions and summed over stages, as in LPIPS (Zhang et al. 2018, equation 1)
    but without its weights, which were learned for other kinds of distortion."""

    STAGES = (1, 2)  # of strides 4 and 8: local structure rather than the photo's subject

    def __init__(self, trunk: Trunk):
        """trunk: with STAGES. Here it sees colors, as in its own training."""
        super().__init__()
        self.trunk = fold(trunk).requires_grad_(False)

    @classmethod
    def from_imagenet(cls, timm_name: str) -> "FeatureDistance":
        """With the network `timm_name`; PretrainedWeightsError if its weights are unavailable."""
        trunk = Trunk(timm_name, cls.STAGES)
        trunk.load_imagenet(timm_name)
        return cls(trunk)

    def features(self, L: Tensor, ab: Tensor) -> list[Tensor]:
        """Features of unit length at every position, (B, C, ., .); L (B, 1, H, W) and ab (B, 2, H, W) in [-1, 1]."""
        srgb = color.lab_to_srgb(torch.cat([color.denormalize_L(L), color.denormalize_ab(ab)], dim=1)).clamp(0, 1)
        gray = self.trunk.gray
        return [F.normalize(stage, dim=1) for stage in self.trunk.net((srgb - gray.mean) / gray.std)]

    def forward(self, L: Tensor, ab: Tensor, true_features: list[Tensor]) -> Tensor:
        """The distance of each photo, (B,), from 0 to 4 for each stage."""
        found = self.features(L, ab)
        miss = [(one - other).square().sum(dim=1).mean(dim=(1, 2)) for one, other in zip(found, true_features)]
        return torch.stack(miss).sum(dim=0)

    def slope(self, L: Tensor, ab: Tensor, true_features: list[Tensor]) -> Tensor:
        """The gradient of the distance with respect to ab, (B, 2, h, w). To first order, a change of ab in Lab units
        changes the distance by the mean over a photo's pixels of slope times change, summed over a and b.

        ab: (B, 2, h, w) in [-1, 1], at the refiner's size. L: at the network's size.
        """
        with torch.enable_grad():
            ab = ab.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(L, double(ab), true_features).sum(), ab)
        return gradient * (ab.shape[-2] * ab.shape[-1] / color.AB_RANGE)
