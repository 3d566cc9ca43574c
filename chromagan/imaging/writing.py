"""Encoding and atomic writing of results, with the metadata and the color space that the format supports."""

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from chromagan.atomic import replacing
from chromagan.errors import ImageError
from chromagan.imaging import profiles
from chromagan.imaging.formats import FORMATS, format_of_suffix, is_written, written_suffixes
from chromagan.imaging.metadata import (
    as_comment,
    as_raw_profile,
    comment_segment,
    photoshop_segment,
    tiff_tags,
    with_resolution,
)
from chromagan.imaging.photo import reason

LONGEST_NAME = 255  # bytes, the limit of common file systems
MAX_SEGMENT = {"exif": 65_533, "xmp": 65_504, "iptc": 65_500, "notes": 65_533}  # bytes: JPEG stores each in one segment
NAMES = {"exif": "EXIF data", "xmp": "XMP data", "iptc": "IPTC data", "notes": "notes", "dpi": "resolution"}
DEFLATE, DIFFERENCES = 8, 2  # values of TIFF's compression and of its predictor
SHORT, LONG = 3, 4  # TIFF's types of a value
TIFF_HEADER, FIRST_LINK = 8, 4  # bytes; where in it the place of the first page is


def write_image(image: Image.Image | Sequence[Image.Image], path: str | os.PathLike) -> None:
    """Write a picture, or the pages of one, in the format of the suffix, atomically.

    Raises ImageError, naming the file, for an unsupported suffix, for a picture that the format cannot hold, and if the
    file cannot be written; nothing is left of it then.
    """
    path = Path(path)
    check_suffix(path)
    pages = [image] if isinstance(image, Image.Image) else list(image)
    place = Path(os.path.realpath(path))  # a link stays a link: its target is written
    try:
        data = encode_image(pages[0], format_of_suffix(path.suffix), pages[1:])
        with replacing(place) as part:
            part.write_bytes(data)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(f"{path}: it cannot be written: {error.strerror or error}") from error


def fitting_name(stem: str, ending: str, longest: int = LONGEST_NAME) -> str:
    """stem + ending. If that is longer than `longest` bytes, the stem is cut and gets a digest of the whole stem."""
    room = longest - len(os.fsencode(ending))
    if len(os.fsencode(stem)) > room:
        digest = "~" + hashlib.blake2b(os.fsencode(stem), digest_size=4).hexdigest()
        stem = os.fsencode(stem)[: room - len(digest)].decode("utf-8", "ignore") + digest  # drops a partial character
    return stem + ending


def check_suffix(path: Path) -> None:
    """Raise ImageError if a result cannot be written to a file of this name."""
    if not is_written(path.suffix):
        what = path.suffix or "a file without a suffix"
        raise ImageError(f"{path}: cannot write {what}: use {', '.join(written_suffixes())}")


def encode_image(image: Image.Image, kind: str, more: Sequence[Image.Image] = (), **options) -> bytes:
    """`image` encoded as `kind`, a Pillow format name, with the profile and metadata in `info`.

    more: further pages; in a TIFF each has its own profile and metadata, and is compressed if its photo was. options:
    Pillow's options for that format.
    Raises ImageError, without a file name, for a picture that the format cannot hold.
    """
    pages, spec = [image, *more], FORMATS[kind]
    for page in pages:
        if max(page.size) > spec.longest_side:
            raise ImageError(f"{kind} holds at most {spec.longest_side} pixels a side, got {page.width}x{page.height}")
    if image.info.get("default_image") and kind != "PNG" and more:  # for PNG readers without animation
        pages = pages[1:]
    sources, pages = [image, *more][-len(pages) :], [_prepared(page, kind) for page in pages]
    of_all = {"quality": spec.quality} if spec.quality else {}
    if len(pages) > 1:
        of_all |= {"save_all": True, "append_images": pages[1:]}
        if spec.animated:
            of_all |= _timing(sources, kind)
    file = io.BytesIO()
    try:
        if kind == "TIFF":
            link = FIRST_LINK
            for page, source in zip(pages, sources, strict=True):
                of_page = options | _metadata(source, kind)
                link = _add_tiff_page(file, link, page, of_page, "compressed" in source.info)
        else:
            pages[0].save(file, kind, **options | _metadata(image, kind) | of_all)
    except MemoryError:
        raise
    except Exception as error:  # each format's writer fails differently
        raise ImageError(f"{kind} cannot hold it: {reason(error)}") from error
    return file.getvalue()


def unsupported_metadata(image: Image.Image, kind: str) -> dict[str, str]:
    """The metadata of `image` that a format cannot hold, by the name in `info`, and "alpha" if its transparency is lost
    and white shows instead: {name: readable name}."""
    lost = {}
    if image.mode == "RGBA":
        levels = image.getchannel("A").histogram()
        if "alpha" not in FORMATS[kind].holds and any(levels[:255]):
            lost["alpha"] = "transparency"
        elif kind == "GIF" and any(levels[1:255]):
            lost["alpha"] = "half transparency"
    for name, words in NAMES.items():
        value = image.info.get(name)
        if not value or (name == "dpi" and "exif" in FORMATS[kind].holds):
            continue
        size = len(as_comment(value) if name == "notes" else value)
        too_long = kind == "JPEG" and name in MAX_SEGMENT and size > MAX_SEGMENT[name]
        if name not in FORMATS[kind].holds or too_long:
            lost[name] = words
    return lost


def _metadata(image: Image.Image, kind: str) -> dict:
    """The metadata in `info` that a format can hold, as options for Pillow's writer of `kind`."""
    spec, info, lost = FORMATS[kind], image.info, unsupported_metadata(image, kind)
    options = {name: info[name] for name in spec.holds if name in info and name not in lost}
    if "dpi" in info and "exif" in spec.holds and "dpi" not in spec.holds:
        options["exif"] = with_resolution(options.get("exif", b""), info["dpi"])
    tags = tiff_tags(options) if kind == "TIFF" else None
    xmp, iptc, notes = options.pop("xmp", None), options.pop("iptc", None), options.pop("notes", {})
    if tags is not None:
        return options | {"exif": tags}
    if kind == "PNG":
        options["pnginfo"] = texts = PngImagePlugin.PngInfo()
        if xmp:
            texts.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
        if iptc:
            texts.add_text(*as_raw_profile("iptc", iptc))  # compressed, Pillow would read no more than 1 MB
        for title, text in notes.items():
            texts.add_text(title, text)
        return options
    if xmp:
        options["xmp"] = xmp
    if kind == "JPEG":
        options["extra"] = (photoshop_segment(iptc) if iptc else b"") + (comment_segment(notes) if notes else b"")
    elif notes:
        options["comment"] = as_comment(notes)
    return options


def _add_tiff_page(file: io.BytesIO, link: int, page: Image.Image, options: dict, compressed: bool) -> int:
    """Write a page, `compressed` without loss, at the end of a TIFF, whose place `link` is to name where it is. Returns
    the place that is to name the next one's.

    Pillow leaves compression to libtiff, by which it cannot write EXIF data, and of several pages it moves the tags but
    not the blocks that they name, as that of the exposure. So it writes each page as it is where it belongs: the pixels
    are one strip behind everything else, which is replaced here.
    """
    if compressed:
        options["exif"][TiffImagePlugin.PREDICTOR] = DIFFERENCES  # from the pixel to the left: half the size
    file.write(b"\0" * (file.tell() % 2))  # tags are at even places
    start = file.tell() or TIFF_HEADER  # which Pillow writes in front of the first page alone
    page.save(file, "TIFF", compression="raw", **options)
    changed = {}
    if compressed:
        pixels = np.asarray(page)
        # Level 1 takes a quarter of the time of the usual 6, for a tenth more bytes.
        strip = zlib.compress(np.diff(pixels, axis=1, prepend=np.uint8(0)), 1)
        file.seek(-pixels.nbytes, io.SEEK_END)
        file.truncate()
        file.write(strip)
        changed = {TiffImagePlugin.COMPRESSION: (SHORT, DEFLATE), TiffImagePlugin.STRIPBYTECOUNTS: (LONG, len(strip))}
    with file.getbuffer() as data:
        struct.pack_into("<L", data, link, start)
        (count,) = struct.unpack_from("<H", data, start)
        end = start + 2 + 12 * count
        for place in range(start + 2, end, 12):  # of each tag, its type, number of values and value
            (tag,) = struct.unpack_from("<H", data, place)
            if tag in changed:
                kind, value = changed[tag]
                struct.pack_into("<HLL", data, place + 2, kind, 1, value)
    return end


def _prepared(page: Image.Image, kind: str) -> Image.Image:
    """`page` in a color space and channels that the format supports."""
    profile = page.info.get("icc_profile")
    if profile and "icc_profile" not in FORMATS[kind].holds and not profiles.is_srgb(profile):
        alpha = page.getchannel("A") if page.mode == "RGBA" else None
        page = profiles.to_srgb(page.convert("RGB"), profile) or page
        if alpha:
            page.putalpha(alpha)
    if page.mode == "RGBA" and (kind == "GIF" or "alpha" not in FORMATS[kind].holds):  # composite over white
        alpha, white = page.getchannel("A"), Image.new("RGBA", page.size, "white")
        page = Image.alpha_composite(white, page).convert("RGB")
        if kind == "GIF":  # GIF pixels are opaque or transparent
            page.putalpha(alpha.point([0] * 128 + [255] * 128))
    if kind == "GIF" and page.mode == "RGB":
        palette = page.quantize(256, method=Image.Quantize.MEDIANCUT)
        page = page.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return page


def _timing(pages: list[Image.Image], kind: str) -> dict:
    """The duration of each frame (milliseconds) and the number of loops, 0 is forever, as the format encodes them."""
    default = kind == "PNG" and bool(pages[0].info.get("default_image"))
    durations = [page.info.get("duration") or 100 for page in pages[default:]]
    plays = pages[0].info.get("loop", 0)
    timing: dict = {"duration": [round(duration) for duration in durations]}
    if kind == "GIF":
        timing["loop"] = None if plays == 1 else plays and plays - 1  # a GIF counts repetitions after the first time
        timing |= {"disposal": 2} if any(page.mode == "RGBA" for page in pages) else {}
    elif kind in ("PNG", "WEBP"):
        timing["loop"] = plays
    if default:
        timing["default_image"] = True
    return timing
