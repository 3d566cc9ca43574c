import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chromagan.imaging import chroma, color
from chromagan.imaging.compiled import BAND_PIXELS, each_band


def lab_image(seed, spread):
    generator = torch.Generator().manual_seed(seed)
    L = 100 * torch.rand(1, 1, 40, 50, generator=generator)
    return torch.cat([L, spread * torch.randn(1, 2, 40, 50, generator=generator)], dim=1)


def photo(batch, height, width, low):
    """Smooth noise: L (B, 1, H, W), and ab (B, 2, *low) that partly follows it."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(batch, 3, 9, 11, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    L = 100 * (smooth[:, :1] > 0.5) * smooth[:, :1]
    ab = F.interpolate(80 * (smooth[:, 1:] - 0.5) + 0.3 * L, size=low, mode="area")
    return L, ab


# Bringing ab up to the photo.


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


# Into the gamut.


def test_colors_well_inside_the_gamut_are_left_alone():
    lab = color.srgb_to_lab(torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0)))
    outward = torch.cat([lab[:, :1], lab[:, 1:] / chroma.KNEE], dim=1)
    linear = color.lab_to_linear(outward)
    inside = ((linear >= 0) & (linear <= 1)).all(dim=1)
    assert 0.3 < inside.float().mean() < 1
    change = (chroma.fit_gamut(lab) - color.lab_to_srgb(lab)).abs().amax(dim=1)
    assert change[inside].max() < 1e-4
    # At the very surface the compression takes (1 - KNEE) / e of the chroma.
    fitted = color.srgb_to_lab(chroma.fit_gamut(lab))
    assert (fitted[:, 1:].norm(dim=1) > (1 - 0.04) * lab[:, 1:].norm(dim=1) - 0.3).all()


@pytest.mark.parametrize("spread", [20, 80])
def test_lightness_and_hue_are_kept_outside_the_gamut(spread):
    lab = lab_image(0, spread)
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
    outside = ((color.lab_to_srgb(lab) < 0) | (color.lab_to_srgb(lab) > 1)).any(dim=1)
    assert outside.float().mean() > 0.3
    fitted = color.srgb_to_lab(chroma.fit_gamut(lab))
    # What was outside ends between KNEE + (1 - KNEE) (1 - 1/e) = 0.963 of the way to the surface and the surface.
    further = fitted[:, 1:] / 0.955 + lab[:, 1:] / 2**chroma.BISECTIONS
    beyond = color.lab_to_linear(torch.cat([lab[:, :1], further], dim=1))
    assert ((beyond < 1e-5) | (beyond > 1 - 1e-5)).any(dim=1)[outside].all()


def test_compression_is_smooth_and_keeps_order():
    for L, hue in ((53.0, 0.7), (5.0, 4.9), (95.0, 2.0)):
        reach = torch.linspace(0, 130, 1301)
        direction = torch.tensor([np.cos(hue), np.sin(hue)], dtype=torch.float32)
        lab = torch.cat([torch.full((1, 1301), L), reach * direction[:, None]])[None, :, None]
        left = color.srgb_to_lab(chroma.fit_gamut(lab))[0, 1:, 0].norm(dim=0)
        step = left.diff()  # of 0.1 going in
        assert step.max() < 0.13 and step.min() > -130 / 2**chroma.BISECTIONS
        largest = left.max()
        assert (left[reach < 0.85 * largest] - reach[reach < 0.85 * largest]).abs().max() < 0.02


@pytest.mark.parametrize("L", [0.0, 100.0])
def test_black_and_white_have_no_color(L):
    lab = torch.cat([torch.full((1, 1, 4, 5), L), torch.full((1, 2, 4, 5), 40.0)], dim=1)
    assert (chroma.fit_gamut(lab) - L / 100).abs().max() < 1e-3


def test_gamut_of_a_batch_equals_single():
    lab = torch.cat([lab_image(seed, 60) for seed in range(3)])
    together = chroma.fit_gamut(lab)
    for i in range(3):
        torch.testing.assert_close(chroma.fit_gamut(lab[i : i + 1])[0], together[i], atol=1e-6, rtol=0)


@pytest.mark.parametrize("spread", [5, 20, 80])
def test_8_bit_photo_is_the_rounded_fit(spread):
    """Compiled and in torch. Where the last bisection falls either way, they are one 256th of the chroma apart."""
    lab = lab_image(2, spread)
    pixels = np.empty((40, 50, 3), np.uint8)
    chroma.lab_to_srgb8(lab[0, 0].numpy(), lab[0, 1:].numpy(), pixels)
    difference = np.abs(pixels - 255 * chroma.fit_gamut(lab)[0].movedim(0, -1).numpy())
    assert difference.max() < 2
    assert (difference > 0.55).mean() < 0.002


def test_not_a_number_gives_a_color_and_no_crash():
    pixels = np.empty((4, 500, 3), np.uint8)
    for broken in (np.nan, np.inf, -np.inf):
        chroma.lab_to_srgb8(np.full((4, 500), 50, np.float32), np.full((2, 4, 500), broken, np.float32), pixels)


# Bands on all cores.


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1000, 700), (3, 3 * BAND_PIXELS)])
def test_bands_cover_every_row_once(threads, height, width):
    before, done = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        each_band(height, width, lambda top, bottom: done.append(range(top, bottom)))
    finally:
        torch.set_num_threads(before)
    assert sorted(row for rows in done for row in rows) == list(range(height))
    assert all(len(rows) == 1 or len(rows) * width <= BAND_PIXELS for rows in done)


def test_what_fails_in_a_band_is_raised():
    def fail(top, bottom):
        raise MemoryError

    with pytest.raises(MemoryError):
        each_band(1000, 1000, fail)


def test_compiles_where_nothing_can_be_written(tmp_path):
    """Neither beside the source nor in the user's cache: as in a read-only container."""
    source = tmp_path / "twice.py"
    source.write_text("from chromagan.imaging.compiled import compiled\n\n@compiled\ndef twice(x):\n    return 2 * x\n")
    code = "import numba.core.caching as c; c.CacheImpl._locator_classes = []; import twice; print(twice.twice(21))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(chroma.__file__).parents[2])])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr
