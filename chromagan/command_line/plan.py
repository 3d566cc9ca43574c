"""What `colorize` will write, determined before anything is written: the files of each photo, or why it has none."""

import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chromagan.errors import ImageError, OptionError
from chromagan.hub.checkpoints import Checkpoint
from chromagan.imaging.contact_sheet import is_contact_sheet
from chromagan.imaging.folders import find_photos, real
from chromagan.imaging.formats import format_of_suffix, suffix_for
from chromagan.imaging.writing import check_suffix, fitting_name
from chromagan.network.decoders import DECODERS
from chromagan.programs import check_output_folder, make_folder, names_folder, one_line

RESULT = re.compile(rf"-({'|'.join(DECODERS)})-epoch-\d+$")  # ending of the names of results
SHEET = "-all.jpg"  # ending of the names of contact sheets


@dataclass(frozen=True)
class Task:
    """One photo, and the output file of each checkpoint's coloring."""

    photo: Path
    targets: dict[Checkpoint, Path]
    sheet: Path | None  # contact sheet of all of them

    @property
    def files(self) -> list[Path]:
        return [*self.targets.values(), *([self.sheet] if self.sheet else [])]


@dataclass(frozen=True)
class Plan:
    """What this process will do. problems: a line for each input that cannot be colored. skipped: one line on what was
    skipped in folders; "" for nothing. kept: photos whose results all exist and stay, with `skip_existing`. refused:
    photos whose results cannot be written; each has its line in `problems`."""

    tasks: list[Task]
    problems: list[str]
    skipped: str
    kept: int
    refused: int


def make_plan(
    inputs: list[str],
    output: str | os.PathLike,
    checkpoints: list[Checkpoint],
    *,
    sheets: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Plan:
    """The photos that `inputs` name, each with its files in the folder `output`, or one photo with its file `output`.
    With a trailing slash, `output` is always a folder.

    sheets: each photo also gets a contact sheet of its colorings. overwrite, skip_existing: how existing files are
    handled; neither a photo named in `inputs` nor, in the place of a contact sheet, a file that is none is ever
    replaced. Several processes (accelerate launch -m chromagan ..., or torchrun) share the photos among them. Output
    folders are created. Raises ImageError or OSError if `output` cannot be used, OptionError if the environment makes
    this process none of several.
    """
    rank, processes = _rank_and_processes()
    output, as_folder = Path(output), names_folder(output)
    found = find_photos(inputs, output, is_result)
    check_output_folder(output.parent)
    single = len(found.photos) == 1 and not Path(inputs[0]).is_dir() and not sheets
    if not as_folder and _is_one_file(output, single, bool(found.photos)):
        top, wanted = output.parent, [Task(found.photos[0][0], {checkpoints[0]: output}, None)]
    else:
        top, wanted = output, _named_after_photos(found.photos, output, checkpoints, sheets)

    tasks, refused, kept = [], [], 0
    named = {_identity(task.photo) for task in wanted if os.path.exists(task.photo)} if overwrite else set()
    for task, rival in list(zip(wanted, _rivals(wanted, folds_case(output))))[rank::processes]:
        if rival and real(rival) == real(task.photo):  # named twice
            continue
        reason = _reason_against(task, rival, named, overwrite, skip_existing)
        if not reason and skip_existing and all(map(os.path.lexists, task.files)):
            kept += 1
        elif reason := reason or _make_folder(task.files[0].parent, top):
            refused.append(f"{task.photo}: {reason}")
        else:
            tasks.append(task)
    problems, skipped = (found.problems, found.summary()) if rank == 0 else ([], "")
    return Plan(tasks, problems + refused, skipped, kept, len(refused))


def _rank_and_processes() -> tuple[int, int]:
    """The number of this process, from 0, and of all that share the photos, as launchers put them into the environment:
    together. One without the other is left over from something else, and would leave photos to nobody."""
    rank, processes = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if not rank or not processes:
        return 0, 1
    with suppress(ValueError):
        if 0 <= int(rank) < int(processes):
            return int(rank), int(processes)
    raise OptionError(
        f"RANK={rank} and WORLD_SIZE={processes} in the environment must be whole numbers, 0 <= RANK < WORLD_SIZE: "
        "unset them"
    )


def is_result(path: Path) -> bool:
    """Whether a file is a result of an earlier run, by its name, or a contact sheet of them, by its name and its mark:
    `family-all.jpg` may also be somebody's own photo."""
    return bool(RESULT.search(path.stem)) or (path.name.endswith(SHEET) and is_contact_sheet(path))


def is_kept(file: Path, overwrite: bool, skip_existing: bool) -> bool:
    """Whether a result is there already and stays. It is asked before the work and again before writing: another
    program may have made the file in between. ImageError if it may neither be replaced nor skipped."""
    if overwrite or not os.path.lexists(file):
        return False
    if not skip_existing:
        raise ImageError(_exists(file))
    return True


def folds_case(folder: Path) -> bool:
    """Whether A.png and a.png are the same file on the disk of `folder`, as on macOS and Windows."""
    for there in (real(folder), *real(folder).parents):
        other = there.with_name(there.name.swapcase()) if there.name else there
        if there.exists() and other != there:
            return other.exists() and other.samefile(there)
    return False


def _is_one_file(output: Path, single: bool, any_photo: bool) -> bool:
    """Whether `output` is the file of one result, not a folder of several; ImageError if it can be neither."""
    no_folder = output.exists() and not output.is_dir()
    if single and not output.is_dir() and (output.suffix or no_folder):
        check_suffix(output)
        return True
    if any_photo and (no_folder or (not output.exists() and format_of_suffix(output.suffix))):
        what = "is a file" if no_folder else "is the name of a photo"
        raise ImageError(f"{output} {what}: for several pictures, -o must be a folder")
    return False


def _named_after_photos(
    photos: list[tuple[Path, Path]], output: Path, checkpoints: list[Checkpoint], sheets: bool
) -> list[Task]:
    """The files of each photo below `output`, in the photo's subfolder of the named folder, with the photo's and the
    checkpoint's names. If photos differ only in their suffix, their sheets keep it."""
    suffixes = {path: suffix_for(path) for path, _ in photos}
    names = Counter((folder, path.stem, suffixes[path].lower()) for path, folder in photos)
    different = {(folder, path.stem.casefold(), path.suffix) for path, folder in photos}  # the disk may fold case
    alike = Counter((folder, stem) for folder, stem, _ in different)
    tasks = []
    for path, folder in photos:
        suffix = suffixes[path]
        shared = suffix != path.suffix and names[folder, path.stem, suffix.lower()] > 1  # a.heic next to a.jpg
        stem, place = path.name if shared else path.stem, output / folder
        targets = {c: place / fitting_name(stem, f"-{c.decoder}-epoch-{c.epoch}{suffix}") for c in checkpoints}
        of_several = not shared and alike[folder, path.stem.casefold()] > 1
        sheet = place / fitting_name(stem, path.suffix + SHEET if of_several else SHEET)
        tasks.append(Task(path, targets, sheet if sheets else None))
    return tasks


def _rivals(tasks: list[Task], fold_case: bool) -> list[Path | None]:
    """For each task, the photo of an earlier one that writes to one of the same files; None if there is none."""
    taken: dict[str, Path] = {}  # which photo writes to each place
    rivals = []
    for task in tasks:
        places = [str(file).casefold() if fold_case else str(file) for file in task.files]
        rivals.append(next((taken[place] for place in places if place in taken), None))
        for place in places:
            taken.setdefault(place, task.photo)
    return rivals


def _reason_against(
    task: Task, rival: Path | None, named: set[tuple[int, int]], overwrite: bool, skip_existing: bool
) -> str:
    """Why the files of `task` must not be written; "" if they may be. rival: as `_rivals` returns it. named: identities
    of the photos that must not be replaced."""
    existing = [file for file in task.files if os.path.lexists(file)]  # a broken link would be written through
    if rival:
        return f"its results would replace those of {rival}: give it another name"
    if any(file.samefile(task.photo) for file in existing if file.exists()):  # also through a link
        return "its result would replace the photo itself: give it another name"
    if skip_existing:
        return ""
    if task.sheet in existing and task.sheet.exists() and not is_contact_sheet(task.sheet):
        what = "the file there is not marked as one (a photo, or a sheet of an earlier version)"
        return f"its contact sheet would replace {task.sheet}, and {what}: move it away"
    if photo := next((file for file in existing if file.exists() and _identity(file) in named), None):
        return f"its result would replace {photo}, which is itself an input: give it another name"
    if existing and not overwrite:
        return _exists(existing[0])
    return ""


def _exists(file: Path) -> str:
    return f"{file} already exists: --overwrite replaces it, --skip-existing keeps it"


def _make_folder(folder: Path, top: Path) -> str:
    """Create an output folder, `top` or below it; return the reason if it cannot be made, such as a file in its place,
    else "". OSError if `top` cannot be made: no photo has a place then."""
    make_folder(top)
    try:
        make_folder(folder)
    except OSError as error:
        return one_line(error)
    return ""


def _identity(path: Path) -> tuple[int, int]:
    """The identity of a file: equal for two paths of the same file."""
    status = path.stat()
    return status.st_dev, status.st_ino
