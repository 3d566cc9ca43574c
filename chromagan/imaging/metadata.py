"""What a file says about a photo beside its pixels: EXIF, XMP and IPTC data, notes, resolution; and which way is up."""

import re
from contextlib import suppress

from PIL import ExifTags, Image, ImageOps, TiffImagePlugin

# The tags below 700 are TIFF's own. These describe the photo; the others say how its pixels lie in the file that was
# read (bits, strips, compression, color model), which is not how they lie in the one that is written.
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
XMP_SIZE = re.compile(rb"""(exif:Pixel[XY]Dimension|tiff:Image(?:Width|Length))(\s*=\s*["']|>)\d+""")
INCH, CENTIMETER = 2, 3  # units of resolution
IPTC_RESOURCE = 0x0404  # of Photoshop's, in which a JPEG has its IPTC data
NOT_NOTES = ("XML:com.adobe.xmp", "Raw profile type ")  # PNG's texts of other data
CARRIED_BESIDE = {XMP, IPTC, PHOTOSHOP, ExifTags.Base.InterColorProfile}  # by each format in its own place


def upright(image: Image.Image) -> tuple[Image.Image, dict]:
    """`image` turned as its EXIF orientation says, and its metadata: exif, xmp, iptc (bytes), notes, dpi, where it has
    any. notes: {title: text}, of a PNG's texts; what other formats call a comment is titled Comment.

    Width and height in the EXIF and XMP data become those of the turned image, where they say any. EXIF data that are
    damaged are left out; an orientation that can be read among them is heeded.
    """
    image.load()  # what fails from here on is the metadata
    info: dict = {}
    turned = image
    with suppress(Exception):
        turned = _turned(image)
    with suppress(Exception):
        exif = Image.Exif()  # a copy: that of `image` is its owner's
        exif.load(turned.getexif().tobytes())
        for tag in list(exif):
            if not _describes_the_photo(tag):
                del exif[tag]
        if ExifTags.IFD.Exif in exif:
            described = exif.get_ifd(ExifTags.IFD.Exif)
            described |= {tag: side for tag, side in zip(SIZE_TAGS, turned.size, strict=True) if tag in described}
        if len(exif):
            info["exif"] = exif.tobytes()
    xmp = turned.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if isinstance(xmp, bytes) and xmp:
        info["xmp"] = XMP_SIZE.sub(lambda match: _sized(match, turned.size), xmp)
    if iptc := _iptc(image):
        info["iptc"] = iptc
    if notes := _notes(image):
        info["notes"] = notes
    if dpi := _dpi(image):
        info["dpi"] = dpi[::-1] if turned.size != image.size else dpi
    return turned, info


def _sized(match: re.Match[bytes], size: tuple[int, int]) -> bytes:
    """A match of XMP_SIZE with the side of `size` that its name stands for."""
    return match[1] + match[2] + str(size[match[1].endswith((b"YDimension", b"Length"))]).encode()


def _turned(image: Image.Image) -> Image.Image:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)  # always a copy: for a large photo that costs as much as decoding
    except Exception:  # it writes all EXIF data anew, and others of them are damaged
        bare, alone = image.copy(), Image.Exif()
        alone[ExifTags.Base.Orientation] = orientation
        bare.info["exif"] = alone.tobytes()
        return ImageOps.exif_transpose(bare)


def photoshop_segment(iptc: bytes) -> bytes:
    """The JPEG segment (APP13) of IPTC data."""
    resource = b"8BIM" + IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big") + iptc
    return _segment(0xED, b"Photoshop 3.0\0" + resource + bytes(len(iptc) % 2))


def comment_segment(notes: dict[str, str]) -> bytes:
    """The JPEG segment of notes. Pillow's own fails for a comment that its buffer has no room for."""
    return _segment(0xFE, as_comment(notes))


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data


def as_comment(notes: dict[str, str]) -> bytes:
    """Notes as the one comment that a JPEG or a GIF has: a line for each, titled unless it was such a comment."""
    return "\n".join(text if title == "Comment" else f"{title}: {text}" for title, text in notes.items()).encode()


def tiff_tags(info: dict) -> Image.Exif:
    """The tags of a TIFF for the exif, xmp and iptc data of `info`."""
    tags = Image.Exif()
    tags.load(info.get("exif", b""))
    for tag, name in ((XMP, "xmp"), (IPTC, "iptc")):
        if name in info:
            tags[tag] = info[name]
    return tags


def with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    """EXIF data with the resolution, for a format that has no other place for it."""
    tags = Image.Exif()
    tags.load(exif)
    for tag, value in ((ExifTags.Base.XResolution, dpi[0]), (ExifTags.Base.YResolution, dpi[1])):
        tags[tag] = TiffImagePlugin.IFDRational(value).limit_rational(10_000)
        tags[tag] = TiffImagePlugin.IFDRational(*tags[tag])
    tags[ExifTags.Base.ResolutionUnit] = INCH
    return tags.tobytes()


def _describes_the_photo(tag: int) -> bool:
    """Whether an EXIF tag holds as well of the colored photo, which is 8-bit RGB and carries its profile itself."""
    layout = tag < XMP and tag not in TIFF_DESCRIPTIONS
    return not layout and tag not in CARRIED_BESIDE


def _iptc(image: Image.Image) -> bytes | None:
    resources = image.info.get("photoshop")
    data = resources.get(IPTC_RESOURCE) if isinstance(resources, dict) else None
    data = data or (getattr(image, "tag_v2", None) or {}).get(IPTC)
    if isinstance(data, tuple) and all(isinstance(each, int) and 0 <= each < 1 << 32 for each in data):
        order = "little" if getattr(image.tag_v2, "_endian", "<") == "<" else "big"
        data = b"".join(each.to_bytes(4, order) for each in data)  # as many programs declare them
    return data if isinstance(data, bytes) else None


def _notes(image: Image.Image) -> dict[str, str]:
    notes = {}
    if image.format == "PNG":  # whose `info` has no other strings
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
    """Pixels per inch across and down, where the file or its EXIF data say something of a meaning."""
    try:
        tags = image.getexif()
        scale = {INCH: 1, CENTIMETER: 2.54}.get(tags.get(ExifTags.Base.ResolutionUnit, INCH), 0)
        of_exif = [tags.get(tag, 0) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)]
        x, y = (float(each) for each in image.info.get("dpi") or [scale * float(each) for each in of_exif])
    except Exception:  # damaged data, of EXIF too
        return None
    return (x, y) if all(1 < each < 1e5 for each in (x, y)) else None  # 1 is Pillow's for none
