"""Atomic writing: files are written next to their target, then renamed."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

KEPT_OF_NAME = 24  # characters of up to 4 bytes each: the full name may already have the longest allowed length


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A context manager that gives a temporary path next to `path` and renames it to `path` at the end.

    On an exception, including Ctrl-C, the temporary file is deleted and `path` stays as it was. Raises OSError if it
    cannot be renamed. A symbolic link is replaced, not followed.
    """
    with part_of(path) as part:
        yield part
        os.replace(part, path)


@contextlib.contextmanager
def part_of(path: str | os.PathLike) -> Iterator[Path]:
    """A context manager that gives a hidden path next to `path`, unique to this writer: .<name>-<random>.part. If the
    file still exists at the end, it is deleted.

    An OSError that names no file, as one from a full disk, gets the name of `path`.
    """
    path = Path(path)
    part = path.with_name(f".{path.name[:KEPT_OF_NAME]}-{secrets.token_hex(8)}.part")
    try:
        with naming(path):
            yield part
    finally:
        with contextlib.suppress(OSError):  # renamed, or never written
            part.unlink()


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """A context in which an OSError that names no file, as one from a full disk, gets the name of `path`."""
    try:
        yield
    except OSError as error:
        if error.strerror and not error.filename:  # from a write
            error.filename = os.fspath(path)
        raise
