"""Measure every checkpoint of a source on a data set's validation photos, and write the report.

    accelerate launch train/evaluate.py --source checkpoints --data frgfm/imagenette --output-dir report

Leaves in <output-dir>: metrics.json (every measure with its 95 % interval), per_image.parquet (one row for each photo
and checkpoint), figures/*.png, report.md and report.html; with --write-metrics also each checkpoint's own metrics.json.
What was measured is kept in <output-dir>/measured, by what the photos and the networks hold: a run that was cut off
goes on there, and one with new checkpoints measures only those. It may be deleted.

Everything is measured at --size on 8-bit sRGB output. Gray photos, whose colors nobody can miss, are counted in "all"
and left out of "colored". Photos are worked on one by one: neither the number of processes nor of cores changes a
number. Of a photo that was measured a row of numbers stays in memory, and for each Frechet distance its features.
"""

import argparse
import hashlib
import multiprocessing
import os
import queue
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from pyarrow import parquet
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.data import DataError, PhotoSet
from chromagan.hub.checkpoints import METRICS_FILE, CheckpointError, list_checkpoints, load_checkpoint, write_json
from chromagan.hub.model import ChromaGAN
from chromagan.hub.model_card import plain_name
from chromagan.measures import metrics
from chromagan.network.trunk import PretrainedWeightsError
from train import report
from train.evaluation.cost import decoder_costs
from train.evaluation.intervals import summarize
from train.evaluation.learned_measures import LEARNED_MEASURES
from train.evaluation.measuring import (
    CLASSIFIER,
    GRAY,
    TRUTH,
    Classifier,
    Entry,
    Measurer,
    Networks,
    Truth,
    checkpoint_entry,
    imagenet_labels,
    load_networks,
    measured_columns,
    measured_features,
    to_srgb8,
)
from train.evaluation.pictures import draw_pictures

SHARD = 16  # photos; the unit that is shared out and that a run which was cut off goes on from
MEASURES_VERSION = 1  # raise it when a measure changes: what was kept no longer counts
MODEL_BYTES = 4 << 30  # of the networks held at once; a source that needs more is measured in several passes


@torch.inference_mode()
def evaluate(model: ChromaGAN, images: Tensor, device: torch.device) -> dict[str, np.ndarray]:
    """The pixel measures (N,) of `model` on uint8 sRGB images (N, 3, S, S): what training writes beside an epoch."""
    entry = Entry("model", None, "")
    networks = Networks({entry: model}, device)
    rows = []
    for image in images:
        truth = Truth(image, device, boundaries=False)
        ((_, (ab,)),) = networks.colorize([truth.L])
        row = truth.measure(to_srgb8(truth.L, ab))
        rows.append(row | {"chroma_truth": truth.chroma, "colorfulness_truth": metrics.colorfulness(truth.srgb).item()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def share_cores(accelerator: Accelerator) -> int:
    """On the CPU, give each process its share of the cores we may use, which the launcher does not; return it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, cores // accelerator.num_processes)
    if accelerator.device.type == "cpu":
        torch.set_num_threads(share)
    return share


class Kept:
    """What was measured of a shard of photos, on disk: one small file for each entry, found by contents.

    Measures are told apart by all that decides them, and by what could run: with a classifier that was missing before,
    everything is measured again.
    """

    def __init__(self, folder: Path, size: int, classify: bool):
        self.folder, self.columns, self.features = folder, measured_columns(), measured_features(classify)
        self.version = f"{MEASURES_VERSION} {CLASSIFIER} {size} {classify} {self.columns} {self.features}"

    def shard_key(self, images: list[Tensor], labels: list) -> str:
        digest = hashlib.blake2b(repr((self.version, labels)).encode(), digest_size=10)
        for image in images:
            digest.update(image.numpy().tobytes())
        return digest.hexdigest()

    def path(self, key: str, entry: Entry) -> Path:
        return self.folder / f"{key}-{entry.digest}.npz"

    def read(self, key: str, entry: Entry) -> dict[str, np.ndarray] | None:
        """{"values": (n, columns), features (n, D) by name}; None where it is not there, or damaged."""
        try:
            with np.load(self.path(key, entry)) as file:
                found = dict(file)
            return found if found["values"].shape[1] == len(self.columns) else None
        except (OSError, ValueError, KeyError, EOFError, IndexError, BadZipFile):
            return None

    def write(self, key: str, entry: Entry, rows: list[dict[str, np.ndarray]]) -> None:
        path = self.path(key, entry)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        with open(beside, "wb") as file:
            np.savez(file, **{name: np.stack([row[name] for row in rows]) for name in rows[0]})
        os.replace(beside, path)


@dataclass(frozen=True)
class Work:
    """Photos to measure and what to measure them with; a process builds its own networks from it."""

    photos: PhotoSet
    labels: list[int | None]  # ImageNet's indices; empty where the data has none
    entries: tuple[Entry, ...]
    folder: Path  # of what is kept
    classify: bool
    device: torch.device

    def __call__(self, shards: list[range], count) -> None:
        """Measure what is not kept yet of `shards`, calling `count()` after each photo."""
        torch.set_num_threads(1)  # see train/evaluation/measuring.py
        networks, _ = load_networks([entry for entry in self.entries if entry.checkpoint], self.device)
        measurer = Measurer(networks, Classifier(self.device) if self.classify else None, self.device)
        kept = Kept(self.folder, self.photos.size, self.classify)
        for indices in shards:
            images, labels = self.shard(indices)
            key = kept.shard_key(images, labels)
            todo = {entry for entry in self.entries if kept.read(key, entry) is None}
            if todo:
                for entry, rows in measurer(images, labels, todo, count).items():
                    kept.write(key, entry, rows)
            else:
                for _ in images:
                    count()

    def shard(self, indices: range) -> tuple[list[Tensor], list[int | None]]:
        images = [self.photos[index] for index in indices]
        return images, [self.labels[index] if self.labels else None for index in indices]


def measure_shards(work: Work, shards: list[range], cores: int, show: bool) -> None:
    """Do `work`, a process to each core on the CPU: threads would wait for each other between small operations."""
    with tqdm(total=sum(map(len, shards)), desc="measure", unit=" photos", disable=not show) as bar:
        workers = min(cores, len(shards)) if work.device.type == "cpu" else 1
        if workers == 1:
            threads = torch.get_num_threads()
            work(shards, bar.update)
            torch.set_num_threads(threads)
            return
        context = multiprocessing.get_context("spawn")
        done = context.Queue()
        processes = [
            context.Process(target=_measure_part, args=(work, shards[rank::workers], done), daemon=True)
            for rank in range(workers)
        ]
        for process in processes:
            process.start()
        finished = 0
        while finished < workers:
            try:
                message = done.get(timeout=5)
            except queue.Empty:
                if any(process.exitcode for process in processes):
                    raise OSError("a measuring process ended without a word: out of memory?") from None
                continue
            if isinstance(message, Exception):
                raise message
            finished += message == "done"
            bar.update(message == "photo")
        for process in processes:
            process.join()


def _measure_part(work: Work, shards: list[range], done) -> None:
    try:
        work(shards, lambda: done.put("photo"))
    except (CheckpointError, DataError, OSError) as error:
        done.put(type(error)(str(error)))
    done.put("done")


def merge(work: Work, shards: list[range], entries: list[Entry], kept: Kept, path: Path):
    """Bring the shards together: per_image.parquet, written as a stream, and the columns of every entry.

    Returns {entry: {column: (N,)}}, the shards' keys and a fingerprint of the photos.
    """
    identity = {"image": pa.int64(), "label": pa.string(), "colored": pa.bool_(), "decoder": pa.string()}
    schema = pa.schema(identity | {"epoch": pa.int64()} | dict.fromkeys(kept.columns, pa.float64()))
    columns = {entry: [] for entry in entries}
    chroma, keys = [], []
    beside = path.with_name(f"{path.name}.part")
    with parquet.ParquetWriter(beside, schema) as writer:
        for indices in shards:
            images, labels = work.shard(indices)
            keys.append(key := kept.shard_key(images, labels))
            chroma += [metrics.mean_chroma(image[None].float() / 255).item() for image in images]
            photos = {
                "image": list(indices),
                "label": [class_name(work.photos, index) for index in indices],
                "colored": [value >= metrics.GRAY_CHROMA for value in chroma[-len(indices) :]],
            }
            parts = []
            for entry in entries:
                values = kept.read(key, entry)["values"]
                columns[entry].append(values)
                rows = photos | {"decoder": [entry.decoder] * len(indices), "epoch": [entry.epoch] * len(indices)}
                rows |= {name: pa.array(values[:, c], from_pandas=True) for c, name in enumerate(kept.columns)}
                parts.append(pa.table(rows, schema=schema))
            writer.write_table(pa.concat_tables(parts))  # a row group
    os.replace(beside, path)
    tables = {}
    for entry, parts in columns.items():
        table = np.concatenate(parts) if parts else np.empty((0, len(kept.columns)))
        tables[entry] = dict(zip(kept.columns, table.T, strict=True)) | {"chroma_truth": np.array(chroma)}
    for table in tables.values():
        table["colorfulness_truth"] = tables[TRUTH]["colorfulness"]
    return tables, keys, hashlib.blake2b("".join(keys).encode(), digest_size=10).hexdigest()


def class_name(photos: PhotoSet, index: int) -> str | None:
    if photos.labels is None:
        return None
    label = photos.labels[index]
    return photos.class_names[label] if photos.class_names else str(label)


def frechet_distances(keys: list[str], entries: list[Entry], kept: Kept, colored: np.ndarray) -> dict[Entry, dict]:
    """For each entry {network: {"all": distance, "colored": distance}} from the truth's features to its own."""

    def features(entry: Entry) -> dict[str, Tensor]:
        parts = [kept.read(key, entry) for key in keys]
        return {n: torch.from_numpy(np.concatenate([part[n] for part in parts])) for n in kept.features}

    true = features(TRUTH) if keys else {}
    subsets = {"all": torch.ones(len(colored), dtype=torch.bool), "colored": torch.from_numpy(colored)}
    distances = {}
    for entry in tqdm(entries, "Frechet distance", leave=False) if true else ():
        own = features(entry)
        distances[entry] = {
            name: {
                which: metrics.frechet_distance(true[name][kept_], own[name][kept_]) for which, kept_ in subsets.items()
            }
            for name in own
        }
    return distances


def passes(entries: list[Entry]) -> list[list[Entry]]:
    """Split the checkpoints so that the networks of one pass fit into MODEL_BYTES; their files are half precision."""
    groups, room = [[]], MODEL_BYTES
    for entry in entries:
        size = 2 * os.path.getsize(entry.checkpoint.file("model.safetensors"))
        if groups[-1] and size > room:
            groups.append([])
            room = MODEL_BYTES
        groups[-1].append(entry)
        room -= size
    return groups


def main(args: argparse.Namespace) -> None:
    accelerator = Accelerator()
    cores, device, main_process = share_cores(accelerator), accelerator.device, accelerator.is_main_process
    output_dir = Path(args.output_dir)
    checkpoints = list_checkpoints(args.source)
    if args.write_metrics and any(checkpoint.revision for checkpoint in checkpoints):
        raise CheckpointError(f"--write-metrics writes into a folder, and {args.source} is on the Hub: leave it out")
    with accelerator.main_process_first():
        photos = PhotoSet(args.data, "validation", args.size, args.limit)
    if not len(photos):
        raise DataError(f"{' '.join(args.data)!r} holds no photos to measure on")
    if main_process:
        tqdm.write(photos.summary, file=sys.stderr)
    left_out = [reason for measure in LEARNED_MEASURES if (reason := measure.missing())]
    try:
        Classifier(device)
        classify = True
    except PretrainedWeightsError as error:
        classify, left_out = False, [*left_out, f"classifier and Frechet distance left out: {error}"]
    labels = imagenet_labels(photos.labels, photos.class_names)
    if classify and not any(label is not None for label in labels):
        left_out.append("top-1 left out: the data's classes are not Imagenette's, by name or WordNet id")

    # Measure. Every process takes every n-th shard; what it finds out it leaves on disk.
    (output_dir / "measured").mkdir(parents=True, exist_ok=True)
    shards = [range(start, min(start + SHARD, len(photos))) for start in range(0, len(photos), SHARD)]
    mine = shards[accelerator.process_index :: accelerator.num_processes]
    entries, damaged = [], {}
    for checkpoint in checkpoints:
        try:
            entry = checkpoint_entry(checkpoint)
            load_checkpoint(checkpoint)  # found out before an hour's work
            entries.append(entry)
        except CheckpointError as error:
            damaged[checkpoint.decoder, checkpoint.epoch] = str(error)
    for group in passes(entries) if entries else ():
        work = Work(photos, labels, (GRAY, TRUTH, *group), output_dir / "measured", classify, device)
        measure_shards(work, mine, cores, main_process)
    if main_process:
        for reason in damaged.values():
            print(f"evaluate.py: left out: {reason}", file=sys.stderr)
        for reason in left_out:
            print(f"evaluate.py: {reason}", file=sys.stderr)
    if not entries:
        raise CheckpointError(f"none of the {len(checkpoints)} checkpoints in {args.source!r} can be used")
    accelerator.wait_for_everyone()
    if not main_process:
        return

    # Bring together, summarize, draw.
    kept = Kept(output_dir / "measured", args.size, classify)
    tables, keys, fingerprint = merge(work, shards, [GRAY, TRUTH, *entries], kept, output_dir / "per_image.parquet")
    colored = tables[TRUTH]["chroma_truth"] >= metrics.GRAY_CHROMA
    distances = frechet_distances(keys, [GRAY, *entries], kept, colored)
    data = args.data_name or (plain_name(args.data) if len(args.data) > 1 else args.data[0])
    about = {"data": data, "split": "validation", "size": args.size}
    about |= {"fingerprint": fingerprint, "classifier": CLASSIFIER if classify else None}
    results = {}
    for entry in tqdm([GRAY, TRUTH, *entries], "summarize", leave=False):
        results[entry] = summarize(tables[entry], **about)
        for network, found in distances.get(entry, {}).items():
            for which, distance in found.items():
                value = round(distance, 6) if np.isfinite(distance) else None
                results[entry][which].setdefault("frechet", {})[network] = value
    everything = about | {
        "images": len(photos),
        "left_gray": {"decoder": None, "epoch": None, **results[GRAY]},
        "truth": {"decoder": None, "epoch": None, **results[TRUTH]},
        "checkpoints": [{"decoder": e.decoder, "epoch": e.epoch, **results[e]} for e in entries],
        "cost": decoder_costs(entries, args.size, device),
        "damaged": [{"decoder": d, "epoch": n, "reason": reason} for (d, n), reason in damaged.items()],
        "left_out": left_out,
    }
    write_json(output_dir / METRICS_FILE, everything)
    if args.write_metrics:
        for result, entry in zip(everything["checkpoints"], entries, strict=True):
            frame = {"left_gray": results[GRAY]["colored"], "truth": results[TRUTH]["colored"]}
            write_json(Path(entry.checkpoint.path, METRICS_FILE), result | frame)
    draw_pictures(photos, tables, entries, output_dir / "figures", device)
    report.write_report(output_dir)
    print(table([everything["left_gray"], *everything["checkpoints"]]))
    print(f"\n{output_dir / 'report.html'}", file=sys.stderr)


def table(results: list[dict]) -> str:
    """Markdown, a line for each result, over the colored photos. PSNR never stands without colorfulness."""
    return report.results_table(results)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
        return int(text)

    def side(text: str) -> int:
        if count(text) % 16 or int(text) < 32:
            raise argparse.ArgumentTypeError(f"must be a multiple of 16 and at least 32, got {text}")
        return int(text)

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.print_usage = lambda file=None: None  # a wrong flag is one line; --help shows the rest
    parser.add_argument("--source", required=True, help="folder of checkpoints, or a Hub prefix owner/name")
    parser.add_argument(
        "--data", required=True, nargs="+", help="data sets: a Hub id, a folder of Parquet files or of images, each"
    )
    parser.add_argument("--data-name", help="what metrics.json calls the data; default: --data")
    parser.add_argument("--output-dir", required=True, help="folder for metrics.json, per_image.parquet and the report")
    parser.add_argument("--limit", type=count, help="measure N photos, spread evenly over the data, only")
    parser.add_argument("--size", type=side, default=224, help="side in pixels at which everything is measured")
    parser.add_argument("--write-metrics", action="store_true", help="also write each checkpoint's metrics.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except (CheckpointError, DataError, OSError) as error:
        sys.exit(f"evaluate.py: {error}")
