"""Parallel measuring: photos in shards, one process per core, every shard's measurements stored on disk.

Measurements are keyed by the contents of the photos and networks: an interrupted run resumes from them, and a run with
new checkpoints measures only those.
"""

import functools
import multiprocessing
import multiprocessing.connection
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from chromagan.data import PhotoSet
from chromagan.device import torch_threads
from train.evaluation.classifier import Classifier
from train.evaluation.measuring import Measurer
from train.evaluation.networks import Entry, load_networks
from train.evaluation.store import MeasurementStore

SHARD = 16  # photos; the unit of work, and of resuming an interrupted run


@dataclass(frozen=True)
class MeasuringTask:
    """Photos to measure and the entries to measure them for; each process builds its own networks from it."""

    photos: PhotoSet
    labels: list[int | None]  # ImageNet indices; empty if the data has no labels
    entries: tuple[Entry, ...]
    folder: Path  # for the measurements
    classify: bool
    device: torch.device

    @functools.cached_property
    def store(self) -> MeasurementStore:
        return MeasurementStore(self.folder, self.classify)

    @functools.cached_property
    def measurer(self) -> Measurer:
        """A measurer with the networks loaded; CheckpointError if one cannot be."""
        networks = load_networks([entry for entry in self.entries if entry.checkpoint], self.device)
        return Measurer(networks, Classifier(self.device) if self.classify else None, self.device)

    def measure(self, indices: range) -> int:
        """Measure and store what is not stored yet of a shard; return its number of photos."""
        images, labels = self.shard(indices)
        key = self.store.shard_key(images, labels)
        missing = {entry: arrays for entry in self.entries if (arrays := self.store.missing(key, entry))}
        if missing:
            for entry, arrays in self.measurer(images, labels, missing).items():
                self.store.write(key, entry, arrays)
        return len(images)

    def shard(self, indices: range) -> tuple[list[Tensor], list[int | None]]:
        """A shard's photos, uint8 (3, S, S) each, and their ImageNet indices."""
        images = [self.photos[index] for index in indices]
        return images, [self.labels[index] if self.labels else None for index in indices]


def workers_for(shards: list[range], cores: int, device: torch.device) -> int:
    """The number of processes that `measure_shards` uses; each holds all networks."""
    return max(1, min(cores, len(shards))) if device.type == "cpu" else 1


def measure_shards(task: MeasuringTask, shards: list[range], cores: int, show: bool) -> None:
    """Measure `shards`; on the CPU in one process per core, since threads would wait for each other between operations.

    show: show a progress bar. Reraises an error of a process, and raises OSError if one died.
    """
    workers = workers_for(shards, cores, task.device)
    with tqdm(total=sum(map(len, shards)), desc="measure", unit=" photos", disable=not show) as bar:
        if workers == 1:
            with torch_threads(1):  # see train/evaluation/measuring.py
                for shard in shards:
                    bar.update(task.measure(shard))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _start_worker, (task,)) as pool:
            done = [pool.submit(_measure_shard, shard) for shard in shards]
            try:
                for future in as_completed(done):
                    bar.update(future.result())
            except BrokenProcessPool as error:
                raise OSError("a measuring process ended unexpectedly: out of memory?") from error
            finally:
                pool.shutdown(cancel_futures=True)


def _start_worker(task: MeasuringTask) -> None:
    global _task
    _task = task
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End a worker whose parent was killed, which would otherwise wait for its next shard forever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _measure_shard(shard: range) -> int:
    return _task.measure(shard)
