"""`ChromaGAN`: the generator with saving, loading and publishing, through huggingface_hub's mixin."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from chromagan.errors import ChromaGANError
from chromagan.hub import repositories
from chromagan.hub.files import CONFIG_FILE, WEIGHTS_FILE, JSONError, read_json
from chromagan.hub.repositories import OWNER, HubAccess
from chromagan.hub.trunks import (
    DamagedTrunkError,
    find_trunk,
    freeze,
    read_trunk,
    save_trunk,
    trunk_file_name,
    write_weights,
)
from chromagan.network.config import ModelConfig
from chromagan.network.generator import Generator
from chromagan.network.trunk import GrayInput

TRUNK = "trunk.net."  # prefix of the names of the trunk's tensors


class CheckpointError(ChromaGANError, RuntimeError):
    """A checkpoint that is missing or cannot be used: the message says which one, why and what to do."""


class DamagedError(CheckpointError):
    """A checkpoint with a file that is damaged: another copy of it may be intact."""


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
        Raises CheckpointError if it is unavailable or does not fit, ValueError for strict=False.
        """
        # Overrides the mixin's version, which loads with strict=False, falls back to a pickle, drops unknown keys of
        # the config and waits 23 seconds for an unreachable Hub. A colorizer with silently random layers, or running
        # untrusted code, is worse than an error.
        if not strict:
            raise ValueError("weights are only loaded strictly: no missing and no extra tensors")
        name = os.fspath(pretrained_model_name_or_path)
        if os.path.isdir(name):
            return read_network(Path(name), name).to(map_location)
        if not repositories.is_prefix(name):
            raise CheckpointError(f"no folder {name!r}: give a folder or a Hub repository owner/name")
        revision = revision or "main"
        try:
            model = read_fetched(
                functools.partial(fetch, name, revision, **download),
                lambda folder: read_network(folder, f"{name} ({revision})"),
            )
        except repositories.HubError as error:
            raise CheckpointError(str(error)) from error
        return model.to(map_location)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Called by the mixin's save_pretrained and push_to_hub, which add the config: writes the weights, and the
        trunk's file if it is separate. In the weights' own precision, unlike `save_checkpoint`."""
        weights = {name: tensor.contiguous() for name, tensor in self.trained_state().items()}
        write_weights(weights, save_directory / WEIGHTS_FILE)
        if self.config.trunk_digest:
            save_trunk(self.trunk, save_directory / trunk_file_name(self.config.trunk))

    def freeze_trunk(self) -> None:
        """Freeze the trunk, rounded to the precision in which it is stored, and record its digest in the config: the
        network is then saved without it."""
        self.config = replace(self.config, trunk_digest=freeze(self.trunk))

    def trained_state(self) -> dict[str, Tensor]:
        """The state that a checkpoint holds: everything but a frozen trunk, which its source stores once."""
        state = self.state_dict()
        return {k: v for k, v in state.items() if not (self.config.trunk_digest and k.startswith(TRUNK))}


def fetch(repo: str, revision: str, access: HubAccess = OWNER, *, trunk: bool = True, **download) -> Path:
    """Download the files of a network in the Hub repository `repo` and return their folder; HubError if that fails.

    trunk: download its frozen trunk, too, if it has one. download: options of the client.
    """
    for _ in range(2):  # a branch may move while its files are downloaded: then all of them are the new commit's
        config_file = repositories.download(repo, revision, CONFIG_FILE, access, **download)
        names = [WEIGHTS_FILE]
        try:
            config = ModelConfig.from_dict(read_json(config_file)) if trunk else None
            if config and config.trunk_digest:
                names.append(trunk_file_name(config.trunk))
        except ValueError:
            pass  # a damaged config: read_network reports it
        folder = config_file.parent
        if all(repositories.download(repo, revision, name, access, **download) == folder / name for name in names):
            return folder
    raise repositories.HubError(f"{repo} ({revision}) changed while it was downloaded: try again")


Network = TypeVar("Network")
_renewed: set[Path] = set()  # folders of the cache whose files this process has downloaded anew


def read_fetched(get: Callable[..., Path], read: Callable[[Path], Network]) -> Network:
    """What `read` makes of the folder that `get` returns, which downloads into the Hub's cache.

    If a file there is damaged, the cache would return it forever: then all are downloaded anew. Once for each folder,
    since they may be damaged on the Hub, too, and visitors of the demo may ask for them again and again.
    """
    folder = get()
    try:
        return read(folder)
    except DamagedError as damaged:
        if folder in _renewed or not repositories.reachable():
            raise
        try:
            folder = get(force_download=True)
        except ChromaGANError:
            raise damaged from None
        _renewed.add(folder)
    return read(folder)


def read_network(folder: Path, name: str, decoder: str | None = None) -> ChromaGAN:
    """The network of the config.json and the model.safetensors in `folder`: float32, on the CPU, in eval mode, loaded
    strictly. CheckpointError, one line that calls it `name`, for whatever does not fit, including another decoder than
    `decoder` (None: any) and another trunk."""
    with reading(f"checkpoint {name}", folder):
        config = ModelConfig.from_dict(read_json(folder / CONFIG_FILE))
        if decoder not in (None, config.decoder):
            raise ValueError(f"{CONFIG_FILE} says decoder {config.decoder!r}, not {decoder!r}")
        # No memory yet: a config of some bytes can describe a network of any size. And no random numbers of the caller.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = ChromaGAN(config)
        tensors = fitting(load_file(folder / WEIGHTS_FILE), model.trained_state())
        if config.trunk_digest:
            trunk = fitting(
                read_trunk(find_trunk(folder, config.trunk), config.trunk_digest), model.trunk.net.state_dict()
            )
            tensors |= {f"{TRUNK}{key}": tensor for key, tensor in trunk.items()}
        load_copies(model, tensors)
        with torch.device("cpu"):
            model.trunk.gray = GrayInput(config.trunk)  # its values are not among the weights
    return model.eval()


@contextlib.contextmanager
def reading(name: str, folder: Path) -> Iterator[None]:
    """A context for reading the network in `folder`: whatever does not fit becomes a CheckpointError, a DamagedError if
    a file is damaged. It is one line that calls the network `name` and its files by their names: a folder of the Hub's
    cache is nothing for visitors."""
    config_file, weights_file = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    kind = CheckpointError
    try:
        yield
        return
    except FileNotFoundError:
        missing = weights_file if config_file.exists() else config_file
        reason = f"{missing.name} is missing; only safetensors are read, never a pickle"
    except SafetensorError as error:
        kind, reason = DamagedError, f"{weights_file.name} is damaged or truncated ({error}): download it again"
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        kind = DamagedError if isinstance(error, JSONError | DamagedTrunkError) else kind
        reason = " ".join(str(error).replace(f"{folder}{os.sep}", "").split())[:300]
    except (AssertionError, LookupError, ArithmeticError) as error:  # what they say means nothing to users
        reason = f"its {CONFIG_FILE} describes no network that can be built ({type(error).__name__})"
    raise kind(f"{name} cannot be used: {reason}")


def load_copies(module: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a module that was built on the device "meta", without memory, its tensors, in float32. They are copied: they
    may still be a file, and those of a trunk serve several networks."""
    own = module.state_dict()
    # Not in the module's own type, which is what the program that imports this has made torch's default.
    kinds = {name: torch.float32 if own[name].is_floating_point() else own[name].dtype for name in tensors}
    copies = {name: tensor.to(kinds[name], copy=True) for name, tensor in tensors.items()}
    module.load_state_dict(copies, strict=True, assign=True)


def fitting(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, if their names and shapes are those of `expected` and they are finite; else ValueError with the
    first mismatch."""
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"the weights lack {len(missing)} of {len(expected)} tensors, first {missing[0]}")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise ValueError(f"the weights have {len(extra)} tensors that the config lacks, first {extra[0]}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[name].shape)} as the config has it"
            raise ValueError(f"tensor {name} has shape {shapes}")
        if not tensor.isfinite().all():  # every color would be black
            raise ValueError(f"tensor {name} holds NaN or infinity: its training failed, or it is damaged")
    return tensors
