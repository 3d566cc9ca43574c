"""The names, in sentences, of the columns that claims rest on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A column's name in a sentence, its unit ("" for ratios and shares), its decimals, and what a photo needs for a
    number."""

    title: str
    unit: str = ""
    decimals: int = 2
    needs: str = "colors"


MEASURES = {
    "ciede2000": Measure("CIEDE2000"),
    "ciede2000_near": Measure("CIEDE2000 near edges", needs="chroma edges"),
    "ciede2000_elsewhere": Measure("CIEDE2000 away from edges"),
    "cdr": Measure("CDR", decimals=4),
    "colorfulness": Measure("colorfulness", decimals=1),
    "mean_chroma": Measure("mean chroma", "Lab units"),
    "chroma_kept_vivid": Measure("chroma kept on vivid pixels", needs="vivid pixels"),
    "chroma_kept_dark": Measure("chroma kept in shadow", needs="colored pixels in shadow"),
    "weak_to_gray": Measure("share of weak colors come out gray", needs="weakly colored pixels"),
    "light_a": Measure("a* of light neutral pixels", "Lab units", needs="light neutral pixels"),
    "light_b": Measure("b* of light neutral pixels", "Lab units", needs="light neutral pixels"),
    "ground_to_green": Measure("share of brown to yellow ground come out green", decimals=3, needs="ground and grass"),
    "ground_kept": Measure("share of brown to yellow ground kept so", decimals=3, needs="ground and grass"),
    "mean_a": Measure("mean a*", "Lab units"),
    "mean_b": Measure("mean b*", "Lab units"),
    "wrong_blue": Measure("area share of wrong blue", decimals=4),
    "shadow_variation": Measure("variation of color in shadow", "Lab units", needs="shadow"),
    "edge_gradient_kept": Measure("color gradient kept at edges", decimals=3, needs="chroma edges"),
    "edge_width": Measure("width of transitions", "pixels", needs="chroma edges and colors at them"),
    "border_excess": Measure("CIEDE2000 in the border band less inside"),
    "border_stripes": Measure("stripes along the border", "Lab units"),
    "false_red": Measure("area share of false red patches", decimals=4),
    "spots": Measure("small spots in a photo"),
    "parameters": Measure("parameters", decimals=0),
    "gflops": Measure("GFLOPs", decimals=3),
}


def measure_called(column: str) -> Measure:
    """The Measure of a column; its title is the column's name if no claim rests on it."""
    return MEASURES.get(column, Measure(column))
