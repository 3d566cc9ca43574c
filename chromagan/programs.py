"""What all programs share: streams, Ctrl-C, the line that tells an error, numbers and folders that are named.

Of the standard library alone: it is imported before what takes seconds.
"""

import argparse
import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from chromagan.errors import ChromaGANError

STOPPED_STATUS = 130  # of a program that Ctrl-C ended


def end_in_one_line(line: str, at_once: bool = False) -> None:
    """From now on Ctrl-C ends this program with `line` on standard error, of several processes the first one's, and
    status 130; and its streams are open.

    at_once: while libraries are imported, of which some swallow an exception and fail later. Else what is under way
    is left as by an exception. Where Ctrl-C is ignored, as in a shell's background, it stays so.
    """

    def stop(number, frame) -> None:
        if os.environ.get("RANK", "0") == "0":
            print(line, file=sys.stderr, flush=True)
        if at_once:
            atexit._run_exitfuncs()
            os._exit(STOPPED_STATUS)
        sys.exit(STOPPED_STATUS)

    open_closed_streams()
    _heed(stop)


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as it does in Python."""
    _heed(signal.default_int_handler)


def _heed(handler: Callable) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def open_closed_streams() -> None:
    """Put the null device in the place of a standard stream that whoever started the program has closed.

    Else the next file that is opened gets its number, and what some library prints goes into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (as long as the program runs)


def is_closed(stream: TextIO) -> bool:
    """Whether `open_closed_streams` had to open a standard stream."""
    return getattr(stream, "name", None) == os.devnull


def is_told(error: BaseException) -> bool:
    """Whether an error is told in a line: one of this project, what the system refuses, too little memory. Any other is
    a bug, whose traceback is wanted."""
    return isinstance(error, ChromaGANError | OSError) or is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too little: torch's errors for that are RuntimeErrors, and most have no class of their own."""
    if isinstance(error, RuntimeError | OSError):
        return any(words in str(error) for words in ("allocate memory", "out of memory"))
    return isinstance(error, MemoryError)


@contextlib.contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """A context in which an error that `is_told` ends the program, with its line on standard error and status 1."""
    try:
        yield
    except Exception as error:
        if not is_told(error):
            raise
        sys.exit(f"{program}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """An error in a line for people: what the file is called, and what is wrong."""
    text = str(error)
    if is_out_of_memory(error):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, RuntimeError):  # a library's, of several lines
        text = " ".join(text.split())
    return printable(text) or type(error).__name__


def printable(text: str) -> str:
    """`text` in one line that a terminal shows as it is: a file's name may hold what ends a line or colors the next."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def names_folder(name: str | os.PathLike) -> bool:
    """Whether a name says that it is a folder's, by what pathlib leaves out of it: a slash at its end."""
    return os.path.basename(name) in ("", os.curdir)


def check_output_folder(name: str | os.PathLike) -> None:
    """OSError, one line, where no folder of this name can be: there is no name, or it or one above it is a file."""
    if not os.fspath(name):
        raise FileNotFoundError("no folder is named to write to")
    folder = Path(name)
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise NotADirectoryError(f"{folder} cannot be written to: {path} is a file, not a folder")
            return


def count(text: str) -> int:
    """A flag's value that is a whole number, 1 or more."""
    with contextlib.suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text}")
