"""How the processes of a script share a machine's cores."""

import os

import torch
from accelerate import Accelerator


def share_cores(accelerator: Accelerator) -> int:
    """The number of cores for this process: an equal share of those available.

    On the CPU this also sets torch's number of threads, which the launcher does not.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))  # set by the launcher on each machine
    share = max(1, cores // here)
    if accelerator.device.type == "cpu":
        torch.set_num_threads(share)
    return share
