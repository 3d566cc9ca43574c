"""The training script, launched for real on made images: what it leaves, how it stops, goes on, and refuses."""

import json
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import torch
from accelerate import Accelerator
from launching import ROOT, launch, launch_command
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from chromagan.data import load_photos
from chromagan.data_sets.splits import DataError
from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from chromagan.measures.metrics import colorfulness
from chromagan.network.decoders import DECODERS
from train.train import main
from train.training.checks import check_run_dir, check_shares, explain, fit_batch
from train.training.options import TrainConfig, parse_config
from train.training.watching import Meter, TrainingError


def config(**changes):
    return TrainConfig(**dict(decoder="compact", data=["d"], output_dir="o") | changes)


def train_flags(image_folder, tmp_path, **changes):
    flags = {
        "decoder": "compact", "data": image_folder, "epochs": 1, "save-epochs": "0", "output-dir": tmp_path / "run",
        "batch-size": 4, "crop": 64, "critic-width": 4, "log-every": 1, "limit-validation": 2, "samples": 2,
        "critic-crop": 56, "cache-dir": tmp_path.parent / "cache",
    } | {name.replace("_", "-"): value for name, value in changes.items()}  # fmt: skip
    return [part for name, value in flags.items() for part in (f"--{name}", *str(value).split(" "))]


def test_two_steps_for_real_and_what_they_leave(image_folder, tmp_path):
    result = launch(*train_flags(image_folder, tmp_path, samples=3), "--tracker", "tensorboard")
    assert result.returncode == 0, result.stderr[-2000:]
    run = tmp_path / "run"
    assert [(c.decoder, c.epoch) for c in list_checkpoints(run)] == [("compact", 0), ("compact", 1)]
    lines = [json.loads(line) for line in (run / "compact" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(
        {"color", "adversarial", "semantic", "penalty", "color_grad_norm", "images_per_second"} <= set(line)
        for line in lines
    )
    assert json.loads((run / "compact" / "train.json").read_text())["crop"] == 64
    measured = list_checkpoints(run)[1].metrics
    assert measured["images"] == 2 and measured["epoch"] == 1 and measured["colored"]["ciede2000_mean"]["value"] > 0
    photos = load_photos([str(image_folder)], "validation", 224, quiet=True).images
    first_and_last = colorfulness(photos[[0, 3]] / 255)  # spread: data are often sorted by class
    truth = measured["colored"]["colorfulness_truth"]["value"]
    assert truth == pytest.approx(first_and_last.mean().item(), rel=1e-4)
    before, after = (load_checkpoint(checkpoint) for checkpoint in list_checkpoints(run))
    assert before.config.trunk_digest == after.config.trunk_digest != ""  # one frozen trunk, stored once
    assert (run / "tf_efficientnet_lite0.safetensors").is_file()
    assert not any(name.startswith("trunk.") for name in load_file(run / "compact" / "epoch-1" / "model.safetensors"))
    assert before.class_head is None and not torch.equal(before.fusion[0].weight, after.fusion[0].weight)
    assert torch.equal(
        before.trunk.net.state_dict()["model.conv_stem.weight"], after.trunk.net.state_dict()["model.conv_stem.weight"]
    )

    samples = Image.open(run / "compact" / "samples" / "epoch-1.png")
    assert min(samples.size) > 3 * 224  # of three photos: gray, colored, true
    assert list((run / "compact" / "tensorboard").glob("events.*"))

    with pytest.raises(TrainingError, match="already holds a run: continue it with --resume"):
        main(parse_config(train_flags(image_folder, tmp_path)))
    shutil.copytree(image_folder, tmp_path / "fewer")
    for photo in sorted((tmp_path / "fewer" / "train").rglob("*.png"))[3:]:  # too few for the batch: not to blame
        photo.unlink()
    with pytest.raises(TrainingError, match="--data .*fewer does not hold the images"):
        main(parse_config([*train_flags(image_folder, tmp_path, data=tmp_path / "fewer", epochs=2), "--resume"]))


LONG = dict(decoder="depthwise", epochs=12, save_epochs=12, state_every=5, limit_validation=0, samples=0)
WEIGHTS = Path("depthwise", "epoch-12", "model.safetensors")


def stop_after(lines, number, arguments, folder, processes=1):
    """Start a run and send it and its workers signal `number` once its log has `lines` lines."""
    log = folder / "depthwise" / "log.jsonl"
    with open(folder.with_suffix(".txt"), "w") as output:
        command = launch_command(*arguments, processes=processes)
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        deadline = time.monotonic() + 200
        while not (log.exists() and log.read_text().count("\n") >= lines):
            assert process.poll() is None and time.monotonic() < deadline, folder.with_suffix(".txt").read_text()
            time.sleep(0.02)
        below = psutil.Process(process.pid).children(recursive=True)  # a launcher's workers have sessions of their own
        for each in [*below, process]:
            each.send_signal(number)
        process.wait(60)
    return process.returncode, folder.with_suffix(".txt").read_text()


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(image_folder, tmp_path_factory):
    """The weights of unbroken runs of 12 epochs of 2 steps, in this process and in two that are launched."""
    folder = tmp_path_factory.mktemp("whole")
    one, two = (train_flags(image_folder, folder, **LONG, output_dir=folder / str(n)) for n in (1, 2))
    main(parse_config(one))
    result = launch(*two, processes=2)
    assert result.returncode == 0, result.stderr[-2000:]
    return {n: (folder / str(n) / WEIGHTS).read_bytes() for n in (1, 2)}


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(image_folder, tmp_path, whole):
    """Two processes, SIGKILL in the middle of an epoch, and the newest of its two states damaged besides."""
    flags = train_flags(image_folder, tmp_path, **LONG)
    stop_after(13, signal.SIGKILL, flags, tmp_path / "run", processes=2)
    steps = {int(path.name.split("-")[1]): path for path in (tmp_path / "run" / "depthwise").glob("state-*.pt")}
    assert len(steps) == 2 and not (tmp_path / "run" / WEIGHTS).exists()
    newest = steps[max(steps)]
    newest.write_bytes(newest.read_bytes()[:-1000])
    resumed = launch(*flags, "--resume", processes=2)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert f"{newest} is damaged" in resumed.stderr and f"resuming after step {min(steps)} of 24" in resumed.stderr
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == whole[2]
    logged = [json.loads(line)["step"] for line in (tmp_path / "run" / "depthwise" / "log.jsonl").open()]
    assert logged == list(range(1, 25))


def test_sigterm_saves_the_state_and_ends_the_run(image_folder, tmp_path, whole, capsys):
    flags = train_flags(image_folder, tmp_path, **LONG | dict(state_every=1000))
    status, said = stop_after(3, signal.SIGTERM, flags, tmp_path / "run", processes=None)
    assert status == 0 and "stopped by SIGTERM at step" in said and "--resume" in said and "Traceback" not in said
    (state,) = (tmp_path / "run" / "depthwise").glob("state-*.pt")
    main(parse_config([*flags, "--resume"]))
    assert f"resuming after step {state.name.split('-')[1]} of 24" in capsys.readouterr().err
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == whole[1]

    def refused(*arguments):
        with pytest.raises(TrainingError) as error:
            main(parse_config([*arguments, "--resume"]))
        return str(error.value)

    assert "--lr is 0.5, but the run was started with 0.0005" in refused(*flags, "--lr", "0.5")
    recorded = tmp_path / "run" / "depthwise" / "train.json"
    before = recorded.read_bytes()
    fewer = refused(*flags, "--epochs", "3", "--save-epochs", "3")
    assert fewer == "the run is already at epoch 12: --epochs must be at least that" and recorded.read_bytes() == before
    shutil.rmtree(tmp_path / "run" / "depthwise" / "epoch-12")  # its weights are in the state
    main(parse_config([*flags, "--resume", "--epochs", "13", "--save-epochs", "7", "12"]))
    assert "epochs [7] lie before step 24" in capsys.readouterr().err
    assert [c.epoch for c in list_checkpoints(tmp_path / "run")] == [12, 13]
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == whole[1]
    for path in (tmp_path / "run" / "depthwise").glob("state-*.pt"):
        path.write_bytes(b"")
    lost = refused(*flags, "--epochs", "13")
    assert "no state in" in lost and "is intact" in lost
    assert "nothing to resume" in refused(*train_flags(image_folder, tmp_path, output_dir=tmp_path / "new"))


@pytest.mark.parametrize("killed_in", ["save_state", "save_checkpoint"])
def test_a_run_that_is_killed_while_it_saves_its_end_goes_on(image_folder, tmp_path, monkeypatch, killed_in):
    """Shorter than --state-every, it has no state before."""
    short = dict(save_epochs=1, limit_validation=0, samples=0)
    flags = train_flags(image_folder, tmp_path, **short)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(f"train.train.{killed_in}", interrupted)
        main(parse_config(flags))
    main(parse_config([*flags, "--resume"]))
    main(parse_config(train_flags(image_folder, tmp_path, **short, output_dir=tmp_path / "whole")))
    resumed, whole = (tmp_path / run / "compact" / "epoch-1" / "model.safetensors" for run in ("run", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_what_a_decoder_drops_at_random_depends_on_the_step_alone(image_folder, tmp_path, monkeypatch):
    """A run that is resumed, and saves other epochs, ends with the same bits: dropout draws from torch's generator."""

    class Dropping(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Dropout(0.5), *DECODERS["depthwise"].build())

    monkeypatch.setitem(DECODERS, "compact", replace(DECODERS["compact"], build=Dropping))
    short = dict(limit_validation=0, samples=0)
    main(parse_config(train_flags(image_folder, tmp_path, **short, epochs=1)))
    recorded = tmp_path / "run" / "compact" / "train.json"  # of an earlier version, which had more flags
    recorded.write_text(json.dumps(json.loads(recorded.read_text()) | dict.fromkeys(TrainConfig.ALWAYS_ON, True)))
    main(parse_config([*train_flags(image_folder, tmp_path, **short, epochs=2, save_epochs="0 2"), "--resume"]))
    main(parse_config(train_flags(image_folder, tmp_path, **short, epochs=2, output_dir=tmp_path / "whole")))
    resumed, whole = (tmp_path / run / "compact" / "epoch-2" / "model.safetensors" for run in ("run", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_photos_are_degraded_before_training_and_alike_on_resuming(image_folder, tmp_path):
    def weights(run, *more, **options):
        folder = tmp_path / run
        flags = dict(decoder="compact", output_dir=folder, limit_validation=0, samples=0) | options
        main(parse_config([*train_flags(image_folder, tmp_path, **flags), *more]))
        return (folder / "compact" / f"epoch-{options['epochs']}" / "model.safetensors").read_bytes()

    sharp, degraded = weights("sharp", epochs=2), weights("degraded", epochs=2, degraded_share=0.5)
    assert sharp != degraded
    weights("resumed", epochs=1, degraded_share=0.5)
    assert weights("resumed", "--resume", epochs=2, degraded_share=0.5) == degraded


def test_two_processes_take_the_step_of_one(tmp_path):
    result = launch(script="tests/train/training/two_processes.py", processes=2)
    assert result.returncode == 0 and "the gradients are equal" in result.stdout, result.stderr[-3000:]


def test_a_batch_must_be_shared_evenly():
    options = config(batch_size=16)
    assert fit_batch(options, images=100, processes=2).batch_size == 16
    assert fit_batch(options, images=9, processes=2).batch_size == 8
    with pytest.raises(TrainingError, match="--batch-size 15 cannot be shared evenly by 2 processes"):
        check_shares(config(batch_size=15), processes=2)
    for processes in (1, 2, 4):
        check_shares(options, processes)
    check_shares(config(batch_size=15), processes=1)
    with pytest.raises(TrainingError, match="1 images cannot be shared by 2 processes"):
        fit_batch(options, images=1, processes=2)
    with pytest.raises(TrainingError, match="images to train on: 1, too few for a batch: --batch-size must be 2 or mo"):
        fit_batch(config(decoder="transposed", crop=8), images=1, processes=1)


def test_a_batch_that_photos_did_not_fill_goes_on_by_the_same_command(tmp_path):
    options = config(batch_size=16, output_dir=str(tmp_path), resume=True)
    options.run_dir.mkdir()
    (options.run_dir / "train.json").write_text(json.dumps(asdict(replace(options, batch_size=8))))
    recorded = check_run_dir(options)
    assert fit_batch(options, images=9, processes=2, recorded=recorded).batch_size == 8
    with pytest.raises(TrainingError, match="--batch-size is 16, but the run was started with 8"):
        fit_batch(options, images=100, processes=2, recorded=recorded)
    with pytest.raises(TrainingError, match="--batch-size is 4, but the run was started with 8"):
        check_run_dir(replace(options, batch_size=4))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_a_batch_that_does_not_fit_names_the_flag(error):
    assert "lower --batch-size or --crop" in explain(error, config())
    assert explain(RuntimeError("another"), config()) is None


def test_a_term_that_is_not_finite_is_named_with_its_step():
    meter = Meter(Accelerator(cpu=True), 0)
    for step in range(1, 6):
        color = torch.tensor(float("nan") if step >= 4 else 1.0)
        meter.add(step, {"color": color, "penalty": torch.tensor(float("inf") if step == 3 else 2.0)})
    with pytest.raises(TrainingError, match="the penalty term is not finite at step 3: lower the learning rate"):
        meter.read(5, 4)


def test_what_the_last_update_makes_infinite_is_not_saved(image_folder, tmp_path):
    """Its loss terms are from before it. 1e30 is infinite in half precision."""
    flags = train_flags(image_folder, tmp_path, save_epochs=1, batch_size=8, limit_validation=0, lr=1e30)
    with pytest.raises(TrainingError, match="the weights .* are not finite at step 1: lower the learning rate"):
        main(parse_config(flags))
    left = {path.name for path in (tmp_path / "run" / "compact").iterdir()}
    assert left == {".lock", "log.jsonl", "train.json"}


def test_an_epoch_that_is_not_finite_is_not_saved(image_folder, tmp_path, monkeypatch):
    """Not even where no state is due, as before the first step."""

    def broken():
        decoder = DECODERS["depthwise"].build()
        nn.init.constant_(next(decoder.parameters()), float("nan"))
        return decoder

    monkeypatch.setitem(DECODERS, "compact", replace(DECODERS["compact"], build=broken))
    with pytest.raises(TrainingError, match="the weights decoder.* are not finite at step 0: .* before any training"):
        main(parse_config(train_flags(image_folder, tmp_path)))
    assert not list((tmp_path / "run" / "compact").glob("*epoch-*"))


def test_the_log_holds_means_since_the_last_line():
    meter = Meter(Accelerator(cpu=True), 0)
    for step, value in enumerate((1.0, 2.0, 6.0), 1):
        meter.add(step, {"color": torch.tensor(value)})
    assert meter.read(3, 4)["color"] == pytest.approx(3.0)
    meter.add(4, {"color": torch.tensor(5.0)})
    assert meter.read(4, 4)["color"] == 5.0


def test_data_that_cannot_be_used_is_one_line(image_folder, tmp_path):
    from made_photos import made_photo

    for name in ("empty", "gray"):
        (tmp_path / name).mkdir()
    made_photo(0).convert("L").save(tmp_path / "gray" / "a.png")
    with pytest.raises(DataError, match="no Parquet files and no images"):
        main(parse_config(train_flags(image_folder, tmp_path, data=tmp_path / "empty")))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file.* cannot be written to: .* is a file"):  # before it reads photos
        main(parse_config(train_flags(tmp_path / "empty", tmp_path / "file")))
    result = launch(*train_flags(image_folder, tmp_path, data=tmp_path / "gray"), processes=None)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "are gray: there is no color in them" in result.stderr.strip().splitlines()[-1]


def test_a_validation_sample_without_colors_is_measured_and_refuses_nothing(image_folder, tmp_path):
    """Which photos the quick validation takes is chance: its first ones may all be gray."""
    data = shutil.copytree(image_folder, tmp_path / "data")
    for path in (data / "validation").rglob("*.png"):
        Image.open(path).convert("L").save(path)
    main(parse_config(train_flags(data, tmp_path, epochs=0)))
    measured = json.loads((tmp_path / "run" / "compact" / "epoch-0" / "metrics.json").read_text())
    assert (measured["images"], measured["colored"]["images"], measured["colored"]["ciede2000_mean"]) == (2, 0, None)
    assert measured["all"]["ciede2000_mean"]["value"] > 0 and measured["split"] == "validation"
    assert (tmp_path / "run" / "compact" / "samples" / "epoch-0.png").is_file()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_measures_of_photos_that_are_trained_on_are_no_validation(image_folder, tmp_path, split, capsys):
    """The only split of a data set serves as both, whatever it is called."""
    shutil.copytree(image_folder / split, tmp_path / "data" / split)
    main(parse_config(train_flags(tmp_path / "data", tmp_path, epochs=0, samples=0)))
    assert "--data is not split into train and validation: measures and samples are of" in capsys.readouterr().err
    measured = json.loads((tmp_path / "run" / "compact" / "epoch-0" / "metrics.json").read_text())
    assert measured["split"] == "no validation split"
