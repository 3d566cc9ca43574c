"""What a run is resumed from: a state, or nothing if it was killed before the first one; never from nothing later."""

import errno
import json
import warnings
from dataclasses import asdict

import pytest
import torch
from filelock import FileLock

from chromagan.hub.files import read_json, write_json
from train.study import main as study
from train.study import parse_args
from train.training import refine_options
from train.training.checks import check_run_dir, load_run, lock_run, restore
from train.training.options import parse_config
from train.training.state import save_state
from train.training.watching import TrainingError

PHOTOS = [{"data": "d", "photos": 30, "gray": 0}, {"data": "e", "photos": 10, "gray": 3}]


def flags(folder, epochs=3, more=()):
    return ["--data", "d", "--output-dir", str(folder), "--epochs", str(epochs), "--batch-size", "4", *more]


def begun(folder, epochs=3, logged=0, saved=(), state_every=25):
    """A run of 10 steps an epoch whose states are gone."""
    config = parse_config(["--decoder", "compact", *flags(folder, epochs, ["--state-every", str(state_every)])])
    for epoch in saved:
        (config.run_dir / f"epoch-{epoch}").mkdir(parents=True)
        (config.run_dir / f"epoch-{epoch}" / "model.safetensors").touch()
    config.run_dir.mkdir(parents=True, exist_ok=True)
    write_json(config.run_dir / "train.json", asdict(config) | {"sources": PHOTOS})
    lines = (json.dumps({"step": step, "epoch": step / 10}) + "\n" for step in range(1, logged + 1))
    (config.run_dir / "log.jsonl").write_text("".join(lines) + '{"step": 99')
    return config.run_dir


def resume(folder, epochs=3):
    """Resume the run as train.py does; returns the lines that it says."""
    said = []
    config = parse_config(["--decoder", "compact", *flags(folder, epochs), "--resume"])
    assert load_run(config, check_run_dir(config), said.append) is None
    return said


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "run, to",
    [
        (dict(logged=30, saved=[0, 1, 3]), 3),
        (dict(logged=30, saved=[0, 1, 3]), 9),  # a finished run that is to go on
        (dict(logged=26), 3),  # behind its first state
        (dict(logged=10, saved=[0, 1], state_every=10), 3),  # which is saved before the epoch
        (dict(saved=[0, 1, 3]), 3),  # without lines
        (dict(saved=[0, 1, 3], epochs=5), 5),
        (dict(logged=10, saved=[0, 1], epochs=1), 2),  # its only state was that of its end
    ],
)
def test_a_run_whose_states_were_deleted_is_not_started_again(tmp_path, run, to):
    begun(tmp_path, **run)
    before = contents(tmp_path)
    with pytest.raises(TrainingError, match="compact has no state and cannot be continued: give another --output-dir"):
        resume(tmp_path, to)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "run",
    [
        dict(logged=25, saved=[0, 1]),  # killed while it saved its first state
        dict(logged=10, saved=[0], state_every=10),  # ... at the end of an epoch
        dict(logged=10, saved=[0], epochs=1),  # ... which is its last one, too
        dict(logged=12, saved=[0, 1]),
    ],
)
def test_a_run_that_was_killed_before_its_first_state_starts_again_and_says_so(tmp_path, run):
    begun(tmp_path, **run)
    (said,) = resume(tmp_path)
    assert said.endswith("was ended before it saved a state: starting again from step 0")


@pytest.mark.parametrize("run", [dict(), dict(saved=[0]), dict(saved=[0], epochs=0)])
def test_a_run_without_a_step_goes_on_in_silence(tmp_path, run):
    begun(tmp_path, **run)
    assert resume(tmp_path) == []


def test_a_run_with_a_flag_that_no_longer_exists_is_refused(tmp_path):
    recorded = begun(tmp_path) / "train.json"
    write_json(recorded, read_json(recorded) | {"fused_adam": True, "channels_last": False})
    with pytest.raises(TrainingError, match="was started with --no-channels-last, which no longer exists: give"):
        resume(tmp_path)


def test_a_study_does_not_promise_to_continue_what_cannot_be(tmp_path, capsys):
    """One that is finished needs no state."""
    folder = begun(tmp_path, logged=30, saved=[0, 1, 3])
    before = contents(tmp_path)
    more = [*flags(tmp_path, 9), "--decoders", "compact", "--dry-run"]
    with pytest.raises(TrainingError, match="has no state and cannot be continued"):
        study(*parse_args(more))
    assert contents(tmp_path) == before and not capsys.readouterr().out
    save_state(folder, 30, {})
    with pytest.raises(ValueError, match="no folder 'd'"):  # the next that is asked: where its photos are
        study(*parse_args(more))
    next(folder.glob("state-*")).unlink()
    with pytest.raises(ValueError, match="no folder 'd'"):
        study(*parse_args([*flags(tmp_path), "--decoders", "compact", "--dry-run"]))


@pytest.mark.parametrize("saved, steps, refused", [("refiner", 20, True), ("refiner-greedy", 20, False)])
def test_a_refiner_is_not_started_again_either(tmp_path, saved, steps, refused):
    own = ["--source", "s", "--data", "d", "--output-dir", str(tmp_path), "--steps", str(steps), "--greedy-steps", "9"]
    config = refine_options.parse_config([*own, "--resume"])
    (tmp_path / saved).mkdir()
    write_json(tmp_path / "train.json", asdict(config))
    if refused:
        with pytest.raises(TrainingError, match="has no state and cannot be continued"):
            load_run(config, check_run_dir(config), pytest.fail)
    else:
        assert load_run(config, check_run_dir(config), pytest.fail) is None


@pytest.mark.parametrize("resumed", [True, False])
def test_a_folder_is_trained_in_by_one_process(tmp_path, resumed):
    config = parse_config(["--decoder", "compact", *flags(tmp_path), *(["--resume"] if resumed else [])])
    if resumed:
        begun(tmp_path)
    config.run_dir.mkdir(exist_ok=True)
    with FileLock(config.run_dir / ".lock"):  # of another process
        check_run_dir(config)  # a study may look at it
        with pytest.raises(TrainingError, match="compact is being trained by another process"):
            lock_run(config)
    assert lock_run(config).is_locked
    check_run_dir(config)  # the file that is left holds up no run


def test_a_run_that_began_since_the_folder_was_checked_is_not_overwritten(tmp_path):
    config = parse_config(["--decoder", "compact", *flags(tmp_path)])
    check_run_dir(config)
    begun(tmp_path)
    with pytest.raises(TrainingError, match="already holds a run"):
        lock_run(config)


def test_a_stray_file_is_not_called_a_run(tmp_path):
    """Advice to resume would end in: nothing to resume."""
    config = parse_config(["--decoder", "compact", *flags(tmp_path)])
    config.run_dir.mkdir()
    (config.run_dir / ".DS_Store").touch()
    with pytest.raises(TrainingError, match=r"holds \.DS_Store, which is not a run's: move it away"):
        check_run_dir(config)


def test_the_state_of_a_decoder_whose_class_was_changed_is_one_line(tmp_path):
    config = parse_config(["--decoder", "compact", *flags(tmp_path)])
    before, after = torch.nn.Linear(2, 3), torch.nn.Linear(2, 4)
    restore({"generator": before}, {"generator": before.state_dict()}, config)
    for state in (after.state_dict(), {}):
        with pytest.raises(TrainingError, match="does not fit the decoder compact as its class is now") as error:
            restore({"generator": before}, {"generator": state}, config)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("locks", [True, False])
def test_what_a_killed_run_left_half_written_goes_when_it_is_resumed(tmp_path, monkeypatch, locks):
    """Only in a folder that is locked: without locks another process may be writing it."""
    folder, number = begun(tmp_path, saved=[0]), "0123456789abcdef"
    left = [f".{name}-{number}.part" for name in ("train.json", "log.jsonl", "tracker.json", "state-25")]
    own = [".epoch-1-notes", f".epochs-{number}", f"epoch-1-{number}", ".notes.part", f"{number}.part"]
    for name in (*left, *own):
        (folder / name).touch()
    (folder / f".epoch-1-{number}").mkdir()
    (folder / f".epoch-1-{number}" / "model.safetensors").touch()
    if not locks:
        monkeypatch.setattr(FileLock, "acquire", lambda self: None)
    before = contents(folder).keys()
    lock = lock_run(parse_config(["--decoder", "compact", *flags(tmp_path), "--resume"]))
    assert lock.is_locked == locks
    gone = {path.relative_to(folder).parts[0] for path in before - contents(folder).keys()}
    assert gone == ({*left, f".epoch-1-{number}"} if locks else set())


@pytest.mark.parametrize("name", ["samples", "refiner", "refiner-greedy"])
def test_what_is_half_written_in_a_folder_of_the_run_goes_too(tmp_path, name):
    """A refiner's folder is copied into a source as it is."""
    folder = begun(tmp_path, saved=[0]) / name
    folder.mkdir(exist_ok=True)
    (folder / ".model.safetensors-0123456789abcdef.part").touch()
    (folder / "model.safetensors").touch()
    lock_run(parse_config(["--decoder", "compact", *flags(tmp_path), "--resume"]))
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError()])
def test_a_file_system_without_locks_holds_up_no_run(tmp_path, monkeypatch, error):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert not lock_run(parse_config(["--decoder", "compact", *flags(tmp_path)])).is_locked


def test_no_file_stands_for_a_lock_where_there_are_none(tmp_path, monkeypatch):
    """It would be left by a process that is killed, and hold up every later one."""

    def refuse(*arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with warnings.catch_warnings(action="ignore"):
        lock_run(parse_config(["--decoder", "compact", *flags(tmp_path)]))
    assert not (tmp_path / "compact" / ".lock").exists()
