"""A script's options: one frozen dataclass, each of whose fields is a flag with the same name and default."""

import argparse
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, asdict, field, fields
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from chromagan.errors import OptionError
from chromagan.programs import ArgumentParser

T = TypeVar("T", bound="Options")


def option(default: Any, help: str) -> Any:
    """A field of an Options with its --help text. With default=MISSING the flag is required."""
    metadata = {"help": help}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


class Options:
    """Base of a frozen dataclass of options: an invalid value raises an OptionError that names the flag."""

    CHOICES: ClassVar[Mapping[str, Collection[str]]] = {}
    NOT_NEGATIVE: ClassVar[Collection[str]] = ()
    POSITIVE: ClassVar[Collection[str]] = ()
    # May change when a run is resumed: they decide how far it goes, where and what is logged, not what is computed.
    FREE_ON_RESUME: ClassVar[Collection[str]] = ()
    # Flags of earlier versions: every run now does what they turned on.
    ALWAYS_ON: ClassVar[Collection[str]] = ()

    def __post_init__(self):
        for name, choices in self.CHOICES.items():
            self._require(getattr(self, name) in choices, name, f"one of {', '.join(choices)}")
        for name in self.NOT_NEGATIVE:
            self._require(0 <= getattr(self, name) < math.inf, name, "0 or more")
        for name in self.POSITIVE:
            self._require(0 < getattr(self, name) < math.inf, name, "more than 0")
        self._require(-(2**63) <= self.seed < 2**63, "seed", "from -2^63 to below 2^63")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise OptionError(f"--{name.replace('_', '-')} must be {expected}, got {getattr(self, name)}")

    def differs_from(self, earlier: dict[str, Any]) -> str | None:
        """A sentence about the first option that differs but cannot change on resuming; None if there is none.

        earlier: the run's options from its train.json; a run that is older than an option has its default. A precision
        of "auto" agrees with any.
        """
        defaults = self.defaults()
        for name, value in asdict(self).items():
            if (name, value) == ("precision", "auto"):
                continue
            before = earlier.get(name, defaults.get(name, value))
            if name not in self.FREE_ON_RESUME and before != value:
                return f"--{name.replace('_', '-')} is {value}, but the run was started with {before}"
        return None

    def removed_flag(self, earlier: dict[str, Any]) -> str | None:
        """The first flag of an earlier run that turned off what is now always on; None if there is none.

        earlier: as in `differs_from`.
        """
        off = (name for name in self.ALWAYS_ON if not earlier.get(name, True))
        return next((f"--no-{name.replace('_', '-')}" for name in off), None)

    def defaults(self) -> dict[str, Any]:
        """The values of the options that were not given, for those that may be left out."""
        return {f.name: default for f in fields(self) if (default := default_of(f)) is not MISSING}


def default_of(f: Field) -> Any:
    """A field's default; MISSING if the option is required."""
    return f.default if f.default_factory is MISSING else f.default_factory()


def parse_options(
    cls: type[T], description: str, argv: list[str] | None = None, defaults: Mapping[str, Any] | None = None
) -> T:
    """Build a `cls` from the command line; a wrong flag ends the program with status 2 and one line.

    defaults: override those of the fields.
    """
    parser = ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,  # --preset is looked up by its full name, and study.py adds its own flags
    )  # fmt: skip
    for f in fields(cls):
        default = (defaults or {}).get(f.name, default_of(f))
        kind: dict[str, Any] = {"type": f.type}
        if f.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif get_origin(f.type) is list:
            kind = {"type": get_args(f.type)[0], "nargs": "+"}
        required = default is MISSING
        parser.add_argument(
            "--" + f.name.replace("_", "-"),
            required=required,
            default=argparse.SUPPRESS if required else default,
            help=f.metadata["help"],
            **kind,
        )
    try:
        return cls(**vars(parser.parse_args(argv)))
    except OptionError as error:
        parser.error(str(error))
