"""Equivalent networks with less work: used by `Colorizer`, and optionally in training.

Every step here is exact except for floating-point rounding. What a decoder of one's own computes between layers that
stand in a row cannot be seen from outside, so its output is compared: one that would change is left as it is.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromagan.network.layers import FEATURE_CHANNELS, FEATURE_STRIDE
from chromagan.network.trunk import Trunk

SIDE = 96  # pixels of the map that a decoder is compared on
ROUNDING = 1e-3  # of its output, which lies within [-1, 1]; a wrong layer changes far more


def fold(model: nn.Module) -> nn.Module:
    """A copy of `model`, in eval mode, after every step of this module."""
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    with torch.autocast(device.type, enabled=False):  # the caller's would make the compared outputs rougher
        return _folded(model)


def _folded(model: nn.Module) -> nn.Module:
    from timm.layers import Conv2dSame

    decoder = _plain_decoder(model)
    model = fold_batch_norm(model)
    for part in model.modules():
        if isinstance(part, nn.Sequential) and _runs_in_order(part):
            _fold_upsampling(part)
        elif isinstance(part, Trunk) and any(isinstance(module, Conv2dSame) for module in part.net.modules()):
            part.net = RotatedNetwork(part.net)
    model.eval()  # with the layers that are new in it
    if decoder is not None and not _same_output(decoder, model.decoder):
        model.decoder = decoder
    return model


def _plain_decoder(model: nn.Module) -> nn.Module | None:
    """A copy of the model's decoder as it is, in eval mode; None if it has none."""
    decoder = getattr(model, "decoder", None)
    return None if decoder is None else copy.deepcopy(decoder).eval()


@torch.no_grad()
def _same_output(decoder: nn.Module, folded: nn.Module) -> bool:
    """Whether two decoders in eval mode return the same for features like those of the fusion, which are not
    negative. One that needs the layers that folding has replaced, or another size, may end with any error."""
    cells = SIDE // FEATURE_STRIDE
    shape, generator = (1, FEATURE_CHANNELS, cells, cells), torch.Generator("cpu").manual_seed(0)
    features = torch.rand(shape, generator=generator, device="cpu")
    features = features.to(next(decoder.parameters(), features))
    try:
        expected, found = decoder(features.clone()), folded(features.clone())
    except Exception:
        return False
    return expected.shape == found.shape and bool(torch.isclose(found, expected, rtol=0, atol=ROUNDING).all())


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of `model`, in eval mode, with batch norms folded into the convolutions directly before them.

    Batch norm in eval mode is a factor and an offset per channel. On a CPU it takes a third of the network's time.
    Modules whose `forward` may call their children in another order than they are registered are left unchanged.
    """
    model = copy.deepcopy(model).eval()  # the copy alone: whoever gave the model may go on training it
    for parent in filter(_runs_in_order, model.modules()):
        for (name, conv), (norm_name, norm) in _neighbors(parent):
            if _fuses(conv, norm):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d)))
                setattr(parent, norm_name, getattr(norm, "act", nn.Identity()))  # timm's norms include an activation
    return model


def _is_plain(module: nn.Module, kind: type) -> bool:
    """Whether a module is of this kind and computes what that kind does, as torch and timm have it. A subclass of
    anyone else may compute anything; parametrizations and hooks change the weights in each pass."""
    defined = type(module).__module__
    known = defined.startswith(("torch.nn.modules.", "timm.layers.", __name__))
    return isinstance(module, kind) and known and not module._forward_hooks and not module._forward_pre_hooks


def _fuses(conv: nn.Module, norm: nn.Module) -> bool:
    """Whether torch can fuse the two: a convolution and a batch norm, but none that takes the statistics of each batch
    in eval mode, too."""
    if not _is_plain(conv, nn.Conv2d | nn.ConvTranspose2d) or not _is_plain(norm, nn.BatchNorm2d):
        return False
    return norm.running_mean is not None and not (isinstance(conv, nn.ConvTranspose2d) and conv.groups > 1)


# timm modules whose classes compute in that order; trunk, teacher and the judging classifier consist of them.
IN_ORDER = ("timm.models.efficientnet", "timm.models._efficientnet_blocks")


def _runs_in_order(module: nn.Module) -> bool:
    """Whether a module registered directly after another is also computed directly after it."""
    if isinstance(module, nn.Sequential):
        return type(module).forward is nn.Sequential.forward
    return type(module).__module__ in IN_ORDER


def _neighbors(parent: nn.Module) -> Iterator[tuple[tuple[str, nn.Module], tuple[str, nn.Module]]]:
    """The (name, module) pairs that are registered directly one after the other. A module that is used twice is at
    both places; `named_children` leaves out the second, and its neighbors would seem to be each other's."""
    return pairwise(list(parent._modules.items()))


def _fold_upsampling(layers: nn.Sequential) -> None:
    """Fuse nearest-neighbor doubling and the following 3x3 convolution into a transposed convolution of stride 2."""
    for name, conv_name, conv in _doubled(layers):
        transposed = skip_init(nn.ConvTranspose2d, conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
        transposed.weight, transposed.bias = nn.Parameter(doubling_kernel(conv.weight.detach())), conv.bias
        setattr(layers, name, nn.Identity())
        setattr(layers, conv_name, transposed.requires_grad_(conv.weight.requires_grad))


class DoublingConv2d(nn.Conv2d):
    """A 3x3 convolution of a map doubled by nearest neighbors, computed without the doubled map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, 2 H, 2 W)"""
        return F.conv_transpose2d(x, doubling_kernel(self.weight), self.bias, stride=2, padding=1)


def fold_upsampling_for_training(model: nn.Module) -> None:
    """Replace every 3x3 convolution after a nearest-neighbor doubling in `model` with a DoublingConv2d, in place.

    The parameters stay the same tensors with the same names. Forward and backward take half of the time. A convolution
    that is also used elsewhere is left unchanged, and so is a decoder whose output would change.
    """
    decoder, folded = _plain_decoder(model), _plain_decoder(model)
    if decoder is not None:
        fold_upsampling_for_training(folded)
        if not _same_output(decoder, folded.eval()):  # with the layers that are new in it
            return
    places = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    for layers in model.modules():
        if isinstance(layers, nn.Sequential) and _runs_in_order(layers):
            for name, _, conv in _doubled(layers):
                if places[conv] == 1:
                    setattr(layers, name, nn.Identity())
                    conv.__class__ = DoublingConv2d


def doubling_kernel(weight: Tensor) -> Tensor:
    """The kernel (I, O, 4, 4) of the transposed convolution of stride 2 that equals the 3x3 convolution `weight`
    (O, I, 3, 3) of a doubled map: three taps see two distinct pixels, so 4 multiplications replace 9."""
    taps = weight.transpose(0, 1).flip(-1, -2)  # scattered from an input pixel, instead of gathered
    sums = F.conv2d(taps.flatten(0, 1)[:, None], taps.new_ones(1, 1, 2, 2), padding=1)
    return sums.view(*taps.shape[:2], 4, 4)


def _doubled(layers: nn.Sequential) -> Iterator[tuple[str, str, nn.Conv2d]]:
    """(name of a doubling, name and module of the convolution directly after it) for each pair that can be fused."""
    for (name, double), (conv_name, conv) in _neighbors(layers):
        doubles = type(double) is nn.Upsample and (double.mode, double.scale_factor) == ("nearest", 2)
        if not doubles or type(conv) is not nn.Conv2d or not _is_plain(conv, nn.Conv2d):
            continue
        shape = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
        # Other paddings repeat or mirror the edges of the doubled map, which is never computed.
        if shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.padding_mode == "zeros":
            yield name, conv_name, conv


class RotatedNetwork(nn.Module):
    """A network with TensorFlow's padding, run on the photo rotated by 180 degrees, with its kernels rotated, too.

    At stride 2 and even sides, TensorFlow pads one pixel more at the end than at the start. torch pads both equally, so
    timm copies every such map into a larger one. Rotated, the start has the extra pixel; torch pads the end equally,
    but no window reaches its last pixel.
    All sides at a stride of 2 must be even: those of the photo must be multiples of the deepest stride.
    """

    def __init__(self, net: nn.Module):
        """net: with square, odd kernels without dilation. It is changed in place and must not be used elsewhere."""
        super().__init__()
        for parent in list(net.modules()):
            for name, conv in list(parent.named_children()):
                if isinstance(conv, nn.Conv2d):
                    setattr(parent, name, _rotated(conv))
        self.net = net

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, C, H, W) -> the same features as the original `net`."""
        return [stage.flip(-1, -2) for stage in self.net(image.flip(-1, -2))]


def _rotated(conv: nn.Conv2d) -> nn.Conv2d:
    padding = [side // 2 for side in conv.kernel_size]
    rotated = skip_init(
        nn.Conv2d, conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, padding, groups=conv.groups
    )
    rotated.weight, rotated.bias = nn.Parameter(conv.weight.detach().flip(-1, -2)), conv.bias
    return rotated.requires_grad_(conv.weight.requires_grad)
