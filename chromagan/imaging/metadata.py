"""What a file says about a photo beside its pixels: EXIF, XMP and IPTC data, resolution; and which way is up."""

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
INCH, CENTIMETER = 2, 3  # units of resolution
IPTC_RESOURCE = 0x0404  # of Photoshop's, in which a JPEG has its IPTC data
CARRIED_BESIDE = {XMP, IPTC, PHOTOSHOP, ExifTags.Base.InterColorProfile}  # by each format in its own place


def upright(image: Image.Image) -> tuple[Image.Image, dict]:
    """`image` turned as its EXIF orientation says, and its metadata: exif, xmp, iptc (bytes) and dpi, where it has any.

    EXIF data that are damaged are left out.
    """
    image.load()  # what fails from here on is the metadata
    info: dict = {}
    turned = image
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            turned = ImageOps.exif_transpose(image)  # always a copy: for a large photo that costs as much as decoding
        exif = Image.Exif()  # a copy: that of `image` is its owner's
        exif.load(turned.getexif().tobytes())
        for tag in list(exif):
            if not _describes_the_photo(tag):
                del exif[tag]
        if len(exif):
            info["exif"] = exif.tobytes()
    except Exception:
        turned = image
    xmp = turned.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if isinstance(xmp, bytes) and xmp:
        info["xmp"] = xmp
    if iptc := _iptc(image):
        info["iptc"] = iptc
    if dpi := _dpi(image):
        info["dpi"] = dpi[::-1] if turned.size != image.size else dpi
    return turned, info


def photoshop_segment(iptc: bytes) -> bytes:
    """The JPEG segment (APP13) of IPTC data."""
    resource = b"8BIM" + IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big") + iptc
    data = b"Photoshop 3.0\0" + resource + bytes(len(iptc) % 2)
    return b"\xff\xed" + (len(data) + 2).to_bytes(2, "big") + data


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
