"""Photos of a command line, colored: what is to be done, and where it goes, is settled before any of it is done."""

import argparse
import glob
import os
import re
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from chromagan.colorizer import Colorizer, render
from chromagan.hub.checkpoints import Checkpoint, find_checkpoint, list_checkpoints, load_checkpoint
from chromagan.imaging.contact_sheet import contact_sheet
from chromagan.imaging.folders import find_photos
from chromagan.imaging.formats import ImageError, format_for, format_of_suffix, holds_pages, suffix_for
from chromagan.imaging.photo import Photo, open_image, page_numbers, read_pages
from chromagan.imaging.writing import check_suffix, encode_image, fitting_name, losses, write_image
from chromagan.network.decoders import DECODERS, LABELS

STREAM = "-"  # stdin as input, stdout as output
RESULT = re.compile(rf"-({'|'.join(DECODERS)})-epoch-\d+$")  # how the names of results end
stopping = threading.Event()  # set by Ctrl-C: nothing more is written


@dataclass(frozen=True)
class Task:
    """One photo, and the file that each checkpoint's coloring of it goes to."""

    photo: str  # a path
    targets: dict[Checkpoint, Path]
    sheet: Path | None  # where all of them are shown together


def colorize_command(args: argparse.Namespace) -> int:
    stopping.clear()
    if STREAM in (*args.inputs, args.output):
        return colorize_stream(args)
    checkpoints = (
        list_checkpoints(args.source) if args.all else [find_checkpoint(args.source, args.decoder, args.epoch)]
    )
    tasks, problems, passed_over = plan(args, checkpoints)
    if tasks:
        colorizers = {checkpoint: Colorizer(load_checkpoint(checkpoint), args.device) for checkpoint in checkpoints}
    notes: list[str] = []

    def work(task: Task) -> str | None:
        """Do `task`; the line that says why it could not be done."""
        try:
            notes.extend(f"{task.photo}: {note}" for note in color_photo(task, colorizers, args))
            return None
        except (ImageError, OSError, MemoryError, RuntimeError) as error:
            line = one_line(error)
            return line if task.photo in line else f"{task.photo}: {line}"

    done = 0
    with ThreadPoolExecutor(args.jobs) as pool:  # one photo is decoded or encoded while another is colored
        try:
            for problem in tqdm(pool.map(work, tasks), "colorize", len(tasks), unit=" photos", disable=len(tasks) < 2):
                done += problem is None
                problems += [problem] if problem else []
        except KeyboardInterrupt:
            stopping.set()
            pool.shutdown(cancel_futures=True)
            raise
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    for problem in problems:
        print(f"chromagan: {problem}", file=sys.stderr)
    if passed_over:
        print(f"passed over: {passed_over}", file=sys.stderr)
    if len(tasks) > 1:
        print(f"{done} of {len(tasks)} photos colored", file=sys.stderr)
    return 1 if problems else 0


def color_photo(task: Task, colorizers: dict[Checkpoint, Colorizer], args: argparse.Namespace) -> list[str]:
    """Write the targets of `task` and its sheet, if any; without --overwrite only those that are not there yet.

    Returns a line for each thing that the target's format cannot hold.
    """
    image = open_image(task.photo)
    kind = format_of_suffix(next(iter(task.targets.values())).suffix)
    numbers = page_numbers(image)
    photos = list(read_pages(image, numbers if holds_pages(image.format, kind) else numbers[:1]))
    results: dict[tuple[str, int], Image.Image] = {}
    for checkpoint, target in task.targets.items():
        pages = color_pages(photos, colorizers[checkpoint], args)
        if stopping.is_set():
            return []
        if args.overwrite or not target.exists():
            write_image(pages, target)
        if task.sheet:
            small = pages[0].copy()
            small.thumbnail((512, 512))
            results[checkpoint.decoder, checkpoint.epoch] = small
    if task.sheet and (args.overwrite or not task.sheet.exists()):
        write_image(contact_sheet(results, LABELS), task.sheet)
    return what_is_lost(pages[0], len(numbers), len(photos), kind)


def color_pages(photos: list[Photo], colorizer: Colorizer, args: argparse.Namespace) -> list[Image.Image]:
    predictions = (colorizer.predict([photo])[0] for photo in photos)
    return [
        render(photo, prediction, saturation=args.saturation, chroma=args.chroma)
        for photo, prediction in zip(photos, predictions, strict=True)
    ]


def what_is_lost(result: Image.Image, pages: int, colored: int, kind: str) -> list[str]:
    """A line for each thing of a photo that a file of format `kind` cannot hold."""
    lines = [f"{kind} cannot hold its {words}: left out" for words in losses(result, kind).values()]
    if colored < pages:
        lines.append(f"only the first of its {pages} pages is colored: {kind} cannot hold them")
    return lines


def plan(args: argparse.Namespace, checkpoints: list[Checkpoint]) -> tuple[list[Task], list[str], str]:
    """What this process is to do, before any of it is done; a line for each input that cannot be; and what of folders
    was passed over.

    Several processes (accelerate launch -m chromagan ..., or torchrun) share the photos out between them.
    """
    rank, processes = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    output = Path(args.output)
    everything = find_photos(args.inputs, output, is_result)
    found, problems = everything.photos, everything.problems if rank == 0 else []
    one_file = len(found) == 1 and output.suffix and not output.is_dir() and not Path(args.inputs[0]).is_dir()
    if not (one_file and not args.all) and output.is_file():
        raise ImageError(f"{output} is a file: for several pictures, -o is a folder")
    if one_file and not args.all:
        check_suffix(output)

    tasks: list[Task] = []
    taken: dict[Path, Path] = {}  # whose results go where
    suffixes = {path: suffix_for(path) for path, _ in found}
    names = Counter((folder, path.stem, suffixes[path].lower()) for path, folder in found)
    for index, (path, folder) in enumerate(found):
        suffix = suffixes[path]
        shared = suffix != path.suffix and names[folder, path.stem, suffix.lower()] > 1  # a.heic beside a.jpg
        stem = path.name if shared else path.stem
        targets = {
            c: output / folder / fitting_name(stem, f"-{c.decoder}-epoch-{c.epoch}{suffix}") for c in checkpoints
        }
        sheet = output / folder / fitting_name(stem, "-all.jpg") if args.all else None
        if one_file and not args.all:
            targets = {checkpoints[0]: output}
        everything_of_it = [*targets.values(), *([sheet] if sheet else [])]
        existing = [target for target in everything_of_it if target.exists()]
        clash = next((taken[target] for target in everything_of_it if target in taken), None)
        for target in everything_of_it:
            taken.setdefault(target, path)
        if index % processes != rank or (clash and clash.resolve() == path.resolve()):  # it was named twice
            continue
        if clash:
            problems.append(f"{path}: its results would replace those of {clash}: give it another name")
            continue
        if args.skip_existing and len(existing) == len(everything_of_it):
            continue
        if existing and not (args.overwrite or args.skip_existing):
            problems.append(
                f"{path}: {existing[0]} exists already: --overwrite replaces it, --skip-existing leaves it as it is"
            )
            continue
        everything_of_it[0].parent.mkdir(parents=True, exist_ok=True)
        tasks.append(Task(str(path), targets, sheet))
    return tasks, problems, everything.summary() if rank == 0 else ""


def is_result(path: Path) -> bool:
    """Whether a file in a folder is, by its name, a result of an earlier run or a sheet of them."""
    if RESULT.search(path.stem):
        return True
    stem = path.stem.removesuffix("-all")
    return path.name == f"{stem}-all.jpg" and any(
        RESULT.fullmatch(other.stem.removeprefix(stem)) for other in path.parent.glob(f"{glob.escape(stem)}-*-epoch-*")
    )


def colorize_stream(args: argparse.Namespace) -> int:
    """A photo from stdin, or to stdout, or both: a stage of a pipeline."""
    if len(args.inputs) > 1 or args.all:
        raise ImageError("'-' is one photo: it goes with no other input and not with --all")
    output = None if args.output == STREAM else Path(args.output)
    if output:
        check_suffix(output)
        if output.exists() and not args.overwrite:
            raise ImageError(f"{output} exists already: --overwrite replaces it")
    (name,) = args.inputs
    image = open_image(sys.stdin.buffer if name == STREAM else name)
    numbers = page_numbers(image)
    alpha = image.has_transparency_data
    kind = format_of_suffix(output.suffix) if output else format_for(image.format, len(numbers) > 1, alpha)
    photos = list(read_pages(image, numbers if holds_pages(image.format, kind) else numbers[:1]))
    colorizer = Colorizer.from_pretrained(args.source, args.decoder, args.epoch, args.device)
    pages = color_pages(photos, colorizer, args)
    if output:
        write_image(pages, output)
    else:
        write_stdout(encode_image(pages[0], kind, pages[1:]))
    for note in what_is_lost(pages[0], len(numbers), len(photos), kind):
        print(f"note: {note}", file=sys.stderr)
    return 0


def write_stdout(data: bytes) -> None:
    """ImageError where whoever reads it has gone, or there is no room."""
    try:
        rest = memoryview(data)
        while rest:  # Python's own buffer may lose what follows a part that a closed pipe still took
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries once more, at its end
        raise ImageError(f"stdout: the picture cannot be written: {error.strerror}") from error


def one_line(error: BaseException) -> str:
    """An error in a line for people: what the file is called, and what is wrong."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):  # a RuntimeError
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
