"""What is written is whole, in the color and with the metadata that the format holds."""

import contextlib
import io
import threading

import numpy as np
import pytest
import tifffile
import torch
from made_photos import made_photo
from made_profiles import gray_profile, rgb_profile
from PIL import ExifTags, Image, PngImagePlugin

from chromagan.errors import ImageError
from chromagan.imaging.formats import FORMATS, is_written
from chromagan.imaging.metadata import photoshop_segment
from chromagan.imaging.photo import open_image, page_numbers, read_pages, read_photo
from chromagan.imaging.writing import encode_image, unsupported_metadata, write_image

XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:title="Caf\xc3\xa9"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x78\x00\x05A cat"[:10]
WRITTEN = [kind for kind in FORMATS if kind != "HEIF"]


def inputs() -> dict[str, bytes]:
    """A photo with a title, a caption and a resolution, as Pillow writes them, not this project."""
    photo, exif, file = made_photo(0), Image.Exif(), {}
    exif[0x013B] = "Somebody"
    common = {"exif": exif, "xmp": XMP}
    tags = Image.Exif()
    tags[0x013B], tags[700], tags[33723] = "Somebody", XMP, IPTC
    for kind, options in (
        ("JPEG", common | {"dpi": (300, 150), "extra": photoshop_segment(IPTC)}), ("WEBP", common), ("AVIF", common),
        ("TIFF", {"exif": tags, "dpi": (300, 150)}),
    ):  # fmt: skip
        stream = io.BytesIO()
        photo.save(stream, kind, **options)
        file[kind] = stream.getvalue()
    return file


@pytest.mark.parametrize("source", ["JPEG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_metadata_is_carried_between_formats_that_hold_it(source, kind):
    before = read_photo(open_image(io.BytesIO(inputs()[source])))
    result = before.carry_over(made_photo(1))
    written = open_image(io.BytesIO(encode_image(result, kind)))
    after = read_photo(written).info
    for name in ("xmp", "iptc"):
        held = name in FORMATS[kind].holds and name in before.info
        assert (after.get(name) == before.info.get(name)) if held else name not in after
        assert (name in unsupported_metadata(result, kind)) == (name in before.info and not held)
    assert before.info["xmp"] == XMP and (source not in ("JPEG", "TIFF") or before.info["iptc"] == IPTC)
    assert written.getexif().get(0x013B) == ("Somebody" if "exif" in FORMATS[kind].holds else None)
    if source in ("JPEG", "TIFF") and FORMATS[kind].holds & {"exif", "dpi"}:
        assert after["dpi"] == pytest.approx((300, 150), abs=0.1)


@pytest.mark.parametrize("name", [b"Jos\xc3\xa9", b"Jos\xe9!"])  # UTF-8, as most write it, and Latin-1
@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if "exif" in FORMATS[kind].holds])
@pytest.mark.parametrize("orientation", [1, 6])
def test_letters_beyond_ascii_stay_in_exif_data(name, kind, orientation):
    """Pillow writes a question mark for each of their bytes."""
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x010E] = exif[0x013B] = exif.get_ifd(0x8769)[0xA433] = exif.get_ifd(0x8825)[29] = "Joseph"[:5]
    exif[0x0112] = orientation
    made_photo(0).save(stream, "JPEG", exif=exif.tobytes().replace(b"Josep", name))
    image = open_image(stream)
    result = read_photo(image).carry_over(made_photo(1))
    result.info["dpi"] = (300, 300)
    assert type(image.getexif()[0x013B]) is str  # the image is its owner's
    written = open_image(io.BytesIO(encode_image(result, kind))).getexif()
    texts = written[0x010E], written[0x013B], written.get_ifd(0x8769)[0xA433], written.get_ifd(0x8825)[29]
    assert [text.encode("latin-1") for text in texts] == [name] * 4


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_exif_data_stay_when_their_owner_has_looked_at_them(kind):
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x013B], exif.get_ifd(0x8769)[0x9003] = "Somebody", "1938:06:01 12:00:00"
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    made_photo(0).save(stream, "JPEG", exif=exif.tobytes())
    image = open_image(stream)
    for block in ExifTags.IFD:  # that of the thumbnail and of the place are not there
        with contextlib.suppress(KeyError):
            image.getexif().get_ifd(block)
    result = read_photo(image).carry_over(made_photo(1))
    written = open_image(io.BytesIO(encode_image(result, kind))).getexif()
    assert written[0x013B] == "Somebody" and 0x8825 not in written
    assert written.get_ifd(0x8769)[0x9003] == "1938:06:01 12:00:00" and written.get_ifd(0xA005) == {1: "R98"}


def test_a_turned_photos_resolution_is_turned():
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    made_photo(0, 40, 60).save(stream, "JPEG", exif=exif, dpi=(300, 150))
    assert read_photo(open_image(stream)).info["dpi"] == (150, 300)


@pytest.mark.parametrize("order", ["<", ">"])
def test_iptc_of_a_tiff_that_calls_it_whole_numbers_is_carried_over(order):
    """As many programs do: four bytes to a number. What is of another type, or no number of four bytes, is none."""
    stream, numbers = io.BytesIO(), np.frombuffer(IPTC + bytes(-len(IPTC) % 4), f"{order}u4")
    for kind, values, expected in (("I", numbers, numbers.tobytes()), ("h", [-1, 2], None), ("d", [0.5, 1], None)):
        tag = (33723, kind, len(values), tuple(map(int if kind != "d" else float, values)), True)
        tifffile.imwrite(stream, np.zeros((4, 4), np.uint8), byteorder=order, extratags=[tag])
        assert read_photo(open_image(io.BytesIO(stream.getvalue()))).info.get("iptc") == expected
        stream = io.BytesIO()


def raw_profile(kind: str, data: bytes) -> bytes:
    """A PNG as ImageMagick and ExifTool write it: data as hexadecimal text."""
    stream, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    lines = "\n".join(data[start : start + 36].hex() for start in range(0, len(data), 36))
    texts.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(data):8}\n{lines}\n", zip=True)
    made_photo(0).save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()


def test_what_other_programs_keep_in_a_png_as_hexadecimal_text_is_carried_over():
    iptc = IPTC * 8
    other = b"8BIM\x03\xed\x03dpi\0\0\0\x01\x07\0"  # a resource with a name and an odd number of bytes
    resource = photoshop_segment(iptc)[4 + len(b"Photoshop 3.0\0") :]
    assert all(len(photoshop_segment(IPTC[:length])) % 2 == 0 for length in (9, 10))  # as every resource ends
    for kind, data in (("iptc", iptc), ("iptc", resource), ("8bim", other + resource)):
        before = read_photo(open_image(io.BytesIO(raw_profile(kind, data))))
        assert before.info["iptc"] == iptc and "notes" not in before.info
        result = before.carry_over(made_photo(1))
        for target in ("PNG", "JPEG", "TIFF"):
            assert "iptc" not in unsupported_metadata(result, target)
            assert read_photo(open_image(io.BytesIO(encode_image(result, target)))).info["iptc"] == iptc
    result.info["iptc"] = IPTC * 100_000
    assert read_photo(open_image(io.BytesIO(encode_image(result, "PNG")))).info["iptc"] == IPTC * 100_000
    assert read_photo(open_image(io.BytesIO(raw_profile("xmp", XMP)))).info["xmp"] == XMP
    for damaged in (raw_profile("iptc", b""), raw_profile("8bim", b"8BIM\x04\x04"), raw_profile("8bim", other)):
        assert "iptc" not in read_photo(open_image(io.BytesIO(damaged))).info


def test_xmp_data_that_no_jpeg_can_hold_are_named():
    photo = made_photo(0)
    photo.info["xmp"] = b"x" * 70_000
    assert unsupported_metadata(photo, "JPEG") == {"xmp": "XMP data"} and unsupported_metadata(photo, "PNG") == {}
    assert "xmp" not in open_image(io.BytesIO(encode_image(photo, "JPEG"))).info


NOTES = {"Title": "Caf\xe9", "Description": "Opava \u2192 Brno, 1938", "Comment": "two\nlines"}


def noted(kind: str) -> Image.Image:
    """A photo with notes as Pillow writes them, not this project; where a format has one comment, it is the last."""
    stream, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    for title, text in NOTES.items():
        texts.add_text(title, text)
    texts.add_text("Raw profile type iptc", "\niptc\n 2\n1c02")  # as ImageMagick keeps other data
    made_photo(0).save(stream, kind, **{"pnginfo": texts} if kind == "PNG" else {"comment": NOTES["Comment"].encode()})
    return open_image(stream)


@pytest.mark.parametrize("source", ["PNG", "JPEG", "GIF", "JPEG2000"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_notes_are_carried_between_formats_that_hold_them(source, kind):
    before = read_photo(noted(source))
    assert before.info["notes"] == (NOTES if source == "PNG" else {"Comment": NOTES["Comment"]})
    result = before.carry_over(made_photo(1))
    after = read_photo(open_image(io.BytesIO(encode_image(result, kind)))).info
    if "notes" not in FORMATS[kind].holds:
        assert unsupported_metadata(result, kind)["notes"] == "notes" and after.get("notes") != before.info["notes"]
    elif source == "PNG" and kind != "PNG":
        assert after["notes"] == {"Comment": "Title: Caf\xe9\nDescription: Opava \u2192 Brno, 1938\ntwo\nlines"}
    else:
        assert after["notes"] == before.info["notes"] and "notes" not in unsupported_metadata(result, kind)


def test_a_comment_of_another_century_and_one_that_no_jpeg_can_hold():
    stream = io.BytesIO()
    made_photo(0).save(stream, "JPEG", comment="Caf\xe9".encode("latin-1"))
    assert read_photo(open_image(stream)).info["notes"] == {"Comment": "Caf\xe9"}
    photo = made_photo(0)
    photo.info["notes"] = {"Comment": "x" * 65_534}
    assert unsupported_metadata(photo, "JPEG") == {"notes": "notes"} and unsupported_metadata(photo, "PNG") == {}
    photo.info["notes"] = {"Comment": "x" * 65_533}
    assert unsupported_metadata(photo, "JPEG") == {}
    assert len(open_image(io.BytesIO(encode_image(photo, "JPEG"))).info["comment"]) == 65_533


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF"])
def test_white_shows_behind_what_a_format_cannot_hold_of_alpha(kind):
    """A GIF's pixel is there or it is not; BMP's alpha no reader heeds."""
    photo = Image.new("RGB", (30, 20), (200, 40, 40))
    alpha = Image.new("L", photo.size, 255)
    alpha.paste(0, (0, 0, 10, 20))
    alpha.paste(192, (10, 0, 20, 20))
    photo.putalpha(alpha)
    written = open_image(io.BytesIO(encode_image(photo, kind)))
    shown = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), written.convert("RGBA")).convert("RGB")
    for column, expected in ((2, (255, 255, 255)), (15, (214, 94, 94)), (27, (200, 40, 40))):
        assert np.abs(np.array(shown.getpixel((column, 10))) - expected).max() <= 4, column
    assert written.has_transparency_data == (kind == "GIF")
    assert unsupported_metadata(photo, kind) == {"alpha": "half transparency" if kind == "GIF" else "transparency"}
    photo.putalpha(255)
    assert unsupported_metadata(photo, kind) == {}


def test_every_suffix_that_an_error_names_can_be_written(tmp_path):
    with pytest.raises(ImageError) as error:
        write_image(made_photo(0), tmp_path / "out.xyz")
    named = str(error.value).split(": use ")[1].split(", ")
    assert {".jfif", ".png", ".tiff", ".gif"} <= set(named) and len(named) == len(set(named))
    assert set(named) == set(filter(is_written, Image.registered_extensions()))
    for suffix in named:
        write_image(made_photo(0), tmp_path / f"out{suffix}")
        assert open_image(tmp_path / f"out{suffix}").size == (64, 64)


def test_a_name_of_the_longest_length(tmp_path):
    for suffix in (".jpg", ".png", ".tif"):
        path = tmp_path / ("n" * (255 - len(suffix)) + suffix)
        write_image(made_photo(0), path)
        assert Image.open(path).size == (64, 64)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    for name in ("there.png", "not there yet.png"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(tmp_path / "far" / name)
        if name == "there.png":
            link.write_bytes(b"before")
        write_image(made_photo(0), link)
        assert link.is_symlink() and Image.open(tmp_path / "far" / name).size == (64, 64)
    assert len(list(tmp_path.rglob("*"))) == 5


def test_many_writers_of_one_file_leave_a_whole_one(tmp_path):
    photos = [Image.new("RGB", (300, 300), (40 * index, 0, 0)) for index in range(6)]
    threads = [threading.Thread(target=write_image, args=(photo, tmp_path / "out.png")) for photo in photos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    low, high = Image.open(tmp_path / "out.png").getchannel("R").getextrema()
    assert low == high and low in range(0, 240, 40)


@pytest.mark.parametrize("name, words", [("no/such/out.png", "No such file"), ("file.txt/out.png", "Not a directory")])
def test_a_place_that_cannot_be_written_to(tmp_path, name, words):
    (tmp_path / "file.txt").touch()
    with pytest.raises(ImageError, match=f"out.png: it cannot be written: {words}"):
        write_image(made_photo(0), tmp_path / name)


@pytest.mark.parametrize("kind, side", [("JPEG", 65_501), ("WEBP", 16_384)])
def test_a_format_that_is_too_small_says_so(tmp_path, kind, side):
    with pytest.raises(ImageError, match=f"{kind} holds at most {side - 1} pixels a side, got {side}x1"):
        encode_image(Image.new("RGB", (side, 1)), kind)


FRAMES = [made_photo(seed, 40, 56) for seed in range(3)]
DURATIONS = [80, 500, 1200]


def animation(kind: str, **options) -> Image.Image:
    stream = io.BytesIO()
    FRAMES[0].save(stream, kind, save_all=True, append_images=FRAMES[1:], duration=DURATIONS, **options)
    return open_image(stream)


@pytest.mark.parametrize("source, loop, plays", [("GIF", {}, 1), ("GIF", {"loop": 0}, 0), ("GIF", {"loop": 4}, 5),
                                                ("PNG", {"loop": 5}, 5), ("WEBP", {"loop": 0}, 0)])  # fmt: skip
@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_an_animation_keeps_its_frames_and_their_times(source, loop, plays, kind):
    """A GIF counts how often it is shown again; PNG and WebP, how often in all."""
    image = animation(source, **loop)
    photos = list(read_pages(image, page_numbers(image)))
    pages = [photo.carry_over(photo.gray_image().convert("RGB")) for photo in photos]
    written = open_image(io.BytesIO(encode_image(pages[0], kind, pages[1:])))
    assert written.n_frames == 3
    if kind in ("GIF", "PNG", "WEBP"):
        expected = {1: None, 0: 0, 5: 4}[plays] if kind == "GIF" else plays
        assert written.info.get("loop") == expected
    again = list(read_pages(written, page_numbers(written)))
    for before, after, duration in zip(photos, again, DURATIONS, strict=True):
        assert kind == "TIFF" or round(after.info["duration"]) == duration
        assert (before.L - after.L).abs().mean() < 1


def test_frames_with_holes(tmp_path):
    """A GIF whose later frames are transparent in part: each is the whole picture that is shown then."""
    mask = Image.new("L", (56, 40), 255)
    mask.paste(0, (0, 0, 20, 20))
    frames = [frame.copy() for frame in FRAMES]
    for frame in frames:
        frame.putalpha(mask)
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    image = open_image(tmp_path / "in.gif")
    photos = list(read_pages(image, page_numbers(image)))
    pages = [photo.carry_over(photo.gray_image().convert("RGB")) for photo in photos]
    for suffix in (".gif", ".webp", ".png"):
        write_image(pages, tmp_path / f"out{suffix}")
        written = open_image(tmp_path / f"out{suffix}")
        for photo in read_pages(written, page_numbers(written)):
            assert np.array_equal(np.asarray(photo.alpha), np.asarray(mask)), suffix


def test_a_tiffs_thumbnail_is_no_page(tmp_path):
    thumbnail = made_photo(0, 8, 8)
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    made_photo(0).save(tmp_path / "in.tif", save_all=True, append_images=[thumbnail, made_photo(1, 30, 20)])
    image = open_image(tmp_path / "in.tif")
    numbers = page_numbers(image)
    assert numbers == [0, 2]
    assert [tuple(photo.L.shape[-2:]) for photo in read_pages(image, numbers)] == [(64, 64), (30, 20)]


def test_a_damaged_page_is_named(tmp_path):
    made_photo(0).save(tmp_path / "in.tif", save_all=True, append_images=[made_photo(1)], compression="tiff_lzw")
    whole = (tmp_path / "in.tif").read_bytes()
    (tmp_path / "in.tif").write_bytes(whole[:-5000])
    with pytest.raises(ImageError, match=r"in.tif: (page 2|its pages cannot be counted): "):
        image = open_image(tmp_path / "in.tif")
        list(read_pages(image, page_numbers(image)))


def test_an_endless_animation_is_refused_before_it_is_read(monkeypatch):
    image = animation("GIF")
    monkeypatch.setattr("chromagan.imaging.photo.MAX_PIXELS", 3 * 40 * 56 - 1)
    with pytest.raises(ImageError, match="megapixels in its 3 pages: split it"):
        page_numbers(image)


def test_each_page_has_its_own_profile(tmp_path):
    pages = [made_photo(0).convert("L") for _ in range(3)]
    pages[1].encoderinfo = {"icc_profile": gray_profile(1.0)}
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    image = open_image(tmp_path / "in.tif")
    first, linear, last = (photo.L for photo in read_pages(image, page_numbers(image)))
    assert torch.equal(first, last) and (linear - first).mean() > 5
    # And in what is written.
    results = [photo.carry_over(made_photo(1)) for photo in read_pages(image, page_numbers(image))]
    results[1].info |= {"icc_profile": rgb_profile("adobe", 2.2), "dpi": (300, 300)}
    results[2].info["xmp"] = XMP
    write_image(results, tmp_path / "out.tif")
    assert not any(getattr(page, "encoderinfo", None) for page in results)
    written, found = open_image(tmp_path / "out.tif"), []
    for photo in read_pages(written, page_numbers(written)):
        found.append((photo.profile, photo.info.get("dpi"), photo.info.get("xmp")))
    assert found == [(None, None, None), (results[1].info["icc_profile"], (300, 300), None), (None, None, XMP)]


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "group4", "tiff_adobe_deflate", "raw"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_compressed_tiff_becomes_a_compressed_one(tmp_path, compression, alpha):
    """Without loss, and with all metadata: Pillow's own compression cannot write EXIF data."""
    made_photo(0).convert("1" if compression == "group4" else "RGB").save(tmp_path / "in.tif", compression=compression)
    result = read_photo(open_image(tmp_path / "in.tif")).carry_over(made_photo(1, 300, 201))
    exif = Image.Exif()
    exif[0x013B] = "Somebody"
    exif.get_ifd(0x8769)[0x9003] = "1938:06:01 12:00:00"
    result.info |= {"exif": exif.tobytes(), "xmp": XMP, "iptc": IPTC, "dpi": (300, 150)}
    result.info["icc_profile"] = rgb_profile("adobe", 2.2)
    if alpha:
        result.putalpha(Image.linear_gradient("L").resize(result.size))
    write_image(result, tmp_path / "out.tif")
    written = open_image(tmp_path / "out.tif")
    assert written.info["compression"] == ("raw" if compression == "raw" else "tiff_adobe_deflate")
    assert written.mode == result.mode and written.tobytes() == result.tobytes()
    assert (tifffile.imread(tmp_path / "out.tif") == np.asarray(result)).all()
    assert written.getexif()[0x013B] == "Somebody"
    assert written.getexif().get_ifd(0x8769)[0x9003] == "1938:06:01 12:00:00"
    after = read_photo(written)
    assert {name: after.info[name] for name in ("xmp", "iptc", "dpi")} == {"xmp": XMP, "iptc": IPTC, "dpi": (300, 150)}
    assert after.profile == result.info["icc_profile"] and (after.alpha is not None) == alpha
    size = (tmp_path / "out.tif").stat().st_size
    assert size < (0.7 if compression != "raw" else 1.1) * len(result.tobytes())


def test_of_a_book_each_page_is_compressed_if_it_was(tmp_path):
    pages = [made_photo(seed, 40 + seed, 50) for seed in range(4)]
    for page, compression in zip(pages, ("tiff_lzw", "raw", "jpeg", "raw"), strict=True):
        page.encoderinfo = {"compression": compression}
    pages[0].save(tmp_path / "in.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    image = open_image(tmp_path / "in.tif")
    results = [photo.carry_over(page.copy()) for photo, page in zip(read_pages(image, page_numbers(image)), pages)]
    for number, result in enumerate(results):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0page " + b"x" * number  # of odd lengths, too
        exif.get_ifd(0x8825)[29] = f"1938:06:0{number}"
        result.info |= {"exif": exif.tobytes(), "icc_profile": rgb_profile("adobe", 2.2)}
    write_image(results, tmp_path / "out.tif")
    written, found = open_image(tmp_path / "out.tif"), []
    for number, result in enumerate(results):
        written.seek(number)
        found.append(written.info["compression"])
        assert written.tobytes() == result.tobytes()
        assert written.getexif().get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0page " + b"x" * number
        assert written.getexif().get_ifd(0x8825)[29] == f"1938:06:0{number}"
        assert written.info["icc_profile"] == result.info["icc_profile"]
    assert found == ["tiff_adobe_deflate", "raw"] * 2
    assert len(tifffile.TiffFile(tmp_path / "out.tif").pages) == 4
