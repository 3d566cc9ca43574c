"""ChromaGAN's generator: trunk, mid-level and global branches, fusion, decoder.

Vitoria, Raad and Ballester, "ChromaGAN: Adversarial Picture Colorization with Semantic Class
Distribution", WACV 2020, section 3. One class serves both presets; ModelConfig holds every difference.
"""

import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from chromagan import color, hub
from chromagan.config import ModelConfig
from chromagan.decoders import FEATURE_CHANNELS, batch_norm, build_decoder, conv3
from chromagan.trunk import STRIDE, Trunk

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
WEAK = 18  # a chroma, in Lab units; `vivid` holds back the colors below


class CheckpointError(RuntimeError):
    """A checkpoint that is missing or cannot be used: the message says which, why and what to do."""


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
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        revision: str | None = None,
        map_location: str | torch.device = "cpu",
        strict: bool = True,
        **download,
    ) -> "ChromaGAN":
        """The network in a folder or a Hub repository (at a tag such as "epoch-900", or main), in eval mode.

        download: force_download, token, cache_dir, local_files_only, as in huggingface_hub.
        Raises CheckpointError where it cannot be had or does not fit, ValueError for strict=False.
        """
        # Not the mixin's: that one loads with strict=False, falls back to a pickle, drops keys of the config that it
        # does not know and waits 23 seconds for a Hub that is not there. A colorizer with silently random layers, or
        # with somebody's code in it, is worse than an error.
        if not strict:
            raise ValueError("weights are only loaded strictly: every tensor there, none left over")
        name = os.fspath(pretrained_model_name_or_path)
        if os.path.isdir(name):
            return read_network(Path(name, CONFIG_FILE), Path(name, WEIGHTS_FILE), name).to(map_location)
        if not hub.is_prefix(name):
            raise CheckpointError(f"no folder {name!r}: give a folder or a Hub repository owner/name")
        try:
            files = [hub.download(name, revision or "main", file, **download) for file in (CONFIG_FILE, WEIGHTS_FILE)]
        except hub.HubError as error:
            raise CheckpointError(str(error)) from error
        return read_network(*files, f"{name} ({revision or 'main'})").to(map_location)


def vivid(ab: Tensor, gain: float) -> Tensor:
    """ab (B, 2, H, W) in [-1, 1] of the same hue, its chroma multiplied by `gain` where it is WEAK Lab units or more,
    below by less, chroma c by

        gain ((c + 2) / (WEAK + 2))^(1/4)

    and never beyond AB_RANGE. A network answers weakly where it is not sure: strength is cheaper where it is. At one
    colorfulness CIEDE2000 is lower than with the same gain for all (checkpoints/README.md). train/vividness.py finds
    the gain.
    """
    ab = ab.contiguous()  # two channels, last in memory, would take three times as long
    a, b = ab.split(1, dim=1)
    norm = (a * a + b * b + 1e-12).sqrt()
    scale = gain * (((color.AB_RANGE * norm).clamp(max=WEAK) + 2) / (WEAK + 2)).sqrt().sqrt()
    return ab * scale.minimum(1 / norm)


def read_network(config_file: Path, weights_file: Path, name: str, decoder: str | None = None) -> ChromaGAN:
    """The network of a config.json and a model.safetensors: float32, on the CPU, in eval mode, every tensor there and
    none left over. CheckpointError, one line that names it `name`, for whatever does not fit, another decoder than
    `decoder` (None: any) too."""
    try:
        values = json.loads(config_file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"{config_file} should hold a JSON object, not a {type(values).__name__}")
        config = ModelConfig.from_dict(values)
        if decoder not in (None, config.decoder):
            raise ValueError(f"{config_file} says decoder {config.decoder!r}, not {decoder!r}")
        model = ChromaGAN(config)
        model.load_state_dict(_fitting(load_file(weights_file), model), strict=True)
    except json.JSONDecodeError as error:
        reason = f"{config_file} is not JSON: {error}"
    except FileNotFoundError:
        missing = weights_file if config_file.exists() else config_file
        reason = f"{missing.name} is missing; only safetensors are read, never a pickle"
    except SafetensorError as error:
        reason = f"{weights_file.name} is damaged or cut short ({error}): fetch it anew"
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
    else:
        return model.eval()
    raise CheckpointError(f"checkpoint {name} cannot be used: {reason}")


def _fitting(tensors: dict[str, Tensor], model: ChromaGAN) -> dict[str, Tensor]:
    """The tensors, if they are those of `model` in name and shape; ValueError with the first that is not."""
    expected = model.state_dict()
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"the weights lack {len(missing)} tensors of {len(expected)}, {missing[0]} first")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise ValueError(f"the weights have {len(extra)} tensors that the config does not, {extra[0]} first")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[name].shape)} as the config has it"
            raise ValueError(f"tensor {name} has shape {shapes}")
    return tensors


class ConvReluNorm(nn.Sequential):
    """conv3, relu, then batch norm: the reference's order."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(conv3(in_channels, out_channels, stride), nn.ReLU(), batch_norm(out_channels))
