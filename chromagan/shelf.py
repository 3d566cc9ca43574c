"""Files that a page shows and hands out: in a folder of bounded size, under names that nobody guesses."""

import hashlib
import math
import os
import secrets
import shutil
import threading
import time
from pathlib import Path

GRACE_SECONDS = 120  # a page that was just shown may still be loading its pictures
SCAN_SECONDS = 5


class Shelf:
    """Files below one folder, uploads and results alike: deleted at `max_age` seconds, and the oldest of them before
    that where together they exceed `limit` bytes.

    A file's folder is a keyed digest of what is in it: equal pictures are stored once, and their address cannot be
    worked out by someone who does not have it.
    """

    def __init__(self, folder: str | os.PathLike, limit: int, max_age: float = math.inf):
        self.folder, self.limit, self.max_age = Path(folder), limit, max_age
        self._pinned: set[Path] = set()
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._scanned = 0.0

    def put(self, data: bytes | Path, name: str) -> Path:
        """Store `data`, or a file that is moved here, as a file called `name`; its path."""
        digest = hashlib.blake2b(key=self._secret, digest_size=20)
        if isinstance(data, Path):
            with data.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        else:
            digest.update(data)
        digest = digest.hexdigest()
        path = self.folder / digest / name
        if path.exists():
            os.utime(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{secrets.token_hex(4)}")
            if isinstance(data, Path):
                shutil.move(data, beside)
            else:
                beside.write_bytes(data)
            os.replace(beside, path)
        self.tidy()
        return path

    def pin(self) -> None:
        """Keep what is there for good: the pictures of a page as it arrives."""
        self._pinned = set(self.folder.glob("*/*"))

    def tidy(self, now: bool = False) -> int:
        """Delete what is too old or beyond the limit; the bytes that are left. Looks at most every few seconds."""
        with self._lock:
            if not now and time.monotonic() - self._scanned < SCAN_SECONDS:
                return -1
            self._scanned = time.monotonic()
            files = []
            for path in self.folder.glob("*/*"):
                try:
                    status = path.stat()
                except OSError:  # Gradio deletes old files of its own accord
                    continue
                if path not in self._pinned:
                    files.append((status.st_mtime, status.st_size, path))
            total = sum(size for _, size, _ in files)
            present = time.time()
            for modified, size, path in sorted(files):
                crowded = total > self.limit and (now or present - modified > GRACE_SECONDS)
                if not crowded and present - modified <= self.max_age:
                    break
                path.unlink(missing_ok=True)
                total -= size
                try:
                    path.parent.rmdir()
                except OSError:
                    continue  # something else is in it
            return total
