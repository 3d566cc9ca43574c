"""Loops as machine code, and bands of a photo on all cores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from chromagan.imaging import compiled
from chromagan.imaging.compiled import BAND_PIXELS, each_band


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
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(compiled.__file__).parents[2])])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr
