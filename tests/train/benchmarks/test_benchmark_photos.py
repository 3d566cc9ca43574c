from pathlib import Path

import pytest

from train.benchmarks import counting
from train.benchmarks import photos as benchmark_photos
from train.benchmarks.photos import measure, measure_memory, photos_table
from train.benchmarks.training import soak_table

SECONDS = {
    "decode and encode": 0.01, "whole": 0.06, "network": 0.03, "read": 0.008, "render": 0.02, "render bilinear": 0.01,
    "edge-aware filter": 0.013, "list": 0.1, "single": 0.25,
}  # fmt: skip


def test_memory_that_this_system_does_not_tell_is_left_out(monkeypatch):
    """As on a Mac, which has no /proc. JSON has no NaN."""
    for module in (counting, benchmark_photos):
        monkeypatch.setattr(module, "PROCESS_STATUS", Path("/missing/status"))
    assert counting.resident_mib() is None and measure_memory(8, 8) is None
    soaked = soak_table([{"steps": 2, "images_per_second": 1.5, "memory_mib": None}])
    assert soaked.endswith("| 2 | 1.5 | – |")
    results = {"sizes": {"8x8": {"peak memory (MiB)": None}}, "batch gain": 1.5}
    assert "| peak memory (MiB) |  |" in photos_table(results)


def test_every_number_is_there(monkeypatch):
    """Each way is run; how long it took is given here, since a busy machine could turn any order around."""

    def run_once(ways, device, repeats, **options):
        for way in ways.values():
            way()
        return {name: SECONDS[name] for name in ways}

    monkeypatch.setattr(benchmark_photos, "SMALL", 2)
    monkeypatch.setattr(benchmark_photos, "medians", run_once)
    results = measure("cpu", [(480, 320)], repeats=3)
    (numbers,) = results["sizes"].values()
    assert numbers.pop("peak memory (MiB)") != 0
    assert numbers == pytest.approx(
        {f"{name} (ms)": 1000 * SECONDS[name] for name in SECONDS if name not in ("list", "single")}
        | {"whole / codec": 6, "rest / codec": 1.5}
    )
    assert results["batch gain"] == pytest.approx(2.5)
    table = photos_table(results)
    assert "480x320" in table and "| whole / codec | 6 |" in table and "is 2.50 times as fast as one at a time" in table
