import errno
import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from chromagan.hub import repositories
from chromagan.hub.checkpoints import (
    SHIPPED,
    Checkpoint,
    CheckpointError,
    NotNowError,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    recommended_checkpoint,
    recommended_of_each,
    refined_by_default,
    save_checkpoint,
)
from chromagan.hub.files import write_json
from chromagan.hub.model import ChromaGAN
from chromagan.imaging.color import normalize_L, srgb_to_L
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS


def lite(decoder):
    torch.manual_seed(0)
    model = ChromaGAN(ModelConfig.preset("lite", decoder)).without_class_head()
    model.freeze_trunk()
    return model


def test_list_is_by_decoder_then_epoch(source):
    found = [(checkpoint.decoder, checkpoint.epoch) for checkpoint in list_checkpoints(source)]
    assert found == [("compact", 0), ("compact", 3), ("depthwise", 0)]
    assert list_checkpoints(source)[1].metrics == {"epoch": 3}


def test_epochs_sort_as_numbers_and_other_folders_are_skipped(tmp_path):
    for name in ("epoch-900", "epoch-30", "epoch-0", "epoch-x", "notes"):
        (tmp_path / "original" / name).mkdir(parents=True)
        (tmp_path / "original" / name / "model.safetensors").touch()
    (tmp_path / "original" / "epoch-7").mkdir()  # no weights in it
    assert [checkpoint.epoch for checkpoint in list_checkpoints(tmp_path)] == [0, 30, 900]


@pytest.mark.skipif(os.name != "posix", reason="no umask")
@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_who_may_read_and_write_a_checkpoint_is_the_users_choice(tmp_path, umask):
    """A group that trains together, and a user who keeps all to himself."""
    before = os.umask(umask)
    try:
        save_checkpoint(lite("depthwise"), tmp_path / "depthwise" / "epoch-1", {"psnr": 24.0})
    finally:
        os.umask(before)
    written = list(tmp_path.rglob("*"))
    assert len(written) == 6
    for path in written:
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


@pytest.mark.parametrize("decoder", DECODERS)
def test_saved_networks_fit_the_promise_and_load_alike(tmp_path, decoder):
    model = lite(decoder)
    save_checkpoint(model, tmp_path / decoder / "epoch-1", {"psnr": 24.0})
    checkpoint = find_checkpoint(tmp_path, decoder)
    weights = tmp_path / decoder / "epoch-1" / "model.safetensors"
    assert weights.stat().st_size <= 2e6
    assert not [name for name in load_file(weights) if name.startswith("trunk.")]
    loaded = load_checkpoint(checkpoint)
    assert not loaded.training and checkpoint.metrics == {"psnr": 24.0}

    # What was saved is what loads, bit for bit, and saving that again changes nothing.
    save_checkpoint(loaded, tmp_path / "again" / decoder / "epoch-1")
    again = load_checkpoint(find_checkpoint(tmp_path / "again", decoder))
    L = torch.rand(1, 1, 64, 64)
    assert torch.equal(loaded(L), again(L))
    assert (loaded(L) - model(L)).abs().max() < 0.01  # half precision's rounding


def test_statistics_of_norms_keep_their_range(tmp_path):
    model = lite("transposed")
    model.decoder[1].running_var.fill_(1e6)  # float16 ends at 65,504
    save_checkpoint(model, tmp_path / "transposed" / "epoch-0")
    assert load_checkpoint(find_checkpoint(tmp_path)).decoder[1].running_var.max() == 1e6


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "compact" / "epoch-0"
    save_checkpoint(lite("compact"), folder, {"old": 1})
    save_checkpoint(lite("compact"), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["epoch-0"]  # nothing left beside


def test_what_cannot_be_saved_leaves_the_old_one_alone(tmp_path):
    folder, model = tmp_path / "compact" / "epoch-0", lite("compact")
    save_checkpoint(model, folder, {"epoch": 0})
    with pytest.raises(TypeError):
        save_checkpoint(model, folder, {"epoch": object()})
    assert [path.name for path in folder.parent.iterdir()] == ["epoch-0"]
    assert list_checkpoints(tmp_path)[0].metrics == {"epoch": 0}


def test_checkpoints_sort_by_the_order_of_decoders_then_by_epoch():
    in_order = [Checkpoint(decoder, epoch, "a") for decoder in DECODERS for epoch in (0, 3, 30)]
    assert sorted(reversed(in_order)) == in_order


@pytest.mark.parametrize(
    "decoder, epoch, message",
    [
        ("original", None, "no checkpoint of decoder 'original', only of compact, depthwise"),
        ("compact", 7, "compact has no epoch 7 in .*; choose from 0, 3"),
        ("nearest", 0, "unknown decoder 'nearest'; choose from original, compact"),
    ],
)
def test_what_is_not_there_is_named(source, decoder, epoch, message):
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(source, decoder, epoch)


def test_defaults_are_the_first_decoder_and_its_newest_epoch_where_none_was_measured(source):
    assert find_checkpoint(source) == find_checkpoint(source, "compact", 3)


def test_the_recommended_checkpoint_is_the_one_that_was_measured_best(tmp_path, source):
    assert recommended_checkpoint(list_checkpoints(source)) == find_checkpoint(source)  # none was measured in colors
    for decoder, epoch, difference in (("original", 2, 9.5), ("compact", 1, 8.0), ("compact", 2, 9.0)):
        folder = tmp_path / decoder / f"epoch-{epoch}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
        write_json(folder / "metrics.json", {"colored": {"ciede2000_mean": {"value": difference}}})
    assert recommended_checkpoint(list_checkpoints(tmp_path)) == find_checkpoint(tmp_path, "compact", 1)
    assert find_checkpoint(tmp_path, "compact").epoch == 1  # not the newest
    assert find_checkpoint(tmp_path).decoder == "original"
    found = recommended_of_each(list_checkpoints(tmp_path))
    assert {decoder: each.epoch for decoder, each in found.items()} == {"original": 2, "compact": 1}


def measured_epochs(folder: Path, *measures: tuple[float | None, float | None]) -> None:
    """Epochs 1, 2, ... of a decoder in the source `folder`, with their CIEDE2000 and colorfulness; None is missing."""
    for epoch, values in enumerate(measures, 1):
        path = folder / "compact" / f"epoch-{epoch}"
        path.mkdir(parents=True)
        (path / "model.safetensors").touch()
        named = zip(("ciede2000_mean", "colorfulness"), values, strict=True)
        write_json(path / "metrics.json", {"colored": {name: value for name, value in named if value is not None}})


@pytest.mark.parametrize(
    ("measures", "epoch"),
    [
        ([(8.0, 20), (8.07, 30), (8.09, 40)], 2),  # the last is farther by more than a hundredth
        ([(8.0, None), (8.01, None), (12.0, 30)], 1),  # nobody can tell which is more colorful
        ([(8.0, None), (8.01, 20), (12.0, 30)], 2),
        ([(8.0, 20), (None, 40), (12.0, 30)], 3),  # not all were measured
    ],
)
def test_of_two_that_nobody_can_tell_apart_the_more_colorful_is_recommended(tmp_path, measures, epoch):
    measured_epochs(tmp_path, *measures)
    assert find_checkpoint(tmp_path).epoch == epoch


def test_a_damaged_file_of_measures_chooses_no_other_epoch_unsaid(tmp_path, caplog):
    measured_epochs(tmp_path, (8.0, 9.0), (9.0, 9.0), (9.5, 9.0))
    assert find_checkpoint(tmp_path).epoch == 1 and not caplog.messages
    damaged = tmp_path / "compact" / "epoch-2" / "metrics.json"
    damaged.write_text(damaged.read_text()[:-9])
    assert find_checkpoint(tmp_path).epoch == 3
    (line,) = caplog.messages
    assert line.startswith(f"{damaged} is not JSON") and line.endswith("; the newest epoch is used")
    caplog.clear()
    damaged.unlink()
    assert find_checkpoint(tmp_path).epoch == 3 and not caplog.messages  # it was not measured


def test_a_program_that_configures_no_logging_prints_the_reason_for_another_epoch(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logging.root, "handlers", [])  # as in the command line and the demo; pytest has its own
    measured_epochs(tmp_path, (8.0, 9.0))
    damaged = tmp_path / "compact" / "epoch-1" / "metrics.json"
    damaged.write_text("{")
    find_checkpoint(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{damaged} is not JSON")


def test_general_is_refined_however_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(SHIPPED.parent)
    link = tmp_path / "link"
    link.symlink_to(SHIPPED / "general")
    ways = ["general", "checkpoints/general", "./checkpoints/general/", str(SHIPPED / "general"), SHIPPED / "general"]
    assert all(map(refined_by_default, [*ways, str(link), f"{link}/"]))
    others = ["study", "checkpoints", "./general", "someone/general", "someone/study-general", str(tmp_path)]
    assert not any(map(refined_by_default, others))


def test_empty_and_missing_sources_are_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoints in"):
        list_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="no folder"):
        list_checkpoints(tmp_path / "nowhere")


@pytest.mark.parametrize("source", [None, 3, b"study", ["study"], ""])
def test_what_cannot_be_a_source_is_one_line(source):
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(source)
    others = "study, general, a folder of checkpoints or a Hub prefix owner/name"
    assert str(caught.value) == f"a source must be {others}, got {source!r}"


def test_checkpoints_of_decoders_that_are_not_registered_are_named(tmp_path):
    """Of a run by another clone, say, whose decoders this one does not have."""
    for name in ("mine/epoch-3", "another/epoch-0", "another/epoch-1", "other/last"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="only checkpoints of another, mine, which .*decoders.py does not have"):
        list_checkpoints(tmp_path)


def test_a_source_that_cannot_be_read_is_not_an_empty_one(tmp_path, monkeypatch):
    def refuse(path):  # the tests may run as root, from whom nothing can be closed
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(tmp_path))} cannot be read: Permission denied$"):
        list_checkpoints(tmp_path)


def _edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _edit_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: _edit_config(f, version=3), "version 3"),
        (lambda f: _edit_config(f, depth=2), "unknown keys in the config: depth"),
        (lambda f: _edit_config(f, decoder="original"), "says decoder 'original'"),
        (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "should hold a JSON object"),
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing; only safetensors are read"),
        (lambda f: _edit_config(f, mid_channels=["a"]), "cannot be used"),
        # Networks of terabytes, in some bytes of a config: no memory is taken before the weights have been looked at.
        (lambda f: _edit_config(f, num_classes=10**9, class_dense=[8192]), "the weights lack .* class_head"),
        (lambda f: _edit_config(f, global_dense=[8192] * 16), "the weights lack .* global_dense"),
        (lambda f: _edit_config(f, global_dense=[8192] * 17), "global_dense has more than 16 entries"),
        (lambda f: _edit_config(f, trunk="no_such_net"), "timm has no network 'no_such_net'"),
        (lambda f: _edit_config(f, trunk_stages=[9]), "cannot be used: tf_efficientnet_lite0 does not have all of"),
        (lambda f: _edit_config(f, image_size=0), "image_size must be at least 1"),
        (
            lambda f: _edit_weights(f, lambda t: t.pop("fusion.0.bias")),
            "lack 1 of .* tensors, first fusion.0.bias",
        ),
        (
            lambda f: _edit_weights(f, lambda t: t.update(x=torch.zeros(1))),
            "have 1 tensors that .*, first x",
        ),
        (
            lambda f: _edit_weights(f, lambda t: t.update({"fusion.0.bias": torch.zeros(3)})),
            r"fusion.0.bias has shape \(3,\), not",
        ),
        (
            lambda f: _edit_weights(f, lambda t: t["fusion.0.bias"].fill_(float("nan"))),
            "fusion.0.bias holds NaN or infinity",
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b"not safetensors"), "is damaged or truncated"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]),
            "is damaged or truncated",
        ),
    ],
)
def test_damage_is_one_clear_line(tmp_path, damage, message):
    folder = tmp_path / "compact" / "epoch-0"
    save_checkpoint(lite("compact"), folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(Checkpoint("compact", 0, str(folder)))
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [AssertionError, KeyError, ZeroDivisionError])
def test_whatever_a_foreign_config_does_is_one_line(source, monkeypatch, kind):
    def fail(config):
        raise kind("odd")

    monkeypatch.setattr("chromagan.hub.model.ChromaGAN", fail)
    with pytest.raises(CheckpointError, match=f"compact/epoch-0 cannot be used: its config.json .*{kind.__name__}"):
        load_checkpoint(list_checkpoints(source)[0])


def test_damaged_metrics_are_a_checkpoint_error(tmp_path):
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"metrics.json is not JSON"):
        _ = Checkpoint("compact", 0, str(tmp_path)).metrics


def test_measures_that_the_hub_does_not_give_this_time_choose_no_other_epoch(monkeypatch):
    checkpoints = [Checkpoint("compact", epoch, "someone/study-compact", f"epoch-{epoch}") for epoch in (1, 3)]
    answers = [repositories.HubError("busy"), repositories.MissingError("none")]

    def download(*arguments):
        raise answers[0]

    monkeypatch.setattr(repositories, "download", download)
    with pytest.raises(NotNowError, match="busy"):
        recommended_checkpoint(checkpoints)
    answers.pop(0)
    assert recommended_checkpoint(checkpoints).epoch == 3 and checkpoints[0].metrics == {}  # not measured


PAPERS = list(DECODERS)[:5]  # a sixth decoder does not ship


def test_the_shipped_set_is_whole_small_and_measured():
    shipped = list_checkpoints(SHIPPED)
    epochs = {decoder: [c.epoch for c in shipped if c.decoder == decoder] for decoder in PAPERS}
    common = set.intersection(*map(set, epochs.values()))
    assert {0, 1, 3} <= common  # every decoder at the same ones; one of them may go further
    sizes = [Path(checkpoint.path, "model.safetensors").stat().st_size for checkpoint in shipped]
    everything = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    assert max(sizes) <= 2e6 and everything <= 70e6
    assert [path.name for path in SHIPPED.rglob("tf_*.safetensors")] == ["tf_efficientnet_lite0.safetensors"]
    for checkpoint in shipped:
        metrics = checkpoint.metrics
        assert (metrics["decoder"], metrics["epoch"]) == (checkpoint.decoder, checkpoint.epoch)
        assert metrics["images"] >= 100 and metrics["colored"]["ciede2000_mean"]["low"] > 0


@pytest.mark.parametrize("decoder", PAPERS)
def test_shipped_networks_load_and_answer_with_color(decoder):
    before, *_, newest = [c for c in list_checkpoints(SHIPPED) if c.decoder == decoder]
    sky = Image.open(SHIPPED.parent / "examples" / "rocket.jpg").resize((224, 224))
    L = normalize_L(srgb_to_L(torch.from_numpy(np.array(sky)).movedim(-1, 0)[None] / 255))
    ab = [load_checkpoint(checkpoint)(L) for checkpoint in (before, newest)]
    assert ab[1].isfinite().all() and ab[1].abs().mean() > 0.005
    assert not torch.allclose(*ab, atol=1e-3)
