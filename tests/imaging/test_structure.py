"""Small files of very many parts, each of which takes Pillow from many seconds to minutes."""

import io
import struct
import time
from contextlib import suppress

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


def least(monkeypatch, limit: str, data: bytes) -> int:
    """The lowest limit under which a file is read: the number of its parts."""
    for parts in range(1000):
        with monkeypatch.context() as patched, suppress(ImageError):
            patched.setattr(structure, limit, parts)
            structure.check_structure(io.BytesIO(data))
            return parts
    pytest.fail(f"{limit} is of no account")


def test_every_part_of_a_jpeg_is_counted(monkeypatch):
    # APP0, two tables of quantization, SOF0, four of Huffman codes, SOS
    assert least(monkeypatch, "MOST_SEGMENTS", encoded("JPEG")) == 9
    assert least(monkeypatch, "MOST_SEGMENTS", jpeg_of_segments(7)) == 16
    assert least(monkeypatch, "MOST_SCANS", encoded("JPEG")) == 1
    assert least(monkeypatch, "MOST_SCANS", encoded("JPEG", progressive=True)) == 10  # libjpeg's own script
    assert least(monkeypatch, "MOST_SCANS", jpeg_of_scans(5)) == 15


@pytest.mark.parametrize("global_table, local_table", [(0x81, 0x00), (0x00, 0x82), (0x80, 0x87), (0x07, 0x07)])
def test_every_part_of_a_gif_is_counted(monkeypatch, global_table, local_table):
    """Tables of colors are as long as their flags say, whatever is in them."""

    def table(flags: int) -> bytes:
        return b"\x21" * (3 * 2 ** ((flags & 7) + 1)) if flags & 0x80 else b""

    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, global_table, 0, 0) + table(global_table)
    for _ in range(2):
        data += b"\x21\xf9\4\0\0\0\0\0"  # how long the frame is shown: a block, but no note
        data += b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, local_table) + table(local_table)
        data += b"\2" + b"\1\x44" + b"\2\1\1" + b"\0"  # two blocks of pixels
    data += b"\x21\xfe" + b"\3abc" * 3 + b"\0"  # a comment of three
    for end in (b"\x3b", b"\x3b" + b"\x21\xfe" + b"\1A" * 50 + b"\0"):  # what follows the end is not read
        assert least(monkeypatch, "MOST_BLOCKS", data + end) == 9
        assert least(monkeypatch, "MOST_NOTES", data + end) == 3


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
