"""ChromaGAN's generator: trunk, mid-level and global branches, fusion, decoder.

Vitoria, Raad and Ballester, "ChromaGAN: Adversarial Picture Colorization with Semantic Class
Distribution", WACV 2020, section 3. One class serves both presets; ModelConfig holds every difference.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromagan.network.config import ModelConfig
from chromagan.network.decoders import FEATURE_CHANNELS, batch_norm, build_decoder, conv3
from chromagan.network.trunk import STRIDE, Trunk


class Generator(nn.Module):
    """Lightness in, chrominance out.

    `Generator(config)` has random weights; `load_imagenet` fills the trunk. The class head exists where
    `config.num_classes` is not 0; it is needed in training only. What can be saved, loaded and published is
    `chromagan.hub.model.ChromaGAN`, the same network.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk, config.trunk_stages)

        strides, channels = list(self.trunk.strides), list(self.trunk.channels)
        if config.lightness:
            strides, channels = [1, *strides], [1, *channels]
        first, *rest = config.mid_channels
        self.merge = Merge(strides, channels, first)
        self.mid = nn.Sequential(
            nn.ReLU(), batch_norm(first), *(ConvReluNorm(*pair) for pair in pairwise([first, *rest]))
        )

        wide = [self.trunk.channels[-1], *config.global_channels]
        self.global_map = nn.Sequential(
            *(ConvReluNorm(*pair, stride) for pair, stride in zip(pairwise(wide), config.global_strides, strict=True))
        )
        if config.global_pooled:
            self.flatten = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            flat = wide[-1]
        else:
            self.flatten = nn.Flatten()
            side = config.image_size // self.trunk.strides[-1]
            for stride in config.global_strides:
                side = -(-side // stride)
            flat = wide[-1] * side**2
        dense = [flat, *config.global_dense]
        self.global_dense = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(dense)))

        self.fusion = nn.Sequential(
            nn.Conv2d(config.mid_channels[-1] + dense[-1], config.fusion_channels, kernel_size=1),
            nn.ReLU(),
            conv3(config.fusion_channels, FEATURE_CHANNELS),
            nn.ReLU(),
        )
        self.class_head = None
        if config.num_classes:
            classes = [flat, *config.class_dense, config.num_classes]
            self.class_head = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(classes)))

        # Last, so that under one seed the five networks start alike in everything but the decoder.
        self.decoder = build_decoder(config.decoder)

    def forward(self, L: Tensor) -> Tensor:
        """L (B, 1, H, W) in [-1, 1] -> ab_pred (B, 2, H, W) in [-1, 1].

        H and W are multiples of config.size_multiple, and config.image_size where config.any_size is
        False; ValueError for any other.
        """
        return self.color(self.stages(L), L)

    def stages(self, L: Tensor) -> list[Tensor]:
        """The trunk's stages of L (B, 1, H, W), finest first; ValueError for a size that `forward` does not take."""
        self._check_size(L)
        return self.trunk(L)

    def color(self, stages: list[Tensor], L: Tensor) -> Tensor:
        """The trunk's stages and L (B, 1, H, W) -> ab_pred (B, 2, H, W)."""
        return self.decoder(self.fuse(stages, L)[0])

    def fuse(
        self, stages: list[Tensor], L: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What every decoder reads, (B, 128, h, w), and the flattened global map (B, F), which the class head reads.

        stages, L: of whole images. Or, in training, of one window of each image, cells `rows` (B, h) and `columns`
        (B, w) of stride 8: then L and the stages up to that stride are the window's, and the coarser stages whole, so
        that the class of the whole image colors its part.
        """
        dtype = self.fusion[0].weight.dtype  # which may be bfloat16: see Colorizer
        stages = [stage.to(dtype) for stage in stages]
        flat = self.flatten(self.global_map(stages[-1]))
        maps = [L.to(dtype), *stages] if self.config.lightness else stages
        mid = self.mid(self.merge(maps, rows, columns))  # (B, M, h, w)
        context = self.global_dense(flat)  # (B, G)
        context = context[:, :, None, None].expand(-1, -1, *mid.shape[-2:])
        return self.fusion(torch.cat([mid, context], dim=1)), flat

    def load_imagenet(self) -> None:
        """Give the trunk its ImageNet weights; PretrainedWeightsError if they cannot be had."""
        self.trunk.load_imagenet(self.config.trunk)

    def without_class_head(self) -> Self:
        """A copy for use rather than training: no class head, eval mode, float32 on the CPU."""
        bare = type(self)(replace(self.config, num_classes=0))
        kept = {k: v for k, v in self.state_dict().items() if not k.startswith("class_head.")}
        bare.load_state_dict(kept, strict=True)
        return bare.eval()

    def _check_size(self, L: Tensor) -> None:
        height, width = L.shape[-2:]
        side, multiple = self.config.image_size, self.config.size_multiple
        if not self.config.any_size and (height, width) != (side, side):
            raise ValueError(f"this model takes {side}x{side} images only, got {height}x{width}")
        if height % multiple or width % multiple:
            raise ValueError(f"image sides must be multiples of {multiple}, got {height}x{width}")


class Merge(nn.Module):
    """The first convolution of the mid-level branch: maps of several strides -> one map of `stride`, 8 by default.

    One map of that stride goes through a 3x3 convolution, as in the paper. Several are brought to it, finer ones by
    space-to-depth, coarser ones bilinearly, concatenated, and go through a 1x1 convolution. That one commutes with
    bilinear interpolation, so each map is convolved at its own size, and the results are added: the same function, and
    at stride 32 a sixteenth of the work.
    """

    def __init__(self, strides: list[int], channels: list[int], out_channels: int, stride: int = STRIDE):
        """strides, channels: of the maps, in the order in which `forward` takes them."""
        super().__init__()
        self.strides, self.stride = strides, stride
        if strides == [stride]:
            self.convs = nn.ModuleList([conv3(channels[0], out_channels)])
            return
        deep = [count * max(stride // own, 1) ** 2 for own, count in zip(strides, channels, strict=True)]
        whole = nn.Conv2d(sum(deep), out_channels, kernel_size=1)  # one convolution's initial weights, cut in pieces
        self.convs = nn.ModuleList()
        for index, weight in enumerate(whole.weight.detach().split(deep, dim=1)):
            conv = nn.Conv2d(weight.shape[1], out_channels, kernel_size=1, bias=index == 0)
            conv.weight = nn.Parameter(weight.clone())
            self.convs.append(conv)

    def forward(self, maps: list[Tensor], rows: Tensor | None = None, columns: Tensor | None = None) -> Tensor:
        """maps (B, C, H / their stride, W / theirs) -> (B, out_channels, H / stride, W / stride); rows, columns: see
        Generator.fuse."""
        cells = None
        merged = None
        for stride, conv, x in zip(self.strides, self.convs, maps, strict=True):
            if stride <= self.stride:
                x = conv(F.pixel_unshuffle(x, self.stride // stride))
                cells = x.shape[-2:]
            elif rows is None:
                x = F.interpolate(conv(x), size=cells, mode="bilinear")
            else:
                x = F.interpolate(conv(x), scale_factor=stride // self.stride, mode="bilinear")
                x = cut(x.movedim(1, -1), torch.arange(len(x), device=x.device), rows, columns)
            merged = x if merged is None else merged + x
        return merged


def cut(images: Tensor, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Windows (B, C, h, w), channels last in memory, of images (N, H, W, C): of `index` (B,) at rows (B, h), columns
    (B, w). Only what is inside a window is read."""
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


class ConvReluNorm(nn.Sequential):
    """conv3, relu, then batch norm: the reference's order."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(conv3(in_channels, out_channels, stride), nn.ReLU(), batch_norm(out_channels))
