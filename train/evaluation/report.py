"""The report on an evaluation: report.md and report.html, from metrics.json, per_image.parquet and figures/.

Its content is a list of blocks (headings, paragraphs, tables, figures), which two templates render as Markdown and as
one self-contained HTML page.
"""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image
from pyarrow import ArrowException, parquet

from chromagan.atomic import replacing
from chromagan.data_sets.splits import DataError
from chromagan.hub.files import METRICS_FILE, read_json
from chromagan.hub.verdicts import VERDICTS, agreement_in_words, counts_in_words
from chromagan.measures.catalog import MEASURES, measure_called
from chromagan.network.decoders import DECODERS
from train.evaluation import plots
from train.evaluation.claims_report import claims_report, quartile_table
from train.evaluation.comparison import LEAST_PHOTOS, Comparison, newest
from train.evaluation.judging import judge
from train.evaluation.paper_table import ROWS, measured_table
from train.evaluation.pictures import FIGURES, FIGURES_FOLDER
from train.evaluation.questions import papers_entries
from train.evaluation.refined import refined_rows
from train.evaluation.rendering import TEMPLATES
from train.evaluation.results import read_comparison
from train.evaluation.results_table import format_measure, measure_of, results_rows

COUNTED = ("No decoders", "One decoder", "Two decoders", "Three decoders", "Four decoders", "Five decoders")
NEEDED = (  # of metrics.json
    "images", "data", "split", "size", "fingerprint", "classifier", "left_out", "damaged", "left_gray", "truth",
    "checkpoints", "cost",
)  # fmt: skip
COSTS = ("parameters", "gflops", "ms", "peak_mib")
Blocks = Iterator[dict]  # of heading, paragraph, table, plot or picture


def heading(text: str) -> dict:
    return {"kind": "heading", "text": text}


def paragraph(text: str) -> dict:
    return {"kind": "paragraph", "text": text}


def table(header: list[str], rows: list[list[str]], left: int = 1) -> dict:
    """left: the number of left-aligned columns, which hold words."""
    return {"kind": "table", "header": header, "rows": rows, "left": left}


def plot(path: Path, svg: str, caption: str, folder: Path) -> dict:
    """A figure from `plots.save`: the page embeds its SVG, Markdown links to the PNG."""
    return {"kind": "plot", "path": path.relative_to(folder).as_posix(), "svg": Markup(svg), "caption": caption}


def picture(path: Path, caption: str, folder: Path) -> dict:
    """A PNG of the folder, which the page embeds as WebP; the PNG has the exact pixels."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "WEBP", quality=88)
        width, height = image.size
    data = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {
        "kind": "picture", "path": path.relative_to(folder).as_posix(), "caption": caption,
        "data": data, "width": width, "height": height,
    }  # fmt: skip


def write_report(folder: Path) -> None:
    """Write report.md and report.html in `folder`, each atomically, from the files that evaluate.py wrote there;
    DataError if those are damaged or missing."""
    if not (folder / METRICS_FILE).exists():  # an evaluation that is cut off leaves none
        raise _unfinished(folder, METRICS_FILE)
    about = read_json(folder / METRICS_FILE)
    blocks = list(report_blocks(folder, about))
    title = report_title(about)
    for name in ("report.md", "report.html"):
        with replacing(folder / name) as part:
            part.write_text(TEMPLATES.get_template(name).render(title=title, blocks=blocks), encoding="utf-8")


def _unfinished(folder: Path, missing: str) -> DataError:
    return DataError(f"{folder} holds no finished evaluation (no {missing}): run train/evaluate.py first")


def report_title(about: dict) -> str:
    count = len({result["decoder"] for result in about["checkpoints"]})
    return f"{COUNTED[count] if count < len(COUNTED) else f'{count} decoders'}, measured"


def report_blocks(folder: Path, about: dict) -> Blocks:
    """All blocks of the report, in order. about: the folder's metrics.json."""
    if missing := [name for name in NEEDED if name not in about]:
        raise DataError(f"{folder / METRICS_FILE} was not written by train/evaluate.py: it lacks {missing[0]!r}")
    try:
        comparison = read_comparison(folder)
    except FileNotFoundError as error:
        raise _unfinished(folder, "per_image.parquet") from error
    except (ArrowException, KeyError) as error:
        raise DataError(f"{folder / 'per_image.parquet'} was not written by train/evaluate.py: {error}") from error
    known = {(result["decoder"], result["epoch"]) for result in about["checkpoints"]}
    if gone := sorted({decoder for decoder, _ in known} - DECODERS.keys()):
        raise DataError(
            f"{folder} has measurements of {', '.join(gone)}, which chromagan/network/decoders.py does not have: put "
            "it back, or run train/evaluate.py again"
        )
    for decoder, epoch in sorted(comparison.columns.keys() - known) if comparison else ():
        raise DataError(
            f"{folder}: {METRICS_FILE} has no {decoder} at epoch {epoch}, which per_image.parquet has: they are of two "
            "evaluations; run train/evaluate.py again"
        )
    yield from introduce(about)
    if comparison:
        if papers_entries(comparison):
            yield from measured_table_1(about, comparison)
        yield from quarters(comparison)
        yield from claims(comparison, folder)
        if len(newest(comparison.columns)) > 1:
            yield from pairwise(comparison)
    yield heading("Every checkpoint")
    yield paragraph("Over the colored photos. PSNR rewards gray: read it together with colorfulness.")
    rows = [about["left_gray"], *about["checkpoints"]]
    yield table(*results_rows(rows))
    yield paragraph("The same over all photos, including gray ones.")
    yield table(*results_rows(rows, "all"))
    if about.get("refined"):
        yield heading("Refined")
        yield paragraph(
            "The same checkpoints' colorings after the refiner's steps, over the colored photos: each measure before, "
            "and its change on the same photos with a 95 % interval."
        )
        yield table(*refined_rows(about["refined"]), left=2)
    yield from curves(about, folder)
    yield from cost(about, folder)
    if comparison:
        yield from classes(folder)
    yield from pictures(folder)


def introduce(about: dict) -> Blocks:
    images, colored = about["images"], about["left_gray"]["colored"]["images"]
    yield paragraph(
        f"{len(about['checkpoints'])} checkpoints on {images:,} photos of {about['data']} ({about['split']}), "
        f"{about['size']}×{about['size']}, 8-bit sRGB. Unless noted, results are over the {colored:,} colored ones. "
        "Intervals are 95 % percentile bootstraps over photos, with the same draws for every checkpoint. "
        f"Fingerprint of the photos: {about['fingerprint']}."
    )
    if about["classifier"]:
        yield paragraph(
            f"Top-1 and the Fréchet distance use {about['classifier']} (ImageNet weights; pooled features). A Fréchet "
            "distance has no interval, since its bootstrap is biased, and it falls with the number of photos: compare "
            "equal N only."
        )
    for reason in about["left_out"]:
        yield paragraph(f"{reason}.")
    for entry in about["damaged"]:
        yield paragraph(f"Left out: {entry['decoder']}, epoch {entry['epoch']}: {entry['reason']}")


def measured_table_1(about: dict, comparison: Comparison) -> Blocks:
    yield heading("Table 1, measured")
    yield paragraph(
        "The paper's words next to numbers with their 95 % intervals; the rank is by the first measure of each table. "
        "Kendall's tau is over the pairs of decoders that the paper rates differently."
    )
    results = {(r["decoder"], r["epoch"]): r["colored"] for r in about["checkpoints"]}
    entries = papers_entries(comparison)
    found = measured_table(comparison)
    for measured in found["rows"]:
        row = ROWS[measured["row"]]
        of = {d: comparison.cost.get(d, {}) if row.cost else results[entry] for d, entry in entries.items()}
        floor = {} if row.cost else about["left_gray"]["colored"]
        used = [name for name in row.shown if any(measure_of(own, name) is not None for own in of.values())]

        def cells(own: dict, used=used) -> list[str]:
            return [format_measure(name, measure_of(own, name), interval=True) for name in used]

        rows = []
        for cell in measured["cells"]:
            epoch = "" if cell["epoch"] is None else f" (epoch {cell['epoch']})"
            rank = "–" if cell["rank"] is None else str(cell["rank"])
            own = cells(of[cell["decoder"]])
            rows.append([DECODERS[cell["decoder"]].label + epoch, cell["word"], rank, *own])
        if floor:
            rows.append(["Left gray", "", "", *cells(floor)])
        headings = [measure_called(name).heading for name in used]
        yield table([measured["row"], "the paper", "rank", *headings], rows, left=2)
        if measured["pairs"]:
            yield paragraph(f"{measured['row']}: {agreement(measured)}")
        for sentence in measured["sentences"]:
            yield paragraph(sentence)
    if found["pairs"]:
        yield paragraph(f"Overall: {agreement(found)}")
    yield paragraph(f"Cost: {about['cost']['machine']}; the decoder alone. Peak memory is of activations, not weights.")


def quarters(comparison: Comparison) -> Blocks:
    yield paragraph("CIEDE2000 over quarters of the photos, from the lowest to the highest in a trait:")
    rows = []
    for row in quartile_table(comparison):
        means = [format_measure("ciede2000", mean) for mean in row["means"]]
        spread = format_measure("ciede2000", row["spread"])
        trait = row["trait"].removeprefix("photo_")
        rows.append([trait, f"{DECODERS[row['decoder']].label} (epoch {row['epoch']})", *means, spread])
    yield table(["trait", "decoder", "lowest", "second", "third", "highest", "spread"], rows, left=2)


def agreement(found: dict) -> str:
    return f"{agreement_in_words(found)} (Kendall's tau {found['tau']:+.2f})."


def claims(comparison: Comparison, folder: Path) -> Blocks:
    found = claims_report(comparison, judge(comparison))
    yield heading("The paper, claim by claim")
    yield paragraph(
        f"Of {len(found['claims'])} claims {counts_in_words(found['counts'])}. A claim holds if every difference that "
        "tests it is on its side with the whole 95 % interval, on the same photos, at the newest epoch that all "
        "decoders share; the paper shows epoch 900. A difference that rests on fewer than "
        f"{LEAST_PHOTOS} photos decides nothing."
    )
    rows = []
    for line in found["claims"]:
        verdict = VERDICTS[line["verdict"]].short
        evidence = "; ".join(line["evidence"])
        if line["beside"]:
            places = ", ".join(f"{own} for {epoch}" for epoch, own in line["beside"]["stand_ins"].items())
            beside = "; ".join(line["beside"]["evidence"])
            evidence += f". Not a verdict: the same comparison at epochs of this source ({places}): "
            evidence += f"{VERDICTS[line['beside']['verdict']].short}: {beside}"
        epoch = "–" if line["epoch"] is None else str(line["epoch"])
        photos = "–" if line["photos"] is None else f"{line['photos']:,}"
        rows.append([line["id"], f"{line['label']}: {line['words']}", verdict, evidence, epoch, photos])
    yield table(["", "the paper says", "verdict", "what was measured (95 %)", "epoch", "photos"], rows, left=4)
    for line in found["claims"]:
        path = folder / FIGURES_FOLDER / f"claim-{line['id']}.png"
        if path.is_file():
            verdict = VERDICTS[line["verdict"]].short
            yield picture(path, f"{line['id']}, {verdict}. {line['label']}: {line['words']}.", folder)


def pairwise(comparison: Comparison) -> Blocks:
    yield heading("Decoders against each other")
    yield paragraph(
        "Row minus column on the same photos, at the newest shared epoch, with its 95 % interval; an asterisk marks "
        f"intervals that exclude zero and rest on {LEAST_PHOTOS} photos or more. Lower is better for "
        "CIEDE2000, higher for CDR."
    )
    entries = newest(comparison.columns)
    for column in ("ciede2000", "cdr", "colorfulness"):
        measure, rows = MEASURES[column], []
        for one, entry in entries.items():
            cells = []
            for other, against in entries.items():
                found = comparison.difference(entry, against, column)
                text = measure.text(found.value, signed=True) + ("*" if found.side else "")
                if not np.isnan(found.low):
                    text += f" ({measure.text(found.low, signed=True)} to {measure.text(found.high, signed=True)})"
                cells.append("" if one == other else "–" if np.isnan(found.value) else text)
            rows.append([one, *cells])
        yield table([measure.heading, *entries], rows)


def curves(about: dict, folder: Path) -> Blocks:
    yield heading("Over the epochs")
    path = folder / FIGURES_FOLDER / "epochs.png"
    svg = plots.save(plots.epochs_plot(about["checkpoints"], about["truth"]), path)
    yield plot(path, svg, "Bands are 95 % intervals; a ring marks a decoder's best epoch, its turning point.", folder)
    rows, judged = [], [name for name in plots.CURVES if measure_called(name).better]
    for decoder in dict.fromkeys(result["decoder"] for result in about["checkpoints"]):
        series = [result for result in about["checkpoints"] if result["decoder"] == decoder]
        best = [plots.turning_point(series, name) for name in judged]
        rows.append([decoder, *("–" if b is None else str(b["epoch"]) for b in best)])
    yield table(["best epoch by", *(measure_called(name).title for name in judged)], rows)


def cost(about: dict, folder: Path) -> Blocks:
    yield heading("Cost against quality")
    path = folder / FIGURES_FOLDER / "cost.png"
    svg = plots.save(plots.cost_plot(about["checkpoints"], about["cost"]), path)
    yield plot(path, svg, f"Each decoder at the epoch of its lowest CIEDE2000. {about['cost']['machine']}.", folder)
    shown = [MEASURES[name] for name in COSTS]
    rows = [
        [f"{decoder}, {part}", *(measure.text(own[name]) for name, measure in zip(COSTS, shown))]
        for decoder, parts in about["cost"]["decoders"].items()
        for part, own in parts.items()
    ]
    yield table(["", *(measure.heading for measure in shown)], rows)


def classes(folder: Path) -> Blocks:
    """Mean CIEDE2000 and colorfulness of each class, by each decoder at the newest epoch that all share."""
    names = ["label", "colored", "decoder", "epoch", "ciede2000", "colorfulness"]
    photos = parquet.read_table(folder / "per_image.parquet", columns=names).to_pylist()
    labels = sorted({row["label"] for row in photos if row["label"] is not None})
    if not labels:
        return
    entries = newest({(row["decoder"], row["epoch"]) for row in photos if row["decoder"] in DECODERS})
    latest = {d: entries[d][1] for d in DECODERS if d in entries}
    sums: dict[tuple, list] = {}
    for row in photos:
        if row["colored"] and (row["decoder"] == "truth" or latest.get(row["decoder"]) == row["epoch"]):
            sums.setdefault((row["label"], row["decoder"]), []).append((row["ciede2000"], row["colorfulness"]))
    yield heading("By class")
    yield paragraph("CIEDE2000 (colorfulness in parentheses), colored photos, newest shared epoch.")
    rows = []
    for label in labels:
        truth = sums.get((label, "truth"), [])
        cells = [str(len(truth)), f"{np.mean([c for _, c in truth]):.1f}" if truth else "–"]
        for decoder in latest:
            own = sums.get((label, decoder))
            cells.append("–" if not own else "{:.2f} ({:.1f})".format(*np.mean(own, axis=0)))
        rows.append([label, *cells])
    yield table(["class", "N", "true colorfulness", *latest], rows)


def pictures(folder: Path) -> Blocks:
    for pattern, (title, caption) in FIGURES.items():
        found = sorted((folder / FIGURES_FOLDER).glob(f"{pattern}.png"))
        if found:
            yield heading(title)
        for path in found:
            yield picture(path, f"{path.stem}. {caption}", folder)
