"""Photos and folders of them: what is planned is colored and written, and each problem is reported in one line."""

import argparse
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from chromagan.colorizer import Colorizer, render
from chromagan.command_line.plan import Task, is_kept, make_plan
from chromagan.command_line.progress import Progress
from chromagan.hub.checkpoints import Checkpoint, find_checkpoint, list_checkpoints, load_checkpoint
from chromagan.hub.refiners import select_refiner
from chromagan.imaging.contact_sheet import contact_sheet
from chromagan.imaging.formats import format_of_suffix, holds_pages
from chromagan.imaging.photo import Photo, open_image, page_numbers, read_pages
from chromagan.imaging.writing import unsupported_metadata, write_image
from chromagan.network.decoders import LABELS
from chromagan.programs import ignore_interrupts, is_user_error, one_line, printable

stopping = threading.Event()  # set by Ctrl-C: no further file is written


def colorize_files(args: argparse.Namespace) -> int:
    """Color photos and folders of them; return the exit status. args: those of `colorize`."""
    stopping.clear()
    checkpoints = (
        list_checkpoints(args.source) if args.all else [find_checkpoint(args.source, args.decoder, args.epoch)]
    )
    plan = make_plan(
        args.inputs, args.output, checkpoints,
        sheets=args.all, overwrite=args.overwrite, skip_existing=args.skip_existing,
    )  # fmt: skip
    tasks = plan.tasks
    for problem in plan.problems:
        print(f"chromagan: {printable(problem)}", file=sys.stderr)
    if tasks:
        colorizers = {checkpoint: load_colorizer(checkpoint, args) for checkpoint in checkpoints}

    def work(task: Task) -> bool:
        """Do `task`, or say in one line why it failed; return whether it is done."""
        try:
            for note in color_photo(task, colorizers, args, progress):
                progress.say(f"note: {task.photo}: {note}")
            return True
        except Exception as error:
            if not is_user_error(error):
                raise
            line = one_line(error)
            photo = printable(str(task.photo))
            progress.say(f"chromagan: {line if photo in line else f'{photo}: {line}'}")
            return False

    done = 0
    with (
        Progress("colorize", len(tasks) * len(checkpoints)) as progress,
        ThreadPoolExecutor(args.jobs) as pool,  # one photo is decoded or encoded while another is colored
    ):
        try:
            for success in pool.map(work, tasks):
                done += success
        except KeyboardInterrupt:
            ignore_interrupts()  # an impatient second one
            stopping.set()
            pool.shutdown(cancel_futures=True)
            raise
    if plan.skipped:
        print(f"skipped: {printable(plan.skipped)}", file=sys.stderr)
    photos, colored = len(tasks) + plan.kept + plan.refused, "colored"
    if done:
        colored += f" by {printable(by_what(colorizers, args))}"
    if photos > 1 or plan.kept:
        kept = f", {plan.kept} kept" if plan.kept else ""
        print(f"{done} of {photos} photo{'s' if photos > 1 else ''} {colored}{kept}", file=sys.stderr)
    elif done:
        print(colored, file=sys.stderr)
    return 1 if plan.problems or done < len(tasks) else 0


def by_what(colorizers: dict[Checkpoint, Colorizer], args: argparse.Namespace) -> str:
    """What colored, for people: the defaults differ between `general` and `study`, and a result does not show them."""
    (checkpoint, colorizer), *others = colorizers.items()
    which = f"{checkpoint.decoder}, epoch {checkpoint.epoch}" if not args.all else f"all {len(others) + 1} networks"
    return f"{args.source} ({which}, {'not ' if colorizer.refiner is None else ''}refined)"


def load_colorizer(checkpoint: Checkpoint, args: argparse.Namespace) -> Colorizer:
    """The network, with the refiner if requested or used by default."""
    model = load_checkpoint(checkpoint)
    refiner, steps = select_refiner(args.source, model.config, args.refine)
    return Colorizer(model, args.device, refiner=refiner, refine=steps)


def color_photo(
    task: Task, colorizers: dict[Checkpoint, Colorizer], args: argparse.Namespace, progress: Progress
) -> list[str]:
    """Write the targets of `task` and its sheet, if any; with --skip-existing, only those that do not exist yet.

    Returns a line for each feature of the photo that the target's format cannot hold. Raises ImageError for a target
    that exists by now, unless it may be replaced or skipped.
    """
    image = open_image(task.photo)
    kind = format_of_suffix(next(iter(task.targets.values())).suffix)
    numbers = page_numbers(image)
    photos = list(read_pages(image, numbers if holds_pages(image.format, kind) else numbers[:1]))
    progress.expect((len(photos) - 1) * len(task.targets))
    results: dict[tuple[str, int], Image.Image] = {}
    for checkpoint, target in task.targets.items():
        pages = []
        for page in color_pages(photos, colorizers[checkpoint], args, progress):
            if stopping.is_set():
                return []
            pages.append(page)
        if not is_kept(target, args.overwrite, args.skip_existing):
            write_image(pages, target)
        if task.sheet:
            small = pages[0].copy()
            small.thumbnail((512, 512))
            results[checkpoint.decoder, checkpoint.epoch] = small
    if task.sheet and not is_kept(task.sheet, args.overwrite, args.skip_existing):
        write_image(contact_sheet(results, LABELS), task.sheet)
    return what_is_lost(pages, len(numbers), kind)


def color_pages(
    photos: list[Photo], colorizer: Colorizer, args: argparse.Namespace, progress: Progress
) -> Iterator[Image.Image]:
    """The pages of a file in color, one after the other."""
    for photo in photos:
        (prediction,) = colorizer.predict([photo])
        yield render(photo, prediction, saturation=args.saturation, chroma=args.chroma)
        progress.advance()


def what_is_lost(results: list[Image.Image], pages: int, kind: str) -> list[str]:
    """A line for each feature of a photo with `pages` pages that a file of format `kind` cannot hold. results: the
    colored pages."""
    lost = {name: words for result in results for name, words in unsupported_metadata(result, kind).items()}
    lines = [
        f"{kind} cannot hold its {words}: {'white shows' if name == 'alpha' else 'left out'}"
        for name, words in lost.items()
    ]
    if len(results) < pages:
        lines.append(f"only the first of its {pages} pages is colored: {kind} cannot hold several")
    return lines
