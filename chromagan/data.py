"""Photos as tensors, from the Hub, a folder of Parquet files or a folder of images, through one function.

Which photos of a folder are which split stands in `imaging.splits`.
"""

import glob
import io
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from chromagan.imaging.formats import ImageError
from chromagan.imaging.photo import open_image, srgb_image
from chromagan.imaging.splits import (
    DataError,
    Folder,
    choose_split,
    count_shards,
    image_splits,
    parquet_splits,
    require_no_pointers,
)
from chromagan.measures import metrics

HUB_DATASET = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # owner/name
IMAGENETTE = "frgfm/imagenette"
# The repository's loading script no longer runs and its converted branch may vanish: read the Parquet files
# themselves, at a pinned commit; --data frgfm/imagenette@<revision> reads another.
IMAGENETTE_REVISION = "4b23ffb92a8029db9958bdfdbd6978427d09b1a0"
IMAGENETTE_CONFIG = "320px"  # the smallest that covers 224 without enlarging


@dataclass(frozen=True)
class Photos:
    """One split, decoded.

    images: uint8 (N, 3, S, S) in sRGB. gray_dropped: how many gray ones were left out of them.
    sources: {"data": name, "photos": how many of `images` are its, "gray": how many were left out} of each data set,
    in the order in which they were named and stand in `images`. summary: a line for each data set for people to read:
    what was found in it, and what was passed over and why.
    """

    images: Tensor
    gray_dropped: int
    sources: tuple[dict, ...] = ()
    summary: str = ""

    def __len__(self) -> int:
        return len(self.images)


class PhotoSet:
    """One split of one data set or of several, decoded on demand: for work that must not hold all of it in memory.

    labels: int (N,), or None where the data have no classes, or several data sets not the same ones; class_names: their
    names, or None where there are none. sources, summary: as of `Photos`, with nothing known yet of gray ones.
    """

    def __init__(self, data: str | Sequence[str], split: str, size: int = 224, limit: int | None = None):
        """As for `load_photos`; raises DataError where there is nothing to read."""
        names = [data] if isinstance(data, str) else list(data)
        if not names:
            raise DataError("no data set is named: give a folder of images or Parquet files, or a Hub dataset id")
        self.split, self.size = split, size
        self.parts = [open_split(name, split) for name in names]
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])
        total = int(self.starts[-1])
        self.indices = np.arange(total) if limit is None else evenly(total, limit)  # in all of the data
        self.labels = self.class_names = None
        classes = [part.class_names for part in self.parts]
        same = len(classes) == 1 or (classes[0] is not None and classes.count(classes[0]) == len(classes))
        if same and all(part.labels is not None for part in self.parts):
            self.labels = np.concatenate([part.labels for part in self.parts])[self.indices]
            self.class_names = classes[0]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor:
        """Photo `index`: uint8 sRGB (3, S, S). Raises DataError, naming its file, where it cannot be read."""
        whole = int(self.indices[index])
        number = int(np.searchsorted(self.starts, whole, side="right")) - 1
        part, row = self.parts[number], whole - int(self.starts[number])
        file = None
        try:
            file = part.file(row)
            photo = srgb_image(open_image(file))
        except (DataError, ImageError, OSError, ValueError) as error:
            cause = str(error).removeprefix(f"{file}: ").removeprefix("stream: ")
            where = f"{self.split}, index {row}" + (f", {whole} of all data sets" if number else "")
            raise DataError(f"{part.name(row)} of {part.data!r} ({where}) cannot be read: {cause}") from error
        return torch.from_numpy(np.array(_square(photo, self.size))).movedim(-1, 0)

    def holds_color(self) -> bool:
        """Whether not all photos are gray (mean chroma below 2): they are read until one is not."""
        chroma = (metrics.mean_chroma(self[index][None].float() / 255) for index in range(len(self)))
        return any(each >= metrics.GRAY_CHROMA for each in chroma)

    @cached_property
    def part_of(self) -> np.ndarray:
        """Which data set each photo is of, (N,): its place in the order in which they were named."""
        return np.searchsorted(self.starts, self.indices, side="right") - 1

    @property
    def sources(self) -> tuple[dict, ...]:
        counts = np.bincount(self.part_of, minlength=len(self.parts))
        return tuple({"data": part.data, "photos": int(n)} for part, n in zip(self.parts, counts, strict=True))

    @property
    def summary(self) -> str:
        lines = [
            part.found + (f"; {source['photos']:,} of them are taken" if source["photos"] < len(part) else "")
            for part, source in zip(self.parts, self.sources, strict=True)
        ]
        return "\n".join(lines)


def evenly(total: int, count: int) -> np.ndarray:
    """Indices of at most `count` of `total` things, evenly spread over them, which may be sorted by class."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def load_photos(
    data: str | Sequence[str],
    split: str,
    size: int = 224,
    limit: int | None = None,
    keep_gray: bool = False,
    quiet: bool = False,
) -> Photos:
    """Decode `split` ("train" or "validation") of one data set, or of several in turn, to size x size images.

    data: each a Hub dataset id (owner/name, or owner/name@revision), a folder of Parquet files, or a folder of images
    with or without splits and class subfolders. Photos are taken upright and in sRGB, resized to `size` on their short
    side and cropped in the middle.
    limit: N photos spread evenly over all of the data, which may be sorted by class; counted before gray ones
    (mean chroma below 2) are dropped.
    quiet: do not write the summary of what was found, and passed over, to standard error.
    Raises DataError where there is nothing to read, or no color in one of the data sets.
    """
    photos = PhotoSet(data, split, size, limit)
    images = torch.empty(len(photos), 3, size, size, dtype=torch.uint8)

    def decode(index: int) -> None:
        images[index] = photos[index]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(decode, range(len(photos))), "decode", len(photos), unit=" images", leave=False))

    colored = torch.ones(len(images), dtype=torch.bool)
    if not keep_gray:
        chroma = torch.cat([metrics.mean_chroma(batch.float() / 255) for batch in images.split(64)])
        colored = chroma >= metrics.GRAY_CHROMA
    sources, lines = [], photos.summary.splitlines()
    for number, source in enumerate(photos.sources):
        of_this = torch.from_numpy(photos.part_of == number)
        kept, taken = int(colored[of_this].sum()), source["photos"]
        if taken and not kept:
            raise DataError(
                f"all {taken} images of {source['data']!r} ({split}) are gray: there is no color to learn from"
            )
        sources.append(source | {"photos": kept, "gray": taken - kept})
        lines[number] += f"; {taken - kept:,} gray ones left out" if taken > kept else ""
    summary = "\n".join(lines)
    if not quiet:
        tqdm.write(summary, file=sys.stderr)
    if not colored.all():
        images = images[colored]
    return Photos(images, int((~colored).sum()), tuple(sources), summary)


def count_photos(data: str | Sequence[str], split: str, limit: int | None = None) -> int:
    """How many photos `load_photos` would decode, gray ones included; DataError where there is nothing to read."""
    return len(PhotoSet(data, split, limit=limit))


def _square(photo: Image.Image, size: int) -> Image.Image:
    """Resize the short side to `size`, keep the middle."""
    if photo.size == (size, size):
        return photo
    short = min(photo.size)
    left, top = (photo.width - short) / 2, (photo.height - short) / 2
    box = (left, top, left + short, top + short)
    return photo.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


# One split of one data set. Each kind has the same attributes:
#   data, found: its name; a line for people on what it is, and what was passed over
#   labels, class_names: int (N,) and list of names, or None
#   file(index), name(index): what Pillow opens, and what people know it by


class ImageFiles:
    """Image files in folders."""

    def __init__(self, data: str, paths: list[Path], found: str, classes: list[str] | None, depth: int):
        """paths: below the folder `data`. classes: names of the folders `depth` below it; None for no classes."""
        self.data, self.paths, self.found, self.class_names = data, paths, found, classes
        self.labels = None
        if classes is not None:
            number = {name: index for index, name in enumerate(classes)}
            self.labels = np.array([number[path.parts[depth]] for path in paths], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, index: int) -> Path:
        return Path(self.data, self.paths[index])

    def name(self, index: int) -> str:
        return str(self.paths[index])


class Rows:
    """Rows of a `datasets.Dataset` with images in the column `image`, as its Image feature, bytes, or {bytes, path}."""

    def __init__(self, data: str, dataset, found: str, shards: list[tuple[str, int]] = ()):
        """shards: names of the files that the rows are from, in order, and how many are from each, where known.

        Raises DataError where the column does not hold images.
        """
        import datasets  # not a requirement of the demo

        self.data, self.found, self.shards = data, found, shards
        require_image_column(data, dataset.column_names)
        feature = dataset.features["image"]
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column("image", datasets.Image(decode=False))
        elif not (
            (isinstance(feature, dict) and feature.keys() & {"bytes", "path"})
            or (isinstance(feature, datasets.Value) and "binary" in feature.dtype)
        ):  # fmt: skip
            raise DataError(
                f"column 'image' of {data!r} holds no images but {feature}: bytes are expected, or bytes and path"
            )
        self.images = dataset.select_columns("image")
        self.labels, self.class_names = _labels(dataset)

    def __len__(self) -> int:
        return len(self.images)

    def _value(self, index: int) -> tuple[bytes | None, str | None]:
        """Bytes and path, or one of them."""
        value = self.images[index]["image"]
        return (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)

    def file(self, index: int) -> io.BytesIO | Path:
        content, path = self._value(index)
        if content is None and path is None:
            raise DataError("the row is empty")
        if content is not None:
            return io.BytesIO(content)
        file = Path(self.data, path)
        if not file.is_file():
            raise DataError(f"the row holds only a path, {path!r}, and there is no such file")
        return file

    def name(self, index: int) -> str:
        path = self._value(index)[1]
        row = index
        for shard, rows in self.shards:
            if row < rows:
                return f"{path} (row {row} of {shard})" if path else f"row {row} of {shard}"
            row -= rows
        return path or f"row {index}"


def _labels(dataset) -> tuple[np.ndarray | None, list[str] | None]:
    """Numbers and names of the classes of a `datasets.Dataset`, from its column `label`; None where there are none."""
    if "label" not in dataset.column_names:
        return None, None
    labels = np.asarray(dataset["label"][:])
    if labels.dtype.kind in "US":
        names, labels = np.unique(labels, return_inverse=True)
        return labels, [str(name) for name in names]
    return (labels, getattr(dataset.features["label"], "names", None)) if labels.dtype.kind in "iu" else (None, None)


def require_image_column(data: str, columns: Sequence[str]) -> None:
    if "image" not in columns:
        raise DataError(f"{data!r} has no column 'image', only {', '.join(columns)}: rename the one with the images")


def open_split(data: str, split: str) -> ImageFiles | Rows:
    """A split of a data set. One that has a single split is that split, whatever it is called."""
    repo, at_sign, revision = data.partition("@")
    if os.path.isdir(data):
        return _open_folder(data, split)
    if os.path.exists(data):
        raise DataError(f"{data!r} is a file: give a folder of images, a folder of Parquet files or a Hub dataset id")
    if at_sign and not revision:
        raise DataError(f"{data!r} names no revision after the @: give a commit, a branch or a tag, or leave the @ out")
    if repo == IMAGENETTE:
        commit = quote(revision or IMAGENETTE_REVISION, safe="")  # a branch such as refs/pr/1 has slashes
        at = f"hf://datasets/{IMAGENETTE}@{commit}/{IMAGENETTE_CONFIG}"
        files = {name: f"{at}/{name}-*.parquet" for name in ("train", "validation")}
        splits = _load(data, "parquet", data_files=files)
    elif HUB_DATASET.fullmatch(repo):
        splits = _load(data, repo, revision=revision or None)
    else:
        raise DataError(f"no folder {data!r}: give a folder of images, a folder of Parquet files or a Hub dataset id")
    dataset, which = choose_split(data, split, splits)
    return Rows(data, dataset, f"{data!r} ({which}): {len(dataset):,} photos")


def _load(data: str, builder: str, **source):
    """What `datasets.load_dataset` gives; DataError with the first line of what is wrong."""
    import datasets

    try:
        return datasets.load_dataset(builder, **source)
    except Exception as error:  # a long list: connection, missing repository, damaged Parquet, ...
        cause = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise DataError(
            f"cannot load {data!r}: check --data and the connection ({type(error).__name__}: {cause})"
        ) from error


def _open_folder(data: str, split: str) -> ImageFiles | Rows:
    folder = Folder.read(data)
    if folder.parquet and folder.images:
        places = {path.parts[:-1] for path in folder.parquet}
        only = places.pop() if len(places) == 1 else ()
        apart = only and not any(path.parts[: len(only)] == only for path in folder.images)
        hint = f", such as {str(Path(data, *only))!r}" if apart else ""
        raise DataError(
            f"{data!r} holds both Parquet files ({folder.parquet[0]}, ...) and images ({folder.images[0]}, ...): "
            f"give a folder with one kind{hint}"
        )
    if folder.parquet:
        return _open_parquet(data, split, folder)
    if folder.images:
        return _open_images(data, split, folder)
    nothing = f"no Parquet files and no images in folder {data!r}"
    raise DataError(folder.tell(data, split, nothing) if folder.passed_over else nothing)


def _open_images(data: str, split: str, folder: Folder) -> ImageFiles:
    splits = image_splits(data, folder)
    depth = 0 if "" in splits else 1
    photos, which = choose_split(data, split, splits)
    if not photos:
        raise DataError(f"no images in {data!r} ({which}): {folder.tell(data, split, '0 photos')}")
    require_no_pointers(data, split, photos)
    classes = None
    everything = [path.parts[depth:] for paths in splits.values() for path in paths]
    if all(len(parts) > 1 for parts in everything):
        names = sorted({parts[0] for parts in everything})
        classes = names if len(names) > 1 else None
    folders = len({path.parent for path in photos})
    what = f"{len(photos):,} photos in {folders:,} folder{'s' * (folders > 1)}"
    return ImageFiles(data, photos, folder.tell(data, which, what), classes, depth)


def _open_parquet(data: str, split: str, folder: Folder) -> Rows:
    from pyarrow import ArrowException, parquet

    files, which = choose_split(data, split, parquet_splits(data, folder))
    require_no_pointers(data, split, files)
    shards, first = [], None
    for path in files:
        try:
            with parquet.ParquetFile(Path(data, path)) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (ArrowException, OSError) as error:
            size = Path(data, path).stat().st_size
            cause = "it is empty" if size == 0 else f"it is damaged, or no Parquet file ({str(error).splitlines()[0]})"
            raise DataError(f"{path} of {data!r} cannot be read: {cause}") from error
        if "image" not in schema.names:
            require_image_column(data if len(files) == 1 else str(Path(data, path)), schema.names)
        first = first or (path, schema)
        for column in ("image", "label"):
            types = [str(each.field(column).type) if column in each.names else "missing" for each in (first[1], schema)]
            if types[0] != types[1]:
                raise DataError(
                    f"the Parquet files of {data!r} differ: column {column!r} is {types[0]} in {first[0]} "
                    f"and {types[1]} in {path}"
                )
        if rows:  # `datasets` fails at a file without
            shards.append((str(path), rows))
    if not shards:
        raise DataError(f"no rows in {data!r} ({which})")
    columns = [name for name in ("image", "label") if name in first[1].names]
    # Escaped: a name with [ ] * ? would be taken for a pattern.
    escaped = [glob.escape(str(Path(data, path).absolute())) for path, _ in shards]
    dataset = _load(data, "parquet", data_files={"photos": escaped}, columns=columns)["photos"]
    what = f"{len(dataset):,} photos in {len(files):,} Parquet file{'s' * (len(files) > 1)}"
    if missing := count_shards(files) - len(files):
        what += f", {missing:,} more that their names tell of are not there"
    return Rows(data, dataset, folder.tell(data, which, what), shards)
