"""Command line: python -m chromagan list | colorize | export | publish | space.

Exit status: 0; 2 for a usage error, 130 for Ctrl-C, 1 for any other error. This module reads the arguments; what
`colorize` does is in command_line/.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import warnings
from pathlib import Path

from chromagan.programs import (
    STOPPED_STATUS,
    ArgumentParser,
    end_in_one_line,
    ignore_interrupts,
    is_closed,
    is_user_error,
    names_folder,
    one_line,
    positive_int,
    printable,
    raise_again,
)

STOPPED = "chromagan: stopped: finished files are kept, and no file is half-written"
STARTED = __name__ == "__main__" or Path(sys.argv[0]).stem == "chromagan"  # the installed command imports this module
if STARTED:  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)


from chromagan.colorizer import MOST_SATURATION
from chromagan.command_line.coloring import colorize_files
from chromagan.command_line.streams import STREAM, colorize_stream
from chromagan.hub.checkpoints import (
    SHIPPED,
    STUDY,
    default_source,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from chromagan.hub.onnx_export import ExportError, export_onnx, export_refiner
from chromagan.hub.refiners import ALL_STEPS, load_refiner
from chromagan.imaging.chroma import MODES
from chromagan.network.decoders import DECODERS

if STARTED:
    raise_again()


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
        if not is_user_error(error):
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
    labels = {c.decoder: DECODERS[c.decoder].label for c in checkpoints}
    widths = max(map(len, labels)), max(map(len, labels.values()))
    for decoder, label in labels.items():
        epochs = ", ".join(str(c.epoch) for c in checkpoints if c.decoder == decoder)
        print(f"{decoder:<{widths[0]}}  {label:<{widths[1]}}  epochs {epochs}")
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

    from chromagan.hub.publish import publish  # not needed to color a photo
    from chromagan.hub.superseding import check_superseded, supersede

    logging.set_verbosity_error()  # the client warns about every empty commit
    if args.supersedes:
        check_superseded(args.supersedes)
    publish(args.source, args.to, private=args.private, collection=args.collection)
    if args.supersedes:
        for repo in supersede(args.supersedes, args.to):
            print(f"{repo}: its card names the newer version")
    return 0


def space_command(args: argparse.Namespace) -> int:
    from chromagan.hub.space import publish_space

    print(publish_space(SHIPPED.parent, args.to, source=args.source, private=args.private))
    return 0


def colorize_command(args: argparse.Namespace) -> int:
    return colorize_stream(args) if STREAM in (*args.inputs, args.output) else colorize_files(args)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ArgumentParser(
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
        "GIF; HEIC becomes JPEG, every other format PNG. Skipped in folders: hidden files, system folders and "
        "earlier results. HEIC needs: pip install pillow-heif.",
    )
    coloring.add_argument("inputs", nargs="+", metavar="IN", help="image files, patterns, folders; - is stdin")
    coloring.add_argument(
        "-o", "--output", required=True, type=_name, metavar="OUT",
        help="a file for one photo; otherwise, or with a trailing slash, a folder; - is stdout",
    )  # fmt: skip
    coloring.add_argument("--all", action="store_true", help="every decoder and epoch, and a contact sheet of them")
    coloring.add_argument(
        "--saturation", type=_saturation, default=1.0, metavar="X",
        help=f"multiplies the chroma: 0 to {MOST_SATURATION} (1)",
    )  # fmt: skip
    coloring.add_argument(
        "--chroma", choices=MODES, default=MODES[0], help=f"how colors are upsampled to full size ({MODES[0]})"
    )
    coloring.add_argument(
        "--refine", nargs="?", const=ALL_STEPS, type=_steps, metavar="N",
        help="refine the colors in N steps of the source's refiner, 0 for none; without N, in all the steps that it "
        "was trained for (the default with general)",
    )  # fmt: skip
    coloring.add_argument("--jobs", type=positive_int, default=2, metavar="N", help="photos processed at once (2)")
    coloring.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    exists = coloring.add_mutually_exclusive_group()
    exists.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    exists.add_argument("--skip-existing", action="store_true", help="keep outputs that exist: resume a run")
    coloring.set_defaults(run=colorize_command)

    exporting = commands.add_parser("export", help="write a checkpoint as ONNX")
    exporting.add_argument("-o", "--output", required=True, type=_name, metavar="FILE.onnx", help="the file to write")
    exporting.add_argument("--refiner", action="store_true", help="export one step of the source's refiner instead")
    exporting.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    exporting.set_defaults(run=export_command)

    for command in (coloring, exporting):
        command.add_argument("--decoder", choices=DECODERS, help="default: the first of the source")
        command.add_argument("--epoch", type=int, help="default: the recommended epoch (see docs/coloring.md)")
    publishing = commands.add_parser("publish", help="push a study to the Hugging Face Hub")
    publishing.add_argument("--to", required=True, metavar="OWNER/NAME", help="the repositories: OWNER/NAME-<decoder>")
    publishing.add_argument("--private", action="store_true", help="make new repositories private")
    publishing.add_argument("--collection", action="store_true", help="gather them in a collection")
    publishing.add_argument(
        "--supersedes", metavar="OWNER/NAME", help="an older study of yours: its cards will name this one as newer"
    )
    publishing.set_defaults(run=publish_command)

    space = commands.add_parser("space", help="create a Space with this demo, from a clone of this project")
    space.add_argument("--to", required=True, metavar="OWNER/SPACE")
    space.add_argument("--source", default="", help="Hub prefix of the checkpoints it shows; default: the shipped ones")
    space.add_argument("--private", action="store_true", help="make it private")
    space.set_defaults(run=space_command)

    for command in (listing, coloring, exporting, publishing):
        words = "study"
        if command is coloring:
            words = "general, trained on more kinds of photos, if it has the decoder; study with --epoch and with --all"
        kinds = "study, general, a folder of checkpoints or a Hub prefix owner/name"
        if command is publishing:  # what is on the Hub is published already
            kinds = "study, general or a folder of checkpoints"
        command.add_argument("--source", help=f"{kinds} (default: {words})")
    args = parser.parse_args(argv)
    if args.run is not space_command and args.source is None:
        one_coloring = args.run is colorize_command and not args.all
        args.source = default_source(args.decoder, args.epoch) if one_coloring else STUDY
    if args.run is publish_command and args.supersedes == args.to:
        publishing.error(f"--supersedes {args.to}: a study cannot be its own newer version")
    if getattr(args, "all", False) and (args.decoder or args.epoch is not None):
        coloring.error("--all means every decoder and epoch: it cannot be combined with --decoder or --epoch")
    return args


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must be a name, got ''")
    return text


def _steps(text: str) -> int | str:
    if text == ALL_STEPS:
        return text
    advice = ""
    try:
        if int(text) >= 0:
            return int(text)
    except ValueError:  # probably the photo, behind a --refine without a number
        advice = ": write the photo before --refine, or --refine 5"
    raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text}{advice}")


def _saturation(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= MOST_SATURATION:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number, 0 to {MOST_SATURATION}, got {text}")


if __name__ == "__main__":
    sys.exit(main())
