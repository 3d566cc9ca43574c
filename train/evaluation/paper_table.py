"""The paper's Table 1 and its measured counterpart: ranks, Kendall's tau, and a sentence on each disagreement."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from chromagan.measures.catalog import MEASURES, Measure
from train.evaluation.claims import PAPER_WORDS, WORDS
from train.evaluation.comparison import Comparison, Difference, at_one_trained_epoch
from train.evaluation.intervals import number
from train.evaluation.judging import format_difference, label
from train.evaluation.questions import papers_entries


@dataclass(frozen=True)
class Row:
    """A row of Table 1 in numbers.

    measure: ranks the decoders, a column of per_image.parquet or a cost. shown: the measures to show, by their names in
    metrics.json or in costs.
    """

    measure: str
    shown: tuple[str, ...]
    cost: bool = False

    @property
    def higher(self) -> bool:
        """Whether higher values of `measure` are better."""
        return MEASURES[self.measure].better == "higher"


ROWS = {
    "Color fidelity and saturation": Row("ciede2000", (
        "ciede2000_mean", "psnr_mean", "ssim", "colorfulness", "mean_chroma", "chroma_kept_vivid", "lpips",
    )),
    "Boundary clarity": Row("edge_gradient_kept", (
        "edge_gradient_kept", "edge_width", "cdr", "ciede2000_near", "ciede2000_elsewhere",
    )),
    "Semantic differentiation capability": Row("top1", (
        "top1", "top1_of_ten", "ground_to_green", "ground_kept", "frechet", "FID",
    )),
    # Not by time: which of two decoders is faster depends on the machine.
    "Computational efficiency": Row("gflops", ("gflops", "ms", "parameters", "peak_mib"), cost=True),
}  # fmt: skip


def measured_table(study: Comparison) -> dict:
    """Table 1, measured, as plain data.

    {"rows": [{"row", "measure", "higher_is_better", "cells": [{"decoder", "epoch", "word", "value", "rank"}],
    "tau", "pairs", "agreeing", "disagreeing", "sentences"}], and the last five over all rows}. tau is Kendall's over
    the pairs of decoders with different words in the paper: (agreeing - disagreeing) / pairs; None without a pair. A
    pair whose measured difference is undecided counts as neither. Without a trained epoch that all decoders have, only
    costs are ranked. There is a sentence for each disagreeing pair.
    """
    rows = [_row(study, name, PAPER_WORDS[name], row) for name, row in ROWS.items()]
    total = {key: sum(row[key] for row in rows) for key in ("pairs", "agreeing", "disagreeing")}
    sentences = [sentence for row in rows for sentence in row["sentences"]]
    return {"rows": rows, **total, "tau": _tau(**total), "sentences": sentences}


def _tau(pairs: int, agreeing: int, disagreeing: int) -> float | None:
    return number((agreeing - disagreeing) / pairs) if pairs else None


def _row(study: Comparison, name: str, words: dict[str, str], row: Row) -> dict:
    entries, measure = papers_entries(study), MEASURES[row.measure]
    values = {}
    for decoder, entry in entries.items():
        own = study.cost.get(decoder, {}).get(row.measure) if row.cost else study.columns[entry].get(row.measure)
        finite = np.atleast_1d(np.nan if own is None else own)
        values[decoder] = float(finite[np.isfinite(finite)].mean()) if np.isfinite(finite).any() else np.nan
    compared = row.cost or at_one_trained_epoch(entries)
    counts, sentences = {"pairs": 0, "agreeing": 0, "disagreeing": 0}, []
    for one, other in combinations([d for d, value in values.items() if np.isfinite(value)], 2):
        if not compared or words[one] == words[other]:
            continue
        better, worse = sorted((one, other), key=lambda decoder: WORDS.index(words[decoder]), reverse=True)
        if row.cost:
            change = values[better] - values[worse]
            difference = Difference(worse, change, change, change, None)
        else:
            columns = (study.columns[entries[decoder]][row.measure] for decoder in (better, worse))
            difference = study.paired(*columns, worse)
        good = difference.side if row.higher else -difference.side
        counts["pairs"] += 1
        counts["agreeing"] += good > 0
        counts["disagreeing"] += good < 0
        if good < 0:
            sentences.append(_sentence(name, words, better, worse, measure, difference))
    told = counts["agreeing"] + counts["disagreeing"] > 0  # else ranks would be chance
    best_first = sorted((v for v in values.values() if np.isfinite(v)), reverse=row.higher)
    cells = [
        {
            "decoder": decoder, "epoch": None if row.cost else entries[decoder][1], "word": words[decoder],
            "value": number(value), "rank": best_first.index(value) + 1 if told and np.isfinite(value) else None,
        }
        for decoder, value in values.items()
    ]  # fmt: skip
    return {
        "row": name, "measure": row.measure, "title": measure.title, "higher_is_better": row.higher, "cells": cells,
        **counts, "tau": _tau(**counts), "sentences": sentences,
    }  # fmt: skip


def _sentence(name: str, words: dict, better: str, worse: str, measure: Measure, difference: Difference) -> str:
    return (
        f"{name}: the paper has {label(better)} ({words[better]}) before {label(worse)} ({words[worse]}); measured, "
        f"it is the other way round: {measure.title} of the first less the second "
        f"{format_difference(difference, measure)}."
    )
