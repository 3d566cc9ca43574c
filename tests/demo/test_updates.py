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


def test_ones_own_photo_changes_the_network_and_what_goes_with_it(updates, photo):
    upload = {"path": str(photo)}
    box, network, decoder, epoch, refined, measured_at, errors_of, stage, words, state = updates.on_own_photo(
        upload, "depthwise", "0", True, "compact", STUDY, *OPTIONS
    )
    assert (
        box == SKIP and refined is False and network == GENERAL and decoder.value == "depthwise" and epoch.value == "5"
    )
    assert measured_at.value == "" and errors_of.value == "compact"
    assert stage.count("<img") == 2 and "epoch 5" in words
    assert (state.photo, state.options.source, state.checkpoint.epoch) == (photo, GENERAL, 5)
    _, network, decoder, epoch, *_, state = updates.on_example(
        upload, "compact", "7", False, "compact", GENERAL, *OPTIONS
    )
    # Epoch 7 was no choice for the study, which has none: its nearest.
    assert (network, decoder.value, epoch.value) == (STUDY, "compact", "3") and state.options.source == STUDY


def test_a_photo_leaves_the_choices_alone_where_the_network_stays(updates, service, examples, photo):
    upload = {"path": str(photo)}
    *choices, _, _, state = updates.on_own_photo(upload, "compact", "7", False, "compact", GENERAL, *OPTIONS)
    assert choices == [SKIP] * 7 and state.checkpoint.epoch == 7
    *choices, _, _, state = Updates(Tabs(service), examples).on_own_photo(
        upload, "compact", "0", False, "compact", STUDY, *OPTIONS
    )
    assert choices == [SKIP] * 7 and state.checkpoint.epoch == 0  # there is no other network


def test_what_cannot_be_read_leaves_nothing_that_could_be_taken_for_it(updates, tmp_path):
    (tmp_path / "<b>.jpg").write_bytes(b"Not a photo at all.")
    for upload, message in (({"path": str(tmp_path / "<b>.jpg")}, "&lt;b&gt;.jpg: "), (None, "Upload a photo first")):
        with pytest.warns(UserWarning, match=message):
            box, *choices, stage, words, state = updates.on_own_photo(
                upload, "compact", "7", False, "compact", GENERAL, *OPTIONS
            )
        assert box is None and choices == [SKIP] * 6 and state is None and not words
        assert "<img" not in stage and "Choose a photo" in stage
        assert (stage, words, state) == updates.on_clear()


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
        box, decoder, epoch, refined, left, right, epochs_of, measured_at, errors_of, network, about = (
            updates.on_source("<img>", STUDY)
        )
    assert box.value == "" and "<img>" in box.info  # Gradio escapes a control's words itself
    assert offered(decoder) == offered(epochs_of) == offered(errors_of) == (["compact", "depthwise"], "compact")
    assert offered(epoch) == (["0", "3"], "3") and offered(measured_at) == (["0", "3"], "3")
    assert refined.value is False and not refined.visible
    assert left.value == GRAY and right.value == "compact/3" and network.visible and about
    box, *_ = updates.on_source(" ", STUDY)
    assert box.info == SOURCE_INFO


def restored(updates, **named):
    values = updates.on_restore(SimpleNamespace(query_params=named))
    assert len(values) == 5 + len(REMEMBERED)  # as many as there are outputs
    return values


def test_an_address_that_names_nothing_changes_nothing(updates):
    assert restored(updates) == restored(updates, __theme="dark") == (SKIP,) * 14


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
        stage,
        words,
        state,
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
    assert refined and "refined" not in stage  # by what is here
    assert tabs.selected == "epochs" and example == str(examples[1]) and network == GENERAL
    assert decoder.value == "depthwise" and offered(epoch) == (["5"], "5")
    assert left == "compact/3" and right == SKIP
    assert (epochs_of, measured_at.value, errors_of.value) == ("depthwise", "", "depthwise")
    assert stage.count("<img") == 2 and "epoch 5" in words and state.photo == examples[1]
    *_, measured_at, errors_of, network, _, _, state = restored(
        updates, decoder="compact", epoch="3", **{"measured-at": "0", "errors-of": "depthwise"}
    )
    assert (measured_at.value, errors_of.value, network, state.checkpoint.epoch) == (
        "0",
        "depthwise",
        STUDY,
        3,
    )  # Measure has its own


def test_an_address_of_what_is_not_here_is_said_as_text_and_the_first_view_shown(updates, examples):
    with pytest.warns(UserWarning, match="&lt;img&gt;"):
        tabs, example, decoder, epoch, *_, state = restored(updates, decoder="<img>", tab="nowhere", example="nobody")
    assert tabs.selected == "colorize" and example == str(examples[0])
    assert (decoder.value, epoch.value, state.checkpoint.epoch) == ("compact", "3", 3)
