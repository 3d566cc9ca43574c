"""How measuring is shared out: what becomes of a process that fails, dies or loses its parent."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from chromagan.hub.checkpoints import CheckpointError
from train.evaluation.shards import measure_shards

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Task:
    """Stands for a MeasuringTask: leaves a file for each shard, unless something happens to it."""

    folder: Path
    happens: str = ""
    device = torch.device("cpu")

    def measure(self, shard: range) -> int:
        if shard.start == 2 and self.happens == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if shard.start == 2 and self.happens == "fails":
            raise CheckpointError("compact, epoch 3 cannot be used")
        (self.folder / str(shard.start)).write_text(f"{os.getpid()} {torch.get_num_threads()}")
        if self.happens == "waits":
            time.sleep(60)
        return len(shard)


SHARDS = [range(start, start + 2) for start in range(0, 8, 2)]


@pytest.mark.parametrize("cores", [1, 2])
def test_every_shard_is_measured_on_one_thread(tmp_path, cores):
    before = torch.get_num_threads()
    measure_shards(Task(tmp_path), SHARDS, cores, show=False)
    said = [path.read_text().split() for path in tmp_path.iterdir()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "4", "6"]
    assert {threads for _, threads in said} == {"1"} and torch.get_num_threads() == before
    assert ({pid for pid, _ in said} == {str(os.getpid())}) == (cores == 1)


@pytest.mark.parametrize("cores", [1, 2])
def test_what_a_process_raises_is_raised(tmp_path, cores):
    with pytest.raises(CheckpointError, match="^compact, epoch 3 cannot be used$"):
        measure_shards(Task(tmp_path, "fails"), SHARDS, cores, show=False)


def test_a_process_that_dies_is_an_error_and_no_endless_wait(tmp_path):
    with pytest.raises(OSError, match="a measuring process ended unexpectedly: out of memory"):
        measure_shards(Task(tmp_path, "dies"), SHARDS, 2, show=False)


def test_workers_end_with_their_parent(tmp_path):
    """An evaluation that was killed leaves no process behind."""
    code = "import sys; from pathlib import Path; from test_shards import *\n"
    code += "if __name__ == '__main__': measure_shards(Task(Path(sys.argv[1]), 'waits'), SHARDS, 2, show=False)"
    (tmp_path / "run.py").write_text(code)
    (tmp_path / "out").mkdir()
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "out")]
    parent = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})
    deadline = time.monotonic() + 120
    while len(found := [path for path in (tmp_path / "out").iterdir() if path.read_text()]) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.1)
    workers = [int(path.read_text().split()[0]) for path in found]
    parent.kill()
    parent.wait()
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        os.kill(process, 0)
        status = Path(f"/proc/{process}/stat")
        return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
