"""What sRGB can show of a color: chroma is given up, as little as needed, not lightness or hue."""

import numpy as np
import pytest
import torch

from chromagan.imaging import color, gamut


def lab_image(seed, spread):
    generator = torch.Generator().manual_seed(seed)
    L = 100 * torch.rand(1, 1, 40, 50, generator=generator)
    return torch.cat([L, spread * torch.randn(1, 2, 40, 50, generator=generator)], dim=1)


def test_colors_well_inside_the_gamut_are_left_alone():
    lab = color.srgb_to_lab(torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0)))
    outward = torch.cat([lab[:, :1], lab[:, 1:] / gamut.KNEE], dim=1)
    linear = color.lab_to_linear(outward)
    inside = ((linear >= 0) & (linear <= 1)).all(dim=1)
    assert 0.3 < inside.float().mean() < 1
    change = (gamut.fit_gamut(lab) - color.lab_to_srgb(lab)).abs().amax(dim=1)
    assert change[inside].max() < 1e-4
    # At the very surface the compression takes (1 - KNEE) / e of the gamut.
    fitted = color.srgb_to_lab(gamut.fit_gamut(lab))
    assert (fitted[:, 1:].norm(dim=1) > (1 - 0.04) * lab[:, 1:].norm(dim=1) - 0.3).all()


@pytest.mark.parametrize("spread", [20, 80])
def test_lightness_and_hue_are_kept_outside_the_gamut(spread):
    lab = lab_image(0, spread)
    srgb = gamut.fit_gamut(lab)
    assert srgb.min() >= 0 and srgb.max() <= 1
    fitted = color.srgb_to_lab(srgb)
    assert (fitted[:, 0] - lab[:, 0]).abs().max() < 0.02
    chroma_left = fitted[:, 1:].norm(dim=1)
    cosine = (fitted[:, 1:] * lab[:, 1:]).sum(dim=1) / (chroma_left * lab[:, 1:].norm(dim=1))
    assert cosine[chroma_left > 2].min() > 0.9999
    assert (chroma_left <= lab[:, 1:].norm(dim=1) + 0.02).all()


def test_as_little_chroma_as_needed_is_given_up():
    lab = lab_image(1, 80)
    outside = ((color.lab_to_srgb(lab) < 0) | (color.lab_to_srgb(lab) > 1)).any(dim=1)
    assert outside.float().mean() > 0.3
    fitted = color.srgb_to_lab(gamut.fit_gamut(lab))
    # What was outside ends between KNEE + (1 - KNEE) (1 - 1/e) = 0.963 of the way to the surface and the surface.
    further = fitted[:, 1:] / 0.955 + lab[:, 1:] / 2**gamut.BISECTIONS
    beyond = color.lab_to_linear(torch.cat([lab[:, :1], further], dim=1))
    assert ((beyond < 1e-5) | (beyond > 1 - 1e-5)).any(dim=1)[outside].all()


def test_compression_is_smooth_and_keeps_order():
    for L, hue in ((53.0, 0.7), (5.0, 4.9), (95.0, 2.0)):
        reach = torch.linspace(0, 130, 1301)
        direction = torch.tensor([np.cos(hue), np.sin(hue)], dtype=torch.float32)
        lab = torch.cat([torch.full((1, 1301), L), reach * direction[:, None]])[None, :, None]
        left = color.srgb_to_lab(gamut.fit_gamut(lab))[0, 1:, 0].norm(dim=0)
        step = left.diff()  # of 0.1 going in
        assert step.max() < 0.13 and step.min() > -130 / 2**gamut.BISECTIONS
        largest = left.max()
        assert (left[reach < 0.85 * largest] - reach[reach < 0.85 * largest]).abs().max() < 0.02


@pytest.mark.parametrize("times", [10, 10_000])
def test_the_most_chroma_that_there_is_is_left_of_far_more(times):
    """In torch and compiled: neither gray, nor another lightness or hue."""
    lab = torch.cat([lab_image(3, 40)[:, :1].clamp(20, 90), lab_image(3, 40)[:, 1:]], dim=1)
    far = torch.cat([lab[:, :1], times * lab[:, 1:]], dim=1)
    compiled = np.empty((40, 50, 3), np.uint8)
    gamut.lab_to_srgb8(far[0, 0].numpy(), far[0, 1:].numpy(), compiled)
    strong = lab[:, 1:].norm(dim=1) > 134 / times
    assert strong.float().mean() > 0.9
    for srgb in (gamut.fit_gamut(far), torch.from_numpy(compiled).movedim(-1, 0)[None] / 255):
        fitted = color.srgb_to_lab(srgb)
        assert (fitted[:, 0] - lab[:, 0]).abs().max() < 0.4
        beyond = color.lab_to_linear(torch.cat([fitted[:, :1], 1.06 * fitted[:, 1:]], dim=1))
        assert ((beyond < 1e-3) | (beyond > 1 - 1e-3)).any(dim=1)[strong].float().mean() > 0.99
        cosine = torch.cosine_similarity(fitted[:, 1:], lab[:, 1:], dim=1)
        assert cosine[strong].min() > 0.998


@pytest.mark.parametrize("L", [0.0, 100.0])
@pytest.mark.parametrize("ab", [0.0, 40.0])  # without chroma, there is none to divide by
def test_black_and_white_have_no_color(L, ab):
    lab = torch.cat([torch.full((1, 1, 4, 5), L), torch.full((1, 2, 4, 5), ab)], dim=1)
    assert (gamut.fit_gamut(lab) - L / 100).abs().max() < 1e-3
    compiled = np.empty((4, 5, 3), np.uint8)
    gamut.lab_to_srgb8(lab[0, 0].numpy(), lab[0, 1:].numpy(), compiled)
    assert (compiled == 255 * L / 100).all()


def test_gamut_of_a_batch_equals_single():
    lab = torch.cat([lab_image(seed, 60) for seed in range(3)])
    together = gamut.fit_gamut(lab)
    for i in range(3):
        torch.testing.assert_close(gamut.fit_gamut(lab[i : i + 1])[0], together[i], atol=1e-6, rtol=0)


@pytest.mark.parametrize("spread", [5, 20, 80])
def test_8_bit_photo_is_the_rounded_fit(spread):
    """Compiled and in torch. Where the last bisection falls either way, they are one 256th of the chroma apart."""
    lab = lab_image(2, spread)
    pixels = np.empty((40, 50, 3), np.uint8)
    gamut.lab_to_srgb8(lab[0, 0].numpy(), lab[0, 1:].numpy(), pixels)
    difference = np.abs(pixels - 255 * gamut.fit_gamut(lab)[0].movedim(0, -1).numpy())
    assert difference.max() < 2
    assert (difference > 0.55).mean() < 0.002


def test_not_a_number_gives_a_color_and_no_crash():
    pixels = np.empty((4, 500, 3), np.uint8)
    for broken in (np.nan, np.inf, -np.inf):
        gamut.lab_to_srgb8(np.full((4, 500), 50, np.float32), np.full((2, 4, 500), broken, np.float32), pixels)
