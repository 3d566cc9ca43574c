"""ChromaGAN's generator: trunk, mid-level and global branches, fusion, decoder.

Vitoria, Raad and Ballester, "ChromaGAN: Adversarial Picture Colorization with Semantic Class
Distribution", WACV 2020, section 3. One class serves both presets; ModelConfig holds every difference.
"""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from safetensors.torch import load_file
from torch import Tensor, nn

from chromagan.config import ModelConfig
from chromagan.decoders import FEATURE_CHANNELS, batch_norm, build_decoder, conv3
from chromagan.trunk import STRIDE, Trunk

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


class ChromaGAN(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="chromagan",
    license="apache-2.0",
    pipeline_tag="image-to-image",
    tags=["colorization"],
):
    """Lightness in, chrominance out.

    `ChromaGAN(config)` has random weights; `load_imagenet` fills the trunk; `from_pretrained(folder or Hub
    repository)` fills everything, strictly, from safetensors only, and returns it in eval mode.
    The class head exists where `config.num_classes` is not 0; it is needed in training only.
    """

    def __init__(self, config: ModelConfig = ModelConfig()):  # noqa: B008 (frozen; the mixin needs a default)
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
        merged = self.trunk(L)
        return merged, self.flatten(self.global_map(merged))

    def color(self, merged: Tensor, flat: Tensor) -> Tensor:
        """Merged trunk map (B, C, h, w), or a window of it, and the flattened global map -> (B, 2, 8h, 8w)."""
        mid = self.mid(merged)  # (B, M, h, w)
        context = self.global_dense(flat)  # (B, G)
        context = context[:, :, None, None].expand(-1, -1, *mid.shape[-2:])
        return self.decoder(self.fusion(torch.cat([mid, context], dim=1)))

    def load_imagenet(self) -> None:
        """Give the trunk its ImageNet weights; PretrainedWeightsError if they cannot be had."""
        self.trunk.load_imagenet(self.config.trunk)

    def without_class_head(self) -> "ChromaGAN":
        """A copy for use rather than training: no class head, eval mode, float32 on the CPU."""
        bare = ChromaGAN(replace(self.config, num_classes=0))
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

    @classmethod
    def _from_pretrained(cls, *, model_id, map_location="cpu", strict=True, config=None, **download):
        # The mixin's own version loads with strict=False and falls back to a pickle; a colorizer with
        # silently random layers, or with somebody's code in it, is worse than an error.
        if not strict:
            raise ValueError("weights are only loaded strictly: every tensor there, none left over")
        if Path(model_id).is_dir():
            paths = [Path(model_id, name) for name in (CONFIG_FILE, WEIGHTS_FILE)]
        else:
            paths = [Path(hf_hub_download(model_id, name, **download)) for name in (CONFIG_FILE, WEIGHTS_FILE)]
        # Read again, because the mixin's reader drops keys that it does not know.
        model = cls(ModelConfig.from_dict(json.loads(paths[0].read_text())))
        model.load_state_dict(load_file(paths[1]), strict=True)
        return model.to(map_location).eval()


class ConvReluNorm(nn.Sequential):
    """conv3, relu, then batch norm: the reference's order."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(conv3(in_channels, out_channels, stride), nn.ReLU(), batch_norm(out_channels))
