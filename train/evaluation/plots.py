"""The report's plots: PNG for Markdown, SVG whose text takes the page's color for HTML."""

import io
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from chromagan.atomic import replacing
from chromagan.hub.measured import interval_of, value_of
from chromagan.measures.catalog import measure_called
from chromagan.network.decoders import DECODERS

plt.rcParams["text.parse_math"] = False  # a decoder's label may hold a dollar sign
INK = "#010203"  # placeholder for the page's text color in SVG
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee")  # Tol's bright: safe for color blindness
COLORS = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(DECODERS)}

CURVES = ("ciede2000_mean", "colorfulness", "cdr", "psnr_mean")  # names in metrics.json


def turning_point(series: list[dict], name: str) -> dict | None:
    """The result of `series` that is best in measure `name`; None if it was not measured, or no value is better."""
    known = [result for result in series if value_of(result, name) is not None]
    return measure_called(name).best(known, lambda result: value_of(result, name))


def panel_title(name: str) -> str:
    measure = measure_called(name)
    return f"{measure.heading} ({measure.reading})"


def epochs_plot(results: list[dict], truth: dict):
    """A figure with a panel for each of CURVES and a line with a 95 % band for each decoder, its best epoch ringed."""
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.6), sharex=True)
    for axis, name in zip(axes.flat, CURVES, strict=True):
        for decoder in dict.fromkeys(result["decoder"] for result in results):
            series = [r for r in results if r["decoder"] == decoder and value_of(r, name) is not None]
            epochs = [r["epoch"] for r in series]
            axis.plot(epochs, [value_of(r, name) for r in series], "o-", ms=4, lw=1.8, color=COLORS[decoder],
                      label=DECODERS[decoder].label)  # fmt: skip
            bands = [(r["epoch"], *ends) for r in series if (ends := interval_of(r, name))]
            if bands:
                axis.fill_between(*zip(*bands), color=COLORS[decoder], alpha=0.13, lw=0)
            best = turning_point(series, name)
            if best and len(series) > 1:
                place = best["epoch"], value_of(best, name)
                axis.plot(*place, "o", ms=11, mfc="none", mew=1.6, color=COLORS[decoder])
        if name == "colorfulness" and value_of(truth, name) is not None:
            axis.axhline(value_of(truth, name), color=INK, lw=1, ls="--")
            axis.annotate("truth", (0, value_of(truth, name)), fontsize=8, va="bottom", color=INK)
        axis.set_title(panel_title(name), fontsize=10, loc="left", color=INK)
    for axis in axes[1]:
        axis.set_xlabel("epoch", color=INK)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncol=5, loc="lower center", frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.045, 1, 1))
    return figure


def cost_plot(results: list[dict], cost: dict):
    """A figure of CIEDE2000 against milliseconds, each decoder at the epoch of its lowest CIEDE2000; the area of a
    point grows with the decoder's parameters."""
    figure, axis = plt.subplots(figsize=(9.5, 4.2))
    for decoder in dict.fromkeys(result["decoder"] for result in results):
        own = cost["decoders"].get(decoder, {}).get("decoder")
        best = turning_point([r for r in results if r["decoder"] == decoder], "ciede2000_mean")
        if not own or best is None:
            continue
        place, color = (own["ms"], value_of(best, "ciede2000_mean")), COLORS[decoder]
        if ends := interval_of(best, "ciede2000_mean"):
            axis.plot([own["ms"]] * 2, ends, color=color, lw=1.5)
        axis.scatter(*place, s=30 + own["parameters"] / 900, color=color, alpha=0.75, lw=0)
        axis.annotate(DECODERS[decoder].label, place, xytext=(12, 6), textcoords="offset points", fontsize=9, color=INK)
    axis.margins(0.18)
    axis.set_xlim(left=0)
    axis.set_xlabel("ms for the decoder, one photo (area of a point: parameters)", color=INK)
    axis.set_title(panel_title("ciede2000_mean"), fontsize=10, loc="left", color=INK)
    figure.tight_layout()
    return figure


def save(figure, path: Path) -> str:
    """Write the figure as PNG, on white, to `path`; return it as SVG for the page."""
    for axis in figure.axes:
        axis.grid(alpha=0.2, color=INK)
        axis.tick_params(colors=INK, labelsize=9)
        for name, spine in axis.spines.items():
            spine.set_color(INK)
            spine.set_visible(name in ("left", "bottom"))
        axis.patch.set_alpha(0)
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_color() in ("black", "k"):
            text.set_color(INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=130)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Inline pictures share the page's ids, so theirs get a prefix; without width and height they scale with the page.
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{path.stem}-", svg)
    return re.sub(
        r'<svg ([^>]*?)width="[^"]+"', r"<svg \1", re.sub(r'(<svg [^>]*?)height="[^"]+" ', r"\1", svg), count=1
    )
