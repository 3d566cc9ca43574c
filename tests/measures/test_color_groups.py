import math

import pytest
import torch

from chromagan.measures.color_groups import ColorGroups, chroma_and_hue, photo_traits

GRASS, SOIL = (50, 40, 130), (40, 25, 70)  # L, chroma, hue


def lab_of(*fields, size=20):
    """Horizontal fields of equal height, each (L, chroma, hue in degrees): Lab (1, 3, size * fields, size)."""
    rows = []
    for L, chroma, hue in fields:
        angle = math.radians(hue)
        rows.append(torch.tensor([L, chroma * math.cos(angle), chroma * math.sin(angle)]).expand(size, size, 3))
    return torch.cat(rows).movedim(-1, 0)[None]


def measured(truth, coloring):
    return {name: value.item() for name, value in ColorGroups(truth)(coloring).items()}


def test_chroma_kept_of_vivid_weak_and_dark_colors():
    truth = lab_of((60, 50, 10), (60, 80, 200), (60, 10, 30), (60, 14, 300), (20, 20, 60))
    coloring = lab_of((60, 25, 70), (60, 40, 200), (60, 3, 30), (60, 7, 300), (20, 5, 60))
    found = measured(truth, coloring)
    assert found["chroma_kept_vivid"] == pytest.approx(65 / 130, abs=1e-6)  # hue is another matter
    assert found["weak_to_gray"] == 0.5  # one of the two weak ones
    assert found["chroma_kept_dark"] == pytest.approx(0.25, abs=1e-6)
    assert found["mean_chroma"] == pytest.approx(80 / 5, abs=1e-5)


def test_casts_are_taken_on_light_neutral_pixels_and_on_all():
    truth = lab_of((90, 2, 0), (50, 2, 0), (90, 30, 0))
    coloring = truth + torch.tensor([0, 0, 0.0])[:, None, None]
    coloring[:, 1, :20] += 5  # the light neutral field turns red, the others yellow
    coloring[:, 2, 20:] += 9
    found = measured(truth, coloring)
    assert found["light_a"] == pytest.approx(7, abs=1e-5) and found["light_b"] == pytest.approx(0, abs=1e-5)
    assert found["mean_a"] == pytest.approx((7 + 2 + 30) / 3, abs=1e-5)
    assert found["mean_b"] == pytest.approx(6, abs=1e-5)


def test_ground_painted_green_needs_grass_beside_it():
    straw = (70, 30, 90)
    truth = lab_of(GRASS, SOIL, straw, straw)
    coloring = lab_of(GRASS, (40, 25, 110), (70, 30, 60), (70, 2, 130))  # green, kept, and gray whose hue is green
    found = measured(truth, coloring)
    assert found["ground_to_green"] == pytest.approx(1 / 3) and found["ground_kept"] == pytest.approx(1 / 3)
    alone = measured(truth[:, :, 20:], coloring[:, :, 20:])
    assert math.isnan(alone["ground_to_green"]) and math.isnan(alone["ground_kept"])


def test_wrong_blue_is_blue_where_the_truth_is_not():
    truth = lab_of((50, 30, 30), (50, 30, 250), (50, 0, 0), (50, 30, 30))
    coloring = lab_of((50, 30, 250), (50, 30, 250), (50, 30, 330), (50, 8, 250))  # blue; rightly; purple; hardly
    assert measured(truth, coloring)["wrong_blue"] == 0.25


def test_variation_in_shadow_is_the_spread_of_ab():
    truth = lab_of((10, 0, 0), (10, 0, 0), (80, 50, 0))
    coloring = lab_of((10, 6, 0), (10, 2, 180), (80, 90, 120))
    assert measured(truth, coloring)["shadow_variation"] == pytest.approx(4, abs=1e-5)  # a: 6 and -2


@pytest.mark.parametrize(
    "group, inside, outside",
    [
        ("vivid", [(60, 40.1, 10)], [(60, 39.9, 10)]),
        ("weak", [(60, 6.1, 30), (60, 14.9, 30)], [(60, 5.9, 30), (60, 15.1, 30)]),
        ("dark", [(29.9, 8.1, 60)], [(30.1, 8.1, 60), (29.9, 7.9, 60)]),
        ("light", [(80.1, 7.9, 0)], [(79.9, 7.9, 0), (80.1, 8.1, 0)]),
        ("ground", [(50, 12.1, 50.5), (50, 12.1, 94.5)], [(50, 11.9, 70), (50, 20, 49.5), (50, 20, 95.5)]),
        ("shadow", [(29.9, 0, 0)], [(30.1, 0, 0)]),
        ("not blue", [(50, 4.9, 270)], [(50, 5.1, 270)]),
    ],
)
def test_limits_of_the_groups(group, inside, outside):
    truth = lab_of(GRASS, *inside, *outside)
    _, *found = ColorGroups(truth).groups[group][0, ::20, 0].tolist()
    assert found == [True] * len(inside) + [False] * len(outside)


@pytest.mark.parametrize(
    "measure, true, inside, outside",
    [
        ("weak_to_gray", (60, 10, 30), [(60, 3.9, 30)], [(60, 4.1, 30)]),
        ("ground_to_green", SOIL, [(40, 4.1, 100.5), (40, 4.1, 159.5)], [(40, 3.9, 130), (40, 20, 99), (40, 20, 161)]),
        ("ground_kept", SOIL, [(40, 4.1, 50.5), (40, 4.1, 94.5)], [(40, 3.9, 70), (40, 20, 49), (40, 20, 96)]),
        ("wrong_blue", (50, 0, 0), [(50, 12.1, 221), (50, 12.1, 299)], [(50, 11.9, 260), (50, 20, 219), (50, 20, 301)]),
    ],
)
def test_limits_of_what_is_counted(measure, true, inside, outside):
    groups = ColorGroups(lab_of(GRASS, *[true] * len(inside + outside)))
    coloring = lab_of(GRASS, *inside, *outside)
    _, *found = groups.places(coloring)[measure][0, ::20, 0].tolist()
    assert found == [True] * len(inside) + [False] * len(outside)
    of = len(found) + (measure == "wrong_blue")  # of the whole photo
    assert groups(coloring)[measure].item() == pytest.approx(len(inside) / of)


@pytest.mark.parametrize("pixels, measured_there", [(1, False), (2, True)])
def test_a_group_is_half_a_percent_of_the_photo(pixels, measured_there):
    truth = torch.tensor([50.0, 0, 0])[:, None, None].repeat(1, 20, 20)[None]
    truth[0, 1, 0, :pixels] = 50
    assert math.isnan(measured(truth, truth)["chroma_kept_vivid"]) != measured_there


@pytest.mark.parametrize("grass, soil, measured_there", [(4, 4, True), (3, 4, False), (4, 3, False)])
def test_grass_and_ground_are_a_hundredth_of_the_photo_each(grass, soil, measured_there):
    truth = torch.tensor([50.0, 0, 0])[:, None, None].repeat(1, 20, 20)[None]
    truth[..., 0, :grass], truth[..., 5, :soil] = lab_of(GRASS, size=1)[..., 0], lab_of(SOIL, size=1)[..., 0]
    assert math.isnan(measured(truth, truth)["ground_kept"]) != measured_there


def test_a_photo_of_one_pixel_is_a_group():
    vivid = lab_of((60, 50, 10), size=1)
    assert measured(vivid, vivid)["chroma_kept_vivid"] == 1


def test_the_truth_keeps_all_and_a_photo_without_a_group_says_nothing():
    truth = lab_of((60, 50, 10), (60, 10, 30), (20, 20, 60), (90, 2, 0), (50, 40, 130), (40, 25, 70))
    found = measured(truth, truth)
    for name in ("chroma_kept_vivid", "chroma_kept_dark", "ground_kept"):
        assert found[name] == pytest.approx(1, abs=1e-12)
    assert found["weak_to_gray"] == found["wrong_blue"] == found["ground_to_green"] == 0
    gray = torch.zeros(1, 3, 20, 20) + torch.tensor([50.0, 0, 0])[:, None, None]
    nothing = {name for name, value in measured(gray, gray).items() if math.isnan(value)}
    assert nothing == set(found) - {"mean_chroma", "mean_a", "mean_b", "wrong_blue"}
    one_pixel = gray.clone()
    one_pixel[..., 3, 3] = torch.tensor([60, 50.0, 0])
    assert math.isnan(measured(one_pixel, one_pixel)["chroma_kept_vivid"])


def test_a_batch_is_its_images_one_by_one_and_one_truth_serves_many():
    generator = torch.Generator().manual_seed(0)
    lab = torch.rand(6, 3, 24, 30, generator=generator) * torch.tensor([100, 120, 120.0])[:, None, None]
    lab[:, 1:] -= 60
    truth, colorings = lab[:3], lab[3:]
    together, of_first = ColorGroups(truth)(colorings), ColorGroups(truth[:1])(colorings)
    for index in range(3):
        for found, true in ((together, truth[index : index + 1]), (of_first, truth[:1])):
            alone = ColorGroups(true)(colorings[index : index + 1])
            for name, value in alone.items():
                torch.testing.assert_close(found[name][index : index + 1], value, rtol=0, atol=0, equal_nan=True)
    assert list(together) == list(ColorGroups.NAMES)
    photos = torch.rand(3, 3, 24, 30, generator=generator)
    for name, values in photo_traits(photos).items():
        assert values.tolist() == [photo_traits(photo[None])[name].item() for photo in photos]


def test_places_are_the_pixels_that_are_counted():
    truth = lab_of((50, 40, 130), (40, 25, 70), (60, 10, 30), (90, 2, 0))
    coloring = lab_of((50, 40, 130), (40, 25, 110), (60, 1, 30), (90, 30, 250))
    groups = ColorGroups(truth)
    places, found = groups.places(coloring), groups(coloring)
    fields = {name: place[0, ::20, 0].tolist() for name, place in places.items()}
    assert fields["ground_to_green"] == [False, True, False, False]
    assert fields["weak_to_gray"] == [False, False, True, False]
    assert fields["wrong_blue"] == fields["light_b"] == [False, False, False, True]
    assert places["wrong_blue"].double().mean() == found["wrong_blue"]


def test_hue_runs_from_red_over_yellow_green_and_blue():
    axes = torch.tensor([[50, 10, 0.0], [50, 0, 10], [50, -10, 0], [50, 0, -10]])
    chroma, hue = chroma_and_hue(axes[..., None, None])
    assert chroma.flatten().tolist() == [10] * 4 and hue.flatten().tolist() == [0, 90, 180, 270]


def test_traits_of_made_photos():
    half = torch.zeros(1, 3, 64, 64)
    half[..., 32:] = 1
    traits = {name: value.item() for name, value in photo_traits(half).items()}
    assert traits["photo_lightness"] == pytest.approx(50, abs=1e-4)
    assert traits["photo_contrast"] == pytest.approx(50, abs=1e-4)
    assert traits["photo_texture"] == pytest.approx(2 * 50 / 64, abs=1e-4)  # a slope of 50 on two of 64 columns
    flat = {name: value.item() for name, value in photo_traits(torch.ones(1, 3, 8, 8)).items()}
    assert flat["photo_texture"] == flat["photo_contrast"] == pytest.approx(0, abs=1e-4)
