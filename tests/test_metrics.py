import math

import numpy as np
import pytest
import torch
from skimage import color as reference_color
from skimage import metrics as reference

from chromagan import color, metrics


def images(seed, count=3):
    return torch.rand(count, 3, 24, 31, generator=torch.Generator().manual_seed(seed))


def test_psnr_equals_scikit_image():
    ours = metrics.psnr(images(0), images(1))
    for value, a, b in zip(ours, images(0).numpy(), images(1).numpy(), strict=True):
        assert value.item() == pytest.approx(reference.peak_signal_noise_ratio(b, a, data_range=1), rel=1e-5)
    assert metrics.psnr(images(0), images(0)).tolist() == [math.inf] * 3


def test_ciede2000_equals_scikit_image():
    lab = [color.srgb_to_lab(images(seed).double()) for seed in (2, 3)]
    expected = [reference_color.deltaE_ciede2000(a, b, channel_axis=0) for a, b in zip(*(x.numpy() for x in lab))]
    np.testing.assert_allclose(metrics.ciede2000(*lab), expected, rtol=0, atol=1e-9)  # in float64 throughout


@pytest.mark.parametrize(
    "lab_1, lab_2, difference",
    [  # Sharma, Wu and Dalal 2005, table 1: the pairs that catch wrong hue means and wrong hue differences
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_published_pairs(lab_1, lab_2, difference):
    pair = [torch.tensor(lab, dtype=torch.float64).view(1, 3, 1, 1) for lab in (lab_1, lab_2)]
    assert metrics.ciede2000(*pair).item() == pytest.approx(difference, abs=5e-5)
    assert metrics.ciede2000(*pair[::-1]).item() == pytest.approx(difference, abs=5e-5)


def test_colorfulness_by_hand():
    """Half red, half blue: rg is 255 and 0, yb is 127.5 and -255."""
    image = torch.zeros(1, 3, 2, 2)
    image[:, 0, 0], image[:, 2, 1] = 1, 1
    deviation = math.hypot(127.5, (127.5 + 255) / 2)
    mean = math.hypot(127.5, (127.5 - 255) / 2)
    assert metrics.colorfulness(image).item() == pytest.approx(deviation + 0.3 * mean, rel=1e-6)
    assert metrics.colorfulness(torch.full((1, 3, 4, 4), 0.4)).item() == pytest.approx(0, abs=1e-4)


def test_mean_chroma_tells_gray_from_color():
    gray = torch.rand(1, 1, 8, 8).expand(-1, 3, -1, -1)
    assert metrics.mean_chroma(gray).item() < 0.1
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    assert metrics.mean_chroma(red).item() == pytest.approx(math.hypot(80.09, 67.20), abs=0.02)
