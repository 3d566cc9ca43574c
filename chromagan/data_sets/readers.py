"""Opens one split of one data set: the locations of its photos, their classes, and a line on what was found.

`splits` determines which files of a folder belong to which split.
"""

import glob
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import numpy as np

from chromagan.data_sets.splits import (
    DataError,
    Folder,
    choose_split,
    count_shards,
    image_splits,
    parquet_splits,
    require_no_pointers,
)
from chromagan.hub.repositories import REPO_ID

if TYPE_CHECKING:
    import datasets

IMAGENETTE = "frgfm/imagenette"
# The repository's loading script no longer runs and its converted branch may vanish: read the Parquet files
# themselves, at a pinned commit; --data frgfm/imagenette@<revision> reads another.
IMAGENETTE_REVISION = "4b23ffb92a8029db9958bdfdbd6978427d09b1a0"
IMAGENETTE_CONFIG = "320px"  # the smallest that covers 224 without enlarging


class Split(Protocol):
    """One split of one data set, not yet decoded."""

    data: str  # its name, as it was given
    found: str  # a readable line: what it holds, and what was skipped
    split: str | None  # which it is: test may serve as validation; None where the only one serves as every split
    labels: np.ndarray | None  # int64 (N,)
    class_names: list[str] | None

    def __len__(self) -> int: ...

    def file(self, index: int) -> io.BytesIO | Path:
        """The file for Pillow to open. Raises DataError if there is none."""

    def name(self, index: int) -> str:
        """A readable name of the photo."""


class ImageFiles:
    """Image files in folders."""

    def __init__(
        self, data: str, paths: list[Path], found: str, split: str | None, classes: list[str] | None, depth: int
    ):  # fmt: skip
        """paths: below the folder `data`. classes: names of the folders `depth` below it; None for no classes."""
        self.data, self.paths, self.found, self.split, self.class_names = data, paths, found, split, classes
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

    def __init__(
        self, data: str, dataset: "datasets.Dataset", found: str, split: str | None,
        shards: Sequence[tuple[str, int]] = (),
    ):  # fmt: skip
        """shards: the files that the rows come from, in order, with the number of rows of each, if known.

        Raises DataError if the column does not hold images.
        """
        import datasets  # not a requirement of the demo

        self.data, self.found, self.split, self.shards = data, found, split, shards
        require_image_column(data, dataset.column_names)
        feature = dataset.features["image"]
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column("image", datasets.Image(decode=False))
        elif not (
            (isinstance(feature, dict) and feature.keys() & {"bytes", "path"})
            or (isinstance(feature, datasets.Value) and "binary" in feature.dtype)
        ):  # fmt: skip
            raise DataError(f"column 'image' of {data!r} must hold bytes, or bytes and path, got {feature}")
        self.images = dataset.select_columns("image")
        self.labels, self.class_names = _labels(dataset)

    def __len__(self) -> int:
        return len(self.images)

    def _value(self, index: int) -> tuple[bytes | None, str | None]:
        """Bytes and path, either of which may be None."""
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
            raise DataError(f"the row holds only a path, {path!r}, and that file does not exist")
        return file

    def name(self, index: int) -> str:
        path = self._value(index)[1]
        row = index
        for shard, rows in self.shards:
            if row < rows:
                return f"{path} (row {row} of {shard})" if path else f"row {row} of {shard}"
            row -= rows
        return path or f"row {index}"


def _labels(dataset: "datasets.Dataset") -> tuple[np.ndarray | None, list[str] | None]:
    """Numbers and names of the classes of a `datasets.Dataset`, from its column `label`; None if there are none.

    A photo without a class, null in the column, has the number -1, as `datasets` has it elsewhere.
    """
    if "label" not in dataset.column_names:
        return None, None
    labels = dataset["label"][:]
    if any(isinstance(each, list | tuple | dict) for each in labels):  # a photo of several classes, or of none of ours
        return None, None
    known, names = np.array([each is not None for each in labels]), getattr(dataset.features["label"], "names", None)
    found = np.asarray([each for each in labels if each is not None])
    if found.dtype.kind in "US":
        names, found = np.unique(found, return_inverse=True)
        names = [str(name) for name in names]
    if not len(found) or found.dtype.kind != "i":
        return None, None
    numbers = np.full(len(known), -1)
    numbers[known] = found
    return numbers, names


def require_image_column(data: str, columns: Sequence[str]) -> None:
    if "image" not in columns:
        raise DataError(f"{data!r} has no column 'image', only {', '.join(columns)}: rename the one with the images")


def open_split(data: str, split: str) -> Split:
    """`split` of a data set, or its only split, whatever it is called. Raises DataError."""
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
    elif REPO_ID.fullmatch(repo):
        splits = _load(data, repo, revision=revision or None)
    else:
        raise DataError(f"no folder {data!r}: give a folder of images, a folder of Parquet files or a Hub dataset id")
    dataset, which, own = choose_split(data, split, splits)
    return Rows(data, dataset, f"{data!r} ({which}): {len(dataset):,} photos", own)


def _load(data: str, builder: str, **source) -> "datasets.DatasetDict":
    """The result of `datasets.load_dataset`; DataError with the first line of its error."""
    import datasets

    try:
        return datasets.load_dataset(builder, **source)
    except Exception as error:  # a long list: connection, missing repository, damaged Parquet, ...
        cause = (str(error).strip().splitlines() or ["no reason given"])[0]
        if "Config name is missing" in cause:
            raise DataError(
                f"{data!r} has several configurations: download the files of one of them, and give their folder"
            ) from error
        raise DataError(
            f"cannot load {data!r}: check --data and the connection ({type(error).__name__}: {cause})"
        ) from error


def _open_folder(data: str, split: str) -> Split:
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
    raise DataError(folder.tell(data, split, nothing) if folder.skipped else nothing)


def _open_images(data: str, split: str, folder: Folder) -> ImageFiles:
    splits = image_splits(data, folder)
    depth = 0 if "" in splits else 1
    photos, which, own = choose_split(data, split, splits)
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
    return ImageFiles(data, photos, folder.tell(data, which, what), own, classes, depth)


def _open_parquet(data: str, split: str, folder: Folder) -> Rows:
    files, which, own = choose_split(data, split, parquet_splits(data, folder))
    require_no_pointers(data, split, files)
    shards, columns = _check_parquet(data, files)
    if not shards:
        raise DataError(f"no rows in {data!r} ({which})")
    # Escaped, since a name with [ ] * ? would be treated as a pattern.
    escaped = [glob.escape(str(Path(data, path).absolute())) for path, _ in shards]
    # `datasets` knows a local file again by its path and date of modification, which copying programs keep. The date of
    # its last change they cannot keep.
    states = [Path(data, path).stat() for path, _ in shards]
    versions = repr([(state.st_size, state.st_ctime_ns) for state in states])
    name = hashlib.blake2b(versions.encode(), digest_size=10).hexdigest()
    dataset = _load(data, "parquet", name=name, data_files={"photos": escaped}, columns=columns)["photos"]
    what = f"{len(dataset):,} photos in {len(files):,} Parquet file{'s' * (len(files) > 1)}"
    if missing := count_shards(files) - len(files):
        what += f", {missing:,} more named by their shard numbers are missing"
    return Rows(data, dataset, folder.tell(data, which, what), own, shards)


def _check_parquet(data: str, files: list[Path]) -> tuple[list[tuple[str, int]], list[str]]:
    """The files that have rows, with their number (`datasets` fails on a file without rows), and the available columns.

    Raises DataError, naming the file, if one cannot be read, has a column twice, or its columns differ from those of
    the first.
    """
    from pyarrow import ArrowException, parquet

    shards, first = [], None
    for path in files:
        try:
            with parquet.ParquetFile(Path(data, path)) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (ArrowException, OSError) as error:
            size = Path(data, path).stat().st_size
            details = str(error).splitlines()[0]
            cause = "it is empty" if size == 0 else f"it is damaged, or not a Parquet file ({details})"
            raise DataError(f"{path} of {data!r} cannot be read: {cause}") from error
        if "image" not in schema.names:
            require_image_column(data if len(files) == 1 else str(Path(data, path)), schema.names)
        first = first or (path, schema)
        for column in ("image", "label"):
            if (count := schema.names.count(column)) > 1:
                raise DataError(f"{path} of {data!r} has {count} columns {column!r}: rename or remove all but one")
            types = [str(each.field(column).type) if column in each.names else "missing" for each in (first[1], schema)]
            if types[0] != types[1]:
                raise DataError(
                    f"the Parquet files of {data!r} differ: column {column!r} is {types[0]} in {first[0]} "
                    f"and {types[1]} in {path}"
                )
        if rows:
            shards.append((str(path), rows))
    return shards, [name for name in ("image", "label") if name in first[1].names]
