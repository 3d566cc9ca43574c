"""A disk cache of what is computed once from all images of a data set."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor


def cached(folder: Path, name: str, images: Tensor, maker: str, make: Callable[[Tensor], dict[str, Tensor]]):
    """The tensors `make(images)`, computed once: read from `folder` where they are there already.

    The file's name holds a hash of every byte of `images` and of `maker`, which names what computed them, so that
    other data or another network never meets the wrong file. Written beside and renamed. Of several processes that
    want the same, one computes it and the others wait: what differs in a last bit would be another start.
    """
    digest = hashlib.blake2b(images.contiguous().numpy(), digest_size=12, key=maker.encode()[:64])
    digest.update(repr((maker, tuple(images.shape))).encode())
    path = Path(folder, f"{name}-{digest.hexdigest()}.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        try:
            return load_file(path)
        except (FileNotFoundError, SafetensorError):  # not there yet, or torn by a crash
            tensors = make(images)
        beside = path.with_suffix(".part")  # always this one: gigabytes that a killed run left are written over
        try:
            save_file(tensors, beside)
            os.replace(beside, path)
        except (SafetensorError, OSError) as error:
            beside.unlink(missing_ok=True)
            raise OSError(f"{path} cannot be written (is the disk full?): {error}") from error
    return tensors
