"""Command line: python -m chromagan list | colorize | export | publish | space.

Exit status: 0; 2 for a usage error, 130 for Ctrl-C, 1 for any other error. The photos to color and their output files
are determined before any work starts.
"""

import argparse
import contextlib
import json
import logging
import os
import stat
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chromagan.programs import (
    STOPPED_STATUS,
    count,
    end_in_one_line,
    ignore_interrupts,
    is_closed,
    is_told,
    names_folder,
    one_line,
    printable,
    raise_again,
)

STOPPED = "chromagan: stopped: finished files are kept, and no file is half-written"
STARTED = __name__ == "__main__" or Path(sys.argv[0]).stem == "chromagan"  # the installed command imports this module
if STARTED:  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

from PIL import Image
from tqdm import tqdm

from chromagan.colorizer import MOST_SATURATION, Colorizer, render
from chromagan.errors import ImageError
from chromagan.hub.checkpoints import (
    SHIPPED,
    STUDY,
    Checkpoint,
    CheckpointError,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    usual_source,
    usually_refined,
)
from chromagan.hub.onnx_export import ExportError, export_onnx, export_refiner
from chromagan.hub.refiners import load_refiner
from chromagan.imaging.chroma import MODES
from chromagan.imaging.contact_sheet import contact_sheet
from chromagan.imaging.formats import format_for, format_of_suffix, holds_pages
from chromagan.imaging.photo import Photo, open_image, page_numbers, read_pages
from chromagan.imaging.writing import check_suffix, encode_image, losses, write_image
from chromagan.network.decoders import DECODERS, LABELS
from chromagan.plan import Task, make_plan

if STARTED:
    raise_again()

STREAM = "-"  # stdin as input, stdout as output
ALL_STEPS = "all"  # steps of the refiner
stopping = threading.Event()  # set by Ctrl-C: no further file is written


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status. After a Ctrl-C, further ones are ignored."""
    try:
        args = parse_args(argv)
        # open_image limits the pixels itself, and a damaged file is reported here, in one line.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logging.getLogger("PIL").setLevel(logging.CRITICAL)
        if args.run is list_command and is_closed(sys.stdout):
            raise OSError("stdout is closed: the list cannot be written")
        status = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        ignore_interrupts()
        print(STOPPED, file=sys.stderr)
        return STOPPED_STATUS
    except BrokenPipeError:  # `chromagan list | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not is_told(error):
            raise
        print(f"chromagan: {one_line(error)}", file=sys.stderr)
        return 1


def list_command(args: argparse.Namespace) -> int:
    checkpoints = list_checkpoints(args.source)
    if args.json:
        entries = [
            {"decoder": c.decoder, "epoch": c.epoch, "path": c.path, "revision": c.revision} for c in checkpoints
        ]
        print(json.dumps(entries, indent=2))
        return 0
    for decoder in dict.fromkeys(c.decoder for c in checkpoints):
        epochs = ", ".join(str(c.epoch) for c in checkpoints if c.decoder == decoder)
        print(f"{decoder:<14}{DECODERS[decoder].label:<28}epochs {epochs}")
    return 0


def export_command(args: argparse.Namespace) -> int:
    checkpoint = find_checkpoint(args.source, args.decoder, args.epoch)
    path = Path(args.output)
    if path.suffix != ".onnx" or names_folder(args.output):
        raise ExportError(f"{args.output}: the name of an ONNX file must end with .onnx")
    if os.path.lexists(path) and not args.overwrite:
        raise ExportError(f"{path} already exists: --overwrite replaces it")
    shown, facts = printable(str(path)), {"decoder": checkpoint.decoder, "epoch": str(checkpoint.epoch)}
    model = load_checkpoint(checkpoint)
    if args.refiner:
        share = export_refiner(load_refiner(args.source, model.config), model.trunk, path)
        print(f"{shown}: one step of the refiner; its actions differ from torch at {share:.2%} of the pixels at most")
        return 0
    difference = export_onnx(model, path, facts)
    print(
        f"{shown}: {checkpoint.decoder}, epoch {checkpoint.epoch}; differs from torch by at most {difference:.1g} in ab"
    )
    return 0


def publish_command(args: argparse.Namespace) -> int:
    from huggingface_hub.utils import logging

    from chromagan.hub.publish import check_superseded, publish, supersede  # not needed to color a photo

    logging.set_verbosity_error()  # the client warns about every empty commit
    if args.supersedes:
        check_superseded(args.supersedes)
    publish(args.source, args.to, private=args.private, collection=args.collection)
    if args.supersedes:
        for repo in supersede(args.supersedes, args.to):
            print(f"{repo}: its card names the newer version")
    return 0


def space_command(args: argparse.Namespace) -> int:
    from chromagan.hub.publish import publish_space

    print(publish_space(SHIPPED.parent, args.to, source=args.source, private=args.private))
    return 0


def colorize_command(args: argparse.Namespace) -> int:
    stopping.clear()
    if STREAM in (*args.inputs, args.output):
        return colorize_stream(args)
    checkpoints = (
        list_checkpoints(args.source) if args.all else [find_checkpoint(args.source, args.decoder, args.epoch)]
    )
    plan = make_plan(
        args.inputs, args.output, checkpoints,
        sheets=args.all, overwrite=args.overwrite, skip_existing=args.skip_existing,
    )  # fmt: skip
    tasks, problems = plan.tasks, plan.problems
    if tasks:
        colorizers = {checkpoint: load_colorizer(checkpoint, args) for checkpoint in checkpoints}
    notes: list[str] = []

    def work(task: Task) -> str | None:
        """Do `task`; return the error line if it fails."""
        try:
            notes.extend(f"{task.photo}: {note}" for note in color_photo(task, colorizers, args))
            return None
        except Exception as error:
            if not is_told(error):
                raise
            line = one_line(error)
            photo = printable(str(task.photo))
            return line if photo in line else f"{photo}: {line}"

    done = 0
    with ThreadPoolExecutor(args.jobs) as pool:  # one photo is decoded or encoded while another is colored
        try:
            for problem in tqdm(pool.map(work, tasks), "colorize", len(tasks), unit=" photos", disable=len(tasks) < 2):
                done += problem is None
                problems += [problem] if problem else []
        except KeyboardInterrupt:
            ignore_interrupts()  # an impatient second one
            stopping.set()
            pool.shutdown(cancel_futures=True)
            raise
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    for problem in problems:
        print(f"chromagan: {printable(problem)}", file=sys.stderr)
    if plan.skipped:
        print(f"skipped: {printable(plan.skipped)}", file=sys.stderr)
    if len(tasks) > 1:
        print(f"{done} of {len(tasks)} photos colored", file=sys.stderr)
    return 1 if problems else 0


def load_colorizer(checkpoint: Checkpoint, args: argparse.Namespace) -> Colorizer:
    """The network, with the refiner if requested or used by default; only a default one may be missing, with a note."""
    model, refiner, steps = load_checkpoint(checkpoint), None, args.refine
    if steps is None and usually_refined(args.source):
        try:
            refiner = load_refiner(args.source, model.config)
        except CheckpointError as error:
            print(f"note: {printable(str(error))}; the colors are not refined", file=sys.stderr)
    elif steps not in (None, 0):
        steps = None if steps == ALL_STEPS else steps
        refiner = load_refiner(args.source, model.config)
    return Colorizer(model, args.device, refiner=refiner, refine=steps)


def color_photo(task: Task, colorizers: dict[Checkpoint, Colorizer], args: argparse.Namespace) -> list[str]:
    """Write the targets of `task` and its sheet, if any; without --overwrite, only those that do not exist yet.

    Returns a line for each feature of the photo that the target's format cannot hold.
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
        if args.overwrite or not os.path.lexists(target):
            write_image(pages, target)
        if task.sheet:
            small = pages[0].copy()
            small.thumbnail((512, 512))
            results[checkpoint.decoder, checkpoint.epoch] = small
    if task.sheet and (args.overwrite or not os.path.lexists(task.sheet)):
        write_image(contact_sheet(results, LABELS), task.sheet)
    return what_is_lost(pages, len(numbers), kind)


def color_pages(photos: list[Photo], colorizer: Colorizer, args: argparse.Namespace) -> list[Image.Image]:
    predictions = (colorizer.predict([photo])[0] for photo in photos)
    return [
        render(photo, prediction, saturation=args.saturation, chroma=args.chroma)
        for photo, prediction in zip(photos, predictions, strict=True)
    ]


def what_is_lost(results: list[Image.Image], pages: int, kind: str) -> list[str]:
    """A line for each feature of a photo with `pages` pages that a file of format `kind` cannot hold. results: the
    colored pages."""
    lost = {name: words for result in results for name, words in losses(result, kind).items()}
    lines = [
        f"{kind} cannot hold its {words}: {'white shows' if name == 'alpha' else 'left out'}"
        for name, words in lost.items()
    ]
    if len(results) < pages:
        lines.append(f"only the first of its {pages} pages is colored: {kind} cannot hold several")
    return lines


def colorize_stream(args: argparse.Namespace) -> int:
    """A photo from stdin, or to stdout, or both: a stage of a pipeline."""
    if len(args.inputs) > 1 or args.all:
        raise ImageError("'-' is one photo: it cannot be combined with other inputs or --all")
    output = None if args.output == STREAM else Path(args.output)
    if output:
        check_suffix(output)
        if names_folder(args.output):
            raise ImageError(f"{args.output}: a photo from stdin has no name: -o must be a file")
    (name,) = args.inputs
    if name == STREAM and is_closed(sys.stdin):
        raise ImageError("'-' is stdin, which is closed")
    if output is None and is_closed(sys.stdout):
        raise ImageError("'-' is stdout, which is closed")
    if is_same_file(name, output):
        raise ImageError(f"{name}: its result would replace the photo itself: give it another name")
    if output and os.path.lexists(output) and not args.overwrite:
        if args.skip_existing:
            return 0
        raise ImageError(f"{output} already exists: --overwrite replaces it, --skip-existing keeps it")
    image = open_image(sys.stdin.buffer if name == STREAM else name)
    numbers = page_numbers(image)
    alpha = image.has_transparency_data
    kind = format_of_suffix(output.suffix) if output else format_for(image.format, len(numbers) > 1, alpha)
    photos = list(read_pages(image, numbers if holds_pages(image.format, kind) else numbers[:1]))
    colorizer = load_colorizer(find_checkpoint(args.source, args.decoder, args.epoch), args)
    pages = color_pages(photos, colorizer, args)
    if output:
        write_image(pages, output)
    else:
        write_stdout(encode_image(pages[0], kind, pages[1:]))
    for note in what_is_lost(pages, len(numbers), kind):
        print(f"note: {note}", file=sys.stderr)
    return 0


def is_same_file(photo: str, output: Path | None) -> bool:
    """Whether a photo and its result are the same file: the photo STREAM is stdin, the output None is stdout."""
    try:
        before = os.fstat(sys.stdin.fileno()) if photo == STREAM else os.stat(photo)
        after = os.stat(output) if output else os.fstat(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # no such file, or a Python object replaces the stream
        return False
    # A terminal is both, but not a regular file.
    return stat.S_ISREG(before.st_mode) and os.path.samestat(before, after)


def write_stdout(data: bytes) -> None:
    """Write `data` to stdout; ImageError if the pipe is closed or the disk is full."""
    try:
        rest = memoryview(data)
        while rest:  # Python's buffer may lose the rest after a partial write to a closed pipe
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at exit
        raise ImageError(f"stdout: the picture cannot be written: {error.strerror}") from error


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chromagan", description="Color gray photos, and list the networks that can color them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="decoders and epochs of a source")
    listing.add_argument("--json", action="store_true", help="print a JSON array of objects")
    listing.set_defaults(run=list_command)

    coloring = commands.add_parser(
        "colorize",
        help="color photos",
        description="Color photos: the result has the photo's lightness, its transparency, its metadata and, if it "
        "can hold colors, its ICC profile. Every page of a multi-page TIFF or an animation is colored.",
        epilog="A result keeps the format of its photo if that is JPEG, PNG, WebP, TIFF, BMP, AVIF or an animated "
        "GIF; HEIC becomes JPEG, every other format PNG. In folders and patterns, hidden files, system folders and the "
        "results of earlier runs, recognized by name, sheets also by a mark, are skipped. "
        "HEIC needs: pip install pillow-heif.",
    )
    coloring.add_argument("inputs", nargs="+", metavar="IN", help="image files, patterns, folders; - is stdin")
    coloring.add_argument(
        "-o", "--output", required=True, type=_name, metavar="OUT",
        help="a file for one photo; otherwise, or with a trailing slash, a folder; - is stdout",
    )  # fmt: skip
    coloring.add_argument("--all", action="store_true", help="every decoder and epoch, and a contact sheet of them")
    coloring.add_argument("--saturation", type=_saturation, default=1.0, metavar="X", help="multiplies the chroma (1)")
    coloring.add_argument(
        "--chroma", choices=MODES, default=MODES[0], help=f"how colors are upsampled to full size ({MODES[0]})"
    )
    coloring.add_argument(
        "--refine", nargs="?", const=ALL_STEPS, type=_steps, metavar="N",
        help="refine the colors in N steps of the source's refiner, 0 for none; without N, in all the steps that it "
        "was trained to take, the default with general",
    )  # fmt: skip
    coloring.add_argument("--jobs", type=count, default=2, metavar="N", help="photos processed at once (2)")
    coloring.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    exists = coloring.add_mutually_exclusive_group()
    exists.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    exists.add_argument("--skip-existing", action="store_true", help="keep them: resume an interrupted run")
    coloring.set_defaults(run=colorize_command)

    exporting = commands.add_parser("export", help="write a checkpoint as ONNX")
    exporting.add_argument("-o", "--output", required=True, type=_name, metavar="FILE.onnx", help="the file to write")
    exporting.add_argument("--refiner", action="store_true", help="export one step of the source's refiner instead")
    exporting.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    exporting.set_defaults(run=export_command)

    for command in (coloring, exporting):
        command.add_argument("--decoder", choices=DECODERS, help="default: the first of the source")
        command.add_argument(
            "--epoch",
            type=int,
            help="default: the nearest to the true colors, or within 1 percent of it and the most colorful",
        )
    publishing = commands.add_parser("publish", help="push a study to the Hugging Face Hub")
    publishing.add_argument("--to", required=True, metavar="OWNER/NAME", help="repositories are <this>-<decoder>")
    publishing.add_argument("--private", action="store_true", help="make new repositories private")
    publishing.add_argument("--collection", action="store_true", help="gather them in a collection")
    publishing.add_argument(
        "--supersedes", metavar="OWNER/NAME", help="an older study of yours: its cards will name this one as newer"
    )
    publishing.set_defaults(run=publish_command)

    space = commands.add_parser("space", help="make a Space of the demo, from a clone of this project")
    space.add_argument("--to", required=True, metavar="OWNER/SPACE")
    space.add_argument("--source", default="", help="Hub prefix that it shows; default: the shipped checkpoints")
    space.add_argument("--private", action="store_true", help="make it private")
    space.set_defaults(run=space_command)

    for command in (parser, listing, coloring, exporting, publishing, space):
        command.print_usage = lambda file=None: None  # a usage error is one line; --help shows the rest
    for command in (listing, coloring, exporting, publishing):
        command.add_argument(
            "--source",
            help="study, general, a folder of checkpoints, or a Hub prefix owner/name (default: study; for colorize "
            "without --epoch and --all: general, trained on more kinds of photos, if it has the decoder)",
        )
    args = parser.parse_args(argv)
    if args.run is not space_command and args.source is None:
        one_coloring = args.run is colorize_command and not args.all
        args.source = usual_source(args.decoder, args.epoch) if one_coloring else STUDY
    if args.run is publish_command and args.supersedes == args.to:
        publishing.error(f"--supersedes {args.to}: a study cannot be its own newer version")
    if getattr(args, "all", False) and (args.decoder or args.epoch is not None):
        coloring.error("--all is every decoder and epoch: it cannot be combined with --decoder or --epoch")
    return args


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must be a name, got ''")
    return text


def _steps(text: str) -> int | str:
    if text == ALL_STEPS:
        return text
    with contextlib.suppress(ValueError):
        if int(text) >= 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text}")


def _saturation(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= MOST_SATURATION:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number, 0 to {MOST_SATURATION}, got {text}")


if __name__ == "__main__":
    sys.exit(main())
