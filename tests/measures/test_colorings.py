"""All measures of a coloring at once, where they found something, and what they need of a photo."""

import math

import numpy as np
import pytest
import torch
from made_photos import made_photo

from chromagan.imaging import color
from chromagan.imaging.color import to_tensor
from chromagan.measures.colorings import PARTS, Coloring, Truth, place_of

COLUMNS = {column for part in PARTS.values() for column in part.columns}


def made_tensor(seed: int, height: int = 64, width: int = 64) -> torch.Tensor:
    return to_tensor(np.array(made_photo(seed, height, width)))


def test_the_photo_itself_has_no_error():
    truth = Truth(made_tensor(5, 64, 80))
    own = truth.measure(truth.srgb)
    assert set(own) == COLUMNS
    assert own["ciede2000"] == own["ciede2000_p95"] == own["ciede2000_near"] == own["false_red"] == own["spots"] == 0
    assert own["cdr"] == 1 and own["ssim"] == pytest.approx(1) and math.isinf(own["psnr"])
    assert own["edge_gradient_kept"] == pytest.approx(1)


def test_parts_are_taken_alone_as_together():
    truth, coloring = Truth(made_tensor(1)), made_tensor(2)
    together = truth.measure(coloring)
    for name, part in PARTS.items():
        alone = Truth(made_tensor(1)).measure(coloring, [name])
        assert alone == pytest.approx({column: together[column] for column in part.columns}, nan_ok=True)


@pytest.mark.parametrize("height, width", [(1, 1), (4, 9), (7, 40), (10, 64)])
def test_a_tiny_photo_has_the_measures_that_it_allows(height, width):
    found = Truth(made_tensor(0, height, width)).measure(made_tensor(1, height, width))
    assert math.isnan(found["ssim"]) and found["ciede2000"] > 0 and found["colorfulness"] > 0
    assert math.isnan(found["border_stripes"])


def from_lab(lab: torch.Tensor) -> torch.Tensor:
    return (255 * color.lab_to_srgb(lab[None])).round().clamp(0, 255) / 255


def test_places_are_where_the_measure_found_something():
    lab = torch.tensor([60.0, 0, 20])[:, None, None].repeat(1, 80, 80)
    truth = Truth(from_lab(lab))
    lab[1, 10:30, 10:30], lab[1, 60:65, 60:65] = 50, 40
    coloring = Coloring(from_lab(lab), truth)
    red = place_of("false_red", coloring)
    assert red[12:28, 12:28].all() and red.sum() == 400
    spot = place_of("spots", coloring)
    assert spot[60:65, 60:65].all() and 25 < spot.sum() < 200  # with a margin
    worst = place_of("ciede2000", coloring)
    assert worst.any() and not worst[40:55].any()
    assert place_of("border_stripes", coloring).sum() == 80 * 80 - 72 * 72
    assert place_of("colorfulness", coloring).all()


@pytest.mark.parametrize("share, none", [(0.04, True), (0.06, False)])
def test_the_95th_percentile_is_above_95_percent_of_the_pixels(share, none):
    lab = torch.tensor([60.0, 0, 20])[:, None, None].repeat(1, 50, 40)
    truth = Truth(from_lab(lab))
    lab[1].view(-1)[: int(share * lab[1].numel())] = 30
    assert (truth.measure(from_lab(lab), ["fidelity"])["ciede2000_p95"] == 0) == none


def test_places_of_means_are_the_worst_tenth_and_places_of_edges_lie_near_them():
    truth = Truth(made_tensor(0))
    coloring = Coloring(made_tensor(1), truth)
    worst = place_of("ciede2000", coloring)
    assert worst.mean() == pytest.approx(0.1, abs=0.001)
    assert coloring.difference[0].numpy()[worst].min() > coloring.difference[0].numpy()[~worst].max() - 1e-6
    assert truth.near.any() and not truth.near.all()
    for measure in ("ciede2000_near", "cdr", "edge_width"):
        assert (place_of(measure, coloring) == truth.near[0].numpy()).all()
    assert (place_of("ciede2000_elsewhere", coloring) != truth.near[0].numpy()).all()


def test_a_gray_photo_has_no_cdr():
    gray = made_tensor(0).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    gray = (255 * gray).round() / 255
    for coloring in (gray, made_tensor(0)):
        assert math.isnan(Truth(gray).measure(coloring, ["boundaries"])["cdr"])


def test_every_measure_has_a_place():
    coloring = Coloring(made_tensor(0).flip(2), Truth(made_tensor(0)))
    for measure in COLUMNS:
        place = place_of(measure, coloring)
        assert place.shape == (64, 64) and place.dtype == bool
