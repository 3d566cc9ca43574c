"""The command line over damaged files: a line for each that cannot be colored, and never a traceback.

CHROMAGAN_FUZZ=5000 runs as many in place of 520; CHROMAGAN_FUZZ_SEED takes others.
"""

import io
import os
import random
import struct
import warnings

import pytest
import torch
from made_photos import made_photo
from made_profiles import gray_profile, rgb_profile
from PIL import Image

from chromagan.__main__ import main
from chromagan.hub.model import ChromaGAN

COUNT = int(os.environ.get("CHROMAGAN_FUZZ", 520))
SEED = int(os.environ.get("CHROMAGAN_FUZZ_SEED", 0))


def originals() -> list[tuple[str, bytes]]:
    """Small images of every format and of the variants that take other paths through the readers."""
    photo = made_photo(0, 40, 56)
    profile = photo.getexif()
    profile[0x0112], profile[0x013B] = 6, "Somebody"
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    deep = Image.fromarray(torch.arange(40 * 56, dtype=torch.int32).to(torch.uint16).view(40, 56).numpy())
    wide = rgb_profile("adobe", 2.2)
    variants = [
        (".jpg", photo, {}), (".jpg", photo, {"progressive": True, "exif": profile}), (".jpg", photo.convert("L"), {}),
        (".jpg", photo.convert("CMYK"), {}), (".png", photo, {}), (".png", clear, {}), (".png", deep, {}),
        (".png", photo.convert("P"), {"transparency": 3}), (".png", photo.convert("1"), {}), (".webp", photo, {}),
        (".webp", clear, {"lossless": True}), (".tif", photo, {}), (".tif", photo, {"compression": "tiff_lzw"}),
        (".tif", photo, {"compression": "jpeg"}), (".tif", deep, {}), (".tif", photo.convert("F"), {}),
        (".tif", photo.convert("1"), {"compression": "group4"}), (".bmp", photo, {}), (".bmp", photo.convert("P"), {}),
        (".tif", photo, {"save_all": True, "append_images": [photo.convert("L")]}), (".png", deep, {"transparency": 9}),
        (".gif", photo, {"save_all": True, "append_images": [photo.rotate(90)]}),
        (".jpg", photo, {"icc_profile": wide}), (".png", deep, {"icc_profile": gray_profile(1.0)}),
        (".webp", photo, {"xmp": b"<x/>", "icc_profile": wide}),
    ]  # fmt: skip
    files = []
    for suffix, image, options in variants:
        stream = io.BytesIO()
        image.save(stream, Image.registered_extensions()[suffix], **options)
        files.append((suffix, stream.getvalue()))
    return files


def damaged(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    """`whole` with bytes flipped, numbers in its header changed, a part cut out or doubled, or its end torn off, or
    spliced with `other`."""
    data = bytearray(whole)
    at = rng.randrange(len(data))
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:
        start = rng.randrange(min(len(data), 120) - 4)
        data[start : start + 4] = struct.pack(rng.choice("<>") + "I", rng.choice((0, 1, 65535, 1 << 20, (1 << 32) - 1)))
    elif kind == 2:
        del data[at : at + rng.choice((1, 16, 400))]
    elif kind == 3:
        data[at:at] = data[max(0, at - 200) : at]
    elif kind == 4:
        del data[at:]
    else:
        data[at:] = other[rng.randrange(len(other)) :]
    return bytes(data)


@pytest.fixture
def quick_network(monkeypatch):
    """Colors of no thought: it is the reading and writing that is tried."""
    monkeypatch.setattr(ChromaGAN, "forward", lambda self, L: torch.zeros(len(L), 2, *L.shape[-2:]))


def test_damaged_files_are_one_line_each(source, tmp_path, capfd, quick_network):
    rng = random.Random(SEED)
    files = originals()
    (tmp_path / "in").mkdir()
    for index in range(COUNT):
        (suffix, whole), (_, other) = files[index % len(files)], rng.choice(files)
        (tmp_path / "in" / f"{index:05}{suffix}").write_bytes(damaged(whole, other, rng))
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)  # one would be a line of its own
        status = main(["colorize", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--source", str(source)])
    printed = capfd.readouterr().err.replace("\r", "\n")
    assert "Traceback" not in printed and "Warning" not in printed
    # The rest is the progress bar and, for TIFF, what libtiff itself says.
    problems = [line for line in printed.splitlines() if line.startswith("chromagan: ")]
    (summary,) = (line for line in printed.splitlines() if " photos colored by " in line)
    named = {path.name for path in (tmp_path / "in").iterdir() if any(path.name in line for line in problems)}
    assert status == 1 and len(named) == len(problems)
    written = [path.name for path in (tmp_path / "out").iterdir()]
    assert summary.startswith(f"{len(written)} of {COUNT} photos colored by ") and len(written) + len(problems) == COUNT
    assert COUNT / 20 < len(written) < COUNT * 19 / 20  # both kinds were tried
    assert not [name for name in written if name.startswith(".")]
    for name in written:
        Image.open(tmp_path / "out" / name).load()
