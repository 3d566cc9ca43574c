"""The cost of a decoder: parameters, arithmetic, time and memory, measured on this machine, one photo at a time.

Arithmetic, time and memory are of the network as `Colorizer` runs it, folded; parameters are those that are trained.
"""

import platform
import time
import weakref
from collections.abc import Hashable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from chromagan.hub.checkpoints import load_checkpoint
from chromagan.network.folding import fold
from chromagan.network.layers import FEATURE_CHANNELS, FEATURE_STRIDE

REPEATS = 15


class LiveMemory(TorchDispatchMode):
    """The peak number of bytes held by tensors created inside this context."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.holders: dict[int, set[int]] = {}  # of each storage: the ids of the tensors that share it, as views do

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, (tuple, list)) else (output,):
            if not isinstance(tensor, torch.Tensor):
                continue
            key, size = tensor.untyped_storage()._cdata, tensor.untyped_storage().nbytes()
            holders = self.holders.setdefault(key, set())
            if id(tensor) in holders:  # an operation in place returns a tensor that is there already
                continue
            if not holders:
                self.live += size
                self.peak = max(self.peak, self.live)
            holders.add(id(tensor))
            weakref.finalize(tensor, self._free, key, id(tensor), size)
        return output

    def _free(self, key: int, holder: int, size: int) -> None:
        """Take a tensor that is gone from its storage's holders; with the last one the storage is free."""
        self.holders[key].discard(holder)
        if not self.holders[key]:
            self.live -= size
            del self.holders[key]


@torch.inference_mode()
def network_costs(
    networks: dict[Hashable, tuple[torch.nn.Module, torch.Tensor]], repeats: int = REPEATS
) -> dict[Hashable, dict]:
    """parameters, gflops (multiply and add are two), ms, peak_mib (of activations) of one forward of each network.

    networks: {name: (network, its input)}. They take turns, and ms is the fastest of `repeats`, since other work on the
    machine only makes times longer, and not equally for all.
    """
    times = {name: [] for name in networks}
    for network, sample in networks.values():
        network(sample)
    for _ in range(repeats):
        for name, (network, sample) in networks.items():
            start = time.perf_counter()
            network(sample)
            if sample.device.type == "cuda":
                torch.cuda.synchronize(sample.device)
            times[name].append(time.perf_counter() - start)
    costs = {}
    for name, (network, sample) in networks.items():
        with FlopCounterMode(display=False) as counter:
            network(sample)
        with LiveMemory() as memory:
            network(sample)
        costs[name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "gflops": round(counter.get_total_flops() / 1e9, 3),
            "ms": round(1000 * min(times[name]), 2),
            "peak_mib": round(memory.peak / 2**20, 1),
        }
    return costs


def decoder_costs(entries, size: int, device: torch.device) -> dict:
    """{"machine": ..., "decoders": {name: {"decoder": cost, "network": cost}}} of each decoder's last entry."""
    low = size // FEATURE_STRIDE
    features = torch.rand(1, FEATURE_CHANNELS, low, low, device=device).to(memory_format=torch.channels_last)
    L = torch.rand(1, 1, size, size, device=device) * 2 - 1
    networks, parameters = {}, {}
    for entry in {entry.decoder: entry for entry in entries}.values():
        model = load_checkpoint(entry.checkpoint)
        folded = fold(model).to(device, memory_format=torch.channels_last)
        networks |= {(entry.decoder, "decoder"): (folded.decoder, features), (entry.decoder, "network"): (folded, L)}
        for part, trained in (("decoder", model.decoder), ("network", model)):
            parameters[entry.decoder, part] = sum(p.numel() for p in trained.parameters())
    costs = {}
    for (decoder, part), cost in network_costs(networks).items():
        costs.setdefault(decoder, {})[part] = cost | {"parameters": parameters[decoder, part]}
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return {"machine": f"{machine}, float32, one photo of {size}x{size}, fastest of {REPEATS}", "decoders": costs}
