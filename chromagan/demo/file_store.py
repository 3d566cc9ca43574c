"""The files that a page shows and hands out, in a folder of bounded size, under names that nobody guesses."""

import hashlib
import math
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chromagan.atomic import replacing

GRACE_SECONDS = 60  # a page that was just shown may still be loading its pictures
SCAN_SECONDS = 5
RESULTS = "results"  # the subfolder of what is made, apart from the uploads


class FileStore:
    """Files below one folder: uploads, which someone else puts there as `<any>/<name>`, and what is made of them.

    All are deleted `max_age` seconds after their last use. Where together they exceed `limit` bytes, results go
    earlier, the oldest first; uploads, which cannot be made again, where they alone exceed half of it. Only what is
    younger than GRACE_SECONDS is safe.
    The folder of a result is a keyed digest of what is in it: equal pictures are stored once, and their address cannot
    be worked out by someone who does not have it.
    """

    def __init__(self, folder: str | os.PathLike, limit: int, max_age: float = math.inf):
        self.folder, self.limit, self.max_age = Path(folder), limit, max_age
        self._pinned: set[Path] = set()
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._scanned = 0.0

    def put(self, data: bytes | Path, name: str) -> Path:
        """The path of a stored file called `name`. data: what is in it, or a file that is moved here."""
        digest = hashlib.blake2b(key=self._secret, digest_size=20)
        if isinstance(data, Path):
            with data.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        else:
            digest.update(data)
        digest = digest.hexdigest()
        path = self.folder / RESULTS / digest / name
        with self._lock:  # it is not deleted meanwhile
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
        """Count the age of an upload from now. Files of other folders are let alone."""
        if path.is_relative_to(self.folder):
            _touch(path)

    def pin(self) -> None:
        """Never delete what is there now: the pictures of a page as it arrives."""
        self._pinned = set(self._files())

    def _files(self) -> Iterator[Path]:
        yield from self.folder.glob(f"{RESULTS}/*/*")
        yield from (path for path in self.folder.glob("*/*") if path.parent.name != RESULTS)

    def clean_up(self, now: bool = False) -> int:
        """The bytes that are left when all that is too old or beyond the limit is deleted; -1 where nothing was done.

        It is done at most every SCAN_SECONDS, but always if `now`, which gives no grace either.
        """
        with self._lock:
            if not now and time.monotonic() - self._scanned < SCAN_SECONDS:
                return -1
            self._scanned = time.monotonic()
            uploads, results = [], []
            for path in self._files():
                try:
                    status = path.stat()
                except OSError:  # Gradio deletes old files of its own accord
                    continue
                if stat.S_ISREG(status.st_mode) and path not in self._pinned:  # Gradio has folders of its own here
                    files = results if path.parent.parent.name == RESULTS else uploads
                    files.append((status.st_mtime, status.st_size, path))
            grace = 0 if now else GRACE_SECONDS
            left = self._delete(uploads, self.limit / 2, grace)
            return left + self._delete(results, self.limit - left, grace)

    def _delete(self, files: list[tuple[float, int, Path]], limit: float, grace: float) -> int:
        """The bytes left of files (modified, bytes, path) when those too old and the oldest beyond `limit` are gone."""
        total, present = sum(size for _, size, _ in files), time.time()
        for modified, size, path in sorted(files):
            age = present - modified
            if age > self.max_age or (total > limit and age > grace):
                try:
                    path.unlink(missing_ok=True)
                except OSError:  # not to be deleted: it counts, and the others go
                    continue
                total -= size
                with suppress(OSError):  # something else is in it
                    path.parent.rmdir()
        return total


def _touch(path: Path) -> bool:
    """Whether there is a file at `path`; its age counts from now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
