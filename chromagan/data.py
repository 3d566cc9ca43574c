"""Photos as tensors, from the Hub, a folder of Parquet files or a folder of images, through one function."""

import glob
import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from chromagan.imaging.formats import IMAGE_SUFFIXES
from chromagan.measures import metrics

HUB_DATASET = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # owner/name
IMAGENETTE = "frgfm/imagenette"
# The repository's loading script no longer runs and its converted branch may vanish: read the Parquet files
# themselves, at a pinned commit; --data frgfm/imagenette@<revision> reads another.
IMAGENETTE_REVISION = "4b23ffb92a8029db9958bdfdbd6978427d09b1a0"
IMAGENETTE_CONFIG = "320px"  # the smallest that covers 224 without enlarging


class DataError(ValueError):
    """Data that cannot be used: the message says what came, and what to do."""


@dataclass(frozen=True)
class Photos:
    """One split, decoded: images uint8 (N, 3, S, S) in sRGB, and how many gray ones were left out."""

    images: Tensor
    gray_dropped: int

    def __len__(self) -> int:
        return len(self.images)


class PhotoSet:
    """One split, decoded on demand: for work that must not hold all of it in memory.

    labels: int (N,) or None where the data has no classes; class_names: their names, or None where it has none.
    """

    def __init__(self, data: str, split: str, size: int = 224, limit: int | None = None):
        """As for `load_photos`; raises DataError where there is nothing to read."""
        self.data, self.split, self.size = data, split, size
        dataset = _open(data, split)
        if limit is not None:
            dataset = dataset.select(evenly(len(dataset), limit))
        self.dataset = dataset
        self.labels = self.class_names = None
        if "label" in dataset.column_names:
            self.labels = np.asarray(dataset["label"])
            self.class_names = getattr(dataset.features["label"], "names", None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        """Photo `index`: uint8 sRGB (3, S, S). Raises DataError where it cannot be read."""
        try:
            photo = self.dataset[int(index)]["image"].convert("RGB")
        except Exception as error:  # PIL and datasets raise many kinds for a damaged file
            name = self._file_name(int(index)) or f"image {index}"
            raise DataError(f"{name} of {self.data!r} ({self.split}) cannot be read: {error}") from error
        return torch.from_numpy(np.array(_square(photo, self.size))).movedim(-1, 0)

    def _file_name(self, index: int) -> str | None:
        """The file that photo `index` came from, where the data tells."""
        from datasets import Image as ImageFeature

        return self.dataset.cast_column("image", ImageFeature(decode=False))[index]["image"]["path"]


def evenly(total: int, count: int) -> np.ndarray:
    """Indices of at most `count` of `total` things, evenly spread over them, which may be sorted by class."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def load_photos(data: str, split: str, size: int = 224, limit: int | None = None, keep_gray: bool = False) -> Photos:
    """Decode `split` ("train" or "validation") of `data` to size x size images.

    data: a Hub dataset id (owner/name, or owner/name@revision), a folder of Parquet files, or a folder of images with
    or without splits and class subfolders. Photos are resized to `size` on their short side and cropped in the middle.
    limit: N photos spread evenly over the split, which may be sorted by class; counted before gray ones
    (mean chroma below 2) are dropped.
    Raises DataError where there is nothing to read or no color in it.
    """
    photos = PhotoSet(data, split, size, limit)
    images = torch.empty(len(photos), 3, size, size, dtype=torch.uint8)

    def decode(index: int) -> None:
        images[index] = photos[index]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(decode, range(len(photos))), "decode", len(photos), unit=" images", leave=False))

    if keep_gray:
        return Photos(images, gray_dropped=0)
    chroma = torch.cat([metrics.mean_chroma(batch.float() / 255) for batch in images.split(64)])
    colored = chroma >= metrics.GRAY_CHROMA
    if not colored.any():
        raise DataError(f"all {len(images)} images of {data!r} ({split}) are gray: there is no color to learn from")
    return Photos(images[colored], gray_dropped=int((~colored).sum()))


def count_photos(data: str, split: str, limit: int | None = None) -> int:
    """How many photos `load_photos` would decode, gray ones included; DataError where there is nothing to read."""
    count = len(_open(data, split))
    return count if limit is None else min(limit, count)


def kept(folder: Path, name: str, images: Tensor, maker: str, make: Callable[[Tensor], dict[str, Tensor]]):
    """The tensors `make(images)`, computed once: read from `folder` where they were kept before.

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
        beside = path.with_suffix(".part")
        try:
            save_file(tensors, beside)
            os.replace(beside, path)
        except (SafetensorError, OSError) as error:
            beside.unlink(missing_ok=True)
            raise OSError(f"{path} cannot be written (is the disk full?): {error}") from error
    return tensors


def _open(data: str, split: str):
    """The `datasets.Dataset` of a split. A data set with one split only is that split, whatever it is called."""
    import datasets  # not a requirement of the demo

    repo, at_sign, revision = data.partition("@")
    if os.path.isdir(data):
        if glob.glob(os.path.join(glob.escape(data), "*.parquet")):
            builder, source = "parquet", {"data_files": _parquet_splits(data)}
        elif any(path.suffix.lower() in IMAGE_SUFFIXES for path in Path(data).rglob("*")):
            builder, source = "imagefolder", {"data_dir": data}
        else:
            raise DataError(f"no Parquet files and no images ({', '.join(IMAGE_SUFFIXES)}) in folder {data!r}")
    elif os.path.exists(data):
        raise DataError(f"{data!r} is a file: give a folder of images, a folder of Parquet files or a Hub dataset id")
    elif at_sign and not revision:
        raise DataError(f"{data!r} names no revision after the @: give a commit, a branch or a tag, or leave the @ out")
    elif repo == IMAGENETTE:
        commit = quote(revision or IMAGENETTE_REVISION, safe="")  # a branch such as refs/pr/1 has slashes
        at = f"hf://datasets/{IMAGENETTE}@{commit}/{IMAGENETTE_CONFIG}"
        builder, source = "parquet", {"data_files": {s: f"{at}/{s}-*.parquet" for s in ("train", "validation")}}
    elif HUB_DATASET.fullmatch(repo):
        builder, source = repo, {"revision": revision or None}
    else:
        raise DataError(f"no folder {data!r}: give a folder of images, a folder of Parquet files or a Hub dataset id")

    try:
        splits = datasets.load_dataset(builder, **source)
    except Exception as error:  # a long list: connection, missing repository, damaged Parquet, ...
        raise DataError(f"cannot load {data!r} ({type(error).__name__}): check --data and the connection") from error
    if split not in splits and len(splits) > 1:
        raise DataError(f"{data!r} has no split {split!r}, only {', '.join(splits)}")
    dataset = splits[split] if split in splits else next(iter(splits.values()))
    if "image" not in dataset.column_names:
        raise DataError(f"{data!r} has no column 'image', only {', '.join(dataset.column_names)}")
    return dataset


def _parquet_splits(folder: str) -> dict[str, list[str]]:
    """Files by split: by the part of the name before the first dash, as `datasets` writes them."""
    splits: dict[str, list[str]] = {}
    for path in sorted(Path(folder).glob("*.parquet")):
        name = path.stem.split("-")[0]
        splits.setdefault({"val": "validation"}.get(name, name), []).append(str(path))
    return splits


def _square(photo: Image.Image, size: int) -> Image.Image:
    """Resize the short side to `size`, keep the middle."""
    if photo.size == (size, size):
        return photo
    short = min(photo.size)
    left, top = (photo.width - short) / 2, (photo.height - short) / 2
    box = (left, top, left + short, top + short)
    return photo.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
