"""The benchmark: runs for real, small, and its counts are those of closed forms."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from chromagan.data import DataError
from chromagan.hub.checkpoints import CheckpointError, list_checkpoints
from train import benchmark as script
from train.benchmark import main, parse_args, train_config
from train.benchmarks import inference, photos, training
from train.benchmarks.counting import Flops
from train.benchmarks.training import count_step, options_line, soak
from train.evaluation.cost import LiveMemory, decoder_costs
from train.training.timing import Trial


def test_flops_of_a_convolution_its_gradient_and_the_gradients_gradient():
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    forward = 2 * 2 * 16 * 16 * 3 * 8 * 9
    with Flops() as counted:
        y = convolution(x)
    assert counted.total == forward
    with Flops() as counted:
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    assert counted.total == forward
    with Flops() as counted:
        gradient.square().sum().backward()
    assert counted.total >= 3 * forward


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_flops_of_a_grouped_convolution_go_by_its_groups(groups):
    convolution = nn.Conv2d(4, 8, 3, padding=1, groups=groups)
    x = torch.rand(2, 4, 16, 16, requires_grad=True)
    forward = 2 * 2 * 16 * 16 * 4 * 8 * 9 // groups
    with Flops() as counted:
        y = convolution(x)
    assert counted.total == forward
    with Flops() as counted:
        y.sum().backward()
    assert counted.total == 2 * forward  # of the image and of the weights


def test_the_benchmark_and_the_evaluation_count_the_same_network(source, monkeypatch):
    """Folded, as it colors photos."""
    monkeypatch.setattr(inference, "BATCH", 2)
    newest = {c.decoder: SimpleNamespace(decoder=c.decoder, checkpoint=c) for c in list_checkpoints(source)}
    evaluated = decoder_costs(newest.values(), 224, torch.device("cpu"))["decoders"]
    for row in inference.measure_inference("lite", ["compact", "depthwise"], torch.device("cpu"), 1):
        cost = evaluated[row["decoder"]]["network"]
        assert row["gflop_per_image"] == cost["gflops"] > 0 and row["parameters"] == cost["parameters"]
        assert row["peak_memory_mib_of_batch"] == pytest.approx(inference.BATCH * cost["peak_mib"], rel=0.05)


def test_peak_memory_of_a_step_counts_what_the_gradient_needs():
    """Four maps of 1 MiB are kept for it, and the fifth is the gradient of the last one."""
    layers = nn.Sequential(*(nn.Sigmoid() for _ in range(4)))
    x = torch.rand(2**18, requires_grad=True)
    with LiveMemory() as memory:
        layers(x).sum().backward()
    assert 5 <= memory.peak / 2**20 < 6.1


def test_a_small_benchmark_for_real(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inference, "BATCH", 1)
    out = tmp_path / "bench.json"
    arguments = ["--decoders", "depthwise", "--batch-size", "2", "--crop", "32", "--repeats", "1", "--soak", "20"]
    main(parse_args([*arguments, "--only", "training", "options", "inference", "--json", str(out)]))
    results = json.loads(out.read_text())
    (step,) = results["training"]
    assert step["gflop_per_image"] > 0 and step["peak_memory_mib"] > 0
    assert step["images_per_second"] == pytest.approx(2 / step["seconds_per_step"])
    slower = {"--no-keep-features"} | ({"--precision fp32"} if step["precision"] == "bf16" else set())
    assert results["options"]["lite"].keys() == slower and results["options"]["lite"]["--no-keep-features"] > 0
    assert results["inference"][0]["parameters"] > 1e6 and [line["steps"] for line in results["soak"]] == list(
        range(2, 21, 2)
    )
    printed = capsys.readouterr().out
    assert "lite depthwise" in printed and "input pipeline" in printed


@pytest.mark.parametrize(("steps", "after"), [(3, [1, 2, 3]), (13, [1, 2, 3, 5, 6, 7, 9, 10, 11, 13])])
def test_a_soak_takes_every_step_that_was_asked_for(monkeypatch, steps, after):
    trial = SimpleNamespace(done=0)
    trial.run = lambda: setattr(trial, "done", trial.done + 1)
    monkeypatch.setattr(training, "Trial", lambda *args, **options: trial)
    lines = soak(train_config("lite", "compact", parse_args([])), Accelerator(cpu=True), steps)
    assert [line["steps"] for line in lines] == after


def test_options_are_named_only_if_some_are_slower():
    """None is on a CPU without bfloat16, where precision and compiling change nothing, with a trunk that is trained."""
    assert options_line("paper", {}) == "No option makes a paper step slower on this machine."
    assert options_line("lite", {"--precision fp32": 1.5}) == "A lite step takes longer with: --precision fp32 1.50×"


def test_a_trunk_whose_features_are_not_kept_is_counted_in_each_step():
    config = train_config("lite", "compact", parse_args(["--batch-size", "2", "--crop", "32"]))
    steps = (count_step(replace(config, keep_features=kept), Accelerator(cpu=True)) for kept in (True, False))
    (kept, _), (run_anew, _) = steps
    assert run_anew > 1.2 * kept > 0


def test_a_trial_takes_a_step():
    config = train_config("lite", "compact", parse_args(["--batch-size", "2", "--crop", "32"]))
    run = Trial(config, Accelerator(cpu=True))
    run.run()
    assert run.done == 1 and all(p.isfinite().all() for p in run.generator.parameters())


def test_nonsense_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--crop", "100"])
    assert stop.value.code == 2 and "--crop must be a multiple of 8" in capsys.readouterr().err


def test_a_file_that_is_no_result_is_not_overwritten(tmp_path, capsys):
    notes, result = tmp_path / "notes.json", tmp_path / "result.json"
    notes.write_text('{"machine": "mine"}')
    with pytest.raises(SystemExit):
        parse_args(["--json", str(notes)])
    assert "notes.json is not a benchmark result" in capsys.readouterr().err
    result.write_text('{"machine": {"matrix_gflops": {}}}')
    assert parse_args(["--json", str(result)]).json == result
    assert parse_args(["--json", str(tmp_path / "new.json")]).json


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "chroma"], "--only chroma or degraded and --data go together"),
        (["--only", "photos", "degraded"], "--only chroma or degraded and --data go together"),
        (["--data", "somewhere"], "--only chroma or degraded and --data go together"),
        (["--source", "mine"], "--source is for --only chroma or degraded: nothing else reads it"),
        (["--only", "photos", "--limit", "9"], "--limit is for --only chroma or degraded: nothing else reads it"),
        (["--sizes", "12"], "must be a width and a height such as 1152x864, got '12'"),
        (["--json", "nowhere/results.json"], "--json nowhere/results.json: no folder 'nowhere'"),
        (["--sizes", "0x9"], "such as 1152x864, got '0x9'"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        parse_args(arguments)
    assert stop.value.code == 2 and words in capsys.readouterr().err


def test_what_needs_data_is_measured_only_when_asked():
    args = parse_args([])
    assert args.only == ["training", "options", "inference", "photos"] and args.sizes == photos.SIZES


def test_photos_chroma_and_degraded_from_the_one_command(source, image_folder, tmp_path, capsys, monkeypatch):
    measured = {"sizes": {"96x64": {"whole / codec": 4.5}}, "batch gain": 1.5}
    monkeypatch.setattr(photos, "measure", lambda device, sizes: measured | {"asked": sizes})
    monkeypatch.setattr(script, "matrix_rate", lambda *args: 100.0)
    out = tmp_path / "bench.json"
    arguments = ["--only", "photos", "chroma", "degraded", "--sizes", "96x64", "12x9", "--data", str(image_folder)]
    main(parse_args([*arguments, "--source", str(source), "--limit", "2", "--json", str(out)]))
    results = json.loads(out.read_text())
    assert results["training"] == [] and results["photos"]["asked"] == [[96, 64], [12, 9]]
    assert results["chroma"]["photos"] == 2 and "Compact" in results["chroma"]["ciede2000"]
    assert results["degraded"]["photos"] == 2 and len(results["degraded"]["degraded"]) == 10
    printed = capsys.readouterr().out
    assert "| whole / codec | 4.5 |" in printed and "| true chroma, 56×56 |" in printed
    assert "| faint | L 35 to 70 |" in printed


@pytest.mark.parametrize("flag", ["--source", "--data"])
def test_what_is_not_there_is_an_error_before_any_work(flag, source, image_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "matrix_rate", None)
    options = {"--source": str(source), "--data": str(image_folder)} | {flag: str(tmp_path / "missing")}
    arguments = ["--only", "chroma", *(part for pair in options.items() for part in pair)]
    with pytest.raises((CheckpointError, DataError), match="missing"):
        main(parse_args(arguments))
