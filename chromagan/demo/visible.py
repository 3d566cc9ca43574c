"""Visible faults of a coloring that means over the whole picture hide: what they are, and where they are.

The measures are those of chromagan.measures that judge the paper's claims, in readable units.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chromagan.measures.error_maps import outlined
from chromagan.measures.patches import SPOT
from chromagan.measures.transitions import BAND

OF_THE_PHOTO = math.nan  # as the best value of a measure: the photo's own
DRAWN_SIDE = 900  # pixels of a picture with marked places: a line of one pixel is visible at this size


@dataclass(frozen=True)
class VisibleFault:
    """A measure of one photo, in plain words and units.

    column: of chromagan.measures.colorings, which it is made of: 100 times it if the unit is %, less the photo's own
    value if relative. best: the value of a coloring without the fault, or OF_THE_PHOTO. decimals: fewer than those of
    the column's means over thousands of photos.
    """

    column: str
    label: str
    unit: str
    hint: str
    decimals: int
    best: float
    relative: bool = False

    def of(self, coloring: dict[str, float], photo: dict[str, float]) -> float:
        """Its value for a coloring; the columns of both are what `Truth.measure` returns for PARTS."""
        factor = 100 if self.unit.startswith("%") else 1
        return factor * coloring[self.column] - (photo[self.column] if self.relative else 0)


VISIBLE = {
    "vivid_kept": VisibleFault(
        "chroma_kept_vivid", "Vivid colors kept", "%",
        "Chroma left where the photo is vivid: 100 is true, 0 is gray.", 0, 100),
    "weak_lost": VisibleFault(
        "weak_to_gray", "Weak colors lost", "%",
        "Of the photo's pale colors, the share that came out gray.", 0, 0),
    "dark_kept": VisibleFault(
        "chroma_kept_dark", "Colors kept in the dark", "%",
        "Chroma left where the photo is dark and colored: 100 is true.", 0, 100),
    "red_cast": VisibleFault(
        "light_a", "Red cast on white", "Lab a*",
        "How much redder light neutral areas are than in the photo; below 0 greener.", 1, 0, relative=True),
    "yellow_cast": VisibleFault(
        "light_b", "Yellow cast on white", "Lab b*",
        "How much yellower the same areas are; below 0 bluer.", 1, 0, relative=True),
    "false_red": VisibleFault(
        "false_red", "False red patches", "% of the area",
        "Patches that came out red where the photo is not red.", 2, 0),
    "spots": VisibleFault(
        "spots", "Small spots", "number", "Specks of color that the photo does not have.", 0, 0),
    "border_stripes": VisibleFault(
        "border_stripes", "Stripes at the border", "Lab units",
        "How much color changes from line to line along the picture's edges.", 1, OF_THE_PHOTO),
    "edges_kept": VisibleFault(
        "edge_gradient_kept", "Color steps kept", "%",
        "How steeply color changes at true edges: 100 is true, 0 is no step.", 0, 100),
    "edge_width": VisibleFault(
        "edge_width", "Width of color steps", "pixels",
        "Over how many pixels color changes at true edges: wide ones look blurred.", 1, OF_THE_PHOTO),
}  # fmt: skip
# What can be marked on a coloring: measures that `place_of` finds the places of.
PLACES = {"false_red": "False red", "spots": "Small spots", "border_stripes": "Border band"}
PARTS = ("color groups", "transitions", "border", "patches")  # of chromagan.measures.colorings, which are needed


def visible_faults(coloring: dict[str, float], photo: dict[str, float]) -> dict[str, float]:
    """{name of VISIBLE: value} of a coloring; NaN if the photo lacks what is measured.

    Both are what `Truth.measure` returns for PARTS: of the coloring, and of the photo itself.
    """
    return {name: fault.of(coloring, photo) for name, fault in VISIBLE.items()}


def marked_picture(image: Image.Image, place: np.ndarray) -> Image.Image:
    """A coloring, at most DRAWN_SIDE pixels a side, with a place outlined and the rest dimmed, if there is a place.

    place: bool (H, W), of any size.
    """
    image = image.convert("RGB")
    image.thumbnail((DRAWN_SIDE, DRAWN_SIDE), Image.Resampling.BOX)
    mask = Image.fromarray(place).resize(image.size, Image.Resampling.NEAREST)
    return Image.fromarray(outlined(np.array(image), np.array(mask)))


def words_for(name: str, values: dict[str, float], truth: dict[str, float]) -> str:
    """The legend of a picture with a marked place. values: of the coloring; truth: of the photo itself."""
    if name == "false_red":
        share = values["false_red"]
        what = f"{share:.2f} % of the area" if share else f"No patch of {SPOT} pixels or more"
        return f"{what} comes out red where the photo is not{', outlined' if share else ''}."
    if name == "spots":
        count = int(values["spots"])
        what = "no small spots" if not count else "1 small spot" if count == 1 else f"{count} small spots"
        return f"This coloring has {what} that the photo does not have{', outlined' if count else ''}."
    if math.isnan(values["border_stripes"]):
        return f"The outermost {BAND} pixels, outlined; the photo is too small for stripes to be measured."
    return (
        f"The outermost {BAND} pixels of what the network sees, outlined. Color changes there by "
        f"{values['border_stripes']:.1f} Lab units from line to line; in the photo itself by "
        f"{truth['border_stripes']:.1f}."
    )
