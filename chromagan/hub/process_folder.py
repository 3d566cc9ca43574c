"""A folder that no process outlives: also where one was killed, its files do not stay."""

import atexit
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout


def folder_of_process(root: Path) -> Path:
    """A new folder below `root`, removed when this process ends. Those of processes that were killed, whose locks the
    system has given up, are removed now. OSError if it cannot be made."""
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):  # else another process could find a folder that is not locked yet
        for folder in root.glob("*/"):
            with suppress(Timeout):  # of a process that runs
                _remove(folder, _lock(folder))
        folder = Path(tempfile.mkdtemp(dir=root))
        atexit.register(_remove, folder, _lock(folder))
    return folder


def _lock(folder: Path) -> BaseFileLock:
    """The lock of a folder's process, held; Timeout if another holds it."""
    lock = FileLock(f"{folder}.lock", timeout=0)
    lock.acquire()
    return lock


def _remove(folder: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
