import pytest
import torch
from torch import nn

from chromagan.network.decoders import DECODERS, build_decoder
from chromagan.network.layers import FEATURE_CHANNELS

PAPER = dict(original=129_762, compact=92_834, transposed=208_058, depthwise=14_066, pixelshuffle=378_638)


def test_the_table_is_the_papers():
    assert {name: DECODERS[name].num_params for name in PAPER} == PAPER


@pytest.mark.parametrize("name", DECODERS)
class TestEveryDecoder:
    def test_parameter_count(self, name):
        assert sum(p.numel() for p in build_decoder(name).parameters()) == DECODERS[name].num_params

    @pytest.mark.parametrize("size", [(28, 28), (6, 10)])
    def test_shape_and_range(self, name, size):
        ab_pred = build_decoder(name)(5 * torch.randn(2, FEATURE_CHANNELS, *size))
        assert ab_pred.shape == (2, 2, 8 * size[0], 8 * size[1])
        assert ab_pred.abs().max() <= 1

    def test_a_gradient_reaches_every_parameter(self, name):
        torch.manual_seed(0)
        decoder = build_decoder(name)
        (decoder(torch.randn(2, FEATURE_CHANNELS, 8, 8)) * torch.randn(2, 2, 64, 64)).sum().backward()
        for parameter_name, parameter in decoder.named_parameters():
            assert parameter.grad.abs().sum() > 0, parameter_name

    def test_place_is_kept(self, name):
        """A change in one cell of the features changes the colors around that cell and nowhere far from it.

        Another decoder than the paper's may see farther: it changes more around that cell than elsewhere.
        """
        torch.manual_seed(0)
        decoder = build_decoder(name).eval()
        features = torch.randn(1, FEATURE_CHANNELS, 12, 12)
        changed = features.clone()
        changed[..., 2, 9] += 10
        change = (decoder(features) - decoder(changed)).abs().sum(dim=(0, 1))
        around = torch.zeros_like(change, dtype=torch.bool)
        around[: 8 * 6, 8 * 6 :] = True  # 3 cells to each side
        assert change[around].mean() > change[~around].mean()
        assert name not in PAPER or change[~around].max() == 0


def test_layers_named_by_the_paper():
    kinds = {name: [type(layer) for layer in build_decoder(name)] for name in PAPER}
    assert kinds["transposed"].count(nn.ConvTranspose2d) == 3 and kinds["transposed"].count(nn.BatchNorm2d) == 5
    assert kinds["pixelshuffle"].count(nn.PixelShuffle) == 3
    assert sum(layer.groups > 1 for layer in build_decoder("depthwise") if isinstance(layer, nn.Conv2d)) == 3
    assert [layer.mode for layer in build_decoder("original") if isinstance(layer, nn.Upsample)] == ["nearest"] * 3
    assert [layer.mode for layer in build_decoder("compact") if isinstance(layer, nn.Upsample)] == ["bilinear"] * 3
    norms = [layer for layer in build_decoder("transposed") if isinstance(layer, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.01}  # Keras's 0.99 counts the other way


def test_unknown_decoder_lists_the_known():
    with pytest.raises(ValueError, match="unknown decoder 'nearest'; choose from original, compact"):
        build_decoder("nearest")
