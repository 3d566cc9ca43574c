"""A source's refiner: found with it, read strictly, and refused in one line where it does not fit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from chromagan.hub.checkpoints import CheckpointError, list_checkpoints, load_checkpoint
from chromagan.hub.refiners import has_refiner, load_refiner, save_refiner
from chromagan.network.refiner import Refiner


@pytest.fixture
def study(refined_source, tmp_path):
    """A copy of the source, to be damaged."""
    return shutil.copytree(refined_source, tmp_path / "study")


def model_of(study):
    return load_checkpoint(list_checkpoints(study)[0]).config


def test_what_is_saved_is_read(study):
    refiner = load_refiner(study, model_of(study))
    assert not refiner.training and refiner.config.steps == 2
    stored = load_file(study / "refiner" / "model.safetensors")
    assert all(torch.equal(stored[name].float(), t.float()) for name, t in refiner.state_dict().items())
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {torch.float16}
    save_refiner(refiner, study / "refiner")
    again = load_refiner(study, model_of(study)).state_dict()
    assert all(torch.equal(again[name], t) for name, t in refiner.state_dict().items())
    assert sorted(path.name for path in (study / "refiner").iterdir()) == ["config.json", "model.safetensors"]


def test_it_is_no_decoder_and_serves_sources_below(study, source):
    assert [(c.decoder, c.epoch) for c in list_checkpoints(study)] == [
        (c.decoder, c.epoch) for c in list_checkpoints(source)
    ]
    shutil.copytree(study / "compact", study / "general" / "compact")
    assert has_refiner(study) and has_refiner(study / "general") and not has_refiner(source)
    assert load_refiner(study / "general", model_of(study)).config.steps == 2


def refused(study, model=None):
    with pytest.raises(CheckpointError) as error:
        load_refiner(study, model or model_of(study))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_refiner_that_cannot_be_used_is_one_line(study, source):
    model, folder = model_of(study), study / "refiner"
    assert "has no refiner: expected refiner/model.safetensors" in refused(source, model)
    weights, config = (folder / "model.safetensors").read_bytes(), json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert "damaged or truncated" in refused(study)
    (folder / "model.safetensors").write_bytes(weights)
    for changes, message in (
        ({"trunk_digest": "b" * 64}, "trained for the trunk tf_efficientnet_lite0 (bbbbbbbbbbbb…)"),
        ({"channels": 16}, "has shape"),
        ({"version": 9}, "config version 9"),
        ({"wings": 2}, "unknown keys"),
        ({"channels": "many"}, "cannot be used"),
        ({"channels": 8192}, "has shape"),
        ({"channels": 9000}, "at most 8192 channels"),
        ({"steps": 10**9}, "100 steps"),
        ({"trunk_strides": [0, 8, 16, 32]}, "trunk_strides must be ascending powers of two"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        assert message in refused(study)
    (folder / "config.json").write_text("{")
    assert "is not JSON" in refused(study)
    (folder / "config.json").unlink()
    assert "config.json is missing" in refused(study)


def test_one_with_a_tensor_too_few_is_refused(study):
    refiner = load_refiner(study, model_of(study))
    lacking = Refiner(refiner.config)
    del lacking.value
    save_refiner(lacking, study / "refiner")
    assert "lack 2 of" in refused(study)
