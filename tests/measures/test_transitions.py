import math

import pytest
import torch

from chromagan.measures.transitions import (
    ACROSS,
    BAND,
    Transitions,
    border_excess,
    border_mask,
    border_stripes,
)


def ramp(width, height=40.0, angle=0.0, size=80, shift=0.0):
    """Lab (3, size, size): a* rises by `height` over `width` pixels (2: a step) across a line through the middle."""
    at = torch.arange(size) - (size - 1) / 2
    across = at[None] * math.cos(math.radians(angle)) + at[:, None] * math.sin(math.radians(angle)) - shift
    values = (across / width + 0.5).clamp(0, 1) * height if width > 2 else (across > 0) * height
    return torch.stack([torch.full((size, size), 50.0), values, torch.zeros(size, size)])


@pytest.mark.parametrize("angle", [0, 90, 30, 45, 210, 270])
def test_a_step_is_two_pixels_wide_and_a_ramp_as_wide_as_it_is(angle):
    truth = Transitions(ramp(2, angle=angle))
    assert truth(ramp(2, angle=angle))["edge_gradient_kept"] == pytest.approx(1)
    step = 1 / max(abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle))))  # from pixel to pixel
    assert truth(ramp(2, angle=angle))["edge_width"] == pytest.approx(2 * step, rel=0.02)
    for width in (4, 6, 8):
        assert truth(ramp(width, angle=angle))["edge_width"] == pytest.approx(width, rel=0.15)


def test_width_does_not_change_with_strength_hue_or_place_and_the_gradient_does():
    truth = Transitions(ramp(2))
    whole, pale = truth(ramp(6)), truth(ramp(6, height=10))
    assert pale["edge_width"] == pytest.approx(whole["edge_width"], rel=1e-4)
    assert pale["edge_gradient_kept"] == pytest.approx(whole["edge_gradient_kept"] / 4, rel=1e-4)
    other_hue = ramp(6)[[0, 2, 1]]
    assert truth(other_hue) == pytest.approx(whole)
    moved = truth(ramp(2, shift=2))  # as sharp, but not at the true edge
    assert moved["edge_width"] == pytest.approx(truth(ramp(2))["edge_width"]) and moved["edge_gradient_kept"] == 0


def test_lightness_does_not_matter():
    truth, coloring = ramp(2), ramp(6)
    expected = Transitions(truth)(coloring)
    for lab in (truth, coloring):
        lab[0] = 100 * ((torch.arange(80)[:, None] + torch.arange(80)) // 8 % 2)  # stripes aslant, and steeper
    assert Transitions(truth)(coloring) == expected


@pytest.mark.parametrize("height, visible", [(0.99, False), (1.01, True)])
def test_steps_of_less_than_a_unit_have_no_width(height, visible):
    assert math.isnan(Transitions(ramp(2))(ramp(2, height=height))["edge_width"]) != visible


def test_gray_has_no_width_and_a_photo_without_edges_has_nothing():
    gray = ramp(2, height=0)
    found = Transitions(ramp(2))(gray)
    assert found["edge_gradient_kept"] == 0 and math.isnan(found["edge_width"])
    assert all(math.isnan(value) for value in Transitions(gray)(ramp(2)).values())


@pytest.mark.parametrize(
    "height, width, column, measured",
    [
        (52, 13, 6, True),  # 50 edge pixels, as the frame has none, and 6 pixels on each side of them
        (51, 13, 6, False),
        (52, 13, 5, False),
        (52, 13, 7, False),
        (52, 12, 6, False),
    ],
)
def test_fifty_edge_pixels_with_six_on_each_side_are_enough(height, width, column, measured):
    lab = torch.full((3, height, width), 50.0)
    lab[1] = 20.0 * (torch.arange(width) - column).sign()  # half of the step is in the edge's own column
    for image in (lab, lab.mT):
        expected = (1, 2) if measured else (math.nan, math.nan)
        assert list(Transitions(image)(image).values()) == pytest.approx(expected, nan_ok=True)


def test_border_excess_is_the_band_less_the_inside():
    difference = torch.full((2, 30, 40), 3.0)
    mask = border_mask(30, 40)
    assert mask.sum() == 30 * 40 - (30 - 2 * BAND) * (40 - 2 * BAND)
    difference[1, mask] = 8
    assert border_excess(difference).tolist() == pytest.approx([0, 5])


def test_stripes_along_the_border_are_seen_on_each_side_and_texture_and_inside_stripes_are_not():
    flat = torch.zeros(1, 3, 112, 112)
    assert border_stripes(flat).item() == 0
    for transpose in (False, True):
        for flip in (False, True):
            lab = flat.clone()
            lab[:, 1, 2] = 16  # one line of the eight outermost rows
            lab = lab.flip(2) if flip else lab
            lab = lab.mT if transpose else lab
            # Means over the lines: 16 once and 0 seven times. The two sides beside see it end: two pixels of 28.
            own = 16**2 * (1 / 8 - 1 / 64)
            assert border_stripes(lab).item() == pytest.approx(math.sqrt(own / 4), rel=0.01)
    inside = flat.clone()
    inside[:, 1, ACROSS + 10 : -ACROSS - 10, ACROSS + 10 : -ACROSS - 10] = 50
    assert border_stripes(inside).item() == 0
    noise = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 10
    assert border_stripes(noise).item() == pytest.approx(math.sqrt(2 * 100 / 28 * 7 / 8), rel=0.15)
    assert border_stripes(torch.zeros(1, 3, 28, 125)).item() == 0  # what is left of a side is not looked at
    assert math.isnan(border_stripes(torch.zeros(1, 3, 27, 112)).item())
