"""Base classes of the errors that a user can fix, as opposed to bugs."""

from numbers import Integral


class ChromaGANError(Exception):
    """An error that a user can fix: the message says in one line what came and what to do.

    Programs print that line. Any other exception, except those of the operating system, is a bug and gets a traceback.
    """


class OptionError(ChromaGANError, ValueError):
    """An invalid option or config value: the message names it."""


class ImageError(ChromaGANError, ValueError):
    """A file that is not an image, or that cannot be read or written."""


def check_whole(name: str, value: object, others: str = " or None") -> None:
    """Raise OptionError if the value of the option `name` is neither a whole number nor None.

    others: how the message goes on where it names what may be given.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise OptionError(f"{name} must be a whole number{others}, got {value!r:.80}")
