import os

import numpy as np
import pytest
from made_photos import made_photo
from made_profiles import rgb_profile
from PIL import Image

from chromagan.imaging.contact_sheet import GAP, LABEL, PAPER, contact_sheet, is_contact_sheet
from chromagan.imaging.photo import srgb_image
from chromagan.imaging.writing import write_image
from chromagan.network.decoders import LABELS


def test_rows_are_decoders_columns_are_epochs_and_a_missing_pair_is_blank():
    red, green, blue = (Image.new("RGB", (60, 40), color) for color in ("red", "lime", "blue"))
    sheet = np.asarray(contact_sheet({("depthwise", 9): blue, ("compact", 0): red, ("compact", 9): green}, LABELS))

    def place(color):
        rows, columns = np.nonzero((sheet == color).all(axis=2))
        assert len(rows) == 60 * 40  # whole, and not scaled up
        return rows.min(), columns.min()

    (red_y, red_x), (green_y, green_x), (blue_y, blue_x) = place((255, 0, 0)), place((0, 255, 0)), place((0, 0, 255))
    assert red_y == green_y and green_x - red_x == 60 + GAP  # one decoder, the later epoch to the right
    assert green_x == blue_x and blue_y - green_y == 40 + GAP  # the order of DECODERS downwards
    assert (sheet[blue_y : blue_y + 40, red_x : red_x + 60] == PAPER).all()


def test_one_epoch_is_a_row():
    red, green = (Image.new("RGB", (60, 40), color) for color in ("red", "lime"))
    sheet = np.asarray(contact_sheet({("depthwise", 4): green, ("compact", 4): red}, LABELS))
    (red_y, red_x), (green_y, green_x) = (
        np.argwhere((sheet == color).all(axis=2)).min(axis=0) for color in ((255, 0, 0), (0, 255, 0))
    )
    assert red_y == green_y and green_x > red_x + 60


def test_large_colorings_are_shrunk_in_their_own_shape():
    colorings = {("original", epoch): made_photo(epoch, 600, 900) for epoch in (0, 1)}
    sheet = contact_sheet(colorings, LABELS)
    assert sheet.height < 256 and sheet.width < 2 * 256 + 200
    assert colorings["original", 0].size == (900, 600)  # the caller's are left as they are


def test_labels_of_strips_do_not_overlap():
    for size in ((2000, 4), (4, 2000)):
        strip = Image.new("RGB", size, "red")
        colorings = {(decoder, epoch): strip for decoder in ("original", "compact") for epoch in (10, 100)}
        sheet = np.asarray(contact_sheet(colorings, LABELS)).astype(int)
        ink = (np.ptp(sheet, axis=2) < 8) & (sheet.sum(axis=2) < 600)  # gray: no red, no paper
        names, heads = ink[LABEL:, : sheet.shape[1] // 3].any(axis=1), ink[:LABEL].any(axis=0)
        assert runs(names, gap=3) == len(("Original", "Compact"))
        assert runs(heads, gap=GAP) == len(("epoch 10", "epoch 100"))


def runs(marked: np.ndarray, gap: int) -> int:
    """How many groups of marked places are more than `gap` apart."""
    places = np.flatnonzero(marked)
    return 1 + int((np.diff(places) > gap).sum())


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_sheet_is_told_by_its_mark(tmp_path, suffix):
    for name, picture in (("sheet", contact_sheet({("compact", 0): made_photo(0)}, LABELS)), ("photo", made_photo(0))):
        write_image(picture, tmp_path / f"{name}{suffix}")
        assert is_contact_sheet(tmp_path / f"{name}{suffix}") == (name == "sheet")


def test_what_cannot_be_opened_is_no_sheet(tmp_path):
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8 not a JPEG")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("damaged.jpg", "pipe.jpg", "none.jpg", "."):
        assert not is_contact_sheet(tmp_path / name)


def test_a_coloring_under_a_profile_is_shown_in_its_colors():
    """ProPhoto's (140, 90, 60) are stronger colors than sRGB's: the sheet, which has no profile, shows those."""
    image = Image.new("RGB", (60, 40), (140, 90, 60))
    image.info["icc_profile"] = rgb_profile("prophoto", 1.8)
    shown = tuple(np.asarray(srgb_image(image))[0, 0])
    assert shown[0] > 165 and shown[2] < 70
    sheet = np.asarray(contact_sheet({("compact", 0): image}, LABELS))
    assert (sheet == shown).all(axis=2).sum() == 60 * 40
