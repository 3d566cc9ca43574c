"""The figures that show photos, drawn from the user's copy of the data: PNG files with exactly the measured pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from chromagan.atomic import replacing
from chromagan.data import evenly
from chromagan.hub.checkpoints import load_checkpoint
from chromagan.imaging import color
from chromagan.imaging.contact_sheet import labeled_grid
from chromagan.measures.colorings import Truth
from chromagan.measures.error_maps import edge_overlay, error_map
from chromagan.measures.metrics import GRAY_CHROMA
from chromagan.network.decoders import DECODERS
from train.evaluation.comparison import newest
from train.evaluation.networks import GRAY, TRUTH, Entry, Networks, to_srgb8

EXTREMES = 6  # most and least successful photos shown

FIGURES_FOLDER = "figures"  # of an evaluation
FIGURES = {  # pattern of the files' names: heading, caption
    "figure-*-[a-z]*": ("Figures 2–6: the decoders", "Nine photos next to the truth, at the newest shared epoch."),
    "figure-7-[0-9]": ("Figure 7: the epochs", "Gray, truth, and each decoder (rows) after each epoch (columns)."),
    "boundaries-*": (
        "Boundaries",
        "CIEDE2000 from 0 (dark) to 30 or more (light). Chroma edges: white where truth and coloring agree, pink "
        "where only the truth has one, blue where only the coloring does.",
    ),
    "successes": ("Most successful", "The photos with the lowest CIEDE2000, mean over the decoders."),
    "failures": ("Least successful", "The photos with the highest CIEDE2000, mean over the decoders."),
}


def grid(rows: list[list[np.ndarray | None]], columns: list[str], names: list[str] | None = None) -> Image.Image:
    """A sheet of pictures, uint8 (S, S, 3), with column titles and optional row names; None leaves a cell blank."""
    cells = [[None if cell is None else Image.fromarray(cell) for cell in row] for row in rows]
    return labeled_grid(cells, columns, names)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write `picture` as PNG, atomically."""
    with replacing(path) as part:
        picture.save(part, format="PNG")


class Painter:
    """Colorings of a few photos by every entry; each network is loaded once. Call with an entry and a photo's index."""

    def __init__(self, photos, entries: list[Entry], wanted: dict[Entry, set[int]], device: torch.device):
        self.pictures: dict[tuple[Entry, int], np.ndarray] = {}
        every = sorted(set().union(*wanted.values()))
        truths = {index: Truth(photos[index][None].to(device).float() / 255) for index in every}
        for index, truth in truths.items():
            self._store(TRUTH, index, truth.srgb)
            self._store(GRAY, index, to_srgb8(truth.L, None))
        for entry in entries:
            networks = Networks({entry: load_checkpoint(entry.checkpoint)}, device)
            with torch.inference_mode():
                for index in sorted(wanted[entry]):
                    ((_, (ab,)),) = networks.colorize([truths[index].L])
                    self._store(entry, index, to_srgb8(truths[index].L, ab))

    def _store(self, entry: Entry, index: int, srgb: torch.Tensor) -> None:
        pixels = color.to_uint8(srgb[0]).movedim(0, -1)
        self.pictures[entry, index] = pixels.cpu().numpy()

    def __call__(self, entry: Entry, index: int) -> np.ndarray:
        return self.pictures[entry, index]


def figure_number(decoder: str) -> int:
    """The number of a decoder's figure: 2 to 6 in the paper's order, then from 8 on: its figure 7 shows the epochs."""
    index = list(DECODERS).index(decoder)
    return index + (2 if index < 5 else 3)


def draw_pictures(photos, tables: dict, entries: list[Entry], folder: Path, device: torch.device) -> None:
    """Draw figure-2 ... figure-6 (a decoder each), figure-7 (epochs), boundaries, successes and failures, as PNG.

    Figures of an earlier evaluation are deleted, since its decoders or photos may have been different.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in FIGURES:
        for earlier in folder.glob(f"{pattern}.png"):
            earlier.unlink()
    by_epoch = {(entry.decoder, entry.epoch): entry for entry in entries}
    compared = [by_epoch[each] for each in newest(by_epoch).values()]
    colored = np.flatnonzero(tables[TRUTH]["chroma_truth"] >= GRAY_CHROMA)
    if not len(colored):
        colored = np.arange(len(photos))
    nine = colored[evenly(len(colored), 9)].tolist()
    error = np.mean([tables[entry]["ciede2000"] for entry in compared], axis=0)[colored]
    order = colored[np.argsort(error, kind="stable")]
    extremes = {"successes": order[:EXTREMES].tolist(), "failures": order[::-1][:EXTREMES].tolist()}
    few = nine[:: max(1, len(nine) // 3)][:3]  # photos of figure 7 and the boundary maps
    wanted = {entry: {*few} for entry in entries}
    for entry in compared:
        wanted[entry] |= {*nine, *extremes["successes"], *extremes["failures"]}
    paint = Painter(photos, entries, wanted, device)

    def save(name: str, sheet: Image.Image) -> None:
        save_picture(sheet, folder / f"{name}.png")

    for entry in compared:
        number = figure_number(entry.decoder)
        pairs = [[TRUTH, entry] for _ in range(3)]
        rows = [
            [paint(kind, i) for i, pair in zip(nine[start : start + 3], pairs) for kind in pair]
            for start in range(0, len(nine), 3)
        ]
        save(f"figure-{number}-{entry.decoder}", grid(rows, ["truth", entry.decoder] * 3))

    epochs = sorted({entry.epoch for entry in entries})
    for number, index in enumerate(few, start=1):
        rows = []
        for entry in compared:
            series = [by_epoch.get((entry.decoder, epoch)) for epoch in epochs]
            cells = [paint(known, index) if known else None for known in series]
            rows.append([paint(GRAY, index), paint(TRUTH, index), *cells])
        names = [DECODERS[entry.decoder].label for entry in compared]
        save(f"figure-7-{number}", grid(rows, ["gray", "truth", *(f"epoch {epoch}" for epoch in epochs)], names))

    for number, index in enumerate(few, start=1):
        truth = paint(TRUTH, index)
        shown = {"truth": truth, "gray": paint(GRAY, index)} | {e.decoder: paint(e, index) for e in compared}
        rows = [
            list(shown.values()),
            [error_map(picture, truth) for picture in shown.values()],
            [edge_overlay(picture, truth) for picture in shown.values()],
        ]
        save(f"boundaries-{number}", grid(rows, list(shown), ["", "CIEDE2000", "chroma edges"]))

    for name, indices in extremes.items():
        rows = [[paint(GRAY, i), paint(TRUTH, i), *(paint(entry, i) for entry in compared)] for i in indices]
        save(name, grid(rows, ["gray", "truth", *(entry.decoder for entry in compared)]))
