"""Refined colorings compared with the same checkpoint's unrefined ones, on the same photos."""

import hashlib
import os
from dataclasses import replace

import numpy as np

from chromagan.hub.files import CONFIG_FILE, read_json
from chromagan.hub.measured import refined_table
from chromagan.hub.refiners import load_refiner
from chromagan.measures.metrics import GRAY_CHROMA
from chromagan.network.config import ModelConfig
from train.evaluation.intervals import MEANS, draws, mean_interval, number
from train.evaluation.networks import Entry


def refined_twins(entries: list[Entry], source: str | os.PathLike, steps: int | None) -> dict[Entry, Entry]:
    """For each checkpoint the entry of its colorings after `steps` steps of the source's refiner; None: all steps.

    Raises CheckpointError if the source has no usable refiner, and OptionError if it does not take that many steps.
    """
    twins = {}
    for entry in entries:
        refiner = load_refiner(source, ModelConfig.from_dict(read_json(entry.checkpoint.file(CONFIG_FILE))))
        count = refiner.config.count(steps)
        digest = hashlib.blake2b(f"{entry.digest} {count}".encode(), digest_size=10)
        for name, tensor in sorted(refiner.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        digest.update(repr(refiner.config).encode())
        twins[entry] = replace(entry, digest=digest.hexdigest(), refiner=str(source), steps=count)
    return twins


def refined_results(tables: dict[Entry, dict[str, np.ndarray]], twins: dict[Entry, Entry]) -> list[dict]:
    """For each checkpoint the measures of its refined colorings minus those of the unrefined, over the colored photos.

    {decoder, epoch, steps, images, "before": {measure: number}, "difference": {measure: {value, low, high, photos}}}
    """
    results = []
    for entry, twin in twins.items():
        before, after = tables[entry], tables[twin]
        colored = before["chroma_truth"] >= GRAY_CHROMA
        counts = draws(int(colored.sum()))
        result = {"decoder": entry.decoder, "epoch": entry.epoch, "steps": twin.steps, "images": int(colored.sum())}
        result |= {"before": {}, "difference": {}}
        for name, column in MEANS.items():
            if column not in before:
                continue
            own, change = before[column][colored], (after[column] - before[column])[colored]
            both = np.isfinite(change)
            result["before"][name] = number(own[both].mean()) if both.any() else None
            result["difference"][name] = mean_interval(change, counts)
        results.append(result)
    return results


def refined_rows(results: list[dict]) -> tuple[list[str], list[list[str]]]:
    """The header and a row for each of `refined_results`: the value before and the change with its 95 % interval."""
    headings, cells = refined_table(results)
    rows = [[r["decoder"], str(r["epoch"]), str(r["steps"]), *row] for r, row in zip(results, cells, strict=True)]
    return ["decoder", "epoch", "steps", *headings], rows
