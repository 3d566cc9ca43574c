"""What stretching the contrast brings to photos that do not reach from black to white.

Photos with known colors are made fainter or darker; the checkpoint that a source recommends colors them as they are,
and with their contrast stretched. Its colors are compared with the true ones at the original lightness, so that every
row has the same truth: mean CIEDE2000, in percent below that of photos left gray, and the share of true colorfulness.
Gray photos are left out.
"""

import torch
from torch import Tensor
from tqdm import tqdm

from chromagan.data import load_photos
from chromagan.hub.checkpoints import find_checkpoint, load_checkpoint
from chromagan.imaging import color
from chromagan.imaging.contrast import stretch_contrast
from chromagan.measures import metrics
from chromagan.network.folding import fold
from train.evaluation.networks import to_srgb8
from train.evaluation.results_table import markdown_table

FADINGS = {"as it is": (0, 100), "a little faded": (10, 90), "faded": (25, 85), "faint": (35, 70), "dark": (0, 50)}
WAYS = {"as it is": lambda L: L, "stretched": stretch_contrast}


def faded(L: Tensor, black: float, white: float) -> Tensor:
    """L in [0, 100] with black and white at the given lightness, in 8 bits as a file has it."""
    gray = color.to_uint8(color.L_to_gray(black + L * (white - black) / 100))
    return color.gray_to_L(gray.float() / 255)


@torch.inference_mode()
def measure(images: Tensor, network: torch.nn.Module) -> dict[str, dict[str, list[float]]]:
    """By fading and way: how many percent CIEDE2000 is below gray's, and the share of true colorfulness.

    images: uint8 sRGB (N, 3, S, S), of a size that the network takes.
    """
    sums = {fading: {way: torch.zeros(2) for way in WAYS} for fading in FADINGS}
    truth = torch.zeros(2)  # the sums of gray's CIEDE2000 and of true colorfulness
    for image in tqdm(images, "contrast", unit=" images", leave=False):
        srgb = image[None].float() / 255
        lab = color.srgb_to_lab(srgb)
        L = lab[:, :1]
        gray, _ = _measured(L, torch.zeros_like(lab[:, 1:]), lab)
        truth += torch.stack([gray, metrics.colorfulness(srgb)[0]])
        for fading, levels in FADINGS.items():
            shown = faded(L, *levels)
            for way, seen in WAYS.items():
                ab = color.denormalize_ab(network(color.normalize_L(seen(shown))).float())
                sums[fading][way] += _measured(L, ab, lab)
    return {
        fading: {way: [100 * (1 - (each / truth)[0].item()), (each / truth)[1].item()] for way, each in ways.items()}
        for fading, ways in sums.items()
    }


def _measured(L: Tensor, ab: Tensor, lab: Tensor) -> Tensor:
    """Mean CIEDE2000 from `lab` and colorfulness of the coloring `ab` of a photo, on 8-bit sRGB."""
    srgb = to_srgb8(L, ab)
    difference = metrics.ciede2000(color.srgb_to_lab(srgb), lab).mean()
    return torch.stack([difference, metrics.colorfulness(srgb)[0]])


def measure_source(source: str, data: str, limit: int) -> dict:
    """The gain for the recommended checkpoint of a source, on `limit` validation photos.

    Returns {"photos": count, "data": name, "checkpoint": name, "fadings": see `measure`}. CheckpointError or DataError
    if the source or the data cannot be used.
    """
    checkpoint = find_checkpoint(source)
    network = fold(load_checkpoint(checkpoint))
    photos = load_photos(data, "validation", limit=limit)
    return {
        "photos": len(photos), "data": data, "checkpoint": str(checkpoint), "fadings": measure(photos.images, network),
    }  # fmt: skip


def contrast_table(results: dict) -> str:
    """The result of `measure_source` as Markdown: a row for each fading."""
    header = ["photo", "black, white (L)", "nearer than gray: as it is", "stretched", "colorful: as it is", "stretched"]
    rows = []
    for fading, ways in results["fadings"].items():
        nearer, colorful = zip(*ways.values())
        black, white = FADINGS[fading]
        rows.append([
            fading, f"{black}, {white}", *(f"{each:.1f} %" for each in nearer), *(f"{each:.2f}" for each in colorful),
        ])  # fmt: skip
    about = f"{results['photos']} colored photos of {results['data']} at 224×224, {results['checkpoint']}"
    return f"{about}\n\n{markdown_table(header, rows)}"
