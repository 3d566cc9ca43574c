"""What the demo does without its page: choosing, refusing, keeping well. The page's tests see the rest."""

import shutil

import pytest
import torch
from conftest import made_photo
from PIL import Image

from chromagan.demo.api import Api
from chromagan.demo.desk import CHROMA, Desk, Options, Refusal, options_of
from chromagan.demo.tabs import Tabs
from chromagan.hub.checkpoints import CheckpointError, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.network.config import ModelConfig

EPOCHS = {"compact": (0, 3), "depthwise": (0, 3, 6)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    torch.manual_seed(0)
    for decoder, epochs in EPOCHS.items():
        for epoch in epochs:
            model = ChromaGAN(ModelConfig.preset("lite", decoder)).without_class_head()
            save_checkpoint(model, folder / decoder / f"epoch-{epoch}")
    return folder


@pytest.fixture(scope="module")
def desk(source, tmp_path_factory):
    return Desk(str(source), str(source), tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "harbor.png"
    made_photo(1, 60, 80).save(path)
    return path


def test_options_of_no_meaning_are_refused():
    assert options_of(" owner/name ", CHROMA, "1.5") == Options("owner/name", CHROMA, 1.5)
    for bad, words in (
        (("", "sharp", 1), "edge-aware"),
        (("", CHROMA, "much"), "not a number"),
        (("", CHROMA, 4), "between 0 and 3"),
        (("", CHROMA, float("nan")), "between 0 and 3"),
    ):
        with pytest.raises(Refusal, match=words):
            options_of(*bad)


def test_sources_are_hub_prefixes_and_never_folders(desk, source):
    for named in (str(source), "../..", "https://example.org/x", "owner"):
        with pytest.raises(Refusal, match="owner/name"):
            desk.studio(named)


def test_the_newest_epoch_of_all_is_measured_where_none_is_named(desk, photo):
    tabs = Tabs(desk)
    _, newest = tabs.at_epoch("", "")
    assert [(each.decoder, each.epoch) for each in newest] == [("depthwise", 6)]
    assert Api(tabs).measure(photo)["epoch"] == 6
    assert set(Api(tabs).measure(photo, 3)["measures"]) == {"left gray", "compact", "depthwise"}
    with pytest.raises(Refusal, match="no decoder has epoch 4; choose from 0, 3, 6"):
        tabs.at_epoch("", "4")


def test_what_is_wrong_with_a_photo_is_said_without_where_it_lies(desk, tmp_path):
    with pytest.raises(Refusal, match="Upload a photo first"):
        desk.read(None)
    (tmp_path / "notes.jpg").write_text("no photo")
    for read in (desk.read, desk.whole):
        with pytest.raises(Refusal, match="^notes.jpg: ") as caught:
            read(tmp_path / "notes.jpg")
        assert str(tmp_path) not in str(caught.value)
        with pytest.raises(Refusal, match="gone.jpg was deleted"):
            read(tmp_path / "gone.jpg")


def test_full_size_is_that_of_the_photo_however_large(desk, tmp_path):
    made_photo(2, 1300, 1900).save(tmp_path / "wide.jpg")
    tabs = Tabs(desk)
    stage, _, shown = tabs.show(tmp_path / "wide.jpg", "compact", "3", *Options())
    assert 'width="1600"' in stage
    path = tabs.full_size(shown)
    assert path.name == "wide-compact-epoch-3.jpg"
    assert Image.open(path).size == (1900, 1300)


def test_out_of_reach_is_no_reason_not_to_start(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    desk = Desk("nobody/nothing", str(source), tmp_path)
    assert "out of reach" in desk.notice and desk.shipped.source == str(source)
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(CheckpointError):
        Desk(str(tmp_path / "nothing"), str(source), tmp_path)  # a folder is the user's own: say it is not there


def test_health_says_what_fails(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "source")
    desk = Desk(str(folder), str(folder), tmp_path / "shelf")
    assert desk.health()["status"] == "ok" and desk.health()["checkpoints"] == 5
    network = desk.shipped.colorizer(desk.shipped.nearest).model
    with torch.no_grad():
        next(network.decoder.parameters()).fill_(torch.nan)
    assert "not finite" in desk.health()["status"]
