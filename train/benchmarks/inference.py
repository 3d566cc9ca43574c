"""The cost of coloring by the network alone, at its native size."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from chromagan.hub.model import ChromaGAN
from chromagan.network.config import ModelConfig
from chromagan.network.folding import fold
from train.evaluation.cost import network_costs
from train.evaluation.results_table import markdown_table

BATCH = 16  # images in a batch


def measure_inference(preset: str, decoders: Sequence[str], device: torch.device, repeats: int) -> list[dict]:
    """Speed, arithmetic and memory of each decoder's network with random weights, folded, at its native size, for one
    image and for a batch."""
    networks, parameters = {}, {}
    for decoder in decoders:
        model = ChromaGAN(replace(ModelConfig.preset(preset, decoder), num_classes=0))
        parameters[decoder] = sum(p.numel() for p in model.parameters())
        folded, size = fold(model).to(device, memory_format=torch.channels_last), model.config.image_size
        for images in (1, BATCH):
            networks[decoder, images] = folded, torch.rand(images, 1, size, size, device=device)
    costs = network_costs(networks, repeats)
    return [
        {
            "decoder": decoder,
            "preset": preset,
            "parameters": parameters[decoder],
            "gflop_per_image": costs[decoder, 1]["gflops"],
            "ms_one": costs[decoder, 1]["ms"],
            "images_per_second_of_batch": 1000 * BATCH / costs[decoder, BATCH]["ms"],
            "peak_memory_mib_of_batch": costs[decoder, BATCH]["peak_mib"],
        }
        for decoder in decoders
    ]


def inference_table(rows: list[dict]) -> str:
    """Results of `measure_inference` as Markdown."""
    header = ["inference", "parameters", "GFLOP", "ms, one image", f"images/s of {BATCH}", f"MiB of {BATCH}"]
    cells = [
        [
            f"{row['preset']} {row['decoder']}", f"{row['parameters']:,}", f"{row['gflop_per_image']:.3f}",
            f"{row['ms_one']:.1f}", f"{row['images_per_second_of_batch']:,.1f}",
            f"{row['peak_memory_mib_of_batch']:,.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    return markdown_table(header, cells)
