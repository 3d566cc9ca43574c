"""Compiled loops over a photo's pixels, and bands of a photo on all cores: the speed-critical parts."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numba
import numpy as np
import torch
from numba.core.caching import FunctionCache

BAND_PIXELS = 1 << 17  # pixels processed at a time: bounds the memory for a large photo
THREAD_PIXELS = 1 << 20  # pixels per thread: with fewer, another thread costs more than it saves


def compiled(function: Callable) -> Callable:
    """`function`, on float32 arrays and numbers, as machine code that releases the GIL.

    Compiled at the first call and cached next to its source, or in the user's cache folder if that is not writable;
    compiled in every process if neither is, or the user has no home folder.
    """
    dispatcher = numba.njit(function, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
    if not (numba.config.CACHE_DIR or os.path.isabs(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~")))):
        return dispatcher  # Numba would make a folder called "~" where the program runs
    with suppress(RuntimeError):  # neither the package nor the user's cache is writable
        dispatcher._cache = _Cache(function)  # what cache=True sets, of Numba's own class
    return dispatcher


class _Cache(FunctionCache):
    """Numba's cache, except that no damaged file and no full disk makes a call fail, and that code is not used with
    other constants than it was compiled with."""

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of any kind: damaged bytes are unpickled
            with suppress(OSError):
                self.flush()  # else the index, if it is what is damaged, could never be added to
            return None

    def save_overload(self, sig, data):
        with suppress(OSError):  # the code is in memory
            super().save_overload(sig, data)

    def _index_key(self, sig, codegen):
        # Numba itself checks the function's own source file, but not those of modules that constants come from.
        return *super()._index_key(sig, codegen), _constants(self._py_func)


def _constants(function: Callable) -> tuple:
    """The numbers in the module of a function: its machine code contains those that it uses."""
    found = []
    for name, value in function.__globals__.items():
        if isinstance(value, np.ndarray):
            found.append((name, value.dtype.str, value.shape, value.tobytes()))
        elif _is_number(value):
            found.append((name, repr(value)))
    return tuple(found)


def _is_number(value) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_number, value))
    return isinstance(value, int | float | np.generic)


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
