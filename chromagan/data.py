"""Photos as tensors, from the Hub, a folder of Parquet files or a folder of images, through one function."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from chromagan.data_sets.readers import Split, open_split
from chromagan.data_sets.splits import DataError, few
from chromagan.errors import ImageError
from chromagan.imaging.photo import open_image, srgb_image
from chromagan.measures import metrics
from chromagan.programs import printable

NAMED = 20  # photos that cannot be read, in one line


@dataclass(frozen=True)
class Photos:
    """One split, decoded.

    images: uint8 (N, 3, S, S) in sRGB. gray_dropped: how many gray photos were left out.
    sources: for each data set, in the order in which they were named and appear in `images`: {"data": name, "folder":
    whether it is a local folder, "photos": its number of `images`, "gray": how many gray photos were left out}.
    summary: a readable line for each data set: what was found in it, and what was skipped and why.
    split: which split it is, such as "test", which may serve as validation, or "test and validation"; None if the only
    split of a data set serves as every split.
    """

    images: Tensor
    gray_dropped: int
    sources: tuple[dict, ...] = ()
    summary: str = ""
    split: str | None = None

    def __len__(self) -> int:
        return len(self.images)


class PhotoSet:
    """One split of one or more data sets, decoded on demand: for work that must not hold all of it in memory.

    labels: int (N,), or None if the data have no classes or several data sets have different ones; class_names: their
    names, or None. sources: as in `Photos`, but gray photos are not known yet.
    """

    def __init__(self, data: str | Sequence[str], split: str, size: int = 224, limit: int | None = None):
        """Arguments as for `load_photos`; raises DataError if there is nothing to read."""
        names = [data] if isinstance(data, str) else list(data)
        if not names:
            raise DataError("no data set is named: give a folder of images or Parquet files, or a Hub dataset id")
        self.requested, self.size = split, size
        self.parts = [open_split(name, split) for name in names]
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])
        total = int(self.starts[-1])
        self.indices = np.arange(total) if limit is None else evenly(total, limit)  # into all of the data
        self.labels = self.class_names = None
        classes = [part.class_names for part in self.parts]
        same = len(classes) == 1 or (classes[0] is not None and classes.count(classes[0]) == len(classes))
        if same and all(part.labels is not None for part in self.parts):
            self.labels = np.concatenate([part.labels for part in self.parts])[self.indices]
            self.class_names = classes[0]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor:
        """Photo `index`: uint8 sRGB (3, S, S). Raises DataError, naming its file, if it cannot be read."""
        number, part, row = self._place(index)
        file = None
        try:
            file = part.file(row)
            photo = srgb_image(open_image(file))
        except (DataError, ImageError, OSError, ValueError) as error:
            cause = str(error).removeprefix(f"{file}: ").removeprefix("stream: ")
            where = f"{self.requested}, index {row}"
            where += f", {self.indices[index]} of all data sets" if number else ""
            raise DataError(f"{part.name(row)} of {part.data!r} ({where}) cannot be read: {cause}") from error
        return torch.from_numpy(np.array(_square(photo, self.size))).movedim(-1, 0)

    def name(self, index: int) -> str:
        """A readable name of photo `index`, within its data set."""
        _, part, row = self._place(index)
        return part.name(row)

    def _place(self, index: int) -> tuple[int, Split, int]:
        """The number of the data set that holds photo `index`, the data set, and the photo's place in it."""
        number = int(self.part_of[index])
        return number, self.parts[number], int(self.indices[index] - self.starts[number])

    def holds_color(self) -> bool:
        """Whether any photo has color (mean chroma of 2 or more): photos are read until one does."""
        chroma = (metrics.mean_chroma(self[index][None].float() / 255) for index in range(len(self)))
        return any(each >= metrics.GRAY_CHROMA for each in chroma)

    @cached_property
    def part_of(self) -> np.ndarray:
        """The index of each photo's data set, (N,), in the order in which they were named."""
        return np.searchsorted(self.starts, self.indices, side="right") - 1

    @property
    def split(self) -> str | None:
        """As in `Photos`."""
        found = {part.split for part in self.parts}
        return None if None in found else " and ".join(sorted(found))

    @property
    def sources(self) -> tuple[dict, ...]:
        counts = np.bincount(self.part_of, minlength=len(self.parts))
        return tuple(
            {"data": part.data, "folder": os.path.isdir(part.data), "photos": int(n)}
            for part, n in zip(self.parts, counts, strict=True)
        )

    @property
    def found(self) -> list[str]:
        """A readable line for each data set: what was found in it, and what was skipped and why."""
        return [  # printable: a name that was skipped may hold a line break
            printable(part.found) + (f"; {source['photos']:,} of them are used" if source["photos"] < len(part) else "")
            for part, source in zip(self.parts, self.sources, strict=True)
        ]


def evenly(total: int, count: int) -> np.ndarray:
    """At most `count` of `total` indices, evenly spread, since the items may be sorted by class."""
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
    with or without splits and class subfolders. Photos are turned upright, converted to sRGB, resized to `size` on
    their short side and center-cropped.
    limit: number of photos, spread evenly over all of the data, which may be sorted by class; counted before gray ones
    (mean chroma below 2) are dropped.
    quiet: do not print the summary of what was found and skipped to standard error.
    Raises DataError if there is nothing to read or, unless gray photos are kept, if all photos of a data set are gray.
    """
    photos = PhotoSet(data, split, size, limit)
    images = _decode(photos)
    colored = torch.ones(len(images), dtype=torch.bool)
    if not keep_gray:
        chroma = torch.cat([metrics.mean_chroma(batch.float() / 255) for batch in images.split(64)])
        colored = chroma >= metrics.GRAY_CHROMA
    sources, lines = [], []
    for number, (source, found) in enumerate(zip(photos.sources, photos.found, strict=True)):
        kept, taken = int(colored[torch.from_numpy(photos.part_of == number)].sum()), source["photos"]
        if taken and not kept:
            raise DataError(
                f"all {taken} images taken from {source['data']!r} ({split}) are gray: there is no color in them"
            )
        sources.append(source | {"photos": kept, "gray": taken - kept})
        lines.append(found + (f"; {taken - kept:,} left out as gray" if taken > kept else ""))
    summary = "\n".join(lines)
    if not quiet:
        tqdm.write(summary, file=sys.stderr)
    if not colored.all():
        images = images[colored]
    return Photos(images, int((~colored).sum()), tuple(sources), summary, photos.split)


def _decode(photos: PhotoSet) -> Tensor:
    """All photos, uint8 sRGB (N, 3, S, S), decoded with one thread per core and a progress bar. DataError, naming all
    files that cannot be read: found one by one, each would take another run."""
    images = torch.empty(len(photos), 3, photos.size, photos.size, dtype=torch.uint8)
    errors: dict[int, DataError] = {}

    def decode(index: int) -> None:
        try:
            images[index] = photos[index]
        except DataError as error:
            errors[index] = error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(decode, range(len(photos))), "decode", len(photos), unit=" images", leave=False))
    if errors:
        first, *others = sorted(errors)
        names = few([photos.name(index) for index in others], NAMED)
        raise DataError(f"{errors[first]}" + (f"; {len(others)} more cannot be read: {names}" if others else ""))
    return images


def _square(photo: Image.Image, size: int) -> Image.Image:
    """Resize the short side to `size` and crop the center."""
    if photo.size == (size, size):
        return photo
    short = min(photo.size)
    left, top = (photo.width - short) / 2, (photo.height - short) / 2
    box = (left, top, left + short, top + short)
    return photo.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
