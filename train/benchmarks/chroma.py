"""What edge-aware upsampling of chroma brings at the boundaries of colors, on photos and on what networks paint.

    python train/benchmarks/chroma.py --data frgfm/imagenette              # 400 validation photos, shipped checkpoints

Photos: their true chroma, reduced 4 and 8 times and brought back. Networks: what each decoder's newest epoch paints of
the photo at half of its size, brought to the whole. CIEDE2000 from the true photo, on 8-bit sRGB, within 4 pixels of
true chroma edges and elsewhere; the ratio of means is that of edge-aware to bilinear. Gray photos are left out.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone runs without being installed

from chromagan.data import DataError, load_photos
from chromagan.hub.checkpoints import CheckpointError, list_checkpoints, load_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.imaging.chroma import MODES, upsample
from chromagan.measures import metrics
from chromagan.network.decoders import DECODERS
from train.evaluation.measuring import to_srgb8

SOURCE = Path(__file__).resolve().parents[2] / "checkpoints"
FACTORS = 4, 8  # by which the true chroma is reduced


def small_maps(L: Tensor, ab: Tensor, networks: dict[str, ChromaGAN]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What is to be brought up, by name: ab (1, 2, h, w), and L (1, 1, h, w) of that size."""
    for factor in FACTORS:
        size = L.shape[-1] // factor
        yield f"true chroma, {size}×{size}", F.avg_pool2d(ab, factor), F.avg_pool2d(L, factor)
    half = F.avg_pool2d(L, 2)
    for decoder, network in networks.items():
        yield DECODERS[decoder].label, color.denormalize_ab(network(color.normalize_L(half))), half


@torch.inference_mode()
def measure(images: Tensor, networks: dict[str, ChromaGAN]) -> dict[str, dict[str, np.ndarray]]:
    """images: uint8 sRGB (N, 3, S, S) -> by name and mode, CIEDE2000 (N, 2) near edges and elsewhere; NaN where a
    photo has no pixel of that kind."""
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


def markdown(found: dict[str, dict[str, np.ndarray]]) -> str:
    """A table: a row for each kind of map; the mean of each mode and their ratio, near edges and elsewhere."""
    lines = ["| | near edges: edge-aware | bilinear | ratio | elsewhere: edge-aware | bilinear | ratio |",
             "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for name, modes in found.items():
        cells = []
        for ours, plain in zip(*(np.nanmean(modes[mode], axis=0) for mode in MODES)):
            cells += [f"{ours:.3f}", f"{plain:.3f}", f"{ours / plain:.3f}"]
        lines.append(" | ".join(["| " + name, *cells]) + " |")
    return "\n".join(lines)


def main(args: argparse.Namespace) -> int:
    try:
        checkpoints = list_checkpoints(args.source)
        newest = {c.decoder: c for c in sorted(checkpoints, key=lambda c: c.epoch)}
        networks = {decoder: load_checkpoint(newest[decoder]).eval() for decoder in DECODERS if decoder in newest}
        photos = load_photos(args.data, "validation", limit=args.limit)
    except (CheckpointError, DataError) as error:
        print(f"benchmark_chroma: {error}", file=sys.stderr)
        return 1
    print(f"{len(photos)} colored photos of {args.data} (validation) at 224×224\n")
    print(markdown(measure(photos.images, networks)))
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="Hub dataset id, folder of Parquet files, or folder of images")
    parser.add_argument("--source", default=str(SOURCE), help="folder of checkpoints or Hub prefix (those shipped)")
    parser.add_argument("--limit", type=int, default=400, metavar="N", help="photos, spread over the split (400)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(parse_args()))
