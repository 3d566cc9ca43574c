import numpy as np
import pytest
import torch
from skimage import color as reference

from chromagan.imaging import color


def image(*pixels):
    return torch.tensor(pixels, dtype=torch.float64).T[:, :, None]  # (3, n, 1)


def test_a_tensor_of_8_bit_pixels():
    pixels = np.full((2, 3, 3), (255, 0, 51), np.uint8)
    pixels[1, 2] = 0, 102, 255
    found = color.to_tensor(pixels)
    assert found.shape == (1, 3, 2, 3) and found.dtype == torch.float32
    assert torch.equal(found[0, :, 0, 0], torch.tensor([1, 0, 0.2]))
    assert torch.equal(found[0, :, 1, 2], torch.tensor([0, 0.4, 1]))


@pytest.mark.parametrize(
    "srgb, lab",
    [  # published values for D65 (e.g. Lindbloom), to their two digits
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_published_values(srgb, lab):
    assert torch.allclose(color.srgb_to_lab(image(srgb)), image(lab), atol=0.02)


def test_equals_scikit_image_over_the_whole_cube():
    axis = np.linspace(0, 1, 33)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 1, 3)
    for dtype, tolerance in ((torch.float64, 1e-3), (torch.float32, 1e-3)):
        ours = color.srgb_to_lab(torch.tensor(cube, dtype=dtype).movedim(-1, 0))
        assert np.abs(ours.movedim(0, -1).numpy() - reference.rgb2lab(cube)).max() < tolerance
        back = color.lab_to_srgb(ours).movedim(0, -1).numpy()
        assert np.abs(back - cube).max() < 1e-4


def test_every_8_bit_color_survives_the_round_trip():
    steps = torch.arange(256, dtype=torch.float32)
    for blue in range(0, 256, 5):  # 51 slices of 65,536 colors
        red, green = torch.meshgrid(steps, steps, indexing="ij")
        eight_bit = torch.stack([red, green, torch.full_like(red, blue)])
        back = color.lab_to_srgb(color.srgb_to_lab(eight_bit / 255))
        assert torch.equal((255 * back).round(), eight_bit)


def test_lightness_alone_and_gray_of_it():
    srgb = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    L = color.srgb_to_lab(srgb)[:, :1]
    assert torch.allclose(color.lab_to_srgb(color.srgb_to_lab(srgb)), srgb, atol=1e-6)
    assert torch.allclose(color.srgb_to_L(srgb), L, atol=1e-9)
    gray = color.L_to_gray(L).expand(-1, 3, -1, -1)
    assert torch.allclose(color.srgb_to_L(gray), L, atol=1e-6)
    assert torch.allclose(color.gray_to_L(gray[:, :1]), L, atol=1e-6)


def test_8_bit_lightness_is_that_of_the_curve():
    """Every gray, and colors at random."""
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    pixels = np.random.default_rng(0).integers(256, size=(50, 256, 3), dtype=np.uint8)
    pixels = np.concatenate([grays, pixels])
    L = np.empty(pixels.shape[:2], np.float32)
    color.srgb8_to_L(pixels, L)
    by_curve = color.srgb_to_L(torch.from_numpy(pixels).movedim(-1, 0).double() / 255)
    assert np.abs(L - by_curve[0].numpy()).max() < 1e-4


def test_8_bit_srgb_by_table():
    def looked_up(linear):
        return color.srgb8_table()[(linear * 65535).round().long()]

    steps = torch.arange(256)
    assert torch.equal(looked_up(color.srgb_to_linear(steps / 255)), steps.byte())
    # Right on both sides of the middle of any two.
    for offset, expected in ((-0.04, steps[:-1]), (0.04, steps[1:])):
        beside = color.srgb_to_linear((steps[:-1] + 0.5 + offset) / 255)
        assert torch.equal(looked_up(beside), expected.byte())


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.0031308, 0.04045, 1.0])
def test_gradients_are_finite_at_black_and_at_the_edge_of_the_gamut(value):
    srgb = torch.full((3, 1, 1), value, requires_grad=True)
    color.srgb_to_lab(srgb).sum().backward()
    lab = color.srgb_to_lab(torch.full((3, 1, 1), value)).requires_grad_(True)
    color.lab_to_srgb(lab).sum().backward()
    assert srgb.grad.isfinite().all() and lab.grad.isfinite().all()


def test_gradients_outside_the_gamut_are_finite():
    lab = torch.tensor([[0.0, 100], [90, -120], [-128, 127]])[:, :, None].requires_grad_(True)
    color.lab_to_srgb(lab).sum().backward()
    assert lab.grad.isfinite().all()


@pytest.mark.parametrize("most", [1.0, 0.03])  # the second is below the thresholds of all curves
def test_gradients_are_right(most):
    srgb = (most * torch.rand(3, 2, 2, dtype=torch.float64)).requires_grad_(True)
    assert torch.autograd.gradcheck(color.srgb_to_lab, srgb)
    lab = color.srgb_to_lab(srgb.detach()).requires_grad_(True)
    assert torch.allclose(color.lab_to_srgb(lab), srgb, atol=1e-6)  # what has a gradient is computed in another way
    assert torch.autograd.gradcheck(color.lab_to_srgb, lab)


def test_normalized_units():
    L, ab = torch.tensor([0.0, 50, 100]), torch.tensor([-110.0, 0, 110])
    assert color.normalize_L(L).tolist() == [-1, 0, 1]
    assert color.normalize_ab(ab).tolist() == [-1, 0, 1]
    assert torch.equal(color.denormalize_L(color.normalize_L(L)), L)
    assert torch.equal(color.denormalize_ab(color.normalize_ab(ab)), ab)


def test_wrong_shapes_and_types_are_named():
    with pytest.raises(ValueError, match=r"sRGB must be .* \(1, 4, 4\)"):
        color.srgb_to_lab(torch.rand(1, 4, 4))
    with pytest.raises(ValueError, match=r"Lab must be .* \(2, 4, 4\)"):
        color.lab_to_srgb(torch.rand(2, 4, 4))
    with pytest.raises(ValueError, match="uint8"):
        color.srgb_to_lab(torch.zeros(3, 4, 4, dtype=torch.uint8))
