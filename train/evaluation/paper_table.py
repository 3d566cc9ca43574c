"""The paper's Table 1 and its measured counterpart: ranks, Kendall's tau, and a sentence on each disagreement."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from train.evaluation.claims import PAPER_WORDS, WORDS
from train.evaluation.comparison import Comparison, Difference, at_one_trained_epoch, side
from train.evaluation.intervals import number
from train.evaluation.judging import format_difference, label
from train.evaluation.questions import papers_entries
from train.evaluation.titles import MEASURES, Measure


@dataclass(frozen=True)
class Row:
    """A row of Table 1 in numbers.

    measure: ranks the decoders, a column of per_image.parquet or a cost. higher: whether higher is better. shown:
    titles, and names in metrics.json or in costs, of the measures to show.
    """

    measure: str
    higher: bool
    shown: tuple[tuple[str, str], ...]
    cost: bool = False


ROWS = {
    "Color fidelity and saturation": Row("ciede2000", False, (
        ("CIEDE2000", "ciede2000_mean"), ("PSNR dB", "psnr_mean"), ("SSIM", "ssim"), ("colorfulness", "colorfulness"),
        ("mean chroma", "mean_chroma"), ("chroma kept on vivid pixels", "chroma_kept_vivid"), ("LPIPS", "lpips"),
    )),
    "Boundary clarity": Row("edge_gradient_kept", True, (
        ("color gradient kept", "edge_gradient_kept"), ("width, pixels", "edge_width"), ("CDR", "cdr"),
        ("CIEDE2000 near edges", "ciede2000_near"), ("elsewhere", "ciede2000_elsewhere"),
    )),
    "Semantic differentiation capability": Row("top1", True, (
        ("top-1 of 1,000", "top1"), ("of ten", "top1_of_ten"), ("ground to green", "ground_to_green"),
        ("ground kept", "ground_kept"), ("Fréchet distance", "frechet"), ("FID", "FID"),
    )),
    # Not by time: which of two decoders is faster depends on the machine.
    "Computational efficiency": Row("gflops", False, (
        ("GFLOPs", "gflops"), ("ms", "ms"), ("parameters", "parameters"), ("peak MiB", "peak_mib"),
    ), cost=True),
}  # fmt: skip
TITLES = MEASURES | {"top1": Measure("top-1", decimals=3)}


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
    entries, title = papers_entries(study), TITLES[row.measure]
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
        told = side(difference.low, difference.high)
        good = told if row.higher else -told
        counts["pairs"] += 1
        counts["agreeing"] += good > 0
        counts["disagreeing"] += good < 0
        if good < 0:
            sentences.append(_sentence(name, words, better, worse, title, difference))
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
        "row": name, "measure": row.measure, "title": title.title, "higher_is_better": row.higher, "cells": cells,
        **counts, "tau": _tau(**counts), "sentences": sentences,
    }  # fmt: skip


def _sentence(name: str, words: dict, better: str, worse: str, title: Measure, difference: Difference) -> str:
    return (
        f"{name}: the paper has {label(better)} ({words[better]}) before {label(worse)} ({words[worse]}); measured, "
        f"it is the other way round: {title.title} of the first less the second "
        f"{format_difference(difference, title.decimals)}."
    )
