"""Options of the training script: the presets, and nonsense refused."""

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch

from chromagan.network.decoders import DECODERS
from train.training import options
from train.training.batches import epoch_generator
from train.training.options import PRESETS, TrainConfig, parse_config


def config(**changes):
    return TrainConfig(**dict(decoder="compact", data=["d"], output_dir="o", crop=64, batch_size=4) | changes)


REQUIRED = ["--decoder", "compact", "--data", "d", "--output-dir", "o"]


def test_the_paper_preset_is_the_papers_recipe():
    paper = parse_config([*REQUIRED, "--preset", "paper"])
    assert (paper.lr, paper.critic_lr, paper.beta1, paper.batch_size, paper.crop) == (2e-5, 2e-5, 0.5, 10, 224)
    assert (paper.adversarial_weight, paper.class_weight, paper.penalty_weight) == (0.1, 0.003, 10)
    assert (
        paper.critic_width == 64 and paper.train_trunk and paper.ema_share == 0 and paper.model.trunk == "vgg16.tv_in1k"
    )
    assert paper.color_loss == "squared"
    assert not any((paper.color_pivot, paper.weight_decay, paper.dropout, paper.lr_hold))
    assert paper.critic_crop == paper.crop
    assert parse_config([*REQUIRED, "--preset", "paper", "--lr", "1e-4"]).lr == 1e-4
    assert parse_config(REQUIRED) == TrainConfig(decoder="compact", data=["d"], output_dir="o")
    assert set(PRESETS) == {"paper", "lite"}


@pytest.mark.parametrize("named, folder", [("", "~/.cache/chromagan"), ("/else", "/else/chromagan")])
def test_the_cache_is_the_users(monkeypatch, named, folder):
    """A variable that is empty is as one that is not set: else it would be the folder of the package in a clone."""
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert Path(runpy.run_path(options.__file__)["CACHE_DIR"]) == Path(folder).expanduser()


def test_epochs_to_save():
    assert config(epochs=900).saved_epochs == {0, 1, 3, 10, 30, 100, 300, 900}
    assert config(epochs=2).saved_epochs == {0, 1, 2}
    assert config(epochs=0).saved_epochs == {0}
    assert config(epochs=5, save_epochs=[1]).saved_epochs == {1, 5}


def test_a_batch_of_one_cell_has_no_norm():
    with pytest.raises(ValueError, match="--batch-size must be 2 or more with a --crop of 8, got 1"):
        config(batch_size=1, crop=8)
    assert config(batch_size=1, crop=16) and config(batch_size=2, crop=8)


@pytest.mark.parametrize("seed", [-(2**63) - 1, -99999999999999999999, 2**63])
def test_a_seed_that_torch_does_not_take_is_refused(seed):
    with pytest.raises(ValueError, match=f"--seed must be from -2.63 to below 2.63, got {seed}"):
        config(seed=seed)


def test_a_seed_that_is_taken_seeds_everything():
    for seed in (-(2**63), -1, 2**63 - 1):
        torch.manual_seed(config(seed=seed).seed + 1)  # see build_networks
        epoch_generator(seed + 2, epoch=3)


NONSENSE = {
    "decoder": "nearest", "preset": "tiny", "epochs": -1, "save_epochs": [901], "batch_size": 0, "crop": 100,
    "lr": 0.0, "critic_lr": -1.0, "beta1": 1.0, "dropout": 1.0, "weight_decay": -1.0,
    "critic_crop": 60, "adversarial_weight": -0.1, "class_weight": -1.0,
    "degraded_share": 1.1, "penalty_weight": 0.0, "critic_width": 0,
    "ema_share": 1.0, "lr_hold": -1, "color_loss": "absolute", "color_pivot": -1.0,
    "log_every": 0, "limit_train": -1, "limit_validation": -1, "samples": -1, "state_every": 0,
    "precision": "fp16", "compile": "yes", "push_to_hub": "no-owner",
    "tracker": "paper",
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_before_any_work(name, capsys):
    flag = "--" + name.replace("_", "-")
    with pytest.raises(ValueError, match=flag):
        config(**{name: NONSENSE[name]})
    value = NONSENSE[name]
    with pytest.raises(SystemExit) as stop:
        parse_config([*REQUIRED, flag, *map(str, value if isinstance(value, list) else [value])])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert flag in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("prefix", ["./study", "../study", "someone/.hidden", "a/b/c", "someone/"])
def test_what_is_pushed_to_is_named_as_the_hub_names_it(prefix):
    """As everywhere else: a folder is no prefix, though it has a slash in it."""
    with pytest.raises(ValueError, match="--push-to-hub must be owner/name, got"):
        config(push_to_hub=prefix)
    assert config(push_to_hub="some-one/a.study_2").push_to_hub


def test_every_option_is_a_flag_with_help(capsys):
    with pytest.raises(SystemExit):
        parse_config(["--help"])
    shown = capsys.readouterr().out
    for field in dataclasses.fields(TrainConfig):
        assert "--" + field.name.replace("_", "-") in shown
    assert all(name in shown for name in DECODERS)


def test_what_a_resumed_run_may_change():
    begun = dataclasses.asdict(config(epochs=4))
    assert config(epochs=9, resume=True, output_dir="elsewhere", log_every=3).differs_from(begun) is None
    assert config(lr=0.5).differs_from(begun) == "--lr is 0.5, but the run was started with 0.0005"
    assert config(crop=128).differs_from(begun).startswith("--crop is 128")
    assert {field.name for field in dataclasses.fields(TrainConfig)} > TrainConfig.FREE_ON_RESUME


def test_a_run_that_is_older_than_an_option_has_its_default():
    """With any other value it would go on by another recipe: that of the preset, where it has one."""
    for preset, weight in (("lite", 0.04), ("paper", 0.1)):
        now = parse_config([*REQUIRED, "--preset", preset])
        older = dataclasses.asdict(now)
        del older["adversarial_weight"], older["samples"]
        assert now.differs_from(older) is None
        assert dataclasses.replace(now, samples=9).differs_from(older) is None  # free on resuming
        changed = dataclasses.replace(now, adversarial_weight=0.5).differs_from(older)
        assert changed == f"--adversarial-weight is 0.5, but the run was started with {weight}"


def test_a_run_that_turned_off_what_is_always_on_is_named_by_its_flag():
    begun = dataclasses.asdict(config())
    assert config().removed_flag(begun) is None and config().removed_flag(begun | {"keep_teacher": True}) is None
    assert config().removed_flag(begun | {"keep_teacher": True, "share_forward": False}) == "--no-share-forward"
    assert not begun.keys() & set(TrainConfig.ALWAYS_ON)


def test_a_run_goes_on_in_the_precision_that_it_was_begun_with():
    """What "auto" is depends on the machine, and a run may go on on another."""
    earlier = dataclasses.asdict(config(precision="bf16"))
    assert config(precision="auto").differs_from(earlier) is None
    assert "--precision is fp32, but the run was started with bf16" in config(precision="fp32").differs_from(earlier)
