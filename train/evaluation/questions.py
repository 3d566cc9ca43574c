"""The kinds of comparison that test a claim: each yields differences that should lie on one side of zero.

A fault that the paper sees in one decoder only is tested against the others; one that it sees in several, against the
truth or a level, since they cannot all be worst. Every question has a `direction`, "higher" or "lower", and `least`,
the smallest difference that counts, so that an invisible one does not confirm a claim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chromagan.measures.catalog import measure_called
from train.evaluation.comparison import Comparison, Difference, Key, at_one_trained_epoch, newest

IN_A_QUARTER = " in a quarter of all"
FIVE = ("original", "compact", "transposed", "depthwise", "pixelshuffle")  # that the paper compares


def papers_entries(study: Comparison) -> dict[str, Key]:
    """Those of the paper's decoders that are there, at the newest epoch that they share."""
    return newest([entry for entry in study.columns if entry[0] in FIVE])


class CannotTellError(Exception):
    """The question cannot be answered. The message is a phrase that begins with "needs" and says what is missing."""


@dataclass(frozen=True)
class Answer:
    """entry: whose colorings are judged. per_photo: (N,), the subject less what it is compared with.

    missing: decoders of the paper's comparison that are not there; without them, a claim can be contradicted, but does
    not stand.
    """

    differences: list[Difference]
    entry: Key | None = None
    per_photo: np.ndarray | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question:
    """measure: a column of per_image.parquet. reading: the claim's words as this comparison."""

    measure: str
    direction: str  # "higher" or "lower"
    reading: str
    least: float = 0.0
    epochs: tuple[int, ...] = ()  # of the paper; (): the newest that all decoders share

    where = ""  # the part of the photos that must be large enough, in words; "": all

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        """The differences; CannotTellError if something is missing.

        epoch_of: maps an epoch of the paper to the source's; raises CannotTellError if it has none.
        """
        raise NotImplementedError

    def entry(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Key:
        """The subject at the first of the question's epochs, or at the newest shared one."""
        entries = papers_entries(study)
        if subject not in entries:
            raise CannotTellError(f"needs the decoder {subject}, which this source does not have")
        if self.epochs:
            return subject, epoch_of(self.epochs[0])
        if not at_one_trained_epoch(entries):
            raise CannotTellError("needs a trained epoch that all decoders have")
        return entries[subject]

    def values(self, columns: dict[str, np.ndarray] | None, of: str, measure: str | None = None) -> np.ndarray:
        measure = measure or self.measure
        if columns is None or measure not in columns:
            raise CannotTellError(f"needs the measure {measure_called(measure).title} of {of}, which was not taken")
        return columns[measure]


@dataclass(frozen=True, kw_only=True)
class Beyond(Question):
    """The subject's mean is beyond a number."""

    level: float

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        entry = self.entry(study, subject, epoch_of)
        own = self.values(study.columns[entry], subject)
        return Answer([study.paired(own, self.level, f"{self.level:g}")], entry, own - self.level)


@dataclass(frozen=True, kw_only=True)
class AgainstTruth(Question):
    """The subject's mean is beyond that of the true photos."""

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        entry = self.entry(study, subject, epoch_of)
        own, true = self.values(study.columns[entry], subject), self.values(study.truth, "the true photos")
        return Answer([study.paired(own, true, "the truth")], entry, own - true)


@dataclass(frozen=True, kw_only=True)
class AgainstOthers(Question):
    """The subject's mean is beyond that of every other decoder of the paper.

    above_gray: the measure is meaningless unless the subject's is above that of photos left gray.
    """

    above_gray: bool = False

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        entry = self.entry(study, subject, epoch_of)
        others = {d: e for d, e in papers_entries(study).items() if d != subject}
        if not others:
            raise CannotTellError("needs another decoder to compare with")
        own = self.values(study.columns[entry], subject)
        theirs = {name: self.values(study.columns[other], name) for name, other in others.items()}
        if self.above_gray and study.left_gray is not None:
            found = study.paired(own, self.values(study.left_gray, "photos left gray"), "gray")
            if found.side != 1:
                measure = measure_called(self.measure)
                value = measure.text(found.value, (found.low, found.high), signed=True)
                raise CannotTellError(f"needs colorings above leaving the photos gray in {measure.title}: {value}")
        differences = [study.paired(own, values, name) for name, values in theirs.items()]
        missing = tuple(name for name in FIVE if name not in (subject, *others))
        return Answer(differences, entry, own - np.mean(list(theirs.values()), axis=0), missing)


@dataclass(frozen=True, kw_only=True)
class AgainstMeasure(Question):
    """One measure's mean is beyond another's on the same colorings, both in percent of those of photos left gray, whose
    errors differ from place to place without any coloring."""

    other: str

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        entry = self.entry(study, subject, epoch_of)
        values = np.stack([
            self.values(columns, of, measure)
            for measure in (self.measure, self.other)
            for columns, of in ((study.columns[entry], subject), (study.left_gray, "photos left gray"))
        ])  # fmt: skip
        values[:, ~np.isfinite(values).all(axis=0)] = np.nan  # the same photos for all four
        photos = int(np.isfinite(values[0]).sum())
        samples = [study.samples(row) for row in values]
        if samples[0] is None:
            raise CannotTellError("needs two photos and more")
        own, gray, own_other, gray_other = np.nanmean(values, axis=1)
        ends = np.nanquantile(samples[0] / samples[1] - samples[2] / samples[3], [0.025, 0.975])
        to = f"{measure_called(self.other).title}, both in percent of those of photos left gray"
        value = own / gray - own_other / gray_other
        return Answer([Difference(to, 100 * value, *100 * ends, photos)], entry)


@dataclass(frozen=True, kw_only=True)
class AgainstEpochs(Question):
    """The subject's mean at the first of `epochs` is beyond that at each of the others.

    within: (trait, quarter), restricts the photos to a quarter by a trait, from 0, the lowest, to 3, the highest.
    """

    within: tuple[str, int] | None = None

    @property
    def where(self) -> str:
        return IN_A_QUARTER if self.within else ""

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        entry, *others = [(subject, epoch_of(epoch)) for epoch in self.epochs]
        own = self.values(study.columns[entry], subject)
        if self.within:
            trait, quarter = self.within
            self.values(study.columns[entry], "the photos", trait)
            own = np.where(study.quartiles(trait)[quarter], own, np.nan)
        theirs = {other: self.values(study.columns[other], subject) for other in others}
        differences = [study.paired(own, values, f"epoch {epoch}") for (_, epoch), values in theirs.items()]
        return Answer(differences, entry, own - np.mean(list(theirs.values()), axis=0))


def _quartile_means(study: Comparison, values: np.ndarray, trait: str):
    """For each quartile of a trait: the mean, its bootstrap distribution and the number of photos."""
    found = []
    for mask in study.quartiles(trait):
        own = np.where(mask & np.isfinite(values), values, np.nan)
        photos = int(np.isfinite(own).sum())
        samples = study.samples(own)
        if samples is None:
            raise CannotTellError(f"needs photos in each quartile of {trait}")
        found.append((np.nanmean(own), samples, photos))
    return found


@dataclass(frozen=True, kw_only=True)
class AcrossQuartiles(Question):
    """The mean over the quarter of photos highest in a trait is beyond that over the lowest quarter."""

    trait: str
    where = IN_A_QUARTER

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        entry = self.entry(study, subject, epoch_of)
        values = self.values(study.columns[entry], subject)
        self.values(study.columns[entry], "the photos", self.trait)
        (low, low_samples, few), *_, (high, high_samples, many) = _quartile_means(study, values, self.trait)
        ends = np.nanquantile(high_samples - low_samples, [0.025, 0.975])
        to = f"the quarter lowest in {self.trait.removeprefix('photo_')}"
        return Answer([Difference(to, high - low, *ends, min(few, many))], entry)


@dataclass(frozen=True, kw_only=True)
class SpreadOverQuartiles(Question):
    """The range of the means over the quartiles of a trait is at the first epoch beyond that at the second."""

    trait: str
    where = IN_A_QUARTER

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        spreads, photos = [], []
        entries = [(subject, epoch_of(epoch)) for epoch in self.epochs]
        for entry in entries:
            self.values(study.columns[entry], "the photos", self.trait)
            found = _quartile_means(study, self.values(study.columns[entry], subject), self.trait)
            spreads.append([np.ptp([mean for mean, _, _ in found]), np.ptp([s for _, s, _ in found], axis=0)])
            photos.append(min(count for _, _, count in found))
        (one, samples), (other, other_samples) = spreads
        ends = np.nanquantile(samples - other_samples, [0.025, 0.975])
        return Answer([Difference(f"epoch {entries[1][1]}", one - other, *ends, min(photos))], entries[0])


@dataclass(frozen=True, kw_only=True)
class SettlesAt(Question):
    """The measure changes more from the preceding trained epoch to the given one than from there to the newest.

    Total changes are compared, not changes per epoch: on any curve that levels off, the latter are smaller after every
    point. The untrained epoch 0 does not count, since everything changes most from there.
    """

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        at = epoch_of(self.epochs[0])
        before = [epoch for epoch in study.epochs(subject) if 0 < epoch < at]
        after = [epoch for epoch in study.epochs(subject) if epoch > at]
        if not before or not after:
            raise CannotTellError(f"needs a trained epoch before and one after epoch {at} of {subject}")
        changes = []
        values = [self.values(study.columns[subject, e], subject) for e in (before[-1], at, after[-1])]
        for one, other in pairwise(values):
            samples = study.samples(other - one)
            if samples is None:
                raise CannotTellError("needs two photos and more")
            change = (other - one)[np.isfinite(other - one)]
            changes.append((abs(change.mean()), abs(samples), len(change)))
        (early, early_samples, few), (late, late_samples, many) = changes
        ends = np.nanquantile(early_samples - late_samples, [0.025, 0.975])
        to = f"the change from {at} to {after[-1]}"
        return Answer([Difference(to, early - late, *ends, min(few, many))], (subject, at))


@dataclass(frozen=True, kw_only=True)
class Cost(Question):
    """The decoder's cost is beyond that of each of `among`; exact, not measured on photos."""

    among: tuple[str, ...] = FIVE

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        own = study.cost.get(subject, {}).get(self.measure)
        compared = [decoder for decoder in self.among if decoder != subject]
        others = {d: study.cost[d][self.measure] for d in compared if self.measure in study.cost.get(d, {})}
        if own is None or not others:
            raise CannotTellError(f"needs {measure_called(self.measure).title} of {subject} and of another decoder")
        missing = tuple(decoder for decoder in compared if decoder not in others)
        return Answer([Difference(d, *[own - cost] * 3, None) for d, cost in others.items()], missing=missing)


@dataclass(frozen=True, kw_only=True)
class ModerateCost(Question):
    """The decoder's cost is neither the highest nor the lowest: its distance to the nearer end is above 0."""

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        costs = {d: study.cost[d][self.measure] for d in FIVE if self.measure in study.cost.get(d, {})}
        if subject not in costs or len(costs) < len(FIVE):
            raise CannotTellError(f"needs {measure_called(self.measure).title} of all five decoders")
        own = costs[subject]
        ends = {"the least": own - min(costs.values()), "the most": max(costs.values()) - own}
        to = min(ends, key=ends.get)
        return Answer([Difference(to, *[ends[to]] * 3, None)])


@dataclass(frozen=True, kw_only=True)
class Unmeasured(Question):
    """Not measured; `reading` says what it would need."""

    measure: str = ""
    direction: str = "higher"

    def ask(self, study: Comparison, subject: str, epoch_of: Callable[[int], int]) -> Answer:
        raise CannotTellError(self.reading)
