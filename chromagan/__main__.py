"""Command line: python -m chromagan list | colorize. Exit status 0, 2 for a usage error, 1 for any other."""

import argparse
import json
import sys
import warnings
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from chromagan.checkpoints import CheckpointError, find_checkpoint, list_checkpoints, load_checkpoint
from chromagan.colorizer import Colorizer, ImageError, open_image, write_image
from chromagan.data import IMAGE_SUFFIXES
from chromagan.decoders import DECODERS

DEFAULT_SOURCE = Path(__file__).resolve().parent.parent / "checkpoints"  # shipped with a clone


def list_command(args: argparse.Namespace) -> int:
    checkpoints = list_checkpoints(args.source)
    if args.json:
        entries = [{"decoder": c.decoder, "epoch": c.epoch, "path": c.path} for c in checkpoints]
        print(json.dumps(entries, indent=2))
        return 0
    for decoder in dict.fromkeys(c.decoder for c in checkpoints):
        epochs = ", ".join(str(c.epoch) for c in checkpoints if c.decoder == decoder)
        print(f"{decoder:<14}{DECODERS[decoder].label:<28}epochs {epochs}")
    return 0


def colorize_command(args: argparse.Namespace) -> int:
    checkpoint = find_checkpoint(args.source, args.decoder, args.epoch)
    colorizer = Colorizer(load_checkpoint(checkpoint), args.device)
    inputs, problems = find_images(args.inputs)
    output = Path(args.output)
    into_folder = output.is_dir() or not output.suffix or len(args.inputs) > 1 or Path(args.inputs[0]).is_dir()
    if into_folder and output.is_file():
        raise ImageError(f"{output} is a file: for several photos, -o is a folder")
    if into_folder and inputs:
        output.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    for path in tqdm(inputs, "colorize", unit=" photos", disable=len(inputs) < 2):
        suffix = path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else ".png"
        name = f"{path.stem}-{checkpoint.decoder}-epoch-{checkpoint.epoch}{suffix}"
        target = output / name if into_folder else output
        try:
            if target in written or (target.exists() and not args.overwrite):
                raise ImageError(f"{path}: {target} exists already: --overwrite replaces it")
            write_image(colorizer(open_image(path)), target)
            written.add(target)
        except (ImageError, OSError) as error:
            problems.append(str(error))
    for problem in problems:
        print(f"chromagan: {problem}", file=sys.stderr)
    if len(inputs) > 1:
        print(f"{len(written)} colored, {len(problems)} not", file=sys.stderr)
    return 1 if problems else 0


def find_images(names: list[str]) -> tuple[list[Path], list[str]]:
    """The image files that `names` stand for, folders searched recursively; a line for each that stands for none."""
    images: list[Path] = []
    problems: list[str] = []
    for path in map(Path, names):
        if not path.is_dir():
            images.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        images.extend(inside)
        if not inside:
            problems.append(f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
    return images, problems


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chromagan", description="Color gray photos; see what there is to color them with."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="decoders and epochs of a source")
    listing.add_argument("--json", action="store_true", help="an array of objects, for machines")
    listing.set_defaults(run=list_command)

    coloring = commands.add_parser("colorize", help="color photos")
    coloring.add_argument("inputs", nargs="+", metavar="IN", help="image files, or folders of them")
    coloring.add_argument("-o", "--output", required=True, metavar="OUT", help="a file for one photo, else a folder")
    coloring.add_argument("--decoder", choices=DECODERS, help="default: the first of the source")
    coloring.add_argument("--epoch", type=int, help="default: the newest of the decoder")
    coloring.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    coloring.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    coloring.set_defaults(run=colorize_command)

    for command in (parser, listing, coloring):
        command.print_usage = lambda file=None: None  # a usage error is one line; --help shows the rest
    for command in (listing, coloring):
        command.add_argument(
            "--source", default=str(DEFAULT_SOURCE), help="folder of checkpoints (default: those shipped)"
        )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # open_image has a limit of its own
    try:
        return args.run(args)
    except (CheckpointError, ImageError, ValueError, OSError) as error:
        print(f"chromagan: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
