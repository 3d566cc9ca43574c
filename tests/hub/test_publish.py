"""What a push leaves on the Hub where the plain case of test_repositories.py does not reach."""

import json
import shutil
import socket
import time
from pathlib import Path

import pytest
import torch
from hub_standin import SOON, connect, repository_files
from huggingface_hub import constants

from chromagan import CheckpointError, ChromaGAN
from chromagan.hub import repositories
from chromagan.hub.background_publisher import BackgroundPublisher
from chromagan.hub.checkpoints import Checkpoint, find_checkpoint, load_checkpoint
from chromagan.hub.publish import publish
from chromagan.hub.refiners import load_refiner


def measured(study, epoch, **changes):
    path = study / "compact" / f"epoch-{epoch}" / "metrics.json"
    path.write_text(json.dumps({"epoch": epoch, "colored": {"images": 7, "ciede2000_mean": {"value": 9.5}}} | changes))


def test_main_stays_the_newest_when_a_resumed_run_saves_an_older_epoch_anew(server, source, tmp_path):
    study = shutil.copytree(source, tmp_path / "study")
    for attempt in range(2):
        measured(study, 0, attempt=attempt)
        publisher = BackgroundPublisher("someone/run", "compact", study)
        for epoch in (0, 3):
            publisher.epoch_saved(epoch)
        assert publisher.close() == []
    assert json.loads(server.files("someone/run-compact")["metrics.json"])["epoch"] == 3
    assert json.loads(server.files("someone/run-compact", "epoch-0")["metrics.json"])["attempt"] == 1


def test_the_card_names_other_data_and_no_path_of_the_machine(server, source, tmp_path):
    study = shutil.copytree(source, tmp_path / "study")
    measured(study, 3, data="/home/ann/photos")
    options = {"data": "/home/ann/photos", "output_dir": "/home/ann/runs", "cache_dir": "/home/ann/.cache", "lr": 0.1}
    (study / "compact" / "train.json").write_text(json.dumps(options))
    publish(study, "someone/other", say=lambda line: None)
    files = server.files("someone/other-compact")
    card = files["README.md"].decode()
    assert json.loads(files["train.json"]) == {"data": "photos", "lr": 0.1}
    assert not [name for name, content in files.items() if b"/home/ann" in content]
    assert "Trained on photos:" in card
    assert "magenette" not in card and "/home/ann" not in card


def test_the_card_names_several_data_sets(server, source, tmp_path):
    study = shutil.copytree(source, tmp_path / "study")
    measured(study, 3, data="someone/birds")
    sources = [{"data": "someone/birds", "photos": 5, "gray": 1}, {"data": "/home/ann/photos", "photos": 3, "gray": 0}]
    options = {"data": ["someone/birds", "/home/ann/photos"], "sources": sources}
    (study / "compact" / "train.json").write_text(json.dumps(options))
    publish(study, "someone/both", say=lambda line: None)
    files = server.files("someone/both-compact")
    assert json.loads(files["train.json"]) == {
        "data": ["someone/birds", "photos"],
        "sources": [sources[0], sources[1] | {"data": "photos"}],
    }
    assert not [name for name, content in files.items() if b"/home/ann" in content]
    card = files["README.md"].decode()
    assert "Trained on someone/birds and photos:" in card and "datasets:\n- someone/birds\n" in card


def test_metrics_that_name_no_data_are_published(server, source, tmp_path):
    study = shutil.copytree(source, tmp_path / "study")
    measured(study, 3)
    publish(study, "someone/bare", say=lambda line: None)
    assert "| 3 | 9.50 | 7 |" in server.files("someone/bare-compact")["README.md"].decode()


@pytest.mark.parametrize(
    "repo, revision, message",
    [
        ("someone/none-compact", None, "no repository 'someone/none-compact' on the Hub"),
        ("someone/study-compact", "epoch-9", "someone/study-compact has no tag 'epoch-9'"),
        ("someone/pickle-compact", None, "has no model.safetensors, only pytorch_model.bin, a pickle"),
        ("someone/torn-compact", None, r"someone/torn-compact \(main\) cannot be used: "),
        ("nowhere", None, "no folder 'nowhere': give a folder or a Hub repository owner/name"),
    ],
)
def test_a_network_that_cannot_be_pulled_is_one_line(server, source, repo, revision, message):
    folder = source / "compact" / "epoch-3"
    files = repository_files(folder)
    server.put("someone/study-compact", files)
    server.put("someone/pickle-compact", {"config.json": files["config.json"], "pytorch_model.bin": b"code"})
    server.put("someone/torn-compact", files | {"model.safetensors": files["model.safetensors"][:-9]})
    with pytest.raises(CheckpointError, match=message) as error:
        ChromaGAN.from_pretrained(repo, revision=revision)
    assert "\n" not in str(error.value)


def move_main(monkeypatch, server, repo, commits):
    """Between the download of the first file and the next, main of `repo` gets the next of `commits`."""
    download = repositories.hf_hub_download

    def then_move(repo_id, name, **options):
        path = download(repo_id, name, **options)
        if name == "config.json" and commits:
            server.put(repo, commits.pop(0))
        return path

    monkeypatch.setattr(repositories, "hf_hub_download", then_move)


def test_a_branch_that_moves_while_it_is_downloaded_is_one_commits(server, refined_source, monkeypatch):
    old, new = (repository_files(refined_source / "compact" / f"epoch-{epoch}") for epoch in (0, 3))
    server.put("someone/study-compact", old)
    move_main(monkeypatch, server, "someone/study-compact", [new])
    model = ChromaGAN.from_pretrained("someone/study-compact")
    newest = load_checkpoint(find_checkpoint(refined_source, "compact", 3))
    assert torch.equal(model.mid[2][0].weight, newest.mid[2][0].weight)
    move_main(monkeypatch, server, "someone/study-compact", [old, new])
    with pytest.raises(CheckpointError, match=r"study-compact \(main\) changed while it was downloaded: try again"):
        ChromaGAN.from_pretrained("someone/study-compact")

    refiner = {path.name: path.read_bytes() for path in (refined_source / "refiner").iterdir()}
    server.put("someone/study-refiner", refiner)
    move_main(monkeypatch, server, "someone/study-refiner", [refiner | {"README.md": b"new"}])
    assert load_refiner("someone/study", model.config).config.steps == 2


def shorten(repo: str, name: str) -> None:
    """Cut the end off the cached file `name` of a repository."""
    (path,) = Path(constants.HF_HUB_CACHE).glob(f"models--{repo.replace('/', '--')}/snapshots/*/{name}")
    path.resolve().write_bytes(path.read_bytes()[:-9])


READERS = {
    "tag": lambda repo, config: load_checkpoint(Checkpoint("compact", 0, repo, "epoch-0")),
    "mixin": lambda repo, config: ChromaGAN.from_pretrained(repo),
    "refiner": lambda repo, config: load_refiner(repo.removesuffix("-refiner"), config),
}


@pytest.mark.parametrize(
    "reader, name",
    [
        ("tag", "model.safetensors"),
        ("tag", "tf_efficientnet_lite0.safetensors"),
        ("tag", "config.json"),
        ("mixin", "model.safetensors"),
        ("refiner", "model.safetensors"),
    ],
)
def test_a_file_that_is_damaged_in_the_cache_is_downloaded_again(server, refined_source, monkeypatch, reader, name):
    repo, read = f"someone/study-{'refiner' if reader == 'refiner' else 'compact'}", READERS[reader]
    checkpoint = find_checkpoint(refined_source, "compact", 0)
    config = load_checkpoint(checkpoint).config
    files = repository_files(Path(checkpoint.path))
    if reader == "refiner":
        files = {path.name: path.read_bytes() for path in (refined_source / "refiner").iterdir()}
    server.put(repo, files, tag="epoch-0")
    intact = read(repo, config).state_dict()

    shorten(repo, name)
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(CheckpointError, match=f"{name} is "):  # there is nobody to ask
            read(repo, config)
    again = read(repo, config).state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in intact.items())

    server.put(repo, {name: files[name][:-9]}, tag="epoch-0")
    asked = []
    for _ in range(2):  # what is damaged on the Hub, too, is not downloaded again and again
        with pytest.raises(CheckpointError, match=f"{name} is ") as error:
            read(repo, config)
        assert "\n" not in str(error.value)
        asked.append(sum(line.startswith(f"GET /{repo}/") and line.endswith(f"/{name}") for line in server.log))
    assert asked == [4, 4]


def test_a_network_comes_from_the_cache_and_without_one_fails_soon(server, source, monkeypatch, tmp_path):
    files = repository_files(source / "compact" / "epoch-3")
    server.put("someone/study-compact", files, tag="epoch-3")
    first = ChromaGAN.from_pretrained("someone/study-compact", revision="epoch-3")
    with socket.socket() as deaf:  # takes the connection, never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        connect(monkeypatch, f"http://127.0.0.1:{deaf.getsockname()[1]}", tmp_path / "cache")
        start = time.monotonic()
        with pytest.raises(CheckpointError, match="the Hub is out of reach, .* was not downloaded before"):
            ChromaGAN.from_pretrained("someone/other-compact")
        assert time.monotonic() - start < SOON
        again = ChromaGAN.from_pretrained("someone/study-compact", revision="epoch-3")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items())
