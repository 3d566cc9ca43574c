"""Paired comparisons of checkpoints on the same photos, with 95 % bootstrap intervals."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from train.evaluation.intervals import draws, mean_samples

Key = tuple[str, int]  # decoder, epoch
Columns = dict[str, np.ndarray]  # {column: (N,)}, a number for each colored photo
LEAST_PHOTOS = 30  # the fewest photos that a difference may rest on


@dataclass(frozen=True)
class Difference:
    """A difference of two numbers, the ends of its 95 % interval (NaN without one), and the photos that it rests on.

    photos is None if nothing is sampled, as for a count of parameters, whose ends are the number itself.
    """

    to: str
    value: float
    low: float
    high: float
    photos: int | None

    @property
    def decides(self) -> bool:
        """Whether it rests on LEAST_PHOTOS or more, or nothing is sampled."""
        return self.photos is None or self.photos >= LEAST_PHOTOS

    @property
    def side(self) -> int:
        """-1 or 1 if the interval lies entirely below or above 0, and it `decides`; else 0."""
        return 0 if not self.decides else -1 if self.high < 0 else 1 if self.low > 0 else 0


class Comparison:
    """Measurements to compare.

    columns: {(decoder, epoch): {column: (N,)}} over the colored photos. left_gray, truth: the same for photos left gray
    and for the true photos. cost: {decoder: {"parameters": ..., "gflops": ...}}. images: (N,), the photos' indices in
    the data.
    """

    def __init__(
        self,
        columns: dict[Key, Columns],
        left_gray: Columns | None = None,
        truth: Columns | None = None,
        cost: dict[str, dict[str, float]] | None = None,
        images: np.ndarray | None = None,
    ):
        self.columns, self.left_gray, self.truth, self.cost = columns, left_gray, truth, cost or {}
        self.photos = len(next(iter(next(iter(columns.values())).values())))
        self.images = np.arange(self.photos) if images is None else images
        counts = draws(self.photos)
        self.counts = None if counts is None else counts.astype(np.float64)

    def epochs(self, decoder: str) -> list[int]:
        """The measured epochs of a decoder, ascending."""
        return sorted(epoch for name, epoch in self.columns if name == decoder)

    def samples(self, values: np.ndarray) -> np.ndarray | None:
        """The bootstrap distribution of the mean of the finite `values` (N,); None for fewer than two."""
        return mean_samples(values, self.counts)

    def paired(self, one: np.ndarray, other: np.ndarray | float, to: str) -> Difference:
        """Mean of `one` minus that of `other`, (N,) each, over the photos for which both have a number."""
        change = one - other
        finite = change[np.isfinite(change)]
        value = float(finite.mean()) if len(finite) else np.nan
        samples = self.samples(change)
        low, high = (np.nan, np.nan) if samples is None else np.nanquantile(samples, [0.025, 0.975])
        return Difference(to, value, float(low), float(high), len(finite))

    def difference(self, one: Key, other: Key, column: str) -> Difference:
        """Mean of `one` minus mean of `other`."""
        return self.paired(self.columns[one][column], self.columns[other][column], other[0])

    def quartiles(self, trait: str) -> list[np.ndarray]:
        """Masks (N,) of the photos in each quarter by a trait, lowest first; of equal size as far as N allows."""
        values = next(iter(self.columns.values()))[trait]
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        return [ranks * 4 // max(len(values), 1) == quarter for quarter in range(4)]


def at_one_trained_epoch(entries: dict[str, Key]) -> bool:
    """Whether decoders may be compared: all are at the same epoch, and it is not the one before training."""
    epochs = {epoch for _, epoch in entries.values()}
    return len(epochs) == 1 and 0 not in epochs


def newest(columns: Collection[Key]) -> dict[str, Key]:
    """Each decoder's (decoder, epoch) at the newest epoch that all have, or at its own newest if they share none."""
    epochs = {decoder: {e for d, e in columns if d == decoder} for decoder, _ in columns}
    shared = set.intersection(*epochs.values()) if epochs else set()
    return {d: (d, max(shared) if shared else max(own)) for d, own in epochs.items()}
