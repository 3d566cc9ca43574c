import io
import json
import zipfile

import numpy as np
import pytest
from made_photos import made_photo
from PIL import Image, ImageSequence

from chromagan.demo.downloads import LABEL, animation, encode_shown, file_name, result_suffix, write_archive
from chromagan.hub.checkpoints import Checkpoint

COLORS = [(200, 30, 30), (30, 160, 40), (40, 60, 210)]


def frames(data: bytes) -> list[Image.Image]:
    return [frame.convert("RGB") for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_animation_shows_every_frame_in_order_and_forever(kind):
    data = animation([(f"epoch {i}", Image.new("RGB", (120, 80), color)) for i, color in enumerate(COLORS)], kind)
    with Image.open(io.BytesIO(data)) as file:
        assert (file.format.lower(), file.size, file.info["loop"]) == (kind, (120, 80 + LABEL), 0)
    shown = frames(data)
    assert len(shown) == 3
    for frame, color in zip(shown, COLORS, strict=True):
        assert np.abs(np.asarray(frame)[:70].reshape(-1, 3).mean(axis=0) - color).max() < 6


def test_animation_of_another_kind_or_of_nothing():
    with pytest.raises(ValueError, match="webp, gif"):
        animation([("a", Image.new("RGB", (9, 9)))], "mp4")
    with pytest.raises(ValueError, match="one frame"):
        animation([], "gif")


def test_shown_pictures_keep_chroma_at_full_resolution():
    """Columns of red and blue: with chroma at half resolution both would be purple."""
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 200
    data, suffix = encode_shown(Image.fromarray(stripes))
    assert suffix == ".jpg" and np.abs(np.asarray(Image.open(io.BytesIO(data))).astype(int) - stripes).mean() < 8
    assert encode_shown(made_photo(1).convert("RGBA"))[1] == ".png"


@pytest.mark.parametrize(
    ("mode", "kind", "suffix"),
    [("RGB", "JPEG", ".jpg"), ("RGB", "MPO", ".jpg"), ("RGBA", "JPEG", ".png"), ("RGB", "PNG", ".png"),
     ("RGB", "WEBP", ".webp"), ("RGB", "TIFF", ".tiff"), ("RGB", "GIF", ".png"), ("RGB", None, ".png")],
)  # fmt: skip
def test_result_is_written_in_the_format_of_the_photo(mode, kind, suffix):
    assert result_suffix(Image.new(mode, (1, 1)), kind) == suffix


@pytest.mark.parametrize(
    ("source", "name"),
    [("study", "harbor-compact-epoch-3.png"),
     ("general", "harbor-general-compact-epoch-3.png"), ("owner/mine", "harbor-mine-compact-epoch-3.png")],
)  # fmt: skip
def test_a_name_says_whose_networks_colored_except_the_studys(source, name):
    assert file_name("harbor.jpg", source, Checkpoint("compact", 3, "x"), ".png") == name


def test_archive_holds_every_coloring_and_says_what_each_is():
    made = [Checkpoint("compact", 0, "x"), Checkpoint("compact", 3, "x"), Checkpoint("depthwise", 0, "x")]
    pictures = {each: made_photo(i, 40, 60) for i, each in enumerate(made)}
    file = io.BytesIO()
    steps = list(write_archive(file, "Häfen.png", "study", made, pictures.get, ".png", {"saturation": 1.5}))
    assert steps == [1, 2, 3]
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        record = json.loads(archive.read("record.json"))
        assert (record["photo"], record["width"], record["height"]) == ("Häfen.png", 60, 40)
        assert record["options"] == {"saturation": 1.5} and list(record["decoders"]) == ["compact", "depthwise"]
        for each, entry in zip(made, record["colorings"], strict=True):
            assert (entry["decoder"], entry["epoch"]) == (each.decoder, each.epoch)
            assert entry["file"] == file_name("Häfen.png", "study", each, ".png")
            image = Image.open(io.BytesIO(archive.read(entry["file"])))
            assert np.array_equal(np.asarray(image), np.asarray(pictures[each]))
        assert Image.open(io.BytesIO(archive.read("contact-sheet.png"))).width > 60
        assert len(archive.namelist()) == 5
