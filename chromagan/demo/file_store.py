"""The files that a page shows and offers for download, in a folder of bounded size, under unguessable names."""

import hashlib
import math
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from chromagan.atomic import replacing

GRACE_SECONDS = 60  # a page that was just shown may still be loading its pictures
SCAN_SECONDS = 5
RESULTS = "results"  # subfolder of the results, separate from the uploads


class FileStore:
    """Files below one folder: uploads, results made from them, and whatever else Gradio writes there, such as uploads
    that were broken off and saved views.

    All are deleted `max_age` seconds after their last use. If together they exceed `limit` bytes, the oldest results
    are deleted earlier; uploads, which cannot be recreated, only if they alone exceed half of it. Files younger than
    GRACE_SECONDS are kept.
    The folder of a result is a keyed digest of its content: equal pictures are stored once, and their address cannot be
    guessed.
    """

    def __init__(self, folder: str | os.PathLike, limit: int, max_age: float = math.inf):
        self.folder, self.limit, self.max_age = Path(folder), limit, max_age
        self._pinned: dict[Path, bytes] = {}
        self._earlier = set(self.folder.rglob("*"))  # of an earlier process, with visitors' photos among them
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._scanned = 0.0

    def put(self, data: bytes | Path, name: str) -> Path:
        """Store a file called `name` and return its path. data: its content, or the path of a file to move here."""
        digest = hashlib.blake2b(key=self._secret, digest_size=20)
        if isinstance(data, Path):
            with data.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        else:
            digest.update(data)
        digest = digest.hexdigest()
        path = self.folder / RESULTS / digest / name
        with self._lock:  # so that it is not deleted meanwhile
            if not _touch(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as part:
                    if isinstance(data, Path):
                        shutil.move(data, part)
                    else:
                        part.write_bytes(data)
        self.clean_up()
        return path

    def mark_used(self, path: Path) -> None:
        """Count the age of an upload from now. Files in other folders are ignored."""
        if path.is_relative_to(self.folder):
            _touch(path)

    def pin(self, shipped: Iterable[Path] = ()) -> None:
        """Keep the files that this process has made so far, the pictures of the initial page, for as long as it runs.

        shipped: files whose copies are kept even if an earlier process made them: Gradio does not copy them again.
        """
        copies = {path.name: path.read_bytes() for path in shipped}
        for path in self.folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                if path not in self._earlier or copies.get(path.name) == data:
                    self._pinned[path] = data

    def clean_up(self, now: bool = False) -> int:
        """Delete what is too old or beyond the limit and return the bytes left; -1 if nothing was done.

        Runs at most every SCAN_SECONDS; with `now`, always, and without the grace period.
        """
        with self._lock:
            if not now and time.monotonic() - self._scanned < SCAN_SECONDS:
                return -1
            self._scanned = time.monotonic()
            self._restore()
            uploads, results = [], []
            for path in self.folder.rglob("*"):
                try:
                    status = path.stat()
                except OSError:  # Gradio deletes old files itself
                    continue
                if stat.S_ISREG(status.st_mode) and path not in self._pinned:
                    files = results if path.is_relative_to(self.folder / RESULTS) else uploads
                    files.append((_last_use(status), status.st_size, path))
            grace = 0 if now else GRACE_SECONDS
            left = self._delete(uploads, self.limit / 2, grace)
            return left + self._delete(results, self.limit - left, grace)

    def _restore(self) -> None:
        """Touch the pinned files, and write them again if they are gone: machines clean temporary folders by age."""
        for path, data in self._pinned.items():
            with suppress(OSError):  # tried again at the next call
                if not _touch(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(path) as part:
                        part.write_bytes(data)

    def _delete(self, files: list[tuple[float, int, Path]], limit: float, grace: float) -> int:
        """Delete the files (last use, bytes, path) that are too old, then the oldest beyond `limit`; the bytes left."""
        total, present = sum(size for _, size, _ in files), time.time()
        for used, size, path in sorted(files):
            age = present - used
            # abs: if the clock was set back, files are from the future; they would outgrow the limit until it is there.
            if age > self.max_age or (total > limit and abs(age) > grace):
                try:
                    path.unlink(missing_ok=True)
                except OSError:  # cannot be deleted: it still counts, and the others go on
                    continue
                total -= size
                if path.parent != self.folder:
                    with suppress(OSError):  # not empty
                        path.parent.rmdir()
        return total


def _last_use(status: os.stat_result) -> float:
    """When a file was written here or touched: Gradio's copy of an example has the example's date of modification."""
    return max(status.st_mtime, status.st_ctime)


def _touch(path: Path) -> bool:
    """Whether a file exists at `path`; resets its age."""
    try:
        os.utime(path, (time.time(),) * 2)
    except FileNotFoundError:
        return False
    return True
