"""Checks before a run starts: what its folder holds, how processes share a batch, and which errors are reported in one
line."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, SoftFileLock, Timeout

from chromagan.hub.files import OPTIONS_FILE, TRACKER_FILE
from chromagan.hub.refiners import REFINER
from chromagan.programs import check_output_folder, is_out_of_memory, is_user_error, one_line
from train.training.options import TrainConfig
from train.training.refine_options import GREEDY, RefineConfig
from train.training.state import has_state, load_state
from train.training.watching import LOG_FILE, TrainingError, last_entry

C = TypeVar("C", TrainConfig, RefineConfig)
LOCK_FILE = ".lock"  # in a locked folder
# Of a run, in which files are written one by one. An epoch's folder is written as a whole.
FOLDERS = ("samples", REFINER, GREEDY)
# As `save_checkpoint` and `replacing` name what they write until it is complete.
HALF_WRITTEN = re.compile(r"\.(epoch-\d+-[0-9a-f]{16}|.+-[0-9a-f]{16}\.part)")


def check_run_dir(config: TrainConfig | RefineConfig) -> dict[str, Any]:
    """The recorded options of the run to resume; {} for a new run.

    Raises OSError if the folder cannot be written to, and TrainingError if it holds a run that would be lost, or if
    the run to resume is missing or has other options.
    """
    check_output_folder(config.output_dir, config.data)
    recorded = config.run_dir / OPTIONS_FILE
    if not config.resume:
        there = [path.name for path in config.run_dir.iterdir()] if config.run_dir.exists() else []
        if others := sorted(name for name in there if not begins_a_run(name)):
            holds, do = f"{others[0]}, which is not a run's", "move it away"
            if recorded.exists():
                holds, do = "a run", "continue it with --resume"
            raise TrainingError(f"{config.run_dir} already holds {holds}: {do}, or give another --output-dir")
        return {}
    if not recorded.exists():
        raise TrainingError(f"nothing to resume in {config.run_dir}: start the run without --resume")
    try:
        options = json.loads(recorded.read_text(encoding="utf-8"))
        photos = sum(source["photos"] for source in options.get("sources", ()))
        fitted = config.batch_size
        if photos < fitted:  # it may have been fitted to them: fit_batch checks it, with the data
            fitted = min(fitted, options.get("batch_size", fitted))
        check_options(replace(config, batch_size=fitted), options)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise TrainingError(f"{recorded} is damaged: {error}") from error
    return options


def lock_run(config: TrainConfig | RefineConfig) -> FileLock:
    """Make the run's folder and lock it. What a killed run left half written in it is removed.

    Raises TrainingError if another process trains in it, or has done so since `check_run_dir`.
    """
    lock = lock_folder(config.run_dir, "is being trained by another process")
    if not config.resume:
        check_run_dir(config)
    remove_half_written(lock, config.run_dir, *(config.run_dir / name for name in FOLDERS))
    return lock


def lock_folder(folder: Path, otherwise: str) -> FileLock:
    """Make a folder and lock it: until the returned lock is gone, or the process, in whatever way it ends.

    Raises TrainingError, the folder and what it is `otherwise`, if another process has locked it. On a file system
    without locks, as some network folders are, nothing is locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE, timeout=0, is_singleton=True)  # this process may lock it again
    try:
        lock.acquire()
    except Timeout as error:
        raise TrainingError(f"{folder} {otherwise}") from error
    except (OSError, NotImplementedError):
        return lock
    if isinstance(lock, SoftFileLock):  # what FileLock becomes without locks: its file would outlive a killed process
        lock.release()
    return lock


def remove_half_written(lock: FileLock, *folders: Path) -> None:
    """Remove from `folders` what killed processes left half written, if the lock on what is written there is held:
    otherwise another process may be writing it."""
    for folder in folders if lock.is_locked else ():
        for path in folder.iterdir() if folder.is_dir() else ():
            if HALF_WRITTEN.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def load_run(
    config: TrainConfig | RefineConfig, recorded: dict[str, Any], warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The state to resume from; None for a new run, or one that was killed before it saved a state.

    recorded: the options of the run to resume. `warn` is called for each damaged state. Raises TrainingError if all are
    damaged or deleted.
    """
    if not config.resume:
        return None
    state = load_state(config.run_dir, warn)
    check_state(config, recorded)
    if state is None and last_entry(config.run_dir / LOG_FILE, "step"):
        warn(f"{config.run_dir} was ended before it saved a state: starting again from step 0")
    return state


def check_state(config: TrainConfig | RefineConfig, recorded: dict[str, Any]) -> None:
    """Raise TrainingError if the run with the options `recorded` has no state that it could be resumed from, although
    it got so far that it had one: resumed, it would start again and overwrite what it has saved.

    It may be resumed without a state only if it was killed before it saved its first one.
    """
    folder = config.run_dir
    if has_state(folder):
        return
    if any(folder.glob("*.damaged")):
        raise TrainingError(f"no state in {folder} is intact: start again with another --output-dir")
    after = config.saved_after(recorded)
    saved = max((step for name, step in after.items() if (folder / name).exists()), default=0)
    # In a step the log's line is written first, then the state, then the network: only the network shows that there
    # was a state of the same step.
    first = recorded.get("state_every", config.state_every)
    if last_entry(folder / LOG_FILE, "step") > first or saved >= min(first, max(after.values())) > 0:
        raise TrainingError(f"{folder} has no state and cannot be continued: give another --output-dir")


def check_options(config: TrainConfig | RefineConfig, recorded: dict[str, Any]) -> None:
    """Raise TrainingError if a resumed run's options differ from `recorded`, those that it was started with."""
    if flag := config.removed_flag(recorded):
        raise TrainingError(f"the run was started with {flag}, which no longer exists: give another --output-dir")
    if difference := config.differs_from(recorded):
        raise TrainingError(f"{difference}: leave it as it was, or give another --output-dir")


def check_data(found: str, started_with: str, config: TrainConfig | RefineConfig) -> None:
    """Raise TrainingError if a run is resumed with other photos; both strings are `fingerprint`s of the photos."""
    if found != started_with:
        raise _other_images(config)


def check_epochs(reached: int, config: TrainConfig, run: str = "the run") -> None:
    """Raise TrainingError if a resumed run has gone beyond its --epochs."""
    if reached > config.epochs:
        raise TrainingError(f"{run} is already at epoch {reached}: --epochs must be at least that")


def check_sources(found: Sequence[dict[str, Any]], recorded: dict[str, Any], config: TrainConfig) -> None:
    """Raise TrainingError if a run was started with other data sets than `found`, the sources of a PhotoSet: with
    another number of photos, or another name on the Hub.

    Before the photos are decoded, and for a finished run, whose photos are not read again; `check_data` compares the
    photos themselves. recorded: the options of the run.
    """

    def differs(now: dict[str, Any], then: dict[str, Any]) -> bool:
        on_hub = not (now["folder"] or then["folder"])  # a folder may have been moved
        return now["photos"] != then["photos"] + then["gray"] or (on_hub and now["data"] != then["data"])

    before = recorded.get("sources")
    if before is not None and (len(found) != len(before) or any(map(differs, found, before))):
        raise _other_images(config)


def _other_images(config: TrainConfig | RefineConfig) -> TrainingError:
    return TrainingError(
        f"--data {' '.join(config.data)} does not hold the images that {config.run_dir} was started with"
    )


def begins_a_run(name: str) -> bool:
    """Whether a file of this name may be left over from a run that was killed before its first step; a new run
    overwrites it."""
    return name in (LOCK_FILE, TRACKER_FILE, "tensorboard") or name.endswith(".part")


def check_shares(config: TrainConfig | RefineConfig, processes: int) -> None:
    """Raise TrainingError if the processes cannot share a batch evenly, so that their step equals one process's."""
    if config.batch_size % processes:
        raise TrainingError(
            f"--batch-size {config.batch_size} cannot be shared evenly by {processes} processes: "
            f"give a multiple of {processes}"
        )


def fit_batch(config: C, images: int, processes: int, recorded: dict[str, Any] | None = None) -> C:
    """The config with a batch size that the images can fill and the processes share evenly.

    recorded: the options of a run that is resumed. Raises TrainingError if no batch size fits, or if it differs from
    the recorded one.
    """
    largest = images // processes * processes
    if largest == 0:
        raise TrainingError(f"{images} images cannot be shared by {processes} processes: launch fewer")
    try:
        fitted = replace(config, batch_size=min(config.batch_size, largest))
    except ValueError as error:  # it names --batch-size, which may not have been given
        raise TrainingError(f"images to train on: {images}, too few for a batch: {error}") from error
    if recorded:
        check_options(fitted, recorded)
    return fitted


def restore(parts: dict[str, Any], state: dict[str, Any], config: TrainConfig) -> None:
    """Load each part's state, {name: state_dict}; TrainingError if it does not fit, because the class of the decoder
    was changed since."""
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            f"the state in {config.run_dir} does not fit the decoder {config.decoder} as its class is now: "
            "undo the change, or give another --output-dir"
        ) from error


def explain(error: Exception, config: TrainConfig | RefineConfig) -> str | None:
    """One line for an error that a user can fix; None for a bug."""
    if is_out_of_memory(error):
        return f"a batch of {config.batch_size} does not fit into memory: lower {config.memory_options}"
    return one_line(error) if is_user_error(error) else None
