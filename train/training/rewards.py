"""What an agent that mends colors is rewarded for, at each pixel and for each of its actions.

All that it could do in a step is known beforehand, and so is the true photo: every reward is computed for every
action, not only for the one that is taken.
"""

from torch import Tensor

from chromagan.imaging import color
from chromagan.network.losses import color_difference
from chromagan.network.refiner import Refiner


class Rewards:
    """Of one batch of photos, whose true colors do not change from step to step."""

    def __init__(self, refiner: Refiner, truth: Tensor, likeness: Tensor, consistency: float, large: float):
        """truth: ab (B, 2, h, w) in [-1, 1], at the refiner's size. likeness: of `Refiner.likeness`.

        consistency: weight of local consistency. large: of the square of the color difference, beside the difference.
        """
        self.refiner, self.likeness, self.consistency, self.large = refiner, likeness, consistency, large
        self.truth = color.denormalize_ab(truth)
        self.true_contrast = self.truth - refiner.mean_of_neighbors(self.truth, likeness)

    def worth(self, ab: Tensor, truth: Tensor, price: float | Tensor, dim: int) -> Tensor:
        """What colors are worth by themselves: of ab in Lab units along `dim`."""
        error = color_difference(ab, truth, dim)
        return price * (ab.square().sum(dim) + 1e-4).sqrt() - error - self.large * error.square()

    def __call__(self, outcomes: Tensor, price: float | Tensor) -> Tensor:
        """What each action earns, in units of CIEDE2000, (B, len(ACTIONS), h, w); to leave a pixel earns nothing.

        outcomes: of `Refiner.outcomes`, (B, len(ACTIONS), 2, h, w). price: what a Lab unit of chroma is worth: without
        it, gray would be the safest answer to every doubt.
        """
        outcomes = color.denormalize_ab(outcomes)
        worth = self.worth(outcomes, self.truth[:, None], price, dim=2)
        if self.consistency:
            # How much a pixel stands out of those neighbors that are as light as it is, against how much it should:
            # an edge of L takes no part, a spot and a blotch do. The neighbors are those before the step.
            mean = self.refiner.mean_of_neighbors(outcomes[:, 0], self.likeness)
            contrast = outcomes - mean[:, None] - self.true_contrast[:, None]
            worth = worth - self.consistency * contrast.square().sum(dim=2).sqrt()
        return worth - worth[:, :1]
