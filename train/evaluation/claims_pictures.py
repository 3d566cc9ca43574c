"""The photos that most support and most contradict a claim, with the place marked: figures/claim-*.png."""

from pathlib import Path

import numpy as np
import torch

from chromagan.measures.error_maps import outlined, to_tensor
from chromagan.measures.patches import false_red
from chromagan.measures.transitions import border_mask
from train.evaluation.judging import Verdict
from train.evaluation.networks import TRUTH, Entry
from train.evaluation.pictures import Painter, grid, save_picture
from train.evaluation.pixel_measures import Coloring, Truth

WORST = 0.9  # for measures of the difference from the truth, places above this quantile of CIEDE2000 are marked


def draw_claims(photos, verdicts: list[Verdict], entries: list[Entry], folder: Path, device: torch.device) -> dict:
    """Draw claim-<id>.png for each verdict that rests on photos. Returns {id: file name}.

    One row shows the photo that supports the claim most, another the one that contradicts it most: the truth, the
    coloring, and the coloring with the measured place marked. Claims about missing epochs are shown at their
    stand-ins. photos[index]: uint8 sRGB (3, S, S). Figures of an earlier evaluation are deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("claim-*.png"):
        earlier.unlink()
    by_name = {(entry.decoder, entry.epoch): entry for entry in entries}
    shown = {}  # claim's id -> (verdict, entry, rows)
    wanted = {entry: set() for entry in entries}
    for verdict in verdicts:
        found = verdict.instead or verdict
        rows = {"supports it": found.shows, "contradicts it": found.contradicts}
        rows = {name: index for name, index in rows.items() if index is not None}
        entry = by_name.get((found.claim.subject, found.epoch))
        if rows and entry:
            shown[verdict.claim.id] = found, entry, rows
            wanted[entry] |= set(rows.values())
    if not shown:
        return {}
    used = [entry for entry in entries if wanted[entry]]
    paint = Painter(photos, used, wanted, device)
    files = {}
    for name, (found, entry, rows) in shown.items():
        cells = []
        for index in rows.values():
            picture = paint(entry, index)
            place = place_of(found.pictured, Truth(photos[index], torch.device("cpu")), picture)
            cells.append([paint(TRUTH, index), picture, outlined(picture, place)])
        sheet = grid(cells, ["truth", f"{entry.decoder}, epoch {entry.epoch}", "measured here"], list(rows))
        files[name] = f"claim-{name}.png"
        save_picture(sheet, folder / files[name])
    return files


def place_of(measure: str, truth: Truth, picture: np.ndarray) -> np.ndarray:
    """Mask (H, W) of the pixels of a coloring, 8-bit sRGB (H, W, 3), that a measure looks at or found; all True for
    measures of the whole picture."""
    coloring = Coloring(to_tensor(picture), truth)
    height, width = picture.shape[:2]
    groups = truth.groups.places(coloring.lab)
    if measure in groups:
        return groups[measure][0].numpy()
    if measure == "false_red":
        return false_red(coloring.lab, truth.lab)[0].numpy()
    if measure == "spots":
        return truth.spots.outlined(coloring.lab[0])
    if measure.startswith("border_"):
        return border_mask(height, width).numpy()
    if measure.startswith("edge_") or measure in ("ciede2000_near", "cdr"):
        return truth.near[0].numpy()
    if measure.startswith("ciede2000"):
        difference = coloring.difference[0].numpy()
        return difference > np.quantile(difference, WORST)
    return np.ones((height, width), bool)
