"""The script that trains a refiner, on made images: what it leaves, how it goes on, and what it refuses."""

import json
import shutil

import pytest
import torch
from launching import launch
from safetensors.torch import load_file

from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from chromagan.hub.refiners import load_refiner
from chromagan.hub.trunks import digest_of
from train.refine import main
from train.training.checks import explain
from train.training.refine_options import parse_config
from train.training.refining import RefinerLoss
from train.training.watching import StopSignal, TrainingError


@pytest.fixture
def flags(source, image_folder, tmp_path):
    return [
        "--source", str(source), "--data", str(image_folder), "--cache-dir", str(tmp_path.parent / "cache"),
        "--epochs", "0", "3", "--steps", "4", "--greedy-steps", "2", "--batch-size", "2", "--crop", "32",
        "--channels", "4", "--agent-steps", "2", "--log-every", "1", "--feature-weight", "10", "--output-dir",
    ]  # fmt: skip


def test_a_run_that_was_stopped_goes_on_with_the_same_weights(flags, source, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    main(parse_config([*flags, str(whole)]))
    asked = iter([False, False, True])
    with monkeypatch.context() as patched:
        patched.setattr(StopSignal, "agreed", lambda self: next(asked))
        patched.setattr(StopSignal, "name", "SIGTERM")
        with pytest.raises(SystemExit):
            main(parse_config([*flags, str(broken)]))
    assert not (broken / "refiner").exists() and (broken / "refiner-greedy").is_dir()
    main(parse_config([*flags, str(broken), "--resume"]))
    assert (whole / "refiner" / "train.json").read_bytes() == (whole / "train.json").read_bytes()
    for name in ("config.json", "model.safetensors"):
        assert (broken / "refiner" / name).read_bytes() == (whole / "refiner" / name).read_bytes()
    lines = [json.loads(line) for line in (broken / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert {"loss", "reward", "entropy", "colorfulness_kept", "error_kept", "multiplier"} <= lines[0].keys()
    assert "value_error" in lines[2] and "value_error" not in lines[1]

    shutil.copytree(source, tmp_path / "study")
    shutil.copytree(whole / "refiner", tmp_path / "study" / "refiner")
    model = load_checkpoint(list_checkpoints(source)[0]).config
    trained = load_refiner(tmp_path / "study", model)
    assert trained.config.steps == 2 and trained.policy.weight.abs().sum() > 0

    def refused(*arguments):
        with pytest.raises(TrainingError) as error:
            main(parse_config([*flags, str(whole), *arguments]))
        return explain(error.value, None)

    assert "already holds a run" in refused()
    assert "--lr is 0.5, but the run was started with 0.002" in refused("--resume", "--lr", "0.5")
    another = shutil.copytree(source, tmp_path / "another")
    shutil.copytree(another / "compact" / "epoch-0", another / "compact" / "epoch-3", dirs_exist_ok=True)
    assert "does not hold the networks that" in refused("--resume", "--source", str(another))
    for state in whole.glob("state-*.pt"):
        state.unlink()
    assert "has no state and cannot be continued" in refused("--resume")
    shutil.rmtree(whole / "refiner")  # as if it had been killed before its first state
    main(parse_config([*flags, str(whole), "--resume"]))
    assert (whole / "refiner" / "model.safetensors").read_bytes() == (
        broken / "refiner" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("killed_in", ["save_state", "save_refiner"])
def test_a_run_that_is_killed_while_it_saves_its_end_goes_on(flags, tmp_path, monkeypatch, killed_in):
    """Shorter than --state-every, it has no state before."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    flags = [*flags, str(tmp_path / "run"), "--steps", "1", "--greedy-steps", "0"]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(f"train.refine.{killed_in}", interrupted)
        main(parse_config(flags))
    main(parse_config([*flags, "--resume"]))
    assert {path.name for path in (tmp_path / "run" / "refiner").iterdir()} == {
        "config.json", "model.safetensors", "train.json",
    }  # fmt: skip


def test_what_is_no_number_is_not_kept(flags, tmp_path, monkeypatch):
    """Between two lines of the log, too."""
    forward = RefinerLoss.forward

    def broken(self, *arguments):
        value, terms = forward(self, *arguments)
        return value, terms | {"reward": terms["reward"] * float("nan")}

    monkeypatch.setattr(RefinerLoss, "forward", broken)
    with pytest.raises(TrainingError, match="the reward term is not finite at step 1"):
        main(parse_config([*flags, str(tmp_path / "run"), "--log-every", "9"]))
    assert not list((tmp_path / "run").glob("state-*")) and not (tmp_path / "run" / "refiner-greedy").exists()


def test_what_the_last_update_makes_infinite_is_not_kept(flags, tmp_path):
    with pytest.raises(TrainingError, match="the weights .* are not finite at step 1: lower the learning rate"):
        main(parse_config([*flags, str(tmp_path / "run"), "--steps", "1", "--greedy-steps", "1", "--lr", "1e30"]))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "log.jsonl", "train.json"]


def test_two_processes_train_the_agent_of_one(flags, tmp_path):
    """In greedy steps, in which the value learns nothing, and behind them."""
    main(parse_config([*flags, str(tmp_path / "one")]))
    result = launch(*flags, tmp_path / "two", script="train/refine.py", processes=2)
    assert result.returncode == 0, result.stderr[-3000:]
    one, two = (load_file(tmp_path / run / "refiner" / "model.safetensors") for run in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # A bias in front of a batch norm has no effect, and a gradient of mere rounding: Adam takes full steps by it.
        free = name in ("coarse.convs.0.bias", "fine.convs.0.bias")
        torch.testing.assert_close(two[name], tensor, atol=1e-2 if free else 2e-5, rtol=1e-4, msg=name)


def test_features_are_those_that_train_py_keeps(flags, image_folder, source, tmp_path):
    """The same file, found by what the trunk holds: nine thousand photos are not to go through it twice."""
    from train.training.batches import frozen_trunk, trunk_stages

    models = [load_checkpoint(each) for each in list_checkpoints(source)[:2]]
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    for model in models:
        trunk_stages(images, model, str(tmp_path), torch.device("cpu"))
    assert len(list(tmp_path.glob("features-*.safetensors"))) == 1
    folded = frozen_trunk(models[0].trunk, torch.device("cpu"))
    assert digest_of(folded.net.state_dict()) != digest_of(models[0].trunk.net.state_dict())  # what it is not found by


@pytest.mark.parametrize(
    "changes, message",
    [
        (["--epochs", "7"], "has none of the epochs 7"),
        (["--epochs", "0", "7"], "has --epochs 7: leave them out"),
        (["--source", "nowhere"], "no folder 'nowhere'"),
        (["--data", "nowhere"], "no folder 'nowhere'"),
    ],
)
def test_what_cannot_be_trained_is_one_line(flags, tmp_path, changes, message):
    with pytest.raises(Exception) as error:
        main(parse_config([*flags, str(tmp_path / "run"), *changes]))
    assert message in explain(error.value, None) and "\n" not in explain(error.value, None)
    assert not (tmp_path / "run").exists()
