"""How well photos are colored that are faded, dark, soft or grainy, as old ones are.

Photos with known colors are made so; the checkpoint that a source recommends colors them as they are, and with their
contrast stretched. Its colors are compared with the true ones at the original lightness, so that every row has the same
truth: mean CIEDE2000, in percent below that of photos left gray, with its 95 % interval over photos, and the share of
true colorfulness. Gray photos are left out.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from chromagan.data import load_photos
from chromagan.hub.checkpoints import find_checkpoint, load_checkpoint
from chromagan.imaging import color
from chromagan.imaging.contrast import stretch_contrast
from chromagan.measures import metrics
from chromagan.network.folding import fold
from train.evaluation.intervals import draws
from train.evaluation.networks import to_srgb8
from train.evaluation.results_table import markdown_table
from train.training.degradation import grainy, soft

CLUMPS = 0.7  # pixels: the blur of all grain


class Degradation(NamedTuple):
    """What is done to a photo's lightness, in this order."""

    blur: float = 0  # standard deviation in pixels, at 224
    black: float = 0  # L of black and white
    white: float = 100
    grain: float = 0  # standard deviation in L

    def __str__(self) -> str:
        parts = [f"blur {self.blur:g} px"] if self.blur else []
        parts += [f"L {self.black} to {self.white}"] if (self.black, self.white) != (0, 100) else []
        parts += [f"grain {self.grain:g} L"] if self.grain else []
        return ", ".join(parts) or "nothing"

    def __call__(self, L: Tensor, seed: int) -> Tensor:
        """L (1, 1, H, W) in [0, 100], so degraded, in 8 bits as a file has it. The grain depends on `seed`."""
        L = self.black + soft(L[0], self.blur) * (self.white - self.black) / 100
        if self.grain:
            L = grainy(L, self.grain, CLUMPS, torch.Generator().manual_seed(seed))
        gray = color.to_uint8(color.L_to_gray(L))
        return color.gray_to_L(gray.float() / 255)[None]


DEGRADATIONS = {
    "as it is": Degradation(),
    "a little faded": Degradation(black=10, white=90),
    "faded": Degradation(black=25, white=85),
    "faint": Degradation(black=35, white=70),
    "dark": Degradation(white=50),
    "soft": Degradation(blur=1),
    "very soft": Degradation(blur=2),
    "grainy": Degradation(grain=2),
    "very grainy": Degradation(grain=4),
    "all of it": Degradation(blur=1, black=25, white=85, grain=2),
}
WAYS = ("as it is", "stretched")  # in which the network sees it


@torch.inference_mode()
def measure(images: Tensor, network: torch.nn.Module) -> dict[str, dict[str, list[float | None]]]:
    """By degradation and way: how many percent CIEDE2000 is below gray's, the ends of its interval (None for a single
    photo), and the share of true colorfulness.

    images: uint8 sRGB (N, 3, S, S), of a size that the network takes.
    """
    photos: dict[str, list[Tensor]] = {name: [] for name in DEGRADATIONS}  # each (ways, 2)
    truth: list[Tensor] = []  # gray's CIEDE2000 and true colorfulness
    for seed, image in enumerate(tqdm(images, "degraded", unit=" images", leave=False)):
        srgb = image[None].float() / 255
        lab = color.srgb_to_lab(srgb)
        gray, _ = _measured(torch.zeros_like(lab[:, 1:]), lab)
        truth.append(torch.stack([gray, metrics.colorfulness(srgb)[0]]))
        for name, degrade in DEGRADATIONS.items():
            shown = degrade(lab[:, :1], seed)
            stretched, plain = stretch_contrast(shown), _colored(network, shown, lab)
            both = [plain, plain if stretched is shown else _colored(network, stretched, lab)]
            photos[name].append(torch.stack(both))
    gray, true_colorfulness = torch.stack(truth).double().numpy().T
    found = {}
    for name, own in photos.items():
        differences, colorful = torch.stack(own).double().numpy().T  # (ways, N) each
        found[name] = {
            way: [*_nearer(differences[index], gray), float(colorful[index].sum() / true_colorfulness.sum())]
            for index, way in enumerate(WAYS)
        }
    return found


def _nearer(differences: np.ndarray, gray: np.ndarray) -> list[float | None]:
    """How many percent the mean of `differences` is below that of `gray`, (N,) each, and the ends of its interval, None
    for a single photo."""
    value, counts = 100 * float(1 - differences.sum() / gray.sum()), draws(len(gray))
    if counts is None:
        return [value, None, None]
    ends = np.quantile(1 - (counts @ differences) / (counts @ gray), [0.025, 0.975])
    return [value, *(100 * float(end) for end in ends)]


def _colored(network: torch.nn.Module, seen: Tensor, lab: Tensor) -> Tensor:
    """`_measured` of the network's coloring of a photo of which it sees the lightness `seen`."""
    return _measured(color.denormalize_ab(network(color.normalize_L(seen)).float()), lab)


def _measured(ab: Tensor, lab: Tensor) -> Tensor:
    """Mean CIEDE2000 from `lab` and colorfulness, on 8-bit sRGB, of that photo with the colors `ab`."""
    srgb = to_srgb8(lab[:, :1], ab)
    difference = metrics.ciede2000(color.srgb_to_lab(srgb), lab).mean()
    return torch.stack([difference, metrics.colorfulness(srgb)[0]])


def measure_source(source: str, data: str, limit: int) -> dict:
    """The gain for the recommended checkpoint of a source, on `limit` validation photos.

    Returns {"photos": count, "data": name, "checkpoint": name, "degraded": see `measure`}. CheckpointError or DataError
    if the source or the data cannot be used.
    """
    checkpoint = find_checkpoint(source)
    network = fold(load_checkpoint(checkpoint))
    photos = load_photos(data, "validation", limit=limit)
    return {
        "photos": len(photos), "data": data, "checkpoint": str(checkpoint), "degraded": measure(photos.images, network),
    }  # fmt: skip


def degraded_table(results: dict) -> str:
    """The result of `measure_source` as Markdown: a row for each degradation."""
    header = [
        "photo",
        "what is done to it",
        "nearer than gray: as it is",
        "stretched",
        "colorful: as it is",
        "stretched",
    ]
    rows = []
    for name, ways in results["degraded"].items():
        done = str(DEGRADATIONS[name])
        nearer = [
            f"{value:.1f} %" if low is None else f"{value:.1f} ({low:.1f} to {high:.1f}) %"
            for value, low, high, _ in ways.values()
        ]
        rows.append([name, done, *nearer, *(f"{colorful:.2f}" for *_, colorful in ways.values())])
    about = f"{results['photos']} colored photos of {results['data']} at 224×224, {results['checkpoint']}"
    return f"{about}\n\n{markdown_table(header, rows)}"
