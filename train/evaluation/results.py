"""The measurements of all shards, merged: the table of photos, Fréchet distances, summaries."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from torch import Tensor
from tqdm import tqdm

from chromagan.atomic import replacing
from chromagan.data import PhotoSet
from chromagan.hub.files import METRICS_FILE, read_json
from chromagan.measures import metrics
from chromagan.network.decoders import DECODERS
from train.evaluation.comparison import Comparison
from train.evaluation.intervals import number, summarize
from train.evaluation.networks import GRAY, TRUTH, Entry
from train.evaluation.shards import MeasuringTask
from train.evaluation.store import MeasurementStore


def merge(task: MeasuringTask, shards: list[range], entries: list[Entry], path: Path):
    """Write per_image.parquet to `path`; return ({entry: {column: (N,)}}, the shards' keys, the photos' fingerprint).

    The file is streamed, with a row group for each shard. Every entry's columns include chroma_truth and
    colorfulness_truth.
    """
    store = task.store
    identity = {"image": pa.int64(), "label": pa.string(), "colored": pa.bool_(), "decoder": pa.string()}
    schema = pa.schema(identity | {"epoch": pa.int64()} | dict.fromkeys(store.columns, pa.float64()))
    columns = {entry: [] for entry in entries}
    chroma, keys = [], []
    with replacing(path) as part, parquet.ParquetWriter(part, schema) as writer:
        for indices in shards:
            images, labels = task.shard(indices)
            keys.append(key := store.shard_key(images, labels))
            chroma += [metrics.mean_chroma(image[None].float() / 255).item() for image in images]
            photos = {
                "image": list(indices),
                "label": [class_name(task.photos, index) for index in indices],
                "colored": [value >= metrics.GRAY_CHROMA for value in chroma[-len(indices) :]],
            }
            parts = []
            for entry in entries:
                values, _ = store.table(key, entry)
                columns[entry].append(values)
                decoder = f"{entry.decoder}, refined" if entry.refiner else entry.decoder
                rows = photos | {"decoder": [decoder] * len(indices), "epoch": [entry.epoch] * len(indices)}
                rows |= {name: pa.array(values[:, c], from_pandas=True) for c, name in enumerate(store.columns)}
                parts.append(pa.table(rows, schema=schema))
            writer.write_table(pa.concat_tables(parts))
    tables = {}
    for entry, parts in columns.items():
        table = np.concatenate(parts) if parts else np.empty((0, len(store.columns)))
        tables[entry] = dict(zip(store.columns, table.T, strict=True)) | {"chroma_truth": np.array(chroma)}
    for table in tables.values():
        table["colorfulness_truth"] = tables[TRUTH]["colorfulness"]
    return tables, keys, hashlib.blake2b("".join(keys).encode(), digest_size=10).hexdigest()


def class_name(photos: PhotoSet, index: int) -> str | None:
    """The class of a photo as the data names it, by its number if that has no name; None if it has none."""
    if photos.labels is None:
        return None
    label = photos.labels[index]
    if label < 0:  # -1 is how `datasets` marks a photo without a class
        return None
    names = photos.class_names or ()
    name = names[label] if label < len(names) else str(label)
    # A folder's name may not be valid UTF-8, which Parquet requires.
    return os.fsencode(name).decode("utf-8", "replace")


def frechet_distances(
    keys: list[str], entries: list[Entry], store: MeasurementStore, colored: np.ndarray
) -> dict[Entry, dict[str, dict[str, float]]]:
    """For each entry {network: {"all": distance, "colored": distance}} between its features and the truth's.

    keys: of the shards. colored: (N,), whether a photo is colored. NaN if there are too few photos for a distance.
    """

    def features(entry: Entry) -> dict[str, Tensor]:
        parts = [store.table(key, entry)[1] for key in keys]
        return {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}

    true = features(TRUTH) if keys else {}
    subsets = {"all": torch.ones(len(colored), dtype=torch.bool), "colored": torch.from_numpy(colored)}
    distances = {}
    for entry in tqdm(entries, "Fréchet distance", leave=False) if true else ():
        own = features(entry)
        distances[entry] = {
            name: {
                which: metrics.frechet_distance(true[name][rows], own[name][rows]) for which, rows in subsets.items()
            }
            for name in own
        }
    return distances


def summaries(
    tables: dict[Entry, dict[str, np.ndarray]], distances: dict[Entry, dict[str, dict[str, float]]], about: dict
) -> dict[Entry, dict]:
    """For each entry its summary with intervals, in the format of metrics.json. about: the first entries of each."""
    results = {}
    for entry in tqdm(tables, "summarize", leave=False):
        results[entry] = summarize(tables[entry], **about)
        for network, found in distances.get(entry, {}).items():
            for which, distance in found.items():
                results[entry][which].setdefault("frechet", {})[network] = number(distance)
    return results


def read_comparison(folder: Path) -> Comparison | None:
    """The measurements of the colored photos that evaluate.py wrote to `folder`; None if there are none.

    ArrowException, KeyError, ValueError or OSError if metrics.json or per_image.parquet is damaged.
    """
    parts: dict[tuple, dict[str, list]] = {}
    for batch in parquet.ParquetFile(folder / "per_image.parquet").iter_batches(1 << 14):
        names = [name for name in batch.schema.names if name not in ("label", "decoder", "epoch", "colored")]
        entries = list(zip(batch["decoder"].to_pylist(), batch["epoch"].to_pylist()))
        keep = batch["colored"].to_numpy(zero_copy_only=False)
        values = np.stack([batch[name].to_numpy(zero_copy_only=False).astype(float) for name in names], axis=1)
        for entry in dict.fromkeys(entries):
            rows = values[[other == entry for other in entries] & keep]
            for column, name in enumerate(names):
                parts.setdefault(entry, {}).setdefault(name, []).append(rows[:, column])
    columns = {entry: {name: np.concatenate(v) for name, v in own.items()} for entry, own in parts.items()}
    left_gray, truth = (columns.pop((entry.decoder, None), None) for entry in (GRAY, TRUTH))
    columns = {entry: own for entry, own in columns.items() if entry[0] in DECODERS}
    if not columns or not len(next(iter(columns.values()))["image"]):
        return None
    costs = read_json(folder / METRICS_FILE)["cost"]["decoders"]
    cost = {decoder: parts["decoder"] for decoder, parts in costs.items() if "decoder" in parts}
    images = next(iter(columns.values()))["image"].astype(int)
    return Comparison(columns, left_gray, truth, cost, images)
