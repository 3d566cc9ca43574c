"""The steps of a run: which are logged, when a state is due, how a signal ends it."""

import json
import signal
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from chromagan.programs import one_line
from train.training.options import TrainConfig
from train.training.run import Run, part_of_batch
from train.training.watching import Log, TrainingError


@pytest.fixture
def run(tmp_path):
    config = TrainConfig(decoder="compact", data=["d"], output_dir=str(tmp_path), log_every=2, state_every=3)
    config.run_dir.mkdir()
    with Run(config, Accelerator(cpu=True), step=0, total=7, shown=["color"]) as run:
        yield run


def take(run, value=1.0, saving=False):
    return run.count({"color": torch.tensor(value)}, saving, epoch=(run.step + 1) / 7)


def test_lines_and_states_come_at_their_steps_and_at_the_end(run):
    logged, kept = [], []
    while run.goes_on:
        if take(run, float(run.step + 1)):
            logged.append(run.step)
        if run.state_is_due:
            kept.append(run.step)
    assert logged == [2, 4, 6, 7] and kept == [3, 6, 7]
    lines = [json.loads(line) for line in (run.config.run_dir / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["color"]) for line in lines] == [(2, 1.5), (4, 3.5), (6, 5.5), (7, 7.0)]
    assert lines[-1]["epoch"] == 1 and list(lines[0])[:2] == ["step", "epoch"]
    run.exit_if_stopped(pytest.fail)  # it was not


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 0), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_behind_its_step_with_a_state(run, number, status):
    take(run)
    assert run.goes_on and not run.state_is_due
    assert callable(signal.getsignal(number))  # else it would end the tests
    signal.raise_signal(number)
    take(run)
    assert not run.goes_on and run.state_is_due
    said = []
    with pytest.raises(SystemExit) as ended:
        run.exit_if_stopped(said.append)
    assert ended.value.code == status
    assert said == [f"stopped by {number.name} at step 2 of 7, state saved: continue with --resume"]


def test_a_signal_that_comes_while_the_processes_agree_ends_the_run_one_step_later(run, monkeypatch):
    for name, value in (("is_initialized", True), ("get_world_size", 2), ("new_group", "gloo")):
        monkeypatch.setattr(torch.distributed, name, lambda value=value, **options: value)
    signals = [signal.SIGTERM]

    def all_reduce(number, *how, group):
        """Of processes that all got the signal in here."""
        while signals:
            signal.raise_signal(signals.pop())

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    take(run)
    assert run.goes_on
    take(run)
    assert not run.goes_on and run.state_is_due and run.signal.name == "SIGTERM"


def test_what_is_no_number_is_found_before_it_is_saved(run):
    assert take(run, float("nan")) == {}  # neither logged nor kept
    with pytest.raises(TrainingError, match="the color term is not finite at step 1: the networks return NaN or inf"):
        take(run)


def test_processes_share_a_batch_whole():
    processes = [SimpleNamespace(num_processes=3, process_index=index) for index in range(3)]
    parts = [part_of_batch(12, process) for process in processes]
    assert [index for part in parts for index in range(12)[part]] == list(range(12))


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    """A write to a full disk raises an error that names no file."""

    def full():
        raise OSError(28, "No space left on device")

    log = Log(tmp_path / "log.jsonl", 0)
    log.file.close()
    log.file = SimpleNamespace(name=log.file.name, write=len, flush=full)
    with pytest.raises(OSError) as raised:
        log.write({"step": 1})
    assert one_line(raised.value) == f"{tmp_path / 'log.jsonl'}: No space left on device"
