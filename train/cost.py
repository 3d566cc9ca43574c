"""What a decoder costs: parameters, arithmetic, time and memory, measured here, one photo at a time."""

import platform
import statistics
import time
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from chromagan.checkpoints import load_checkpoint
from chromagan.decoders import FEATURE_CHANNELS, FEATURE_STRIDE

REPEATS = 15


class LiveMemory(TorchDispatchMode):
    """The most bytes that tensors made inside it held at one time."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, (tuple, list)) else (output,):
            if not isinstance(tensor, torch.Tensor) or (key := tensor.untyped_storage()._cdata) in self.seen:
                continue
            size = tensor.untyped_storage().nbytes()
            self.seen.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(tensor, self._free, key, size)
        return output

    def _free(self, key: int, size: int) -> None:
        self.live -= size
        self.seen.discard(key)


@torch.inference_mode()
def network_cost(network: torch.nn.Module, sample: torch.Tensor) -> dict:
    """parameters, gflops (multiply and add are two), ms (median), peak_mib (of activations) of one forward."""
    network(sample)
    with FlopCounterMode(display=False) as counter:
        network(sample)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        network(sample)
        if sample.device.type == "cuda":
            torch.cuda.synchronize(sample.device)
        times.append(time.perf_counter() - start)
    with LiveMemory() as memory:
        network(sample)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "gflops": round(counter.get_total_flops() / 1e9, 3),
        "ms": round(1000 * statistics.median(times), 2),
        "peak_mib": round(memory.peak / 2**20, 1),
    }


def decoder_costs(entries, size: int, device: torch.device) -> dict:
    """{"machine": ..., "decoders": {name: {"decoder": cost, "network": cost}}} of each decoder's last entry."""
    costs = {}
    for entry in {entry.decoder: entry for entry in entries}.values():
        model = load_checkpoint(entry.checkpoint).to(device, memory_format=torch.channels_last)
        low = size // FEATURE_STRIDE
        features = torch.rand(1, FEATURE_CHANNELS, low, low, device=device).to(memory_format=torch.channels_last)
        L = torch.rand(1, 1, size, size, device=device) * 2 - 1
        costs[entry.decoder] = {"decoder": network_cost(model.decoder, features), "network": network_cost(model, L)}
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return {"machine": f"{machine}, float32, one photo of {size}x{size}", "decoders": costs}
