"""What a run needs to go on exactly where it was: written atomically, checked when read, two of them kept."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from chromagan.atomic import part_of

KEPT = 2  # a state that turns out damaged has one before it
NAME = re.compile(r"state-(\d+)-([0-9a-f]{32})\.pt")


def save_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` as <folder>/state-<step>-<digest of the file>.pt, whole or not at all; drop older ones.

    The file is on the disk before it has its name, so that not even a power cut leaves a half state of that name.
    """
    with part_of(folder / f"state-{step}") as part:
        try:
            with open(part, "wb") as file:
                torch.save({"step": step, **state}, file)
                file.flush()
                os.fsync(file.fileno())
        except (RuntimeError, OSError) as error:  # torch's own error for a full disk is the first kind
            reason = f"the state of step {step} cannot be written to {folder} (is the disk full?): {error}"
            raise OSError(reason) from error
        os.replace(part, folder / f"state-{step}-{_digest(part)}.pt")
    _, *old = _states(folder)
    for path in [*old[KEPT - 1 :], *folder.glob(".state-*.part")]:  # a part that is left is of a run that was killed
        path.unlink(missing_ok=True)


def load_state(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest state that is whole, with "step" in it, on the CPU; None without one. `warn` hears of damaged ones.

    A damaged one gets another name: counted among the states, it would push out the whole ones that follow.
    """
    for path in _states(folder):
        aside = path.with_suffix(".damaged")
        with contextlib.suppress(FileNotFoundError):  # another process of the run has put it aside
            if _digest(path) == NAME.fullmatch(path.name)[2]:
                return torch.load(path, map_location="cpu", weights_only=True)
            path.replace(aside)
        warn(f"{path} is damaged: put aside as {aside.name}")
    return None


def _states(folder: Path) -> list[Path]:
    """Complete states, newest first."""
    matches = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(matches, reverse=True)]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
