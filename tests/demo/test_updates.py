"""What changes of the controls: called as Gradio calls them, without a page."""

import functools
from types import SimpleNamespace

import gradio as gr
import pytest
from made_photos import made_photo

from chromagan.demo.choices import EACH_OWN, REMEMBERED
from chromagan.demo.service import CHROMA, GRAY, DemoService, RequestError
from chromagan.demo.tabs import Tabs
from chromagan.demo.updates import SOURCE_INFO, Updates
from chromagan.hub.checkpoints import GENERAL, STUDY
from chromagan.hub.publish import publish

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


def settle(updates, settled, photo=None, network=STUDY, source="", decoder="compact", epoch="3", errors_of="compact"):
    """What `on_choices` changes, by the name of the control."""
    upload = {"path": str(photo)} if photo else None
    controls = ("network", "decoder", "epoch", "refined", "measured_at", "errors_of", "settled")
    changes = updates.on_choices(upload, network, source, decoder, epoch, errors_of, settled)
    assert len(changes) == len(controls)
    return {name: change for name, change in zip(controls, changes) if change != SKIP}


def sent(control) -> list[str]:
    """What of a control is sent: where "value" is not, the selected one stays, even one selected in the meantime."""
    return sorted(control.constructor_args)


def test_a_decoder_brings_its_epochs(updates):
    changes = settle(updates, ["coffee", STUDY, "depthwise"], epoch="0")
    assert changes.keys() == {"epoch", "settled"} and changes["settled"] == ["coffee", STUDY, "compact"]
    assert [value for _, value in changes["epoch"].choices] == ["0", "3"] and sent(changes["epoch"]) == ["choices"]
    changes = settle(updates, ["coffee", STUDY, "compact"], decoder="depthwise", epoch="3")  # which it has not
    assert offered(changes["epoch"]) == (["0"], "0")
    changes = settle(updates, ["coffee", GENERAL, "depthwise"], network=GENERAL)
    assert offered(changes["epoch"]) == (["7"], "7")


def test_a_network_brings_its_decoders_and_epochs(updates):
    changes = settle(updates, ["coffee", STUDY, "compact"], network=GENERAL, errors_of="depthwise")
    assert changes["settled"] == ["coffee", GENERAL, "compact"] and "network" not in changes
    assert [value for _, value in changes["decoder"].choices] == ["compact", "depthwise"]
    assert offered(changes["epoch"]) == (["7"], "7") and changes["measured_at"].choices == [(EACH_OWN, "")]
    assert sent(changes["decoder"]) == sent(changes["errors_of"]) == ["choices"]
    assert changes["refined"].value is False and not changes["refined"].visible  # there is no refiner here
    changes = settle(updates, ["coffee", GENERAL, "compact"], decoder="unknown", epoch="7")
    assert changes["decoder"].value == "compact" and offered(changes["epoch"]) == (["0", "3"], "3")


def test_what_is_not_there_changes_nothing(updates):
    """Neither a source out of reach, nor a photo that was not uploaded: the coloring that follows says so."""
    settled = ["coffee", STUDY, "compact"]
    assert settle(updates, settled, source="/tmp") == settle(updates, settled, photo="/etc/hostname") == {}
    assert settle(updates, settled, decoder="<b>") == {}


def test_ones_own_photo_changes_the_network_and_what_goes_with_it(updates, photo, examples):
    changes = settle(updates, ["coffee", STUDY, "depthwise"], photo, decoder="depthwise")
    assert changes["network"] == GENERAL and changes["epoch"].value == "5" and changes["measured_at"].value == ""
    assert changes["settled"] == [str(photo), GENERAL, "depthwise"]
    settled = changes["settled"]
    changes = settle(updates, settled, examples[1], GENERAL, epoch="7")
    # Epoch 7 was no choice for the study, which has none: its recommended one.
    assert (changes["network"], changes["epoch"].value) == (STUDY, "3")
    assert changes["settled"] == ["rocket", STUDY, "compact"]


def test_an_example_is_known_by_its_content(updates, photo, examples, tmp_path):
    """Gradio has copies of the examples; another's photo may have the name of one."""
    for content, network in ((examples[1], None), (photo, GENERAL)):
        copy = tmp_path / examples[1].name
        copy.write_bytes(content.read_bytes())
        assert settle(updates, ["rocket", STUDY, "compact"], copy).get("network") == network


def test_a_photo_leaves_the_choices_alone_where_the_networks_stay(updates, service, examples, photo):
    settled = [str(photo), STUDY, "compact"]
    assert settle(updates, settled, photo) == {"settled": settled}  # the study was selected for this photo
    kept = {"network", "settled"}
    assert settle(updates, ["coffee", GENERAL, "compact"], photo, GENERAL, epoch="7").keys() == kept
    alone = Updates(Tabs(service), examples)  # there is no other network
    changes = settle(alone, ["coffee", STUDY, "compact"], photo)
    assert changes.keys() == kept and changes["network"] == STUDY
    # A source that was named colors all photos: its epoch stays.
    changes = settle(updates, ["coffee", "owner/name", "compact"], photo, source="owner/name")
    assert changes.keys() == kept and changes["network"] == GENERAL


def test_what_a_page_has_never_kept_is_settled_anew(updates, photo):
    for settled in (None, {}, "coffee", [1]):
        assert settle(updates, settled, photo)["settled"] == [str(photo), GENERAL, "compact"]


def test_the_controls_color(updates, photo):
    upload = {"path": str(photo)}
    refused, stage, words, state, wanted = updates.on_color(upload, "depthwise", "5", False, GENERAL, *OPTIONS)
    assert (
        refused == wanted == SKIP and stage.count("<img") == 2 and "epoch 5" in words and "photos of any kind" in words
    )
    assert (state.photo, state.options.source, state.checkpoint.epoch) == (photo, GENERAL, 5)
    *_, words, state, _ = updates.on_color(upload, "compact", "0", False, STUDY, *OPTIONS)
    assert (state.options.source, state.checkpoint.epoch) == (STUDY, 0) and "any kind" not in words


def test_a_download_is_what_the_page_shows_also_where_the_server_has_forgotten_it(updates, photo):
    """After a restart, or an hour after a connection was lost, Gradio hands out a session's first state."""
    chosen = [{"path": str(photo)}, "depthwise", "5", False, GENERAL, *OPTIONS]
    *_, state, _ = updates.on_color(*chosen)
    kept = updates.on_download(state, None, "compact", "0", True, STUDY, *OPTIONS)  # what is shown, not what is chosen
    forgotten = updates.on_download(None, *chosen)
    assert kept.name == forgotten.name == f"{photo.stem}-general-depthwise-epoch-5{kept.suffix}"
    assert kept.read_bytes() == forgotten.read_bytes()
    with pytest.raises(RequestError, match="Upload a photo first"):
        updates.on_download(None, None, *chosen[1:])


def test_what_cannot_be_read_leaves_nothing_that_could_be_taken_for_it(updates, tmp_path):
    (tmp_path / "<b>.jpg").write_bytes(b"Not a photo at all.")
    twice = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="&lt;b&gt;.jpg: "):
            refused, *stage, _ = updates.on_color(
                {"path": str(tmp_path / "<b>.jpg")}, "compact", "7", False, GENERAL, *OPTIONS
            )
        assert refused[0] == str(tmp_path / "<b>.jpg") and stage[1:] == ["", None]
        assert "invitation" in stage[0] and "&lt;b&gt;.jpg" in stage[0]  # and why
        twice.append(refused)
    assert twice[0] != twice[1]  # else the page would hear of no change
    refused, *stage, _ = updates.on_color(None, "compact", "7", False, GENERAL, *OPTIONS)
    assert refused == SKIP and tuple(stage) == updates.on_clear()
    assert "<img" not in stage[0] and "Choose a photo" in stage[0] and stage[1:] == ["", None]


def test_what_cannot_be_colored_is_said_on_the_stage(updates, photo):
    """As an error it would end the coloring that waits for this one, too."""
    with pytest.warns(UserWarning, match="&lt;i&gt;"):
        refused, stage, words, state, _ = updates.on_color({"path": str(photo)}, "<i>", "7", False, GENERAL, *OPTIONS)
    assert refused == SKIP and "&lt;i&gt;" in stage and "<img" not in stage and (words, state) == ("", None)


@pytest.fixture
def visitor_of_hub(server, source, examples, tmp_path):
    """The updates of a demo, a visitor of which has named the study "someone/study"."""
    publish(source, "someone/study", say=lambda line: None)
    updates = Updates(Tabs(DemoService(str(source), str(source), tmp_path / "files")), examples)
    updates.on_source("someone/study")
    return updates


def test_an_epoch_of_the_hub_is_downloaded_before_it_colors(visitor_of_hub, photo):
    """The lane of the colorings, where everybody waits, does not wait for the Hub."""
    updates, options = visitor_of_hub, ("someone/study", *OPTIONS[1:])
    here = updates.service.source("someone/study")
    color = functools.partial(updates.on_color, {"path": str(photo)}, "compact", "0", False, STUDY, *options)
    _, stage, words, state, wanted = color()
    assert "Downloading" in stage and "<img" not in stage and (words, state) == ("", None)
    assert wanted[:2] == ["someone/study", ["compact/0"]] and len(here.networks) == 1  # the recommended
    updates.on_wanted(wanted)
    _, stage, _, state, wanted = color()
    assert stage.count("<img") == 2 and (state.checkpoint.decoder, state.checkpoint.epoch) == ("compact", 0)
    assert wanted == SKIP

    film, state, wanted = updates.on_epochs(photo, "depthwise", *options)
    assert "Downloading" in film and state is None and wanted[1] == ["depthwise/0"]
    updates.on_wanted(wanted)
    film, state, wanted = updates.on_epochs(photo, "depthwise", *options)
    assert film.count("<img") == 1 and state.decoder == "depthwise" and wanted is None


def test_what_the_hub_does_not_deliver_is_asked_for_once_and_said(visitor_of_hub, photo, server):
    color = functools.partial(
        visitor_of_hub.on_color, {"path": str(photo)}, "compact", "0", False, STUDY, "someone/study", *OPTIONS[1:]
    )
    *_, wanted = color()
    server.repos.clear()
    visitor_of_hub.on_wanted(wanted)
    with pytest.warns(UserWarning, match="compact"):
        _, stage, _, state, wanted = color()
    assert "cannot be used" in stage and state is None and wanted == SKIP
    for nonsense in (None, {}, ["x"], ["no source", [], 0], ["someone/study", ["x"], 0], [5, [], 0]):
        assert visitor_of_hub.on_wanted(nonsense) is None


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
    with pytest.warns(UserWarning, match="&lt;img&gt;.*This demo's own checkpoints are used"):
        box, applied, left, right, epochs_of, network, about = updates.on_source("<img>")
    assert box.value == applied == "" and "<img>" in box.info  # Gradio escapes a control's words itself
    assert offered(epochs_of) == (["compact", "depthwise"], "compact")
    assert left.value == GRAY and right.value == "compact/3" and network.visible and about
    box, *_ = updates.on_source(" ")
    assert box.info == SOURCE_INFO


def restored(updates, **named):
    values = updates.on_restore(SimpleNamespace(query_params=named))
    assert len(values) == 3 + len(REMEMBERED)  # as many as there are outputs
    return values


def test_an_address_that_names_nothing_changes_nothing(updates):
    assert restored(updates) == restored(updates, __theme="dark") == (SKIP,) * 12


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
        settled,
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
    assert settled == ["rocket", GENERAL, "depthwise"]
    assert decoder.value == "depthwise" and offered(epoch) == (["5"], "5")
    assert left == "compact/3" and right == SKIP
    assert (epochs_of, measured_at.value, errors_of.value) == ("depthwise", "", "depthwise")
    _, _, _, epoch, *_, measured_at, errors_of, network, _ = restored(
        updates, decoder="compact", epoch="3", **{"measured-at": "0", "errors-of": "depthwise"}
    )
    # Measure has its own.
    assert (measured_at.value, errors_of.value, network, epoch.value) == ("0", "depthwise", STUDY, "3")


def test_an_address_of_what_is_not_here_is_said_as_text_and_the_first_view_shown(updates, examples):
    with pytest.warns(UserWarning, match="&lt;img&gt;"):
        tabs, example, decoder, epoch, *_ = restored(updates, decoder="<img>", tab="nowhere", example="nobody")
    assert tabs.selected == "colorize" and example == str(examples[0])
    assert (decoder.value, epoch.value) == ("compact", "3")
