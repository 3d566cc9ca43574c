"""Formats of image files: which are read, which are written, and what an unreadable file is."""

import functools
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

from chromagan.imaging.structure import check_structure

# Known to Pillow, but not photos: pages rendered by another program, and data for which it has no reader.
NO_PHOTOS = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC", "PDF"}


@dataclass(frozen=True)
class Format:
    """What a file format can store of a result."""

    holds: frozenset[str]  # of exif, icc_profile, dpi, xmp, iptc, notes, alpha
    longest_side: int  # pixels
    animated: bool = False  # several frames, each with a duration
    quality: int | None = None


def _format(holds: str, longest_side: int, **rest) -> Format:
    return Format(frozenset(holds.split()), longest_side, **rest)


# The formats in which results are written, by Pillow's name.
FORMATS = {
    "JPEG": _format("exif icc_profile dpi xmp iptc notes", 65_500, quality=95),
    "PNG": _format("exif icc_profile dpi xmp iptc notes alpha", 2**31 - 1, animated=True),
    "WEBP": _format("exif icc_profile xmp alpha", 16_383, animated=True, quality=95),
    "TIFF": _format("exif icc_profile dpi xmp iptc alpha", 2**31 - 1),
    "BMP": _format("dpi", 2**31 - 1),
    "GIF": _format("notes alpha", 65_535, animated=True),
    "AVIF": _format("exif icc_profile xmp alpha", 65_535, animated=True, quality=95),
    "JPEG2000": _format("alpha", 2**31 - 1),
    "HEIF": _format("exif icc_profile xmp alpha", 16_384, quality=95),
}
SAME = {"JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"}  # the result of a photo in one of these keeps the format
PAGED = {"TIFF", "GIF", "WEBP", "PNG", "AVIF", "FLI", "DCX"}  # further images in other formats are previews and layers
REDUCED = 1  # flag of a TIFF page that is a thumbnail of another
NEW_SUBFILE_TYPE, SUB_IFDS = 254, 330  # TIFF tags
YCBCR = 6  # value of TIFF's color model
SIGNED, PREMULTIPLIED = 2, 1  # values of TIFF's sample format and of its kind of alpha
HEIF_SUFFIXES = (".heic", ".heif", ".hif")


@functools.cache
def register_heif() -> bool:
    """Register HEIC with Pillow; whether HEIC photos can be read, that is, pillow-heif is installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
        return True
    except ImportError:
        return False


@functools.cache
def format_of_suffix(suffix: str) -> str | None:
    """Pillow's name of the format of files with `suffix`; None if these are not photos."""
    register_heif()
    name = Image.registered_extensions().get(suffix.lower())
    return None if name in NO_PHOTOS else name


def is_read(suffix: str) -> bool:
    """Whether files with this suffix count as photos in a folder."""
    name = format_of_suffix(suffix)
    return name in Image.OPEN or name == "MPO"  # from phones, several JPEGs in a file: opened by JPEG's reader


def is_written(suffix: str) -> bool:
    """Whether a result can be written to a file with this suffix."""
    name = format_of_suffix(suffix)
    return name in FORMATS and name in Image.SAVE


def written_suffixes() -> list[str]:
    """The suffixes of all files to which a result can be written, by format."""
    register_heif()
    formats = Image.registered_extensions()
    return [suffix for kind in FORMATS if kind in Image.SAVE for suffix, name in formats.items() if name == kind]


def read_formats() -> list[str]:
    """Pillow's names of the readable formats."""
    register_heif()
    Image.init()
    return [name for name in Image.ID if name not in NO_PHOTOS]


def format_for(source: str | None, animated: bool, alpha: bool) -> str:
    """The format of the result for a photo of format `source`.

    It is the same if it stores colors well. HEIC and MPO (from phones) become JPEG; a GIF stays a GIF only if it is
    animated, since 256 colors are too few for a photo; all others become PNG, as does what JPEG cannot hold.
    """
    if source in ("MPO", "HEIF", "JPEG"):
        return "PNG" if alpha else "JPEG"
    if source == "GIF" and animated:
        return "GIF"
    return source if source in SAME and source in Image.SAVE else "PNG"


def suffix_for(path: Path) -> str:
    """The suffix of the result for a photo with this file name, according to `format_for`."""
    name = format_of_suffix(path.suffix)
    animated = name == "GIF" and _is_animated(path)
    result = format_for(name, animated, alpha=False)
    return path.suffix if result == name else {"JPEG": ".jpg", "PNG": ".png"}[result]


def _is_animated(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe can be read only once
            return False
        check_structure(path)
        with Image.open(path) as image:
            return getattr(image, "is_animated", False)
    except Exception:  # reported later, when the pixels are read
        return False


def holds_pages(source: str | None, target: str) -> bool:
    """Whether a file of format `target` can hold the pages of a file of format `source`.

    A TIFF's pages are sheets, like those of a fax (DCX), which do not make an animation.
    """
    return target == "TIFF" or (source not in ("TIFF", "DCX") and FORMATS[target].animated)


def what_it_is(file: BinaryIO) -> str:
    """Why Pillow cannot identify a file as an image, and what to do, as far as its first bytes show."""
    file.seek(0)
    head = file.read(1024)
    start = head.lstrip().lower()
    if not head:
        return "the file is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the image: run git lfs pull"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff_layout(file)
    if head[:4] == b"8BPS" and len(head) > 26:
        bits, mode = int.from_bytes(head[22:24], "big"), int.from_bytes(head[24:26], "big")
        color = PHOTOSHOP_COLORS.get(mode, f"mode {mode}")
        return f"{_article(bits)} {bits}-bit {color} Photoshop file cannot be read: {SAVE}"
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4], "big")  # of the list of brands
        brands = {head[start : start + 4] for start in range(8, min(size, len(head)), 4)}
        if brands & {b"avif", b"avis"}:
            return "it is an AVIF picture that is damaged or truncated"
        if brands & {b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"}:
            if register_heif():
                return "it is a HEIC photo that is damaged or truncated"
            return "it is a HEIC photo: pip install pillow-heif to read it, or save it as JPEG"
        return "it is a video, or in a format that cannot be read: export a picture from it as PNG"
    for mark, kind in ((b"%pdf", "a PDF"), (b"%!ps", "a PostScript page"), (b"<svg", "an SVG drawing")):
        if start.startswith(mark):
            return f"it is {kind}, not a photo: export it as PNG or JPEG"
    for mark, kind in UNREAD.items():
        if head.startswith(mark):
            return f"it is {kind}, a format that cannot be read: {SAVE}"
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page, not an image: download the image itself"
    return "it is not an image that can be read"


SAVE = "save it as PNG, or with 8 bits"
# Pictures without a reader in Pillow, by the first bytes of their files.
UNREAD = {
    b"P7\n": "a PAM picture", b"PF\n": "a floating-point RGB picture (PFM)", b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture", b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture", b"#?RGBE": "a Radiance HDR picture", b"gimp xcf": "a GIMP picture",
    b"FUJIFILMCCD-RAW": "a raw photo", b"IIRO": "a raw photo", b"IIU\0": "a raw photo", b"\0MRM": "a raw photo",
    b"FOVb": "a raw photo", b"SIMPLE  =": "a FITS file", b"II\xbc": "a JPEG XR picture",
}  # fmt: skip
PHOTOSHOP_COLORS = {
    0: "bitmap",
    1: "gray",
    2: "palette",
    3: "RGB",
    4: "CMYK",
    7: "multichannel",
    8: "duotone",
    9: "Lab",
}
SAMPLES = {1: "", 2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
COLORS = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}


def misread(image: Image.Image) -> str | None:
    """The error message for an opened image that Pillow would silently misread; else None."""
    if image.format == "FITS" and image.mode != "L":  # Pillow ignores its byte order
        return f"a FITS file of more than 8 bits cannot be read: {SAVE}"
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or not tags:
        return None
    if tags.get(NEW_SUBFILE_TYPE, 0) & REDUCED and SUB_IFDS in tags:
        return "it is a raw photo, of which only the thumbnail can be read: develop it and save it as PNG or JPEG"
    bits, extra = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)), tags.get(TiffImagePlugin.EXTRASAMPLES, ())
    apart = _planes_apart(tags) and (bits[0] > 8 or extra == (PREMULTIPLIED,))
    signed = bits[0] == 8 and tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] == SIGNED
    # Pillow takes four bytes for each pixel, of which there are three or fewer: it would read into the next page.
    ycbcr = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == YCBCR and _is_uncompressed(tags)
    return _layout(tags) if apart or signed or ycbcr else None


def _tiff_layout(file: BinaryIO) -> str:
    """The message for a TIFF with a pixel layout that Pillow does not read."""
    try:
        file.seek(0)
        head = file.read(16)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head if head[2] == 43 else head[:8])
        file.seek(tags.next)
        tags.load(file)
        return _layout(tags)
    except Exception:  # damaged: the layout is unknown
        return "it is a TIFF that is damaged or of a kind that cannot be read: save it as PNG"


def _layout(tags: TiffImagePlugin.ImageFileDirectory_v2) -> str:
    """The message that names the unsupported pixel layout of a TIFF."""
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0]
    photometric = tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION]
    color = COLORS.get(photometric, f"photometric {photometric}")
    extra = "+alpha" if len(tags.get(TiffImagePlugin.EXTRASAMPLES, ())) else ""
    zero = " (zero is white)" if photometric == 0 else ""
    planes = " in separate planes" if _planes_apart(tags) else ""
    sample = SAMPLES.get(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0], "")
    plain = "uncompressed " if photometric == YCBCR and _is_uncompressed(tags) else ""
    layout = f"{bits}-bit {plain}{sample}{color}{extra} TIFF{zero}{planes}"
    return f"{_article(bits)} {layout} of this layout cannot be read: {SAVE}"


def _planes_apart(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """Whether the channels are stored in separate planes: all red first, then green, then blue."""
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return samples > 1 and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2


def _is_uncompressed(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    return tags.get(TiffImagePlugin.COMPRESSION, 1) == 1


def _article(bits: int) -> str:
    return "an" if bits == 8 else "a"
