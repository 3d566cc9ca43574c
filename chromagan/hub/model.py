"""The generator as it is saved, loaded and published: `ChromaGAN`, with huggingface_hub's mixin."""

import json
import os
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from chromagan.hub import repositories
from chromagan.network.config import ModelConfig
from chromagan.network.generator import Generator

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


class CheckpointError(RuntimeError):
    """A checkpoint that is missing or cannot be used: the message says which, why and what to do."""


class ChromaGAN(
    Generator,
    PyTorchModelHubMixin,
    library_name="chromagan",
    license="apache-2.0",
    pipeline_tag="image-to-image",
    tags=["colorization"],
):
    """A generator that can be loaded from a folder or from the Hugging Face Hub, and pushed there.

    `ChromaGAN(config)` has random weights; `load_imagenet` fills the trunk; `from_pretrained(folder or Hub
    repository)` fills everything, strictly, from safetensors only, and returns it in eval mode.
    """

    def __init__(self, config: ModelConfig = ModelConfig()):  # noqa: B008 (frozen; the mixin needs a default)
        super().__init__(config)

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
        if not repositories.is_prefix(name):
            raise CheckpointError(f"no folder {name!r}: give a folder or a Hub repository owner/name")
        try:
            files = [
                repositories.download(name, revision or "main", file, **download)
                for file in (CONFIG_FILE, WEIGHTS_FILE)
            ]
        except repositories.HubError as error:
            raise CheckpointError(str(error)) from error
        return read_network(*files, f"{name} ({revision or 'main'})").to(map_location)


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
