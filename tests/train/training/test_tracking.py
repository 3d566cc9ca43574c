"""A run in its tracker: against the real local store of Trackio and real TensorBoard files, without a network."""

import dataclasses
import json
import os
import shutil
import tempfile
import warnings

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio-")  # before Trackio is imported, which reads it once

import trackio
from trackio.sqlite_storage import SQLiteStorage
from trackio.utils import MEDIA_DIR, _emit_nonfatal_warning

from train.train import main
from train.training.options import TrainConfig
from train.training.tracking import INSTALLED, Tracker, check_tracker, warn_in_lines
from train.training.watching import TrainingError


@pytest.fixture(autouse=True)
def here(monkeypatch):
    for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def config(image_folder, tmp_path):
    return TrainConfig(
        decoder="compact", data=[str(image_folder)], output_dir=str(tmp_path / "birds"), epochs=1, save_epochs=[0],
        batch_size=4, crop=64, critic_crop=56, critic_width=4, log_every=1, state_every=1, limit_validation=2,
        samples=2, cache_dir=str(tmp_path.parent / "cache"), tracker="trackio",
    )  # fmt: skip


def train(config: TrainConfig) -> None:
    torch.manual_seed(0)
    main(config)
    AcceleratorState._reset_state(reset_partial_state=True)


def rows(project: str, run) -> list[dict]:
    return SQLiteStorage.get_logs(project, run.name, run_id=run.id)


def test_a_killed_run_goes_on_as_the_same_run_of_the_real_store(config, tmp_path, capsys):
    """Killed when step 2 and epoch 1 were in the tracker, and neither in a state nor in a folder."""
    train(config)
    (run,) = trackio.Api().runs("birds")
    named = json.loads((config.run_dir / "tracker.json").read_text())
    assert named == {"project": "birds", "run": run.name, "url": None} and run.name.startswith("compact-")
    assert "trackio show" in capsys.readouterr().err
    assert run.config["lr"] == config.lr and not {"output_dir", "cache_dir"} & set(run.config)

    shutil.rmtree(config.run_dir / "epoch-1")
    (newest,) = config.run_dir.glob("state-2-*.pt")
    newest.unlink()
    train(dataclasses.replace(config, resume=True, epochs=2))
    assert [each.id for each in trackio.Api().runs("birds")] == [run.id]
    logged = rows("birds", run)
    assert [row["step"] for row in logged if "color" in row] == [1, 2, 3, 4]
    terms = {"color", "adversarial", "semantic", "penalty", "color_grad_norm", "images_per_second"}
    assert all(terms <= set(row) for row in logged if "color" in row)
    epochs = [row for row in logged if "validation/ciede2000_mean" in row]
    assert [row["step"] for row in epochs if row["step"] != 2] == [0, 4] and 2 in {row["step"] for row in epochs}
    saved = json.loads((config.run_dir / "epoch-2" / "metrics.json").read_text())["colored"]
    assert epochs[-1]["validation/ciede2000_mean"] == saved["ciede2000_mean"]["value"]
    assert epochs[-1]["samples"]["caption"] == "epoch 2"
    shown = MEDIA_DIR / epochs[-1]["samples"]["file_path"]
    assert shown.read_bytes() == (config.run_dir / "samples" / "epoch-2.png").read_bytes()


class Broken:
    """A tracker that takes one value and no more."""

    name = "trackio"

    def __init__(self):
        self.logged = []

    def log(self, values, step=None):
        if self.logged:
            raise ConnectionError("the server\nis gone")
        self.logged.append(step)


def refuse(why):
    raise ValueError(why)


@pytest.mark.parametrize("values", [1, 3])
def test_a_tracker_that_stops_is_said_once_and_stops_nothing(config, monkeypatch, values):
    broken, said = Broken(), []
    monkeypatch.setattr(Accelerator, "init_trackers", lambda self, *a, **k: self.trackers.append(broken))
    monkeypatch.setattr(Accelerator, "get_tracker", lambda self, *a, **k: broken)
    monkeypatch.setattr(trackio, "finish", lambda: refuse("still gone"))
    tracker = Tracker(Accelerator(log_with="trackio", cpu=True), config, 0, said.append)
    for step in range(values):
        tracker.log({"color": 1.0}, step)
    tracker.close()
    gone = "the server is gone" if values > 1 else "still gone"
    assert said[1:] == [f"the run continues without its tracker, trackio: {gone}"] and broken.logged == [0]


def test_a_tracker_that_does_not_start_holds_up_a_new_run_only(config, monkeypatch):
    monkeypatch.setattr(trackio, "init", lambda **options: refuse("no such project"))
    with pytest.raises(TrainingError, match="--tracker trackio does not start: no such project"):
        Tracker(Accelerator(log_with="trackio", cpu=True), config, 0, print)
    assert not config.run_dir.exists()
    said = []
    Tracker(Accelerator(log_with="trackio", cpu=True), dataclasses.replace(config, resume=True), 0, said.append).close()
    assert said == ["the run continues without its tracker, trackio: no such project"]


@pytest.mark.parametrize("tracker", ["trackio", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_one_line_before_any_work(config, monkeypatch, tracker):
    monkeypatch.setitem(INSTALLED, tracker, lambda: False)
    with pytest.raises(TrainingError, match=f"--tracker {tracker} needs a package .* pip install {tracker}"):
        main(dataclasses.replace(config, tracker=tracker))


def test_a_place_that_does_not_answer_is_one_line_before_any_work(config, monkeypatch):
    monkeypatch.setenv("TRACKIO_SERVER_URL", "http://127.0.0.1:9/?write_token=secret")
    why = check_tracker("trackio")
    assert "no answer from TRACKIO_SERVER_URL=http://127.0.0.1:9 (" in why and "secret" not in why
    monkeypatch.setenv("TRACKIO_SPACE_ID", "someone/curves")
    with pytest.raises(TrainingError, match="TRACKIO_SPACE_ID=someone/curves: .*the Hub is out of reach"):
        main(config)
    assert not config.run_dir.exists()


def test_a_server_that_refuses_the_token_is_one_line_before_any_work(monkeypatch):
    """Against Trackio's real server: Trackio itself would train on and lose the curves."""
    app, address, _, with_token = trackio.show(open_browser=False, block_thread=False)
    try:
        for url, wrong in ((address, "needs a"), (f"{address}?write_token=secret", "rejects the")):
            monkeypatch.setenv("TRACKIO_SERVER_URL", url)
            why = check_tracker("trackio")
            assert f"{wrong} write token" in why and "secret" not in why and "\n" not in why
        monkeypatch.setenv("TRACKIO_SERVER_URL", with_token)
        assert check_tracker("trackio") is None
    finally:
        app.close()


def test_a_store_that_cannot_be_written_is_one_line_before_any_work(config, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "file"))
    with pytest.raises(TrainingError, match="file cannot be written to .File exists.: set TRACKIO_DIR"):
        main(config)
    assert not config.run_dir.exists()


def test_what_trackio_warns_of_is_a_line_and_other_warnings_stay(recwarn):
    said = []
    warn_in_lines(said.append)
    _emit_nonfatal_warning("* could not send\nthe logs")
    warnings.warn("of another", stacklevel=1)
    assert said == ["from Trackio: could not send the logs"] and [str(w.message) for w in recwarn] == ["of another"]


def test_none_and_tensorboard(config, tmp_path):
    said = []
    nothing = Tracker(Accelerator(cpu=True), config, 0, said.append)
    nothing.log({"color": 1.0}, 1)
    nothing.log_epoch(0, 0, {"colored": {"ssim": {"value": 1.0}}}, None)
    nothing.close()
    board = Accelerator(log_with="tensorboard", cpu=True, project_dir=config.run_dir)
    Tracker(board, config, 0, said.append).close()
    assert list((config.run_dir / "tensorboard").glob("events.*")) and said == []


def test_curves_of_tensorboard_have_each_step_once_where_a_run_goes_on(config):
    """Killed behind step 3, with a state of step 2."""
    for begun, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        board = Accelerator(log_with="tensorboard", cpu=True, project_dir=config.run_dir)
        tracker = Tracker(board, config, begun, print)
        for step in steps:
            tracker.log({"color": float(step)}, step)
        tracker.close()
    events = EventAccumulator(str(config.run_dir / "tensorboard"))
    events.Reload()
    assert [each.step for each in events.Scalars("color")] == [1, 2, 3, 4]
