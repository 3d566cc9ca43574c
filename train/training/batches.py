"""The training set on the device, and the batch of any step as a function of (seed, step) alone.

Nothing is decoded or converted in the loop: photos are decoded and converted to Lab once, and constant tensors (the
teacher's class distributions, a frozen trunk's features) are computed once and cached on disk.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from chromagan.hub.trunks import digest_of, half
from chromagan.imaging import color
from chromagan.network.folding import fold
from chromagan.network.generator import Generator
from chromagan.network.layers import FEATURE_STRIDE, cut
from chromagan.network.trunk import Trunk, build_teacher
from train.training.cache import cached
from train.training.options import BatchSpec, TrainConfig

BATCH = 4  # images converted, or run through a frozen network, at once: more do not fit into a core's cache
DEVICE_SHARE = 0.5  # share of the device's free memory that the data set may take; otherwise it stays in host memory


@dataclass(frozen=True)
class Batch:
    """One process's batch. Every image has its own window; h, w are its sides in pixels."""

    L: Tensor  # (B, 1, h, w), [-1, 1]: of the windows
    ab: Tensor  # (B, 2, h, w), [-1, 1]
    # A frozen trunk's features: of the windows for strides up to 8, of the whole images for coarser ones.
    stages: list[Tensor] | None
    rows: Tensor  # (B, h/8), the windows' cells in the whole images
    columns: Tensor  # (B, w/8)
    class_target: Tensor | None  # (B, K), rows sum to 1: of the gray images; None without a teacher
    mix: Tensor | None  # (B, 1, 1, 1), uniform in [0, 1): the penalty's share of true colors; None without a critic
    # (B, all channels of the stages): 0 for dropped channels, else 1 / (1 - dropout); None without dropout
    channels: Tensor | None = None
    # Top and left, in pixels, of the part of the windows that the critic sees; None without a critic.
    corner: tuple[int, int] | None = (0, 0)


class Batches:
    """Draws batches of random windows, flips and mixing weights; `batches(step, part)` depends on no earlier call."""

    def __init__(
        self,
        lab: Tensor,
        spec: BatchSpec,
        device: torch.device,
        class_target: Tensor | None = None,
        stages: list[Tensor] | None = None,
        trunk: Callable[[Tensor], list[Tensor]] | None = None,
    ):
        """lab: (N, S, S, 3) from `normalized_lab`. class_target: (N, K) of the gray photos, from
        `teacher_targets`; None without a teacher. stages: from `trunk_stages`, or None to run `trunk`, if given, at
        every step; without either, the trunk trains. The data move to `device` if they fit.
        """
        held = [t for t in (lab, class_target, *(stages or [])) if t is not None]
        on_device = device.type != "cpu" and fits(held, device)
        lab, class_target = (t if t is None or not on_device else t.to(device) for t in (lab, class_target))
        self.stages = stages if stages is None or not on_device else [stage.to(device) for stage in stages]
        self.lab, self.class_target, self.trunk = lab, class_target, trunk
        self.spec, self.device = spec, device
        self.steps_per_epoch = len(lab) // spec.batch_size  # drops a last, smaller batch
        self._drawn = lru_cache(maxsize=2)(self._draw)  # keeps the choices of two epochs in memory, not of all

    def __call__(self, step: int, part: slice) -> Batch:
        """One process's `part` of the batch of `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        size = self.spec.batch_size
        order, flip, top, left, mix = (drawn[position * size :][:size][part] for drawn in self._drawn(epoch))
        side, crop = self.lab.shape[1], self.spec.crop
        lab = cut(
            self.lab,
            order,
            _span(FEATURE_STRIDE * top, crop),
            _mirrored(_span(FEATURE_STRIDE * left, crop), flip, side),
        ).to(self.device, torch.float32)
        class_target = None
        if self.class_target is not None:
            class_target = self.class_target[order].to(self.device, torch.float32)
        stages = None
        if self.stages is not None:
            stages = [self._of_windows(stage, 2 * order + flip, top, left) for stage in self.stages]
        elif self.trunk is not None:
            with torch.no_grad():
                whole = self.trunk(self._whole(order, flip))
                everything = torch.arange(len(order), device=order.device)
                stages = [self._of_windows(stage.movedim(1, -1), everything, top, left) for stage in whole]
        cells = crop // FEATURE_STRIDE
        return Batch(
            L=lab[:, :1],
            ab=lab[:, 1:],
            stages=stages,
            rows=_span(top, cells).to(self.device),
            columns=_span(left, cells).to(self.device),
            class_target=class_target,
            mix=None if self.spec.critic_side is None else mix.view(-1, 1, 1, 1).to(self.device),
            channels=None if stages is None else self._channels(step, sum(stage.shape[1] for stage in stages), part),
            corner=None if self.spec.critic_side is None else self._corner(step),
        )

    def _of_windows(self, stage: Tensor, index: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """The maps `index` of a stage (M, h, w, C), as (B, C, ., .): their windows up to stride 8, else the whole."""
        a_cell = FEATURE_STRIDE * stage.shape[1] // self.lab.shape[1]  # the stage's pixels per cell, 0 if coarser
        if a_cell:
            length = a_cell * self.spec.crop // FEATURE_STRIDE
            windows = cut(stage, index.to(stage.device), _span(a_cell * top, length), _span(a_cell * left, length))
        else:
            windows = stage[index.to(stage.device)].movedim(-1, 1)
        return windows.to(self.device, torch.float32)

    def _whole(self, order: Tensor, flip: Tensor) -> Tensor:
        """L (B, 1, S, S) of whole images, mirrored where `flip` is 1."""
        side = self.lab.shape[1]
        start = torch.zeros_like(order)
        columns = _mirrored(_span(start, side), flip, side)
        return cut(self.lab, order, _span(start, side), columns)[:, :1].to(self.device, torch.float32)

    def _channels(self, step: int, count: int, part: slice) -> Tensor | None:
        """Dropout of whole channels: neighboring cells of a map are correlated, so dropping cells would hide little."""
        share = self.spec.dropout
        if not share:
            return None
        drawn = torch.rand(self.spec.batch_size, count, generator=epoch_generator(self.spec.seed + 1, step))
        return ((drawn[part] >= share) / (1 - share)).to(self.device)

    def _corner(self, step: int) -> tuple[int, int]:
        choose, places = random.Random(self.spec.seed << 40 | step), self.spec.crop - self.spec.critic_side + 1
        return choose.randrange(places), choose.randrange(places)

    def _draw(self, epoch: int) -> tuple[Tensor, ...]:
        """All random choices of an epoch, (steps x batch size,) each, on the data's device: order, flip, top, left,
        mix."""
        spec, count = self.spec, self.steps_per_epoch * self.spec.batch_size
        choose = epoch_generator(spec.seed, epoch)
        places = (self.lab.shape[1] - spec.crop) // FEATURE_STRIDE + 1
        drawn = (
            torch.randperm(len(self.lab), generator=choose)[:count],
            torch.randint(2, (count,), generator=choose),
            torch.randint(places, (count,), generator=choose),
            torch.randint(places, (count,), generator=choose),
            torch.rand(count, generator=choose),
        )
        return tuple(values.to(self.lab.device) for values in drawn)


def fingerprint(images: Tensor) -> str:
    """A hash that distinguishes data sets, from every eighth row and column of every image."""
    return hashlib.blake2b(images[..., ::8, ::8].contiguous().numpy(), digest_size=16).hexdigest()


def normalized_lab(images: Tensor, device: torch.device) -> Tensor:
    """uint8 sRGB (N, 3, S, S) -> normalized L and ab, (N, S, S, 3) in [-1, 1].

    float16 is at most 0.025 off in L and 0.05 in a and b, a tenth of the error of 8-bit Lab, in half of float32's
    memory.
    """
    lab = torch.empty(len(images), *images.shape[2:], 3, dtype=torch.float16)
    for start, batch in _batches(images, "Lab"):
        converted = color.srgb_to_lab(batch.to(device, torch.float32) / 255)
        converted = torch.cat([color.normalize_L(converted[:, :1]), color.normalize_ab(converted[:, 1:])], dim=1)
        lab[start : start + len(batch)] = converted.movedim(1, -1)
    return lab


@torch.no_grad()
def teacher_targets(images: Tensor, config: TrainConfig, device: torch.device) -> Tensor:
    """The teacher's class distribution of every image, (N, K) in float16, computed once and cached."""

    teacher = build_teacher(config.teacher)
    maker = f"{config.teacher} {digest_of(half(teacher.state_dict()))}"

    def make(images: Tensor) -> dict[str, Tensor]:
        folded = fold(teacher).to(device, memory_format=torch.channels_last)
        targets = [folded(_lightness(batch, device)).half().cpu() for _, batch in _batches(images, "teacher")]
        return {"class_target": torch.cat(targets)}

    return cached(Path(config.cache_dir), "teacher", images, maker, make)["class_target"]


@torch.no_grad()
def trunk_stages(images: Tensor, generator: Generator, cache_dir: str, device: torch.device) -> list[Tensor]:
    """The stages of a generator's frozen trunk, (2 N, h, w, C) each in float16, computed once and cached. Every image
    is followed by its mirror image. Mirrored feature maps would not do, since a network with strides is not symmetric.
    """
    trunk, model = generator.trunk, generator.config
    compute = frozen_trunk(trunk, device)

    def make(images: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}
        for start, batch in _batches(images, "features"):
            L = _lightness(batch, device)
            for number, pair in enumerate(zip(compute(L), compute(L.flip(-1)), strict=True)):
                both = torch.stack([stage.movedim(1, -1) for stage in pair], dim=1).flatten(0, 1).half().cpu()
                if start == 0:
                    stages[str(number)] = torch.empty(2 * len(images), *both.shape[1:], dtype=torch.float16)
                stages[str(number)][2 * start : 2 * start + len(both)] = both
        return stages

    maker = f"{model.trunk} {model.trunk_stages} {digest_of(half(trunk.net.state_dict()))}"
    stages = cached(Path(cache_dir), "features", images, maker, make)
    return [stages[str(number)] for number in range(len(stages))]


def frozen_trunk(trunk: Trunk, device: torch.device) -> Callable[[Tensor], list[Tensor]]:
    """A copy of `trunk` in eval mode, as a function from L (B, 1, H, W) to its stages."""
    return fold(trunk).to(device, memory_format=torch.channels_last)


def fits(tensors: list[Tensor], device: torch.device) -> bool:
    """Whether `tensors` take at most DEVICE_SHARE of a CUDA device's free memory; False on other devices."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(tensor.nbytes for tensor in tensors) <= DEVICE_SHARE * free


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator seeded by both numbers; neighboring numbers give unrelated streams."""
    return torch.Generator().manual_seed(mixed(seed, epoch))


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed torch's own generators, from which random layers of a decoder draw, such as dropout: what they drop must not
    depend on earlier steps, which a resumed run has not taken, nor on networks that were built to save an epoch."""
    torch.manual_seed(mixed(mixed(seed + 3, step), process))


def mixed(seed: int, number: int) -> int:
    """A seed from both numbers, 0 to below 2^63."""
    total = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return (total * 6364136223846793005 + 1442695040888963407) % 2**63


def _span(start: Tensor, length: int) -> Tensor:
    """(B,) -> (B, length): start, start + 1, ..."""
    return start[:, None] + torch.arange(length, device=start.device)


def _mirrored(columns: Tensor, flip: Tensor, side: int) -> Tensor:
    """Map columns (B, w) of the mirror images to columns of the original images where `flip` (B,) is 1."""
    return torch.where(flip[:, None] == 1, side - 1 - columns, columns)


def _lightness(images: Tensor, device: torch.device) -> Tensor:
    return color.normalize_L(color.srgb_to_L(images.to(device, torch.float32) / 255))


def _batches(images: Tensor, title: str) -> Iterator[tuple[int, Tensor]]:
    """Yield (first index, images), BATCH at a time, with a progress bar."""
    with tqdm(total=len(images), desc=title, unit=" images", leave=False) as bar:
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            yield start, batch
            bar.update(len(batch))
