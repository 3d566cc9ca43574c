"""The verdicts in a source's claims.json, and the words that people read for them.

The file's own words stay as they are: files with them are published.
"""

from collections.abc import Mapping
from dataclasses import dataclass

STANDS, CONTRADICTED, UNDECIDED, CANNOT_TELL = "stands", "contradicted", "undecided", "cannot be told"


@dataclass(frozen=True)
class Words:
    """of_one: what a claim with that verdict does; of_several: what several do. short: as a label. meaning: why."""

    short: str
    of_one: str
    of_several: str
    meaning: str


VERDICTS = {
    STANDS: Words("holds", "holds", "hold", "the numbers support it"),
    CONTRADICTED: Words(
        "contradicted", "is contradicted", "are contradicted", "a measurement is on the other side of what it needs"
    ),
    UNDECIDED: Words("undecided", "is undecided", "are undecided", "the intervals reach to both sides"),
    CANNOT_TELL: Words(
        "cannot be tested", "cannot be tested", "cannot be tested", "something needed to test it is missing"
    ),
}


def counted(verdict: str, claims: int) -> str:
    """How many claims have a verdict: "6 hold"."""
    words = VERDICTS[verdict]
    return f"{claims} {words.of_one if claims == 1 else words.of_several}"


def counts_in_words(counts: Mapping[str, int]) -> str:
    """All counts, of those verdicts that any claim has: "6 hold, 13 are contradicted"."""
    return ", ".join(counted(verdict, counts[verdict]) for verdict in VERDICTS if counts.get(verdict))


def agreement_in_words(table: Mapping) -> str:
    """How many pairs of decoders are in the paper's order. table: Table 1 of claims.json, or a row of it."""
    agreeing, disagreeing = table["agreeing"], table["disagreeing"]
    undecided = table["pairs"] - agreeing - disagreeing
    parts = [
        f"{agreeing} of {table['pairs']} pairs {'agrees' if agreeing == 1 else 'agree'} with the paper's order",
        f"{disagreeing} {'disagrees' if disagreeing == 1 else 'disagree'}",
        f"{undecided} {'is' if undecided == 1 else 'are'} undecided",
    ]
    return ", ".join(parts if undecided else parts[:2])
