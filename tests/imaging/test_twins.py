"""Every 8-bit image and its twin of more bits have one lightness and one transparency, whatever the file says of them.

The twins are written by code of their own (PNG chunks by hand, TIFF by tifffile), and what is right is worked out from
the 8-bit values by the formulas of the profiles.
"""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from made_photos import made_photo
from made_profiles import D50, gray_profile, lab_of_xyz, rgb_profile, srgb_curve
from PIL import Image
from skimage import color as reference

from chromagan.imaging.photo import averageable, open_image, page_numbers, read_pages, read_photo, srgb_image

PHOTO = np.asarray(made_photo(0, 48, 64))
GRAY = np.asarray(made_photo(0, 48, 64).convert("L"))
KEY = int(GRAY[20, 30])  # a value there is
# What a gray profile makes of an encoded value: luminance. The table is a curve that no formula gives.
TABLE = np.interp(np.linspace(0, 1, 64), [0, 0.2, 0.7, 1], [0, 0.1, 0.3, 1])
GRAY_CURVES = {
    "none": (None, srgb_curve),
    "linear": (1.0, lambda v: v),
    "gamma 1.8": (1.8, lambda v: v**1.80078125),
    "table": (TABLE, lambda v: np.interp(v, np.linspace(0, 1, 64), TABLE)),
}


def png(pixels: np.ndarray, depth: int, chunks: dict[bytes, bytes], bits: bytes | None = None) -> bytes:
    """pixels: uint8 or uint16, (H, W) or (H, W, 2..4): gray, gray+alpha, RGB, RGBA."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]]

    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks.items(), (b"IDAT", compressed(pixels, depth)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def compressed(pixels: np.ndarray, depth: int) -> bytes:
    big = pixels.astype(">u2") if depth == 16 else pixels
    return zlib.compress(b"".join(b"\0" + (row.tobytes() if depth >= 8 else packed(row, depth)) for row in big))


def packed(row: np.ndarray, depth: int) -> bytes:
    bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def icc(profile: bytes | None) -> dict[bytes, bytes]:
    return {b"iCCP": b"made\0\0" + zlib.compress(profile)} if profile else {}


def tiff(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **{"photometric": "minisblack", "metadata": None, **options})
    return file.getvalue()


def read(data: bytes | Image.Image):
    """Lightness (H, W) and alpha (H, W) or None."""
    photo = read_photo(open_image(io.BytesIO(data)) if isinstance(data, bytes) else data)
    return photo.L[0, 0].numpy(), None if photo.alpha is None else np.asarray(photo.alpha)


def assert_same(data, L, alpha=None):
    got, got_alpha = read(data)
    assert np.abs(got - L).max() < 0.5
    assert (got_alpha is None) == (alpha is None) and (alpha is None or np.array_equal(got_alpha, alpha))


@pytest.mark.parametrize("curve", GRAY_CURVES)
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("zero_is_white", [False, True])
def test_twins_of_gray(curve, keyed, zero_is_white):
    made, formula = GRAY_CURVES[curve]
    profile = gray_profile(made) if made is not None else None
    L = lab_of_xyz(formula(GRAY / 255)[..., None] * np.array(D50))[..., 0]
    wide = GRAY.astype(np.uint16) * 257
    if not zero_is_white:
        alpha = np.where(GRAY == KEY, 0, 255) if keyed else None
        for pixels, depth in ((GRAY, 8), (wide, 16)):
            key = {b"tRNS": struct.pack(">H", int(pixels[20, 30]))} if keyed else {}
            assert_same(png(pixels, depth, icc(profile) | key), L, alpha)
            assert_same(png(pixels, depth, {b"sBIT": b"\x06"} | icc(profile) | key), L, alpha)
        if profile is None and not keyed:
            assert_same(b"P5 64 48 65535 " + wide.astype(">u2").tobytes(), L)
            assert_same(b"P5 64 48 4095 " + np.rint(GRAY / 255 * 4095).astype(">u2").tobytes(), L)
            assert_same(b"Pf\n64 48\n-1.0\n" + (GRAY[::-1] / 255).astype("<f4").tobytes(), L)
    if not keyed:
        options = {"iccprofile": profile, "photometric": "miniswhite" if zero_is_white else "minisblack"}
        stored = 255 - GRAY if zero_is_white else GRAY
        wide = stored.astype(np.uint16) * 257
        files = [
            tiff(stored, **options), tiff(wide, **options), tiff((stored / 255).astype(np.float32), **options),
            tiff((stored / 255).astype(">f4"), byteorder=">", **options),
            tiff(wide >> 4, extratags=[(281, "H", 1, 4095)], **options),  # 12 bits are used, and said to be
        ]  # fmt: skip
        if not zero_is_white:
            files += [tiff(wide.astype(">u2"), byteorder=">", **options), tiff((wide >> 1).astype(np.int16), **options)]
            files += [tiff(stored.astype(np.uint32) * 16843009, **options)]
        for data in files:
            assert_same(data, L)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gray_of_few_bits_and_its_color_key(depth):
    values = GRAY >> (8 - depth)
    most = 2**depth - 1
    key = struct.pack(">H", int(values[20, 30]))
    alpha = np.where(values == values[20, 30], 0, 255)
    eight = (values * (255 // most)).astype(np.uint8)
    L = lab_of_xyz(srgb_curve(eight / 255)[..., None] * np.array(D50))[..., 0]
    assert_same(png(values, depth, {b"tRNS": key}), L, alpha)
    assert_same(png(eight, 8, {b"tRNS": struct.pack(">H", int(eight[20, 30]))}), L, alpha)


@pytest.mark.parametrize(
    "values, depth",
    [(GRAY >> 7, 1), (GRAY >> 6, 2), (GRAY >> 4, 4), (GRAY, 8), (PHOTO, 8), (PHOTO.astype(np.uint16) * 257, 16)],
)
def test_the_color_key_holds_for_every_frame(values, depth):
    """16-bit colors are matched by their upper 8 bits there."""
    key, frames = values[20, 30], [values, values[::-1], values[:, ::-1]]
    control = [chunk(b"fcTL", struct.pack(">5I2H2B", n, 64, 48, 0, 0, 1, 10, 0, 0)) for n in (0, 1, 3)]
    data = png(values, depth, {b"tRNS": struct.pack(f">{key.size}H", *key.ravel()), b"acTL": struct.pack(">2I", 3, 0)})
    picture = data.index(b"IDAT") - 4  # its length stands before
    data, end = data[:picture] + control[0] + data[picture:-12], data[-12:]
    for number in (1, 2):
        data += control[number]
        data += chunk(b"fdAT", struct.pack(">I", 2 * number) + compressed(frames[number], depth))
    image = open_image(io.BytesIO(data + end))
    for page, frame in zip(read_pages(image, page_numbers(image)), frames, strict=True):
        same = (frame == key).reshape(48, 64, -1).all(axis=-1)
        assert np.array_equal(page.alpha, np.where(same, 0, 255))


@pytest.mark.parametrize("curve", GRAY_CURVES)
def test_twins_of_gray_with_alpha(curve):
    made, formula = GRAY_CURVES[curve]
    profile = gray_profile(made) if made is not None else None
    L = lab_of_xyz(formula(GRAY / 255)[..., None] * np.array(D50))[..., 0]
    alpha = GRAY[::-1]
    both = np.stack([GRAY, alpha], axis=-1)
    for pixels, depth in ((both, 8), (both.astype(np.uint16) * 257, 16)):
        assert_same(png(pixels, depth, icc(profile)), L, alpha)


@pytest.mark.parametrize("curve", GRAY_CURVES)
def test_the_photo_in_its_own_colors_heeds_a_gray_profile(curve):
    """Training, evaluation and the page's truth read by it."""
    made, formula = GRAY_CURVES[curve]
    profile = gray_profile(made) if made is not None else None
    L = lab_of_xyz(formula(GRAY / 255)[..., None] * np.array(D50))[..., 0]
    for eight in (GRAY, np.dstack([GRAY, GRAY[::-1]])):
        for pixels, depth in ((eight, 8), (eight.astype(np.uint16) * 257, 16)):
            image = srgb_image(open_image(io.BytesIO(png(pixels, depth, icc(profile)))))
            assert image.mode == "RGB" and np.abs(reference.rgb2lab(np.asarray(image) / 255)[..., 0] - L).max() < 0.5


@pytest.mark.parametrize("primaries, gamma", [("srgb", 1.0), ("adobe", 2.19921875), ("prophoto", 1.80078125)])
def test_twins_of_colors(primaries, gamma):
    """With every profile they are read as one; a color key is one color, of 16 bits too."""
    profile = rgb_profile(primaries, gamma)
    keyed = PHOTO[20, 30]
    wide = PHOTO.astype(np.uint16) * 257
    beside = wide.copy()
    beside[0, 0] = wide[20, 30] ^ 1  # equal in the upper 8 bits
    alpha = np.where((keyed == PHOTO).all(axis=-1), 0, 255)
    clear = np.dstack([PHOTO, GRAY])
    L, _ = read(png(PHOTO, 8, icc(profile)))
    assert_same(png(wide, 16, icc(profile)), L)
    assert_same(png(PHOTO, 8, icc(profile) | {b"tRNS": struct.pack(">3H", *keyed)}), L, alpha)
    got, got_alpha = read(png(beside, 16, icc(profile) | {b"tRNS": struct.pack(">3H", *wide[20, 30])}))
    assert np.array_equal(got_alpha, np.where((beside == wide[20, 30]).all(axis=-1), 0, 255))
    assert got_alpha[0, 0] == 255 and np.abs(got - L)[1:].max() < 0.5
    for pixels, depth in ((clear, 8), (clear.astype(np.uint16) * 257, 16)):
        assert_same(png(pixels, depth, icc(profile)), L, GRAY)
    for order in "<>":
        data = tiff(wide.astype(order + "u2"), photometric="rgb", byteorder=order, iccprofile=profile)
        assert_same(data, L)


def test_pillows_own_images_of_more_bits():
    L = reference.rgb2lab(np.repeat(GRAY[..., None], 3, axis=2) / 255)[..., 0]
    wide = GRAY.astype(np.uint16) * 257
    big = Image.frombytes("I;16B", (64, 48), wide.astype(">u2").tobytes())
    for image in (
        Image.fromarray(wide), big, Image.fromarray(wide.astype(np.int32)), Image.fromarray(GRAY).convert("I"),
        Image.fromarray(GRAY).convert("F"), Image.fromarray((GRAY / 255).astype(np.float32)),
        Image.fromarray(wide.astype(np.float32)),
    ):  # fmt: skip
        assert_same(image, L)


def test_a_dark_16_bit_photo_stays_dark():
    """No scale is guessed for 16 bits: the twin of 8 bits of 0 to 15 is as dark as that."""
    dark = GRAY >> 4
    assert_same(Image.fromarray(dark.astype(np.uint16) * 257), read(Image.fromarray(dark))[0])
    assert_same(tiff(dark.astype(np.uint16) * 257), read(Image.fromarray(dark))[0])


def test_highlights_beyond_white_are_white():
    """A sharpened float picture exceeds 1 here and there: it is not one of 0 to 255."""
    values = (GRAY / 255).astype(np.float32)
    values[:4] = 1.7
    L = lab_of_xyz(srgb_curve(values.clip(0, 1))[..., None] * np.array(D50))[..., 0]
    assert_same(tiff(values), L)


def test_a_turned_photo_keeps_what_its_file_says():
    """Turning makes a copy without the file's tags."""
    wide = (255 - GRAY).astype(np.uint16) * 257
    data = tiff(wide, photometric="miniswhite", extratags=[(274, "H", 1, 6)])
    assert_same(data, read(Image.fromarray(GRAY))[0][::-1].T)
    key = struct.pack(">H", KEY * 257)
    data = png(GRAY.astype(np.uint16) * 257, 16, {b"tRNS": key, b"eXIf": turned_exif()})
    assert_same(data, read(Image.fromarray(GRAY))[0][::-1].T, np.where(GRAY == KEY, 0, 255)[::-1].T)


CLEAR = np.zeros((48, 64, 1), np.uint8)
RAW_PAGES = {
    "L": (GRAY, {}), "I;16": (GRAY.astype(np.uint16) * 257, {}), "I;16B": (GRAY.astype(">u2") * 257, {}),
    "CMYK": (np.dstack([255 - PHOTO, CLEAR]), {"photometric": "separated"}),
    "RGBA": (np.dstack([PHOTO, ~CLEAR]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "P": (GRAY, {"photometric": "palette", "colormap": np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))}),
}  # fmt: skip
UPRIGHT = {1: lambda a: a, 2: np.fliplr, 3: lambda a: a[::-1, ::-1], 4: np.flipud, 5: np.transpose,
           6: lambda a: a[::-1].T, 7: lambda a: a[::-1, ::-1].T, 8: lambda a: a[:, ::-1].T}  # fmt: skip


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", RAW_PAGES)
def test_every_page_of_a_turned_tiff_that_has_a_name(tmp_path, mode, orientation):
    """Pillow maps raw pixels of a file into memory, where it knows its name and they are in one strip."""
    pixels, options = RAW_PAGES[mode]
    pages = [pixels, np.ascontiguousarray(pixels[:30, ::-1])]
    options = {"photometric": "minisblack", "metadata": None} | options
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path, byteorder=">" if pixels.dtype == ">u2" else "<") as file:
        for page in pages:
            file.write(page, rowsperstrip=len(page), extratags=[(274, "H", 1, orientation)], **options)
    for opened in (open_image(path), Image.open(path)):
        for page, photo in zip(pages, read_pages(opened, [0, 1]), strict=True):
            lying = tiff(page, byteorder=">" if page.dtype == ">u2" else "<", **options)
            assert np.array_equal(photo.L[0, 0], UPRIGHT[orientation](read(lying)[0]))
        assert opened.filename == str(path)
    small = [averageable(opened).resize((9, 7)) for opened in (open_image(path), Image.open(path))]
    assert small[0] == small[1]


def turned_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes().removeprefix(b"Exif\0\0")


def test_what_the_page_scales_is_the_photo():
    """A transparent color, a palette's numbers and values of which zero is white are resolved before pixels mix."""
    key = {b"tRNS": struct.pack(">H", KEY * 257)}
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(GRAY[::-1, ::-1]).convert("P").save(turned, "TIFF", exif=exif)
    for data in (
        turned.getvalue(), png(GRAY.astype(np.uint16) * 257, 16, key), png(GRAY, 8, {b"tRNS": struct.pack(">H", KEY)}),
        tiff((255 - GRAY).astype(np.uint16) * 257, photometric="miniswhite"), tiff(GRAY.astype(np.uint16) * 257),
    ):  # fmt: skip
        L, alpha = read(data)
        image = averageable(open_image(io.BytesIO(data)))
        assert_same(image, L, alpha)
        assert np.abs(np.asarray(srgb_image(image)).astype(int) - GRAY[..., None]).max() <= 1
        small = read_photo(image.resize((8, 6), Image.Resampling.BOX))
        assert np.abs(small.L[0, 0].numpy() - L.reshape(6, 8, 8, 8).mean(axis=(1, 3))).mean() < 3


APART = {"planarconfig": "separate"}


def planes(pixels: np.ndarray, dtype) -> np.ndarray:
    """uint8 (H, W, C) as (C, H, W), over the whole range of `dtype`."""
    return np.moveaxis(pixels.astype(np.dtype(dtype)) * (257 if np.dtype(dtype).itemsize == 2 else 1), -1, 0)


def test_eight_bits_in_separate_planes_are_read():
    L = reference.rgb2lab(PHOTO / 255)[..., 0]
    assert_same(tiff(planes(PHOTO, np.uint8), photometric="rgb", **APART), L)


@pytest.mark.parametrize(
    "pixels, options, layout",
    [
        (GRAY.astype(">u2"), {"photometric": "miniswhite", "byteorder": ">"}, "16-bit gray TIFF (zero is white)"),
        ((PHOTO / 255).astype(np.float32), {"photometric": "rgb"}, "32-bit floating-point RGB TIFF"),
        ((GRAY / 255).astype(np.float16), {}, "16-bit floating-point gray TIFF"),
        (np.dstack([GRAY, GRAY]).astype(np.uint16), {"extrasamples": ["unassalpha"]}, "16-bit gray+alpha TIFF"),
        # Pillow opens the rest, and takes their pixels for others.
        (planes(PHOTO, np.uint16), APART | {"photometric": "rgb"}, "16-bit RGB TIFF in separate planes"),
        (planes(PHOTO, ">u2"), APART | {"photometric": "rgb", "byteorder": ">"}, "16-bit RGB TIFF in separate planes"),
        (planes(PHOTO, np.uint16), APART | {"photometric": "rgb", "compression": "zlib"},
         "16-bit RGB TIFF in separate planes"),
        (planes(np.dstack([PHOTO, GRAY]), np.uint16), APART | {"photometric": "separated"},
         "16-bit CMYK TIFF in separate planes"),
        (planes(np.dstack([PHOTO, GRAY]), np.uint16), APART | {"photometric": "rgb", "extrasamples": ["unassalpha"]},
         "16-bit RGB+alpha TIFF in separate planes"),
        (planes(np.dstack([PHOTO, GRAY]), np.uint8), APART | {"photometric": "rgb", "extrasamples": ["assocalpha"]},
         "8-bit RGB+alpha TIFF in separate planes"),
        ((GRAY >> 1).astype(np.int8), {}, "8-bit signed gray TIFF"),
    ],
)  # fmt: skip
def test_a_layout_that_cannot_be_read_is_named(tmp_path, pixels, options, layout):
    (tmp_path / "scan.tif").write_bytes(tiff(pixels, **options))
    with pytest.raises(ValueError) as caught:
        open_image(tmp_path / "scan.tif")
    article = "an" if layout.startswith("8") else "a"
    assert str(caught.value) == (
        f"{tmp_path / 'scan.tif'}: {article} {layout} of this layout cannot be read: save it as PNG, or with 8 bits"
    )


def test_uncompressed_ycbcr_is_refused_and_compressed_one_read(tmp_path):
    """Pillow reads four bytes of the three for each pixel: of a file with more behind it, wrong ones in silence."""
    page = Image.fromarray(PHOTO).convert("YCbCr")
    page.save(tmp_path / "scan.tif", save_all=True, append_images=[page, page])
    with pytest.raises(ValueError, match="an 8-bit uncompressed YCbCr TIFF of this layout cannot be read: save it as "):
        open_image(tmp_path / "scan.tif")
    page.save(tmp_path / "scan.tif", compression="tiff_lzw")
    assert np.abs(read((tmp_path / "scan.tif").read_bytes())[0] - reference.rgb2lab(PHOTO / 255)[..., 0]).max() < 1


def fits(pixels: np.ndarray) -> bytes:
    """pixels: (H, W), in FITS's byte order."""
    bits = 8 * pixels.dtype.itemsize * (-1 if pixels.dtype.kind == "f" else 1)
    numbers = {"BITPIX": bits, "NAXIS": 2, "NAXIS1": pixels.shape[1], "NAXIS2": pixels.shape[0]}
    cards = ["SIMPLE  =                    T", *(f"{name:8}= {number:20}" for name, number in numbers.items()), "END"]
    data = pixels[::-1].tobytes()
    return "".join(card.ljust(80) for card in cards).ljust(2880).encode() + data + bytes(-len(data) % 2880)


def test_fits_of_8_bits_is_read_and_deeper_ones_are_refused():
    assert_same(fits(GRAY), read(Image.fromarray(GRAY))[0])
    for pixels in (GRAY.astype(">i2"), GRAY.astype(">i4"), (GRAY / 255).astype(">f4")):
        with pytest.raises(ValueError, match="a FITS file of more than 8 bits cannot be read"):
            open_image(io.BytesIO(fits(pixels)))


def test_a_raw_photos_thumbnail_is_not_taken_for_it():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiffs:
        tiffs.write(PHOTO[::8, ::8].copy(), photometric="rgb", subfiletype=1, subifds=1)
        tiffs.write(GRAY.astype(np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match="it is a raw photo, of which only the thumbnail can be read: develop it"):
        open_image(file)
