"""What a metrics.json says, in whatever form it is."""

import pytest

from chromagan.hub.files import JSONError, read_json
from chromagan.hub.measured import NO_SPLIT, interval_of, measures_of, photos_of, place_of, refined_table, value_of

METRICS = {
    "all": {"psnr_mean": {"value": 21.5, "low": None, "high": None}},
    "colored": {"psnr_mean": {"value": 20.0, "low": 19.0, "high": 21.0}, "colorfulness_ratio": 0.8, "ssim": None},
}


def test_a_measure_is_a_number_alone_or_with_an_interval():
    assert value_of(METRICS, "psnr_mean") == 20 and value_of(METRICS, "psnr_mean", "all") == 21.5
    assert value_of(METRICS, "colorfulness_ratio") == 0.8
    assert interval_of(METRICS, "psnr_mean") == (19, 21)
    assert interval_of(METRICS, "psnr_mean", "all") is None and interval_of(METRICS, "colorfulness_ratio") is None


@pytest.mark.parametrize(
    "metrics",
    [
        METRICS,
        {},
        {"colored": None},
        {"colored": [1]},
        {"colored": {"ssim": {}}},
        {"colored": {"ssim": {"value": "1"}}},
        {"colored": {"ssim": float("nan")}},
        {"colored": {"ssim": {"value": float("inf")}}},
        {"colored": {"ssim": 10**400}},
    ],
)
def test_what_is_not_there_was_not_measured(metrics):
    assert value_of(metrics, "ssim") is None and interval_of(metrics, "ssim") is None
    assert isinstance(measures_of(metrics), dict)


@pytest.mark.parametrize(
    "metrics, photos, place",
    [
        ({"split": "test"}, "test photos", "the test split of birds"),
        ({"split": NO_SPLIT}, "photos (no validation split)", "birds (no validation split)"),
        ({"split": ["test"]}, "photos", "birds"),
        ({}, "photos", "birds"),
    ],
)
def test_what_was_measured_in_words(metrics, photos, place):
    assert photos_of(metrics) == photos and place_of(metrics, "birds") == place


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\udcff", ""])
def test_what_cannot_be_read_is_told(tmp_path, text):
    (tmp_path / "metrics.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(JSONError, match="metrics.json is not JSON"):
        read_json(tmp_path / "metrics.json")


def test_of_refined_colorings_those_measures_are_shown_that_any_row_has():
    change = {"value": -0.2, "low": -0.3, "high": -0.1}
    first = {"before": {"ciede2000_mean": 10.0}, "difference": {"ciede2000_mean": change}}
    second = {"before": {"ciede2000_mean": 10.0, "spots": 2.5}, "difference": {"ciede2000_mean": None, "spots": 0.125}}
    headings, cells = refined_table([first, second])
    assert headings == ["CIEDE2000", "small spots"]
    assert cells == [["10.00, -0.20 (-0.30 to -0.10)", "–"], ["–", "2.50, +0.12"]]
    assert refined_table([]) == ([], [])
