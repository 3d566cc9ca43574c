"""The report on an evaluation: report.md and report.html, from metrics.json, per_image.parquet and figures/.

What it says is a list of blocks (headings, paragraphs, tables, figures), which the two templates write as Markdown and
as one HTML page that holds everything.
"""

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image
from pyarrow import parquet

from chromagan.hub.checkpoints import METRICS_FILE, read_json
from chromagan.network.decoders import DECODERS
from train.evaluation import plots
from train.evaluation.claims import PAPER_WORDS, ROWS, Comparison, judge, newest, rank_agreement, side
from train.evaluation.measuring import GRAY
from train.evaluation.pictures import FIGURES
from train.evaluation.results_table import DECIMALS, markdown_table, measure_of, results_rows, shown, single

TITLE = "Five decoders, measured"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=select_autoescape(),
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
TEMPLATES.filters["markdown_table"] = lambda block: markdown_table(**{k: v for k, v in block.items() if k != "kind"})

Blocks = Iterator[dict]  # of heading, paragraph, table, plot or picture


def heading(text: str) -> dict:
    return {"kind": "heading", "text": text}


def paragraph(text: str) -> dict:
    return {"kind": "paragraph", "text": text}


def table(header: list[str], rows: list[list[str]], left: int = 1) -> dict:
    """left: how many columns hold words, and are aligned to the left."""
    return {"kind": "table", "header": header, "rows": rows, "left": left}


def plot(path: Path, svg: str, caption: str, folder: Path) -> dict:
    """A figure of `plots.save`: the page holds its SVG, Markdown refers to the PNG."""
    return {"kind": "plot", "path": path.relative_to(folder).as_posix(), "svg": Markup(svg), "caption": caption}


def picture(path: Path, caption: str, folder: Path) -> dict:
    """A PNG of the folder, which the page holds as WebP; the PNG beside it has the exact pixels."""
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
    """Write report.md and report.html in `folder`, from what evaluate.py left there; ValueError where that is damaged.

    Each is written whole or not at all.
    """
    blocks = list(report_blocks(folder))
    for name in ("report.md", "report.html"):
        beside = folder / f".{name}.{os.getpid()}.part"
        beside.write_text(TEMPLATES.get_template(name).render(title=TITLE, blocks=blocks), encoding="utf-8")
        os.replace(beside, folder / name)


def report_blocks(folder: Path) -> Blocks:
    """All that the report says, in order."""
    about = read_json(folder / METRICS_FILE)
    columns = colored_columns(folder)
    left_gray = columns.pop((GRAY.decoder, None), None)
    comparison = Comparison(columns, left_gray) if columns else None
    yield from introduce(about)
    if comparison:
        yield from measured_table_1(about, comparison)
        yield from claims(comparison)
        yield from pairwise(comparison)
    yield heading("Every checkpoint")
    yield paragraph("Over the colored photos. PSNR rewards gray: read it beside colorfulness.")
    rows = [about["left_gray"], *about["checkpoints"]]
    yield table(*results_rows(rows))
    yield paragraph("The same over all photos, gray ones counted.")
    yield table(*results_rows(rows, "all"))
    yield from curves(about, folder)
    yield from cost(about, folder)
    if comparison:
        yield from classes(folder)
    yield from pictures(folder)


def introduce(about: dict) -> Blocks:
    images, colored = about["images"], about["left_gray"]["colored"]["images"]
    yield paragraph(
        f"{len(about['checkpoints'])} checkpoints on {images:,} photos of {about['data']} ({about['split']}), "
        f"{about['size']}×{about['size']}, 8-bit sRGB; {colored:,} of them are colored and count in what follows. "
        "Intervals are 95 % percentile bootstraps over photos, the same draws for every checkpoint. "
        f"Photos: fingerprint {about['fingerprint']}."
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


def colored_columns(folder: Path) -> dict:
    """{(decoder, epoch): {column: (N,)}} of left gray and the checkpoints over colored photos, read in streams."""
    parts: dict[tuple, dict[str, list]] = {}
    for batch in parquet.ParquetFile(folder / "per_image.parquet").iter_batches(1 << 14):
        names = [n for n in batch.schema.names if n not in ("label", "decoder", "epoch", "colored", "image")]
        entries = list(zip(batch["decoder"].to_pylist(), batch["epoch"].to_pylist()))
        keep = batch["colored"].to_numpy(zero_copy_only=False)
        values = np.stack([batch[name].to_numpy(zero_copy_only=False).astype(float) for name in names], axis=1)
        for entry in dict.fromkeys(entries):
            if entry[0] in DECODERS or entry[0] == GRAY.decoder:
                rows = values[[other == entry for other in entries] & keep]
                for column, name in enumerate(names):
                    parts.setdefault(entry, {}).setdefault(name, []).append(rows[:, column])
    columns = {k: {name: np.concatenate(v) for name, v in own.items()} for k, own in parts.items()}
    return columns if columns and len(next(iter(columns.values()))["psnr"]) else {}


def measured_table_1(about: dict, comparison: Comparison) -> Blocks:
    yield heading("Table 1, measured")
    entries = newest(comparison.columns)
    results = {(r["decoder"], r["epoch"]): r["colored"] for r in about["checkpoints"]}
    yield paragraph(
        "Each row of the paper's table as numbers with their 95 % intervals; the rank is by the row's first measure. "
        "“not known” marks words of the paper's Table 1 that are not available here: PAPER_WORDS in "
        "train/evaluation/claims.py is where they go, and then they are ranked and compared too."
    )
    for row, measures in ROWS.items():
        costs = {d: about["cost"]["decoders"].get(d, {}).get("decoder", {}) for d in entries}
        of = {d: costs[d] if row == "cost" else results[key] for d, key in entries.items()}
        missing = {name for _, name, _ in measures[1:] if all(measure_of(own, name) is None for own in of.values())}
        measures = [measure for measure in measures if measure[1] not in missing]
        firsts = {d: single(measure_of(own, measures[0][1])) for d, own in of.items()}
        known = sorted((v for v in firsts.values() if v is not None), reverse=measures[0][2])
        rows = []
        for decoder, own in of.items():
            rank = str(known.index(firsts[decoder]) + 1) if firsts[decoder] is not None else "–"
            cells = [shown(measure_of(own, name), DECIMALS.get(name, 2), interval=True) for _, name, _ in measures]
            epoch = "" if row == "cost" else f" (epoch {entries[decoder][1]})"
            word = PAPER_WORDS[row].get(decoder) or "not known"
            rows.append([DECODERS[decoder].label + epoch, rank, word, *cells])
        if row != "cost":
            floor = about["left_gray"]["colored"]
            cells = [shown(measure_of(floor, name), DECIMALS.get(name, 2), interval=True) for _, name, _ in measures]
            rows.append(["Left gray", "", "", *cells])
        yield table([row.capitalize(), "rank", "paper", *(title for title, _, _ in measures)], rows)
    yield paragraph(f"Cost: {about['cost']['machine']}; the decoder alone. Activations held at once, without weights.")
    found = rank_agreement(comparison)
    if found["pairs"]:
        yield paragraph(
            f"Rank agreement with the paper: Kendall's tau {found['tau']:+.2f} over the {found['pairs']} pairs that "
            f"its known claims order ({found['agreeing']} agree, {found['disagreeing']} do not): a partial order, "
            "since the claims compare one decoder with the others and not those among themselves."
        )


def claims(comparison: Comparison) -> Blocks:
    yield heading("What stands of the paper's claims")
    rows = [[v.claim, v.verdict, v.evidence] for v in judge(comparison)]
    yield table(["claim", "verdict", "differences on the same photos (95 %)"], rows, left=3)


def pairwise(comparison: Comparison) -> Blocks:
    yield heading("Decoders against each other")
    yield paragraph(
        "Row minus column on the same photos, at the newest shared epoch, with its 95 % interval; an asterisk marks "
        "intervals that leave out zero. Lower is better for CIEDE2000, higher for CDR."
    )
    entries = newest(comparison.columns)
    for column, title, decimals in (
        ("ciede2000", "CIEDE2000", 2),
        ("cdr", "CDR", 3),
        ("colorfulness", "colorfulness", 1),
    ):
        rows = []
        for one, entry in entries.items():
            cells = []
            for other, against in entries.items():
                d, low, high = comparison.difference(entry, against, column)
                star = "*" if side(low, high) else ""
                text = (
                    f"{d:+.{decimals}f}{star}"
                    if np.isnan(low)
                    else f"{d:+.{decimals}f}{star} ({low:+.{decimals}f} to {high:+.{decimals}f})"
                )
                cells.append("" if one == other else "–" if np.isnan(d) else text)
            rows.append([one, *cells])
        yield table([title, *entries], rows)


def curves(about: dict, folder: Path) -> Blocks:
    yield heading("Over the epochs")
    path = folder / "figures" / "epochs.png"
    svg = plots.save(plots.epochs_plot(about["checkpoints"], about["truth"]), path)
    yield plot(path, svg, "Bands are 95 % intervals; a ring marks a decoder's best epoch, its turning point.", folder)
    rows = []
    for decoder in dict.fromkeys(result["decoder"] for result in about["checkpoints"]):
        series = [result for result in about["checkpoints"] if result["decoder"] == decoder]
        best = [plots.turning_point(series, name, higher) for name, _, higher in plots.CURVES if name != "colorfulness"]
        rows.append([decoder, *("–" if b is None else str(b["epoch"]) for b in best)])
    yield table(["best epoch by", "CIEDE2000", "CDR", "PSNR"], rows)


def cost(about: dict, folder: Path) -> Blocks:
    yield heading("Cost against quality")
    path = folder / "figures" / "cost.png"
    svg = plots.save(plots.cost_plot(about["checkpoints"], about["cost"]), path)
    yield plot(path, svg, f"Newest epochs. {about['cost']['machine']}.", folder)
    rows = [
        [
            f"{decoder}, {part}",
            f"{own['parameters']:,}",
            f"{own['gflops']:.3f}",
            f"{own['ms']:.1f}",
            f"{own['peak_mib']:.1f}",
        ]
        for decoder, parts in about["cost"]["decoders"].items()
        for part, own in parts.items()
    ]
    yield table(["", "parameters", "GFLOPs", "ms", "peak MiB"], rows)


def classes(folder: Path) -> Blocks:
    """Mean CIEDE2000 and colorfulness of each class, by the newest epoch of each decoder."""
    names = ["label", "colored", "decoder", "epoch", "ciede2000", "colorfulness"]
    photos = parquet.read_table(folder / "per_image.parquet", columns=names).to_pylist()
    labels = sorted({row["label"] for row in photos if row["label"] is not None})
    if not labels:
        return
    latest = {}
    for row in photos:
        if row["decoder"] in DECODERS:
            latest[row["decoder"]] = max(latest.get(row["decoder"], 0), row["epoch"])
    latest = {d: latest[d] for d in DECODERS if d in latest}
    sums: dict[tuple, list] = {}
    for row in photos:
        if row["colored"] and (row["decoder"] == "truth" or latest.get(row["decoder"]) == row["epoch"]):
            sums.setdefault((row["label"], row["decoder"]), []).append((row["ciede2000"], row["colorfulness"]))
    yield heading("By class")
    yield paragraph("CIEDE2000 (colorfulness in brackets), colored photos, newest epochs.")
    rows = []
    for label in labels:
        truth = sums.get((label, "truth"), [])
        cells = [str(len(truth)), f"{np.mean([c for _, c in truth]):.1f}" if truth else "–"]
        for decoder in latest:
            own = sums.get((label, decoder))
            cells.append("–" if not own else "{:.2f} ({:.1f})".format(*np.mean(own, axis=0)))
        rows.append([label, *cells])
    yield table(["class", "N", "truth's", *latest], rows)


def pictures(folder: Path) -> Blocks:
    for pattern, (title, caption) in FIGURES.items():
        found = sorted((folder / "figures").glob(f"{pattern}.png"))
        if found:
            yield heading(title)
        for path in found:
            yield picture(path, f"{path.stem}. {caption}", folder)
