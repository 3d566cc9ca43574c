"""What all programs share: streams, Ctrl-C, one-line errors, arguments, and checks of numbers and folder names.

Uses the standard library only: it is imported before the modules that take seconds.
"""

import argparse
import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from chromagan.errors import ChromaGANError

STOPPED_STATUS = 130  # exit status after Ctrl-C


def end_in_one_line(line: str, at_once: bool = False) -> None:
    """From now on, Ctrl-C ends this program with status 130 and `line` on standard error, printed by the first of
    several processes. Closed standard streams are opened.

    at_once: end the process immediately, for use while libraries are imported, since some of them swallow an exception
    and fail later. Otherwise SystemExit is raised. If Ctrl-C is ignored, as in a shell's background, it stays ignored.
    """

    def stop(number, frame) -> None:
        if os.environ.get("RANK", "") in ("", "0"):
            print(line, file=sys.stderr, flush=True)
        if at_once:
            end_process(STOPPED_STATUS)
        sys.exit(STOPPED_STATUS)

    open_closed_streams()
    set_signal_handler(stop, "SIGINT")


def end_process(status: int = 0) -> None:
    """End the program immediately, running the functions registered with atexit.

    sys.exit does not end a program while its libraries are imported, nor one that serves the demo: it would wait
    forever for the thread that Gradio's MCP server keeps for each tool that was called, and abort while another thread
    compiles.
    """
    # Threads that still work find their files gone; their errors no longer matter.
    with contextlib.suppress(OSError):  # the terminal may be closed
        sys.stdout.flush(), sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    atexit._run_exitfuncs()
    os._exit(status)


def raise_again() -> None:
    """From now on, Ctrl-C raises KeyboardInterrupt, Python's default."""
    set_signal_handler(signal.default_int_handler, "SIGINT")


def ignore_interrupts() -> None:
    """From now on, Ctrl-C does nothing: the program is ending, and another one would break off its last steps, or those
    of Python while threads still compute, which aborts the process."""
    set_signal_handler(signal.SIG_IGN, "SIGINT")


def set_signal_handler(handler: Callable | signal.Handlers, *names: str) -> None:
    """From now on, the signals `names` call `handler`. Those that are ignored, as with nohup, stay ignored."""
    for number in (getattr(signal, name) for name in names if hasattr(signal, name)):  # Windows lacks some
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def open_closed_streams() -> None:
    """Replace standard streams that were closed by the parent process with the null device.

    Otherwise the next opened file gets the stream's number, and whatever a library prints goes into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (open as long as the program runs)


def is_closed(stream: TextIO) -> bool:
    """Whether `open_closed_streams` had to open a standard stream."""
    return getattr(stream, "name", None) == os.devnull


def is_user_error(error: BaseException) -> bool:
    """Whether a user can fix an error, so that it is reported in one line: an error of this project or the operating
    system, or a lack of memory. Any other is a bug, which gets a traceback."""
    return isinstance(error, ChromaGANError | OSError) or is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is a lack of memory: torch raises RuntimeError for it, mostly without a specific class."""
    if isinstance(error, RuntimeError | OSError):
        return any(words in str(error) for words in ("allocate memory", "out of memory"))
    return isinstance(error, MemoryError)


@contextlib.contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """A context in which an error that `is_user_error` ends the program with status 1 and a line on standard error."""
    try:
        yield
    except Exception as error:
        if not is_user_error(error):
            raise
        sys.exit(f"{program}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """An error as one readable line: the file's name and what is wrong."""
    text = str(error)
    if is_out_of_memory(error):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, RuntimeError):  # from a library, over several lines
        text = " ".join(text.split())
    return printable(text) or type(error).__name__


def printable(text: str) -> str:
    """`text` as one printable line: a file name may hold line breaks or terminal escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def names_folder(name: str | os.PathLike) -> bool:
    """Whether a name denotes a folder by its trailing slash, which pathlib drops."""
    return os.path.basename(name) in ("", os.curdir)


def check_output_folder(name: str | os.PathLike, data: Sequence[str] = ()) -> None:
    """Raise OSError, in one line, if no folder of this name can exist: it is empty, or it or a parent is a file or a
    link to what is missing, such as a disk that is not connected. Or if it lies in a folder of `data`, the values of
    --data: pictures written there would be photos of the next run."""
    for each in data:
        if os.path.isdir(each) and Path(os.path.realpath(name)).is_relative_to(os.path.realpath(each)):
            raise OSError(f"--output-dir {name} lies in --data {each}, whose photos its pictures would join: move it")
    if not os.fspath(name):
        raise FileNotFoundError("no folder is named to write to")
    folder = Path(name)
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            if not path.is_dir():
                what = "a file, not a folder" if os.path.exists(path) else "a link to a folder that is missing"
                raise NotADirectoryError(f"{folder} cannot be written to: {path} is {what}")
            return


def make_folder(folder: Path) -> None:
    """Create a folder and those above it that are missing; OSError, in one line, if it cannot be made."""
    check_output_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)


class ArgumentParser(argparse.ArgumentParser):
    """A parser that reports a wrong argument in one line, as do its subparsers; --help shows the usage."""

    def print_usage(self, file: TextIO | None = None) -> None:
        pass


def positive_int(text: str) -> int:
    """Parse the value of a flag: a whole number, 1 or more."""
    return _whole_number(text, 1)


def nonnegative_int(text: str) -> int:
    """Parse the value of a flag: a whole number, 0 or more."""
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    with contextlib.suppress(ValueError):
        if int(text) >= least:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, {least} or more, got {text}")
