"""The study: its plan, and a real one of two decoders on made images, cut off and gone on with."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chromagan.checkpoints import list_checkpoints
from chromagan.decoders import DECODERS
from train.study import parse_args, plan, train

ROOT = Path(__file__).resolve().parent.parent


def study(*arguments):
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "train/study.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)


def flags(image_folder, output):
    return [
        "--data", image_folder, "--output-dir", output, "--epochs", 1, "--save-epochs", 0, "--batch-size", 4,
        "--crop", 64, "--critic-width", 4, "--limit-validation", 0, "--samples", 0,
        "--cache-dir", output.parent / "cache",
    ]  # fmt: skip


def test_a_study_trains_measures_and_goes_on(image_folder, tmp_path):
    output = tmp_path / "study"
    two = ["--decoders", "compact", "depthwise"]
    first = study(*flags(image_folder, output), "--decoders", "compact")
    assert first.returncode == 0, first.stderr[-2000:]
    weights = output / "compact" / "epoch-1" / "model.safetensors"
    written = weights.stat().st_mtime_ns

    planned = study(*flags(image_folder, output), *two, "--dry-run")
    assert planned.returncode == 0, planned.stderr[-2000:]
    lines = planned.stdout.splitlines()
    assert lines[0] == f"{DECODERS['compact'].label}: finished; saves 0 1"
    assert lines[1].startswith(f"{DECODERS['depthwise'].label}: epochs 0 to 1, ") and "9 images" in lines[2]
    assert not (output / "depthwise").exists()

    second = study(*flags(image_folder, output), *two)
    assert second.returncode == 0, second.stderr[-2000:]
    assert weights.stat().st_mtime_ns == written  # a finished decoder is left as it is
    found = [(c.decoder, c.epoch) for c in list_checkpoints(output)]
    assert found == [("compact", 0), ("compact", 1), ("depthwise", 0), ("depthwise", 1)]
    measured = json.loads((output / "report" / "metrics.json").read_text())
    assert len(measured["checkpoints"]) == 4


def test_a_cut_off_decoder_is_resumed_and_one_without_a_state_is_not_lost(tmp_path):
    own = ["--data", "d", "--output-dir", str(tmp_path), "--epochs", "6"]
    folder = tmp_path / "compact"
    folder.mkdir()
    (folder / "train.json").write_text("{}")
    (folder / "log.jsonl").write_text('{"step": 9, "epoch": 2.25}\n{"step": 13, "epoch": 3.25}\n')
    compact, original = plan(["compact", "original"], own)
    assert compact.begun and compact.epochs_done == 3 and not compact.finished
    assert not original.begun and original.epochs_done == 0


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


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--decoders", "nearest"], "invalid choice: 'nearest'"),
        (["--decoder", "compact"], "--decoder is for train.py alone"),
        (["--resume"], "--resume is for train.py alone"),
        (["--limit", "0"], "at least 1"),
    ],
)
def test_nonsense_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--data", "d", "--output-dir", "o", *arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and len(error.strip().splitlines()) == 1


def test_options_of_training_are_refused_before_any_work(capsys):
    with pytest.raises(SystemExit) as stop:
        plan(["compact"], ["--data", "d", "--output-dir", "o", "--lr", "-1"])
    assert stop.value.code == 2 and "--lr must be more than 0" in capsys.readouterr().err
