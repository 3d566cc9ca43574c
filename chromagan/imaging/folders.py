"""The photos that names on a command line stand for: files, patterns, and folders with what to leave out of them."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chromagan.imaging.formats import HEIF_SUFFIXES, is_read, register_heif

# Of other systems: copies, thumbnails and what was deleted. Those that begin with a dot are left out as hidden.
SYSTEM_FOLDERS = {
    "__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found",
}  # fmt: skip
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
RESULTS = "results of earlier runs"


@dataclass
class Found:
    """What was found. photos: each file with its folder below the one that was named."""

    photos: list[tuple[Path, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # a line for each name that stands for no photo
    passed_over: Counter = field(default_factory=Counter)  # what for people -> how many

    def summary(self) -> str:
        """What was passed over, in one line: "12 .txt, 3 hidden"; "" for nothing."""
        return ", ".join(f"{count} {what}" for what, count in sorted(self.passed_over.items()))


def find_photos(names: list[str], output: Path, is_result: Callable[[Path], bool]) -> Found:
    """The photos that `names` stand for: files, patterns, folders searched with all below them.

    A file that is named is a photo, whatever its suffix. Of folders and patterns, what is no photo by its suffix is
    passed over, and so are hidden files, other systems' folders and the results of earlier runs, for which `is_result`
    is true. `output`, where those are expected, is searched, too: somebody's own photos may lie beside them. Links are
    followed, to a folder once.
    """
    found = Found()
    output = real(output)
    for name in names:
        try:
            os.lstat(name)
            there = True  # a link to nothing too: opening it tells
        except PermissionError as error:
            found.problems.append(f"{name}: {error.strerror}")
            continue
        except (OSError, ValueError):  # a name that no file can have
            there = False
        if there:
            path = Path(name)
            if not path.is_dir():
                found.photos.append((path, Path()))
            else:
                _search(path, output if len(names) > 1 else None, is_result, found)
            continue
        matches = sorted(map(Path, glob.glob(name, recursive=True)))
        if not matches:
            missing = "no file has a name like this" if glob.has_magic(name) else "there is no such file"
            found.problems.append(f"{name}: {missing}")
        top = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(name).parts))
        before = len(found.photos), len(found.problems)
        for path in matches:
            folders = [path, *path.parents] if path.is_dir() else path.parents
            if not all(_is_searched(folder, top, found) for folder in folders if folder not in top.parents):
                continue
            if path.is_dir():
                _search(path, output, is_result, found)
            elif _is_photo(path, is_result, found):
                found.photos.append((path, Path()))
        if matches and before == (len(found.photos), len(found.problems)):
            found.problems.append(f"{name}: there are no images to color among the {len(matches)} that it stands for")
    return found


def real(path: Path) -> Path:
    """The path without links, as of Path.resolve, which before Python 3.13 has a RuntimeError for links in a circle."""
    return Path(os.path.realpath(path))


def is_hidden_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or another system's: of copies, thumbnails, or what was deleted."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def no_photo(path: Path) -> str | None:
    """What a file is that by its name is no photo to read, in people's words; None where it may be one."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or path.name.lower() in SYSTEM_FILES:
        return "hidden"
    if suffix in HEIF_SUFFIXES and not register_heif():
        return f"{suffix} (pip install pillow-heif)"
    return None if is_read(suffix) else suffix or "without a suffix"


def no_file(path: Path) -> str | None:
    """What `path` is that is no file to read, in people's words; None for a file."""
    return None if path.is_file() else "broken links" if path.is_symlink() else "special files"


def _search(top: Path, output: Path | None, is_result: Callable[[Path], bool], found: Found) -> None:
    """Add the photos in `top` and below it. Folders proper come first, then those that links lead to.

    That there are none is a problem, but not of `output` and of a folder of results in it.
    """
    seen: set[tuple[int, int]] = set()
    here, closed = Found(), []
    roots = [top]
    for root in roots:  # the links met add to it
        for name, folders, files in os.walk(root, onerror=closed.append):
            folder = Path(name)
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link led to it; or leads back, in a loop
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
    found.passed_over += here.passed_over
    found.problems += [f"{error.filename}: {error.strerror}" for error in closed]
    place = real(top)
    in_output = output is not None and place.is_relative_to(output)
    if not (here.photos or closed or (in_output and (place == output or RESULTS in here.passed_over))):
        only = f", only {here.summary()}" if here.passed_over else ""
        found.problems.append(f"{top}: there are no images in this folder{only}")


def _is_searched(folder: Path, top: Path, found: Found) -> bool:
    """Whether a folder below `top` is one to look in; what it is else is counted."""
    if folder != top and is_hidden_folder(folder.name):
        found.passed_over["hidden or system folders"] += 1
        return False
    return True


def _is_photo(path: Path, is_result: Callable[[Path], bool], found: Found) -> bool:
    """Whether a file that nobody named is one to color; what it is else is counted."""
    what = no_photo(path) or (RESULTS if is_result(path) else no_file(path))
    if what:
        found.passed_over[what] += 1
    return not what
