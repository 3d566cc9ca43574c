"""The cost of coloring by the network alone, at its native size."""

from dataclasses import replace

import torch

from chromagan.hub.model import ChromaGAN
from chromagan.network.config import ModelConfig
from train.benchmarks.counting import Flops, peak_memory
from train.training.timing import medians

BATCH = 16  # images in a batch


@torch.no_grad()  # not inference_mode, in which nothing is counted
def measure_inference(preset: str, decoder: str, device: torch.device, repeats: int) -> dict:
    """Speed, arithmetic and memory of a network at its native size, for one image and for a batch."""
    model = ChromaGAN(replace(ModelConfig.preset(preset, decoder), num_classes=0))
    model = model.eval().to(device, memory_format=torch.channels_last)
    size = model.config.image_size
    one, many = torch.rand(1, 1, size, size, device=device), torch.rand(BATCH, 1, size, size, device=device)
    seconds = medians({"one": lambda: model(one), "many": lambda: model(many)}, device, repeats)
    with Flops() as counted:
        model(one)
    return {
        "decoder": decoder,
        "preset": preset,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_per_image": counted.total / 1e9,
        "ms_one": 1000 * seconds["one"],
        "images_per_second_of_batch": BATCH / seconds["many"],
        "peak_memory_mib_of_batch": peak_memory(lambda: model(many), device),
    }


def inference_table(rows: list[dict]) -> str:
    """Results of `measure_inference` as Markdown."""
    lines = [
        f"| inference | parameters | GFLOP | ms, one image | images/s of {BATCH} | MiB of {BATCH} |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        memory = "–" if row["peak_memory_mib_of_batch"] is None else f"{row['peak_memory_mib_of_batch']:,.0f}"
        lines.append(
            f"| {row['preset']} {row['decoder']} | {row['parameters']:,} | {row['gflop_per_image']:.2f} "
            f"| {row['ms_one']:.1f} | {row['images_per_second_of_batch']:,.1f} | {memory} |"
        )
    return "\n".join(lines)
