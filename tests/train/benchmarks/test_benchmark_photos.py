from train.benchmarks import photos as benchmark_photos
from train.benchmarks.photos import measure, photos_table


def test_every_number_is_there(monkeypatch):
    monkeypatch.setattr(benchmark_photos, "SMALL", 2)
    results = measure("cpu", [(480, 320)], repeats=3)
    (numbers,) = results["sizes"].values()
    assert all(value > 0 for name, value in numbers.items() if "memory" not in name) and results["batch gain"] > 0
    assert numbers["whole (ms)"] > numbers["network (ms)"] > 0
    table = photos_table(results)
    assert "480x320" in table and "whole / codec" in table and "as one at a time" in table
