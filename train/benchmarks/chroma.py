"""The gain of edge-aware chroma upsampling at color boundaries, for photos and for networks' colorings.

Photos: their true chroma, downsampled 4 and 8 times and upsampled again. Networks: the coloring by each decoder's
newest epoch at about half the photo's size, upsampled to full size. CIEDE2000 from the true photo, on 8-bit sRGB,
within 4 pixels of true chroma edges and elsewhere; the ratio is the mean of edge-aware over that of bilinear. Gray
photos are left out.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from chromagan.data import load_photos
from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.imaging.chroma import MODES, upsample
from chromagan.imaging.scaling import scaled
from chromagan.measures import metrics
from chromagan.network.decoders import DECODERS
from train.evaluation.intervals import number
from train.evaluation.networks import to_srgb8
from train.evaluation.results_table import markdown_table

FACTORS = 4, 8  # by which the true chroma is downsampled


def small_maps(L: Tensor, ab: Tensor, networks: dict[str, ChromaGAN]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield maps to upsample: a name, ab (1, 2, h, w) and L (1, 1, h, w), in CIELAB units.

    L, ab: of the photo, (1, 1, H, W) and (1, 2, H, W), in CIELAB units.
    """
    for factor in FACTORS:
        size = L.shape[-1] // factor
        yield f"true chroma, {size}×{size}", F.avg_pool2d(ab, factor), F.avg_pool2d(L, factor)
    for decoder, network in networks.items():
        config = network.config
        size = -(-L.shape[-1] // 2 // config.size_multiple) * config.size_multiple  # 128 of 224
        size = size if config.any_size else config.image_size
        half = scaled(L, (size, size))
        yield DECODERS[decoder].label, color.denormalize_ab(network(color.normalize_L(half))), half


@torch.inference_mode()
def measure(images: Tensor, networks: dict[str, ChromaGAN]) -> dict[str, dict[str, np.ndarray]]:
    """By name and mode, mean CIEDE2000 (N, 2) near edges and elsewhere; NaN for photos without such pixels.

    images: uint8 sRGB (N, 3, S, S).
    """
    found: dict[str, dict[str, list]] = {}
    for image in tqdm(images, "chroma", unit=" images", leave=False):
        lab = color.srgb_to_lab(image[None].float() / 255)
        near = metrics.near_edges(metrics.chroma_edges(lab))
        for name, ab, L_low in small_maps(lab[:, :1], lab[:, 1:], networks):
            for mode in MODES:
                whole = to_srgb8(lab[:, :1], upsample(ab, lab[:, :1], L_low, mode))
                means = metrics.boundary_means(metrics.ciede2000(color.srgb_to_lab(whole), lab), near)
                found.setdefault(name, {}).setdefault(mode, []).append([mean.item() for mean in means])
    return {name: {mode: np.array(values) for mode, values in modes.items()} for name, modes in found.items()}


def mean_errors(found: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, list[float | None]]]:
    """By name and mode, the means over photos near edges and elsewhere; None if no photo has such pixels."""
    return {
        name: {mode: [number(v[np.isfinite(v)].mean()) if np.isfinite(v).any() else None for v in values.T]
               for mode, values in modes.items()}
        for name, modes in found.items()
    }  # fmt: skip


def measure_source(source: str, data: str, limit: int) -> dict:
    """The gain of edge-aware chroma for each decoder's newest epoch in a source, on `limit` validation photos.

    Returns {"photos": count, "data": name, "ciede2000": see `mean_errors`}. CheckpointError or DataError if the source
    or the data cannot be used.
    """
    newest = {c.decoder: c for c in sorted(list_checkpoints(source), key=lambda c: c.epoch)}
    networks = {decoder: load_checkpoint(newest[decoder]).eval() for decoder in DECODERS if decoder in newest}
    photos = load_photos(data, "validation", limit=limit)
    return {"photos": len(photos), "data": data, "ciede2000": mean_errors(measure(photos.images, networks))}


def chroma_table(results: dict) -> str:
    """The result of `measure_source` as Markdown: a row for each kind of map, with both modes' means and the ratio."""
    header = ["", "near edges: edge-aware", "bilinear", "ratio", "elsewhere: edge-aware", "bilinear", "ratio"]
    rows = []
    for name, modes in results["ciede2000"].items():
        cells = [name]
        for ours, plain in zip(*(modes[mode] for mode in MODES)):
            missing = ours is None or plain is None
            ratio = f"{ours / plain:.3f}" if plain else "–"  # photos of one flat color may come back exactly
            cells += ["–"] * 3 if missing else [f"{ours:.3f}", f"{plain:.3f}", ratio]
        rows.append(cells)
    about = f"{results['photos']} colored photos of {results['data']} at 224×224, CIEDE2000"
    return f"{about}\n\n{markdown_table(header, rows)}"
