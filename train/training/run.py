"""What the training scripts share: messages to the user, the loop over steps with its log, and how a run ends."""

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self

from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from chromagan.programs import end_in_one_line
from train.training.checks import explain
from train.training.options import TrainConfig
from train.training.refine_options import RefineConfig
from train.training.watching import LOG_FILE, Log, Meter, StopSignal


def speaker(accelerator: Accelerator) -> Callable[[str], None]:
    """A function that writes a line to standard error, above the progress bar, on the main process only."""

    def say(line: str) -> None:
        if accelerator.is_main_process:
            tqdm.write(line, file=sys.stderr)

    return say


def part_of_batch(batch_size: int, accelerator: Accelerator) -> slice:
    """This process's share of every batch; all processes have equally many images."""
    share = batch_size // accelerator.num_processes
    return slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)


class Run:
    """The steps of a run: counts, logs and shows them, and decides when a state is due and when to stop.

    A context manager that shows the progress bar. Every process has one and makes the same calls.
    """

    def __init__(
        self, config: TrainConfig | RefineConfig, accelerator: Accelerator, step: int, total: int,
        shown: Collection[str],
    ):  # fmt: skip
        """step: how many of `total` steps were taken before. shown: the terms to show next to the progress bar."""
        self.config, self.step, self.total, self.shown = config, step, total, shown
        self.log = Log(config.run_dir / LOG_FILE, step) if accelerator.is_main_process else None
        self.meter = Meter(accelerator, step)
        self.signal, self.stopping = StopSignal(), False
        size = config.batch_size
        self.bar = tqdm(total=total * size, initial=step * size, unit=" images", disable=self.log is None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    @property
    def goes_on(self) -> bool:
        return self.step < self.total and not self.stopping

    def is_logged(self, step: int) -> bool:
        """Whether a line is logged after `step` steps. Reading the terms waits for the device."""
        return step % self.config.log_every == 0 or step == self.total

    @property
    def state_is_due(self) -> bool:
        return self.step % self.config.state_every == 0 or self.step == self.total or self.stopping

    def count(self, terms: dict[str, Tensor], saving: bool, **place: float) -> dict[str, float]:
        """Count a step and its loss terms. Returns the means if a line was logged, else {}.

        saving: whether the step's weights will be saved. place: further entries of the line that say where the run is.
        Raises TrainingError rather than let weights or a state be saved after a term that is not finite.
        """
        self.step += 1
        self.meter.add(self.step, terms)
        self.bar.update(self.config.batch_size)
        self.stopping = self.signal.agreed()
        if not self.is_logged(self.step):
            if saving or self.state_is_due:
                self.meter.require_finite()
            return {}
        values = self.meter.read(self.step, self.config.batch_size)
        if self.log is not None:
            self.log.write({"step": self.step, **place, **values})
            self.bar.set_postfix({name: f"{values[name]:.3g}" for name in self.shown if name in values})
        return values

    def exit_if_stopped(self, say: Callable[[str], None]) -> None:
        """If the run was stopped, end the program with the exit status of the signal."""
        if self.step < self.total:
            place = f"step {self.step} of {self.total}"
            say(f"stopped by {self.signal.name} at {place}, state saved: continue with --resume")
            sys.exit(self.signal.status)


def run_script(
    main: Callable[[TrainConfig], None] | Callable[[RefineConfig], None],
    parse_config: Callable[[], TrainConfig] | Callable[[], RefineConfig],
    stopped: str,
) -> None:
    """Run a script's `main` with the command line's options; an error that a user can fix ends it with one line.

    stopped: the line to print on Ctrl-C.
    """
    end_in_one_line(stopped)
    config = parse_config()
    try:
        main(config)
    except Exception as error:
        if line := explain(error, config):
            sys.exit(f"{Path(sys.argv[0]).name}: {line}")
        raise
