"""The paper's words beside ours: what claims.json holds is shown, and its absence is said."""

import json

import pytest

from chromagan.demo.page import TEMPLATES, rendered
from chromagan.demo.paper import ordinal, read_findings, typeset
from chromagan.hub.checkpoints import SHIPPED
from chromagan.hub.files import CLAIMS_FILE

CELLS = [
    {"decoder": "compact", "epoch": 3, "word": "Very Poor", "value": 9.5063, "rank": 2},
    {"decoder": "transposed", "epoch": 3, "word": "Good", "value": 0.13, "rank": 1},
    {"decoder": "depthwise", "epoch": 3, "word": "Fair", "value": None, "rank": None},
]
ROW = {
    "row": "Boundary clarity", "title": "color gradient kept", "higher_is_better": True, "cells": CELLS, "pairs": 3,
    "agreeing": 2, "disagreeing": 1, "tau": 0.33, "sentences": ["Compact before Depthwise: -0.02."],
}  # fmt: skip


def claim(name: str, verdict: str, **more) -> dict:
    line = {
        "id": name, "subject": "compact", "label": "Compact", "section": "4.2", "words": f"what {name} says",
        "verdict": verdict, "epoch": 3, "photos": 1240, "evidence": ["chroma kept: -0.14 (-0.21 to -0.07)"],
        "needs": "", "shows": 1, "contradicts": 2, "parts": [], "beside": None,
    }  # fmt: skip
    return line | more


CLAIMS = [
    claim("C1", "stands"),
    claim("C2", "contradicted", words="<b>tint</b>"),
    claim("P5", "cannot be told", epoch=None, photos=None, evidence=["needs depth"], needs="needs depth"),
    claim(
        "E900", "cannot be told", section="4.3", epoch=None, beside={"stand_ins": {"900": 3}, "verdict": "undecided"}
    ),
]


def write(folder, **changes):
    report = {"claims": CLAIMS, "counts": {}, "table_1": {"rows": [ROW], **ROW}} | changes
    (folder / CLAIMS_FILE).write_text(json.dumps(report))
    return read_findings(str(folder))


def test_words_and_ranks_and_verdicts_are_those_of_the_file(tmp_path):
    found = write(tmp_path)
    cells = found.rows[0]["cells"]
    assert [(cell["word"], cell["rank"], cell["value"], cell["first"]) for cell in cells] == [
        ("Very Poor", "2nd", "9.51", False), ("Good", "1st", "0.130", True), ("Fair", None, None, False),
    ]  # fmt: skip
    assert found.rows[0]["ranked_by"] == "color gradient kept, higher is better"
    assert found.agreeing == "2 of 3 pairs agree with the paper's order, 1 disagrees" and found.epochs == "3"
    assert [(each["words"], each["count"]) for each in found.counts] == [
        ("1 holds", 1), ("1 is contradicted", 1), ("2 cannot be tested", 2),
    ]  # fmt: skip
    assert [(group["title"], len(group["claims"])) for group in found.groups] == [
        ("Compact", 3), ("Compact, over its epochs", 1),
    ]  # fmt: skip
    missing = found.groups[0]["claims"][2]
    assert (missing["needs"], missing["evidence"]) == ("needs depth", [])  # said once
    assert found.groups[1]["claims"][0]["beside"] == "At the available epochs, 3 for 900: undecided."

    html = rendered("paper", findings=found)
    assert html.count('data-label="') == 3 and "1st · 0.130" in html and "not measured" in html
    assert html.count("<details><summary><b") == 4 and "−0.14 (−0.21 to −0.07)" in html and "on 1,240 photos" in html
    assert "<b>tint" not in html and "&lt;b&gt;tint" in html


def test_without_a_readable_file_it_is_said_how_to_get_one(tmp_path):
    assert read_findings(str(tmp_path)) is None and read_findings("owner/name") is None
    for broken in ({"claims": [claim("C1", "perhaps")]}, {"table_1": {}}, {"claims": None}):
        assert write(tmp_path, **broken) is None
    (tmp_path / CLAIMS_FILE).write_text("{")
    assert read_findings(str(tmp_path)) is None
    assert "train/evaluate.py --source SOURCE" in rendered("paper", findings=None)
    assert '"paper.html"' in TEMPLATES.loader.get_source(TEMPLATES, "about.html")[0]


def test_every_claim_of_the_shipped_file_is_shown():
    shown = read_findings("study")
    claims = json.loads((SHIPPED / CLAIMS_FILE).read_text())["claims"]
    assert sum(len(group["claims"]) for group in shown.groups) == len(claims) == sum(c["count"] for c in shown.counts)
    assert len(shown.rows) == 4 and all(len(row["cells"]) == len(shown.decoders) == 5 for row in shown.rows)


@pytest.mark.parametrize("number, words", [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")])
def test_ordinals(number, words):
    assert ordinal(number) == words


def test_a_minus_stands_before_numbers_alone():
    assert typeset("-1 of top-1, (-0.2 to -0.1) 4-5") == "−1 of top-1, (−0.2 to −0.1) 4-5"
