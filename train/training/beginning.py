"""What is settled before a run begins: what its folder holds, how processes share a batch, and which errors are told in
a line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from chromagan.hub.files import OPTIONS_FILE, TRACKER_FILE
from chromagan.programs import check_output_folder, is_out_of_memory, is_told, one_line
from train.training.options import TrainConfig
from train.training.refine_options import RefineConfig
from train.training.state import load_state
from train.training.watching import TrainingError

C = TypeVar("C", TrainConfig, RefineConfig)


def check_run_dir(config: TrainConfig | RefineConfig) -> dict[str, Any]:
    """The options that a run which goes on was begun with, {} for a new one.

    OSError where there can be no such folder, TrainingError where it holds a run that would be lost, or none or another
    one to resume.
    """
    check_output_folder(config.output_dir)
    recorded = config.run_dir / OPTIONS_FILE
    if not config.resume:
        if config.run_dir.exists() and any(not begins_a_run(path) for path in config.run_dir.iterdir()):
            raise TrainingError(
                f"{config.run_dir} holds a run already: --resume goes on with it, or give another --output-dir"
            )
        return {}
    if not recorded.exists():
        raise TrainingError(f"nothing to resume in {config.run_dir}: start the run without --resume")
    try:
        options = json.loads(recorded.read_text(encoding="utf-8"))
        fitted = min(config.batch_size, options.get("batch_size", config.batch_size))  # fit_batch tells, with the data
        check_options(replace(config, batch_size=fitted), options)
    except (ValueError, AttributeError, TypeError) as error:
        raise TrainingError(f"{recorded} is damaged: {error}") from error
    return options


def load_run(config: TrainConfig | RefineConfig, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The state that a run goes on from; None for a new one, and one that was killed before its first. `warn` hears of
    damaged ones; TrainingError where all are."""
    state = load_state(config.run_dir, warn) if config.resume else None
    if state is None and config.resume and any(config.run_dir.glob("*.damaged")):
        raise TrainingError(f"no state in {config.run_dir} is whole: start anew with another --output-dir")
    return state


def check_options(config: TrainConfig | RefineConfig, recorded: dict[str, Any]) -> None:
    """TrainingError where a run goes on with other options than `recorded`, those that it was begun with."""
    if difference := config.differs_from(recorded):
        raise TrainingError(f"{difference}: leave it as it was, or give another --output-dir")


def check_data(found: str, begun_with: str, config: TrainConfig | RefineConfig) -> None:
    """TrainingError where a run goes on with other photos; both are a `fingerprint` of them."""
    if found != begun_with:
        raise TrainingError(
            f"--data {' '.join(config.data)} does not hold the images that {config.run_dir} was begun with"
        )


def begins_a_run(path: Path) -> bool:
    """Whether a run that was killed before its first step may have left this, which a new one writes again."""
    return path.name in (TRACKER_FILE, "tensorboard") or path.suffix == ".part"


def check_shares(config: TrainConfig | RefineConfig, processes: int) -> None:
    """TrainingError where the processes cannot share a batch so that their step is that of one process."""
    if config.batch_size % processes:
        raise TrainingError(
            f"--batch-size {config.batch_size} cannot be shared by {processes} processes evenly: "
            f"give a multiple of {processes}"
        )


def fit_batch(config: C, images: int, processes: int, recorded: dict[str, Any] | None = None) -> C:
    """The config with a batch that the images fill and the processes share evenly; TrainingError where none is, or
    where it is not that of `recorded`, the options that a run which goes on was begun with."""
    largest = images // processes * processes
    if largest == 0:
        raise TrainingError(f"{images} images cannot be shared by {processes} processes: launch fewer")
    try:
        fitted = replace(config, batch_size=min(config.batch_size, largest))
    except ValueError as error:  # it names --batch-size, which nobody has to have given
        raise TrainingError(f"images to train on: {images}, too few for a batch: {error}") from error
    check_options(fitted, recorded or {})
    return fitted


def explain(error: Exception, config: TrainConfig | RefineConfig) -> str | None:
    """One line for what a user can mend; None for what is a bug."""
    if is_out_of_memory(error):
        return f"a batch of {config.batch_size} does not fit into memory: lower {config.memory_options}"
    return one_line(error) if is_told(error) else None
