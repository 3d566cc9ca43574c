"""The frozen trunk of a study: one file for all of its checkpoints, identified by the digest of its content.

A source keeps <trunk>.safetensors next to its decoders' folders, a Hub repository next to its weights. A checkpoint
whose config.json has a `trunk_digest` holds only what was trained, and needs the trunk with exactly that digest.
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

LEVELS = 4  # folders in which a trunk is searched: the checkpoint's, its decoder's, the source's and its parent


class TrunkError(ChromaGANError, ValueError):
    """A trunk that is missing, damaged, or not the one that the checkpoint was trained with."""


class DamagedTrunkError(TrunkError):
    """A trunk's file that is damaged or holds another trunk: another copy of it may be intact."""


def trunk_file_name(timm_name: str) -> str:
    """The name of the file that holds the trunk `timm_name`."""
    return f"{timm_name}.safetensors"


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are stored: kernels and matrices in float16; vectors (biases, norms and their running
    statistics, whose range exceeds float16) in float32; numbers that are not floating-point as they are."""
    matrices = {name for name, t in tensors.items() if t.ndim > 1 and t.is_floating_point()}
    return {name: (t.half() if name in matrices else t).contiguous().cpu() for name, t in tensors.items()}


def digest_of(tensors: dict[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of the names, types, shapes and bytes of stored tensors: of a file's content rather than
    the file, whose layout may differ between releases of safetensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def freeze(trunk: Trunk) -> str:
    """Round the weights of `trunk` to their stored precision, so that a run trains on the same features that users get,
    freeze them, and return their digest."""
    stored = half(trunk.net.state_dict())
    trunk.net.load_state_dict(stored)
    trunk.requires_grad_(False).eval()
    return digest_of(stored)


def save_trunk(trunk: Trunk, path: Path) -> None:
    """Write `trunk` to `path` as half-precision safetensors, unless an intact file with the same content exists."""
    stored = half(trunk.net.state_dict())
    try:
        if path.exists() and digest_of(load_file(path)) == digest_of(stored):
            return
    except (SafetensorError, OSError):
        pass  # damaged: overwritten
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(stored, path)


def write_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Write `tensors` to `path` as safetensors, atomically; OSError if there is no room for them.

    A tensor that a network has under several names is written under each, since safetensors refuses shared memory.
    """
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    with replacing(path) as part:
        part.touch()
        usual = part.stat().st_mode
        try:
            save_file(apart, part, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written (is the disk full?): {error}") from error
        part.chmod(usual)  # of a new file here, by the umask: safetensors makes a private one in its place


def find_trunk(folder: Path, timm_name: str) -> Path:
    """The trunk's file for the checkpoint in `folder`: in that folder or the nearest parent that has it. If the folder
    is a link, the trunk beside the link comes before the one beside what it points to.

    Raises TrunkError if none of the LEVELS folders has one.
    """
    name = trunk_file_name(timm_name)
    for place in (folder.absolute(), folder.resolve()):
        for above in [place, *place.parents][:LEVELS]:
            if (above / name).is_file():
                return above / name
    raise TrunkError(f"its trunk {name} is missing: it belongs in the source's folder, next to the decoders' folders")


def read_trunk(path: Path, digest: str) -> dict[str, Tensor]:
    """The tensors of a trunk's file, float32; DamagedTrunkError if it is damaged or its digest is not `digest`."""
    try:
        facts = path.stat()
        tensors, found = _read(path, facts.st_mtime_ns, facts.st_size)
    except (SafetensorError, OSError) as error:
        reason = str(error).replace(str(path), path.name)
        raise DamagedTrunkError(
            f"its trunk {path.name} is damaged or truncated ({reason}): download it again"
        ) from error
    if found != digest:
        raise DamagedTrunkError(
            f"{path.name} is not the trunk that it was trained with: sha256 {found[:12]}…, expected {digest[:12]}…"
        )
    return tensors


@functools.lru_cache(maxsize=2)  # the checkpoints of a source share one
def _read(path: Path, modified: int, size: int) -> tuple[dict[str, Tensor], str]:
    stored = load_file(path)
    return {name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor for name, tensor in
            stored.items()}, digest_of(stored)  # fmt: skip
