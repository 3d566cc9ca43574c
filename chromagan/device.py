"""What a network computes on: the device, the type that it multiplies fastest, torch's threads and its memory."""

import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from chromagan.errors import OptionError


def pick_device(device: str | torch.device) -> torch.device:
    """The torch device; "auto" is the first of CUDA, MPS and CPU. OptionError if it is not available."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).item()  # fails for "meta", which holds no values
        return torch.device(device)
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:  # torch built without CUDA asserts
        others = [name for name in ("cuda", "mps") if getattr(torch, name).is_available()]
        usable = " or ".join(["auto", "cpu", *others])
        raise OptionError(f"device {str(device)!r} is not available: use {usable}") from error


@functools.cache
def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 if `device` multiplies it faster than float32, else float32.

    A CPU with AMX does, several times over. AVX-512's instructions for bfloat16 alone do not tell: some CPUs take twice
    as long with them. So such a CPU, and no other, is timed on a small product, once per process; bfloat16 must save a
    fifth, so that chance does not decide.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type != "cpu":
        return torch.float32
    faster = torch.cpu._init_amx() or (  # whether the CPU has AMX and the kernel permits it
        torch.cpu.get_capabilities().get("avx512_bf16", False)
        and _product_seconds(torch.bfloat16) < 0.8 * _product_seconds(torch.float32)
    )
    return torch.bfloat16 if faster else torch.float32


def _product_seconds(dtype: torch.dtype) -> float:
    """The shortest of several timings of a matrix product on the CPU."""
    matrix = torch.ones(256, 256, dtype=dtype)
    seconds = []
    for _ in range(6):  # the first includes the setup of the kernel
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """In this context, torch computes on `count` threads: for timings and results that do not depend on the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_core_each(count: int) -> Iterator[tuple[int, Callable]]:
    """How many cores work on `count` photos, and a `map` with a thread for each core, in which torch uses that core.

    Two cores on one small photo wait for each other, so each of several photos gets its own core. A single photo stays
    in this thread, with all of torch's.
    """
    threads = torch.get_num_threads()
    cores = min(threads, count)
    if cores < 2:
        yield 1, map
        return
    # The number of threads is set per thread, except in MKL, where it is global: hence the second call.
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield cores, pool.map
        finally:
            torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Make glibc's allocator keep the memory that a forward pass frees for the next one.

    By default it returns the memory to the kernel, and each 4 KB requested again cost a page fault: a third of the time
    of a batch. It keeps up to twice the largest block that it has seen freed, which counts up to 32 MB (mallopt(3),
    M_MMAP_THRESHOLD), so one such block is freed here. It is never written to; other allocators are unaffected.
    """
    torch.empty(31 << 20, dtype=torch.uint8)
