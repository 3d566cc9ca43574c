"""What a card says, read back by the Hub's own client, and how a study says that a newer one is there."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData
from test_publish import measured

from chromagan.__main__ import main
from chromagan.hub.checkpoints import find_checkpoint, list_checkpoints, save_checkpoint
from chromagan.hub.files import names_of, write_json
from chromagan.hub.model import ChromaGAN
from chromagan.hub.model_card import model_card
from chromagan.hub.publish import publish, without_paths
from chromagan.hub.superseding import supersede
from chromagan.network.config import ModelConfig

CURVES = "https://huggingface.co/spaces/someone/curves?project=study"


@pytest.fixture
def study(tmp_path, source):
    """compact at epochs 0 and 3, the second measured and tracked on a Space; depthwise at 0."""
    study = shutil.copytree(source, tmp_path / "study")
    values = {"ciede2000_mean": {"value": 9.5, "low": 9.0, "high": 10.0}, "colorfulness_ratio": 0.7}
    measured(study, 3, data="frgfm/imagenette (resized to 224)", split="validation", colored={"images": 7} | values)
    write_json(study / "compact" / "train.json", {"data": ["frgfm/imagenette"], "epochs": 3})
    write_json(study / "compact" / "tracker.json", {"project": "study", "run": "compact-1", "url": CURVES})
    return study


def test_a_card_says_where_the_network_comes_from_and_what_was_measured(study):
    epochs = [each for each in list_checkpoints(study) if each.decoder == "compact"]
    text = str(model_card(epochs[-1], "someone/study-compact", epochs))
    card = ModelCard(text, ignore_metadata_errors=False)
    assert card.data.base_model == "timm/tf_efficientnet_lite0.in1k" and card.data.datasets == ["frgfm/imagenette"]
    assert card.data.get("new_version") is None
    results = {each.metric_type: each for each in card.data.eval_results}
    assert set(results) == {"ciede2000_mean", "colorfulness_ratio"}
    nearest = results["ciede2000_mean"]
    assert (nearest.metric_value, nearest.dataset_type, nearest.dataset_split) == (
        9.5,
        "frgfm/imagenette",
        "validation",
    )
    assert nearest.source_url == CURVES and f"({CURVES})" in text
    again = ModelCardData(**card.data.to_dict())  # the client's parts make the same index again
    assert again.to_dict() == card.data.to_dict() and "model-index" in card.data.to_dict()
    listed = [line for line in text.splitlines() if line.startswith("- [epoch ")]
    assert [line.split("]")[0] for line in listed] == ["- [epoch 0", "- [epoch 3"]
    assert listed[1].endswith("/tree/epoch-3), recommended: the newest, since not all are measured")
    assert "/someone/study-compact/tree/" in listed[1]
    assert "before training" in listed[0] and "recommended" not in listed[0]
    assert "- [epoch 0](epoch-0), before training" in str(model_card(epochs[-1], None, epochs))
    assert "\nTrained on Imagenette" in text and "before training: all but the trunk is random" not in text
    first = str(model_card(epochs[0], "someone/study-compact", epochs))
    assert "\nTrained on" not in first and "before training: all but the trunk is random. The others were" in first


def test_a_card_recommends_the_epoch_that_colorize_takes(study):
    """Not all epochs are measured: colorize takes the newest, though an earlier one is the only one with measures."""
    measured(study, 0, colored={"images": 7, "ciede2000_mean": 9.5})
    (study / "compact" / "epoch-3" / "metrics.json").unlink()
    epochs = [each for each in list_checkpoints(study) if each.decoder == "compact"]
    assert find_checkpoint(study, "compact").epoch == 3
    lines = str(model_card(epochs[-1], None, epochs)).splitlines()
    assert [line.partition("), ")[2] for line in lines if line.startswith("- [epoch ")] == [
        "before training",
        "recommended: the newest, since not all are measured",
    ]


def test_a_card_names_the_split_that_was_recorded(study):
    """Photos that may have been trained on are no split of the data, and none is assumed where it is not recorded."""
    values = {"images": 7, "ciede2000_mean": 9.5}

    def card(**recorded):
        measured(study, 3, data="birds", colored=values, **recorded)
        epochs = [each for each in list_checkpoints(study) if each.decoder == "compact"]
        text = str(model_card(epochs[-1], "someone/study-compact", epochs))
        (result,) = ModelCard(text, ignore_metadata_errors=False).data.eval_results
        return text, result.dataset_name, result.dataset_split

    text, name, split = card(split="test")
    assert "On the test split of birds, gray" in text and (name, split) == ("birds, test, 7 colored photos", "test")
    text, name, split = card(split="no validation split")
    assert "On birds (no validation split), gray" in text
    assert (name, split) == ("birds, no validation split, 7 colored photos", None)
    text, name, split = card()
    assert "On birds, gray" in text and (name, split) == ("birds, 7 colored photos", None)


def test_what_others_named_is_shown_as_it_is(study):
    """A data set or a folder may be called anything; in a card its name is no markup, and no end of code or a row."""
    folder = study.rename(study.with_name('my "best" `study`'))
    measured(folder, 3, data="<b>birds</b> | x", split="te`st", colored={"images": 7, "ciede2000_mean": 9.5})
    write_json(folder / "compact" / "train.json", {"data": ["a\n# heading"], "epochs": 3})
    epochs = [each for each in list_checkpoints(folder) if each.decoder == "compact"]
    text = str(model_card(epochs[-1], None, epochs)).partition("# ChromaGAN,")[2]  # behind the metadata
    assert "On the te\\`st split of &lt;b&gt;birds&lt;/b&gt; \\| x, gray photos" in text and "<b>" not in text
    assert "Trained on a # heading: anything" in text
    assert 'from_pretrained("my \\"best\\" `study`", decoder="compact", epoch=3)' in text
    assert 'is `` ChromaGAN.from_pretrained("my \\"best\\" `study`/compact/epoch-3") ``.' in text


@pytest.mark.parametrize("there", [True, False])
def test_what_was_a_folder_where_it_ran_is_no_hub_id_wherever_it_is_published(study, tmp_path, monkeypatch, there):
    """The other way round, a folder here that is called as a data set of the Hub does not take its id from it."""
    monkeypatch.chdir(tmp_path)
    for name in ("shared/my-photos", "frgfm/imagenette") if there else ():
        Path(name).mkdir(parents=True)
    sources = [
        {"data": "frgfm/imagenette", "folder": False, "photos": 5, "gray": 0},
        {"data": "shared/my-photos", "folder": True, "photos": 3, "gray": 0},
    ]
    options = {"data": [source["data"] for source in sources], "sources": sources}
    write_json(study / "compact" / "train.json", options)
    epochs = [each for each in list_checkpoints(study) if each.decoder == "compact"]
    card = model_card(epochs[-1], None, epochs)
    assert card.data.datasets == ["frgfm/imagenette"] and "shared/my-photos" not in str(card)
    assert "parachute) and my-photos:" in str(card)
    public = without_paths(options)
    assert public["data"] == ["frgfm/imagenette", "my-photos"] == [each["data"] for each in public["sources"]]
    assert names_of(sources) == public["data"]


def test_a_newer_study_is_named_by_the_older_one_and_not_forgotten(server, study, capsys):
    publish(study, "someone/first", say=lambda line: None)
    arguments = ["publish", "--source", str(study), "--to", "someone/second", "--supersedes"]
    assert main([*arguments, "someone/first"]) == 0
    assert "someone/first-compact: its card names the newer version" in capsys.readouterr().out

    def newer(repo: str):
        return ModelCard(server.files(repo)["README.md"].decode()).data.get("new_version")

    assert newer("someone/first-compact") == "someone/second-compact" and newer("someone/second-compact") is None
    measured(study, 3, attempt=2)
    publish(study, "someone/first", say=lambda line: None)
    assert newer("someone/first-compact") == "someone/second-compact"
    assert "A newer version is [someone/second-compact]" in server.files("someone/first-compact")["README.md"].decode()
    assert json.loads(server.files("someone/first-compact")["metrics.json"])["attempt"] == 2

    model = ChromaGAN(ModelConfig(decoder="original", num_classes=0))  # which the newer one does not have
    save_checkpoint(model, study / "original" / "epoch-0")
    publish(study, "someone/first", say=lambda line: None)
    assert supersede("someone/first", "someone/second") == ["someone/first-compact", "someone/first-depthwise"]
    assert newer("someone/first-original") is None
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "someone/second"])
    assert stop.value.code == 2 and "its own newer version" in capsys.readouterr().err

    arguments[4] = "someone/third"
    assert main([*arguments, "someone/none"]) == 1
    assert "no study 'someone/none' on the Hub" in capsys.readouterr().err
    assert "someone/third-compact" not in server.repos  # before anything was pushed
    assert main([*arguments, "lab-of-others/first"]) == 1
    assert "may not write to lab-of-others" in capsys.readouterr().err


def test_a_newer_refiner_is_named_by_the_older_one_and_not_forgotten(server, refined_source):
    for study in ("someone/first", "someone/second"):
        publish(refined_source, study, say=lambda line: None)
    assert "someone/first-refiner" in supersede("someone/first", "someone/second")
    for _ in range(2):
        text = server.files("someone/first-refiner")["README.md"].decode()
        assert ModelCard(text).data.get("new_version") == "someone/second-refiner"
        commits = server.commits("someone/first-refiner")
        publish(refined_source, "someone/first", say=lambda line: None)
    assert "A newer version is [someone/second-refiner]" in text and server.commits("someone/first-refiner") == commits
