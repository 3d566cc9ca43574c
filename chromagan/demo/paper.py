"""The paper's words compared with measurements: its Table 1 and its claims, from a source's claims.json."""

from dataclasses import dataclass
from pathlib import Path

from chromagan.hub.checkpoints import NAMED_SOURCES
from chromagan.hub.files import CLAIMS_FILE, read_json
from chromagan.hub.verdicts import (
    CANNOT_TELL,
    CONTRADICTED,
    STANDS,
    UNDECIDED,
    VERDICTS,
    agreement_in_words,
    counted,
)
from chromagan.network.decoders import DECODERS

STYLES = {STANDS: "holds", CONTRADICTED: "contradicted", UNDECIDED: "undecided", CANNOT_TELL: "untested"}  # of page.css
ABOUT_EPOCHS = "4.3"  # the section of the paper that compares the epochs of one decoder


@dataclass(frozen=True)
class Findings:
    """What about.html shows of the claims, as text ready for display."""

    decoders: list[str]  # labels, the columns of Table 1
    rows: list[dict]  # of Table 1: {"row", "ranked_by", "agreeing", "cells": [{"label", "word", "rank", "value"}]}
    agreeing: str  # the agreement over all rows
    disagreements: list[str]  # a sentence each
    counts: list[dict]  # {"words", "style", "meaning", "count"}
    # {"title", "claims": [{"id", "words", "verdict", "style", "evidence": [...], "needs", "beside"}]}
    groups: list[dict]
    epochs: str  # at which the decoders were judged; "" if only costs were


def read_findings(source: str) -> Findings | None:
    """The findings in a source's claims.json; None if it has none, as sources on the Hub, or in another form.

    source: a folder, the name of a shipped source, or a Hub prefix.
    """
    path = Path(NAMED_SOURCES.get(source, source), CLAIMS_FILE)
    if not path.is_file():
        return None
    try:
        return _findings(read_json(path))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _findings(report: dict) -> Findings:
    claims, table = report["claims"], report["table_1"]
    counts = [
        {"words": counted(verdict, count), "style": STYLES[verdict], "meaning": words.meaning, "count": count}
        for verdict, words in VERDICTS.items()
        if (count := sum(claim["verdict"] == verdict for claim in claims))
    ]
    groups = {}
    for claim in claims:
        about_epochs = claim["section"] == ABOUT_EPOCHS
        title = f"{claim['label']}, over its epochs" if about_epochs else claim["label"]
        groups.setdefault(title, []).append(_claim(claim))
    judged = sorted({claim["epoch"] for claim in claims if claim["epoch"] and claim["section"] != ABOUT_EPOCHS})
    return Findings(
        decoders=[DECODERS[cell["decoder"]].label for cell in table["rows"][0]["cells"]],
        rows=[_row(row) for row in table["rows"]],
        agreeing=agreement_in_words(table),
        disagreements=[typeset(sentence) for sentence in table["sentences"]],
        counts=counts,
        groups=[{"title": title, "claims": lines} for title, lines in groups.items()],
        epochs=" and ".join(map(str, judged)),
    )


def _row(row: dict) -> dict:
    better = "higher" if row["higher_is_better"] else "lower"
    cells = [
        {
            "label": DECODERS[cell["decoder"]].label, "word": cell["word"] or "–",
            "rank": None if cell["rank"] is None else ordinal(cell["rank"]),
            "value": None if cell["value"] is None else f"{cell['value']:#.3g}".rstrip("."), "first": cell["rank"] == 1,
        }
        for cell in row["cells"]
    ]  # fmt: skip
    return {
        "row": row["row"], "ranked_by": f"{row['title']}, {better} is better", "agreeing": agreement_in_words(row),
        "cells": cells,
    }  # fmt: skip


def _claim(claim: dict) -> dict:
    verdict, beside = claim["verdict"], claim["beside"]
    if beside:
        stand_ins = ", ".join(f"{own} for {named}" for named, own in beside["stand_ins"].items())
        beside = f"At the available epochs, {stand_ins}: {VERDICTS[beside['verdict']].short}."
    missing = claim["needs"].split("; ")
    evidence = [typeset(each) for each in claim["evidence"] if each not in missing]
    return {
        "id": claim["id"], "words": claim["words"], "verdict": VERDICTS[verdict].short, "style": STYLES[verdict],
        "evidence": evidence, "needs": typeset(claim["needs"]), "photos": claim["photos"], "beside": beside or "",
    }  # fmt: skip


def ordinal(number: int) -> str:
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def typeset(words: str) -> str:
    """`words` with minus signs instead of hyphens before numbers."""
    return "".join(
        "−" if char == "-" and words[at + 1 : at + 2].isdigit() and (at == 0 or words[at - 1] in " (") else char
        for at, char in enumerate(words)
    )
