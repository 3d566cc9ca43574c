"""Counting arithmetic in a benchmark, this process's memory, and this machine's speed of matrix products."""

from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from train.training.timing import medians

aten = torch.ops.aten
PROCESS_STATUS = Path("/proc/self/status")  # of the process that reads it; on Linux only


class Flops(TorchDispatchMode):
    """Adds up torch's counts for every operation that runs inside, including second derivatives.

    torch's FlopCounterMode does this for modules, but its hooks fail inside torch.autograd.grad.
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is aten.convolution_backward.default and args[9] > 1:  # torch's own count forgets the groups
            gradient, image, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
            forward = conv_flop_count(image.shape, weight.shape, gradient.shape, transposed=transposed)
            self.total += (wanted[0] + wanted[1]) * forward
        elif function._overloadpacket in flop_registry:
            self.total += flop_registry[function._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def resident_mib() -> float | None:
    """Memory of this process as Linux counts it, in MiB; None on other systems."""
    if not PROCESS_STATUS.exists():
        return None
    status = PROCESS_STATUS.read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def matrix_rate(device: torch.device, precision: str, repeats: int) -> float:
    """GFLOP/s of a large square matrix product, the reference for shares of peak."""
    side = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / medians({"product": lambda: a @ b}, device, repeats)["product"] / 1e9
