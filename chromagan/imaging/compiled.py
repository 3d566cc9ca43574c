"""Compiled loops over a photo's pixels, and bands of a photo on all cores: the speed-critical parts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import torch

BAND_PIXELS = 1 << 17  # pixels processed at a time: bounds the memory for a large photo
THREAD_PIXELS = 1 << 20  # pixels per thread: with fewer, another thread costs more than it saves


def compiled(function: Callable) -> Callable:
    """`function`, on float32 arrays and numbers, as machine code that releases the GIL.

    Compiled at the first call and cached next to its source, or in the user's cache folder if that is not writable;
    compiled in every process if neither is.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # neither the package nor the user's cache is writable
        return numba.njit(function, **options)


def each_band(height: int, width: int, work: Callable[[int, int], None]) -> None:
    """`work(top, bottom)` for bands of about BAND_PIXELS, on at most as many threads as torch uses in this thread."""
    rows = max(1, BAND_PIXELS // width)
    bands = [(top, min(top + rows, height)) for top in range(0, height, rows)]
    threads = min(torch.get_num_threads(), height * width // THREAD_PIXELS)
    if threads < 2:
        for band in bands:
            work(*band)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda band: work(*band), bands):
            pass
