"""The frozen trunk of a study: one file for all of its checkpoints, named by the digest of what it holds.

A source keeps <trunk>.safetensors beside its decoders' folders, a Hub repository beside its weights. A checkpoint whose
config.json has a `trunk_digest` holds only what its run trained, and is completed by that very trunk.
"""

import functools
import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from chromagan.atomic import replacing
from chromagan.errors import ChromaGANError
from chromagan.network.trunk import Trunk

LEVELS = 4  # folders in which a trunk is looked for: the checkpoint's, its decoder's, the source, the one above


class TrunkError(ChromaGANError, ValueError):
    """A trunk that is missing, damaged, or another than the checkpoint was trained with."""


def trunk_file_name(timm_name: str) -> str:
    """The name of the file that holds the trunk `timm_name`."""
    return f"{timm_name}.safetensors"


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are stored: kernels and matrices in float16; vectors (biases, norms and their running
    statistics, whose range float16 does not have) in float32."""
    return {name: (t.half() if t.ndim > 1 else t).contiguous().cpu() for name, t in tensors.items()}


def digest_of(tensors: dict[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of the names, types, shapes and bytes of stored tensors: of a file's content, not of
    the file, which another release of safetensors may lay out in another way."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def freeze(trunk: Trunk) -> str:
    """Round the weights of `trunk` to what is stored, so that a run trains on the features that its users will see,
    let none of them train, and return their digest."""
    stored = half(trunk.net.state_dict())
    trunk.net.load_state_dict(stored)
    trunk.requires_grad_(False).eval()
    return digest_of(stored)


def save_trunk(trunk: Trunk, path: Path) -> None:
    """Write `trunk` to `path` as half-precision safetensors, unless a whole file of the same content is there."""
    stored = half(trunk.net.state_dict())
    try:
        if path.exists() and digest_of(load_file(path)) == digest_of(stored):
            return
    except (SafetensorError, OSError):
        pass  # damaged: written anew
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(stored, path)


def write_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Write `tensors` to `path` as safetensors, whole or not at all."""
    with replacing(path) as part:
        save_file(tensors, part, metadata={"format": "pt"})
        part.chmod(0o644)  # safetensors' is private


def find_trunk(folder: Path, timm_name: str) -> Path:
    """The trunk's file for the checkpoint in `folder`: there, or in the nearest of the folders above that has it.

    Raises TrunkError where none of LEVELS folders has one.
    """
    name = trunk_file_name(timm_name)
    folder = folder.resolve()
    for above in [folder, *folder.parents][:LEVELS]:
        if (above / name).is_file():
            return above / name
    raise TrunkError(f"its trunk {name} is missing: it belongs into the source's folder, beside the decoders' folders")


def read_trunk(path: Path, digest: str) -> dict[str, Tensor]:
    """The tensors of a trunk's file, float32; TrunkError where it is damaged or not the one of `digest`."""
    try:
        facts = path.stat()
        tensors, found = _read(path, facts.st_mtime_ns, facts.st_size)
    except (SafetensorError, OSError) as error:
        raise TrunkError(f"its trunk {path.name} is damaged or cut short ({error}): fetch it anew") from error
    if found != digest:
        raise TrunkError(
            f"{path} is another trunk (sha256 {found[:12]}…) than the one it was trained with ({digest[:12]}…)"
        )
    return tensors


@functools.lru_cache(maxsize=2)  # the checkpoints of a source share one
def _read(path: Path, modified: int, size: int) -> tuple[dict[str, Tensor], str]:
    stored = load_file(path)
    return {name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor for name, tensor in
            stored.items()}, digest_of(stored)  # fmt: skip
