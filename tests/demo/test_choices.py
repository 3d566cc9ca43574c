"""Which network colors: the study, or the one for photos of any kind that lies beside it."""

import shutil

import pytest
from gradio.utils import get_function_description
from PIL import Image

from chromagan.demo.api import Api
from chromagan.demo.choices import EACH_OWN, Choices, chosen_source
from chromagan.demo.service import DemoService, Options, RequestError
from chromagan.demo.tabs import Tabs
from chromagan.hub.checkpoints import GENERAL, STUDY


def test_names_of_the_sources(both, service, tmp_path):
    assert both.source("") is both.source(STUDY) is both.shipped and both.source(GENERAL) is both.general
    assert [(each.decoder, each.epoch) for each in both.general.checkpoints] == [("compact", 7), ("depthwise", 5)]
    assert service.general is None
    with pytest.raises(RequestError, match="the networks 'general' .* are not installed here"):
        service.source(GENERAL)
    for started in ("mine", GENERAL):  # what the demo was started with has its own name, too
        folder = shutil.copytree(service.shipped.name, tmp_path / started)
        alone = DemoService(str(folder), str(folder), tmp_path / "files")
        assert alone.source(started) is alone.source("") is alone.shipped and alone.general is None
    assert chosen_source(" owner/name ", GENERAL) == "owner/name" and chosen_source("", GENERAL) == GENERAL
    for name in (5, [], ["study"], {"a": 1}):
        for ask in (service.source, lambda name: chosen_source(name, STUDY), lambda name: chosen_source("", name)):
            with pytest.raises(RequestError, match="source must be text, got "):
                ask(name)


def test_a_general_source_that_cannot_be_used_is_said_and_left_out(both, tmp_path, capsys):
    folder = shutil.copytree(both.shipped.name, tmp_path / "damaged")
    for weights in (folder / GENERAL).glob("*/*/model.safetensors"):
        weights.write_bytes(b"weights")
    assert DemoService(str(folder), str(folder), tmp_path / "files").general is None
    assert capsys.readouterr().err.count("all photos are colored by the study's networks") == 1


def test_a_photo_alone_is_colored_by_the_general_network(both, service, photo):
    api, plain = Api(Tabs(both)), Api(Tabs(service))

    def pixels(api, **how):
        return Image.open(api.colorize(photo, **how)).tobytes()

    general = pixels(api, source="general")
    assert pixels(api) == general == pixels(api, decoder="compact") != pixels(api, source="study")
    assert pixels(api, epoch="3") == pixels(api, source="study", epoch=3) == pixels(plain)
    assert both.default_source("original", "") == STUDY  # which has it, or says so
    assert service.default_source("", "") == STUDY


@pytest.mark.parametrize("name", ["colorize", "matrix", "epochs", "measure", "checkpoints"])
def test_programs_and_assistants_are_shown_whole_sentences(name):
    """Gradio shows the first line of what a docstring says of an argument."""
    _, arguments, _ = get_function_description(getattr(Api, name))
    assert arguments.pop("self") == "" and arguments
    assert all(words.endswith(".") for words in arguments.values()), arguments


def test_measures_of_a_source_with_one_epoch_for_each_decoder(both, photo):
    tabs = Tabs(both)
    assert set(Api(tabs).measure(photo, source="general")["measures"]) == {"left gray", "compact", "depthwise"}
    table, seen, _, state = tabs.measure(photo, "", *Options(GENERAL))
    assert "Compact, epoch 7; Depthwise convolutions, epoch 5" in table and "Vivid colors kept" in seen
    assert "Depthwise convolutions, epoch 5" in tabs.show_errors(state, "depthwise", "errors")
    for view, words in (
        ("false_red", "red where the photo is not"),
        ("spots", "small spot"),
        ("border_stripes", "outermost 4"),
    ):
        assert words in tabs.show_errors(state, "compact", view)
    assert tabs.measures_file(state).name == "harbor-general-measures.csv"
    with pytest.raises(RequestError, match="'original' was not measured; choose from compact, depthwise"):
        tabs.show_errors(state, "original", "errors")
    with pytest.raises(RequestError, match="was not measured"):  # a program may send anything
        tabs.show_errors(state, [], "errors")
    assert "CIEDE2000" in tabs.show_errors(state, "compact", [])


def test_choices_follow_the_network(both):
    choices = Choices(both)
    assert choices.decoders(GENERAL, "depthwise").value == "depthwise"
    assert choices.decoders(GENERAL, "original").value == "compact"  # which is not there
    assert choices.epochs(STUDY, "compact", "0").value == "0" and choices.epochs(STUDY, "compact", "7").value == "3"
    assert choices.epochs(GENERAL, "compact", "0") == ([("7", "7")], "7")
    assert choices.measured_epochs(GENERAL) == ([(EACH_OWN, "")], "")
    assert [value for _, value in choices.measured_epochs(STUDY).choices] == ["0", "3"]


def test_an_address_carries_the_network(both, service):
    network, checkpoint, values = Choices(both).restored(
        {"network": GENERAL, "decoder": "depthwise", "measured-at": "9"}
    )
    assert (
        (network, checkpoint.epoch) == (GENERAL, 5)
        and values["errors-of"] == "depthwise"
        and values["measured-at"] == ""
    )
    network, checkpoint, values = Choices(both).restored({"example": "cat", "left": "compact/3", "right": "x"})
    assert (network, str(checkpoint.epoch)) == (STUDY, "3")
    assert values == {"left": "compact/3", "epochs-of": "compact", "measured-at": "3", "errors-of": "compact"}
    network, checkpoint, _ = Choices(service).restored({"network": GENERAL, "decoder": "depthwise"})
    assert (network, checkpoint.epoch) == (STUDY, 0)  # what a link names is not here: the study
    with pytest.raises(RequestError, match="no epoch 4"):
        Choices(both).restored({"decoder": "compact", "epoch": "4"})
