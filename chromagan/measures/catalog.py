"""What people are told of each measure: its name in a sentence and over a column, unit, decimals, and how to read it.

Every table, figure, card and page takes these from here. A measure's name is its column in per_image.parquet; of
those without one, its name in metrics.json or among the costs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    """title: in a sentence. short: over a column, if the title is too long there. unit: "" for ratios, shares, counts.

    decimals: of a printed value. better: "higher", "lower", "zero" (nearest to it), or "" if neither is. meaning: what
    it is, in a phrase. reading: how to read a value, in a few words. needs: what a photo must have for it.
    """

    title: str
    short: str = ""
    unit: str = ""
    decimals: int = 2
    better: str = ""
    meaning: str = ""
    reading: str = ""
    needs: str = "colors"

    @property
    def heading(self) -> str:
        """The name over a column, with the unit."""
        return ", ".join(filter(None, (self.short or self.title, self.unit)))

    @property
    def arrowed(self) -> str:
        """The heading, with an arrow toward better values."""
        return self.heading + {"higher": " ↑", "lower": " ↓"}.get(self.better, "")

    def text(self, value: float, ends: tuple[float, float] | None = None, *, signed: bool = False) -> str:
        """A value as printed, without its unit, and the ends of its interval if there is one: "8.77 (8.51 to 9.02)".

        signed: with a plus sign, for a difference of two.
        """
        form = f"{'+' if signed else ''},.{self.decimals}f"
        return f"{value:{form}}" + (f" ({ends[0]:{form}} to {ends[1]:{form}})" if ends else "")

    def best(self, entries: Iterable[T], value_of: Callable[[T], float] = float) -> T | None:
        """The entry with the best value; None if there are no entries, or no value is better than another."""
        badness = {"higher": lambda value: -value, "lower": float, "zero": abs}.get(self.better)
        return min(entries, key=lambda entry: badness(value_of(entry)), default=None) if badness else None


MEASURES = {
    # The whole picture against the true one.
    "ciede2000": Measure(
        "CIEDE2000", better="lower", meaning="mean color difference from the true photo",
        reading="lower is nearer to the true colors"),
    "ciede2000_p95": Measure(
        "95th percentile of CIEDE2000", "95th pct.", better="lower",
        meaning="CIEDE2000 that 5 % of a photo's pixels exceed"),
    "psnr": Measure(
        "PSNR", unit="dB", better="higher", meaning="peak signal-to-noise ratio; it rewards gray",
        reading="higher is nearer; rewards gray"),
    "psnr_median": Measure(
        "median PSNR", unit="dB", better="higher", meaning="median over the photos of the same"),
    "ssim": Measure("SSIM", decimals=3, better="higher", meaning="structural similarity", reading="1 is equal"),
    "lpips": Measure("LPIPS", decimals=3, better="lower", meaning="learned perceptual image patch similarity"),
    # How much color there is.
    "colorfulness": Measure(
        "colorfulness", "colorful", decimals=1, meaning="Hasler and Süsstrunk's; 0 is gray", reading="0 is gray"),
    "colorfulness_ratio": Measure(
        "share of true colorfulness", meaning="colorfulness of all colorings over that of the true photos",
        reading="1 is as colorful as the true photos"),
    "colorfulness_difference": Measure(
        "colorfulness minus the true photo's", "± colorful", decimals=1, better="zero",
        meaning="colorfulness minus the true photo's; nearest to 0 is best"),
    "mean_chroma": Measure("mean chroma", unit="Lab units", meaning="mean CIELAB chroma"),
    "mean_a": Measure("mean a*", unit="Lab units"),
    "mean_b": Measure("mean b*", unit="Lab units"),
    # Boundaries.
    "ciede2000_near": Measure(
        "CIEDE2000 near edges", "near edges", better="lower",
        meaning="mean CIEDE2000 within 4 pixels of a true chroma edge", needs="chroma edges"),
    "ciede2000_elsewhere": Measure(
        "CIEDE2000 away from edges", "elsewhere", better="lower", meaning="mean CIEDE2000 away from those edges"),
    "cdr": Measure(
        "CDR", decimals=3, better="higher",
        meaning="cluster discrepancy ratio: the share of true color separations that are kept",
        reading="higher is better"),
    "edge_gradient_kept": Measure(
        "color gradient kept at edges", decimals=3, better="higher", needs="chroma edges"),
    "edge_width": Measure("width of transitions", unit="pixels", needs="chroma edges and colors at them"),
    "border_excess": Measure("CIEDE2000 in the border band less inside"),
    "border_stripes": Measure("stripes along the border", unit="Lab units"),
    # Groups of colors.
    "chroma_kept_vivid": Measure("chroma kept on vivid pixels", needs="vivid pixels"),
    "chroma_kept_dark": Measure("chroma kept in shadow", needs="colored pixels in shadow"),
    "weak_to_gray": Measure("share of weak colors come out gray", needs="weakly colored pixels"),
    "light_a": Measure("a* of light neutral pixels", unit="Lab units", needs="light neutral pixels"),
    "light_b": Measure("b* of light neutral pixels", unit="Lab units", needs="light neutral pixels"),
    "ground_to_green": Measure(
        "share of brown to yellow ground come out green", "ground to green", decimals=3, needs="ground and grass"),
    "ground_kept": Measure(
        "share of brown to yellow ground kept so", "ground kept", decimals=3, needs="ground and grass"),
    "wrong_blue": Measure("area share of wrong blue", decimals=4),
    "shadow_variation": Measure("variation of color in shadow", unit="Lab units", needs="shadow"),
    "false_red": Measure("area share of false red patches", "false red, share", decimals=4, better="lower"),
    "spots": Measure("small spots in a photo", "small spots", better="lower"),
    # What networks see in the colorings.
    "top1": Measure(
        "top-1", decimals=3, better="higher",
        meaning="share of photos that a classifier names correctly, among 1,000 classes"),
    "top1_of_ten": Measure(
        "top-1 of ten", "of ten", decimals=3, better="higher", meaning="the same among Imagenette's ten classes"),
    "frechet": Measure(
        "Fréchet distance", "Fréchet", decimals=1, better="lower",
        meaning="distance between a classifier's features of colored and of true photos"),
    "FID": Measure("FID", decimals=1, better="lower", meaning="Fréchet inception distance"),
    # Costs.
    "parameters": Measure("parameters", decimals=0, better="lower"),
    "gflops": Measure("GFLOPs", decimals=3, better="lower"),
    "ms": Measure("time", unit="ms", decimals=1, better="lower"),
    "peak_mib": Measure("peak memory", unit="MiB", decimals=1, better="lower"),
}  # fmt: skip


def measure_called(name: str) -> Measure:
    """The facts on a measure, also by its name in metrics.json, where a mean over photos may end in "_mean".

    Of a measure that is not listed, its name is all that is known.
    """
    return MEASURES.get(name) or MEASURES.get(name.removesuffix("_mean")) or Measure(name)
