"""The refiner: an agent that mends a coloring step by step, with one action at each pixel.

The outlook of Luo and Li 2025, in the manner of PixelRL (Furuta, Inoue and Yamasaki, "Fully Convolutional Network with
Multi-Step Reinforcement Learning for Image Processing", AAAI 2019; IEEE Transactions on Multimedia 2020): a fully
convolutional policy that all pixels share, and in training a value of every pixel's state. It works on ab at half of
the network's size, where colors are smooth, and knows of the photo what the generator's trunk says of it: one refiner
serves every generator behind the same trunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromagan.errors import OptionError, check_whole
from chromagan.imaging.color import AB_RANGE, L_RANGE
from chromagan.network.config import Config, ModelConfig
from chromagan.network.layers import FEATURE_STRIDE, Merge, batch_norm, conv3

HALF = 2  # pixels of the network's size in one of the refiner's, along each side
CELL = 4  # pixels of the network's size in a cell of the refiner's maps
REACH = 2  # pixels of the refiner's on each side that "like its neighbors" looks at

AIM = 0.1  # of the range of ab: the unit in which the network says how far a pixel is from where it should come
SHARPNESS = 1.0  # of the policy: a Lab unit nearer to the aim makes an action 2.7 times as probable

# What a pixel can do in one step, in the order of the policy's channels.
ACTIONS = ("leave", "redder", "greener", "yellower", "bluer", "weaker", "stronger", "like its neighbors")


@dataclass(frozen=True, kw_only=True)
class RefinerConfig(Config):
    """Architecture of a refiner, and the trunk that it was trained behind. Raises OptionError for sizes of no sense."""

    trunk: str = "tf_efficientnet_lite0"  # timm name
    trunk_stages: tuple[int, ...] = (1, 2, 3, 4)  # timm out_indices, finest first
    trunk_strides: tuple[int, ...] = (4, 8, 16, 32)  # of those stages
    trunk_channels: tuple[int, ...] = (24, 40, 112, 320)
    trunk_digest: str = ""  # of the frozen trunk, as in ModelConfig
    channels: int = 48
    steps: int = 6  # that it was trained to take
    delta: float = 3.0  # Lab units by which a or b changes
    factor: float = 0.85  # by which "weaker" multiplies ab, and "stronger" divides
    like: float = 5.0  # Lab units of L within which a neighbor is about as light: a standard deviation
    version: int = 1

    VERSION = 1

    def __post_init__(self):
        super().__post_init__()
        for name in ("channels", "steps", "delta", "like"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} must be more than 0, got {getattr(self, name)}")
        if not 0 < self.factor < 1:
            raise OptionError(f"factor must be between 0 and 1, got {self.factor}")

    def count(self, steps: int | None) -> int:
        """The number of steps to take; None is all. OptionError for more than it was trained to take, below 0,
        and for what is no whole number."""
        check_whole("refine", steps)
        if steps is not None and not 0 <= steps <= self.steps:
            raise OptionError(f"this refiner takes 0 to {self.steps} steps, got {steps}")
        return self.steps if steps is None else steps

    def misfit(self, model: ModelConfig) -> str | None:
        """Why colorings of the network `model` cannot be refined, as a clause; None where they can."""
        own, other = ((c.trunk, c.trunk_stages, c.trunk_digest) for c in (self, model))
        if own == other:
            return None
        names = [f"{name} ({digest[:12] + '…' if digest else 'not frozen'})" for name, _, digest in (own, other)]
        return f"it was made for the trunk {names[0]}, and this network has {names[1]}"


class Refiner(nn.Module):
    """Lightness, a coloring and the trunk's features in, a mended coloring out.

    Trunk, L and the first coloring are read once (`context`); each step reads that and the present ab.
    """

    def __init__(self, config: RefinerConfig):
        super().__init__()
        self.config = config
        width, strides, channels = config.channels, list(config.trunk_strides), list(config.trunk_channels)
        # In two parts: those up to stride 8 are a window's in training, the coarser ones the whole photo's.
        self.fine_stages = sum(stride < FEATURE_STRIDE for stride in strides)
        self.fine = Merge([1, HALF, *strides[: self.fine_stages]], [1, 2, *channels[: self.fine_stages]], width, CELL)
        self.coarse = Merge(strides[self.fine_stages :], channels[self.fine_stages :], width)
        self.norm = batch_norm(width)
        self.read_ab = conv3((CELL // HALF) ** 2 * 2 + 1, width)  # and which step it is
        self.near = conv3(width, width)
        self.far = nn.Conv2d(width, width, kernel_size=3, padding=2, dilation=2)
        self.policy = nn.Conv2d(width, 2 * (CELL // HALF) ** 2, kernel_size=1)
        self.value = nn.Conv2d(width, (CELL // HALF) ** 2, kernel_size=1)  # read in training only
        for head in (self.policy, self.value):  # to leave everything as it is is where learning starts
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def context(
        self, stages: list[Tensor], L: Tensor, ab: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
    ) -> Tensor:
        """What stays as it is through all steps, (B, C, H/4, W/4).

        stages: the trunk's, of L (B, 1, H, W) in [-1, 1]. ab: (B, 2, H/2, W/2) in [-1, 1], the coloring before the
        first step. rows, columns: those of windows, see Generator.fuse.
        """
        coarse = self.coarse(stages[self.fine_stages :], rows, columns)
        coarse = F.interpolate(coarse, scale_factor=FEATURE_STRIDE // CELL, mode="bilinear")
        return self.norm(self.fine([L, ab, *stages[: self.fine_stages]]) + coarse)

    def forward(self, context: Tensor, ab: Tensor, outcomes: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What to do in step `step`, counted from 0, with the state `ab` (B, 2, H/2, W/2) and its `outcomes`.

        -> logits (B, len(ACTIONS), H/2, W/2), the aim (B, 2, H/2, W/2) and the state's values (B, 1, H/2, W/2).
        """
        x = self.features(context, ab, step)
        return *self.decide(x, ab, outcomes), F.pixel_shuffle(self.value(x), CELL // HALF)

    def features(self, context: Tensor, ab: Tensor, step: int) -> Tensor:
        """What policy and value read, (B, C, H/4, W/4)."""
        cells = F.pixel_unshuffle(ab, CELL // HALF)
        progress = torch.zeros_like(cells[:, :1]) + step / self.config.steps
        x = F.relu(context + self.read_ab(torch.cat([cells, progress], dim=1)))
        x = x + F.relu(self.far(x))
        return x + F.relu(self.near(x))

    def decide(self, x: Tensor, ab: Tensor, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and aim. What an action does is known: the network says to which color each pixel should come, and an
        action is the more probable the nearer it brings the pixel to that. With logits of the network's own beside this
        the policy came to smooth everything: 97 % of the pixels took the mean of their neighbors."""
        aim = ab + AIM * F.pixel_shuffle(self.policy(x), CELL // HALF)
        return -SHARPNESS * AB_RANGE * length(outcomes - aim[:, None], dim=2), aim

    def best(self, context: Tensor, ab: Tensor, outcomes: Tensor, step: int) -> Tensor:
        """The most probable action of each pixel, index of ACTIONS, (B, H/2, W/2)."""
        return self.decide(self.features(context, ab, step), ab, outcomes)[0].argmax(dim=1)

    def steps(self, stages: list[Tensor], L: Tensor, ab: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """After each of `count` steps: ab (B, 2, H/2, W/2), and the actions taken in it, (B, H/2, W/2).

        stages, L: as for `context`. ab: (B, 2, H, W), the generator's coloring. All in [-1, 1], float32.
        """
        ab = halve(ab)
        yield from self.rollout(self.context(stages, L, ab), ab, self.likeness(halve(L)), count)

    def rollout(self, context: Tensor, ab: Tensor, likeness: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`steps` of ab (B, 2, H/2, W/2), its `context` and the `likeness` of its neighbors."""
        for step in range(count):
            outcomes = self.outcomes(ab, likeness)
            actions = self.best(context, ab, outcomes, step)
            ab = take(outcomes, actions)
            yield ab, actions

    def refine(self, stages: list[Tensor], L: Tensor, ab: Tensor, count: int) -> Tensor:
        """The coloring `ab` (B, 2, H, W) behind `count` steps, in its size; see `steps`."""
        for half, _ in self.steps(stages, L, ab, count):
            ab = half
        return double(ab) if count else ab

    def likeness(self, L: Tensor) -> Tensor:
        """How much each of the neighbors counts for "like its neighbors", (B, (2 REACH + 1)^2, h, w), sums of 1: of L
        (B, 1, h, w) in [-1, 1], at the refiner's size."""
        difference = (L_RANGE / 2) * (torch.cat(list(_shifted(L)), dim=1) - L)
        weights = torch.exp(-0.5 * (difference / self.config.like).square())
        return weights / weights.sum(dim=1, keepdim=True)

    @staticmethod
    def mean_of_neighbors(ab: Tensor, likeness: Tensor) -> Tensor:
        """Of each pixel of `ab` (B, 2, h, w) the mean over its neighbors and itself, weighted by `likeness`."""
        return sum(weight[:, None] * near for weight, near in zip(likeness.unbind(dim=1), _shifted(ab)))

    def outcomes(self, ab: Tensor, likeness: Tensor) -> Tensor:
        """What each of ACTIONS would make of `ab` (B, 2, h, w) in [-1, 1]: (B, len(ACTIONS), 2, h, w)."""
        delta, factor = self.config.delta / AB_RANGE, self.config.factor
        a, b = ab.new_tensor([1, 0])[:, None, None], ab.new_tensor([0, 1])[:, None, None]
        mean = self.mean_of_neighbors(ab, likeness)
        changed = (ab, ab + delta * a, ab - delta * a, ab + delta * b, ab - delta * b, factor * ab, ab / factor, mean)
        return torch.stack(changed, dim=1).clamp(-1, 1)


def take(outcomes: Tensor, actions: Tensor) -> Tensor:
    """ab (B, 2, h, w) behind `actions` (B, h, w), of what each would bring about."""
    return outcomes.gather(1, actions[:, None, None].expand(-1, 1, 2, -1, -1))[:, 0]


def length(ab: Tensor, dim: int) -> Tensor:
    """Of vectors of ab along `dim`, with a gradient also where they are zero."""
    a, b = ab.unbind(dim)
    return (a * a + b * b + 1e-8).sqrt()


def halve(x: Tensor) -> Tensor:
    """Maps (B, C, H, W) at the refiner's size, (B, C, H/2, W/2): means of 2 x 2."""
    return F.avg_pool2d(x, HALF)


def double(ab: Tensor) -> Tensor:
    """ab of the refiner's size (B, 2, h, w) at the network's, (B, 2, 2 h, 2 w)."""
    return F.interpolate(ab, scale_factor=HALF, mode="bilinear")


def _shifted(x: Tensor) -> Iterator[Tensor]:
    """x (B, C, h, w) moved so that each neighbor, row by row, comes to lie on its pixel; at the border the border's."""
    height, width = x.shape[-2:]
    padded = F.pad(x.contiguous(), (REACH,) * 4, mode="replicate")  # channels last take thrice as long here
    for top in range(2 * REACH + 1):
        for left in range(2 * REACH + 1):
            yield padded[..., top : top + height, left : left + width]
