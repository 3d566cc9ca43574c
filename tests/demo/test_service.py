"""The demo without its page: choosing, refusing, keeping well. The page's tests see the rest."""

import json
import shutil

import pytest
import torch
from made_photos import made_photo
from PIL import Image

from chromagan.colorizer import MOST_SATURATION
from chromagan.demo import page
from chromagan.demo import tabs as tabs_module
from chromagan.demo.api import Api
from chromagan.demo.service import CHROMA, DemoService, Options, RequestError, options_of
from chromagan.demo.source import CheckpointSource
from chromagan.demo.tabs import Tabs
from chromagan.hub.checkpoints import Checkpoint, CheckpointError, list_checkpoints, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.publish import publish
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


def test_options_of_no_meaning_are_refused():
    assert options_of(" owner/name ", CHROMA, "1.5") == Options("owner/name", CHROMA, 1.5)
    for bad, words in (
        (("", "sharp", 1), "edge-aware"),
        (("", CHROMA, "much"), "not a number"),
        (("", CHROMA, 10**400), "not a number"),  # for Python, too large for one with a point
        (("", "x" * 10**6, 1), "got 'x{79}$"),
        (("", CHROMA, 4), "saturation must be 0 to 3, got 4"),
        (("", CHROMA, float("nan")), "0 to 3"),
    ):
        with pytest.raises(RequestError, match=words):
            options_of(*bad)


@pytest.mark.parametrize("function", [Api.colorize, Api.matrix, Api.epochs])
def test_the_api_says_how_much_saturation_there_can_be(function):
    assert f"from 0 (gray) to {MOST_SATURATION}." in function.__doc__


def test_sources_are_hub_prefixes_and_never_folders(service, source):
    for named in (str(source), "../..", "https://example.org/x", "owner"):
        with pytest.raises(RequestError, match="owner/name"):
            service.source(named)


def test_visitors_get_no_private_study_but_the_demos_own(server, source, tmp_path):
    for name in ("own", "secret"):
        publish(source, f"someone/{name}", private=True, say=lambda line: None)
    service = DemoService("someone/own", str(source), tmp_path / "files")
    assert service.source("someone/own") is service.shipped and not service.notice
    with pytest.raises(RequestError, match="no study 'someone/secret' on the Hub"):
        service.source("someone/secret")
    assert list_checkpoints("someone/secret")  # what else runs in this process keeps its token


def test_the_epoch_of_the_recommended_is_measured_where_none_is_named(service, photo):
    tabs = Tabs(service)
    _, both = tabs.at_epoch("", "")
    assert [(each.decoder, each.epoch) for each in both] == [("compact", 3), ("depthwise", 3)]
    assert Api(tabs).measure(photo)["epoch"] == 3 == service.shipped.recommended.epoch
    assert set(Api(tabs).measure(photo, 6)["measures"]) == {"left gray", "depthwise"}
    assert tabs.at_epoch("", 3.0)[1] == tabs.at_epoch("", "3")[1] == both  # JSON has one kind of numbers
    for epoch, words in (("4", "no decoder has epoch 4; choose from 0, 3, 6"), (3.5, "3.5 is not a whole number")):
        with pytest.raises(RequestError, match=words):
            tabs.at_epoch("", epoch)


def test_an_epoch_is_named_only_where_all_have_it(source, photo, tmp_path):
    shutil.copytree(source / "compact" / "epoch-3", tmp_path / "compact" / "epoch-3")
    shutil.copytree(source / "depthwise" / "epoch-6", tmp_path / "depthwise" / "epoch-6")
    for trunk in source.glob("*.safetensors"):
        shutil.copy(trunk, tmp_path)
    report = Api(Tabs(DemoService(str(tmp_path), str(source), tmp_path / "files"))).measure(photo)
    assert report["epoch"] is None and set(report["measures"]) == {"left gray", "compact", "depthwise"}


def test_the_page_says_what_networks_saw(source, tmp_path):
    run = shutil.copytree(source, tmp_path / "run")
    assert "The training data are not recorded" in page.about(CheckpointSource(run), {})
    sources = [{"data": "owner/birds", "photos": 1234, "gray": 5}]
    (run / "compact" / "train.json").write_text(json.dumps({"sources": sources}))
    about = page.about(CheckpointSource(run), {})
    assert "owner/birds, 1,234 photos in color." in about and "Imagenette has" not in about
    both = page.about(CheckpointSource(run), {}, CheckpointSource(run))
    assert both.count("owner/birds") == 2 and "Those for photos of any kind: owner/birds" in both


def test_an_epoch_that_is_named_costs_no_question(source, monkeypatch):
    """On the Hub, what was measured of a checkpoint is a file to be asked for."""
    here = CheckpointSource(source)
    monkeypatch.setattr(Checkpoint, "metrics", property(lambda self: pytest.fail("asked")))
    assert here.find("depthwise", 6).epoch == 6


def test_what_is_wrong_with_a_photo_is_said_without_where_it_lies(service, tmp_path):
    with pytest.raises(RequestError, match="Upload a photo first"):
        service.load(None)
    (tmp_path / "notes.jpg").write_text("no photo")
    for read in (service.load, service.load_whole):
        with pytest.raises(RequestError, match="^notes.jpg: ") as caught:
            read(tmp_path / "notes.jpg")
        assert str(tmp_path) not in str(caught.value)
        with pytest.raises(RequestError, match="gone.jpg has been deleted"):
            read(tmp_path / "gone.jpg")


def test_full_size_is_that_of_the_photo_however_large(service, tmp_path):
    made_photo(2, 1300, 1900).save(tmp_path / "wide.jpg")
    tabs = Tabs(service)
    stage, _, state = tabs.colorize(tmp_path / "wide.jpg", "compact", "3", *Options())
    assert 'width="1600"' in stage
    path = tabs.colorized_file(state)
    assert path.name == "wide-compact-epoch-3.jpg"
    assert Image.open(path).size == (1900, 1300)


def test_an_archive_of_gigabytes_is_refused(service, photo, monkeypatch):
    monkeypatch.setattr(tabs_module, "ARCHIVE_BYTES", 10_000)
    with pytest.raises(RequestError, match="use a smaller photo"):
        list(Tabs(service).archive(photo, *Options()[:3]))
    assert not list(service.files.folder.rglob("*.zip"))


def test_what_is_no_file_is_refused(service):
    for value in ("/etc/passwd", 7, ["x"]):
        with pytest.raises(RequestError, match="was not uploaded to this server"):
            service.load(value)


def test_out_of_reach_is_no_reason_not_to_start(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    service = DemoService("nobody/nothing", str(source), tmp_path)
    assert service.notice == "nobody/nothing cannot be used: the shipped checkpoints are used."  # whatever the reason
    assert service.shipped.name == str(source)
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(CheckpointError):
        DemoService(str(tmp_path / "nothing"), str(source), tmp_path)  # a folder is the user's own: say it is not there


def test_health_says_what_fails(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "source")
    service = DemoService(str(folder), str(folder), tmp_path / "files")
    assert service.health()["status"] == "ok" and service.health()["checkpoints"] == 5
    network = service.shipped.colorizer(service.shipped.recommended).model
    with torch.no_grad():
        next(network.decoder.parameters()).fill_(torch.nan)
    assert "not finite" in service.health()["status"]


def test_the_two_that_are_compared_are_marked(service, photo):
    tabs = Tabs(service)
    *_, (_, state) = tabs.fill_matrix(photo, *Options())
    grid, pair = tabs.compare("compact/3", "depthwise/6", state)
    assert grid.count('class="ready"') == 5 and "5 of 5" in grid and pair.count("<img") == 2
    assert grid.index(">Left</b>") < grid.index(">Right</b>") and grid.count('aria-pressed="true"') == 2
    grid, pair = tabs.compare("depthwise/0", "depthwise/0", state)
    assert ">Left</b>" in grid and ">Right</b>" not in grid and grid.count('aria-pressed="true"') == 1
    with pytest.raises(RequestError, match="'depthwise/9' is not among the checkpoints"):
        tabs.compare("gray", "depthwise/9", state)
    with pytest.raises(RequestError, match="is not among the checkpoints"):
        tabs.compare("gray", [], state)
