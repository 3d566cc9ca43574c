"""The refiner: an agent that refines a coloring step by step, with one action per pixel and step.

The future work of Luo and Li 2025, in the manner of PixelRL (Furuta, Inoue and Yamasaki, "Fully Convolutional Network
with Multi-Step Reinforcement Learning for Image Processing", AAAI 2019; IEEE Transactions on Multimedia 2020): a fully
convolutional policy shared by all pixels and, in training, a value of every pixel's state. It works on ab at half of
the network's size, where colors are smooth, and sees the photo through the generator's trunk: one refiner serves all
generators that share a trunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromagan.errors import OptionError, check_whole
from chromagan.imaging.color import AB_RANGE, L_RANGE
from chromagan.network.config import MAX_CHANNELS, MAX_LAYERS, Config, ModelConfig, check_stages
from chromagan.network.layers import FEATURE_STRIDE, Merge, batch_norm, conv3
from chromagan.network.losses import chroma

HALF = 2  # network pixels per refiner pixel, along each side
CELL = 4  # network pixels per cell of the refiner's feature maps, along each side
REACH = 2  # refiner pixels on each side that form the neighborhood of "like its neighbors"

MAX_STEPS = 100  # a config may be untrusted

# The actions of a pixel in one step, in the order of the logits.
ACTIONS = ("leave", "redder", "greener", "yellower", "bluer", "weaker", "stronger", "like its neighbors")


@dataclass(frozen=True, kw_only=True)
class RefinerConfig(Config):
    """Architecture of a refiner, what its actions do, and the trunk that it was trained with. Raises OptionError for
    invalid values.

    All that decides what a stored refiner does is among the fields, so that it stays the same when a default changes;
    but one whose config was written before a field was added takes the default: those of target_scale and
    inverse_temperature must stay.
    """

    trunk: str = "tf_efficientnet_lite0"  # timm name
    trunk_stages: tuple[int, ...] = (1, 2, 3, 4)  # timm out_indices, finest first
    trunk_strides: tuple[int, ...] = (4, 8, 16, 32)  # of those stages
    trunk_channels: tuple[int, ...] = (24, 40, 112, 320)
    trunk_digest: str = ""  # of the frozen trunk, as in ModelConfig
    channels: int = 48
    steps: int = 5  # number of steps that it was trained to take
    delta: float = 3.0  # Lab units by which an action changes a or b
    factor: float = 0.85  # by which "weaker" multiplies ab, and "stronger" divides
    like: float = 5.0  # standard deviation, in Lab units of L, of the bilateral neighbor weights
    target_scale: float = 0.1  # of the range of ab: the unit in which the offset of a pixel's target color is predicted
    inverse_temperature: float = 1.0  # of the policy: at 1, a Lab unit nearer to the target is 2.7 times as probable
    version: int = 1

    VERSION = 1

    def __post_init__(self):
        super().__post_init__()
        for name in ("channels", "steps", "delta", "like", "target_scale", "inverse_temperature"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} must be more than 0, got {getattr(self, name)}")
        check_stages(self.trunk_stages)
        if not len(self.trunk_stages) == len(self.trunk_strides) == len(self.trunk_channels):
            raise OptionError("trunk_stages, trunk_strides and trunk_channels differ in length")
        strides, powers = self.trunk_strides, {2**power for power in range(MAX_LAYERS)}
        if FEATURE_STRIDE not in strides or not powers.issuperset(strides) or sorted(strides) != list(strides):
            raise OptionError(
                f"trunk_strides must be ascending powers of two, among them {FEATURE_STRIDE}, got {strides}"
            )
        if not 1 <= min(self.trunk_channels) <= max(self.trunk_channels) <= MAX_CHANNELS:
            raise OptionError(f"trunk_channels must be between 1 and {MAX_CHANNELS}, got {self.trunk_channels}")
        if self.channels > MAX_CHANNELS or self.steps > MAX_STEPS:
            raise OptionError(f"a refiner has at most {MAX_CHANNELS} channels and {MAX_STEPS} steps")
        if not 0 < self.factor < 1:
            raise OptionError(f"factor must be between 0 and 1, got {self.factor}")

    def count(self, steps: int | None) -> int:
        """The number of steps to take; None is all. OptionError if it is not a whole number, below 0, or more than it
        was trained to take."""
        check_whole("refine", steps)
        if steps is not None and not 0 <= steps <= self.steps:
            raise OptionError(f"this refiner takes 0 to {self.steps} steps, got {steps}")
        return self.steps if steps is None else steps

    def incompatibility(self, model: ModelConfig) -> str | None:
        """Why colorings of the network `model` cannot be refined, as a clause; None if they can."""
        own, other = ((c.trunk, c.trunk_stages, c.trunk_digest) for c in (self, model))
        if own == other:
            return None
        names = [f"{name} ({digest[:12] + '…' if digest else 'not frozen'})" for name, _, digest in (own, other)]
        return f"it was trained for the trunk {names[0]}, but this network has {names[1]}"


class Refiner(nn.Module):
    """Lightness, a coloring and the trunk's features in, a refined coloring out.

    The trunk's features, L and the initial coloring are read once (`context`); each step reads that and the current ab.
    """

    def __init__(self, config: RefinerConfig):
        super().__init__()
        self.config = config
        width, strides, channels = config.channels, list(config.trunk_strides), list(config.trunk_channels)
        # In two parts: in training, stages finer than stride 8 are a window's, the coarser ones the whole photo's.
        self.fine_stages = sum(stride < FEATURE_STRIDE for stride in strides)
        self.fine = Merge([1, HALF, *strides[: self.fine_stages]], [1, 2, *channels[: self.fine_stages]], width, CELL)
        self.coarse = Merge(strides[self.fine_stages :], channels[self.fine_stages :], width)
        self.norm = batch_norm(width)
        self.read_ab = conv3((CELL // HALF) ** 2 * 2 + 1, width)  # and the index of the step
        self.near = conv3(width, width)
        self.far = nn.Conv2d(width, width, kernel_size=3, padding=2, dilation=2)
        self.policy = nn.Conv2d(width, 2 * (CELL // HALF) ** 2, kernel_size=1)
        self.value = nn.Conv2d(width, (CELL // HALF) ** 2, kernel_size=1)  # used in training only
        for head in (self.policy, self.value):  # learning starts from leaving everything as it is
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def context(
        self, stages: list[Tensor], L: Tensor, ab: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
    ) -> Tensor:
        """The part of the state that is constant over all steps, as features (B, C, H/4, W/4).

        stages: the trunk's, for L (B, 1, H, W) in [-1, 1]. ab: (B, 2, H/2, W/2) in [-1, 1], the coloring before the
        first step. rows, columns: of windows, see Generator.fuse.
        """
        coarse = self.coarse(stages[self.fine_stages :], rows, columns)
        coarse = F.interpolate(coarse, scale_factor=FEATURE_STRIDE // CELL, mode="bilinear")
        return self.norm(self.fine([L, ab, *stages[: self.fine_stages]]) + coarse)

    def forward(self, context: Tensor, ab: Tensor, outcomes: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Policy and value in step `step`, counted from 0, for the state `ab` (B, 2, H/2, W/2) and its `outcomes`.

        -> logits (B, len(ACTIONS), H/2, W/2), target colors (B, 2, H/2, W/2) and state values (B, 1, H/2, W/2).
        """
        x = self.features(context, ab, step)
        return *self.decide(x, ab, outcomes), F.pixel_shuffle(self.value(x), CELL // HALF)

    def features(self, context: Tensor, ab: Tensor, step: int) -> Tensor:
        """The input of the policy and value heads, (B, C, H/4, W/4)."""
        cells = F.pixel_unshuffle(ab, CELL // HALF)
        progress = torch.zeros_like(cells[:, :1]) + step / self.config.steps
        x = F.relu(context + self.read_ab(torch.cat([cells, progress], dim=1)))
        x = x + F.relu(self.far(x))
        return x + F.relu(self.near(x))

    def decide(self, x: Tensor, ab: Tensor, outcomes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and target colors. The effect of every action is known: the network predicts a target color for each
        pixel, and an action is the more probable the nearer it brings the pixel to its target. With additional, freely
        predicted logits the policy came to smooth everything: 97 % of the pixels took the mean of their neighbors."""
        target = ab + self.config.target_scale * F.pixel_shuffle(self.policy(x), CELL // HALF)
        distance = chroma(*(AB_RANGE * (outcomes - target[:, None])).unbind(2))
        return -self.config.inverse_temperature * distance, target

    def best(self, context: Tensor, ab: Tensor, outcomes: Tensor, step: int) -> Tensor:
        """The greedy policy: the most probable action of each pixel, index of ACTIONS, (B, H/2, W/2)."""
        return self.decide(self.features(context, ab, step), ab, outcomes)[0].argmax(dim=1)

    def steps(self, stages: list[Tensor], L: Tensor, ab: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A greedy rollout of `count` steps: yields ab (B, 2, H/2, W/2) after each, and the actions (B, H/2, W/2).

        stages, L: as for `context`. ab: (B, 2, H, W), the generator's coloring. All in [-1, 1], float32.
        """
        ab = halve(ab)
        yield from self.rollout(self.context(stages, L, ab), ab, self.bilateral_weights(halve(L)), count)

    def rollout(self, context: Tensor, ab: Tensor, weights: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Like `steps`, from ab (B, 2, H/2, W/2), its `context` and the neighbor weights of `bilateral_weights`."""
        for step in range(count):
            outcomes = self.apply_each_action(ab, weights)
            actions = self.best(context, ab, outcomes, step)
            ab = select_action(outcomes, actions)
            yield ab, actions

    def refine(self, stages: list[Tensor], L: Tensor, ab: Tensor, count: int) -> Tensor:
        """The coloring `ab` (B, 2, H, W) after `count` steps, at the same size; see `steps`."""
        for half, _ in self.steps(stages, L, ab, count):
            ab = half
        return double(ab) if count else ab

    def bilateral_weights(self, L: Tensor) -> Tensor:
        """Bilateral neighbor weights for "like its neighbors", (B, (2 REACH + 1)^2, h, w), which sum to 1 and fall with
        the difference in lightness. L: (B, 1, h, w) in [-1, 1], at the refiner's size."""
        difference = (L_RANGE / 2) * (torch.cat(list(_shifted(L)), dim=1) - L)
        weights = torch.exp(-0.5 * (difference / self.config.like).square())
        return weights / weights.sum(dim=1, keepdim=True)

    @staticmethod
    def mean_of_neighbors(ab: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean of each pixel of `ab` (B, 2, h, w) and its neighbors. weights: from `bilateral_weights`."""
        return sum(weight[:, None] * near for weight, near in zip(weights.unbind(dim=1), _shifted(ab)))

    def apply_each_action(self, ab: Tensor, weights: Tensor) -> Tensor:
        """The result of each of ACTIONS on `ab` (B, 2, h, w) in [-1, 1]: (B, len(ACTIONS), 2, h, w). weights: from
        `bilateral_weights`."""
        delta, factor = self.config.delta / AB_RANGE, self.config.factor
        a, b = ab.new_tensor([1, 0])[:, None, None], ab.new_tensor([0, 1])[:, None, None]
        mean = self.mean_of_neighbors(ab, weights)
        changed = (ab, ab + delta * a, ab - delta * a, ab + delta * b, ab - delta * b, factor * ab, ab / factor, mean)
        return torch.stack(changed, dim=1).clamp(-1, 1)


def select_action(outcomes: Tensor, actions: Tensor) -> Tensor:
    """Apply `actions` (B, h, w): select ab (B, 2, h, w) from the `outcomes` of all actions."""
    return outcomes.gather(1, actions[:, None, None].expand(-1, 1, 2, -1, -1))[:, 0]


def halve(x: Tensor) -> Tensor:
    """Maps (B, C, H, W) at the refiner's size, (B, C, H/2, W/2): means over 2 x 2 pixels."""
    return F.avg_pool2d(x, HALF)


def double(ab: Tensor) -> Tensor:
    """ab at the refiner's size (B, 2, h, w) -> at the network's, (B, 2, 2 h, 2 w)."""
    return F.interpolate(ab, scale_factor=HALF, mode="bilinear")


def _shifted(x: Tensor) -> Iterator[Tensor]:
    """x (B, C, h, w) shifted to each neighbor in turn, row by row, with the border replicated."""
    height, width = x.shape[-2:]
    padded = F.pad(x.contiguous(), (REACH,) * 4, mode="replicate")  # channels last takes three times as long here
    for top in range(2 * REACH + 1):
        for left in range(2 * REACH + 1):
            yield padded[..., top : top + height, left : left + width]
