"""Ctrl-C in a program: one line and status 130, from its first import on. Imports nothing that takes time."""

import atexit
import os
import signal
import sys
from collections.abc import Callable

STATUS = 130  # of a program that Ctrl-C ended


def end_in_one_line(line: str, at_once: bool = False) -> None:
    """From now on Ctrl-C ends this program with `line` on standard error, of several processes the first one's, and
    status 130.

    at_once: while libraries are imported, of which some swallow an exception and fail later. Else what is under way
    is left as by an exception. Where Ctrl-C is ignored, as in a shell's background, it stays so.
    """

    def stop(number, frame) -> None:
        if os.environ.get("RANK", "0") == "0":
            print(line, file=sys.stderr, flush=True)
        if at_once:
            atexit._run_exitfuncs()
            os._exit(STATUS)
        sys.exit(STATUS)

    _heed(stop)


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as it does in Python."""
    _heed(signal.default_int_handler)


def _heed(handler: Callable) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
