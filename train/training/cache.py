"""A disk cache of tensors that are computed once from all images of a data set."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor


def cached(folder: Path, name: str, images: Tensor, maker: str, make: Callable[[Tensor], dict[str, Tensor]]):
    """The tensors `make(images)`, computed once and read from `folder` afterwards.

    The file's name contains a hash of every byte of `images` and of `maker`, which identifies what computed the
    tensors, so that other data or another network never reads the wrong file. The file is written atomically. If
    several processes ask for the same tensors, one computes them and the others wait: results that differ in the last
    bit would make their runs differ.
    """
    digest = hashlib.blake2b(images.contiguous().numpy(), digest_size=12, key=maker.encode()[:64])
    digest.update(repr((maker, tuple(images.shape))).encode())
    path = Path(folder, f"{name}-{digest.hexdigest()}.safetensors")
    try:
        if folder.parts[:1] == ("~",):  # the default of a user who has none: it would be made where the run starts
            raise FileNotFoundError(errno.ENOENT, "this user has no home folder")
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock")).acquire()
    except OSError as error:
        reason = f"--cache-dir {folder} cannot be used: {error.strerror}"
        raise OSError(f"{reason}: give a folder that can be written to") from error
    with lock:
        try:
            return load_file(path)
        except (FileNotFoundError, SafetensorError):  # not computed yet, or truncated by a crash
            tensors = make(images)
        part = path.with_suffix(".part")  # a fixed name, so that gigabytes left by a killed run are overwritten
        try:
            save_file(tensors, part)
            os.replace(part, path)
        except (SafetensorError, OSError) as error:
            part.unlink(missing_ok=True)
            raise OSError(f"{path} cannot be written (is the disk full?): {error}") from error
    return tensors
