"""Finds the photos that command-line arguments name: files, patterns and folders, with rules for what to skip."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chromagan.imaging.formats import HEIF_SUFFIXES, is_read, register_heif

# System folders: copies, thumbnails and deleted files. Names that begin with a dot are skipped as hidden.
SYSTEM_FOLDERS = {
    "__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found",
}  # fmt: skip
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
RESULTS = "results of earlier runs"
# What is skipped, as `counted` names one of it. Other kinds, such as ".txt", are the same for any number.
ONE = {
    RESULTS: "result of an earlier run", "hidden files": "hidden file", "special files": "special file",
    "broken links": "broken link", "empty files": "empty file", "hidden or system folders": "hidden or system folder",
    "links back to a folder above": "link back to a folder above",
}  # fmt: skip


@dataclass
class Found:
    """What was found. photos: each file with its subfolder below the named folder."""

    photos: list[tuple[Path, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # a line for each argument without a photo
    skipped: Counter = field(default_factory=Counter)  # readable kind -> how many

    def summary(self) -> str:
        """What was skipped, as `counted` says it."""
        return counted(self.skipped)


def counted(kinds: Counter) -> str:
    """{readable kind: how many} in one line: "12 .txt, 1 hidden file"; "" for nothing."""
    return ", ".join(
        f"{count:,} {ONE.get(what, what) if count == 1 else what}" for what, count in sorted(kinds.items())
    )


def find_photos(names: list[str], output: Path, is_result: Callable[[Path], bool]) -> Found:
    """The photos that `names` stand for: files, patterns, and folders searched recursively.

    A named file is a photo, whatever its suffix. In folders and patterns, files that are not photos by their suffix are
    skipped, and so are hidden files, system folders and the results of earlier runs, for which `is_result` is true. The
    folder `output`, where results are expected, is searched, too: it may also hold the user's photos. Links are
    followed, each folder once.
    """
    found = Found()
    output = real(output)
    for name in names:
        try:
            os.lstat(name)
        except PermissionError as error:
            found.problems.append(f"{name}: {error.strerror}")
        except (OSError, ValueError):  # not the name of a file
            _match(name, output, is_result, found)
        else:  # also for a broken link: opening it reports that
            path = Path(name)
            if path.is_dir():
                _search(path, output if len(names) > 1 else None, is_result, found)
            else:
                found.photos.append((path, Path()))
    return found


def real(path: Path) -> Path:
    """The path without links, like Path.resolve, which before Python 3.13 raises RuntimeError for circular links."""
    return Path(os.path.realpath(path))


def is_hidden_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or a system folder: of copies, thumbnails or deleted files."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def skip_reason_by_name(path: Path) -> str | None:
    """Why a file is skipped by its name, as a readable kind of files; None if it may be a photo."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or path.name.lower() in SYSTEM_FILES:
        return "hidden files"
    if suffix in HEIF_SUFFIXES and not register_heif():
        return f"{suffix} (pip install pillow-heif)"
    return None if is_read(suffix) else suffix or "without a suffix"


def skip_reason_by_type(path: Path) -> str | None:
    """Why a path is skipped that is no regular file, as a readable kind of files; None for a file."""
    try:
        return None if path.is_file() else "broken links" if path.is_symlink() else "special files"
    except PermissionError:  # in a folder that may be listed but not entered: opening the file says so
        return None


def _match(pattern: str, output: Path, is_result: Callable[[Path], bool], found: Found) -> None:
    """Add the photos that match `pattern`, and those in folders that match it. Finding none is a problem."""
    matches = sorted(map(Path, glob.glob(pattern, recursive=True)))
    if not matches:
        missing = "no file matches this pattern" if glob.has_magic(pattern) else "no such file"
        found.problems.append(f"{pattern}: {missing}")
        return
    top = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    before = len(found.photos), len(found.problems)
    for path in matches:
        folders = [path, *path.parents] if path.is_dir() else path.parents
        if not all(_is_searched(folder, top, found) for folder in folders if folder not in top.parents):
            continue
        if path.is_dir():
            _search(path, output, is_result, found)
        elif _is_photo(path, is_result, found):
            found.photos.append((path, Path()))
    if before == (len(found.photos), len(found.problems)):
        found.problems.append(f"{pattern}: none of its {len(matches)} matches is an image to color")


def _search(top: Path, output: Path | None, is_result: Callable[[Path], bool], found: Found) -> None:
    """Add the photos in `top` and below it: real folders first, then linked ones.

    Finding none is a problem, except in `output` and in folders of results in it.
    """
    seen: set[tuple[int, int]] = set()
    here, closed = Found(), []
    roots = [top]
    for root in roots:  # grows by the links found
        for name, folders, files in os.walk(root, onerror=closed.append):
            folder = Path(name)
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # reached through a link before, or a loop
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(each for each in folders if _is_searched(folder / each, top, here))
            roots += [folder / each for each in folders if os.path.islink(folder / each)]
            below = folder.relative_to(top)
            here.photos += [
                (folder / file, below) for file in sorted(files) if _is_photo(folder / file, is_result, here)
            ]
    found.photos += here.photos
    found.skipped += here.skipped
    found.problems += [f"{error.filename}: {error.strerror}" for error in closed]
    place = real(top)
    in_output = output is not None and place.is_relative_to(output)
    if not (here.photos or closed or (in_output and (place == output or RESULTS in here.skipped))):
        only = f", only {here.summary()}" if here.skipped else ""
        found.problems.append(f"{top}: no images in this folder{only}")


def _is_searched(folder: Path, top: Path, found: Found) -> bool:
    """Whether to search a folder below `top`; if not, it is counted as skipped."""
    if folder != top and is_hidden_folder(folder.name):
        found.skipped["hidden or system folders"] += 1
        return False
    return True


def _is_photo(path: Path, is_result: Callable[[Path], bool], found: Found) -> bool:
    """Whether to color a file that was found in a folder or by a pattern; if not, it is counted as skipped."""
    what = skip_reason_by_name(path) or (RESULTS if is_result(path) else skip_reason_by_type(path))
    if what:
        found.skipped[what] += 1
    return not what
