"""How vivid colors are: what the gain does to a color, and that it hits the colorfulness it was looked for."""

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb

from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.measures import metrics
from chromagan.network.config import ModelConfig
from chromagan.network.generator import WEAK, vivid
from train.training.vividness import GAINS, SPARSE, calibrate


def network(decoder="compact", **changes):
    torch.manual_seed(1)
    return ChromaGAN(ModelConfig(decoder=decoder, **changes)).eval()


@pytest.fixture(scope="module")
def photos():
    """Smooth color over smooth light, uint8."""
    torch.manual_seed(2)
    small = torch.rand(3, 3, 5, 5) * 0.5 + 0.25
    return (255 * torch.nn.functional.interpolate(small, 64, mode="bicubic").clamp(0, 1)).round().to(torch.uint8)


def colorfulness(model, photos):
    """Of the network's colors, by way of scikit-image, as a share of the truth's."""
    srgb = photos / 255
    L = color.srgb_to_L(srgb)
    with torch.no_grad():
        ab = color.denormalize_ab(model(color.normalize_L(L)))
    lab = torch.cat([L, ab], dim=1)[..., SPARSE, SPARSE]
    painted = torch.from_numpy(lab2rgb(lab.double().numpy(), channel_axis=1))
    return (metrics.colorfulness(painted).mean() / metrics.colorfulness(srgb[..., SPARSE, SPARSE]).mean()).item()


def test_known_colors():
    """Chroma 0, 8 (half of 18 + 2 is left), 18, 40, and one that would leave the range."""
    ab = torch.tensor([[0, 0], [0, 8], [-10.8, 14.4], [40, 0], [0, -90]]).T[None, :, None] / 110
    out = 110 * vivid(ab, 1.5)[0, :, 0].T
    expected = [[0, 0], [0, 8 * 1.5 * 0.5**0.25], [-16.2, 21.6], [60, 0], [0, -110]]
    assert WEAK == 18 and np.allclose(out, expected, atol=1e-4)


def test_hue_order_and_range_are_kept():
    ab = torch.rand(2, 2, 40, 40) * 2 - 1
    out = vivid(ab, 3.0)
    hue, chroma = (lambda x: torch.atan2(x[:, 1], x[:, 0])), (lambda x: x.square().sum(dim=1).sqrt())
    assert torch.allclose(hue(out), hue(ab), atol=1e-5)
    assert chroma(out).max() <= 1 + 1e-6
    order = chroma(ab).flatten().argsort()
    assert chroma(out).flatten()[order].diff().min() > -1e-6
    assert not vivid(torch.zeros(1, 2, 3, 3), 3.0).any()


def test_it_is_part_of_the_network_and_of_its_file(tmp_path):
    plain, strong, L = network(), network(chroma_gain=2.0), torch.rand(1, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(strong(L), vivid(plain(L), 2.0)) and not torch.equal(strong(L), plain(L))
    save_checkpoint(strong, tmp_path / "compact" / "epoch-1")
    (checkpoint,) = list_checkpoints(tmp_path)
    assert load_checkpoint(checkpoint).config.chroma_gain == 2.0
    with pytest.raises(ValueError, match="chroma_gain must be 0 or more, got -1"):
        ModelConfig(chroma_gain=-1)


@pytest.mark.parametrize("decoder", ["transposed", "original"])
def test_colors_become_as_vivid_as_asked(decoder, photos):
    model = network(decoder)
    share = 1.3 * colorfulness(model, photos)
    gain = calibrate(model, photos, share)
    assert GAINS[0] < gain < GAINS[1] and model.config.chroma_gain == gain
    assert colorfulness(model, photos) == pytest.approx(share, rel=2e-3)
    assert calibrate(model, photos, share) == gain  # whatever gain it had


def test_the_gain_has_bounds(photos):
    model = network()
    assert calibrate(model, photos, 1000.0) == pytest.approx(GAINS[1], rel=1e-3)
    assert calibrate(model, photos, 1e-6) == pytest.approx(GAINS[0], rel=1e-3)
    torch.nn.init.zeros_(model.decoder[-2].weight)
    torch.nn.init.zeros_(model.decoder[-2].bias)
    assert calibrate(model, photos, 0.9) == pytest.approx(GAINS[1], rel=1e-3)  # gray, and not a number nowhere
    assert colorfulness(model, photos) == pytest.approx(0, abs=1e-3)
