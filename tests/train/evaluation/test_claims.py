import numpy as np
import pytest

from train.evaluation import claims
from train.evaluation.claims import Comparison, judge, rank_agreement


def study(**means):
    """400 photos, as hard for every decoder alike, with the given means of (CIEDE2000, colorfulness, CDR) by entry."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 3, 400)
    entries = {}
    for name, (error, colorful, cdr) in means.items():
        decoder, epoch = name.rsplit("_", 1)
        noise = [rng.normal(0, 0.2, 400) for _ in range(3)]
        entries[decoder, int(epoch)] = {
            "ciede2000": error + hard + noise[0], "colorfulness": colorful + 5 * noise[1], "cdr": cdr + 0.01 * noise[2]
        }  # fmt: skip
    return Comparison(entries)


def verdicts(comparison):
    return {verdict.claim: verdict.verdict for verdict in judge(comparison)}


def test_differences_are_paired():
    comparison = study(original_1=(10, 20, 0.5), compact_1=(10.2, 20, 0.5))
    difference, low, high = comparison.difference(("original", 1), ("compact", 1), "ciede2000")
    assert difference == pytest.approx(-0.2, abs=0.05)
    assert high - low < 0.1  # unpaired it would be 0.8
    assert low < difference < high < 0


def test_the_papers_claims_on_numbers_that_agree_with_it_and_that_do_not():
    agree = study(
        transposed_600=(8, 40, 0.8), transposed_900=(9, 40, 0.8), depthwise_600=(9, 8, 0.6), depthwise_900=(10, 8, 0.6),
        compact_600=(9.5, 12, 0.7), compact_900=(10.5, 12, 0.7), transposed_300=(8, 40, 0.8),
        transposed_100=(10, 40, 0.8), transposed_0=(14, 5, 0.5),
    )  # fmt: skip
    assert set(verdicts(agree).values()) == {"stands"}
    assert rank_agreement(agree) == {"tau": 1.0, "pairs": 4, "agreeing": 4, "disagreeing": 0}
    other = study(transposed_4=(12, 40, 0.5), depthwise_4=(9, 30, 0.6), compact_4=(9, 25, 0.6))
    found = verdicts(other)
    assert found.pop("300 epochs are the minimum") == found.pop("900 epochs overfit") == "cannot be told"
    assert set(found.values()) == {"contradicted"}
    assert rank_agreement(other)["tau"] == -0.5  # paler than transposed, but not than compact


def test_better_than_an_untrained_decoder_is_no_evidence_for_a_minimum():
    found = verdicts(study(transposed_0=(14, 5, 0.5), transposed_300=(8, 40, 0.8), compact_300=(9, 40, 0.8)))
    assert found["300 epochs are the minimum"] == "cannot be told"
    level = study(transposed_100=(8, 40, 0.8), transposed_300=(8, 40, 0.8))
    assert verdicts(level)["300 epochs are the minimum"] == "undecided"


def test_boundaries_that_gray_keeps_as_well_tell_nothing():
    claim = "Transposed convolutions are best (cleanest at boundaries)"
    comparison = study(transposed_4=(8, 40, 0.6), compact_4=(9, 40, 0.5))
    assert verdicts(comparison)[claim] == "stands"
    own = comparison.columns["transposed", 4]["cdr"]
    for above, verdict in ((-0.05, "stands"), (0, "cannot be told"), (0.05, "cannot be told")):
        assert verdicts(Comparison(comparison.columns, {"cdr": own + above}))[claim] == verdict


def test_one_photo_and_one_decoder_are_no_evidence():
    single = Comparison({("compact", 0): {name: np.array([1.0]) for name in ("ciede2000", "colorfulness", "cdr")}})
    assert set(verdicts(single).values()) == {"cannot be told"}
    assert rank_agreement(single)["tau"] is None


def test_filled_cells_take_part_in_the_rank_agreement(monkeypatch):
    cells = {"transposed": "Excellent", "depthwise": "Poor", "compact": "Poor"}
    monkeypatch.setitem(claims.PAPER_WORDS, "boundary clarity", cells)
    comparison = study(transposed_4=(8, 40, 0.5), depthwise_4=(9, 10, 0.6), compact_4=(9, 25, 0.4))
    assert rank_agreement(comparison) == {"tau": pytest.approx(4 / 6, abs=1e-6), "pairs": 6, "agreeing": 5,
                                          "disagreeing": 1}  # fmt: skip
