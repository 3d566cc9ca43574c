import copy

import pytest
import timm
import torch
from timm.layers import Conv2dSame

from chromagan.hub.model import ChromaGAN
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from chromagan.network.folding import fold, fold_upsampling_for_training
from chromagan.network.trunk import Trunk

PAPER = ("original", "compact", "transposed", "depthwise", "pixelshuffle")
# How many transposed convolutions a decoder has when it is folded: its own, and its folded doublings.
TRANSPOSED = {"original": 2, "transposed": 3}
NOT_FOLDED = ["mid.1", "mid.2.2"]  # behind a ReLU and not a convolution


@pytest.mark.parametrize("decoder", DECODERS)
def test_nothing_changes(decoder):
    torch.manual_seed(0)
    model = ChromaGAN(ModelConfig(decoder=decoder)).requires_grad_(False).eval()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:  # as training leaves them: unlike 0 and 1
        norm.running_mean.uniform_(-0.5, 0.5), norm.running_var.uniform_(0.5, 1.5)
        norm.weight.uniform_(0.5, 1.5), norm.bias.uniform_(-0.2, 0.2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold(model)
    L = 2 * torch.rand(2, 1, 64, 96) - 1
    torch.testing.assert_close(folded(L), model(L), atol=1e-4, rtol=0)
    kinds = [type(module) for module in folded.modules()]
    left = [name for name, module in folded.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    if decoder not in PAPER:  # a norm of its own that does not follow a convolution stays, as it must
        left = [name for name in left if not name.startswith("decoder.")]
    assert len(norms) > 45 and left == NOT_FOLDED and Conv2dSame not in kinds
    assert kinds.count(torch.nn.ConvTranspose2d) == TRANSPOSED.get(decoder, 0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in folded.modules())


class Reordered(torch.nn.Module):
    """Its batch norm is registered right behind its convolution, and computed behind what stands between them."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x).relu())


class ReorderedLayers(torch.nn.Sequential):
    def forward(self, x):
        return self[1](self[0](x).relu())


@pytest.mark.parametrize(
    "block",
    [Reordered(), ReorderedLayers(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))],
    ids=lambda b: type(b).__name__,
)
def test_what_is_registered_in_a_row_and_not_computed_so_stays(block):
    norm = list(block.children())[1].requires_grad_(False)
    norm.running_mean.uniform_(-0.5, 0.5), norm.running_var.uniform_(0.5, 1.5), norm.bias.uniform_(-0.2, 0.2)
    model = torch.nn.Sequential(block, torch.nn.Conv2d(4, 4, 1), torch.nn.BatchNorm2d(4))
    folded, x = fold(model), torch.rand(2, 3, 8, 8)
    assert model.training and not folded.training
    model.eval()
    torch.testing.assert_close(folded(x), model(x))
    assert isinstance(folded[2], torch.nn.Identity)  # what stands in a row is folded as before


def test_no_batch_norm_is_left_in_the_networks_that_judge_and_teach():
    for name in ("tf_efficientnet_lite0", "tf_efficientnet_lite2"):
        model, x = timm.create_model(name).eval(), torch.rand(1, 3, 64, 64)
        folded = fold(model)
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
        with torch.inference_mode():
            torch.testing.assert_close(folded(x), model(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name, stages", [("tf_efficientnet_lite0", (2, 3, 4)), ("vgg16.tv_in1k", (3,))])
def test_features_of_a_turned_trunk_are_those_of_the_upright_one(name, stages):
    trunk = Trunk(name, stages).eval()
    L = 2 * torch.rand(2, 1, 64, 96) - 1
    with torch.inference_mode():
        for one, other in zip(trunk(L), fold(trunk)(L), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * one.abs().max().item())


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 4)])
def test_doubling_and_convolution_are_one_transposed_convolution(size):
    layers = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(3, 5, 3, padding=1)).double()
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    folded = fold(layers)
    assert [type(layer) for layer in folded] == [torch.nn.Identity, torch.nn.ConvTranspose2d]
    torch.testing.assert_close(folded(x), layers(x))


def test_doubling_and_convolution_train_as_they_do_apart():
    """The same output and the same gradients under the same names, in half of the products."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(3, 5, 3, padding=1)).double()
    folded = copy.deepcopy(layers)
    fold_upsampling_for_training(folded)
    x = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    direction = torch.rand(2, 5, 10, 8, dtype=torch.float64)
    expected, found = layers(one), folded(other)
    torch.testing.assert_close(found, expected)
    (expected * direction).sum().backward(), (found * direction).sum().backward()
    torch.testing.assert_close(other.grad, one.grad)
    assert folded.state_dict().keys() == layers.state_dict().keys()
    for ours, theirs in zip(folded.parameters(), layers.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    "layers",
    [
        (torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.Conv2d(4, 4, 3, padding=1)),
        (torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(4, 4, 3, padding=1, groups=4)),
        (torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(4, 4, 3)),
        (torch.nn.Upsample(scale_factor=3), torch.nn.Conv2d(4, 4, 3, padding=1)),
        (torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(4, 4, 3, padding=1, dilation=2)),
        (torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate")),
        (torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
    ],
)
def test_what_is_none_stays(layers):
    assert_unchanged(torch.nn.Sequential(*layers))


def test_what_another_forward_computes_stays():
    """Its rectifier stands between the doubling and the convolution, and is no layer."""

    class Rectified(torch.nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x - 0.5).relu())

    assert_unchanged(Rectified(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(4, 4, 3, padding=1)))


def test_a_decoder_that_would_return_another_size_stays():
    """Of two layers in a row it calls the second alone, which would double what it returns."""

    class Undoubled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(128, 2, 3, padding=1))

        def forward(self, x):
            return self.pair[1](x)

    model, x = torch.nn.Module(), torch.rand(1, 128, 3, 4)
    model.decoder = Undoubled()
    expected, folded = model.decoder(x), fold(model)
    fold_upsampling_for_training(model)
    for each in (folded, model):
        torch.testing.assert_close(each.decoder(x), expected)


def layers_named(order):
    """A layer for each letter; a letter that stands there twice is one layer at two places."""
    torch.manual_seed(0)
    layers = {"r": torch.nn.ReLU(), "u": torch.nn.Upsample(scale_factor=2)}
    for name in "nm":
        layers[name] = norm = torch.nn.BatchNorm2d(4)
        norm.running_mean.uniform_(-0.5, 0.5), norm.running_var.uniform_(0.5, 1.5), norm.bias.data.uniform_(-0.2, 0.2)
    for name in "co":
        layers[name] = torch.nn.Conv2d(4, 4, 3, padding=1)
    return torch.nn.Sequential(*(layers[name] for name in order)).eval()


@pytest.mark.parametrize("order", ["crnorm", "cnorm", "cncm", "ucro", "ucuc", "ucrc", "cuc", "ncu"])
def test_a_layer_that_stands_at_two_places_is_no_neighbor_of_those_of_the_other(order):
    layers, x = layers_named(order), torch.rand(2, 4, 6, 5)
    expected = layers(x)
    torch.testing.assert_close(fold(layers)(x), expected)
    fold_upsampling_for_training(layers)
    torch.testing.assert_close(layers(x), expected)


def assert_unchanged(layers):
    """Folding, and folding for training, leaves each layer, and computes the same."""
    x, kinds = torch.rand(2, 4, 6, 5), [type(layer) for layer in layers]
    expected, folded = layers(x), fold(layers)
    fold_upsampling_for_training(layers)
    for each in (folded, layers):
        assert [type(layer) for layer in each] == kinds
        torch.testing.assert_close(each(x), expected)
