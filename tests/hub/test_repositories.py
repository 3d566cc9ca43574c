"""The Hub over HTTP: the real client against tests/hub_standin.py, from push to pull, and all that fails."""

import errno
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_standin import OWNER, SOON, TOKEN, connect, disconnect, repository_files
from huggingface_hub import ModelCard, constants

from chromagan import CheckpointError, ChromaGAN, Colorizer
from chromagan.__main__ import main
from chromagan.hub import background_publisher, repositories, space
from chromagan.hub.access import PublishError
from chromagan.hub.checkpoints import find_checkpoint, list_checkpoints, load_checkpoint, recommended_checkpoint
from chromagan.hub.publish import publish
from chromagan.hub.refiners import load_refiner
from chromagan.hub.repositories import VisitorAccess
from train.train import main as train
from train.training.options import parse_config

ROOT = Path(__file__).resolve().parents[2]
TRUNK = "tf_efficientnet_lite0.safetensors"


def test_push_tag_list_pull(server, source):
    said = []
    publish(source, f"{OWNER}/study", say=said.append)
    assert said == [
        "someone/study-compact epoch-0: pushed", "someone/study-compact epoch-3: pushed",
        "someone/study-depthwise epoch-0: pushed",
    ]  # fmt: skip
    here, there = list_checkpoints(source), list_checkpoints("someone/study")
    assert [(c.decoder, c.epoch) for c in there] == [(c.decoder, c.epoch) for c in here]
    for local, remote in zip(here, there, strict=True):
        pulled, weights = load_checkpoint(remote).state_dict(), load_checkpoint(local).state_dict()
        assert all(torch.equal(pulled[name], weights[name]) for name in weights) and len(pulled) == len(weights)
        assert remote.metrics == local.metrics
    by_mixin = ChromaGAN.from_pretrained("someone/study-compact", revision="epoch-0").state_dict()
    assert torch.equal(by_mixin["mid.2.0.weight"], load_checkpoint(here[0]).state_dict()["mid.2.0.weight"])
    newest = ChromaGAN.from_pretrained("someone/study-compact")  # main
    assert torch.equal(newest.mid[2][0].weight, load_checkpoint(here[1]).mid[2][0].weight)
    assert Colorizer.from_pretrained("someone/study", "depthwise", device="cpu").model.config.decoder == "depthwise"
    assert recommended_checkpoint(list_checkpoints("someone/study")).decoder == "compact"
    assert set(server.files("someone/study-compact")) >= {
        "config.json",
        "model.safetensors",
        "metrics.json",
        "README.md",
        "tf_efficientnet_lite0.safetensors",  # every repository stands alone
    }


def test_pushing_again_changes_nothing_and_what_changed_is_pushed(server, source, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(source, study)
    publish(study, "someone/study", say=lambda line: None)
    before = {repo: server.commits(repo) for repo in server.repos}
    said = []
    publish(study, "someone/study", say=said.append)
    assert {repo: server.commits(repo) for repo in server.repos} == before
    assert all(line.endswith("already there") for line in said)

    (study / "compact" / "epoch-0" / "metrics.json").write_text('{"epoch": 0, "measured": "anew"}')
    publish(study, "someone/study", say=said.append)
    assert b"anew" in server.files("someone/study-compact", "epoch-0")["metrics.json"]
    assert server.commits("someone/study-depthwise") == before["someone/study-depthwise"]
    weights = (study / "compact" / "epoch-3" / "model.safetensors").read_bytes()
    assert server.files("someone/study-compact")["model.safetensors"] == weights  # main is the newest all the same


def test_an_interrupted_push_goes_on(server, source):
    server.fail_next(2)
    with pytest.raises(PublishError, match="the push to someone/study stopped: .*; run the command again to resume"):
        publish(source, "someone/study", say=lambda line: None)
    assert [c.epoch for c in list_checkpoints("someone/study")] == [0]
    said = []
    publish(source, "someone/study", say=said.append)
    assert said[0].endswith("epoch-0: already there") and said[1].endswith("epoch-3: pushed")
    assert len(list_checkpoints("someone/study")) == 3


def test_wrong_token_name_and_owner_are_one_line_before_any_work(server, source, monkeypatch, capsys):
    arguments = ["publish", "--source", str(source), "--to"]
    assert main([*arguments, "nobody-there/study"]) == 1
    assert "someone may not write to nobody-there, only to lab, someone" in capsys.readouterr().err
    assert main([*arguments, "study"]) == 1
    assert "'study' is not of the form owner/name" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main([*arguments, "someone/study"]) == 1
    assert "the Hub rejected the token: run hf auth login" in capsys.readouterr().err
    assert not server.repos


def test_what_is_missing_is_named(server, source):
    with pytest.raises(CheckpointError, match="no study 'someone/study' on the Hub"):
        list_checkpoints("someone/study")
    publish(source, "someone/study", say=lambda line: None)
    with pytest.raises(CheckpointError, match="compact has no epoch 7 in 'someone/study'; choose from 0, 3"):
        find_checkpoint("someone/study", "compact", 7)
    with pytest.raises(CheckpointError, match="no checkpoint of decoder 'original', only of compact, depthwise"):
        find_checkpoint("someone/study", "original")
    checkpoint = find_checkpoint("someone/study", "compact", 3)
    server.repos["someone/study-compact"]["tags"]["epoch-3"] = server.repos["someone/study-compact"]["commits"][0][0]
    with pytest.raises(
        CheckpointError, match=r"someone/study-compact \(epoch-3\) cannot be used: .* has no config.json"
    ):
        load_checkpoint(checkpoint)


def test_a_private_study_needs_the_token(server, source, monkeypatch):
    publish(source, "someone/study", private=True, say=lambda line: None)
    assert len(list_checkpoints("someone/study")) == 3
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    with pytest.raises(CheckpointError, match="a private one needs a token"):
        list_checkpoints("someone/study")


def test_a_server_keeps_its_token_from_studies_that_visitors_name(server, source):
    publish(source, "someone/secret", private=True, say=lambda line: None)
    visitors = VisitorAccess()
    with pytest.raises(CheckpointError, match="no study 'someone/secret' on the Hub"):
        list_checkpoints("someone/secret", visitors)
    checkpoints = list_checkpoints("someone/secret")  # the owner, in the same process
    assert len(checkpoints) == 3 and load_checkpoint(checkpoints[0])
    for checkpoint in checkpoints[:2]:  # the first is in the cache by now
        with pytest.raises(CheckpointError, match="cannot be used: no repository"):
            load_checkpoint(replace(checkpoint, access=visitors))


@pytest.mark.parametrize("lost", ["out of reach", "switched off"])
def test_without_the_hub_visitors_get_nothing_that_was_cached_for_others(server, source, monkeypatch, tmp_path, lost):
    """The cache may hold the owner's private studies, pulled with the token before the server started or beside it."""
    for name, epoch in (("secret", 0), ("secret", 3), ("public", 3), ("own", 0)):
        files = repository_files(source / "compact" / f"epoch-{epoch}")
        server.put(f"someone/{name}-compact", files, tag=f"epoch-{epoch}", private=name != "public")
    secrets = list_checkpoints("someone/secret")
    load_checkpoint(secrets[0])
    visitors = VisitorAccess()
    (own,) = list_checkpoints("someone/own")
    load_checkpoint(own)
    public = find_checkpoint("someone/public", "compact", 3, visitors)
    load_checkpoint(public)
    load_checkpoint(secrets[1])  # the owner, at the command line
    named = [replace(each, access=visitors) for each in secrets]  # copies, which remember no measures
    with pytest.raises(CheckpointError, match="no repository"):  # what is cached does not count while the Hub answers
        load_checkpoint(named[0])

    if lost == "out of reach":
        disconnect(monkeypatch, tmp_path / "cache")
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        CheckpointError, match=f"the Hub is {lost}.*, and nothing of someone/secret was downloaded before"
    ):
        list_checkpoints("someone/secret", visitors)
    for each in named:
        with pytest.raises(
            CheckpointError, match=f"the Hub is {lost}.*, and config.json of .* was not downloaded before"
        ):
            load_checkpoint(each)
        assert each.metrics == {}
    assert list_checkpoints("someone/public", visitors) == [public] and load_checkpoint(public)
    assert list_checkpoints("someone/own") == [own] and load_checkpoint(own)


def test_a_hub_that_does_not_list_a_study_gives_visitors_nothing_from_the_cache(server, source, monkeypatch):
    publish(source, "someone/secret", private=True, say=lambda line: None)
    load_checkpoint(list_checkpoints("someone/secret")[0])

    def refuse(repo, access):
        raise repositories.HubError(f"{repo} is gated: ask for access on its page")

    monkeypatch.setattr(repositories, "_tagged_epochs", refuse)
    assert len(list_checkpoints("someone/secret")) == 1
    with pytest.raises(CheckpointError, match="is gated"):
        list_checkpoints("someone/secret", VisitorAccess())


def test_a_refiner_of_the_owners_is_not_a_visitors(server, refined_source):
    publish(refined_source, "someone/secret", private=True, say=lambda line: None)
    model = load_checkpoint(list_checkpoints("someone/secret")[0]).config
    assert load_refiner("someone/secret", model).config.steps == 2
    with pytest.raises(CheckpointError, match="has no refiner: no repository"):
        load_refiner("someone/secret", model, VisitorAccess())


def test_files_and_tags_of_a_strangers_study_are_bounded(server, source, monkeypatch):
    publish(source, "someone/study", say=lambda line: None)
    monkeypatch.setattr(repositories, "MOST_BYTES_OF_JSON", 100)
    with pytest.raises(CheckpointError, match=r"config.json of someone/study-compact has 0 MB: at most 0 MB"):
        load_checkpoint(find_checkpoint("someone/study", "compact", 3))
    assert len(list_checkpoints("someone/study")) == 3  # one's own studies are as long as they are
    with pytest.raises(CheckpointError, match="someone/study-compact has 2 tags epoch-<N>, more than 1"):
        list_checkpoints("someone/study", VisitorAccess(most_epochs=1))


def test_downloads_for_visitors_are_bounded(server, source):
    """The longest unused repository goes first; what its owner has downloaded stays."""
    for study in ("someone/own", "someone/first", "someone/second"):
        publish(source, study, say=lambda line: None)

    def load(study, decoder="compact", epoch=0, access=repositories.OWNER):
        return load_checkpoint(find_checkpoint(study, decoder, epoch, access))

    shutil.rmtree(constants.HF_HUB_CACHE)  # publishing reads cards
    load("someone/own")
    visitors = VisitorAccess()
    visit = functools.partial(load, access=visitors)

    def cached(study, decoder="compact"):
        return visitors.cache(f"someone/{study}-{decoder}").exists()

    visit("someone/first")
    one = sum(visitors.kept.values())
    weights = server.files("someone/first-compact", "epoch-0")
    assert one == sum(len(weights[name]) for name in ("config.json", "model.safetensors", TRUNK))
    visit("someone/first")  # from the cache: not counted again
    assert sum(visitors.kept.values()) == one
    visitors.most_bytes = int(2.5 * one)
    visit("someone/second")
    visit("someone/first")
    visit("someone/second", "depthwise")
    assert not cached("second") and cached("first") and cached("second", "depthwise")
    assert sum(visitors.kept.values()) <= visitors.most_bytes
    visit("someone/second")  # it is downloaded anew
    visitors.most_bytes = one
    with pytest.raises(CheckpointError, match=r"keeps at most 0.0 GB of someone/second-compact"):
        visit("someone/second", epoch=3)
    load("someone/own", epoch=3)
    assert {path.name for path in Path(constants.HF_HUB_CACHE).glob("models--*")} == {"models--someone--own-compact"}


def test_a_server_that_cannot_store_downloads_says_so(server, source, tmp_path, monkeypatch):
    publish(source, "someone/study", say=lambda line: None)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="this server cannot store what it downloads: Not a directory"):
        list_checkpoints("someone/study", VisitorAccess())


def damaged(files: dict[str, bytes], kind: str) -> dict[str, bytes]:
    config, weights = files["config.json"], files["model.safetensors"]
    return (
        files
        | {
            "newer": {"config.json": config.replace(b'"version": 2', b'"version": 99')},
            "unknown key": {"config.json": config.replace(b"{", b'{"attention": true,', 1)},
            "other decoder": {"config.json": config.replace(b'"compact"', b'"original"')},
            "other shape": {"config.json": config.replace(b'"fusion_channels": 128', b'"fusion_channels": 160')},
            "not json": {"config.json": config[:40]},
            "truncated": {"model.safetensors": weights[: len(weights) // 2]},
            "other trunk": {"config.json": re.sub(rb'(?<="trunk_digest": ")\w+', b"0" * 64, config)},
            "torn trunk": {TRUNK: files[TRUNK][:-9]},
        }[kind]
    )


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("newer", "config version 99 is not 2, the one this release reads"),
        ("unknown key", "unknown keys in the config: attention"),
        ("other decoder", "says decoder 'original', not 'compact'"),
        ("other shape", "tensor .* has shape .*, not .* as the config has it"),
        ("not json", "is not JSON"),
        ("truncated", "is damaged or truncated"),
        ("other trunk", f"cannot be used: {TRUNK} is not the trunk that it was trained with"),
        ("torn trunk", f"its trunk {TRUNK} is damaged or truncated"),
    ],
)
def test_a_damaged_checkpoint_is_one_line(server, source, kind, reason):
    files = repository_files(source / "compact" / "epoch-0")
    server.put("someone/study-compact", damaged(files, kind), tag="epoch-0")
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(find_checkpoint("someone/study", "compact", 0))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert constants.HF_HUB_CACHE not in str(caught.value)  # it may be a visitor who reads this


def test_no_message_says_where_the_cache_is(server, refined_source, monkeypatch):
    files = repository_files(refined_source / "compact" / "epoch-0")
    server.put("someone/study-compact", files | {"metrics.json": b"{"}, tag="epoch-0")
    server.put("someone/study-refiner", {"config.json": b"{", "model.safetensors": b"torn"})
    checkpoint = find_checkpoint("someone/study", "compact", 0)
    with pytest.raises(CheckpointError, match=r"^metrics.json of someone/study-compact \(epoch-0\) is not JSON: "):
        _ = checkpoint.metrics
    with pytest.raises(
        CheckpointError, match=r"^refiner someone/study-refiner cannot be used: config.json is not JSON"
    ):
        load_refiner("someone/study", load_checkpoint(checkpoint).config)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{constants.HF_HUB_CACHE}/models--someone--study")

    monkeypatch.setattr(repositories, "hf_hub_download", full)
    with pytest.raises(CheckpointError, match="No space left on device: 'the cache/models--someone--study'"):
        load_checkpoint(checkpoint)


def test_a_pickle_is_refused(server, source):
    config = Path(source, "compact", "epoch-0", "config.json").read_bytes()
    server.put("someone/study-compact", {"config.json": config, "pytorch_model.bin": b"\x80\x04."}, tag="epoch-0")
    with pytest.raises(
        CheckpointError, match="only pytorch_model.bin, a pickle, which is refused .*: ask for safetensors"
    ):
        load_checkpoint(find_checkpoint("someone/study", "compact", 0))
    assert not [line for line in server.log if line.startswith("GET") and "pytorch_model.bin" in line]


def test_offline_what_was_pulled_is_there_and_the_rest_fails_fast(server, source, monkeypatch, tmp_path):
    publish(source, "someone/study", say=lambda line: None)
    load_checkpoint(find_checkpoint("someone/study", "compact", 3))
    disconnect(monkeypatch, tmp_path / "cache")
    start = time.monotonic()
    assert [(c.decoder, c.epoch) for c in list_checkpoints("someone/study")] == [("compact", 3)]
    assert load_checkpoint(find_checkpoint("someone/study", "compact")).config.decoder == "compact"
    for wanted in (("compact", 0), ("depthwise", None)):  # which the study has
        with pytest.raises(CheckpointError, match="what was downloaded of 'someone/study' before.*: the Hub is out of"):
            find_checkpoint("someone/study", *wanted)
    with pytest.raises(CheckpointError, match="the Hub is out of reach, and nothing of other/study was downloaded"):
        list_checkpoints("other/study")
    assert time.monotonic() - start < SOON
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert len(list_checkpoints("someone/study")) == 1
    with pytest.raises(CheckpointError, match=r"switched off \(HF_HUB_OFFLINE\)"):
        list_checkpoints("other/study")


def test_a_hub_that_never_answers_is_given_up_soon(monkeypatch, tmp_path):
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        connect(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
        start = time.monotonic()
        with pytest.raises(CheckpointError, match="the Hub is out of reach"):
            list_checkpoints("someone/study")
        assert time.monotonic() - start < SOON


def test_the_card_says_what_was_measured_and_is_valid(server, tmp_path, source):
    study = tmp_path / "study"
    shutil.copytree(source, study)
    shutil.copy(list_checkpoints(ROOT / "checkpoints")[0].file("metrics.json"), study / "compact" / "epoch-3")
    publish(study, "someone/study", say=lambda line: None)
    assert any(line.endswith("/validate-yaml") for line in server.log)  # the Hub's own check, which the client asks for
    card = ModelCard(server.files("someone/study-compact")["README.md"].decode())
    assert card.data.license == "apache-2.0" and card.data.library_name == "chromagan"
    results = {result.metric_type: result for result in card.data.eval_results}
    measured = list_checkpoints(study)[1].metrics["colored"]
    assert results["ciede2000_mean"].metric_value == measured["ciede2000_mean"]["value"]
    assert f"{measured['images']} colored photos" in results["ciede2000_mean"].dataset_name
    assert 'Colorizer.from_pretrained("someone/study", decoder="compact", epoch=3)' in card.text
    assert f"| 3 | {measured['ciede2000_mean']['value']:.2f} (" in card.text
    unmeasured = ModelCard(server.files("someone/study-depthwise")["README.md"].decode())
    assert unmeasured.data.eval_results is None and "Not measured yet" in unmeasured.text


def test_collection_and_space(server, source, capsys):
    assert main(["publish", "--source", str(source), "--to", "someone/study", "--collection"]) == 0
    assert main(["publish", "--source", str(source), "--to", "someone/study", "--collection"]) == 0
    assert list(server.collections.values()) == [["someone/study-compact", "someone/study-depthwise"]]
    assert main(["space", "--to", "someone/demo", "--source", "someone/study"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{server.url}/spaces/someone/demo"
    files = server.files("spaces/someone/demo")
    assert {"app.py", "README.md", "docs/coloring.md", "requirements.txt", "chromagan/network/generator.py"} <= set(
        files
    )
    assert not [name for name in files if "__pycache__" in name or name.startswith((".venv", "tests", "runs"))]
    assert server.variables == {"someone/demo": {"CHROMAGAN_SOURCE": "someone/study"}}
    assert server.repos["spaces/someone/demo"]["sdk"] == "gradio"
    for _ in range(2):  # without a source it is the shipped checkpoints that it shows
        assert main(["space", "--to", "someone/demo"]) == 0
        assert server.variables == {"someone/demo": {}}


def test_a_space_gets_no_hidden_files_and_nothing_that_a_run_left(server, tmp_path):
    root = tmp_path / "clone"
    parts = {
        "app.py", "docs/demo.png", "chromagan/demo/page.css", "examples/cat.jpg", "checkpoints/claims.json",
        "checkpoints/compact/epoch-3/model.safetensors", "checkpoints/general/compact/train.json",
    }  # fmt: skip
    left = {
        ".env", "docs/.DS_Store", "examples/.private/me.jpg", "chromagan/hub/__pycache__/files.pyc",
        "checkpoints/compact/.epoch-9-x1/model.safetensors", "checkpoints/compact/state-9-00.pt",
        "checkpoints/compact/.lock",
        "checkpoints/general/compact/state-9-00.damaged", "checkpoints/compact/samples/epoch-3.png",
        "checkpoints/general/compact/samples/epoch-3.png", "checkpoints/compact/tracker.json",
        "checkpoints/compact/tensorboard/events.1", "checkpoints/compact.txt", "checkpoints/report/measured/a.npz",
    }  # fmt: skip
    for name in parts | left:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    server.put("spaces/someone/demo", {"checkpoints/compact/state-9-00.pt": b"pushed by mistake"})
    space.publish_space(root, "someone/demo")
    assert server.files("spaces/someone/demo").keys() - {".gitattributes"} == parts


def test_a_run_is_pushed_while_it_trains_and_a_failure_does_not_stop_it(server, source, monkeypatch):
    publisher = background_publisher.BackgroundPublisher("someone/run", "compact", source)
    told, push = threading.Event(), background_publisher.push_epoch

    def push_when_told(*args):
        assert told.wait(SOON)
        return push(*args)

    monkeypatch.setattr(background_publisher, "push_epoch", push_when_told)
    server.fail_next(2)
    publisher.epoch_saved(0), publisher.epoch_saved(3)
    told.set()  # training goes on before anything is pushed
    (failure,) = publisher.close()
    assert "epoch 3 was not pushed to someone/run-compact" in failure and "chromagan publish --source" in failure
    assert [c.epoch for c in list_checkpoints("someone/run")] == [0]
    with pytest.raises(PublishError):
        background_publisher.BackgroundPublisher("other/run", "compact", source)


def test_the_command_that_pushes_again_can_be_pasted_into_a_shell(server, source, tmp_path):
    run = tmp_path / "a run's folder; with words"
    run.symlink_to(source)
    server.fail_next(1)
    publisher = background_publisher.BackgroundPublisher("someone/run", "compact", run)
    publisher.epoch_saved(0)
    (failure,) = publisher.close()
    command = shlex.split(failure[failure.index("python -m") :])
    assert command[3:] == ["publish", "--source", str(run), "--to", "someone/run"]


def test_training_pushes_its_epochs(server, image_folder, tmp_path):
    """The real script, with the environment that a user sets."""
    flags = [
        "--decoder", "compact", "--data", image_folder, "--epochs", "1", "--output-dir", tmp_path / "run",
        "--batch-size", "4", "--crop", "32", "--critic-width", "4", "--limit-validation", "0", "--samples", "0",
        "--cache-dir", tmp_path / "cache", "--push-to-hub", "someone/live",
    ]  # fmt: skip
    environment = os.environ | {
        "HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    command = [sys.executable, "train/train.py", *map(str, flags)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    assert set(server.repos.pop("someone/live-compact")["tags"]) == {"epoch-0", "epoch-1"}
    train(parse_config([*map(str, flags), "--resume"]))  # finds everything trained, and the Hub without what was pushed
    assert set(server.repos["someone/live-compact"]["tags"]) == {"epoch-0", "epoch-1"}
    assert "train.json" in server.files("someone/live-compact", "epoch-1")


def test_a_file_that_is_no_network_of_ours_is_not_downloaded(server, source, monkeypatch):
    """A visitor of the demo may name any repository."""
    publish(source, "someone/study", say=lambda line: None)
    monkeypatch.setattr(repositories, "MOST_BYTES", 1000)
    with pytest.raises(CheckpointError, match=r"model.safetensors of .* has 1 MB: at most 0 MB are downl"):
        load_checkpoint(find_checkpoint("someone/study", "compact", 3))
