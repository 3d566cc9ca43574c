"""How the processes of a script share a machine's cores, and what of the launcher's settings is refused."""

import os

import torch
from accelerate import Accelerator
from accelerate.utils import DynamoBackend

from train.training.watching import TrainingError


def check_environment() -> None:
    """TrainingError if the environment names a process among several, but not all that a launcher sets: it is left over
    from something else, and the process would not find the others."""
    several = os.environ.get("LOCAL_RANK", "-1") != "-1" or os.environ.get("WORLD_SIZE", "") not in ("", "1")
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR") if not os.environ.get(name)]
    if several and missing:
        raise TrainingError(
            f"LOCAL_RANK or WORLD_SIZE is in the environment, but not {', '.join(missing)}: unset LOCAL_RANK, RANK and "
            "WORLD_SIZE, or start with accelerate launch"
        )


def check_launcher(accelerator: Accelerator) -> None:
    """TrainingError for settings of `accelerate launch` or `accelerate config` that would change the steps."""
    if accelerator.gradient_accumulation_steps != 1:
        raise TrainingError(
            f"accelerate is set to accumulate gradients over {accelerator.gradient_accumulation_steps} steps; every "
            "batch is a step here, so set it to 1, and give --batch-size"
        )
    if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
        raise TrainingError("accelerate is set to compile with dynamo: set it to no, and give train.py --compile")


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
