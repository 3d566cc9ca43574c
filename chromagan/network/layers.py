"""Layers shared by the networks, and the format of the features between the fusion and every decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURE_CHANNELS = 128  # from the fusion to every decoder
FEATURE_STRIDE = 8  # pixels of the image per cell of the features

# Keras, used by the reference, keeps 0.99 of the running average and divides by sqrt(var + 1e-3);
# PyTorch's momentum is the weight of the new value.
BN_MOMENTUM = 0.01
BN_EPS = 1e-3


def conv3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def upsample2(mode: str) -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode=mode)


class Merge(nn.Module):
    """The first convolution of the mid-level branch: maps of several strides -> one map of `stride`, 8 by default.

    A single map of that stride goes through a 3x3 convolution, as in the paper. Several maps are resampled to it, finer
    ones by space-to-depth, coarser ones bilinearly, concatenated, and go through a 1x1 convolution. The convolution
    commutes with bilinear interpolation, so each map is convolved at its own size and the results are added: the same
    function, with a sixteenth of the work at stride 32.
    """

    def __init__(self, strides: list[int], channels: list[int], out_channels: int, stride: int = FEATURE_STRIDE):
        """strides, channels: of the maps, in the order in which `forward` takes them. The first map determines the size
        of the result: ValueError if its stride is more than `stride`."""
        super().__init__()
        if strides[0] > stride:
            raise ValueError(f"the first map's stride must be at most {stride}, got {strides[0]}")
        self.strides, self.stride = strides, stride
        if strides == [stride]:
            self.convs = nn.ModuleList([conv3(channels[0], out_channels)])
            return
        deep = [count * max(stride // own, 1) ** 2 for own, count in zip(strides, channels, strict=True)]
        whole = nn.Conv2d(sum(deep), out_channels, kernel_size=1)  # initial weights of one convolution, split
        self.convs = nn.ModuleList()
        for index, weight in enumerate(whole.weight.detach().split(deep, dim=1)):
            conv = nn.Conv2d(weight.shape[1], out_channels, kernel_size=1, bias=index == 0)
            conv.weight = nn.Parameter(weight.clone())
            self.convs.append(conv)

    def forward(self, maps: list[Tensor], rows: Tensor | None = None, columns: Tensor | None = None) -> Tensor:
        """maps (B, C, H / own stride, W / own stride) -> (B, out_channels, H / stride, W / stride); rows, columns: see
        Generator.fuse."""
        merged = None
        for stride, conv, x in zip(self.strides, self.convs, maps, strict=True):
            if stride <= self.stride:
                x = conv(F.pixel_unshuffle(x, self.stride // stride))
            elif rows is None:
                x = F.interpolate(conv(x), size=merged.shape[-2:], mode="bilinear")
            else:
                x = F.interpolate(conv(x), scale_factor=stride // self.stride, mode="bilinear")
                x = cut(x.movedim(1, -1), torch.arange(len(x), device=x.device), rows, columns)
            merged = x if merged is None else merged + x
        return merged


def cut(images: Tensor, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Windows (B, C, h, w), channels last in memory, of images (N, H, W, C): image `index` (B,) at rows (B, h), columns
    (B, w). Only the windows are read."""
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


class ConvReluNorm(nn.Sequential):
    """conv3, relu, then batch norm: the reference's order."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(conv3(in_channels, out_channels, stride), nn.ReLU(), batch_norm(out_channels))
