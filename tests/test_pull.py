"""One network from the Hub, `ChromaGAN.from_pretrained`: the real client against tests/hub.py, and all that fails."""

import shutil
import time

import pytest
import torch
from hub import READ_TOKEN
from test_hub import disconnect, server  # noqa: F401 (server is a fixture)

from chromagan import CheckpointError, ChromaGAN, list_checkpoints
from chromagan.__main__ import main
from chromagan.checkpoints import load_checkpoint
from chromagan.publish import BackgroundPublisher, PublishError, publish

REPO = "someone/study-compact"


def refusal(*source, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        ChromaGAN.from_pretrained(*source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_tag_is_pulled_once_and_then_read_offline(server, source, monkeypatch, tmp_path):  # noqa: F811
    publish(source, "someone/study", say=lambda line: None)
    ChromaGAN.from_pretrained(REPO, revision="epoch-3")
    disconnect(monkeypatch, tmp_path / "cache")
    start = time.monotonic()
    pulled = ChromaGAN.from_pretrained(REPO, revision="epoch-3").state_dict()
    here = load_checkpoint(list_checkpoints(source)[1]).state_dict()
    assert pulled.keys() == here.keys() and all(torch.equal(pulled[name], here[name]) for name in here)
    assert "the Hub is out of reach, and config.json" in refusal(REPO, revision="epoch-0")
    assert "connect once, or give a folder" in refusal("other/study-compact")
    assert time.monotonic() - start < 3


def test_what_is_not_there_is_named(server, source, tmp_path):  # noqa: F811
    publish(source, "someone/study", say=lambda line: None)
    assert "no repository 'someone/nothing' on the Hub" in refusal("someone/nothing")
    assert f"{REPO} has no revision 'epoch-7'" in refusal(REPO, revision="epoch-7")
    assert "no folder '/nowhere/at/all'" in refusal("/nowhere/at/all")
    assert "config.json is missing" in refusal(tmp_path)
    server.put("someone/empty", {"notes.txt": b""})
    assert "someone/empty (main) has no config.json" in refusal("someone/empty")


def test_a_pickle_is_refused_and_not_even_downloaded(server, source, tmp_path):  # noqa: F811
    config = (source / "compact" / "epoch-0" / "config.json").read_bytes()
    server.put("someone/old", {"config.json": config, "pytorch_model.bin": b"\x80\x04."})
    assert "only pytorch_model.bin, a pickle, which can run code" in refusal("someone/old")
    assert not [line for line in server.log if line.startswith("GET") and line.endswith("pytorch_model.bin")]
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "only safetensors are read, never a pickle" in refusal(tmp_path)


def test_a_pickle_under_the_name_of_safetensors_is_not_read(tmp_path, source):
    shutil.copy(source / "compact" / "epoch-0" / "config.json", tmp_path)
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert "model.safetensors is damaged or cut short" in refusal(tmp_path)


def test_a_wrong_token_is_one_line(server, source, monkeypatch, capsys):  # noqa: F811
    publish(source, "someone/study", say=lambda line: None)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "it does not take the token: hf auth login" in refusal(REPO)
    assert main(["list", "--source", "someone/study"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "it does not take the token: hf auth login" in error


def test_a_token_that_only_reads_pulls_but_cannot_push(server, source, monkeypatch):  # noqa: F811
    publish(source, "someone/study", private=True, say=lambda line: None)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    for push in (publish, lambda source, to: BackgroundPublisher(to, "compact", source)):
        with pytest.raises(PublishError, match="the token may only read"):
            push(source, "someone/study")
