"""How long a training step takes on this machine, and median times of functions to compare."""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from accelerate import Accelerator

from chromagan.hub.model import ChromaGAN
from chromagan.network.critic import Critic
from train.training.batches import Batches, frozen_trunk
from train.training.options import TrainConfig
from train.training.step import prepare, resolve_precision, train_step, update_average


class Trial:
    """A training run of one config on random images; `run()` takes a step."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, images: int | None = None):
        device = accelerator.device
        self.config = config = replace(config, precision=resolve_precision(config.precision, device))
        self.accelerator, self.done = accelerator, 0
        torch.manual_seed(0)
        generator = ChromaGAN(config.model)
        if not config.train_trunk:
            generator.freeze_trunk()
        self.generator = generator
        self.average = copy.deepcopy(generator).to(device) if config.ema_share else None
        self.batches = made_batches(config, generator, device, images or 2 * config.batch_size)
        critic = Critic(config.critic_width)
        self.nets, self.optimizers = prepare(generator.train(), critic, config, accelerator)

    def run(self) -> None:
        batch = self.batches(self.done, slice(0, self.config.batch_size))
        train_step(batch, self.nets, self.optimizers, self.config, self.accelerator)
        self.done += 1
        if self.average is not None:
            trained = self.average.trained_state(), self.generator.trained_state()
            update_average(*trained, self.config.ema_share, self.done)

    def draw(self) -> None:
        """Make one batch and discard it: the input pipeline alone."""
        self.batches(self.done, slice(0, self.config.batch_size))
        self.done += 1


def made_batches(config: TrainConfig, generator: ChromaGAN, device: torch.device, images: int) -> Batches:
    """Random images, distributions and features, shaped like real ones."""
    size = config.model.image_size
    lab = (torch.rand(images, size, size, 3) - 0.5).half()
    targets = torch.rand(images, config.model.num_classes).softmax(dim=1).half()
    stages = trunk = None
    if not config.train_trunk:
        trunk = frozen_trunk(generator.trunk, device)
        if config.keep_features:
            with torch.no_grad():
                maps = [stage.movedim(1, -1) for stage in trunk(torch.zeros(1, 1, size, size, device=device))]
            stages, trunk = [torch.rand(2 * images, *each.shape[1:]).half() for each in maps], None
    return Batches(lab, config.batch_spec, device, targets, stages, trunk)


def medians(
    ways: dict[str, Callable[[], object]], device: torch.device, repeats: int, warm_up: int = 2
) -> dict[str, float]:
    """Median seconds of each function. They take turns `repeats` times, so that a busy moment affects all alike.

    Before that, each runs `warm_up` times untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + warm_up):
        for name, way in ways.items():
            wait(device)
            start = time.perf_counter()
            way()
            wait(device)
            if repeat >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def wait(device: torch.device) -> None:
    """Wait until the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
