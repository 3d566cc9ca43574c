import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from conftest import made_photo
from PIL import Image

from chromagan.checkpoints import list_checkpoints
from train.evaluate import evaluate, summarize, table

ROOT = Path(__file__).resolve().parent.parent


def photos(count, size=64):
    return torch.stack(
        [torch.from_numpy(np.array(made_photo(seed, size, size))).movedim(-1, 0) for seed in range(count)]
    )


class Copier(torch.nn.Module):
    """Answers with given true colors, in order."""

    def __init__(self, images):
        super().__init__()
        from chromagan import color

        self.ab = color.normalize_ab(color.srgb_to_lab(images.float() / 255)[:, 1:])
        self.at = 0

    def forward(self, L):
        self.at += len(L)
        return self.ab[self.at - len(L) : self.at]


def test_the_truth_is_perfect_and_gray_is_not():
    images = (0.3 * photos(5).float() + 90).to(torch.uint8)  # away from the gamut's edge, where the soft clip begins
    perfect = evaluate(Copier(images), images, torch.device("cpu"), batch_size=2)
    assert (perfect["ciede2000"] < 0.05).all() and (perfect["psnr"] > 50).all()
    np.testing.assert_allclose(perfect["colorfulness"], perfect["colorfulness_truth"], rtol=0.02)
    gray = evaluate(None, images, torch.device("cpu"))
    assert (gray["ciede2000"] > 3).all() and (gray["colorfulness"] < 1e-3).all()


def test_measures_do_not_depend_on_the_batch_size():
    images = photos(5)
    one, all_at_once = (evaluate(Copier(images), images, torch.device("cpu"), batch_size=size) for size in (1, 5))
    for name, values in one.items():
        np.testing.assert_allclose(values, all_at_once[name], atol=1e-4)


def per_image(count, **columns):
    names = ("psnr", "ciede2000", "ciede2000_p95", "colorfulness", "colorfulness_truth", "chroma_truth")
    return {name: np.asarray(columns.get(name, np.arange(1.0, count + 1)), dtype=float) for name in names}


def test_summary_counts_gray_photos_apart():
    result = summarize(per_image(3, chroma_truth=[0.5, 10, 20], psnr=[math.inf, 20, 30]), data="made")
    assert result["images"] == 3 and result["all"]["images"] == 3 and result["colored"]["images"] == 2
    assert result["all"]["psnr_mean"]["value"] == 25 and result["all"]["psnr_infinite"] == 1
    assert result["colored"]["ciede2000_mean"]["value"] == 2.5
    assert result["all"]["colorfulness_ratio"] == 1 and result["data"] == "made"
    json.dumps(result, allow_nan=False)


def test_no_interval_from_one_photo_and_none_from_none():
    one = summarize(per_image(1, chroma_truth=[10]))
    assert one["all"]["ciede2000_mean"] == {"value": 1.0, "low": None, "high": None}
    none = summarize(per_image(1, chroma_truth=[0]))
    assert none["colored"]["ciede2000_mean"] is None and none["colored"]["images"] == 0
    json.dumps([one, none], allow_nan=False)


def test_intervals_cover_the_mean():
    values = np.random.default_rng(0).normal(10, 2, 400)
    interval = summarize(per_image(400, ciede2000=values, chroma_truth=np.full(400, 10)))["all"]["ciede2000_mean"]
    standard_error = values.std() / 20
    assert interval["value"] == round(values.mean(), 4)
    np.testing.assert_allclose(interval["high"] - interval["low"], 2 * 1.96 * standard_error, rtol=0.15)


def run(*arguments, processes=1):
    several = ["--multi_gpu"] if processes > 1 else []
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    command += ["train/evaluate.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_the_script_for_real_on_one_process_and_two(source, image_folder, tmp_path):
    reports = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        result = run("--source", source, "--data", image_folder, "--output-dir", out, "--limit", 3, processes=processes)
        assert result.returncode == 0, result.stderr[-2000:]
        reports.append(json.loads((out / "metrics.json").read_text()))
        assert Image.open(out / "comparison.png").width > 300
        assert "| compact | 3 |" in result.stdout and "| left gray |" in result.stdout
    assert [entry["epoch"] for entry in reports[0]["checkpoints"]] == [0, 3, 0]
    for one, two in zip(reports[0]["checkpoints"], reports[1]["checkpoints"], strict=True):
        assert one["colored"]["ciede2000_mean"]["value"] == two["colored"]["ciede2000_mean"]["value"]
    assert list_checkpoints(source)[0].metrics == {"epoch": 0}  # written only when asked to


def test_table_shows_colorfulness_beside_psnr():
    row = {"decoder": "compact", "epoch": 3, **summarize(per_image(4, chroma_truth=[9, 9, 9, 9]))}
    lines = table([row]).splitlines()
    assert "PSNR" in lines[0] and "colorfulness" in lines[0]
    assert lines[2].startswith("| compact | 3 | 2.50 |")


def test_bad_input_is_one_line(source, tmp_path):
    for arguments, status, message in (
        (["--source", tmp_path / "none", "--data", tmp_path, "--output-dir", tmp_path / "o"], 1, "no folder"),
        (["--source", source, "--data", tmp_path, "--output-dir", tmp_path / "o"], 1, "no Parquet files and no images"),
        (["--source", source, "--data", tmp_path, "--output-dir", tmp_path / "o", "--limit", "0"], 2, "at least 1"),
    ):
        command = [sys.executable, "train/evaluate.py", *map(str, arguments)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert result.returncode == status, result.stderr
        assert message in result.stderr.strip().splitlines()[-1] and "Traceback" not in result.stderr
