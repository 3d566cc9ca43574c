"""What a run needs to go on exactly where it was: written atomically, checked when read, two of them kept."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

KEPT = 2  # a state that turns out damaged has one before it
NAME = re.compile(r"state-(\d+)-([0-9a-f]{32})\.pt")


def save_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` as <folder>/state-<step>-<digest of the file>.pt, whole or not at all; drop older ones.

    The file is on the disk before it has its name, so that not even a power cut leaves a half state of that name.
    """
    beside = folder / f"state-{step}.{os.getpid()}.part"
    with open(beside, "wb") as file:
        torch.save({"step": step, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, folder / f"state-{step}-{_digest(beside)}.pt")
    _, *old = _states(folder)
    for path in [*old[KEPT - 1 :], *folder.glob("state-*.part")]:
        path.unlink(missing_ok=True)


def load_state(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest state that is whole, with "step" in it, on the CPU; None without one. `warn` hears of damaged ones."""
    for path in _states(folder):
        if _digest(path) == NAME.fullmatch(path.name)[2]:
            return torch.load(path, map_location="cpu", weights_only=True)
        warn(f"{path} is damaged and left aside: going on from the state before it")
    return None


def _states(folder: Path) -> list[Path]:
    """Complete states, newest first."""
    matches = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(matches, reverse=True)]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
