"""Loops as machine code, and bands of a photo on all cores."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numba.core.caching import CacheImpl, IndexDataCacheFile

from chromagan.imaging.compiled import BAND_PIXELS, compiled, each_band

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1000, 700), (3, 3 * BAND_PIXELS)])
def test_bands_cover_every_row_once(threads, height, width):
    before, done = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        each_band(height, width, lambda top, bottom: done.append(range(top, bottom)))
    finally:
        torch.set_num_threads(before)
    assert sorted(row for rows in done for row in rows) == list(range(height))
    assert all(len(rows) == 1 or len(rows) * width <= BAND_PIXELS for rows in done)


def test_what_fails_in_a_band_is_raised():
    def fail(top, bottom):
        raise MemoryError

    with pytest.raises(MemoryError):
        each_band(1000, 1000, fail)


def test_compiles_where_nothing_can_be_written(tmp_path):
    """Neither beside the source nor in the user's cache: as in a read-only container."""
    source = tmp_path / "twice.py"
    source.write_text("from chromagan.imaging.compiled import compiled\n\n@compiled\ndef twice(x):\n    return 2 * x\n")
    code = "import numba.core.caching as c; c.CacheImpl._locator_classes = []; import twice; print(twice.twice(21))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr


def test_without_a_home_no_cache_is_made_where_the_program_runs(tmp_path, monkeypatch):
    for variable in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as of a user who has none
    (users,) = (kind for kind in CacheImpl._locator_classes if "UserWide" in kind.__name__)
    monkeypatch.setattr(CacheImpl, "_locator_classes", [users])  # as where the package cannot be written to
    monkeypatch.chdir(tmp_path)
    assert loaded(tmp_path)(21) == 42
    assert [path.name for path in tmp_path.iterdir()] == ["multiply.py"]


def loaded(folder: Path, factor=2, product="FACTOR * x"):
    """A compiled function that multiplies by a constant of another module, as a new process has it."""
    source = folder / "multiply.py"
    if not source.exists():
        source.write_text(f"def times(x):\n    return {product}\n")
    spec = importlib.util.spec_from_file_location("multiply", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.FACTOR = factor
    return compiled(module.times)


def hits(function) -> int:
    return sum(function.stats.cache_hits.values())


def test_code_is_compiled_once(tmp_path):
    for expected in (0, 1):
        times = loaded(tmp_path)
        assert times(21) == 42 and hits(times) == expected


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [b"", b"\x80\x05 damaged"])
def test_a_damaged_cache_is_made_anew(tmp_path, kind, left):
    loaded(tmp_path)(21)
    (file,) = (tmp_path / "__pycache__").glob(f"*.{kind}")
    file.write_bytes(left)
    for expected in (0, 1):
        times = loaded(tmp_path)
        assert times(21) == 42 and hits(times) == expected


def test_a_full_disk_at_the_cache_stops_nothing(tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_open_for_write", full)
    assert loaded(tmp_path)(21) == 42


@pytest.mark.parametrize(
    "product, before, after, expected",
    [
        ("FACTOR * x", 7, 3, 6),
        ("FACTOR * x", 7, 2.5, 5),
        ("FACTOR * x", np.float32(7), np.float32(4), 8),
        ("FACTOR[1] * x", (6, 7), (6, 4), 8),
        ("FACTOR[1] * x", np.array([6, 7]), np.array([6, 4]), 8),
    ],
)
def test_code_is_not_used_with_another_constant(tmp_path, product, before, after, expected):
    """Numba compares the source file of the function alone."""
    assert loaded(tmp_path, before, product)(2) == 14
    assert loaded(tmp_path, after, product)(2) == expected
