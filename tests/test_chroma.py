import numpy as np
import torch

from chromagan import chroma, color


def lab_image(seed, spread):
    generator = torch.Generator().manual_seed(seed)
    L = 100 * torch.rand(1, 1, 40, 50, generator=generator)
    return torch.cat([L, spread * torch.randn(1, 2, 40, 50, generator=generator)], dim=1)


def test_colors_inside_the_gamut_are_left_alone():
    srgb = torch.rand(1, 3, 40, 50)
    assert torch.allclose(chroma.fit_gamut(color.srgb_to_lab(srgb)), srgb, atol=1e-4)


def test_lightness_and_hue_are_kept_outside_the_gamut():
    lab = lab_image(0, 80)
    srgb = chroma.fit_gamut(lab)
    assert srgb.min() >= 0 and srgb.max() <= 1
    fitted = color.srgb_to_lab(srgb)
    assert (fitted[:, 0] - lab[:, 0]).abs().max() < 0.02
    chroma_left = fitted[:, 1:].norm(dim=1)
    cosine = (fitted[:, 1:] * lab[:, 1:]).sum(dim=1) / (chroma_left * lab[:, 1:].norm(dim=1))
    assert cosine[chroma_left > 2].min() > 0.9999
    assert (chroma_left <= lab[:, 1:].norm(dim=1) + 0.02).all()


def test_as_little_chroma_as_needed_is_given_up():
    lab = lab_image(1, 80)
    srgb = chroma.fit_gamut(lab)
    outside = ((color.lab_to_srgb(lab) < 0) | (color.lab_to_srgb(lab) > 1)).any(dim=1)
    assert outside.float().mean() > 0.3
    at_edge = torch.minimum(srgb.amin(dim=1), 1 - srgb.amax(dim=1))  # a fitted color lies on the gamut's surface
    assert at_edge[outside].max() < 0.02


def test_upsampling_keeps_flat_color_and_means():
    flat = torch.full((1, 2, 7, 9), 12.5)
    assert torch.equal(chroma.upsample(flat, (71, 90)), torch.full((1, 2, 71, 90), 12.5))
    ramp = torch.arange(8.0).expand(1, 2, 8, 8)
    np.testing.assert_allclose(chroma.upsample(ramp, (16, 16))[0, 0, 0, 1:-1], np.arange(0.25, 7, 0.5))
