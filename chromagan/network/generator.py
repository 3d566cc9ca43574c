"""ChromaGAN's generator: trunk, mid-level and global branches, fusion, decoder.

Vitoria, Raad and Ballester, "ChromaGAN: Adversarial Picture Colorization with Semantic Class
Distribution", WACV 2020, section 3. One class serves both presets; ModelConfig holds every difference.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from chromagan.imaging import color
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import FEATURE_CHANNELS, batch_norm, build_decoder, conv3
from chromagan.network.trunk import STRIDE, Trunk

WEAK = 18  # a chroma, in Lab units; `vivid` holds back the colors below


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

        mid = [self.trunk.channels, *config.mid_channels]
        self.mid = nn.Sequential(*(ConvReluNorm(*pair) for pair in pairwise(mid)))

        wide = [self.trunk.channels, *config.global_channels]
        self.global_map = nn.Sequential(
            *(ConvReluNorm(*pair, stride) for pair, stride in zip(pairwise(wide), config.global_strides, strict=True))
        )
        if config.global_pooled:
            self.flatten = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            flat = wide[-1]
        else:
            self.flatten = nn.Flatten()
            side = config.image_size // STRIDE
            for stride in config.global_strides:
                side = -(-side // stride)
            flat = wide[-1] * side**2
        dense = [flat, *config.global_dense]
        self.global_dense = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(dense)))

        self.fusion = nn.Sequential(
            nn.Conv2d(mid[-1] + dense[-1], config.fusion_channels, kernel_size=1),
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
        return self.color(*self.features(L))

    def features(self, L: Tensor) -> tuple[Tensor, Tensor]:
        """The merged trunk map (B, C, H/8, W/8) and the flattened global map (B, F) of L (B, 1, H, W)."""
        self._check_size(L)
        merged = self.trunk(L).to(self.global_dense[0].weight.dtype)  # which may be bfloat16: see Colorizer
        return merged, self.flatten(self.global_map(merged))

    def color(self, merged: Tensor, flat: Tensor) -> Tensor:
        """Merged trunk map (B, C, h, w), or a window of it, and the flattened global map -> (B, 2, 8h, 8w)."""
        ab = self.decoder(self.fuse(merged, flat))
        return vivid(ab, self.config.chroma_gain) if self.config.chroma_gain else ab

    def fuse(self, merged: Tensor, flat: Tensor) -> Tensor:
        """The same -> (B, 128, h, w), what every decoder reads."""
        mid = self.mid(merged)  # (B, M, h, w)
        context = self.global_dense(flat)  # (B, G)
        context = context[:, :, None, None].expand(-1, -1, *mid.shape[-2:])
        return self.fusion(torch.cat([mid, context], dim=1))

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


def vivid(ab: Tensor, gain: float) -> Tensor:
    """ab (B, 2, H, W) in [-1, 1] of the same hue, its chroma multiplied by `gain` where it is WEAK Lab units or more,
    below by less, chroma c by

        gain ((c + 2) / (WEAK + 2))^(1/4)

    and never beyond AB_RANGE. A network answers weakly where it is not sure: strength is cheaper where it is. At one
    colorfulness CIEDE2000 is lower than with the same gain for all (checkpoints/README.md).
    train/training/vividness.py finds the gain.
    """
    ab = ab.contiguous()  # two channels, last in memory, would take three times as long
    a, b = ab.split(1, dim=1)
    norm = (a * a + b * b + 1e-12).sqrt()
    scale = gain * (((color.AB_RANGE * norm).clamp(max=WEAK) + 2) / (WEAK + 2)).sqrt().sqrt()
    return ab * scale.minimum(1 / norm)


class ConvReluNorm(nn.Sequential):
    """conv3, relu, then batch norm: the reference's order."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(conv3(in_channels, out_channels, stride), nn.ReLU(), batch_norm(out_channels))
