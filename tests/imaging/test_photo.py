import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_photos import made_photo
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin
from skimage import color as reference

from chromagan.errors import ImageError
from chromagan.imaging import color, gray
from chromagan.imaging import photo as photo_module
from chromagan.imaging.photo import open_image, page_numbers, read_pages, read_photo, srgb_image
from chromagan.imaging.writing import write_image


def lightness(image):
    return reference.rgb2lab(np.asarray(image.convert("RGB")) / 255)[..., 0]


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    made_photo(0).save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    for name, reason in (
        ("text.jpg", "not an image"),
        ("empty.png", "the file is empty"),
        ("torn.png", ""),
        ("none.png", "no such file"),
    ):
        with pytest.raises(ImageError, match=f"{name}: .*{reason}"):
            open_image(tmp_path / name)
    with pytest.raises(ImageError, match="it is a folder"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    "suffix, mode, options",
    [
        (".jpg", "RGB", {}), (".png", "RGB", {}), (".webp", "RGB", {}), (".tif", "I;16", {}), (".pgm", "L", {}),
        (".ppm", "RGB", {}), (".tga", "RGB", {}), (".sgi", "RGB", {}), (".im", "L", {}), (".jp2", "RGB", {}),
        (".dds", "RGB", {}), (".tif", "RGB", {"save_all": True, "append_images": [made_photo(1)] * 2}),
    ],
)  # fmt: skip
def test_half_a_file_is_to_be_copied_again(tmp_path, suffix, mode, options):
    """Whatever its reader says of that."""
    path = tmp_path / f"a{suffix}"
    made_photo(0).convert("L").convert(mode).save(path, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError) as error:
        page_numbers(open_image(path))
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith("it is damaged or truncated: copy or download it again")


def test_a_file_that_claims_too_many_pixels_is_refused_unread(tmp_path):
    made_photo(0, 100, 100).save(tmp_path / "big.png")
    with pytest.raises(ImageError, match="big.png: more than 0 megapixels: make it smaller first"):
        open_image(tmp_path / "big.png", max_pixels=9_999)
    assert open_image(tmp_path / "big.png", max_pixels=10_000).size == (100, 100)
    header = (tmp_path / "big.png").read_bytes()
    lie = header[:16] + (60_000).to_bytes(4, "big") * 2 + header[24:]  # width and height in the PNG header
    lie = lie[:29] + zlib.crc32(lie[12:29]).to_bytes(4, "big") + lie[33:]
    (tmp_path / "bomb.png").write_bytes(lie)
    with pytest.raises(ImageError, match="bomb.png: more than 179 megapixels"):
        open_image(tmp_path / "bomb.png")


def test_floats_that_are_no_numbers_are_black():
    pixels = np.full((4, 5), 0.5, np.float32)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    L = read_photo(Image.fromarray(pixels)).L[0, 0]
    assert L[0, :3].abs().max() < 1e-4 and (L[1:] - 53.4).abs().max() < 0.1


def test_damaged_exif_data_are_left_out():
    photo = made_photo(0)
    photo.info["exif"] = b"Exif\0\0II*\0\xff\xff\xff\xff damaged"
    assert "exif" not in read_photo(photo).info


@pytest.mark.parametrize("tag, kind, value", [(0x0111, 2, b"what"), (0x0100, 9, b"\xff" * 4)])
def test_an_orientation_beside_damaged_exif_data_is_heeded(tag, kind, value):
    """Other tags of a type that is not theirs cannot be written anew; kind: TIFF's number of the type."""
    entries = [(0x0112, 3, 1, b"\6\0\0\0"), (tag, kind, len(value) if kind == 2 else 1, value)]
    packed = b"".join(struct.pack("<HHI", *entry) + data for *entry, data in sorted(entries))
    photo = made_photo(0, 40, 20)
    photo.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)
    assert photo.getexif()[0x0112] == 6
    turned = read_photo(photo).L[0, 0]
    assert turned.shape == (20, 40) and torch.equal(turned, read_photo(made_photo(0, 40, 20)).L[0, 0].flip(0).T)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_width_and_height_in_the_metadata_are_those_of_the_result(tmp_path, suffix, orientation):
    photo, exif = made_photo(0, 20, 40), Image.Exif()
    exif[274] = orientation
    exif.get_ifd(0x8769).update({40962: 40, 40963: 20, 36867: "1950:01:01 00:00:00"})
    xmp = b"<x exif:PixelXDimension=\"40\" tiff:ImageLength = '20'><exif:PixelYDimension>20</exif:PixelYDimension></x>"
    options = {"exif": exif.tobytes()} | ({"xmp": xmp} if suffix in (".jpg", ".webp") else {})
    photo.save(tmp_path / f"in{suffix}", **options)
    read = read_photo(open_image(tmp_path / f"in{suffix}"))
    write_image(read.carry_over(made_photo(1, *read.L.shape[-2:])), tmp_path / f"out{suffix}")
    written = open_image(tmp_path / f"out{suffix}")
    width, height = (40, 20) if orientation == 1 else (20, 40)
    described = written.getexif().get_ifd(0x8769)
    assert (described[40962], described[40963]) == written.size == (width, height)
    assert described[36867] == "1950:01:01 00:00:00"
    if "xmp" in options:
        expected = f"""<x exif:PixelXDimension="{width}" tiff:ImageLength = '{height}'>"""
        expected += f"<exif:PixelYDimension>{height}</exif:PixelYDimension></x>"
        assert written.info["xmp"].decode() == expected


@pytest.mark.parametrize("tag", [40962, 40963])
def test_metadata_that_say_no_size_get_none(tag):
    photo, exif = made_photo(0), Image.Exif()
    exif.get_ifd(0x8769)[tag] = 7
    photo.info["exif"] = exif.tobytes()
    exif.load(read_photo(photo).info["exif"])
    assert dict(exif.get_ifd(0x8769)) == {tag: 64}
    photo, bare = made_photo(0), Image.Exif()
    bare[270] = "A street"
    photo.info["exif"] = bare.tobytes()
    assert read_photo(photo).info["exif"] == bare.tobytes()


@pytest.mark.parametrize("most", [255.0, 65535.0])
def test_a_float_tiff_that_says_what_white_is(tmp_path, most):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[341] = most  # SMaxSampleValue
    pixels = np.linspace(0, most, 20, dtype=np.float32).reshape(4, 5)
    Image.fromarray(pixels).save(tmp_path / "float.tif", tiffinfo=tags)
    opened = open_image(tmp_path / "float.tif")
    assert gray.declared_range(opened) == (0, most)
    assert read_photo(opened).L[0, 0, -1, -1] == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(
    "mode, tags, expected",
    [
        ("I;16", {}, (0, 65_535)),
        ("I;16", {281: (255,)}, (0, 255)),
        ("I;16", {281: (127,)}, (0, 65_535)),  # so few levels only describe a dark picture
        ("I;16", {281: (4_000,)}, (0, 65_535)),
        ("I;16", {281: (2**17 - 1,)}, (0, 65_535)),  # more than 16 bits hold
        ("I;16", {281: ()}, (0, 65_535)),
        ("I;16", {281: (1_023,), 341: (4_095,), 262: 0}, (4_095, 0)),
        ("I;16", {339: (2,)}, (0, 32_767)),
        ("I", {258: (12,)}, (0, 4_095)),
        ("I", {258: (32,)}, None),
        ("I", {258: (32,), 262: 0}, (2**32 - 1, 0)),
        ("F", {258: (32,), 339: (3,)}, None),
        ("F", {258: (32,), 339: (3,), 262: 0}, (1, 0)),
        ("F", {258: (16,), 339: (3,), 281: 2.0**17 - 1}, (0, 2**17 - 1)),
    ],
)
def test_black_and_white_by_the_tags_of_a_tiff(mode, tags, expected):
    """258: bits, 262: 0 if zero is white, 281 and 341: the maximum, 339: 2 if signed, 3 if float."""
    assert gray.declared_range(SimpleNamespace(mode=mode, format="TIFF", tag_v2=tags)) == expected


@pytest.mark.parametrize(
    "values, white",
    [
        ([0, 1], 1), ([0, 2, 255], 255), ([9, 256], 65_535), ([9, 65_536], 2**31 - 1),
        ([0.3, 0.9], 1), ([0.3, 0.4, 0.5, 0.6, 1.7], 1), ([0.3, 0.4, 0.5, 200.5], 255), ([7.5, 255.5], 65_535),
        ([7.5, 65_535.5], 65_535.5), ([3.0, 200.0], 255), ([0.5, np.inf, np.nan], 1),
    ],
)  # fmt: skip
def test_white_is_guessed_from_the_values(values, white):
    pixels = np.array([values], np.int32 if all(isinstance(value, int) for value in values) else np.float32)
    expected = color.gray_to_L(torch.from_numpy(np.nan_to_num(pixels / white, posinf=0).clip(0, 1)))
    found = gray.lightness(Image.fromarray(pixels), declared=None, profile=None)
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_refused(size):
    with pytest.raises(ImageError, match="it has no pixels"):
        read_photo(Image.new("RGB", size))


@pytest.mark.parametrize(
    "mode, compression",
    [
        ("1", "group4"), ("1", None), ("L", None), ("L", "tiff_lzw"), ("LA", None), ("P", None), ("RGB", "jpeg"),
        ("RGBA", None), ("CMYK", "tiff_lzw"), ("I;16", None), ("I", None), ("F", None), ("F", "tiff_adobe_deflate"),
    ],
)  # fmt: skip
def test_a_tiffs_layout_is_not_carried_over(tmp_path, mode, compression):
    """Its tags say of 1 bit, of floats, of gray or of strips what does not hold for 8-bit RGB."""
    photo = made_photo(0).convert(mode) if mode != "I;16" else made_photo(0).convert("I").convert("I;16")
    tags = {270: "A street", 271: "Maker", 315: "Somebody", 33432: "Their own"}
    photo.save(tmp_path / "in.tif", compression=compression, tiffinfo=tags)
    source = open_image(tmp_path / "in.tif")
    before = dict(source.getexif())
    colored = read_photo(source).carry_over(made_photo(1))
    assert dict(source.getexif()) == before  # the image is its owner's
    for suffix in (".tif", ".png", ".jpg", ".webp"):
        write_image(colored, tmp_path / f"out{suffix}")
        written = open_image(tmp_path / f"out{suffix}")
        assert written.size == colored.size and written.convert("RGB").mode == "RGB"
        assert {tag: written.getexif()[tag] for tag in tags} == tags
        assert suffix == ".tif" or not {256, 258, 259, 262, 273, 277, 278, 279, 284, 339} & set(written.getexif())
        if suffix in (".tif", ".png"):
            assert written.convert("RGB").tobytes() == colored.convert("RGB").tobytes()


def test_exif_data_that_no_jpeg_can_hold_are_left_out_there(tmp_path):
    photo = made_photo(0)
    exif = photo.getexif()
    exif[270] = "long " * 20_000
    photo.info["exif"] = exif.tobytes()
    for suffix, length in ((".jpg", 0), (".png", 100_000)):
        write_image(photo, tmp_path / f"out{suffix}")
        assert len(open_image(tmp_path / f"out{suffix}").getexif().get(270, "")) == length


def test_gray_has_the_photos_lightness():
    photo = made_photo(8)
    photo.putalpha(200)
    gray = read_photo(photo).gray_image()
    assert gray.mode == "LA" and gray.getchannel("A").getextrema() == (200, 200)
    assert np.abs(lightness(gray) - lightness(photo)).max() < 0.5


def test_writing_goes_by_the_suffix_and_leaves_nothing_half_done(tmp_path):
    photo = made_photo(9)
    photo.putalpha(0)
    for suffix, kind in ((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WEBP"), (".tif", "TIFF"), (".bmp", "BMP")):
        write_image(photo, tmp_path / f"out{suffix}")
        assert Image.open(tmp_path / f"out{suffix}").format == kind
    assert np.asarray(Image.open(tmp_path / "out.jpg")).min() > 250  # transparent: a white page
    with pytest.raises(ImageError, match="cannot write .xyz"):
        write_image(photo, tmp_path / "out.xyz")
    assert len(list(tmp_path.iterdir())) == 5


def test_32_bit_integers_have_a_sign_unless_the_file_says_otherwise(tmp_path):
    numbers = np.array([[-5, 0, 128, 255]], np.int32)
    Image.fromarray(numbers).save(tmp_path / "signed.tif")
    for image in (Image.fromarray(numbers), open_image(tmp_path / "signed.tif")):
        L = read_photo(image).L.flatten()
        assert L[:2].abs().max() < 1e-4 and abs(L[2] - 53.6) < 0.1 and abs(L[3] - 100) < 1e-3
    unsigned = Image.fromarray(np.array([[0, 2**31, 2**32 - 1]], np.uint32).view(np.int32))
    unsigned.save(tmp_path / "unsigned.tif")
    file, entry = (tmp_path / "unsigned.tif").read_bytes(), struct.pack("<HHL", 339, 3, 1)  # the sample format
    (tmp_path / "unsigned.tif").write_bytes(file.replace(entry + b"\2", entry + b"\1"))
    L = read_photo(open_image(tmp_path / "unsigned.tif")).L.flatten()
    assert abs(L[0]) < 1e-4 and abs(L[1] - 53.4) < 0.1 and abs(L[2] - 100) < 1e-3


def test_an_upright_result_is_not_turned_by_its_xmp_data(tmp_path):
    """Pillow and others take the orientation from XMP data if the EXIF data have none."""
    exif = Image.Exif()
    exif[274] = 1
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/><tiff:Orientation>8</tiff:Orientation>'
    made_photo(0, 20, 40).save(tmp_path / "in.jpg", exif=exif, xmp=xmp)
    photo = read_photo(open_image(tmp_path / "in.jpg"))
    assert photo.info["xmp"].count(b"6") == photo.info["xmp"].count(b"8") == 0
    write_image(photo.carry_over(made_photo(1, 20, 40)), tmp_path / "out.jpg")
    assert ImageOps.exif_transpose(Image.open(tmp_path / "out.jpg")).size == (40, 20)


def test_an_editors_layers_are_not_carried_over(tmp_path):
    """They are the old pixels, which Photoshop would show in place of the colored ones."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[37724], tags.tagtype[37724] = bytes(5000), 7
    tags[271] = "Canon"
    made_photo(0).save(tmp_path / "in.tif", tiffinfo=tags)
    kept = Image.Exif()
    kept.load(read_photo(open_image(tmp_path / "in.tif")).info["exif"])
    assert kept.get(271) == "Canon" and 37724 not in kept


@pytest.mark.parametrize("title", ["icc_profile", "transparency"])
def test_a_text_of_a_png_is_no_profile_and_no_transparent_color(tmp_path, title):
    text = PngImagePlugin.PngInfo()
    text.add_text(title, "abc")
    made_photo(0).save(tmp_path / "a.png", pnginfo=text)
    assert read_photo(open_image(tmp_path / "a.png")).alpha is None
    assert srgb_image(open_image(tmp_path / "a.png")).mode == "RGB"


def test_pages_of_unequal_sizes_are_counted_in_pixels_one_by_one(tmp_path, monkeypatch):
    pages = [Image.new("L", size) for size in ((10, 10), (100, 100), (100, 100))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 20_100)
    assert page_numbers(open_image(tmp_path / "a.tif")) == [0, 1, 2]
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 20_099)
    with pytest.raises(ImageError, match="in its 3 pages: split it"):
        page_numbers(open_image(tmp_path / "a.tif"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_page_of_a_tiff_gets_nothing_of_the_pages_beside_it(tmp_path, mode):
    """Pillow keeps the palette, the profile and the resolution of the page visited before."""
    photo = Image.linear_gradient("L").resize((40, 30))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rich = photo.convert("RGB").quantize(64)
    rich.encoderinfo = {"dpi": (600, 600), "icc_profile": profile}
    page = photo.convert("I").point(lambda level: 257 * level).convert(mode) if mode == "I;16" else photo.convert(mode)
    page.save(tmp_path / "alone.tif")
    page.save(tmp_path / "book.tif", save_all=True, append_images=[rich, page, rich, page])
    alone, book = read_photo(open_image(tmp_path / "alone.tif")), open_image(tmp_path / "book.tif")
    for number, each in enumerate(read_pages(book, page_numbers(book))):
        if number % 2:
            assert each.info["dpi"] == (600, 600)
        else:
            assert torch.equal(each.L, alone.L) and each.profile is None
            assert "dpi" not in each.info
