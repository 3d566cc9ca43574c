"""The content of a data set's folder and the rules for its splits, which `readers` uses to open them.

In a folder of images, a split is a direct subfolder called exactly train, validation (or val) or test. In a folder of
Parquet files, a split is a part of the file's name between dashes, underscores and dots, as in
train-00000-of-00002.parquet, or a folder with exactly such a name. Ambiguous layouts are refused, and skipped files are
counted.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromagan.errors import ChromaGANError
from chromagan.imaging.folders import counted, is_hidden_folder, skip_reason_by_name, skip_reason_by_type

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}  # found: requested
NEARLY_SPLITS = {*SPLITS, "training", "valid", "dev", "testing", "eval", "evaluation"}  # in any case
SPLIT_NAMES = "train, validation (or val), test"
SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})")  # how `datasets` names the files of a split
LFS_POINTER = b"version https://git-lfs"
LFS_POINTER_BYTES = 1024  # at most


class DataError(ChromaGANError, ValueError):
    """Data that cannot be used: the message says what came and what to do."""


@dataclass(frozen=True)
class Folder:
    """The content of a folder, at any depth.

    images, parquet: files, as paths relative to it, sorted. subfolders: its direct subfolders. skipped: {readable kind:
    how many}.
    """

    images: list[Path]
    parquet: list[Path]
    subfolders: set[str]
    skipped: Counter

    @classmethod
    def read(cls, data: str) -> "Folder":
        """Links are followed, but not back to a folder that contains them.

        Raises DataError for a folder that cannot be read, and for a broken link at the top that is named like a split:
        without it, another split would serve in its place.
        """
        found = cls([], [], set(), Counter())

        def closed(error: OSError) -> None:
            raise DataError(f"folder {error.filename!r} cannot be read: {error.strerror}") from error

        above = {data: (os.path.realpath(data),)}  # the resolved parents of each
        for folder, subfolders, files in os.walk(data, onerror=closed, followlinks=True):
            chain = above.pop(folder)
            for name in sorted(subfolders):
                path = os.path.join(folder, name)
                if is_hidden_folder(name):
                    found.skipped["hidden or system folders"] += 1
                elif os.path.realpath(path) in chain:
                    found.skipped["links back to a folder above"] += 1
                else:
                    above[path] = (*chain, os.path.realpath(path))
            subfolders[:] = [name for name in subfolders if os.path.join(folder, name) in above]
            if folder == data:
                found.subfolders.update(subfolders)
            for name in files:
                path = Path(folder, name)
                if folder == data and looks_like_a_split(name) and path.is_symlink() and not os.path.exists(path):
                    raise DataError(
                        f"{data!r} holds a link {name!r} to {os.readlink(path)!r}, which cannot be reached: "
                        "mount or restore it, or remove the link"
                    )
                found._add(path, path.relative_to(data))
        found.images.sort()
        found.parquet.sort()
        return found

    def _add(self, path: Path, below: Path) -> None:
        is_parquet = path.suffix.lower() == ".parquet" and not path.name.startswith(".")
        if what := skip_reason_by_type(path) or (None if is_parquet else skip_reason_by_name(path)):
            self.skipped[what] += 1
        elif is_parquet:
            self.parquet.append(below)
        elif path.stat().st_size == 0:
            self.skipped["empty files"] += 1
        else:
            self.images.append(below)

    def tell(self, data: str, which: str, what: str) -> str:
        return f"{data!r} ({which}): {what}" + (f"; skipped: {counted(self.skipped)}" if self.skipped else "")


def choose_split(data: str, split: str, splits: dict) -> tuple[Any, str, str | None]:
    """The requested split from {name in the data: split}, a readable description of it, and which split it is.

    Many data sets have only train and test: test then serves as validation. The only split of a data set serves as
    every split: then it is None. DataError if it does not exist, or exists under two names.
    """
    if {"val", "validation"} <= splits.keys():
        raise DataError(f"{data!r} holds both a split 'val' and a split 'validation': rename or remove one of them")
    named = [name for name in splits if SPLITS.get(name, name) == split]
    if named:
        return splits[named[0]], split, split
    if split == "validation" and {"train", "test"} <= splits.keys():
        return splits["test"], "validation: its split 'test'", "test"
    if len(splits) > 1:
        raise DataError(f"{data!r} has no split {split!r}, only {', '.join(splits)}: splits are called {SPLIT_NAMES}")
    name, only = next(iter(splits.items()))
    which = f"its only split, {name!r}" if name else "all of it, it has no splits"
    return only, f"{split}: {which}", None


def image_splits(data: str, folder: Folder) -> dict[str, list[Path]]:
    """Images by the split folder that contains them; all under "" if there are no split folders."""
    tops = {path.parts[0] for path in folder.images if len(path.parts) > 1}
    named = sorted(folder.subfolders & SPLITS.keys())
    if named:
        if beside := sorted(tops - SPLITS.keys()):
            raise DataError(
                f"{data!r} holds split folders ({', '.join(named)}) and other folders with images ({few(beside)}): "
                f"move those into a split, or rename the folders that are not splits ({SPLIT_NAMES})"
            )
        loose = [path for path in folder.images if len(path.parts) == 1]
        if loose and "train" not in named:  # the only split would serve as train
            raise DataError(
                f"{data!r} holds split folders ({', '.join(named)}) but no train, and images beside them "
                f"({few([path.name for path in loose])}): move them into a folder train, or away"
            )
        if loose:
            folder.skipped["outside the split folders"] += len(loose)
        inside = [path for path in folder.images if len(path.parts) > 1]
        return {name: [path for path in inside if path.parts[0] == name] for name in named}
    if len(tops) > 1 and (like := sorted(filter(looks_like_a_split, tops))):
        raise DataError(f"{data!r} holds folders that look like splits ({', '.join(like)}): call them {SPLIT_NAMES}")
    deeper = {each for path in folder.images for each in path.parents if each.name in SPLITS}
    if deeper:
        homes = sorted({str(Path(data, each.parent)) for each in deeper})
        raise DataError(
            f"{data!r} holds split folders ({SPLIT_NAMES}) not at its top but in {few(homes)}: "
            f"give that folder, or rename the folders that are not splits"
        )
    return {"": folder.images}


def parquet_splits(data: str, folder: Folder) -> dict[str, list[Path]]:
    """Parquet files by the split that a part of their name, or a folder, names; under "" if there is none.

    A split may have any name if the files are named like those of `datasets`: <split>-00000-of-00002.parquet.
    """
    splits: dict[str, list[Path]] = {}
    homes = set()
    for path in folder.parquet:
        stem_parts = re.split("[-_.]", path.stem)
        names = {part for part in (*stem_parts, *path.parts[:-1]) if part in SPLITS}
        if len(names) > 1:
            raise DataError(f"{path} of {data!r} names several splits ({', '.join(sorted(names))}): name only one")
        shard = SHARD.fullmatch(path.stem)
        name = names.pop() if names else shard[1] if shard else ""
        if len(folder.parquet) > 1 and not name and any(map(looks_like_a_split, stem_parts)):
            raise DataError(f"the name of {path} of {data!r} looks like a split but is not one: call it {SPLIT_NAMES}")
        splits.setdefault(name, []).append(path)
        homes.add(tuple(part for part in path.parts[:-1] if part not in SPLITS))
    if len(homes) > 1:
        places = sorted(str(Path(data, *parts)) for parts in homes)
        raise DataError(f"{data!r} holds Parquet files in several folders: give one of them ({few(places)})")
    if "" in splits and len(splits) > 1:
        named = next(name for name in splits if name)
        raise DataError(
            f"{data!r} holds Parquet files with a split in their name ({splits[named][0]}) and without "
            f"({splits[''][0]}): name each by its split ({SPLIT_NAMES})"
        )
    return splits


def looks_like_a_split(name: str) -> bool:
    """Whether a name resembles that of a split: Train, valid, val2017."""
    return re.sub(r"[\W_]*\d+$", "", name.lower()) in NEARLY_SPLITS


def count_shards(paths: Sequence[Path]) -> int:
    """How many files there should be according to the shard numbers in their names; at least as many as there are."""
    told = {(path.parent, shard[1]): int(shard[2]) for path in paths if (shard := SHARD.match(path.stem))}
    untold = sum(SHARD.match(path.stem) is None for path in paths)
    return max(sum(told.values()) + untold, len(paths))


def require_no_pointers(data: str, split: str, paths: list[Path]) -> None:
    """Raise DataError if files are Git LFS pointers."""
    pointers = []
    for path in paths:
        file = Path(data, path)
        if file.stat().st_size <= LFS_POINTER_BYTES and file.read_bytes().startswith(LFS_POINTER):
            pointers.append(path)
    if pointers:
        raise DataError(
            f"{len(pointers)} of {len(paths)} files of {data!r} ({split}) are Git LFS pointers, not the files "
            f"themselves ({pointers[0]}): run git lfs pull there"
        )


def few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
