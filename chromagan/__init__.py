"""ChromaGAN Studio: five decoders for automatic colorization, at every epoch of their training.

The public names, each imported when it is first asked for, since torch takes seconds; and what Ctrl-C does in the
programs, from their first import on.
"""

import atexit
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chromagan.colorizer import Colorizer
    from chromagan.hub.checkpoints import Checkpoint, CheckpointError, list_checkpoints
    from chromagan.hub.model import ChromaGAN
    from chromagan.imaging.formats import ImageError
    from chromagan.network.config import ModelConfig
    from chromagan.network.decoders import DECODERS

__version__ = "0.1.0"

__all__ = [
    "DECODERS",
    "Checkpoint",
    "CheckpointError",
    "ChromaGAN",
    "Colorizer",
    "ImageError",
    "ModelConfig",
    "list_checkpoints",
]

HOMES = {
    "Colorizer": "colorizer",
    "Checkpoint": "hub.checkpoints",
    "CheckpointError": "hub.checkpoints",
    "list_checkpoints": "hub.checkpoints",
    "ChromaGAN": "hub.model",
    "ImageError": "imaging.formats",
    "ModelConfig": "network.config",
    "DECODERS": "network.decoders",
}


def __getattr__(name: str):
    """A public name, imported when it is first asked for."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


STOPPED_STATUS = 130  # of a program that Ctrl-C ended


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
            os._exit(STOPPED_STATUS)
        sys.exit(STOPPED_STATUS)

    _heed(stop)


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as it does in Python."""
    _heed(signal.default_int_handler)


def _heed(handler: Callable) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
