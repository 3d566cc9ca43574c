"""Decoders as a student may write them, each with something that the five do not have."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm

from chromagan.network.layers import batch_norm, conv3, upsample2


def usual(*before: nn.Module) -> nn.Sequential:
    """(B, 128, h, w) -> (B, 2, 8 h, 8 w) behind layers that lead to 8 channels."""
    return nn.Sequential(*before, upsample2("nearest"), conv3(8, 8), upsample2("bilinear"), conv3(8, 2), nn.Tanh())


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, 9 * weight / weight.std(dim=(1, 2, 3), keepdim=True), self.bias, padding=1) + 1


class OwnConvolution(nn.Sequential):
    """A convolution with its own forward in front of a batch norm."""

    def __init__(self):
        super().__init__(upsample2("nearest"), Standardized(128, 8, 3), batch_norm(8), *usual())


class LayersOfAList(nn.Module):
    """Layers that stand in a row, and are called one by one, with a sum of what lies between."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv3(128, 8), batch_norm(8), upsample2("nearest"), conv3(8, 8), batch_norm(8))
        self.head = usual()

    def forward(self, x):
        conv, norm, double, other, last = self.body
        before = conv(x)
        doubled = double(norm(before).relu())
        return self.head(last(other(doubled)) + doubled + F.interpolate(before, scale_factor=2))


class Buffers(nn.Module):
    """Tensors that are not among the weights, one that is of whole numbers, and a constructor that computes."""

    def __init__(self):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0.5, 1, 3)]
        self.scale = torch.full((1, 8, 1, 1), 0.5)
        self.register_buffer("blur", torch.full((8, 1, 3, 3), 1 / 9), persistent=False)
        self.register_buffer("table", torch.arange(3000).view(50, 60))
        self.first, self.rest = nn.Sequential(upsample2("nearest"), conv3(128, 8)), usual()

    def forward(self, x):
        x = F.conv2d(self.first(x) * self.scale, self.blur, padding=1, groups=8) * self.rates[0]
        return self.rest(x + torch.linspace(0, 1, 3000)[self.table[-1, -1]])


class Parametrized(nn.Sequential):
    """Weights that are computed in each pass, in front of batch norms."""

    def __init__(self):
        super().__init__(
            upsample2("nearest"), parametrizations.weight_norm(conv3(128, 8)), batch_norm(8),
            spectral_norm(conv3(8, 8)), batch_norm(8), *usual(),
        )  # fmt: skip


class OtherNorms(nn.Sequential):
    """A depthwise transposed convolution, and a norm that always takes the statistics of the batch."""

    def __init__(self):
        super().__init__(
            conv3(128, 8), nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8), batch_norm(8),
            conv3(8, 8), nn.BatchNorm2d(8, track_running_stats=False), nn.BatchNorm2d(8, affine=False, momentum=None),
            *usual(),
        )  # fmt: skip


class Shared(nn.Sequential):
    """One layer at three places, one rectifier for all, and two convolutions with one bias."""

    def __init__(self):
        rectifier, again, other = nn.ReLU(), conv3(8, 8), conv3(8, 8)
        other.bias = again.bias
        super().__init__(
            upsample2("nearest"), conv3(128, 8), rectifier, again, rectifier, batch_norm(8), again, rectifier, again,
            other, *usual(),
        )  # fmt: skip


class Lazy(nn.Module):
    """Layers that learn how many channels come in from the first pass, one of them dense."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(upsample2("nearest"), nn.LazyConv2d(8, 3, padding=1), nn.LazyBatchNorm2d())
        self.dense, self.rest = nn.LazyLinear(8), usual()

    def forward(self, x):
        return self.rest(self.dense(self.first(x).movedim(1, -1)).movedim(-1, 1))


MADE = (OwnConvolution, LayersOfAList, Buffers, Parametrized, OtherNorms, Shared, Lazy)
