"""What the study says in words, and what the numbers say of it.

PAPER_WORDS and `judge` hold what is taken from the paper. Cells of its Table 1 that are not known here are None: they
are shown as such and take no part in anything.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from chromagan.network.decoders import DECODERS
from train.evaluation.intervals import draws, mean_samples, number

WORDS = ("Poor", "Fair", "Good", "Excellent")  # of the paper's Table 1, worst to best

# row of Table 1: {decoder: word}. A cell that is filled in here is shown, ranked and compared.
PAPER_WORDS: dict[str, dict[str, str | None]] = {
    row: dict.fromkeys(DECODERS)
    for row in ("fidelity and saturation", "boundary clarity", "semantic discrimination", "cost")
}

# row of Table 1: (measure, its name in metrics.json, whether higher is better). The first of a row ranks it.
ROWS = {
    "fidelity and saturation": [
        ("CIEDE2000", "ciede2000_mean", False), ("PSNR dB", "psnr_mean", True), ("SSIM", "ssim", True),
        ("colorfulness", "colorfulness", True), ("LPIPS", "lpips", False),
    ],
    "boundary clarity": [
        ("CDR", "cdr", True), ("CIEDE2000 near edges", "ciede2000_near", False),
        ("elsewhere", "ciede2000_elsewhere", False),
    ],
    "semantic discrimination": [
        ("top-1 of 1,000", "top1", True), ("of ten", "top1_of_ten", True), ("Fréchet distance", "frechet", False),
        ("FID", "FID", False),
    ],
    "cost": [("ms", "ms", False), ("GFLOPs", "gflops", False), ("parameters", "parameters", False),
             ("peak MiB", "peak_mib", False)],
}  # fmt: skip

# Pairs that the paper's claims put in order, (measure, better or higher, all others): the partial order for tau.
ORDER = [("ciede2000", "transposed", -1), ("colorfulness", "depthwise", -1)]

TITLES = {"ciede2000": "CIEDE2000", "cdr": "CDR"}  # of columns whose name is not what a reader says
SLIGHTLY_COLORFUL = 15.0  # Hasler and Süsstrunk 2003, table 2: 15 slightly, 33 moderately, 45 averagely colorful


@dataclass(frozen=True)
class Verdict:
    claim: str
    verdict: str  # "stands", "contradicted", "undecided" or "cannot be told"
    evidence: str


class Comparison:
    """Paired differences between entries (decoder, epoch) on the same photos.

    columns: {(decoder, epoch): {column: (N,)}} of the colored photos. left_gray: the same of leaving them gray.
    """

    def __init__(
        self,
        columns: dict[tuple[str, int], dict[str, np.ndarray]],
        left_gray: dict[str, np.ndarray] | None = None,
    ):
        self.columns, self.left_gray = columns, left_gray
        first = next(iter(columns.values()))
        self.counts = draws(len(next(iter(first.values()))))
        self.samples: dict[tuple, np.ndarray | None] = {}

    def mean(self, entry: tuple[str, int], column: str) -> tuple[float, np.ndarray | None]:
        values = self.columns[entry][column]
        if (entry, column) not in self.samples:
            self.samples[entry, column] = mean_samples(values, self.counts)
        finite = values[np.isfinite(values)]
        return (finite.mean() if len(finite) else np.nan), self.samples[entry, column]

    def difference(self, one: tuple[str, int], other: tuple[str, int], column: str) -> tuple[float, float, float]:
        """Mean of `one` minus mean of `other`, and the ends of its 95 % interval (NaN where there is none)."""
        return self._difference(self.mean(one, column), self.mean(other, column))

    def above_gray(self, entry: tuple[str, int], column: str) -> tuple[float, float, float]:
        """Mean of `entry` minus that of leaving the photos gray, and the ends of its 95 % interval."""
        gray = self.left_gray[column]
        return self._difference(
            self.mean(entry, column), (gray[np.isfinite(gray)].mean(), mean_samples(gray, self.counts))
        )

    @staticmethod
    def _difference(one: tuple, other: tuple) -> tuple[float, float, float]:
        (mean_1, samples_1), (mean_2, samples_2) = one, other
        if samples_1 is None or samples_2 is None:
            return mean_1 - mean_2, np.nan, np.nan
        return mean_1 - mean_2, *np.nanquantile(samples_1 - samples_2, [0.025, 0.975])


def side(low: float, high: float) -> int:
    """-1 or 1 where an interval lies wholly below or above 0, else 0."""
    return -1 if high < 0 else 1 if low > 0 else 0


def newest(columns) -> dict[str, tuple[str, int]]:
    """Each decoder's entry at the newest epoch that all have; its own newest where they share none."""
    epochs = {decoder: {e for d, e in columns if d == decoder} for decoder, _ in columns}
    shared = set.intersection(*epochs.values())
    return {d: (d, max(shared) if shared else max(own)) for d, own in epochs.items()}


def extreme(comparison: Comparison, subject: str, column: str, sign: int, claim: str) -> Verdict:
    """`subject` lies below (sign -1) or above (1) every other decoder in the mean of `column`."""
    entries = newest(comparison.columns)
    if subject not in entries or len(entries) < 2:
        return Verdict(claim, "cannot be told", f"needs {subject} and another decoder")
    found = {
        other: comparison.difference(entries[subject], entry, column)
        for other, entry in entries.items()
        if other != subject
    }
    if np.isnan([low for _, low, _ in found.values()]).any():
        return Verdict(claim, "cannot be told", "needs two photos and more")
    sides = [sign * side(low, high) for _, low, high in found.values()]
    verdict = "stands" if min(sides) == 1 else "contradicted" if min(sides) == -1 else "undecided"
    evidence = "; ".join(f"to {o} {d:+.3f} ({lo:+.3f} to {hi:+.3f})" for o, (d, lo, hi) in found.items())
    if column == "cdr" and comparison.left_gray is not None:
        d, low, high = comparison.above_gray(entries[subject], column)
        if side(low, high) != 1:  # superpixels of no color at all keep about half of the separations, by chance
            verdict = "cannot be told"
            evidence = f"not above leaving photos gray, {d:+.3f} ({low:+.3f} to {high:+.3f}); {evidence}"
    return Verdict(
        claim, verdict, f"{TITLES.get(column, column)}, {subject} at epoch {entries[subject][1]}: {evidence}"
    )


def is_gray(comparison: Comparison, subject: str, claim: str) -> Verdict:
    """The mean colorfulness of `subject` is below the first step of Hasler and Süsstrunk's scale."""
    entry = newest(comparison.columns).get(subject)
    if entry is None:
        return Verdict(claim, "cannot be told", f"needs {subject}")
    mean, samples = comparison.mean(entry, "colorfulness")
    if samples is None:
        return Verdict(claim, "cannot be told", "needs two photos and more")
    low, high = np.quantile(samples, [0.025, 0.975])
    place = side(low - SLIGHTLY_COLORFUL, high - SLIGHTLY_COLORFUL)
    verdict = {-1: "stands", 1: "contradicted", 0: "undecided"}[place]
    text = f"colorfulness {mean:.1f} ({low:.1f} to {high:.1f}); {SLIGHTLY_COLORFUL:.0f} is “slightly colorful”"
    return Verdict(claim, verdict, f"{subject} at epoch {entry[1]}: {text}")


def epochs_compared(comparison: Comparison, early: int, late: int, late_is_better: bool, claim: str) -> Verdict:
    """CIEDE2000 falls (or rises) from epoch `early` to `late`, for every decoder that has both."""
    decoders = [d for d in newest(comparison.columns) if {(d, early), (d, late)} <= comparison.columns.keys()]
    if not decoders:
        have = ", ".join(map(str, sorted({epoch for _, epoch in comparison.columns})))
        return Verdict(claim, "cannot be told", f"needs epochs {early} and {late}; this source has {have}")
    found = {d: comparison.difference((d, late), (d, early), "ciede2000") for d in decoders}
    if np.isnan([low for _, low, _ in found.values()]).any():
        return Verdict(claim, "cannot be told", "needs two photos and more")
    wanted = -1 if late_is_better else 1
    sides = [wanted * side(low, high) for _, low, high in found.values()]
    verdict = "stands" if min(sides) == 1 else "contradicted" if max(sides) == -1 else "undecided"
    evidence = "; ".join(f"{d} {x:+.2f} ({lo:+.2f} to {hi:+.2f})" for d, (x, lo, hi) in found.items())
    return Verdict(claim, verdict, f"CIEDE2000 at epoch {late} minus at epoch {early}: {evidence}")


def minimum(comparison: Comparison, epoch: int, claim: str) -> Verdict:
    """CIEDE2000 still falls from the last saved epoch below `epoch` to it. Epoch 0, not trained yet, is no evidence."""
    trained = {e for _, e in comparison.columns if 0 < e < epoch}
    if not trained:
        return Verdict(claim, "cannot be told", f"needs epoch {epoch} and one between 0 and {epoch}")
    return epochs_compared(comparison, max(trained), epoch, True, claim)


def judge(comparison: Comparison) -> list[Verdict]:
    """The verdict on each of the paper's claims, over the colored photos."""
    return [
        extreme(comparison, "transposed", "ciede2000", -1, "Transposed convolutions are best (nearest to the truth)"),
        extreme(comparison, "transposed", "cdr", 1, "Transposed convolutions are best (cleanest at boundaries)"),
        extreme(comparison, "depthwise", "colorfulness", -1, "Depthwise convolutions are the least saturated"),
        is_gray(comparison, "compact", "Compact is gray"),
        minimum(comparison, 300, "300 epochs are the minimum"),
        epochs_compared(comparison, 600, 900, False, "900 epochs overfit"),
    ]


def rank_agreement(comparison: Comparison) -> dict:
    """Kendall's tau between the order that the paper gives and the one measured, over the pairs it orders.

    The claims order some pairs only: tau = (agreeing - disagreeing) / pairs, a partial order. Filled cells of
    PAPER_WORDS add the pairs whose words differ.
    """
    entries = newest(comparison.columns)
    pairs = [
        (column, sign, subject, other)
        for column, subject, sign in ORDER
        for other in entries
        if subject in entries and other != subject
    ]
    firsts = {"fidelity and saturation": ("ciede2000", -1), "boundary clarity": ("cdr", 1),
              "semantic discrimination": ("top1", 1)}  # fmt: skip
    for row, (column, sign) in firsts.items():
        known = {d: WORDS.index(word) for d, word in PAPER_WORDS[row].items() if word and d in entries}
        for one, other in combinations(known, 2):
            if known[one] != known[other]:
                better, worse = (one, other) if known[one] > known[other] else (other, one)
                pairs.append((column, sign, better, worse))
    agreeing = disagreeing = 0
    for column, sign, subject, other in pairs:
        difference = comparison.difference(entries[subject], entries[other], column)[0]
        agreeing += sign * difference > 0
        disagreeing += sign * difference < 0
    tau = number((agreeing - disagreeing) / len(pairs)) if pairs else None
    return {"tau": tau, "pairs": len(pairs), "agreeing": agreeing, "disagreeing": disagreeing}
