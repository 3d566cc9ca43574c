"""Files made of so many parts that reading them takes minutes: found by a quick look at the structure of the file.

Pillow's readers collect some parts in a list that they search, or in bytes that they copy, at every further part. So a
file of a few megabytes can keep a processor busy for minutes.
"""

import mmap
import os
import re
import struct
from typing import BinaryIO

from chromagan.errors import ImageError

MOST_SEGMENTS = 5_000  # of a JPEG: one of 50 MB that holds nothing else has 800
MOST_SCANS = 200  # of JPEG: a progressive one has about ten
MOST_PAGES = 5_000  # of a TIFF
MOST_NOTES = 20_000  # blocks of comments and application data in a GIF
MOST_BLOCKS = 1_000_000  # of a GIF, all together

MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of a JPEG's segments with a length, and of its end
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9


def check_structure(file: str | os.PathLike | BinaryIO) -> None:
    """Raise ImageError for a JPEG, TIFF or GIF of too many parts; OSError if it cannot be opened. Whether it is damaged
    is for its reader to say. file: a path, or a file in memory, which is left at its start.
    """
    if not isinstance(file, str | os.PathLike):
        _check(file.getbuffer())
        return
    with open(file, "rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:  # cannot be mapped
            return
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check(data)


def _check(data: mmap.mmap | memoryview) -> None:
    start = bytes(data[:4])
    try:
        if start[:3] == b"\xff\xd8\xff":
            _check_jpeg(data)
        elif start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            _check_tiff(data, "<" if start[:2] == b"II" else ">", b"+" in start)
        elif start == b"GIF8":
            _check_gif(data)
    except (IndexError, struct.error):  # it ends early
        pass


def _check_jpeg(data) -> None:
    at, segments, scans = 2, 0, 0
    while found := MARKER.search(data, at):  # in the data of a scan, others are no markers
        at = found.start()
        if data[at + 1] == END_OF_IMAGE:  # what follows is not read: more pictures, a film
            return
        scans += data[at + 1] == START_OF_SCAN
        segments += 1
        if scans > MOST_SCANS or segments > MOST_SEGMENTS:
            raise ImageError("this JPEG has too many segments to read safely: save it anew from an image editor")
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]


def _check_tiff(data, order: str, big: bool) -> None:
    counts, offsets, entry = ("Q", "Q", 20) if big else ("H", "I", 12)

    def read(kind: str, at: int) -> int:
        return struct.unpack(order + kind, data[at : at + struct.calcsize(order + kind)])[0]

    at, seen = read(offsets, 8 if big else 4), set()
    while at and at not in seen:
        seen.add(at)
        if len(seen) > MOST_PAGES:
            raise ImageError(f"a TIFF of more than {MOST_PAGES:,} pages: split it")
        at = read(offsets, at + struct.calcsize(order + counts) + entry * read(counts, at))


def _check_gif(data) -> None:
    def after_table(at: int, flags: int) -> int:
        return at + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)

    at, blocks, notes = after_table(13, data[10]), 0, 0
    while data[at] in b"\x21\x2c":
        is_note = False
        if data[at] == 0x2C:  # an image
            at = after_table(at + 10, data[at + 9]) + 1
        else:  # an extension; 0xF9 tells how long a frame is shown
            is_note = data[at + 1] != 0xF9
            at += 2
        while data[at]:
            at += 1 + data[at]
            blocks += 1
            notes += is_note
            if blocks > MOST_BLOCKS or notes > MOST_NOTES:
                raise ImageError("this GIF has too many blocks to read safely: save it anew from an image editor")
        at += 1
