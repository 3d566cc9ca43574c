"""The photos that most support and most contradict a claim, with the place marked: figures/claim-*.png."""

from pathlib import Path

import torch

from chromagan.imaging.color import to_tensor
from chromagan.measures.colorings import Coloring, Truth, place_of
from chromagan.measures.error_maps import outlined
from train.evaluation.judging import Verdict
from train.evaluation.networks import TRUTH, Entry
from train.evaluation.pictures import Painter, grid, save_picture


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
            truth, picture = paint(TRUTH, index), paint(entry, index)
            place = place_of(found.pictured, Coloring(to_tensor(picture), Truth(to_tensor(truth))))
            cells.append([truth, picture, outlined(picture, place)])
        sheet = grid(cells, ["truth", f"{entry.decoder}, epoch {entry.epoch}", "measured here"], list(rows))
        files[name] = f"claim-{name}.png"
        save_picture(sheet, folder / files[name])
    return files
