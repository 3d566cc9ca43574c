"""ChromaGAN's generator: trunk, mid-level and global branches, fusion, decoder.

Vitoria, Raad and Ballester, "ChromaGAN: Adversarial Picture Colorization with Semantic Class
Distribution", WACV 2020, section 3. One class serves both presets; ModelConfig holds every difference.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from chromagan.errors import ChromaGANError
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import build_decoder
from chromagan.network.layers import FEATURE_CHANNELS, ConvReluNorm, Merge, batch_norm, conv3
from chromagan.network.trunk import Trunk


def check_finite(ab: Tensor, name: str) -> None:
    """Raise ChromaGANError if the output of the network `name` holds NaN or infinity: every color would be black."""
    if not ab.isfinite().all():
        raise ChromaGANError(f"{name} returns NaN or infinity, so this network cannot color")


class Generator(nn.Module):
    """Lightness in, chrominance out.

    `Generator(config)` has random weights; `load_imagenet` fills the trunk. The class head exists if
    `config.num_classes` is not 0; it is needed in training only. `chromagan.hub.model.ChromaGAN` is the same network
    with saving, loading and publishing.
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

        # Last, so that with one seed the five networks differ only in the decoder.
        self.decoder = build_decoder(config.decoder)

    def forward(self, L: Tensor) -> Tensor:
        """L (B, 1, H, W) in [-1, 1] -> ab_pred (B, 2, H, W) in [-1, 1].

        H and W are multiples of config.size_multiple, and config.image_size where config.any_size is
        False; ValueError for any other.
        """
        return self.color(self.stages(L), L)

    def stages(self, L: Tensor) -> list[Tensor]:
        """The trunk's stages of L (B, 1, H, W), finest first; ValueError for a size that `forward` does not accept."""
        self._check_size(L)
        return self.trunk(L)

    def color(self, stages: list[Tensor], L: Tensor) -> Tensor:
        """The trunk's stages and L (B, 1, H, W) -> ab_pred (B, 2, H, W)."""
        return self.decoder(self.fuse(stages, L)[0])

    def fuse(
        self, stages: list[Tensor], L: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The decoders' input, (B, 128, h, w), and the class head's, the flattened global map (B, F).

        stages, L: of whole images. Or, in training, of one window of each image, cells `rows` (B, h) and `columns`
        (B, w) of stride 8: then L and the stages up to that stride are the window's, and the coarser stages are the
        whole image's, so that its class informs the window.
        """
        dtype = self.fusion[0].weight.dtype  # may be bfloat16, see Colorizer
        stages = [stage.to(dtype) for stage in stages]
        flat = self.flatten(self.global_map(stages[-1]))
        maps = [L.to(dtype), *stages] if self.config.lightness else stages
        mid = self.mid(self.merge(maps, rows, columns))  # (B, M, h, w)
        context = self.global_dense(flat)  # (B, G)
        context = context[:, :, None, None].expand(-1, -1, *mid.shape[-2:])
        return self.fusion(torch.cat([mid, context], dim=1)), flat

    def load_imagenet(self) -> None:
        """Load ImageNet weights into the trunk; PretrainedWeightsError if they are unavailable."""
        self.trunk.load_imagenet(self.config.trunk)

    def without_class_head(self) -> Self:
        """A copy for use rather than training: no class head, eval mode, float32 on the CPU."""
        bare = type(self)(replace(self.config, num_classes=0))
        kept = {k: v for k, v in self.state_dict().items() if not k.startswith("class_head.")}
        bare.load_state_dict(kept, strict=True)
        return bare.eval()

    def _check_size(self, L: Tensor) -> None:
        if L.ndim != 4 or L.shape[1] != 1:
            raise ValueError(f"L must have the shape (B, 1, H, W), got {tuple(L.shape)}")
        height, width = L.shape[-2:]
        side, multiple = self.config.image_size, self.config.size_multiple
        if not self.config.any_size and (height, width) != (side, side):
            raise ValueError(f"this model takes {side}x{side} images only, got {height}x{width}")
        if height % multiple or width % multiple:
            raise ValueError(f"image sides must be multiples of {multiple}, got {height}x{width}")
