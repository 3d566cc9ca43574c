"""The HTML of the demo's page: templates/ filled with comparisons, the grid, curves, tables and text.

External input (file names, a source's name) is escaped by the templates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chromagan.demo.paper import read_findings
from chromagan.demo.photo_report import REFERENCES, Report
from chromagan.demo.refining import ACTION_COLORS
from chromagan.demo.source import CheckpointSource, epoch_label, label_of, measured, measured_on, trained_on
from chromagan.demo.visible import VISIBLE
from chromagan.hub.checkpoints import Checkpoint, recommended_of_each
from chromagan.hub.measured import number_of, photos_of
from chromagan.measures.catalog import Measure, measure_called
from chromagan.measures.error_maps import BOTH_EDGES, FOUND_EDGE, FULL_SCALE, HEAT, TRUE_EDGE
from chromagan.network.decoders import DECODERS

CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
ICON = Path(__file__).with_name("icon.png")
DESCRIPTION = "Turn a black-and-white photo into color: five decoders of ChromaGAN, at every epoch of their training."
# Gradio rewrites page.css, and leaves these out.
CONTAINERS = """.compare { container-type: size; }
@container (max-width: 170px) { .tag { display: none !important; } }
@container (max-height: 90px) { .compare .full { display: none !important; } }"""
HEAD = f'<meta name="description" content="{DESCRIPTION}"><style>{CONTAINERS}</style><script>{SCRIPT}</script>'
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def rendered(template: str, **values) -> str:
    return TEMPLATES.get_template(f"{template}.html").render(values)


@dataclass(frozen=True)
class Picture:
    """A picture on the page."""

    path: Path
    label: str  # short, drawn over the picture
    alt: str
    width: int
    height: int

    @property
    def url(self) -> str:
        # Relative: the page may be served under any path.
        return "gradio_api/file=" + quote(str(self.path))


def header(notice: str) -> str:
    """The page's title and introduction; notice: a message about this server for visitors, "" for none."""
    return rendered("header", notice=notice)


def comparison(left: Picture, right: Picture) -> str:
    """Two pictures of the same size on top of each other, with a divider moved by mouse, touch or arrow keys."""
    return rendered("comparison", left=left, right=right)


def invitation(refused: str = "") -> str:
    """What the stage shows without a photo. refused: why the one that was given is not there."""
    return rendered("invitation", refused=refused)


def failure(message: str) -> str:
    """What the stage shows in place of a coloring that failed."""
    return rendered("failure", message=message)


def first_page(pages: int) -> str:
    """A note that only the first of several pages is shown, and how to color all of them."""
    if pages == 1:
        return ""
    return (
        f"<p>The first of the file's {pages} pages. The command line, <code>chromagan colorize</code>, colors all of "
        "them.</p>"
    )


def caption(checkpoint: Checkpoint, networks: str = "", milliseconds: float | None = None) -> str:
    """The decoder and epoch, what it does and costs, and its measures, if there are any.

    networks: the name of the source; empty for the study.
    """
    spec, values, measures = DECODERS[checkpoint.decoder], measured(checkpoint), ""
    numbers = [number_of(values.get(name)) for name in ("images", "ciede2000_mean", "colorfulness_ratio")]
    if None not in numbers:
        images, distance, ratio = numbers
        measures = (
            f"Over {images:,} {photos_of(checkpoint.metrics)} its colors differ from the true ones by "
            f"{measure_called('ciede2000').text(distance)} CIEDE2000 and have {ratio:.0%} of their colorfulness."
        )
    return rendered(
        "caption", spec=spec, summary=sentence(spec.summary), measures=measures, milliseconds=milliseconds,
        moment=", ".join(filter(None, (epoch_label(checkpoint), networks))),
    )  # fmt: skip


def sentence(words: str) -> str:
    return capitalized(words).rstrip(".") + "."


def capitalized(words: str) -> str:
    return words[:1].upper() + words[1:]


def epochs_label(checkpoints: Sequence[Checkpoint]) -> str:
    """Their epoch if they share one, else each decoder's."""
    if len({checkpoint.epoch for checkpoint in checkpoints}) == 1:
        return f"Epoch {checkpoints[0].epoch}"
    return "; ".join(label_of(checkpoint) for checkpoint in checkpoints)


# The matrix


def key_of(checkpoint: Checkpoint) -> str:
    """The key of a checkpoint's cell."""
    return f"{checkpoint.decoder}/{checkpoint.epoch}"


def matrix(source: CheckpointSource, ratio: float, pictures: dict[str, Picture], chosen: Sequence[str] = ()) -> str:
    """A grid of buttons, one per checkpoint, a row for each decoder; cells without a picture yet are placeholders.

    ratio: width to height of a picture. pictures: by the key of the cell. chosen: the keys of the compared cells, left
    one first.
    """
    epochs = source.epochs()
    by_key = {key_of(checkpoint): checkpoint for checkpoint in source.checkpoints}
    sides = dict(zip(reversed(chosen), ("Right", "Left")))  # a cell compared with itself is marked left

    def cell(key: str) -> dict | None:
        if key not in by_key:
            return None
        return {"key": key, "label": label_of(by_key[key]), "picture": pictures.get(key), "side": sides.get(key)}

    rows = [
        {"label": DECODERS[decoder].label, "cells": [cell(f"{decoder}/{epoch}") for epoch in epochs]}
        for decoder in source.decoders
    ]
    done = sum(key in pictures for key in by_key)
    return rendered("matrix", epochs=epochs, rows=rows, ratio=ratio, done=done, count=len(by_key))


# The epochs


def epochs_view(
    frames: list[tuple[Checkpoint, Picture]], curves: dict[str, list[float]], truth: dict[str, float], start: int
) -> str:
    """All epochs of one decoder in one place, a slider to step through them, and curves with the current one marked.

    curves: by name of a measure, a value for each frame. truth: the photo's own values for some of them. start: the
    frame shown first.
    """
    epochs = [checkpoint.epoch for checkpoint, _ in frames]
    pictures = [picture for _, picture in frames]
    charts = [chart(measure_called(name), epochs, values, truth.get(name), start) for name, values in curves.items()]
    return rendered(
        "epochs", pictures=pictures, epochs=epochs, names=[epoch_label(checkpoint) for checkpoint, _ in frames],
        charts=charts, start=start, last=len(frames) - 1, ratio=pictures[-1].width / pictures[-1].height,
    )  # fmt: skip


def chart(measure: Measure, epochs: list[int], values: list[float], truth: float | None, start: int) -> dict:
    """The data for chart.html: a line through `values`, one for each epoch, and the photo's own value if given.

    start: index of the marked epoch. Values that are not finite have no point.
    """
    width, height, left, right, top, bottom = 280, 132, 36, 12, 12, 22
    shown = [value for value in [*values, truth] if value is not None and math.isfinite(value)]
    low, high = min(shown), max(shown)
    room = max((high - low) * 0.12, 0.5)
    low, high = max(0.0, low - room), high + room
    span = max(len(epochs) - 1, 1)

    def x(index: int) -> float:
        return left + (width - left - right) * index / span if len(epochs) > 1 else (left + width - right) / 2

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - value) / (high - low)

    points = [
        {
            "index": index, "epoch": epochs[index], "x": x(index), "y": y(value), "text": measure.text(value),
            "label_x": min(max(x(index), left + 14), width - 16),
            "now": index == start,
        }
        for index, value in enumerate(values) if math.isfinite(value)
    ]  # fmt: skip
    return {
        "title": capitalized(measure.heading),
        "hint": measure.reading + ("" if truth is None else f"; dashed: the photo {measure.text(truth)}"),
        "spoken": ", ".join(f"epoch {e}: {measure.text(v)}" for e, v in zip(epochs, values, strict=True)),
        "width": width, "height": height, "left": left, "right": width - right,
        "levels": [
            {"text": f"{v:.{0 if high - low > 10 else 1}f}", "y": y(v)}  # 7.7 is no 8 where all values are near it
            for v in (low + (high - low) * 0.1, high - (high - low) * 0.1)
        ],
        "ticks": [{"epoch": epoch, "x": x(index)} for index, epoch in enumerate(epochs)],
        "truth": None if truth is None else y(truth),
        "points": points,
    }  # fmt: skip


# The measures


def report_table(report: Report, moment: str) -> str:
    """The report as a table, the best value of each column marked. moment: of training, in words."""
    best = {column: report.best(column) for column in report.columns}

    def cell(name: str, values: dict[str, float], column: str) -> dict:
        value, measure = values.get(column, math.nan), measure_called(column)
        text = number(value, measure.decimals, signed=measure.better == "zero")
        return {"text": text, "best": value == best[column] and name not in REFERENCES}

    rows = [
        {
            "label": DECODERS[name].label if name in DECODERS else name, "reference": name in REFERENCES,
            "cells": [cell(name, values, column) for column in report.columns],
        }
        for name, values in report.rows
    ]  # fmt: skip
    width, height = report.size
    columns = [measure_called(column) for column in report.columns]
    return rendered(
        "measures", colored=report.colored, moment=moment, width=width, height=height, columns=columns, rows=rows
    )


def number(value: float, decimals: int, signed: bool = False) -> str:
    """A measured value as printed; a dash for a missing one."""
    text = "–" if math.isnan(value) else "∞" if math.isinf(value) else f"{value:{'+' if signed else ''}.{decimals}f}"
    return text.replace("-", "−")


def visible_table(report: Report) -> str:
    """Table of the visible faults, a row each with its meaning, a column for each coloring; "" for a gray photo."""
    if not report.visible:
        return ""
    colorings = [(name, values) for name, values in report.rows if name not in REFERENCES]

    def cells(name: str) -> list[dict]:
        measure, best = VISIBLE[name], report.least_fault(name)
        shown = [number(values[name], measure.decimals, measure.relative) for _, values in colorings]
        at_best = None if best is None else number(best, measure.decimals, measure.relative)
        return [
            {"label": DECODERS[decoder].label, "text": text, "best": text == at_best}
            for (decoder, _), text in zip(colorings, shown, strict=True)
        ]

    rows = [
        {
            "measure": measure, "cells": cells(name), "none": all(math.isnan(values[name]) for _, values in colorings),
            "truth": number(report.truth[name], measure.decimals) if math.isnan(measure.best) else "",
        }
        for name, measure in ((name, VISIBLE[name]) for name in report.visible)
    ]  # fmt: skip
    return rendered("visible", decoders=[DECODERS[decoder].label for decoder, _ in colorings], rows=rows)


def place_legend(words: str) -> str:
    """Legend of a picture with a marked place."""
    return rendered("place_legend", words=words)


def heat_legend() -> str:
    """Legend of an error map."""
    colors = [f"rgb({', '.join(f'{c:.0f}' for c in anchor)})" for anchor in HEAT]
    return rendered("heat_legend", colors=colors, full_scale=FULL_SCALE)


def edges_legend() -> str:
    """Legend of a boundary overlay."""
    edges = ((BOTH_EDGES, "kept"), (TRUE_EDGE, "lost: color bled across it"), (FOUND_EDGE, "invented"))
    return rendered("edges_legend", edges=edges)


def action_legend(shares: list[tuple[str, float]]) -> str:
    """Legend of a map of actions, with the share of the pixels that took each."""
    return rendered("action_legend", actions=[(name, share, ACTION_COLORS[name]) for name, share in shares])


def classes_table(rows: list[tuple[str, list[tuple[str, float]]]] | None) -> str:
    """What the teacher sees in each version of the photo; None if its weights are not installed.

    rows: the name of a version and its most likely classes with their probabilities.
    """
    return rendered("classes", rows=rows)


# What the project is


MEASURED = ("ciede2000_mean", "ciede2000_p95", "psnr_mean", "colorfulness")  # names in metrics.json


def about(source: CheckpointSource, milliseconds: dict[str, float], general: CheckpointSource | None = None) -> str:
    """The measured table, the paper's words compared with it, and what a user should know before trusting a picture.

    milliseconds: time of each decoder on this machine. general: the networks for photos of any kind next to `source`.
    """
    rows, images, where = [], 0, ""
    for decoder, checkpoint in recommended_of_each(source.checkpoints).items():
        spec, values = DECODERS[decoder], measured(checkpoint)
        if count := number_of(values.get("images")):
            images, where = int(count), measured_on(checkpoint)
        cells = [checkpoint.epoch, f"{spec.num_params:,}"]
        cells.append(f"{milliseconds[decoder]:.1f}" if decoder in milliseconds else "–")
        for name in MEASURED:
            value = number_of(values.get(name))
            cells.append("–" if value is None else measure_called(name).text(value))
        rows.append({"label": spec.label, "summary": sentence(spec.summary), "cells": cells})
    networks = {"The study's networks": source} | ({"Those for photos of any kind": general} if general else {})
    trained = [(name, data) for name, each in networks.items() if (data := trained_on(each))]
    return rendered(
        "about", rows=rows, measures=[measure_called(name).heading for name in MEASURED], images=images, where=where,
        trained=trained, findings=read_findings(source.name),
    )  # fmt: skip
