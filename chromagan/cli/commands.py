"""The commands: list, colorize, export, publish, space; their flags and their messages."""

import argparse
import contextlib
import json
import logging
import sys
import warnings
from pathlib import Path

from chromagan.cli.coloring import colorize_command, one_line
from chromagan.hub.checkpoints import NAMED_SOURCES, SHIPPED, find_checkpoint, list_checkpoints, load_checkpoint
from chromagan.hub.onnx_export import ExportError, export_onnx
from chromagan.imaging.chroma import MODES
from chromagan.network.decoders import DECODERS


def run(argv: list[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    args = parse_args(argv)
    # open_image has a limit of its own on pixels; and what a damaged file holds gets one line, from here.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        return args.run(args)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, MemoryError, RuntimeError) as error:  # those of this project are ValueErrors
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

    from chromagan.hub.publish import publish, supersede  # not needed to color a photo

    logging.set_verbosity_error()  # the client warns of each commit that would be empty
    publish(args.source, args.to, private=args.private, collection=args.collection)
    if args.supersedes:
        for repo in supersede(args.supersedes, args.to):
            print(f"{repo}: names its newer version")
    return 0


def space_command(args: argparse.Namespace) -> int:
    from chromagan.hub.publish import publish_space

    print(publish_space(SHIPPED.parent, args.to, source=args.source, private=args.private))
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chromagan", description="Color gray photos; see what there is to color them with."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="decoders and epochs of a source")
    listing.add_argument("--json", action="store_true", help="an array of objects, for machines")
    listing.set_defaults(run=list_command)

    coloring = commands.add_parser(
        "colorize",
        help="color photos",
        description="Color photos: the result has the photo's lightness, its transparency, its metadata and, where it "
        "can hold colors, its ICC profile. Of a TIFF of several pages, or an animation, every page is colored.",
        epilog="A result keeps the format of its photo where that is JPEG, PNG, WebP, TIFF, BMP, AVIF or an animated "
        "GIF; HEIC becomes JPEG, every other format PNG. Of folders and patterns hidden files, other systems' folders, "
        "the output folder and the results of earlier runs are left out. HEIC needs: pip install pillow-heif.",
    )
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
        command.add_argument("--epoch", type=int, help="default: the one nearest to the true colors")
    publishing = commands.add_parser("publish", help="push a study to the Hugging Face Hub")
    publishing.add_argument("--to", required=True, metavar="OWNER/NAME", help="repositories are <this>-<decoder>")
    publishing.add_argument("--private", action="store_true", help="make new repositories private")
    publishing.add_argument("--collection", action="store_true", help="gather them in a collection")
    publishing.add_argument(
        "--supersedes", metavar="OWNER/NAME", help="an older study of yours, whose cards name this one as newer"
    )
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
            help="study, general, a folder of checkpoints, or a Hub prefix owner/name (default: study; for colorize "
            "without --epoch and --all: general, trained on more kinds of photos)",
        )
    args = parser.parse_args(argv)
    if args.run is not space_command and args.source is None:
        any_photo = args.run is colorize_command and args.epoch is None and not args.all
        args.source = "general" if any_photo and NAMED_SOURCES["general"].is_dir() else "study"
    if getattr(args, "all", False) and (args.decoder or args.epoch is not None):
        coloring.error("--all is every decoder and epoch: it goes without --decoder and --epoch")
    return args


def _at_least_0(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number, 0 or more, got {text}")


def _at_least_1(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text}")
