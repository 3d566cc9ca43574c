"""Small files of very many parts, each of which takes Pillow from many seconds to minutes."""

import io
import struct
import time

import pytest
from made_photos import made_photo
from PIL import Image

from chromagan.errors import ImageError
from chromagan.imaging import structure
from chromagan.imaging.photo import open_image


def encoded(kind: str, **options) -> bytes:
    file = io.BytesIO()
    made_photo(0).save(file, kind, **options)
    return file.getvalue()


def jpeg_of_segments(count: int) -> bytes:
    data, segment = encoded("JPEG"), b"\xff\xe1\0\x0eExif\0\0AAAAAA"
    return data[:2] + segment * count + data[2:]


def jpeg_of_scans(count: int) -> bytes:
    data = encoded("JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def tiff_of_pages(count: int) -> bytes:
    """Every page is the first, of which only the directory is there again."""
    data = bytearray(encoded("TIFF"))
    (at,) = struct.unpack("<I", data[4:8])
    end = at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0]
    directory = bytes(data[at:end])
    data += b"\0" * (len(data) % 2)
    data[end : end + 4] = struct.pack("<I", len(data))
    for page in range(1, count):
        after = len(data) + len(directory) + 4 if page < count - 1 else 0
        data += directory + struct.pack("<I", after)
    return bytes(data)


def gif_of_notes(count: int, block: bytes = b"\x21\xfe\1A\0") -> bytes:
    data = encoded("GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + block * count + data[at:]


def gif_of_one_long_note(count: int) -> bytes:
    return gif_of_notes(1, b"\x21\xfe" + b"\1A" * count + b"\0")


MADE = [
    (jpeg_of_segments, 400_000, "this JPEG has too many segments"),
    (jpeg_of_scans, 300, "this JPEG has too many segments"),
    (tiff_of_pages, 40_000, "a TIFF of more than 5,000 pages: split it"),
    (gif_of_notes, 1_000_000, "this GIF has too many blocks"),
    (gif_of_one_long_note, 1_000_000, "this GIF has too many blocks"),
]


@pytest.mark.parametrize("make, many, message", MADE)
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_would_take_minutes_is_refused_at_once(tmp_path, make, many, message, in_memory):
    data = make(many)
    (tmp_path / "photo").write_bytes(data)
    before = time.process_time()
    with pytest.raises(ImageError, match=message):
        open_image(io.BytesIO(data) if in_memory else tmp_path / "photo")
    assert time.process_time() - before < 2


@pytest.mark.parametrize("make, many, message", MADE)
def test_a_few_parts_are_read(tmp_path, make, many, message):
    (tmp_path / "photo").write_bytes(make(9))
    assert open_image(tmp_path / "photo").size == (64, 64)


def test_what_follows_a_jpeg_is_not_part_of_it(tmp_path):
    """Phones put a film behind a photo, in which any bytes may occur."""
    (tmp_path / "motion.jpg").write_bytes(encoded("JPEG") + b"\xff\xda\0\2" * 10_000)
    assert open_image(tmp_path / "motion.jpg").size == (64, 64)


def test_a_thousand_frames_are_no_notes(tmp_path):
    frames = [Image.new("L", (4, 4), shade % 256) for shade in range(1000)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:], duration=20, loop=0)
    assert open_image(tmp_path / "film.gif").n_frames == 1000


@pytest.mark.parametrize("big", [False, True])
def test_the_pages_of_both_kinds_of_tiff_are_counted(tmp_path, monkeypatch, big):
    monkeypatch.setattr(structure, "MOST_PAGES", 3)
    pages = [made_photo(seed) for seed in range(4)]
    for count in (3, 4):
        pages[0].save(tmp_path / f"{count}.tif", save_all=True, append_images=pages[1:count], big_tiff=big)
    assert open_image(tmp_path / "3.tif").n_frames == 3
    with pytest.raises(ImageError, match="more than 3 pages"):
        open_image(tmp_path / "4.tif")


def test_directories_in_a_circle_end():
    directory = struct.pack("<H", 0)
    structure.check_structure(io.BytesIO(b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 8)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "GIF"])
def test_a_file_that_ends_anywhere_is_left_to_its_reader(tmp_path, kind):
    data = encoded(kind)
    for length in (*range(1, 40), len(data) // 2):
        (tmp_path / "photo").write_bytes(data[:length])
        with pytest.raises(ImageError, match="photo: "):
            open_image(tmp_path / "photo")
