"""What a user can mend, apart from bugs: the base of this project's errors."""

from numbers import Integral


class ChromaGANError(Exception):
    """Something that a user can mend: the message says in a line what came, and what to do.

    Programs tell it in that line. Whatever else is raised, but for what the system refuses, is a bug and shows where.
    """


class OptionError(ChromaGANError, ValueError):
    """An option, or a value of a config, that has no meaning here: the message names it."""


def check_whole(name: str, value: object) -> None:
    """OptionError where the value of the option `name` is neither a whole number nor None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise OptionError(f"{name} must be a whole number or None, got {value!r:.80}")
