"""The whole paper in one command: train every decoder, save the epochs, measure them all, write the report.

    python train/study.py --data frgfm/imagenette --epochs 900 --output-dir runs/study

Runs train.py for each decoder, one decoder per GPU on all available GPUs, then evaluate.py on the saved epochs.
An interrupted study resumes with the same command: finished decoders are skipped, the others resume. Options that are
not listed here are those of train.py and apply to every decoder.
"""

import argparse
import contextlib
import heapq
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import (
    STOPPED_STATUS,
    ArgumentParser,
    check_output_folder,
    end_in_one_line,
    errors_in_one_line,
    one_line,
    positive_int,
    set_signal_handler,
)

STOPPED = "study.py: stopped; run the same command to resume"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

import torch

from chromagan.data import PhotoSet
from chromagan.hub.checkpoints import CheckpointError, list_checkpoints
from chromagan.hub.files import OPTIONS_FILE
from chromagan.network.decoders import DECODERS
from train.training.checks import check_epochs, check_run_dir, check_sources, check_state
from train.training.options import TrainConfig, parse_config
from train.training.watching import LOG_FILE, last_entry

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Run:
    """One decoder's training run in the study."""

    config: TrainConfig
    flags: list[str]  # of train.py
    started: bool
    epochs_done: int  # from the log; saved epochs and states may be slightly older
    recorded: dict[str, Any]  # the options that it was started with; {} if it was not

    @property
    def finished(self) -> bool:
        return self.config.epochs in _saved_epochs(self.config)  # the last epoch implies the earlier ones

    @property
    def lost(self) -> set[int]:
        """The epochs of a finished run that are asked for now and were not when it passed them."""
        return self.config.saved_epochs - _saved_epochs(self.config) if self.finished else set()


def plan(decoders: list[str], flags: list[str]) -> list[Run]:
    """The runs of the study with their progress. A wrong flag ends the program before any work. TrainingError for a run
    that cannot be continued."""
    runs = []
    for decoder in decoders:
        own = ["--decoder", decoder, *flags]
        config = parse_config(own)
        started = (config.run_dir / OPTIONS_FILE).exists()
        # A finished run, too, must be one of these options: its networks are compared with the others.
        recorded = check_run_dir(replace(config, resume=True)) if started else {}
        run = Run(config, own, started, int(last_entry(config.run_dir / LOG_FILE, "epoch")), recorded)
        if started and not run.finished:
            check_state(config, recorded)
            check_epochs(run.epochs_done, config, str(config.run_dir))
        runs.append(run)
    return runs


def _saved_epochs(config: TrainConfig) -> set[int]:
    try:
        return {c.epoch for c in list_checkpoints(Path(config.output_dir)) if c.decoder == config.decoder}
    except CheckpointError:  # nothing is saved yet
        return set()


def measured_rate(run: Run) -> float:
    """Images per second: the median of the run's log; without a log, of a few steps here on random images."""
    try:
        lines = (run.config.run_dir / LOG_FILE).read_text(encoding="utf-8").splitlines()
        return statistics.median(json.loads(line)["images_per_second"] for line in lines)
    except (OSError, ValueError, KeyError):
        from accelerate import Accelerator

        from train.training.timing import Trial, medians

        accelerator = Accelerator(mixed_precision="no")
        trial = Trial(run.config, accelerator)
        return run.config.batch_size / medians({"step": trial.run}, accelerator.device, 3)["step"]


def describe(runs: list[Run], images: int, workers: int, rate: float | None = None, price: float | None = None) -> str:
    """The plan as text: a line for each decoder with its time, and the total price if `price` is given.

    rate: images per second, if measured elsewhere. price: of the machine, in US dollars an hour.
    """
    checkpoints, lines, ends = 0, [], [0.0] * workers  # seconds from now at which each worker is free
    for run in runs:
        left = 0 if run.finished else run.config.epochs - run.epochs_done
        steps = images // run.config.batch_size or 1
        seconds = left * steps * run.config.batch_size / (rate or measured_rate(run)) if left else 0.0
        heapq.heapreplace(ends, ends[0] + seconds)  # a decoder runs on the worker that is free first: see train
        state = "finished" if run.finished else f"epochs {run.epochs_done} to {run.config.epochs}, {_hours(seconds)}"
        saved = sorted(run.config.saved_epochs - run.lost)
        lines.append(f"{DECODERS[run.config.decoder].label}: {state}; saves {' '.join(map(str, saved))}")
        checkpoints += len(saved)
    whole = max(ends)
    at_once = f"{workers} decoders at once" if workers > 1 else "one decoder after the other"
    lines.append(
        f"{images:,} images, {at_once}: {f'about {_hours(whole)}' if whole else 'nothing left'} of training, plus the "
        f"evaluation of {checkpoints} checkpoints"
    )
    if price is not None:
        lines.append(f"training at {price:.2f} US dollars an hour: about {price * whole / 3600:.2f}")
    return "\n".join(lines)


def _named(epochs: set[int]) -> str:
    return f"epoch{'s' if len(epochs) > 1 else ''} {' '.join(map(str, sorted(epochs)))}"


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{max(minutes, 1)} min"


class Processes:
    """Child processes of the study: a signal to end it is forwarded to them, so that each saves its state.

    Each child has its own session. A terminal sends Ctrl-C to every process of a session, and a child that received it
    both from the terminal and from here would take it for a second Ctrl-C and end without saving.
    """

    def __init__(self):
        self.running: set[subprocess.Popen] = set()
        self.stopped = False
        set_signal_handler(self._stop, "SIGTERM", "SIGINT", "SIGHUP")

    def _stop(self, number, frame) -> None:
        self.stopped = True
        for process in list(self.running):
            process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    def run(self, command: list[str], environment: dict[str, str], log: Path | None = None) -> int:
        """Run a command and return its exit status. Its output goes to `log` if given, else to the terminal."""
        with open(log, "ab") if log else contextlib.nullcontext() as output:
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=output, stderr=output, start_new_session=True
            )
            self.running.add(process)
            try:
                return process.wait()
            finally:
                self.running.discard(process)


def train(runs: list[Run], workers: int, gpus: int, processes: Processes) -> list[str]:
    """Train all unfinished decoders, `workers` at a time, and return the names of those that failed."""
    waiting: queue.SimpleQueue[Run] = queue.SimpleQueue()
    for run in runs:
        if not run.finished:
            waiting.put(run)
    failed = []

    def work(worker: int) -> None:
        while not processes.stopped:
            try:
                run = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                folder = Path(run.config.output_dir)
                folder.mkdir(parents=True, exist_ok=True)
                log = folder / f"{run.config.decoder}.txt" if workers > 1 else None
                doing = "resuming" if run.started else "starting"
                print(f"{run.config.decoder}: {doing}" + (f", see {log}" if log else ""))
                environment = {"CUDA_VISIBLE_DEVICES": _visible(worker)} if gpus > 1 else {}
                command = [sys.executable, str(ROOT / "train" / "train.py"), *run.flags]
                status = processes.run([*command, "--resume"] if run.started else command, environment, log)
            except OSError as error:  # otherwise only this thread would end, and the evaluation lack the decoder
                print(f"study.py: {run.config.decoder}: {one_line(error)}", file=sys.stderr)
                status = 1
            if (status or not run.finished) and not processes.stopped:
                failed.append(run.config.decoder)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a join without timeout would block signals
            thread.join(0.2)
    return failed


def _visible(worker: int) -> str:
    """The worker's GPU for CUDA_VISIBLE_DEVICES, among those that the caller left visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[worker] if visible else str(worker)


def main(args: argparse.Namespace, flags: list[str]) -> int:
    runs = plan(args.decoders, flags)
    config = runs[0].config
    check_output_folder(config.output_dir, config.data)
    for run in runs:
        if run.lost:
            print(f"{run.config.decoder}: is finished and did not save {_named(run.lost)}", file=sys.stderr)
    photos = PhotoSet(config.data, "train", limit=config.limit_train or None)
    for run in runs:
        check_sources(photos.sources, run.recorded, run.config)
    gpus = torch.cuda.device_count()
    workers = max(1, min(gpus, len(runs)))
    if args.dry_run:
        print(describe(runs, len(photos), workers, args.images_per_second, args.price_per_hour))
        return 0
    processes = Processes()
    failed = train(runs, workers, gpus, processes)
    if processes.stopped:
        print(STOPPED, file=sys.stderr)
        return STOPPED_STATUS
    if failed:
        print(
            f"study.py: not finished: {', '.join(failed)}; fix it and run the same command to resume", file=sys.stderr
        )
        return 1
    evaluate = [sys.executable, str(ROOT / "train" / "evaluate.py"), "--source", config.output_dir, "--write-metrics"]
    evaluate += ["--data", *config.data, "--output-dir", str(Path(config.output_dir, "report"))]
    evaluate += ["--limit", str(args.limit)] if args.limit else []
    status = processes.run(evaluate, {})
    if status and processes.stopped:  # not the evaluation's own: SIGTERM ends it without a word
        print(STOPPED, file=sys.stderr)
        return STOPPED_STATUS
    return status


def parse_args(argv: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The study's own options, and the remaining flags, which are train.py's."""

    def positive(text: str) -> float:
        with contextlib.suppress(ValueError):
            if 0 < float(text) < float("inf"):
                return float(text)
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")

    parser = ArgumentParser(
        usage="%(prog)s --data DATA [DATA ...] --output-dir OUTPUT_DIR [options] [options of train.py]",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--decoders", nargs="+", choices=DECODERS, default=list(DECODERS), help="default: all")
    parser.add_argument("--limit", type=positive_int, help="evaluate on only N validation photos")
    parser.add_argument("--dry-run", action="store_true", help="print the plan with the estimated time")
    parser.add_argument(
        "--images-per-second", type=positive, help="for --dry-run: a training rate measured on another machine"
    )
    parser.add_argument("--price-per-hour", type=positive, help="for --dry-run: the machine's price in US dollars")
    args, flags = parser.parse_known_args(argv)
    args.decoders = list(dict.fromkeys(args.decoders))  # one named twice would be trained twice in the same folder
    for own in ("--decoder", "--resume"):
        if any(flag == own or flag.startswith(own + "=") for flag in flags):
            parser.error(f"{own} is an option of train.py only: give --decoders; a study resumes by itself")
    return args, flags


if __name__ == "__main__":
    end_in_one_line(STOPPED)
    with errors_in_one_line("study.py"):
        sys.exit(main(*parse_args()))
