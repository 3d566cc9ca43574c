"""Measurements stored on disk, keyed by the contents of the photos and networks and by the version of each measure."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from torch import Tensor

from chromagan.atomic import replacing
from chromagan.data_sets.splits import DataError
from train.evaluation.measuring import FEATURES, measured_arrays, measured_columns
from train.evaluation.networks import Entry


class MeasurementStore:
    """Measurements of shards of photos: a small file for each shard and entry, with an array for each part.

    A part that is missing because its measures are new or changed is measured and added; the other parts are kept.
    """

    def __init__(self, folder: Path, classify: bool):
        """classify: whether the classifier is available."""
        self.folder, self.columns, self.arrays = folder, measured_columns(), measured_arrays(classify)
        self.features = {name: name.removeprefix(FEATURES) for name, columns in self.arrays.items() if not columns}

    def shard_key(self, images: list[Tensor], labels: list[int | None]) -> str:
        """A digest of a shard's photos, uint8 (3, S, S) each, and their ImageNet indices."""
        digest = hashlib.blake2b(repr((labels, [tuple(image.shape) for image in images])).encode(), digest_size=10)
        for image in images:
            digest.update(image.numpy().tobytes())
        return digest.hexdigest()

    def path(self, key: str, entry: Entry) -> Path:
        return self.folder / f"{key}-{entry.digest}.npz"

    def _all(self, key: str, entry: Entry) -> dict[str, np.ndarray]:
        """All arrays of the file; {} if it is missing or damaged."""
        try:
            with np.load(self.path(key, entry)) as file:
                return dict(file)
        except (OSError, ValueError, KeyError, EOFError, IndexError, BadZipFile):
            return {}

    def read(self, key: str, entry: Entry) -> dict[str, np.ndarray]:
        """The stored arrays among `measured_arrays`."""
        return {name: array for name, array in self._all(key, entry).items() if name in self.arrays}

    def missing(self, key: str, entry: Entry) -> set[str]:
        """The names of `measured_arrays` that are not stored."""
        return set(self.arrays) - self.read(key, entry).keys()

    def table(self, key: str, entry: Entry) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The columns (n, columns), NaN for those that cannot be measured here, and each network's features (n, D).

        DataError if some were not measured, or are no longer stored."""
        found = self.read(key, entry)
        if found.keys() != self.arrays.keys():
            raise DataError(f"the photos or the folder {self.folder} changed meanwhile: run the same command again")
        at = {name: index for index, name in enumerate(self.columns)}
        table = np.full((len(next(iter(found.values()))), len(self.columns)), np.nan)
        for name, columns in self.arrays.items():
            if columns:
                table[:, [at[column] for column in columns]] = found[name]
        return table, {network: found[name] for name, network in self.features.items()}

    def write(self, key: str, entry: Entry, arrays: Mapping[str, np.ndarray]) -> None:
        """Add arrays to those that are stored, atomically."""
        path = self.path(key, entry)
        with replacing(path) as part, open(part, "wb") as file:  # an open file, since NumPy would append .npz to a name
            np.savez(file, **(self._all(key, entry) | dict(arrays)))
