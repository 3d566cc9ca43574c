"""The trunk that a study shares: stored once, known by its digest, and missed with one line."""

import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from chromagan.hub.checkpoints import CheckpointError, list_checkpoints, load_checkpoint, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.trunks import digest_of, freeze, half, save_trunk, write_weights
from chromagan.network.config import ModelConfig
from chromagan.network.trunk import Trunk

FILE = "tf_efficientnet_lite0.safetensors"


@pytest.fixture
def study(source, tmp_path):
    """A copy of the source, to be damaged."""
    return shutil.copytree(source, tmp_path / "study")


def test_a_digest_is_of_names_types_shapes_and_bytes():
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.zeros(2)}
    digest = digest_of(tensors)
    assert digest == digest_of(dict(reversed(tensors.items()))) and len(digest) == 64
    for other in (
        tensors | {"a": tensors["a"].view(3, 2)}, tensors | {"b": torch.zeros(2, dtype=torch.int32)},
        {"a": tensors["a"], "c": tensors["b"]}, tensors | {"b": torch.tensor([0.0, 1e-30])}, {"a": tensors["a"]},
    ):  # fmt: skip
        assert digest_of(other) != digest


def test_a_frozen_trunk_is_what_is_stored(tmp_path):
    torch.manual_seed(0)
    trunk = Trunk("tf_efficientnet_lite0", (1, 2, 3, 4))
    digest = freeze(trunk)
    assert not any(p.requires_grad for p in trunk.parameters()) and not trunk.training
    save_trunk(trunk, tmp_path / FILE)
    stored = load_file(tmp_path / FILE)
    assert digest_of(stored) == digest == digest_of(half(trunk.net.state_dict()))
    assert all(torch.equal(stored[name].float(), t.float()) for name, t in trunk.net.state_dict().items())
    before = (tmp_path / FILE).stat().st_mtime_ns
    save_trunk(trunk, tmp_path / FILE)  # there already
    assert (tmp_path / FILE).stat().st_mtime_ns == before
    (tmp_path / FILE).write_bytes(b"torn")
    save_trunk(trunk, tmp_path / FILE)
    assert digest_of(load_file(tmp_path / FILE)) == digest and len(list(tmp_path.iterdir())) == 1


def test_no_room_for_weights_is_told_and_the_old_ones_stay(tmp_path):
    path = tmp_path / "model.safetensors"
    write_weights({"w": torch.ones(3)}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model.safetensors cannot be written \(is the disk full\?\)"):
            write_weights({"w": torch.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [each.name for each in tmp_path.iterdir()] == [path.name] and load_file(path)["w"].sum() == 3


def test_one_file_serves_every_checkpoint_and_a_source_inside_the_source(study):
    assert [path.name for path in study.rglob("*.safetensors")].count(FILE) == 1
    shutil.copytree(study / "compact", study / "general" / "compact")
    models = [load_checkpoint(each) for each in [*list_checkpoints(study), *list_checkpoints(study / "general")]]
    weights = [model.trunk.net.state_dict() for model in models]
    assert len(models) == 5 and all(torch.equal(weights[0][k], w[k]) for w in weights for k in w)


def test_the_trunk_may_lie_beside_a_link_or_beside_what_it_points_to(study, tmp_path):
    linked = tmp_path / "elsewhere" / "linked"
    (linked / "compact").mkdir(parents=True)
    (linked / "compact" / "epoch-0").symlink_to(study / "compact" / "epoch-0")
    (checkpoint,) = list_checkpoints(linked)
    assert load_checkpoint(checkpoint)
    shutil.move(study / FILE, linked / FILE)
    assert load_checkpoint(checkpoint)


def test_a_folder_of_its_own_stands_alone(study, tmp_path):
    """What a Hub repository holds, and what save_pretrained leaves."""
    model = load_checkpoint(list_checkpoints(study)[0])
    model.save_pretrained(tmp_path / "alone")
    assert {path.name for path in (tmp_path / "alone").iterdir()} >= {"config.json", "model.safetensors", FILE}
    shutil.rmtree(study)
    L = torch.rand(1, 1, 64, 64)
    assert torch.equal(ChromaGAN.from_pretrained(tmp_path / "alone")(L), model(L))


def _another(path):
    tensors = load_file(path)
    tensors["model.conv_stem.weight"] += 1
    save_file(tensors, path)


def _short(path):
    tensors = load_file(path)
    tensors.pop("model.conv_stem.weight")
    save_file(tensors, path)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.unlink(), "its trunk tf_efficientnet_lite0.safetensors is missing: it belongs in"),
        (_another, "is not the trunk that it was trained with: sha256 [0-9a-f]{12}…, expected [0-9a-f]{12}…"),
        (_short, "is not the trunk"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is damaged or truncated"),
    ],
)
def test_a_trunk_that_does_not_fit_is_one_line(study, damage, message):
    checkpoint = list_checkpoints(study)[0]
    load_checkpoint(checkpoint)  # so that one is remembered
    damage(study / FILE)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(checkpoint)
    assert "\n" not in str(error.value) and str(checkpoint) in str(error.value)


def test_a_trunk_that_trained_is_in_every_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = ChromaGAN(ModelConfig.preset("lite", "compact")).without_class_head()
    save_checkpoint(model, tmp_path / "compact" / "epoch-0")
    assert not list(tmp_path.glob("*.safetensors"))
    L = torch.rand(1, 1, 64, 64)
    assert (load_checkpoint(list_checkpoints(tmp_path)[0])(L) - model.eval()(L)).abs().max() < 0.01
