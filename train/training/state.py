"""The states from which a run resumes exactly: written atomically, checked when read, and the newest two kept."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from chromagan.atomic import part_of

KEPT = 2  # if one turns out to be damaged, there is one before it
NAME = re.compile(r"state-(\d+)-([0-9a-f]{32})\.pt")


def save_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` atomically as <folder>/state-<step>-<digest of the file>.pt and delete older ones.

    The file is flushed to disk before it is renamed, so that not even a power cut leaves an incomplete state.
    """
    with part_of(folder / f"state-{step}") as part:
        try:
            with open(part, "wb") as file:
                torch.save({"step": step, **state}, file)
                file.flush()
                os.fsync(file.fileno())
        except (RuntimeError, OSError) as error:  # torch raises RuntimeError for a full disk
            reason = f"the state of step {step} cannot be written to {folder} (is the disk full?): {error}"
            raise OSError(reason) from error
        os.replace(part, folder / f"state-{step}-{_digest(part)}.pt")
    _, *old = _states(folder)
    for path in [*old[KEPT - 1 :], *folder.glob(".state-*.part")]:  # a leftover part is from a run that was killed
        path.unlink(missing_ok=True)


def load_state(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest intact state, with its "step", on the CPU; None if there is none. `warn` is called for damaged ones.

    A damaged state is renamed: counted among the states, it would displace intact ones saved later.
    """
    for path in _states(folder):
        aside = path.with_suffix(".damaged")
        with contextlib.suppress(FileNotFoundError):  # another process of the run has renamed it
            if _digest(path) == NAME.fullmatch(path.name)[2]:
                return torch.load(path, map_location="cpu", weights_only=True)
            path.replace(aside)
        warn(f"{path} is damaged: renamed to {aside.name}")
    return None


def has_state(folder: Path) -> bool:
    """Whether there is a state, intact or not."""
    return bool(_states(folder))


def _states(folder: Path) -> list[Path]:
    """Paths of the complete states, newest first."""
    matches = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(matches, reverse=True)]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
