"""Folders that end with their process, by real processes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = """
import sys
from pathlib import Path
from chromagan.hub.process_folder import folder_of_process
folder = folder_of_process(Path(sys.argv[1]))
(folder / "weights").write_text("large")
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a process with such a folder, and returns both."""
    begun = []

    def run() -> tuple[subprocess.Popen, Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", MAKE, str(tmp_path / "root")], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        begun.append(process)
        return process, Path(process.stdout.readline().strip())

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def test_a_folder_ends_with_its_process_or_with_the_next(start, tmp_path):
    ended, of_ended = start()
    killed, of_killed = start()
    _, of_running = start()
    assert len({of_ended, of_killed, of_running}) == 3
    ended.communicate("")
    assert not of_ended.exists() and of_killed.exists()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (of_killed / "weights").exists()
    _, of_next = start()
    assert not of_killed.exists() and (of_running / "weights").exists()
    left = {path for path in (tmp_path / "root").iterdir() if path.name != ".lock"}
    assert left == {each.with_name(each.name + suffix) for each in (of_running, of_next) for suffix in ("", ".lock")}
