import numpy as np
import pytest
import torch
from made_photos import made_photo

from chromagan.imaging import color
from train.benchmarks.contrast import FADINGS, contrast_table, faded, measure


def images(count: int) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.array(made_photo(seed, 96, 96))).movedim(-1, 0) for seed in range(count)])


class OneColor(torch.nn.Module):
    """Paints ab according to the mean lightness that it sees."""

    def forward(self, L):
        return color.normalize_ab(torch.ones(1, 2, *L.shape[-2:]) * color.denormalize_L(L).mean() / 10)


def test_photos_left_gray_are_no_nearer_than_gray():
    found = measure(images(2), lambda L: torch.zeros(1, 2, *L.shape[-2:]))
    assert list(found) == list(FADINGS)
    for ways in found.values():
        for nearer, colorful in ways.values():
            assert nearer == pytest.approx(0, abs=1e-4) and colorful == pytest.approx(0, abs=0.01)


def test_stretched_photos_are_colored_alike_however_faded():
    found = measure(images(2), OneColor())
    plain, stretched = (np.array([ways[way] for ways in found.values()]) for way in ("as it is", "stretched"))
    assert np.ptp(plain[:, 1]) > 10 * np.ptp(stretched[3:, 1])
    faint = f"{plain[3, 0]:.1f} % | {stretched[3, 0]:.1f} % | {plain[3, 1]:.2f} | {stretched[3, 1]:.2f}"
    assert f"| faint | 35, 70 | {faint} |" in contrast_table(
        {"photos": 2, "data": "made", "checkpoint": "one color", "fadings": found}
    )


def test_what_fading_does_to_lightness():
    L = torch.tensor([0.0, 50, 100]).view(1, 1, 1, 3)
    assert faded(L, 25, 85).flatten().tolist() == pytest.approx([25, 55, 85], abs=0.3)
