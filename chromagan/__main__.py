"""Command line: python -m chromagan list | colorize | export | publish | space.

Exit status 0, 2 for a usage error, 1 for any other.
"""

import argparse
import glob
import json
import logging
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from chromagan.colorizer import Colorizer, render
from chromagan.hub.checkpoints import Checkpoint, CheckpointError, find_checkpoint, list_checkpoints, load_checkpoint
from chromagan.hub.onnx_export import ExportError, export_onnx
from chromagan.imaging.chroma import MODES
from chromagan.imaging.contact_sheet import contact_sheet
from chromagan.imaging.photo import IMAGE_SUFFIXES, ImageError, encode_image, open_image, read_photo, write_image
from chromagan.network.decoders import DECODERS, LABELS

DEFAULT_SOURCE = Path(__file__).resolve().parent.parent / "checkpoints"  # shipped with a clone
STREAM = "-"  # stdin as input, stdout as output


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


@dataclass(frozen=True)
class Task:
    """One photo, and the file that each checkpoint's coloring of it goes to."""

    photo: str  # a path
    targets: dict[Checkpoint, Path]
    sheet: Path | None  # where all of them are shown together


def colorize_command(args: argparse.Namespace) -> int:
    if STREAM in (*args.inputs, args.output):
        return colorize_stream(args)
    checkpoints = (
        list_checkpoints(args.source) if args.all else [find_checkpoint(args.source, args.decoder, args.epoch)]
    )
    tasks, problems = plan(args, checkpoints)
    if tasks:
        colorizers = {checkpoint: Colorizer(load_checkpoint(checkpoint), args.device) for checkpoint in checkpoints}

    def work(task: Task) -> str | None:
        """Do `task`; the line that says why it could not be done."""
        try:
            color_photo(task, colorizers, args)
            return None
        except (ImageError, OSError, MemoryError, RuntimeError) as error:  # torch's lack of memory is a RuntimeError
            short = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
            reason = "there is not enough memory for it" if short else " ".join(str(error).split())
            return reason if task.photo in reason else f"{task.photo}: {reason}"

    done = 0
    with ThreadPoolExecutor(args.jobs) as pool:  # one photo is decoded or encoded while another is colored
        for problem in tqdm(pool.map(work, tasks), "colorize", len(tasks), unit=" photos", disable=len(tasks) < 2):
            done += problem is None
            problems += [problem] if problem else []
    for problem in problems:
        print(f"chromagan: {problem}", file=sys.stderr)
    if len(tasks) > 1:
        print(f"{done} of {len(tasks)} photos colored", file=sys.stderr)
    return 1 if problems else 0


def color_photo(task: Task, colorizers: dict[Checkpoint, Colorizer], args: argparse.Namespace) -> None:
    """Write the targets of `task` and its sheet, if any; without --overwrite only those that are not there yet."""
    photo = read_photo(open_image(task.photo))
    results: dict[tuple[str, int], Image.Image] = {}
    for checkpoint, target in task.targets.items():
        (prediction,) = colorizers[checkpoint].predict([photo])
        result = render(photo, prediction, saturation=args.saturation, chroma=args.chroma)
        if args.overwrite or not target.exists():
            write_image(result, target)
        if task.sheet:
            result.thumbnail((512, 512))
            results[checkpoint.decoder, checkpoint.epoch] = result
    if task.sheet and (args.overwrite or not task.sheet.exists()):
        write_image(contact_sheet(results, LABELS), task.sheet)


def plan(args: argparse.Namespace, checkpoints: list[Checkpoint]) -> tuple[list[Task], list[str]]:
    """What this process is to do, before any of it is done; and a line for each input that cannot be.

    Several processes (accelerate launch -m chromagan ..., or torchrun) share the photos out between them.
    """
    rank, processes = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    found, problems = find_images(args.inputs)
    problems = problems if rank == 0 else []
    output = Path(args.output)
    one_file = len(found) == 1 and output.suffix and not output.is_dir() and not Path(args.inputs[0]).is_dir()
    if not (one_file and not args.all) and output.is_file():
        raise ImageError(f"{output} is a file: for several pictures, -o is a folder")
    if one_file and not args.all and output.suffix.lower() not in IMAGE_SUFFIXES:
        raise ImageError(f"{output}: cannot write {output.suffix}: use {', '.join(IMAGE_SUFFIXES)}")

    tasks: list[Task] = []
    taken: dict[Path, Path] = {}  # whose results go where
    for index, (path, folder) in enumerate(found):
        suffix = path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else ".png"
        targets = {c: output / folder / f"{path.stem}-{c.decoder}-epoch-{c.epoch}{suffix}" for c in checkpoints}
        sheet = output / folder / f"{path.stem}-all.jpg" if args.all else None
        if one_file and not args.all:
            targets = {checkpoints[0]: output}
        everything = [*targets.values(), *([sheet] if sheet else [])]
        existing = [target for target in everything if target.exists()]
        clash = next((taken[target] for target in everything if target in taken), None)
        for target in everything:
            taken.setdefault(target, path)
        if index % processes != rank:
            continue
        if clash:
            problems.append(f"{path}: its results would replace those of {clash}: give it another name")
            continue
        if args.skip_existing and len(existing) == len(everything):
            continue
        if existing and not (args.overwrite or args.skip_existing):
            problems.append(
                f"{path}: {existing[0]} exists already: --overwrite replaces it, --skip-existing leaves it as it is"
            )
            continue
        everything[0].parent.mkdir(parents=True, exist_ok=True)
        tasks.append(Task(str(path), targets, sheet))
    return tasks, problems


def find_images(names: list[str]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Image files that `names` (files, patterns, folders searched recursively) stand for, each with its folder below
    the one that was named; and a line for each name that stands for none."""
    images: list[tuple[Path, Path]] = []
    problems: list[str] = []
    for name in names:
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True)) or [name]
        for path in map(Path, matches):
            if not path.is_dir():
                images.append((path, Path()))
                continue
            closed: list[OSError] = []  # rglob would pass over folders that cannot be read
            walked = os.walk(path, onerror=closed.append)
            inside = sorted(Path(folder, name) for folder, _, names in walked for name in names)
            inside = [p for p in inside if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
            problems += [f"{error.filename}: {error.strerror}" for error in closed]
            images.extend((p, p.parent.relative_to(path)) for p in inside)
            if not inside and not closed:
                problems.append(f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
    return images, problems


def colorize_stream(args: argparse.Namespace) -> int:
    """A photo from stdin, or to stdout, or both: a stage of a pipeline."""
    if len(args.inputs) > 1 or args.all:
        raise ImageError("'-' is one photo: it goes with no other input and not with --all")
    colorizer = Colorizer.from_pretrained(args.source, args.decoder, args.epoch, args.device)
    (name,) = args.inputs
    image = open_image(sys.stdin.buffer if name == STREAM else name)
    result = colorizer(image, saturation=args.saturation, chroma=args.chroma)
    if args.output != STREAM:
        if Path(args.output).exists() and not args.overwrite:
            raise ImageError(f"{args.output} exists already: --overwrite replaces it")
        write_image(result, args.output)
        return 0
    kept = image.format if image.format in ("JPEG", "WEBP", "TIFF", "BMP") and result.mode == "RGB" else "PNG"
    encode_image(result, sys.stdout.buffer, kept)
    return 0


def export_command(args: argparse.Namespace) -> int:
    checkpoint = find_checkpoint(args.source, args.decoder, args.epoch)
    path = Path(args.output)
    if path.suffix != ".onnx":
        raise ExportError(f"{path}: the name of an ONNX file ends with .onnx")
    if path.exists() and not args.overwrite:
        raise ExportError(f"{path} exists already: --overwrite replaces it")
    facts = {"decoder": checkpoint.decoder, "epoch": str(checkpoint.epoch)}
    difference = export_onnx(load_checkpoint(checkpoint), path, facts)
    print(
        f"{path}: {checkpoint.decoder}, epoch {checkpoint.epoch}; differs from torch by at most {difference:.1g} in ab"
    )
    return 0


def publish_command(args: argparse.Namespace) -> int:
    from huggingface_hub.utils import logging

    from chromagan.hub.publish import publish  # not needed to color a photo

    logging.set_verbosity_error()  # the client warns of each commit that would be empty
    publish(args.source, args.to, private=args.private, collection=args.collection)
    return 0


def space_command(args: argparse.Namespace) -> int:
    from chromagan.hub.publish import publish_space

    print(publish_space(DEFAULT_SOURCE.parent, args.to, source=args.source, private=args.private))
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chromagan", description="Color gray photos; see what there is to color them with."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="decoders and epochs of a source")
    listing.add_argument("--json", action="store_true", help="an array of objects, for machines")
    listing.set_defaults(run=list_command)

    coloring = commands.add_parser("colorize", help="color photos")
    coloring.add_argument("inputs", nargs="+", metavar="IN", help="image files, patterns, folders; - is stdin")
    coloring.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="a file for one photo, else a folder; - is stdout"
    )
    coloring.add_argument("--all", action="store_true", help="every decoder and epoch, and a contact sheet of them")
    coloring.add_argument("--saturation", type=_at_least_0, default=1.0, metavar="X", help="multiplies the chroma (1)")
    coloring.add_argument(
        "--chroma", choices=MODES, default=MODES[0], help=f"how colors are brought to full size ({MODES[0]})"
    )
    coloring.add_argument("--jobs", type=_at_least_1, default=2, metavar="N", help="photos worked on at once (2)")
    coloring.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    exists = coloring.add_mutually_exclusive_group()
    exists.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    exists.add_argument("--skip-existing", action="store_true", help="leave them: go on where a run was cut off")
    coloring.set_defaults(run=colorize_command)

    exporting = commands.add_parser("export", help="write a checkpoint as ONNX")
    exporting.add_argument("-o", "--output", required=True, metavar="FILE.onnx", help="the file to write")
    exporting.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    exporting.set_defaults(run=export_command)

    for command in (coloring, exporting):
        command.add_argument("--decoder", choices=DECODERS, help="default: the first of the source")
        command.add_argument("--epoch", type=int, help="default: the newest of the decoder")
    publishing = commands.add_parser("publish", help="push a study to the Hugging Face Hub")
    publishing.add_argument("--to", required=True, metavar="OWNER/NAME", help="repositories are <this>-<decoder>")
    publishing.add_argument("--private", action="store_true", help="make new repositories private")
    publishing.add_argument("--collection", action="store_true", help="gather them in a collection")
    publishing.set_defaults(run=publish_command)

    space = commands.add_parser("space", help="make a Space of the demo, from a clone of this project")
    space.add_argument("--to", required=True, metavar="OWNER/SPACE")
    space.add_argument("--source", default="", help="Hub prefix for it to show; default: the checkpoints shipped")
    space.add_argument("--private", action="store_true", help="make it private")
    space.set_defaults(run=space_command)

    for command in (parser, listing, coloring, exporting, publishing, space):
        command.print_usage = lambda file=None: None  # a usage error is one line; --help shows the rest
    for command in (listing, coloring, exporting, publishing):
        command.add_argument(
            "--source",
            default=str(DEFAULT_SOURCE),
            help="folder of checkpoints, or a Hub prefix owner/name (default: those shipped)",
        )
    args = parser.parse_args(argv)
    if getattr(args, "all", False) and (args.decoder or args.epoch is not None):
        coloring.error("--all is every decoder and epoch: it goes without --decoder and --epoch")
    return args


def _at_least_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


def _at_least_1(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    # open_image has a limit of its own on pixels; and what a damaged file holds gets one line, from here.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        return args.run(args)
    except (CheckpointError, ExportError, ImageError, ValueError, OSError) as error:
        print(f"chromagan: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
