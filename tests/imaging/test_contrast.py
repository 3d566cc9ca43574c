import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chromagan.imaging.contrast import BLACK, FADED, MOST_GAIN, SOUND, WHITE, stretch_contrast


def lightness(dark: float, light: float, height: int = 60, width: int = 80) -> torch.Tensor:
    """All values between two, evenly spread, in random places."""
    values = torch.linspace(dark, light, height * width)
    return values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))].view(1, 1, height, width)


def percentiles(L: torch.Tensor) -> np.ndarray:
    """Those that are looked at, of the photo without its border."""
    height, width = L.shape[-2:]
    return np.percentile(L[0, 0, height // 10 : -(height // 10), width // 10 : -(width // 10)], [1, 99])


@pytest.mark.parametrize(("dark", "light"), [(0, 100), (5, 78), (25, 98)])
def test_a_photo_of_good_contrast_is_returned_as_it_is(dark, light):
    L = lightness(dark, light)
    assert stretch_contrast(L) is L


@pytest.mark.parametrize(("dark", "light"), [(40, 70), (6, 40), (60, 94), (40, 65)])
def test_faded_and_dark_photos_are_brought_to_the_same(dark, light):
    seen = stretch_contrast(lightness(dark, light))
    assert percentiles(seen) == pytest.approx([BLACK, WHITE], abs=1e-3)
    torch.testing.assert_close(seen, stretch_contrast(lightness(20, 60)), rtol=0, atol=1e-3)


def test_an_end_that_is_reached_stays_where_it_is():
    seen = stretch_contrast(lightness(0, 50))  # the first percentile is darker than BLACK
    dark = percentiles(lightness(0, 50))[0]
    assert percentiles(seen) == pytest.approx([dark, WHITE], abs=1e-3) and dark < BLACK


def test_the_stretch_grows_from_none_to_all_of_it():
    contrasts = np.linspace(FADED - 2, SOUND + 2, 25)
    ends = np.array([percentiles(stretch_contrast(lightness(20, 20 + contrast))) for contrast in contrasts])
    assert (np.diff(ends[:, 0]) > -1e-3).all()
    assert np.abs(np.diff(ends, axis=0)).max() < 4  # no step between alike photos
    dark, light = percentiles(lightness(20, 80))
    share = (SOUND - (light - dark)) / (SOUND - FADED)
    expected = [dark + share * (BLACK - dark), light + share * (WHITE - light)]
    assert percentiles(stretch_contrast(lightness(20, 80))) == pytest.approx(expected, abs=1e-3)


def test_borders_and_specks_are_not_looked_at():
    L = lightness(30, 60)
    speckled = L.clone()
    speckled[0, 0, 20, 30:50] = 100  # 20 of 3,072 pixels
    expected, place = stretch_contrast(L), (..., slice(9, 60), slice(0, 30))
    torch.testing.assert_close(stretch_contrast(speckled)[place], expected[place], rtol=0, atol=1)
    framed = F.pad(lightness(30, 60, 50, 66), (7, 7, 5, 5), value=98)
    torch.testing.assert_close(
        percentiles(stretch_contrast(framed)), percentiles(stretch_contrast(L)), rtol=0, atol=2.0
    )


@pytest.mark.parametrize("middle", [0, 3, 50, 97, 100])
def test_the_noise_of_a_blank_photo_is_enlarged_four_times_at_most(middle):
    L = (lightness(middle - 1, middle + 1)).clamp(0, 100)
    seen, (dark, light) = stretch_contrast(L), percentiles(L)
    low, high = percentiles(seen)
    assert high - low == pytest.approx(MOST_GAIN * (light - dark), abs=1e-3)
    assert abs((low + high) / 2 - (dark + light) / 2) < 7  # as bright as before, within the range
    assert torch.equal(stretch_contrast(torch.full((1, 1, 9, 9), float(middle))).unique(), torch.tensor([middle * 1.0]))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (9, 12)])
def test_any_size(size):
    L = lightness(40, 60, *size)
    assert stretch_contrast(L).shape == L.shape
