"""What an agent that mends colors is rewarded for, at each pixel and for each of its actions.

All that it could do in a step is known beforehand, and so is the true photo: every reward is computed for every
action, not only for the one that is taken.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromagan.imaging import color
from chromagan.network.folding import fold
from chromagan.network.losses import color_difference, length
from chromagan.network.refiner import Refiner, double
from chromagan.network.trunk import Trunk


class Rewards:
    """Of one batch of photos, whose true colors do not change from step to step."""

    def __init__(self, refiner: Refiner, truth: Tensor, likeness: Tensor, consistency: float, large: float):
        """truth: ab (B, 2, h, w) in [-1, 1], at the refiner's size. likeness: of `Refiner.likeness`.

        consistency: weight of local consistency. large: of the square of the color difference, beside the difference.
        """
        self.refiner, self.likeness, self.consistency, self.large = refiner, likeness, consistency, large
        self.truth = color.denormalize_ab(truth)
        self.true_contrast = self.truth - refiner.mean_of_neighbors(self.truth, likeness)

    def worth(self, ab: Tensor, truth: Tensor, price: float | Tensor, dim: int, slope: Tensor | None = None) -> Tensor:
        """What colors are worth by themselves: of ab in Lab units along `dim`. slope: of `FeatureDistance.slope`, in
        the shape of ab, weighted."""
        error = color_difference(ab, truth, dim)
        worth = price * length(*ab.unbind(dim)) - error - self.large * error.square()
        return worth if slope is None else worth - (slope * ab).sum(dim)

    def __call__(self, outcomes: Tensor, price: float | Tensor, slope: Tensor | None = None) -> Tensor:
        """What each action earns, in units of CIEDE2000, (B, len(ACTIONS), h, w); to leave a pixel earns nothing.

        outcomes: of `Refiner.outcomes`, (B, len(ACTIONS), 2, h, w). price: what a Lab unit of chroma is worth: without
        it, gray would be the safest answer to every doubt. slope: (B, 2, h, w), see `worth`.
        """
        outcomes = color.denormalize_ab(outcomes)
        worth = self.worth(outcomes, self.truth[:, None], price, 2, None if slope is None else slope[:, None])
        if self.consistency:
            # How much a pixel stands out of those neighbors that are as light as it is, against how much it should:
            # an edge of L takes no part, a spot and a blotch do. The neighbors are those before the step.
            mean = self.refiner.mean_of_neighbors(outcomes[:, 0], self.likeness)
            contrast = outcomes - mean[:, None] - self.true_contrast[:, None]
            worth = worth - self.consistency * contrast.square().sum(dim=2).sqrt()
        return worth - worth[:, :1]


class FeatureDistance(nn.Module):
    """How far a coloring looks from the true photo to a network that ImageNet taught: squared differences of features
    of unit length, averaged over places and summed over stages, as in LPIPS (Zhang et al. 2018, equation 1) but without
    its weights, which were learned for distortions of another kind."""

    STAGES = (1, 2)  # of strides 4 and 8: what is where, rather than what the photo is of

    def __init__(self, trunk: Trunk):
        """trunk: of STAGES. It is shown colors here, as it was when it was trained."""
        super().__init__()
        self.trunk = fold(trunk.eval()).requires_grad_(False)

    @classmethod
    def from_imagenet(cls, timm_name: str) -> "FeatureDistance":
        """By the network `timm_name`; PretrainedWeightsError if its weights cannot be had."""
        trunk = Trunk(timm_name, cls.STAGES)
        trunk.load_imagenet(timm_name)
        return cls(trunk)

    def features(self, L: Tensor, ab: Tensor) -> list[Tensor]:
        """Of unit length at every place, (B, C, ., .); L (B, 1, H, W) and ab (B, 2, H, W) in [-1, 1]."""
        srgb = color.lab_to_srgb(torch.cat([color.denormalize_L(L), color.denormalize_ab(ab)], dim=1)).clamp(0, 1)
        gray = self.trunk.gray
        return [F.normalize(stage, dim=1) for stage in self.trunk.net((srgb - gray.mean) / gray.std)]

    def forward(self, L: Tensor, ab: Tensor, true_features: list[Tensor]) -> Tensor:
        """The distance of each photo, (B,), from 0 to 2 for each stage."""
        found = self.features(L, ab)
        miss = [(one - other).square().sum(dim=1).mean(dim=(1, 2)) for one, other in zip(found, true_features)]
        return torch.stack(miss).sum(dim=0)

    def slope(self, L: Tensor, ab: Tensor, true_features: list[Tensor]) -> Tensor:
        """What a change of ab does to the distance, to first order: its mean over a photo's pixels of slope times
        change, summed over a and b, in Lab units. (B, 2, h, w), for ab (B, 2, h, w) in [-1, 1] at the refiner's size
        and L at the network's."""
        with torch.enable_grad():
            ab = ab.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(L, double(ab), true_features).sum(), ab)
        return gradient * (ab.shape[-2] * ab.shape[-1] / color.AB_RANGE)
