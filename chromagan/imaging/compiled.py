"""Loops over a photo's pixels as machine code, and bands of a photo on all cores: what a large photo waits for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import torch

BAND_PIXELS = 1 << 17  # pixels worked on at a time: bounds the memory of a large photo
THREAD_PIXELS = 1 << 20  # pixels that are worth a thread: one more costs more than it brings where it has fewer


def compiled(function: Callable) -> Callable:
    """`function`, on float32 arrays and numbers, as machine code that lets go of Python's lock.

    Compiled at the first call and kept beside its source, or in the user's cache where that cannot be written to; made
    anew in every process where neither can.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # neither the package nor the user's cache can be written to
        return numba.njit(function, **options)


def each_band(height: int, width: int, work: Callable[[int, int], None]) -> None:
    """`work(top, bottom)` for bands of about BAND_PIXELS, on no more threads than torch has in the calling one."""
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
