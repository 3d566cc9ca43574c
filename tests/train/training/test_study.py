"""The study: its plan, a real one of two decoders on made images, gone on with, and how it ends early."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from chromagan.hub.checkpoints import SHIPPED, list_checkpoints
from chromagan.hub.files import write_json
from chromagan.network.decoders import DECODERS
from train.study import Processes, describe, main, parse_args, plan, train
from train.train import main as train_one
from train.training.checks import check_sources
from train.training.options import parse_config
from train.training.watching import TrainingError

ROOT = Path(__file__).resolve().parents[3]


def planned(arguments, capsys):
    """The lines of --dry-run."""
    capsys.readouterr()
    assert main(*parse_args([*map(str, arguments), "--dry-run"])) == 0
    return capsys.readouterr().out.splitlines()


def flags(image_folder, epochs):
    return [
        "--data", image_folder, "--output-dir", "runs/study", "--epochs", epochs, "--save-epochs", 0,
        "--batch-size", 4, "--crop", 64, "--critic-width", 4, "--limit-validation", 0, "--samples", 0,
        "--cache-dir", "cache",
    ]  # fmt: skip


def test_a_study_trains_measures_and_goes_on(image_folder, tmp_path, monkeypatch, capsys):
    """Two decoders, the first trained to epoch 1 before; paths are those of the folder that it is started in."""
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "runs" / "study"
    train_one(parse_config(["--decoder", "compact", *map(str, flags(image_folder, 1))]))
    weights = output / "compact" / "epoch-1" / "model.safetensors"
    written = weights.stat().st_mtime_ns

    two = [*flags(image_folder, 2), "--decoders", "compact", "depthwise"]
    lines = planned(two, capsys)
    assert lines[0].startswith(f"{DECODERS['compact'].label}: epochs 1 to 2, ") and lines[0].endswith("saves 0 2")
    assert lines[1].startswith(f"{DECODERS['depthwise'].label}: epochs 0 to 2, ") and "9 images" in lines[2]
    assert not (output / "depthwise").exists()

    command = [sys.executable, str(ROOT / "train" / "study.py"), *map(str, two)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert second.returncode == 0, second.stderr[-2000:]
    assert "compact: resuming" in second.stdout and "resuming after step 2 of 4" in second.stderr
    assert weights.stat().st_mtime_ns == written
    found = [(c.decoder, c.epoch) for c in list_checkpoints(output)]
    assert found == [("compact", 0), ("compact", 1), ("compact", 2), ("depthwise", 0), ("depthwise", 2)]
    measured = json.loads((output / "report" / "metrics.json").read_text())
    assert len(measured["checkpoints"]) == 5
    assert planned(two, capsys)[0] == f"{DECODERS['compact'].label}: finished; saves 0 2"


CHILD = """
import sys, time
from pathlib import Path
from train.training.watching import StopSignal
stop, folder = StopSignal(), Path(sys.argv[1])
(folder / "ready").touch()
while not stop.agreed():
    time.sleep(0.01)
time.sleep(0.3)  # a step ends, and the state is written
(folder / "saved").touch()
"""
PARENT = f"""
import sys
from train.study import Processes
Processes().run([sys.executable, "-c", {CHILD!r}, *sys.argv[1:]], {{}})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_each_run_once_and_it_saves_its_state(tmp_path, number):
    """A terminal sends Ctrl-C to the study and all that it has started: a second one would end a run at once."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "ready").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, number)
        assert process.wait(60) == 0 and (tmp_path / "saved").exists()
    finally:
        for each in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            each.kill()
        process.kill()


def test_a_study_that_is_to_outlive_its_terminal_does():
    """nohup ignores SIGHUP."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    processes = Processes()
    signal.raise_signal(signal.SIGHUP)
    assert not processes.stopped
    signal.raise_signal(signal.SIGTERM)
    assert processes.stopped


def test_a_cut_off_decoder_is_resumed_and_one_without_a_state_is_not_lost(tmp_path):
    own = ["--data", "d", "--output-dir", str(tmp_path), "--epochs", "6"]
    folder = tmp_path / "compact"
    folder.mkdir()
    (folder / "train.json").write_text("{}")
    (folder / "log.jsonl").write_text('{"step": 9, "epoch": 2.25}\n{"step": 13, "epoch": 3.25}\n{"step": 17, "epo')
    compact, original = plan(["compact", "original"], own)
    assert compact.started and compact.epochs_done == 3 and not compact.finished
    assert not original.started and original.epochs_done == 0


def test_an_epoch_that_a_finished_run_did_not_save_is_not_promised(source, tmp_path):
    """source: compact at epochs 0 and 3."""
    folder = shutil.copytree(source, tmp_path / "study")
    (folder / "compact" / "train.json").write_text("{}")
    own = ["--data", "d", "--output-dir", str(folder), "--epochs", "3", "--save-epochs"]
    for wanted, lost in (("0", set()), ("1", {1})):
        (run,) = plan(["compact"], [*own, wanted])
        assert run.finished and run.lost == lost
        first, last = describe([run], images=100, workers=1).splitlines()
        saves = "0 3" if wanted == "0" else "3"
        assert first == f"{DECODERS['compact'].label}: finished; saves {saves}"
        assert "nothing left of training" in last and f"evaluation of {len(saves.split())} checkpoint" in last


def test_the_time_and_the_price_come_from_the_rate_that_the_run_had_or_that_is_given(tmp_path):
    folder = tmp_path / "compact"
    folder.mkdir()
    (folder / "train.json").write_text("{}")
    lines = [{"step": 9, "epoch": 1.0, "images_per_second": rate} for rate in (1.0, 100.0, 102.0)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs = plan(["compact"], ["--data", "d", "--output-dir", str(tmp_path), "--epochs", "37"])
    said = describe(runs, images=20_000, workers=1, price=2.0).splitlines()  # 36 epochs of 20,000 at 100 a second
    assert said[0].startswith(f"{DECODERS['compact'].label}: epochs 1 to 37, 2 h 00 min")
    assert said[-1] == "training at 2.00 US dollars an hour: about 4.00"
    said = describe(runs, images=20_000, workers=1, rate=400.0, price=2.0).splitlines()
    assert "30 min" in said[0] and said[-1].endswith("about 1.00")


def test_a_fifth_decoder_on_four_gpus_takes_as_long_again(tmp_path):
    """A decoder runs whole on one GPU: two rounds, though it is work for one and a quarter."""
    runs = plan(list(DECODERS), ["--data", "d", "--output-dir", str(tmp_path), "--epochs", "36"])
    said = describe(runs, images=20_000, workers=4, rate=100.0, price=3.0).splitlines()  # 2 hours each
    assert len(runs) == 5 and all(", 2 h 00 min" in line for line in said[:5])
    assert "4 decoders at once: about 4 h 00 min of training" in said[5]
    assert said[6] == "training at 3.00 US dollars an hour: about 12.00"


def test_every_gpu_gets_a_decoder_of_its_own(tmp_path, monkeypatch):
    """Two GPUs, three decoders: two at once, the third where one is free; a failed one does not stop the others."""
    seen, together = [], threading.Barrier(2, timeout=10)

    class Processes:
        stopped = False

        def run(self, command, environment, log):
            decoder = command[command.index("--decoder") + 1]
            seen.append((decoder, environment["CUDA_VISIBLE_DEVICES"], log.name))
            if decoder != "transposed":
                together.wait()  # both are running
            if decoder == "original":
                return 1
            for epoch in (0, 1):
                folder = tmp_path / decoder / f"epoch-{epoch}"
                folder.mkdir(parents=True)
                (folder / "model.safetensors").touch()
            return 0

    runs = plan(["original", "compact", "transposed"], ["--data", "d", "--output-dir", str(tmp_path), "--epochs", "1"])
    assert train(runs, workers=2, gpus=2, processes=Processes()) == ["original"]
    assert {decoder for decoder, _, _ in seen} == {"original", "compact", "transposed"}
    assert {gpu for decoder, gpu, _ in seen if decoder != "transposed"} == {"0", "1"}
    assert sorted(log for _, _, log in seen) == ["compact.txt", "original.txt", "transposed.txt"]


def test_a_decoder_that_cannot_be_started_is_named_and_counts_as_failed(tmp_path, capsys):
    """Two workers; the log of one cannot be opened, the folder of none be made."""

    class Processes:
        stopped = False

        def run(self, command, environment, log):
            with open(log, "ab"):
                return 1

    own = ["--data", "d", "--output-dir", str(tmp_path / "study"), "--epochs", "1"]
    (tmp_path / "study" / "compact.txt").mkdir(parents=True)
    assert train(plan(["compact"], own), workers=2, gpus=2, processes=Processes()) == ["compact"]
    (tmp_path / "file").touch()
    own = ["--data", "d", "--output-dir", str(tmp_path / "file" / "study"), "--epochs", "1"]
    assert train(plan(["original"], own), workers=1, gpus=0, processes=Processes()) == ["original"]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("study.py: compact: ") and "compact.txt: Is a directory" in first
    assert second.startswith("study.py: original: ") and "file" in second


def test_a_decoder_that_was_trained_with_other_options_is_refused_before_any_work(image_folder, tmp_path, capsys):
    """Also if it is finished: the report would compare networks of two recipes."""
    own = ["--data", str(image_folder), "--output-dir", str(tmp_path), "--epochs", "1"]
    options = asdict(parse_config(["--decoder", "compact", *own]))
    shutil.copytree(SHIPPED / "compact" / "epoch-1", tmp_path / "compact" / "epoch-1")
    write_json(tmp_path / "compact" / "train.json", options)
    (finished,) = plan(["compact"], own)
    assert finished.finished
    with pytest.raises(TrainingError, match="--lr is 0.1, but the run was started with 0.0005: leave it as it was"):
        main(*parse_args([*own, "--decoders", "original", "compact", "--lr", "0.1"]))
    assert not (tmp_path / "original").exists()


@pytest.mark.parametrize("status, expected", [(-signal.SIGTERM, 130), (0, 0)])
def test_a_signal_during_the_evaluation_ends_the_study_as_one_during_training_does(
    image_folder, tmp_path, monkeypatch, capsys, status, expected
):
    """One that the evaluation no longer takes, since it is at its end, stops nothing."""

    class Processes:
        stopped = False

        def run(self, command, environment):
            self.stopped = True
            return status

    monkeypatch.setattr("train.study.Processes", Processes)
    for epoch in ("epoch-0", "epoch-1"):
        shutil.copytree(SHIPPED / "compact" / epoch, tmp_path / "compact" / epoch)
    own = ["--data", str(image_folder), "--output-dir", str(tmp_path), "--epochs", "1", "--decoders", "compact"]
    assert main(*parse_args(own)) == expected
    said = capsys.readouterr().err
    assert said == ("study.py: stopped; run the same command to resume\n" if expected else "")


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_study_of_two_batch_sizes_or_data_sets_is_refused_before_any_work(image_folder, tmp_path, more, capsys):
    """Where a decoder is finished, nothing reads its photos again: only what it recorded shows it."""
    own = ["--data", str(image_folder), "--output-dir", str(tmp_path), "--epochs", "1", "--batch-size"]
    shutil.copytree(SHIPPED / "compact" / "epoch-1", tmp_path / "compact" / "epoch-1")

    def recorded(**changes):
        options = asdict(parse_config(["--decoder", "compact", *own, "4"]))
        sources = [{"data": str(image_folder), "folder": True, "photos": 8, "gray": 1}]
        write_json(tmp_path / "compact" / "train.json", options | {"sources": sources} | changes)

    def refused(*arguments):
        with pytest.raises(TrainingError) as error:
            main(*parse_args([*own, *arguments, "--decoders", "original", "compact", *more]))
        assert not (tmp_path / "original").exists() and not capsys.readouterr().out
        return str(error.value)

    recorded()
    assert refused("8").startswith("--batch-size is 8, but the run was started with 4: leave it as it was")
    assert refused("2").startswith("--batch-size is 2, but the run was started with 4: leave it as it was")
    twice = refused("4", "--data", str(image_folder), str(image_folder))
    assert twice.endswith(f"does not hold the images that {tmp_path / 'compact'} was started with")
    recorded(sources=[{"data": "moved", "folder": True, "photos": 8, "gray": 0}])
    assert "does not hold the images" in refused("4")
    if more:
        recorded(sources=[{"data": "moved", "folder": True, "photos": 8, "gray": 1}], batch_size=8)
        (line, *_) = planned([*own, "16", "--decoders", "compact"], capsys)  # 16 that they do not fill
        assert "finished" in line


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_fewer_epochs_than_were_trained_are_refused_before_any_work(tmp_path, more):
    flags = ["--data", "d", "--output-dir", str(tmp_path), "--epochs"]
    run = tmp_path / "compact"
    run.mkdir()
    write_json(run / "train.json", asdict(parse_config(["--decoder", "compact", *flags, "3"])))
    (run / "log.jsonl").write_text('{"step": 6, "epoch": 3.0}\n')
    (run / f"state-6-{'0' * 32}.pt").touch()
    with pytest.raises(TrainingError, match="compact is already at epoch 3: --epochs must be at least that"):
        main(*parse_args([*flags, "2", *more]))


def test_a_data_set_of_the_hub_is_known_by_its_name(tmp_path):
    options = parse_config(["--decoder", "compact", "--data", "a/b", "--output-dir", str(tmp_path)])
    found = [{"data": "a/b", "folder": False, "photos": 9}]
    for data, folder in (("a/b", False), ("copy", True)):
        check_sources(found, {"sources": [{"data": data, "folder": folder, "photos": 7, "gray": 2}]}, options)
    check_sources(found, {}, options)  # a run that is older than its sources' record
    with pytest.raises(TrainingError, match="--data a/b does not hold the images that .*compact was started with"):
        check_sources(found, {"sources": [{"data": "a/c", "folder": False, "photos": 7, "gray": 2}]}, options)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_cannot_be_is_refused_before_any_work(tmp_path, more):
    (tmp_path / "file").touch()
    arguments = ["--data", "no data", "--output-dir", str(tmp_path / "file" / "study"), *more]
    with pytest.raises(OSError, match="study cannot be written to: .*file is a file"):
        main(*parse_args(arguments))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--decoders", "nearest"], "invalid choice: 'nearest'"),
        (["--decoder", "compact"], "--decoder is an option of train.py only"),
        (["--resume"], "--resume is an option of train.py only"),
        (["--limit", "0"], "1 or more"),
        (["--price-per-hour", "free"], "must be a number above 0, got 'free'"),
    ],
)
def test_nonsense_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--data", "d", "--output-dir", "o", *arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and len(error.strip().splitlines()) == 1


def test_a_decoder_that_is_named_twice_is_planned_once():
    args, _ = parse_args(["--decoders", "original", "compact", "original", "--data", "d"])
    assert args.decoders == ["original", "compact"]


def test_its_usage_names_what_train_py_requires(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--help"])
    usage = capsys.readouterr().out.splitlines()[0]
    assert stop.value.code == 0 and " --data DATA [DATA ...] --output-dir OUTPUT_DIR " in usage


def test_options_of_training_are_refused_before_any_work(capsys):
    with pytest.raises(SystemExit) as stop:
        plan(["compact"], ["--data", "d", "--output-dir", "o", "--lr", "-1"])
    assert stop.value.code == 2 and "--lr must be more than 0" in capsys.readouterr().err
