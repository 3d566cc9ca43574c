"""Faults that people see: on made pictures whose answers are known, in the table and drawn."""

import math

import numpy as np
import pytest
import torch
from markupsafe import escape
from PIL import Image

from chromagan.demo.page import visible_table
from chromagan.demo.photo_report import GRAY, Report
from chromagan.demo.visible import DRAWN_SIDE, PARTS, PLACES, VISIBLE, marked_picture, visible_faults, words_for
from chromagan.imaging import color
from chromagan.measures.colorings import Coloring, Truth, place_of


def lab_image(L: float, a: float, b: float, side: int = 64) -> torch.Tensor:
    return torch.tensor([L, a, b], dtype=torch.float32).view(1, 3, 1, 1).repeat(1, 1, side, side)


def faults(truth: torch.Tensor, colored: torch.Tensor) -> dict[str, float]:
    photo = Truth(color.lab_to_srgb(truth))
    return visible_faults(photo.measure(color.lab_to_srgb(colored), PARTS), photo.measure(photo.srgb, PARTS))


def test_vivid_weak_dark_and_white_pixels():
    truth = lab_image(50, 0, 0)
    truth[:, 1:, :16, :16] = torch.tensor([30.0, 40.0]).view(1, 2, 1, 1)  # vivid, chroma 50
    truth[:, 1:, :16, 16:32] = torch.tensor([6.0, 8.0]).view(1, 2, 1, 1)  # weak, chroma 10
    truth[:, :, :16, 32:48] = torch.tensor([20.0, 0.0, 20.0]).view(1, 3, 1, 1)  # dark
    truth[:, :, :16, 48:] = torch.tensor([95.0, 1.0, -1.0]).view(1, 3, 1, 1)  # white
    colored = truth.clone()
    colored[:, 1:, :16, :16] *= 0.5
    colored[:, 1:, :16, 16:24] = 0  # half of what is weak
    colored[:, 1:, :16, 32:48] *= 0.25
    colored[:, 1:, :16, 48:] += torch.tensor([2.0, 5.0]).view(1, 2, 1, 1)
    found, own = faults(truth, colored), faults(truth, truth)
    assert found["vivid_kept"] == pytest.approx(50, abs=0.01) and own["vivid_kept"] == pytest.approx(100)
    assert found["weak_lost"] == pytest.approx(50) and own["weak_lost"] == 0
    assert found["dark_kept"] == pytest.approx(25, abs=0.01)
    assert (found["red_cast"], found["yellow_cast"]) == (pytest.approx(2, abs=1e-4), pytest.approx(5, abs=1e-4))
    assert (own["red_cast"], own["yellow_cast"]) == (0, 0)
    assert own["edges_kept"] == pytest.approx(100)


def test_a_photo_without_such_parts_has_no_such_measures():
    found = faults(lab_image(50, 0, 0, 24), lab_image(50, 5, 5, 24))
    none = {"vivid_kept", "weak_lost", "dark_kept", "red_cast", "yellow_cast", "border_stripes", "edges_kept"}
    assert {name for name, value in found.items() if math.isnan(value)} == none | {"edge_width"}
    assert (found["false_red"], found["spots"]) == (0, 0)


def test_red_patches_spots_and_the_border_are_measured_and_found():
    truth, colored = lab_image(50, 0, 0), lab_image(50, 0, 0)
    colored[:, 1, 8:18, 8:18] = 40  # 100 pixels of red
    colored[:, 2, 40:44, 40:45] = -40  # a blue spot of 20
    colored[:, 1:, :, 60:] = 0
    found = faults(truth, colored)
    assert found["false_red"] == pytest.approx(100 * 100 / 4096) and found["spots"] == 1
    coloring = Coloring(color.lab_to_srgb(colored), Truth(color.lab_to_srgb(truth)))
    red, spots, border = (place_of(name, coloring) for name in PLACES)
    assert red.sum() == 100 and red[8:18, 8:18].all()
    assert spots[40:44, 40:45].all() and spots[37, 42] and not spots[30, 42]  # with a margin of 3
    assert border.sum() == 64 * 64 - 56 * 56 and border[0, 0] and not border[4, 4]
    assert words_for("false_red", found, {}) == "2.44 % of the area comes out red where the photo is not, outlined."
    assert words_for("spots", found, {}) == "This coloring has 1 small spot that the photo does not have, outlined."
    clean = faults(truth, truth)
    assert words_for("false_red", clean, {}).startswith("No patch of 64 pixels")
    assert "no small spots" in words_for("spots", clean, {})
    assert "0.0 Lab units" in words_for("border_stripes", clean, clean)


def test_a_place_is_drawn_on_the_picture_at_the_size_that_is_shown():
    image, place = Image.new("RGB", (1600, 800), (100, 100, 100)), np.zeros((64, 128), bool)
    assert np.array(marked_picture(image.copy(), place)).min() == 100  # nothing to mark
    place[16:32, 32:64] = True
    marked = np.array(marked_picture(image, place))
    assert marked.shape == (DRAWN_SIDE // 2, DRAWN_SIDE, 3)
    assert (marked[120:220, 230:440] == 100).all() and (marked[300:, 500:] == 50).all() and (marked == 255).any()


def values(**given) -> dict[str, float]:
    return dict.fromkeys(VISIBLE, math.nan) | {"false_red": 0.0, "spots": 0.0} | given


def test_the_table_marks_the_best_and_says_what_the_photo_lacks():
    rows = [
        (GRAY, values(vivid_kept=100.0, edge_width=4.0)),
        ("compact", values(vivid_kept=40.0, yellow_cast=-1.0, edge_width=4.5, false_red=1.25)),
        ("depthwise", values(vivid_kept=130.0, yellow_cast=0.5, edge_width=2.5)),
    ]
    report = Report([], rows, (64, 64), True, list(VISIBLE), values(edge_width=3.0))
    best = {name: report.least_fault(name) for name in VISIBLE}
    expected = {"vivid_kept": 130.0, "yellow_cast": 0.5, "edge_width": 2.5, "false_red": 0.0}
    assert {name: value for name, value in best.items() if value is not None} == expected
    html = visible_table(report)
    assert html.count('class="best"') == 4 and html.count("the photo has none") == 5 and "The photo itself: 3.0" in html
    assert "−1.0" in html and "+0.5" in html and "1.25" in html
    assert all(measure.label in html and escape(measure.hint) in html for measure in VISIBLE.values())
    assert report.csv().splitlines()[2].endswith(",1.25,0,,,4.5")
    assert visible_table(Report([], rows, (64, 64), False)) == ""
