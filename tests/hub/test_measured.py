"""What a metrics.json says, in whatever form it is."""

import pytest

from chromagan.hub.measured import interval_of, measures_of, value_of

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
    ],
)
def test_what_is_not_there_was_not_measured(metrics):
    assert value_of(metrics, "ssim") is None and interval_of(metrics, "ssim") is None
    assert isinstance(measures_of(metrics), dict)
