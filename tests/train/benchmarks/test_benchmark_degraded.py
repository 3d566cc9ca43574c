import numpy as np
import pytest
import torch
from made_photos import made_photo

from chromagan.hub.files import write_json
from chromagan.imaging import color
from train.benchmarks.degraded import DEGRADATIONS, Degradation, _nearer, degraded_table, measure


def images(count: int) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.array(made_photo(seed, 96, 96))).movedim(-1, 0) for seed in range(count)])


class OneColor(torch.nn.Module):
    """Paints ab according to the mean lightness that it sees."""

    def forward(self, L):
        return color.normalize_ab(torch.ones(1, 2, *L.shape[-2:]) * color.denormalize_L(L).mean() / 10)


def test_photos_left_gray_are_no_nearer_than_gray():
    found = measure(images(2), lambda L: torch.zeros(1, 2, *L.shape[-2:]))
    assert list(found) == list(DEGRADATIONS)
    for ways in found.values():
        for *nearer, colorful in ways.values():
            assert nearer == pytest.approx([0, 0, 0], abs=1e-4) and colorful == pytest.approx(0, abs=0.01)


def test_stretched_photos_are_colored_alike_however_faded():
    found = measure(images(2), OneColor())
    plain, stretched = (np.array([ways[way] for ways in found.values()]) for way in ("as it is", "stretched"))
    assert np.ptp(plain[:, 3]) > 10 * np.ptp(stretched[3:5, 3])
    nearer = [f"{value:.1f} ({low:.1f} to {high:.1f}) %" for value, low, high, _ in (plain[3], stretched[3])]
    faint = f"{nearer[0]} | {nearer[1]} | {plain[3, 3]:.2f} | {stretched[3, 3]:.2f}"
    assert f"| faint | L 35 to 70 | {faint} |" in degraded_table(
        {"photos": 2, "data": "made", "checkpoint": "one color", "degraded": found}
    )


def test_the_interval_is_that_of_a_ratio_of_means():
    rng = np.random.default_rng(0)
    gray = rng.uniform(5, 15, 400)
    differences = gray * 0.9 + rng.normal(0, 1, 400)
    value, low, high = _nearer(differences, gray)
    assert value == pytest.approx(100 * (1 - differences.mean() / gray.mean()))
    half = 1.96 * 100 * (differences - (1 - value / 100) * gray).std() / gray.mean() / np.sqrt(400)  # to first order
    assert (value - low, high - value) == pytest.approx((half, half), rel=0.1)


def test_a_single_photo_has_no_interval(tmp_path):
    """And its results can be written as JSON, which has no NaN."""
    found = measure(images(1), OneColor())
    (plain, *ends, _), (stretched, *_) = found["as it is"].values()
    assert ends == [None, None]
    results = {"photos": 1, "data": "made", "checkpoint": "one color", "degraded": found}
    write_json(tmp_path / "results.json", results)
    assert f"| as it is | nothing | {plain:.1f} % | {stretched:.1f} % | " in degraded_table(results)


def test_what_fading_does_to_lightness():
    L = torch.tensor([0.0, 50, 100]).view(1, 1, 1, 3)
    faded = Degradation(black=25, white=85)(L, seed=0)
    assert faded.shape == L.shape and faded.flatten().tolist() == pytest.approx([25, 55, 85], abs=0.3)


def test_blur_and_grain_are_as_strong_as_they_are_named():
    """Neighbors a pixel apart at a step of height h: blurred by 2, h / (2 sqrt(2 pi)); noise is of its deviation."""
    L = torch.full((1, 1, 96, 96), 20.0)
    L[..., 48:] = 80
    slope = Degradation(blur=2)(L, seed=0).diff(dim=-1).max().item()
    assert slope == pytest.approx(60 / (2 * np.sqrt(2 * np.pi)), rel=0.05)
    flat = torch.full((1, 1, 96, 96), 50.0)
    grain = Degradation(grain=4)
    assert grain(flat, seed=1).std().item() == pytest.approx(4, rel=0.02)
    assert torch.equal(grain(flat, seed=1), grain(flat, seed=1)) and not torch.equal(grain(flat, 1), grain(flat, 2))


def test_a_degradation_is_named_by_what_is_done():
    assert str(Degradation()) == "nothing" and str(Degradation(grain=2)) == "grain 2 L"
    assert str(DEGRADATIONS["all of it"]) == "blur 1 px, L 25 to 85, grain 2 L"
