"""Degraded photos are soft and grainy as told, and keep their colors."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from made_photos import made_photo
from test_options import config

from chromagan.imaging import color
from train.training import degradation
from train.training.degradation import BLUR, GRAIN, degrade, grainy, soft


def flat(lab=(60.0, 12.0, -18.0), count=1, side=64):
    """Photos of one color, uint8 (count, 3, side, side)."""
    pixels = torch.tensor(lab)[None, :, None, None].expand(count, 3, side, side)
    return color.to_uint8(color.lab_to_srgb(pixels.contiguous()))


def lab(images):
    return color.srgb_to_lab(images.float() / 255)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_is_drawn_is_degraded_and_the_rest_stays(share):
    images = flat(count=300, side=16)
    before = images.clone()
    result = degrade(images, share, seed=3)
    changed = (result != images).flatten(1).any(dim=1).float().mean().item()
    # 0.02: the weakest grain changes no 8-bit value of a flat photo.
    assert changed == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 300) + 0.02 * share)
    assert torch.equal(images, before) and result.dtype == torch.uint8


def test_what_is_drawn_depends_on_the_seed_alone():
    images = flat(count=4)
    torch.manual_seed(1)
    first = degrade(images, 1.0, seed=0)
    torch.manual_seed(2)
    assert torch.equal(degrade(images, 1.0, seed=0), first)
    assert not torch.equal(degrade(images, 1.0, seed=1), first)


def test_grain_is_of_every_strength_up_to_the_most_and_leaves_colors_alone():
    result = lab(degrade(flat(count=200), 1.0, seed=0))
    strength = result[:, 0].flatten(1).std(dim=1)
    assert strength.max() < GRAIN + 0.1 and strength.min() < 0.2  # 8 bits: +- 0.1
    assert strength.mean().item() == pytest.approx(GRAIN / 2, abs=4 * GRAIN / math.sqrt(12 * 200))
    assert (result[:, 1:].mean(dim=(2, 3)) - lab(flat())[0, 1:, 0, 0]).abs().max() < 0.3
    assert result[:, 1:].flatten(2).std(dim=2).max() < 1.2  # of rounding to 8 bits, and no more


def test_grain_is_clumped():
    """Neighbors of noise that a Gaussian of deviation s has blurred correlate by exp(-1 / (4 s^2))."""
    L = grainy(torch.full((1, 200, 200), 50.0), 4.0, clumps=0.9, generator=torch.Generator().manual_seed(0)) - 50
    correlation = (L[..., 1:] * L[..., :-1]).sum() / (L * L)[..., 1:].sum()
    assert correlation.item() == pytest.approx(math.exp(-1 / (4 * 0.9**2)), abs=0.03)


@pytest.mark.parametrize("deviation", [0.0, 0.6, BLUR])
def test_blur_has_the_deviation_that_is_asked_for(deviation):
    """The variance of a blurred point is that of the blur."""
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    result = soft(point, deviation)
    at = torch.arange(31) - 15.0
    assert result.sum().item() == pytest.approx(1, abs=1e-4)
    assert (result * at**2).sum().item() == pytest.approx(deviation**2, abs=0.01)
    assert (result * at[:, None] ** 2).sum().item() == pytest.approx(deviation**2, abs=0.01)


def test_photos_become_soft(monkeypatch):
    """In lightness and colors, as a print that is out of focus."""
    monkeypatch.setattr(degradation, "GRAIN", 0.0)
    photo = torch.from_numpy(np.array(made_photo(5, 64, 64))).movedim(-1, 0)
    result = degrade(photo.expand(30, -1, -1, -1), 1.0, seed=0)
    before, after = (lab(images).diff(dim=-1).abs().mean(dim=(2, 3)) for images in (photo[None], result))
    assert (after < 1.02 * before).all() and (after.mean(dim=0) < 0.85 * before).all()


def test_an_older_run_was_of_photos_as_they_are():
    begun = asdict(config())
    del begun["degraded_share"]
    assert config().differs_from(begun) is None
    assert "--degraded-share is 0.5, but the run was started with 0.0" in config(degraded_share=0.5).differs_from(begun)
