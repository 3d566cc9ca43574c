"""The facts on the measures: every measure that is shown has them, and they are told apart."""

import math

import pytest

from chromagan.hub.measured import REFINED
from chromagan.hub.model_card import MEASURES as ON_CARDS
from chromagan.measures.catalog import MEASURES, Measure, measure_called
from chromagan.measures.color_groups import TRAITS
from chromagan.measures.colorings import PARTS
from train.evaluation.intervals import MEANS
from train.evaluation.learned_measures import LEARNED_MEASURES
from train.evaluation.plots import CURVES
from train.evaluation.results_table import COLUMNS, FIRST_COLUMNS


def test_every_measure_that_is_taken_or_shown_is_listed():
    taken = {column for part in PARTS.values() for column in part.columns} - set(TRAITS)
    taken |= {measure.column or measure.name for measure in LEARNED_MEASURES}
    assert taken <= set(MEASURES)
    for name in {*MEANS, *COLUMNS, *FIRST_COLUMNS, *REFINED, *ON_CARDS, *CURVES}:
        assert measure_called(name) in MEASURES.values(), name
    assert all(MEASURES[name.removesuffix("_mean")].reading for name in {*CURVES, *ON_CARDS})


def test_no_two_have_the_same_name():
    for names in ([m.title for m in MEASURES.values()], [m.heading for m in MEASURES.values()]):
        assert len(set(names)) == len(names) and "" not in names
    assert {measure.better for measure in MEASURES.values()} <= {"higher", "lower", "zero", ""}


def test_a_measure_is_found_by_its_name_in_metrics_json():
    assert measure_called("psnr_mean") is MEASURES["psnr"] and measure_called("mean_a") is MEASURES["mean_a"]
    assert measure_called("other").title == "other"


def test_a_value_is_printed_with_the_decimals_of_its_measure():
    assert MEASURES["psnr"].heading == "PSNR, dB" and MEASURES["psnr"].arrowed == "PSNR, dB ↑"
    assert MEASURES["colorfulness"].arrowed == "colorful"  # more is not better
    assert MEASURES["parameters"].text(129_762) == "129,762" and MEASURES["cdr"].text(0.5) == "0.500"
    assert MEASURES["ciede2000"].text(8.774, (8.5, 9.0)) == "8.77 (8.50 to 9.00)"
    assert MEASURES["ciede2000"].text(-1, (-1.5, 0.25), signed=True) == "-1.00 (-1.50 to +0.25)"
    assert MEASURES["ciede2000"].text(0.25, signed=True) == "+0.25" and MEASURES["psnr"].text(math.inf) == "inf"


@pytest.mark.parametrize(("better", "best"), [("higher", 2.0), ("lower", -3.0), ("zero", 1.0), ("", None)])
def test_the_best_of_several(better, best):
    measure = Measure("x", better=better)
    assert measure.best([2.0, -3.0, 1.0]) == best and measure.best([]) is None
    assert measure.best(["2", "-3", "1"], lambda text: float(text)) == (None if best is None else f"{best:g}")
