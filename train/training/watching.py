"""Monitoring and stopping a run: the log, the means of the loss terms, and signals."""

import contextlib
import json
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from chromagan.atomic import naming, replacing
from chromagan.errors import ChromaGANError
from chromagan.hub.trunks import half
from chromagan.programs import set_signal_handler

LOG_FILE = "log.jsonl"


class TrainingError(ChromaGANError, RuntimeError):
    """The run cannot start or continue: the message says why."""


class Log:
    """log.jsonl: one JSON object per line. A resumed run drops the lines of steps that it repeats."""

    def __init__(self, path: Path, step: int):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines if self._step(line) <= step]
        with replacing(path) as part:
            part.write_text("".join(kept), encoding="utf-8")
        self.file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (open for the whole run)

    @staticmethod
    def _step(line: str) -> float:
        """The step of a line; infinite if a crash left it incomplete or a power cut left zeros."""
        try:
            return json.loads(line)["step"] if line.endswith("\n") else math.inf
        except ValueError:
            return math.inf

    def write(self, line: dict) -> None:
        with naming(self.file.name):
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


def last_entry(log: Path, name: str) -> float:
    """The value of `name` in the last complete line of a log; 0 if there is none."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in reversed(log.read_text(encoding="utf-8").splitlines()[-2:]):  # the last one may be cut off
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return float(json.loads(line)[name])
    return 0.0


class Meter:
    """Sums the loss terms on the device, so that nothing waits for the device between two readings."""

    def __init__(self, accelerator: Accelerator, step: int):
        self.accelerator = accelerator
        self._start(step)

    def _start(self, step: int) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.bad: dict[str, Tensor] = {}  # the first step at which a term was not finite; 0: none
        self.since, self.time = step, time.perf_counter()

    def add(self, step: int, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            bad = torch.where(term.isfinite(), 0, step)
            if name in self.sums:
                self.sums[name] += term
                self.counts[name] += 1
                self.bad[name] = torch.where(self.bad[name] > 0, self.bad[name], bad)
            else:
                self.sums[name], self.counts[name], self.bad[name] = term.clone(), 1, bad

    def require_finite(self) -> None:
        """Raise TrainingError with the term and step if a term was not finite since the last reading. Waits for the
        device."""
        names = list(self.bad)
        steps = self.accelerator.gather(torch.stack([self.bad[name] for name in names])[None]).tolist()
        found = [(step, name) for of_process in steps for name, step in zip(names, of_process) if step]
        if found:
            step, name = min(found, key=lambda pair: pair[0])
            cure = "lower the learning rate" if step > 1 else "the networks return NaN or infinity before any training"
            raise TrainingError(f"the {name} term is not finite at step {step}: {cure}")

    def read(self, step: int, batch_size: int) -> dict[str, float]:
        """Means since the last reading, over all processes, and images/s. Waits for the device."""
        self.require_finite()
        means = torch.stack([self.sums[name] / count for name, count in self.counts.items()])
        values = dict(zip(self.sums, self.accelerator.reduce(means, "mean").tolist()))
        values["images_per_second"] = (step - self.since) * batch_size / (time.perf_counter() - self.time)
        self._start(step)
        return values

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time spent inside, such as saving, from images/s."""
        start = time.perf_counter()
        yield
        self.time += time.perf_counter() - start


def require_finite_weights(step: int, *networks: nn.Module) -> None:
    """Raise TrainingError if weights after `step` steps are not finite in half precision, as networks are saved.

    The loss terms of a step do not tell: they are from before its update.
    """
    for network in networks:
        for name, tensor in half(network.state_dict()).items():
            if not tensor.isfinite().all():
                cure = "lower the learning rate" if step else "they are so before any training"
                raise TrainingError(f"the weights {name} are not finite at step {step}: {cure}")


class StopSignal:
    """On SIGTERM (a machine being reclaimed), SIGHUP (a closed terminal) or Ctrl-C the run saves its state and ends
    after the current step."""

    def __init__(self):
        self.number = 0
        self.at_once = signal.getsignal(signal.SIGINT)
        set_signal_handler(self._receive, "SIGTERM", "SIGHUP", "SIGINT")
        self.group = None

    def _receive(self, number, frame) -> None:
        self.number = number
        signal.signal(signal.SIGINT, self.at_once)  # a second Ctrl-C ends the run at once

    def agreed(self) -> bool:
        """Whether any process was told to stop: all must end at the same step. Communicates on the CPU, so that the
        device is not waited for."""
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return self.number != 0
        self.group = self.group or dist.new_group(backend="gloo")
        agreed = torch.tensor(self.number)
        dist.all_reduce(agreed, dist.ReduceOp.MAX, group=self.group)
        if not agreed:  # of a signal that came while it waited for the others, all learn at the next step
            return False
        self.number = int(agreed)
        return True

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    @property
    def status(self) -> int:
        """The exit status: 0 after SIGTERM, as after a finished run; that of a shell, 128 + number, otherwise."""
        return 0 if self.number == signal.SIGTERM else 128 + self.number
