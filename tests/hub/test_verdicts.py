"""The words for the verdicts of claims.json."""

from chromagan.hub.verdicts import agreement_in_words, counts_in_words


def test_counts_are_told_in_one_order_and_in_number():
    counts = {"undecided": 4, "contradicted": 13, "stands": 6, "cannot be told": 9}
    assert counts_in_words(counts) == "6 hold, 13 are contradicted, 4 are undecided, 9 cannot be tested"
    assert counts_in_words({"stands": 1, "contradicted": 1, "undecided": 0}) == "1 holds, 1 is contradicted"
    assert counts_in_words({}) == ""


def test_what_neither_agrees_nor_disagrees_is_undecided():
    agreement = agreement_in_words({"pairs": 8, "agreeing": 4, "disagreeing": 1})
    assert agreement == "4 of 8 pairs agree with the paper's order, 1 disagrees, 3 are undecided"
    agreement = agreement_in_words({"pairs": 3, "agreeing": 1, "disagreeing": 2})
    assert agreement == "1 of 3 pairs agrees with the paper's order, 2 disagree"
