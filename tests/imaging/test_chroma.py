import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chromagan.imaging import chroma


def photo(batch, height, width, low):
    """Smooth noise: L (B, 1, H, W), and ab (B, 2, *low) that partly follows it."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(batch, 3, 9, 11, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    L = 100 * (smooth[:, :1] > 0.5) * smooth[:, :1]
    ab = F.interpolate(80 * (smooth[:, 1:] - 0.5) + 0.3 * L, size=low, mode="area")
    return L, ab


@pytest.mark.parametrize("mode", chroma.MODES)
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 5000), (300, 3), (16, 16), (17, 31), (24, 40), (47, 33), (160, 241), (31, 96)]
)
def test_flat_color_stays_flat_at_any_size(mode, size):
    L = 100 * torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    ab = chroma.upsample(torch.full((2, 2, 16, 24), 12.5), L, mode=mode)
    assert ab.shape == (2, 2, *size)
    assert (ab - 12.5).abs().max() < 1e-4


def test_same_size_is_left_alone():
    L, ab = photo(1, 30, 40, (30, 40))
    for mode in chroma.MODES:
        assert torch.equal(chroma.upsample(ab, L, L, mode), ab)


def test_bilinear_is_plain_interpolation():
    ramp = torch.arange(8.0).expand(1, 2, 8, 8)
    ab = chroma.upsample(ramp, torch.zeros(1, 1, 16, 16), mode="bilinear")
    np.testing.assert_allclose(ab[0, 0, 0, 1:-1], np.arange(0.25, 7, 0.5))
    L, ab = photo(2, 61, 90, (16, 24))
    expected = F.interpolate(ab, size=(61, 90), mode="bilinear")
    torch.testing.assert_close(chroma.upsample(ab, L, mode="bilinear"), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("edge", "share"), [(60, 0.5), (62, 0.5), (66, 0.5), (64, 0.85)])  # 64 lies between two cells
@pytest.mark.parametrize("axis", [-1, -2])
def test_edge_shared_with_L_is_recovered_where_bilinear_blurs(edge, share, axis):
    side = (torch.arange(128) >= edge).float().expand(1, 1, 128, 128)
    side = side if axis == -1 else side.mT
    L, truth = 40 + 40 * side, torch.cat([60 * side - 20, 10 - 40 * side], dim=1)
    ab = F.interpolate(truth, size=(16, 16), mode="area")
    error = {mode: (chroma.upsample(ab, L, mode=mode) - truth).abs() for mode in chroma.MODES}
    assert error["edge-aware"].mean() < share * error["bilinear"].mean()
    beside = [edge - 5, edge + 4]  # 4.5 pixels, half a cell, from the edge
    assert error["edge-aware"].select(axis, beside[0]).max() < 6
    assert error["edge-aware"].select(axis, beside[1]).max() < 6


def test_texture_of_L_without_color_leaves_no_color():
    generator = torch.Generator().manual_seed(0)
    L = 100 * torch.rand(1, 1, 128, 128, generator=generator)
    ab = 5 * torch.randn(1, 2, 16, 16, generator=generator)
    difference = chroma.upsample(ab, L) - chroma.upsample(ab, torch.full_like(L, 50))
    assert difference.abs().mean() < 0.5


def test_means_over_cells_are_kept():
    ab = F.interpolate(
        30 * torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(0)), (16, 16), mode="area"
    )
    ab = F.avg_pool2d(F.pad(ab, (1, 0, 1, 0), mode="replicate"), 2, stride=1)  # neighbors alike, as in photographs
    L = torch.full((1, 1, 128, 128), 50.0)
    error = {
        mode: (F.interpolate(chroma.upsample(ab, L, mode=mode), size=(16, 16), mode="area") - ab).abs().mean()
        for mode in chroma.MODES
    }
    assert error["edge-aware"] < 0.2 * error["bilinear"]


def test_a_decoders_lattice_is_taken_out_and_not_sharpened():
    """Up and down at every pixel, along one axis or both, on an edge that stays."""
    L, edge = torch.full((1, 1, 128, 128), 50.0), 20.0 * (torch.arange(32) >= 16).expand(1, 2, 32, 32)
    sign = 1 - 2 * (torch.arange(32) % 2)
    for lattice in (8 * sign.expand(1, 2, 32, 32), 8 * sign[:, None].expand(1, 2, 32, 32), 8 * sign * sign[:, None]):
        left = {mode: chroma.upsample(edge + lattice, L, mode=mode) for mode in chroma.MODES}
        clean = chroma.upsample(edge, L, mode="bilinear")
        assert (left["edge-aware"] - clean).abs().mean() < 0.2 * (left["bilinear"] - clean).abs().mean()


def test_what_a_decoder_interpolated_stays_as_smooth_as_it_was_meant():
    L, coarse = torch.full((1, 1, 256, 256), 50.0), torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    ab = F.interpolate(20 * coarse, size=(64, 64), mode="bilinear")
    torch.testing.assert_close(chroma.upsample(ab, L), chroma.upsample(ab, L, mode="bilinear"), atol=0.5, rtol=0)


@pytest.mark.parametrize("mode", chroma.MODES)
@pytest.mark.parametrize("size", [(100, 150), (131, 97), (24, 300), (300, 20), (40, 45)])
def test_bands_equal_the_whole(mode, size):
    L, ab = photo(1, *size, (16, 24))
    whole = chroma.upsample(ab, L, mode=mode)
    upsampler = chroma.ChromaUpsampler(ab, L, mode=mode)
    for rows in (1, 2, 7, 64):
        starts = range(0, size[0], rows)
        bands = torch.cat([upsampler.rows(y, min(y + rows, size[0])) for y in starts], dim=-2)
        torch.testing.assert_close(bands, whole, atol=1e-4, rtol=0)


TURNS = {"mirrored": lambda x: x.flip(-1), "upside down": lambda x: x.flip(-2), "transposed": lambda x: x.mT}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("size", [(100, 150), (40, 46), (22, 30), (20, 300), (12, 36)])
def test_a_turned_photo_has_its_colors_turned(turn, size):
    """No border and no axis is treated unlike the others, sharpening included. Sides are even: of an odd one, the last
    pixel alone has no partner."""
    turn, (L, _) = TURNS[turn], photo(1, *size, (16, 24))
    noise = 30 * torch.randn(1, 2, 17, 25, generator=torch.Generator().manual_seed(0))
    ab = F.avg_pool2d(noise, 2, stride=1)  # neighbors alike, as in photographs
    turned = chroma.upsample(turn(ab).contiguous(), turn(L).contiguous())
    torch.testing.assert_close(turned, turn(chroma.upsample(ab, L)), atol=1e-3, rtol=0)


def test_batch_equals_single():
    L, ab = photo(3, 70, 80, (16, 16))
    together = chroma.upsample(ab, L)
    for i in range(3):
        torch.testing.assert_close(chroma.upsample(ab[i : i + 1], L[i : i + 1]), together[i : i + 1], atol=1e-4, rtol=0)


def test_what_does_not_fit_is_refused():
    L, ab = torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 8, 8)
    with pytest.raises(ValueError, match="edge-aware, bilinear"):
        chroma.upsample(ab, L, mode="nearest")
    with pytest.raises(ValueError, match="L_low must be of shape"):
        chroma.upsample(ab, L, L)
    with pytest.raises(ValueError, match="ab must be of shape"):
        chroma.upsample(ab[:, :1], L)
    with pytest.raises(ValueError, match="rows"):
        chroma.ChromaUpsampler(ab, L).rows(20, 40)


@pytest.mark.parametrize("mode", chroma.MODES)
@pytest.mark.parametrize("long", [500, 1000])
def test_a_photo_one_pixel_wide_has_the_colors_of_its_rows(mode, long):
    """torch's antialiased interpolation repeats the first row if the result is one pixel wide."""
    generator = torch.Generator().manual_seed(1)
    ab = 30 * F.interpolate(torch.randn(1, 2, 14, 2, generator=generator), size=(896, 32), mode="bilinear")
    L = 100 * torch.rand(1, 1, long, 1, generator=generator)
    tall, wide = chroma.upsample(ab, L, mode=mode), chroma.upsample(ab.mT.contiguous(), L.mT.contiguous(), mode=mode)
    assert (tall - wide.mT).abs().max() < 1e-3
    assert tall.std(dim=2).min() > 5
