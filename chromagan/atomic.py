"""Files that are there whole or not at all: written beside their place, then renamed."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

KEPT_OF_NAME = 24  # characters, of up to 4 bytes each: the name may be the longest that the file system takes


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A context that writes to a path beside `path`, which is renamed to `path` at its end.

    Where an exception leaves it, Ctrl-C's too, what was written is deleted, and what was at `path` stays. OSError where
    it cannot be renamed. A symbolic link is replaced, not followed.
    """
    with part_of(path) as part:
        yield part
        os.replace(part, path)


@contextlib.contextmanager
def part_of(path: str | os.PathLike) -> Iterator[Path]:
    """A context with a path beside `path`, hidden, of this writer alone: .<name>-<random>.part. What is still there at
    its end is deleted."""
    path = Path(path)
    part = path.with_name(f".{path.name[:KEPT_OF_NAME]}-{secrets.token_hex(8)}.part")
    try:
        yield part
    finally:
        with contextlib.suppress(OSError):  # renamed, or never there
            part.unlink()
