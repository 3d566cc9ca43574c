"""A photo from stdin, or to stdout: `colorize` as a stage of a pipeline."""

import argparse
import os
import stat
import sys
from pathlib import Path

from chromagan.command_line.coloring import color_pages, load_colorizer, what_is_lost
from chromagan.command_line.plan import is_kept
from chromagan.command_line.progress import Progress
from chromagan.errors import ImageError
from chromagan.hub.checkpoints import find_checkpoint
from chromagan.imaging.formats import format_for, format_of_suffix, holds_pages
from chromagan.imaging.photo import open_image, page_numbers, read_pages
from chromagan.imaging.writing import check_suffix, encode_image, write_image
from chromagan.programs import is_closed, make_folder, names_folder

STREAM = "-"  # stdin as input, stdout as output


def colorize_stream(args: argparse.Namespace) -> int:
    """A photo from stdin, or to stdout, or both: a stage of a pipeline."""
    if len(args.inputs) > 1 or args.all:
        raise ImageError("'-' is one photo: it cannot be combined with other inputs or --all")
    output = None if args.output == STREAM else Path(args.output)
    if output:
        if names_folder(args.output):
            raise ImageError(f"{args.output}: a photo from stdin has no name: -o must be a file")
        check_suffix(output)
    (name,) = args.inputs
    if name == STREAM and is_closed(sys.stdin):
        raise ImageError("'-' is stdin, which is closed")
    if output is None and is_closed(sys.stdout):
        raise ImageError("'-' is stdout, which is closed")
    if is_same_file(name, output):
        raise ImageError(f"{name}: its result would replace the photo itself: give it another name")
    if output and is_kept(output, args.overwrite, args.skip_existing):
        return 0
    if output:
        make_folder(output.parent)
    image = open_image(sys.stdin.buffer if name == STREAM else name)
    numbers = page_numbers(image)
    alpha = image.has_transparency_data
    kind = format_of_suffix(output.suffix) if output else format_for(image.format, len(numbers) > 1, alpha)
    photos = list(read_pages(image, numbers if holds_pages(image.format, kind) else numbers[:1]))
    colorizer = load_colorizer(find_checkpoint(args.source, args.decoder, args.epoch), args)
    with Progress("colorize", len(photos)) as progress:
        pages = list(color_pages(photos, colorizer, args, progress))
    if output and is_kept(output, args.overwrite, args.skip_existing):
        return 0
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
