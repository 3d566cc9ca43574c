"""A run's curves and pictures in a tracker, through accelerate: Trackio, which keeps them locally or on a Space, or
TensorBoard. The run does not depend on its tracker: one that fails midway is reported once and no longer used."""

import contextlib
import importlib.util
import io
import json
import os
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
from accelerate import Accelerator
from accelerate.utils import is_tensorboard_available
from huggingface_hub import constants
from PIL import Image

from chromagan.hub.access import PublishError, check_access
from chromagan.hub.files import TRACKER_FILE, read_json, write_json
from chromagan.hub.measured import measures_of, number_of
from chromagan.hub.publish import without_paths
from train.training.options import TrainConfig
from train.training.watching import TrainingError

INSTALLED: dict[str, Callable[[], bool]] = {
    "none": lambda: True,
    "trackio": lambda: importlib.util.find_spec("trackio") is not None,
    "tensorboard": is_tensorboard_available,
}
PROBE_SECONDS = 3.0


def check_tracker(tracker: str) -> str | None:
    """One line on why the tracker cannot be reached; None if it can. TrainingError if it is not installed.

    Trackio runs on this machine unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL name another place.
    """
    if not INSTALLED[tracker]():
        raise TrainingError(f"--tracker {tracker} needs a package that is not installed: pip install {tracker}")
    if tracker != "trackio":
        return None
    if space := os.environ.get("TRACKIO_SPACE_ID"):
        try:
            check_access(space)
        except PublishError as error:
            return f"--tracker trackio, with TRACKIO_SPACE_ID={space}: {error}"
        return None
    if server := os.environ.get("TRACKIO_SERVER_URL"):
        return _no_server(server)
    store = Path(os.environ.get("TRACKIO_DIR") or Path(constants.HF_HOME, "trackio"))
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store):
            pass
    except OSError as error:
        return f"--tracker trackio: its folder {store} cannot be written to ({error.strerror}): set TRACKIO_DIR"
    return None


def _no_server(url: str) -> str | None:
    """Why the Trackio server at `url` cannot be written to; None if it can, as far as it tells.

    If its token is refused, Trackio itself only warns in the background, and the curves would be lost.
    """
    place, token = _without_token(url), parse_qs(urlsplit(url).query).get("write_token", [""])[0]
    token = token or os.environ.get("TRACKIO_WRITE_TOKEN")
    headers = {"Content-Type": "application/json", "X-Trackio-Write-Token": token or ""}
    try:
        asked = urllib.request.Request(f"{place}/api/get_run_mutation_status", data=b"{}", headers=headers)
        with urllib.request.urlopen(asked, timeout=PROBE_SECONDS) as answer:
            allowed = json.load(answer)["data"]["allowed"]
    except urllib.error.HTTPError:  # it answers, but is another version of Trackio
        allowed = bool(token)
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"--tracker trackio: no answer from TRACKIO_SERVER_URL={place} ({getattr(error, 'reason', error)})"
    if not allowed:
        wrong = "rejects the write token" if token else "needs a write token"
        return (
            f"--tracker trackio: TRACKIO_SERVER_URL={place} {wrong}: add /?write_token=..., which it prints on starting"
        )
    return None


def _without_token(url: str) -> str:
    """The address of a Trackio server without its query, which holds the write token and must not be shown."""
    return url.partition("?")[0].rstrip("/")


class Tracker:
    """The run in the accelerator's tracker, if it has one.

    tracker.json next to the run's epochs keeps its name there, so that a resumed run continues the same curves.
    """

    def __init__(self, accelerator: Accelerator, config: TrainConfig, step: int, say: Callable[[str], None]):
        """step: the number of steps taken before. Called on every process; TrainingError if a new run's tracker does
        not start. Nothing is written before the tracker has started.
        """
        self.accelerator, self.say = accelerator, say
        self.name = str(accelerator.log_with[0]) if accelerator.log_with else "none"
        self.last = -1  # the newest step that the tracker has, so that repeated steps are not shown twice
        try:
            with quiet():
                if self.name == "trackio":
                    warn_in_lines(say)
                    self._start_trackio(config)
                elif self.name == "tensorboard":
                    accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": step + 1}})
        except Exception as error:
            if not config.resume:
                raise TrainingError(f"--tracker {self.name} does not start: {shortened(error)}") from error
            self._give_up(error)

    def _start_trackio(self, config: TrainConfig) -> None:
        """A study is a Trackio project, and each of its decoders is a run, whose name is kept."""
        path = config.run_dir / TRACKER_FILE
        known = read_json(path) if path.exists() else {}
        project = known.get("project") or Path(config.output_dir).resolve().name or "chromagan"
        run = known.get("run") or f"{config.decoder}-{time.strftime('%Y%m%d-%H%M%S')}"
        sources = [{"data": data, "folder": os.path.isdir(data)} for data in config.data]
        shown = without_paths(asdict(config) | {"sources": sources})
        options = {"name": run, "resume": "allow", "config": shown, "embed": False}
        self.accelerator.init_trackers(project, init_kwargs={"trackio": options})
        if not self.accelerator.is_main_process:
            return
        self.last = getattr(self.accelerator.get_tracker("trackio", unwrap=True), "_next_step", 0) - 1
        space = os.environ.get("TRACKIO_SPACE_ID")
        url = f"{constants.ENDPOINT}/spaces/{space}?project={quote(project)}" if space else known.get("url")
        config.run_dir.mkdir(parents=True, exist_ok=True)
        write_json(path, {"project": project, "run": run, "url": url})
        server = _without_token(os.environ.get("TRACKIO_SERVER_URL", ""))
        place = url if space else server or f"trackio show --project {json.dumps(project)}"
        self.say(f"{run} is in Trackio: {place}")

    def log(self, values: dict[str, float], step: int) -> None:
        """Loss terms, gradient norms and images/s of the steps up to `step`."""
        if step > self.last:
            self._try(lambda: self.accelerator.log(values, step=step))

    def log_epoch(self, epoch: int, step: int, measured: dict | None, samples: Path | None) -> None:
        """Measures of a saved epoch over the colored validation photos, and the sheet of its sample colorings."""
        self._try(lambda: self._log_epoch(epoch, step, measured, samples))

    def _log_epoch(self, epoch: int, step: int, measured: dict | None, samples: Path | None) -> None:
        values = {f"validation/{name}": value for name, value in colored_values(measured).items()}
        if self.name == "trackio" and samples is not None:
            import trackio

            values["samples"] = trackio.Image(str(samples), caption=f"epoch {epoch}")
        if values:
            self.accelerator.log(values, step=step)
        if self.name == "tensorboard" and samples is not None:
            sheet = np.asarray(Image.open(samples).convert("RGB"))[None]
            self.accelerator.get_tracker("tensorboard").log_images({"samples": sheet}, step=step, dataformats="NHWC")

    def close(self) -> None:
        """Wait until the tracker has everything; it gives up by itself after half a minute."""
        with quiet():
            self._try(self._finish)
        self.accelerator.trackers = []

    def _finish(self) -> None:
        if self.name == "tensorboard":
            self.accelerator.get_tracker("tensorboard").finish()
        elif self.accelerator.is_main_process:
            import trackio

            trackio.finish()  # accelerate's leaves the run open until it is finished again when the program ends

    def _try(self, act: Callable[[], None]) -> None:
        if not self.accelerator.trackers:
            return
        try:
            act()
        except Exception as error:  # no error of a tracker should end the training
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.accelerator.trackers = []
        self.say(f"the run continues without its tracker, {self.name}: {shortened(error)}")


def colored_values(measured: dict | None) -> dict[str, float]:
    """Name -> value of the measures over the colored photos, without intervals; missing measures are left out."""
    values = {name: number_of(measure) for name, measure in measures_of(measured or {}).items()}
    return {name: value for name, value in values.items() if value is not None and name != "images"}


def warn_in_lines(say: Callable[[str], None]) -> None:
    """Pass Trackio's warnings to `say`, one line each: it only warns when its storage is gone, full or closed."""
    shown, folder = warnings.showwarning, Path(importlib.util.find_spec("trackio").origin).parent

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if Path(filename).is_relative_to(folder):
            say(f"from Trackio: {shortened(message).removeprefix('* ')}")
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def shortened(error: Exception | str) -> str:
    """The beginning of a library's error, which may have many lines, as one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress what a tracker prints: several lines in the middle of the progress bar."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
