"""Measuring shared out: photos in shards, a process to each core, every shard's measurements kept on disk.

What was measured is found by what the photos and the networks hold: a run that was cut off goes on from it, and one
with new checkpoints measures only those.
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
from train.evaluation.classifier import Classifier
from train.evaluation.measuring import Measurer
from train.evaluation.networks import Entry, load_networks
from train.evaluation.store import MeasurementStore

SHARD = 16  # photos; the unit that is shared out and that a run which was cut off goes on from


@dataclass(frozen=True)
class MeasuringTask:
    """Photos to measure and what to measure them with; a process that was sent one builds its own networks from it."""

    photos: PhotoSet
    labels: list[int | None]  # ImageNet's indices; empty where the data has none
    entries: tuple[Entry, ...]
    folder: Path  # of the measurements
    classify: bool
    device: torch.device

    @functools.cached_property
    def store(self) -> MeasurementStore:
        return MeasurementStore(self.folder, self.classify)

    @functools.cached_property
    def measurer(self) -> Measurer:
        """The networks, loaded; CheckpointError where one cannot be."""
        networks = load_networks([entry for entry in self.entries if entry.checkpoint], self.device)
        return Measurer(networks, Classifier(self.device) if self.classify else None, self.device)

    def measure(self, indices: range) -> int:
        """The number of photos in a shard, once all that was not stored of it is measured and stored."""
        images, labels = self.shard(indices)
        key = self.store.shard_key(images, labels)
        missing = {entry: arrays for entry in self.entries if (arrays := self.store.missing(key, entry))}
        if missing:
            for entry, arrays in self.measurer(images, labels, missing).items():
                self.store.write(key, entry, arrays)
        return len(images)

    def shard(self, indices: range) -> tuple[list[Tensor], list[int | None]]:
        """The photos of a shard, uint8 (3, S, S) each, and their ImageNet indices."""
        images = [self.photos[index] for index in indices]
        return images, [self.labels[index] if self.labels else None for index in indices]


def workers_for(shards: list[range], cores: int, device: torch.device) -> int:
    """In how many processes `measure_shards` measures; each holds all networks."""
    return max(1, min(cores, len(shards))) if device.type == "cpu" else 1


def measure_shards(task: MeasuringTask, shards: list[range], cores: int, show: bool) -> None:
    """Measure `shards`, on the CPU in a process to each core: threads would wait for each other between operations.

    show: a progress bar. Raises what a process raised, and OSError where one died.
    """
    workers = workers_for(shards, cores, task.device)
    with tqdm(total=sum(map(len, shards)), desc="measure", unit=" photos", disable=not show) as bar:
        if workers == 1:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # see train/evaluation/measuring.py
            for shard in shards:
                bar.update(task.measure(shard))
            torch.set_num_threads(threads)
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
    """A worker whose parent was killed would wait for its next shard for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _measure_shard(shard: range) -> int:
    return _task.measure(shard)
