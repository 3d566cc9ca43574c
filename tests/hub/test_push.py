"""What a push must leave on the Hub, where it is easy to get wrong: the real client against tests/hub_standin.py."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from hub_standin import READ_TOKEN, SOON, disconnect
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file

from chromagan import CheckpointError, ChromaGAN
from chromagan.__main__ import main
from chromagan.hub import publish as publishing
from chromagan.hub.access import PublishError
from chromagan.hub.background_publisher import BackgroundPublisher
from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from chromagan.hub.files import write_json
from chromagan.hub.publish import publish
from chromagan.hub.refiners import load_refiner, save_refiner
from chromagan.hub.trunks import write_weights
from chromagan.network.refiner import Refiner, RefinerConfig


@pytest.fixture
def study(tmp_path, source):
    """compact at epochs 0 and 3, depthwise at 0, with a run's options."""
    study = tmp_path / "study"
    shutil.copytree(source, study)
    write_json(study / "compact" / "train.json", {"data": str(tmp_path / "birds"), "epochs": 3})
    return study


def push(study) -> list[str]:
    said = []
    publish(study, "someone/study", say=said.append)
    return said


def test_an_epoch_never_has_the_measures_of_another(server, study):
    (study / "compact" / "epoch-3" / "metrics.json").unlink()
    push(study)
    assert "metrics.json" in server.files("someone/study-compact", "epoch-0")
    assert "metrics.json" not in server.files("someone/study-compact", "epoch-3")
    assert [c.metrics for c in list_checkpoints("someone/study")][:2] == [{"epoch": 0}, {}]

    # Measured, pushed, and the measures withdrawn again.
    (study / "compact" / "epoch-0" / "metrics.json").unlink()
    assert push(study)[0].endswith("pushed")
    assert "metrics.json" not in server.files("someone/study-compact", "epoch-0")
    before = server.commits("someone/study-compact")
    assert all(line.endswith("already there") for line in push(study))
    assert server.commits("someone/study-compact") == before


def test_a_run_that_went_on_leaves_its_older_epochs_alone(server, study):
    push(study)
    tags = dict(server.repos["someone/study-compact"]["tags"])
    write_json(study / "compact" / "train.json", {"data": "birds", "epochs": 900})
    assert all(line.endswith("already there") for line in push(study))
    assert server.repos["someone/study-compact"]["tags"] == tags
    assert json.loads(server.files("someone/study-compact")["train.json"])["epochs"] == 900  # main has the newest


def test_an_epoch_that_a_run_saves_and_pushes_meanwhile_stays_the_newest(server, study):
    """`publish` of a folder in which a run goes on, with --push-to-hub."""

    def say(line):
        if line == "someone/study-compact epoch-3: pushed":
            shutil.copytree(study / "compact" / "epoch-3", study / "compact" / "epoch-10")
            write_json(study / "compact" / "epoch-10" / "metrics.json", {"epoch": 10})
            publisher = BackgroundPublisher("someone/study", "compact", study)
            publisher.epoch_saved(10)
            assert publisher.close() == []

    publish(study, "someone/study", say=say)
    assert json.loads(server.files("someone/study-compact")["metrics.json"]) == {"epoch": 10}
    assert set(server.repos["someone/study-compact"]["tags"]) == {"epoch-0", "epoch-3", "epoch-10"}


def test_a_tag_that_another_push_makes_meanwhile_is_not_taken_for_ones_own(server, study, monkeypatch):
    commit = publishing.commit_epoch

    def commit_late(checkpoint, repo, epochs):
        oid = commit(checkpoint, repo, epochs)
        monkeypatch.setattr(publishing, "commit_epoch", commit)
        server.put(repo, {"metrics.json": b'{"of": "another"}'}, tag="epoch-0")
        return oid

    monkeypatch.setattr(publishing, "commit_epoch", commit_late)
    push(study)
    assert json.loads(server.files("someone/study-compact", "epoch-0")["metrics.json"]) == {"epoch": 0}


def test_weights_go_as_large_files_and_only_once(server, study, monkeypatch):
    """As the Hub wants them: the content apart, by its SHA-256, and no commit where it is there already."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    server.large_files = True
    push(study)
    uploads = [line for line in server.log if line.startswith("PUT")]
    assert len(uploads) == len(set(uploads)) == 4  # three networks, and the trunk of both repositories
    weights = (study / "compact" / "epoch-0" / "model.safetensors").read_bytes()
    assert server.files("someone/study-compact", "epoch-0")["model.safetensors"] == weights
    before = server.commits("someone/study-compact")
    assert all(line.endswith("already there") for line in push(study))
    assert server.commits("someone/study-compact") == before
    assert [line for line in server.log if line.startswith("PUT")] == uploads


def test_the_card_names_the_data_that_the_run_had_and_no_folder_of_the_machine(server, study, tmp_path):
    colored = {
        "images": 40, "ciede2000_mean": {"value": 9.125, "low": 8.5, "high": 10.0}, "colorfulness_ratio": 0.5,
        "ssim": {"value": 0.91, "low": 0.9, "high": 0.92},
    }  # fmt: skip
    measured = {"data": str(tmp_path / "birds"), "split": "validation", "size": 224, "colored": colored}
    write_json(study / "compact" / "epoch-3" / "metrics.json", measured)
    push(study)
    text = server.files("someone/study-compact")["README.md"].decode()
    assert "Trained on birds" in text and "Imagenette" not in text and str(tmp_path) not in text
    assert "| 3 | 9.12 (8.50 to 10.00) | 0.50 | 0.910 (0.900 to 0.920) | 40 |" in text
    card = ModelCard(text)
    card.validate()
    assert {(r.dataset_name, r.dataset_type) for r in card.data.eval_results} == {
        ("birds, validation, 40 colored photos", "birds")
    }
    assert "not recorded" in server.files("someone/study-depthwise")["README.md"].decode()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def edit(path: Path, **changes) -> None:
    write_json(path, (json.loads(path.read_text()) if path.exists() else {}) | changes)


def other_trunk(study: Path) -> None:
    (path,) = study.glob("*.safetensors")
    write_weights({name: tensor + 1 for name, tensor in load_file(path).items()}, path)


LAST = "depthwise/epoch-0"


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda study: shorten(study / LAST / "model.safetensors"),
            f"{LAST} cannot be used: model.safetensors is damag",
        ),
        (other_trunk, "compact/epoch-0 cannot be used: tf_efficientnet_lite0.safetensors is not the trunk"),
        (
            lambda study: next(study.glob("*.safetensors")).unlink(),
            "compact/epoch-0 cannot be used: its trunk .* is missing",
        ),
        (
            lambda study: edit(study / LAST / "config.json", decoder="compact"),
            f"{LAST} cannot be used: config.json says",
        ),
        (
            lambda study: write_json(study / LAST / "config.json", {}),
            f"{LAST} cannot be used: config.json says decoder",
        ),
        (
            lambda study: (study / LAST / "config.json").write_text("{"),
            f"{LAST} cannot be used: config.json is not JSON",
        ),
        (
            lambda study: edit(study / LAST / "metrics.json", data=["a"]),
            rf"{LAST} cannot be used: metrics.json: data should be a string, got \['a'\]",
        ),
        (
            lambda study: edit(study / LAST / "metrics.json", size="224"),
            "metrics.json: size should be a number, got '224'",
        ),
        (
            lambda study: edit(study / "compact" / "train.json", data=7),
            "train.json: data should be a string or a list of",
        ),
        (
            lambda study: edit(study / "compact" / "train.json", sources=[{}]),
            r"train.json: sources should be a list of data sets, got \[{}\]",
        ),
        (
            lambda study: shorten(study / "refiner" / "model.safetensors"),
            "refiner cannot be used: model.safetensors is dam",
        ),
        (
            lambda study: edit(study / "refiner" / "config.json", trunk_digest="0" * 64),
            "refiner cannot be used: tf_efficientnet_lite0.safetensors is not the trunk",
        ),
        (
            lambda study: edit(study / "refiner" / "metrics.json", data=3),
            "metrics.json: data should be a string, got 3",
        ),
        (lambda study: edit(study / "refiner" / "metrics.json", refined=7), "no card can be made of .*/metrics.json"),
    ],
)
def test_what_is_damaged_stops_a_push_before_anything_is_there(server, refined_source, tmp_path, damage, message):
    study = shutil.copytree(refined_source, tmp_path / "study")
    damage(study)
    with pytest.raises(CheckpointError, match=message) as caught:
        push(study)
    assert not server.repos and "\n" not in str(caught.value) and "again to resume" not in str(caught.value)


def test_what_is_there_already_is_not_loaded_again(server, study, monkeypatch):
    loaded = []
    load = publishing.load_checkpoint
    monkeypatch.setattr(publishing, "load_checkpoint", lambda each: loaded.append(each) or load(each))
    push(study)
    assert loaded == list_checkpoints(study)
    write_json(study / "compact" / "epoch-3" / "metrics.json", {"epoch": 3, "measured": "anew"})
    push(study)
    assert loaded[3:] == list_checkpoints(study)[1:2]


def test_a_run_pushes_no_epoch_that_cannot_be_loaded(server, study):
    shorten(study / "compact" / "epoch-3" / "model.safetensors")
    publisher = BackgroundPublisher("someone/study", "compact", study)
    publisher.epoch_saved(0), publisher.epoch_saved(3)
    (failure,) = publisher.close()
    assert failure.startswith("epoch 3 was not pushed to someone/study-compact: checkpoint ")
    assert "model.safetensors is damaged" in failure
    assert set(server.repos["someone/study-compact"]["tags"]) == {"epoch-0"}


def test_a_config_that_leaves_the_usual_trunk_out_is_pushed_and_pulled(server, study):
    for path in study.glob("*/*/config.json"):
        config = json.loads(path.read_text())
        del config["trunk"]
        write_json(path, config)
    push(study)
    assert all(load_checkpoint(each) for each in list_checkpoints("someone/study"))


def refusal(*source, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        ChromaGAN.from_pretrained(*source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_pickle_under_the_name_of_safetensors_is_not_read(tmp_path, source):
    shutil.copy(source / "compact" / "epoch-0" / "config.json", tmp_path)
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert "model.safetensors is damaged or truncated" in refusal(tmp_path)


def test_a_hub_that_refuses_the_connection_is_known_at_once(monkeypatch, tmp_path):
    disconnect(monkeypatch, tmp_path / "cache")
    start = time.monotonic()
    assert "the Hub is out of reach, and config.json" in refusal("someone/study-compact")
    assert time.monotonic() - start < SOON


def test_a_wrong_token_is_one_line(server, source, monkeypatch, capsys):
    publish(source, "someone/study", say=lambda line: None)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "it rejected the token: run hf auth login" in refusal("someone/study-compact")
    assert main(["list", "--source", "someone/study"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "it rejected the token: run hf auth login" in error


def test_a_token_that_only_reads_pulls_but_cannot_push(server, source, monkeypatch):
    publish(source, "someone/study", private=True, say=lambda line: None)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    for push in (publish, lambda source, to: BackgroundPublisher(to, "compact", source)):
        with pytest.raises(PublishError, match="the token may only read"):
            push(source, "someone/study")


def test_a_refiner_of_other_networks_is_not_pushed(server, refined_source, tmp_path):
    """Of the folder above, say, whose networks have another trunk than these."""
    study = shutil.copytree(refined_source, tmp_path / "study")
    shutil.rmtree(study / "refiner")
    refiner = Refiner(RefinerConfig(channels=8, steps=2))  # of a trunk that was not frozen
    save_refiner(refiner, study / "refiner")
    (line,) = [line for line in push(study) if "refiner" in line]
    assert "refiner is not pushed: it was trained for the trunk" in line
    with pytest.raises(KeyError):
        server.files("someone/study-refiner")


def test_a_refiner_goes_to_a_repository_of_its_own_and_comes_back(server, refined_source, tmp_path):
    study = shutil.copytree(refined_source, tmp_path / "study")
    change = {"value": -0.2, "low": -0.3, "high": -0.1, "photos": 9}
    measured = {"decoder": "compact", "epoch": 3, "steps": 2, "images": 9}
    measured |= {"before": {"ciede2000_mean": 10.0}, "difference": {"ciede2000_mean": change}}
    about = {"data": "birds", "split": "validation", "size": 64}
    write_json(study / "refiner" / "metrics.json", about | {"refined": [measured]})
    write_json(study / "refiner" / "train.json", {"steps": 9, "output_dir": "/home/somebody"})
    assert push(study)[-1] == "someone/study-refiner: pushed"
    files = server.files("someone/study-refiner")
    trunk = f"{load_checkpoint(list_checkpoints(study)[0]).config.trunk}.safetensors"  # it stands alone
    assert files.keys() - {".gitattributes"} == {
        "README.md", "config.json", "model.safetensors", "metrics.json", "train.json", trunk
    }  # fmt: skip
    assert json.loads(files["train.json"]) == {"steps": 9}  # nothing of the machine
    card = files["README.md"].decode()
    assert "| compact | 3 | 9 | 10.00, -0.20 (-0.30 to -0.10) |\n" in card and "like its neighbors" in card
    assert [(c.decoder, c.epoch) for c in list_checkpoints("someone/study")] == [
        ("compact", 0), ("compact", 3), ("depthwise", 0)
    ]  # fmt: skip
    commits = server.commits("someone/study-refiner")
    assert push(study)[-1] == "someone/study-refiner: already there"
    assert server.commits("someone/study-refiner") == commits
    (study / "refiner" / "metrics.json").unlink(), (study / "refiner" / "train.json").unlink()
    assert push(study)[-1] == "someone/study-refiner: pushed"  # another refiner, not measured
    files = server.files("someone/study-refiner")
    assert not files.keys() & {"metrics.json", "train.json"} and b"Not measured yet" in files["README.md"]
    here, there = (load_refiner(source, load_checkpoint(list_checkpoints(source)[0]).config)
                   for source in (study, "someone/study"))  # fmt: skip
    assert all(torch.equal(there.state_dict()[name], t) for name, t in here.state_dict().items())
