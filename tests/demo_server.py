"""The demo as a program of its own, on a port that is free: for tests, figures and pictures of it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

APP = Path(__file__).resolve().parent.parent / "app.py"
START_SECONDS = 180  # importing torch and gradio takes nearly all of it, on a busy machine
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class DemoServer(NamedTuple):
    """A demo that runs."""

    url: str
    process: subprocess.Popen
    folder: Path  # in which it was started
    log: Path  # what it says


def find_browser() -> str | None:
    """The browser of this machine; None, which to Playwright is the one that it installs, where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def environment(**more: str) -> dict[str, str]:
    """Variables of a demo that speaks to this machine alone, with the shipped checkpoints where `more` names no other.

    Its temporary folder is its own, whatever is set here.
    """
    own = ("CHROMAGAN_SOURCE", "GRADIO_TEMP_DIR")
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    local = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    return inherited | local | more


@contextmanager
def running_demo(folder: Path, command: Sequence = (APP,), niceness: int = 0, **more: str) -> Iterator[DemoServer]:
    """A context with the demo, started in `folder`, where its log is, too. SystemExit, with the log, where it does not
    start.

    command: what Python runs. niceness: by how much its processor time may wait for others'. more: of `environment`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server_log = folder / "log"
    with server_log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment(GRADIO_SERVER_PORT=str(port), **more),
            stdout=log, stderr=log, preexec_fn=(lambda: os.nice(niceness)) if niceness else None,
        )  # fmt: skip
    server = DemoServer(f"http://127.0.0.1:{port}", process, folder, server_log)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    try:
        while True:
            try:
                direct.open(server.url, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the demo did not start:\n{server_log.read_text()}")
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(20)
