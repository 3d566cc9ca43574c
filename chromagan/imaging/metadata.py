"""The metadata of a photo: EXIF, XMP and IPTC data, notes, resolution, and orientation."""

import re
from collections.abc import Mapping
from contextlib import suppress

from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, TiffTags

# Tags below 700 are TIFF's own. These describe the photo; the others describe the layout of the pixels in the input
# file (bits, strips, compression, color model), which differs in the output file.
TIFF_DESCRIPTIONS = {
    ExifTags.Base.DocumentName,
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.PageName,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
}
XMP, IPTC, PHOTOSHOP = 700, 33723, 34377  # TIFF tags
SIZE_TAGS = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight  # PixelXDimension, PixelYDimension
LAYERS = 37724, 50784  # in which Photoshop and Alias keep an image's layers: its old pixels
XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation)(\s*=\s*["']|>)\d+""")
XMP_SIZE = re.compile(rb"""(exif:Pixel[XY]Dimension|tiff:Image(?:Width|Length))(\s*=\s*["']|>)\d+""")
INCH, CENTIMETER = 2, 3  # units of resolution
RESOURCE = b"8BIM"  # start of each of Photoshop's resources
IPTC_RESOURCE = 0x0404  # Photoshop resource that holds the IPTC data of a JPEG
RAW_PROFILE = "Raw profile type "  # and a kind of data: a PNG's text in which ImageMagick and ExifTool keep them
NOT_NOTES = ("XML:com.adobe.xmp", RAW_PROFILE)  # PNG texts that hold other data
CARRIED_BESIDE = {XMP, IPTC, PHOTOSHOP, ExifTags.Base.InterColorProfile}  # stored separately by each format


def upright(image: Image.Image) -> tuple[Image.Image, dict]:
    """`image` rotated according to its EXIF orientation, and its metadata if present: exif, xmp, iptc (bytes), notes,
    dpi, compressed. notes: {title: text}, from a PNG's texts; the comment of other formats is titled Comment.
    compressed: True for a compressed page of a TIFF.

    Orientation, width and height in the EXIF and XMP data, if present, become those of the rotated image. Damaged EXIF
    data are left out, but a readable orientation in them is applied.
    """
    image.load()  # any later failure concerns the metadata
    info: dict = {}
    turned = image
    with suppress(Exception):
        turned = _turned(image)
    with suppress(Exception):
        exif = _copied(image.getexif())  # which belongs to the caller
        for tag in list(exif):
            if not _describes_the_photo(tag):
                del exif[tag]
        if ExifTags.IFD.Exif in exif:
            described = exif.get_ifd(ExifTags.IFD.Exif)
            described |= {tag: side for tag, side in zip(SIZE_TAGS, turned.size, strict=True) if tag in described}
        if len(exif):
            info["exif"] = exif.tobytes()
    xmp = turned.info.get("xmp") or _raw_profile(image, "xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if isinstance(xmp, bytes) and xmp:
        xmp = XMP_ORIENTATION.sub(rb"\g<1>\g<2>1", xmp)  # else readers without EXIF data would turn it again
        info["xmp"] = XMP_SIZE.sub(lambda match: _sized(match, turned.size), xmp)
    if iptc := _iptc(image):
        info["iptc"] = iptc
    if notes := notes_of(image):
        info["notes"] = notes
    if dpi := _dpi(image):
        info["dpi"] = dpi[::-1] if turned.size != image.size else dpi
    if image.format == "TIFF" and image.info.get("compression", "raw") != "raw":
        info["compressed"] = True
    return turned, info


def _sized(match: re.Match[bytes], size: tuple[int, int]) -> bytes:
    """A match of XMP_SIZE with its number replaced by the corresponding side of `size`."""
    return match[1] + match[2] + str(size[match[1].endswith((b"YDimension", b"Length"))]).encode()


def _turned(image: Image.Image) -> Image.Image:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)  # always copies: for a large photo that costs as much as decoding
    except Exception:  # it rewrites all EXIF data, and some are damaged
        bare, alone = image.copy(), Image.Exif()
        alone[ExifTags.Base.Orientation] = orientation
        bare.info["exif"] = alone.tobytes()
        return ImageOps.exif_transpose(bare)


def photoshop_segment(iptc: bytes) -> bytes:
    """The JPEG segment (APP13) of IPTC data."""
    resource = RESOURCE + IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big") + iptc
    return _segment(0xED, b"Photoshop 3.0\0" + resource + bytes(len(iptc) % 2))


def comment_segment(notes: dict[str, str]) -> bytes:
    """The JPEG segment of notes. Pillow's own writer fails for a comment larger than its buffer."""
    return _segment(0xFE, as_comment(notes))


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data


def as_comment(notes: dict[str, str]) -> bytes:
    """Notes as the single comment of a JPEG or GIF: a line for each, with its title unless it was a comment."""
    return "\n".join(text if title == "Comment" else f"{title}: {text}" for title, text in notes.items()).encode()


def tiff_tags(info: dict) -> Image.Exif:
    """The tags of a TIFF for the exif, xmp and iptc data of `info`."""
    tags = _loaded(info.get("exif", b""))
    for tag, name in ((XMP, "xmp"), (IPTC, "iptc")):
        if name in info:
            tags[tag] = info[name]
    return tags


def with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    """EXIF data with the resolution added, for a format that has no other place for it."""
    tags = _loaded(exif)
    for tag, value in ((ExifTags.Base.XResolution, dpi[0]), (ExifTags.Base.YResolution, dpi[1])):
        tags[tag] = TiffImagePlugin.IFDRational(value).limit_rational(10_000)
        tags[tag] = TiffImagePlugin.IFDRational(*tags[tag])
    tags[ExifTags.Base.ResolutionUnit] = INCH
    return tags.tobytes()


class _Text(str):
    """A text of EXIF data as Pillow reads it, a character for each byte. Pillow would write "?" for those beyond ASCII:
    of this it writes the bytes that it read, such as those of UTF-8."""

    def encode(self, *_) -> bytes:
        return super().encode("latin-1", "replace")


def _copied(exif: Image.Exif) -> Image.Exif:
    """A copy of EXIF data that Pillow writes with the bytes of their texts, and without the blocks that somebody has
    looked at but that have no place there, such as a thumbnail's: they would make it fail."""

    def texts_kept(values: Mapping) -> dict:
        return {tag: _Text(value) if isinstance(value, str) else value for tag, value in values.items()}

    copy = Image.Exif()
    copy.endian = exif.endian
    copy.update(texts_kept(exif))
    for block in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        copy.pop(block, None)  # its place in what was read
        if (block in exif or block in exif._ifds) and (values := texts_kept(exif.get_ifd(block))):
            if ExifTags.IFD.Interop in values:
                values[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
            copy._ifds[block] = copy[block] = values
    return copy


def _loaded(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return _copied(exif)


def _describes_the_photo(tag: int) -> bool:
    """Whether an EXIF tag is also valid for the colored photo, which is 8-bit RGB and stores its profile separately."""
    layout = tag < XMP and tag not in TIFF_DESCRIPTIONS
    return not layout and tag not in CARRIED_BESIDE and tag not in LAYERS


def _iptc(image: Image.Image) -> bytes | None:
    resources = image.info.get("photoshop")
    data = resources.get(IPTC_RESOURCE) if isinstance(resources, dict) else None
    data = data or _raw_profile(image, "iptc") or _resource(_raw_profile(image, "8bim"), IPTC_RESOURCE)
    if isinstance(data, bytes) and data.startswith(RESOURCE):
        data = _resource(data, IPTC_RESOURCE)
    if isinstance(data, bytes) and data:
        return data
    tags = getattr(image, "tag_v2", None)
    if tags is None or tags.tagtype.get(IPTC) not in (TiffTags.BYTE, TiffTags.LONG, TiffTags.UNDEFINED):
        return None
    # The file's bytes, as in Pillow's own IptcImagePlugin: of several numbers, as which many programs declare them, the
    # tag's value is only the first.
    return tags._tagdata.get(IPTC)


def _resource(data: bytes | None, kind: int) -> bytes | None:
    """The contents of the first of Photoshop's resources that is of this kind; None if there is none. A resource is its
    mark, its kind, its name with its length in front, and its contents likewise, both of an even number of bytes."""
    at = 0
    while data and data[at : at + 4] == RESOURCE:
        start = at + 6 + (1 + int.from_bytes(data[at + 6 : at + 7], "big") + 1) // 2 * 2 + 4
        end = start + int.from_bytes(data[start - 4 : start], "big")
        if int.from_bytes(data[at + 4 : at + 6], "big") == kind:
            return data[start:end]
        at = end + end % 2
    return None


def _raw_profile(image: Image.Image, kind: str) -> bytes | None:
    """What `as_raw_profile` has written in a PNG; None if there is none, or it is damaged."""
    text = image.info.get(RAW_PROFILE + kind)
    try:
        return bytes.fromhex("".join(text.split()[2:])) if isinstance(text, str) else None
    except ValueError:
        return None


def as_raw_profile(kind: str, data: bytes) -> tuple[str, str]:
    """The title and the text of data in a PNG: their kind, length and hexadecimal digits, 36 bytes to a line."""
    return RAW_PROFILE + kind, f"\n{kind}\n{len(data):8}\n{data.hex(chr(10), -36)}\n"


def notes_of(image: Image.Image) -> dict[str, str]:
    """{title: text} of an opened image, from a PNG's texts; the comment of other formats is titled Comment."""
    notes = {}
    if image.format == "PNG":  # its `info` has no other strings
        notes = {k: v for k, v in image.info.items() if isinstance(v, str) and not k.startswith(NOT_NOTES)}
    comment = image.info.get("comment")
    if isinstance(comment, bytes):
        try:
            comment = comment.decode()
        except UnicodeDecodeError:
            comment = comment.decode("latin-1")
        notes["Comment"] = comment.strip("\0")
    return {title: text for title, text in notes.items() if text}


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Horizontal and vertical pixels per inch; None if neither the file nor its EXIF data hold a plausible value."""
    try:
        tags = image.getexif()
        scale = {INCH: 1, CENTIMETER: 2.54}.get(tags.get(ExifTags.Base.ResolutionUnit, INCH), 0)
        of_exif = [tags.get(tag, 0) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)]
        x, y = (float(each) for each in image.info.get("dpi") or [scale * float(each) for each in of_exif])
    except Exception:  # damaged data, EXIF included
        return None
    return (x, y) if all(1 < each < 1e5 for each in (x, y)) else None  # Pillow gives 1 for none
