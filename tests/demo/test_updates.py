"""What changes of the controls: called as Gradio calls them, without a page."""

from types import SimpleNamespace

import gradio as gr
import pytest
from made_photos import made_photo

from chromagan.demo.choices import EACH_OWN, REMEMBERED
from chromagan.demo.service import CHROMA, GRAY
from chromagan.demo.tabs import Tabs
from chromagan.demo.updates import SOURCE_INFO, Updates
from chromagan.hub.checkpoints import GENERAL, STUDY

OPTIONS = ("", CHROMA, 1.0)
SKIP = gr.skip()


@pytest.fixture(autouse=True)
def uploads(tmp_path_factory, monkeypatch):
    """All that a test makes counts as uploaded."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    paths = [tmp_path_factory.getbasetemp() / "examples" / f"{name}.png" for name in ("coffee", "rocket")]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        made_photo(seed).save(path)
    return paths


@pytest.fixture(scope="module")
def updates(both, examples):
    return Updates(Tabs(both), examples)


def offered(control) -> tuple[list[str], str]:
    return [value for _, value in control.choices], control.value


def test_a_decoder_brings_its_epochs(updates):
    assert offered(updates.on_decoder(STUDY, "", "compact", "0")) == (["0", "3"], "0")
    assert offered(updates.on_decoder(STUDY, "", "depthwise", "3")) == (["0"], "0")
    assert offered(updates.on_decoder(GENERAL, "", "compact", "3")) == (["7"], "7")
    with pytest.raises(gr.Error) as caught:  # a source that was named goes before the network
        updates.on_decoder(STUDY, "<b>", "compact", "0")
    assert "&lt;b&gt;" in caught.value.message and not caught.value.print_exception


def test_a_network_brings_its_decoders_and_epochs(updates):
    decoder, epoch, refined, measured_at, errors_of = updates.on_network(GENERAL, "", "compact", "depthwise")
    assert offered(decoder) == (["compact", "depthwise"], "compact") and offered(epoch) == (["7"], "7")
    assert refined is False  # there is no refiner here
    assert measured_at.choices == [(EACH_OWN, "")] and offered(errors_of) == (["compact", "depthwise"], "depthwise")
    with pytest.raises(gr.Error, match="owner/name"):
        updates.on_network(STUDY, "/tmp", "compact", "compact")


def test_ones_own_photo_changes_the_network_and_what_goes_with_it(updates):
    network, decoder, epoch, refined, measured_at, errors_of = updates.on_own_photo(STUDY, "", "depthwise", "compact")
    assert refined is False and network == GENERAL and decoder.value == "depthwise" and epoch.value == "5"
    assert measured_at.value == "" and errors_of.value == "compact"
    network, decoder, epoch, *_ = updates.on_example(GENERAL, "", "compact", "compact")
    # Epoch 7 was no choice for the study, which has none: its nearest.
    assert (network, decoder.value, epoch.value) == (STUDY, "compact", "3")


def test_a_photo_leaves_the_choices_alone_where_the_networks_stay(updates, service, examples, source):
    assert updates.on_own_photo(GENERAL, "", "compact", "compact") == (GENERAL, *[SKIP] * 5)
    alone = Updates(Tabs(service), examples)  # there is no other network
    assert alone.on_own_photo(STUDY, "", "compact", "compact") == (STUDY, *[SKIP] * 5)
    # A source that was named colors all photos: its epoch stays.
    assert updates.on_own_photo(STUDY, "owner/name", "compact", "compact") == (GENERAL, *[SKIP] * 5)


def test_the_controls_color(updates, photo):
    upload = {"path": str(photo)}
    box, stage, words, state = updates.on_color(upload, "depthwise", "5", False, GENERAL, *OPTIONS)
    assert box == SKIP and stage.count("<img") == 2 and "epoch 5" in words and "photos of any kind" in words
    assert (state.photo, state.options.source, state.checkpoint.epoch) == (photo, GENERAL, 5)
    *_, words, state = updates.on_color(upload, "compact", "0", False, STUDY, *OPTIONS)
    assert (state.options.source, state.checkpoint.epoch) == (STUDY, 0) and "any kind" not in words


def test_what_cannot_be_read_leaves_nothing_that_could_be_taken_for_it(updates, tmp_path):
    (tmp_path / "<b>.jpg").write_bytes(b"Not a photo at all.")
    with pytest.warns(UserWarning, match="&lt;b&gt;.jpg: "):
        box, *stage = updates.on_color({"path": str(tmp_path / "<b>.jpg")}, "compact", "7", False, GENERAL, *OPTIONS)
    assert box is None and tuple(stage) == updates.on_clear()
    box, *stage = updates.on_color(None, "compact", "7", False, GENERAL, *OPTIONS)
    assert box == SKIP and tuple(stage) == updates.on_clear()
    assert "<img" not in stage[0] and "Choose a photo" in stage[0] and stage[1:] == ["", None]


def test_what_cannot_be_colored_is_said_on_the_stage(updates, photo):
    """As an error it would end the coloring that waits for this one, too."""
    with pytest.warns(UserWarning, match="&lt;i&gt;"):
        box, stage, words, state = updates.on_color({"path": str(photo)}, "<i>", "7", False, GENERAL, *OPTIONS)
    assert box == SKIP and "&lt;i&gt;" in stage and "<img" not in stage and (words, state) == ("", None)


def test_where_a_photo_was_measured_only_what_was_is_offered(updates, photo, tmp_path):
    made_photo(0).convert("L").save(tmp_path / "gray.png")
    assert updates.on_measured(None, "compact") == (SKIP, SKIP)
    *_, state = updates.tabs.measure(photo, "3", *OPTIONS)
    errors_of, view = updates.on_measured(state, "depthwise")  # has no epoch 3
    assert offered(errors_of) == (["compact"], "compact") and view.visible
    *_, state = updates.tabs.measure(tmp_path / "gray.png", "0", *OPTIONS)
    errors_of, view = updates.on_measured(state, "depthwise")
    assert (
        offered(errors_of) == (["compact", "depthwise"], "depthwise")
        and errors_of.label == "Decoder"
        and not view.visible
    )


def test_a_source_out_of_reach_is_said_as_text_and_what_ships_takes_its_place(updates):
    with pytest.warns(UserWarning, match="&lt;img&gt;.*The shipped checkpoints are used"):
        box, applied, decoder, epoch, refined, left, right, epochs_of, measured_at, errors_of, network, about = (
            updates.on_source("<img>", STUDY)
        )
    assert box.value == applied == "" and "<img>" in box.info  # Gradio escapes a control's words itself
    assert offered(decoder) == offered(epochs_of) == offered(errors_of) == (["compact", "depthwise"], "compact")
    assert offered(epoch) == (["0", "3"], "3") and offered(measured_at) == (["0", "3"], "3")
    assert refined.value is False and not refined.visible
    assert left.value == GRAY and right.value == "compact/3" and network.visible and about
    box, *_ = updates.on_source(" ", STUDY)
    assert box.info == SOURCE_INFO


def restored(updates, **named):
    values = updates.on_restore(SimpleNamespace(query_params=named))
    assert len(values) == 2 + len(REMEMBERED)  # as many as there are outputs
    return values


def test_an_address_that_names_nothing_changes_nothing(updates):
    assert restored(updates) == restored(updates, __theme="dark") == (SKIP,) * 11


def test_a_shared_address_brings_its_view_back(updates, examples):
    (
        tabs,
        example,
        decoder,
        epoch,
        refined,
        left,
        right,
        epochs_of,
        measured_at,
        errors_of,
        network,
    ) = restored(
        updates,
        refined="true",
        tab="epochs",
        example="rocket",
        network=GENERAL,
        decoder="depthwise",
        left="compact/3",
        right="none",
    )
    assert refined
    assert tabs.selected == "epochs" and example == str(examples[1]) and network == GENERAL
    assert decoder.value == "depthwise" and offered(epoch) == (["5"], "5")
    assert left == "compact/3" and right == SKIP
    assert (epochs_of, measured_at.value, errors_of.value) == ("depthwise", "", "depthwise")
    _, _, _, epoch, *_, measured_at, errors_of, network = restored(
        updates, decoder="compact", epoch="3", **{"measured-at": "0", "errors-of": "depthwise"}
    )
    # Measure has its own.
    assert (measured_at.value, errors_of.value, network, epoch.value) == ("0", "depthwise", STUDY, "3")


def test_an_address_of_what_is_not_here_is_said_as_text_and_the_first_view_shown(updates, examples):
    with pytest.warns(UserWarning, match="&lt;img&gt;"):
        tabs, example, decoder, epoch, *_ = restored(updates, decoder="<img>", tab="nowhere", example="nobody")
    assert tabs.selected == "colorize" and example == str(examples[0])
    assert (decoder.value, epoch.value) == ("compact", "3")
