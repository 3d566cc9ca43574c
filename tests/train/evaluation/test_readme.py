"""The tables of the READMEs and the model cards: they show what the checkpoints' own measures say."""

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest

from chromagan.hub.checkpoints import SHIPPED, CheckpointError, list_checkpoints, recommended_of_each
from chromagan.hub.model import ChromaGAN
from chromagan.network.decoders import DECODERS
from train.evaluation import readme
from train.evaluation.claims import CLAIMS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name, every", [("README.md", False), ("checkpoints/README.md", True)])
def test_readmes_show_what_the_checkpoints_say(name, every):
    text = (ROOT / name).read_text(encoding="utf-8")
    start, end = (text.index(mark) for mark in readme.README_MARKS)
    assert text[start + len(readme.README_MARKS[0]) : end].strip() == readme.readme_section(every=every).strip()
    start, end = (text.index(mark) for mark in readme.CLAIMS_MARKS)
    section = text[start + len(readme.CLAIMS_MARKS[0]) : end].strip()
    assert section == readme.claims_section(evidence=every)
    assert all((f"\n| {claim.id} | " in section) == every for claim in CLAIMS) and len(CLAIMS) == 32


@pytest.mark.parametrize("source", ["checkpoints", "checkpoints/general"])
def test_cards_show_what_the_checkpoints_say_and_load_as_they_say(source, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints", ignore=shutil.ignore_patterns("README.md"))
    monkeypatch.chdir(tmp_path)
    readme.write_cards(tmp_path / source)
    recommended = recommended_of_each(list_checkpoints(source))
    for decoder, checkpoint in recommended.items():
        card = (tmp_path / source / decoder / "README.md").read_text(encoding="utf-8")
        assert card == (ROOT / source / decoder / "README.md").read_text(encoding="utf-8")
        (folder,) = re.findall(r'ChromaGAN.from_pretrained\("([^"]*)"\)', card)
        assert Path(folder) == Path(source, decoder, f"epoch-{checkpoint.epoch}")
        assert ChromaGAN.from_pretrained(folder).config.decoder == decoder
        assert f'Colorizer.from_pretrained("{source}", decoder="{decoder}", epoch={checkpoint.epoch})' in card
    assert len(recommended) == 5 and set(recommended) <= set(DECODERS)


def test_the_refiners_card_is_of_what_ships(tmp_path):
    shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    readme.write_cards(tmp_path / "checkpoints")
    card, written = (top / "checkpoints" / "refiner" / "README.md" for top in (ROOT, tmp_path))
    assert written.read_text(encoding="utf-8") == card.read_text(encoding="utf-8")
    assert 'from_pretrained("checkpoints", refine=5)' in card.read_text(encoding="utf-8")
    options = json.loads(card.with_name("train.json").read_text(encoding="utf-8"))
    assert "feature_weight" not in options  # it was trained before that option was there
    assert "if `train.json` has a `feature_weight` above 0" in card.read_text(encoding="utf-8")


def test_the_pages_say_how_fast_the_shipped_networks_were_trained():
    def median(path: Path, first: int, last: int) -> int:
        """Windows a second from the end of epoch `first` to that of epoch `last`."""
        lines = map(json.loads, path.joinpath("log.jsonl").read_text(encoding="utf-8").splitlines())
        return round(statistics.median(line["images_per_second"] for line in lines if first < line["epoch"] <= last))

    shipped = Path(SHIPPED)
    halves = {name: [median(shipped / name, *span) for span in ((0, 10), (10, 30))] for name in DECODERS}
    float32 = sorted(halves.pop("compact"))
    bfloat16 = sorted(speed for speeds in halves.values() for speed in speeds)
    general = sorted(median(shipped / "general" / name, 0, 4) for name in DECODERS)
    alone = median(shipped / "original", 30, 100)
    page, other = ((ROOT / name).read_text(encoding="utf-8") for name in ("checkpoints/README.md", "docs/measured.md"))
    said = re.search(
        r"float32 (\d+) to\s(\d+).*?bfloat16 (\d+) to (\d+).*?core (\d+).*?float32\s(\d+) to (\d+)", page, re.S
    )
    assert [*map(int, said.groups())] == [*float32, bfloat16[0], bfloat16[-1], alone, general[0], general[-1]]
    said = re.search(r"medians of (\d+) to (\d+) windows\sa second, those of `general` at (\d+) to (\d+)", other)
    assert [*map(int, said.groups())] == [alone, bfloat16[-1], general[0], general[-1]]


def test_the_page_says_at_which_epochs_the_colorings_are_nearest():
    page = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    errors = {}
    for each in list_checkpoints("study"):
        errors.setdefault(each.decoder, {})[each.epoch] = each.metrics["colored"]["ciede2000_mean"]["value"]
    nearest = {decoder: min(own, key=own.get) for decoder, own in errors.items()}
    assert nearest == dict.fromkeys(DECODERS, 10) | {"depthwise": 3}
    assert "CIEDE2000 is lowest at epoch 10, with `depthwise` at epoch 3, and within 2 % of that at epoch 30" in page
    assert all(own[30] < 1.02 * own[nearest[decoder]] for decoder, own in errors.items())


def test_the_page_names_the_claims_that_lie_near_one_half():
    report = json.loads((ROOT / "checkpoints" / "claims.json").read_text(encoding="utf-8"))
    near = {
        claim["id"] for claim in report["claims"] for part in claim["parts"] for difference in part["differences"]
        if difference["to"] == "0.5" and abs(difference["value"]) < 0.02
    }  # fmt: skip
    text = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    said = re.search(r"reading of the paper's words; ([^;.]*?) lie\s+so near it", text)[1]
    assert set(re.findall(r"[A-Z]\d", said)) == near


def test_a_readme_gets_its_table_and_keeps_the_rest(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before\n{}\nold\n{}\nafter\n".format(*readme.README_MARKS), encoding="utf-8")
    for _ in range(2):
        readme.update_readme(path, "new")
        assert path.read_text(encoding="utf-8") == "before\n{}\nnew\n{}\nafter\n".format(*readme.README_MARKS)
    path.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the lines"):
        readme.update_readme(path, "new")
    assert path.read_text(encoding="utf-8") == "no marks"


@pytest.mark.parametrize("name, value", [("data", "other"), ("size", 448), ("fingerprint", "00"), ("images", 7)])
def test_networks_measured_on_other_photos_are_in_no_table_together(tmp_path, name, value):
    for decoder in ("original", "compact"):
        shutil.copytree(SHIPPED / decoder / "epoch-1", tmp_path / decoder / "epoch-1")
    shutil.copy(next(SHIPPED.glob("*.safetensors")), tmp_path)
    assert "compact" in readme.readme_section(tmp_path, every=True)
    path = tmp_path / "compact" / "epoch-1" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(CheckpointError, match="were measured on different photos"):
        readme.readme_section(tmp_path, every=True)
