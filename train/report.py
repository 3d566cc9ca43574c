"""The report on an evaluation: report.md and report.html, from metrics.json, per_image.parquet and figures/.

python train/report.py report            # again, from what evaluate.py left in the folder "report"
python train/report.py --readme          # from checkpoints/*/epoch-*/metrics.json: tables in READMEs, model cards
"""

import argparse
import base64
import html
import io
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.hub.checkpoints import METRICS_FILE, Checkpoint, CheckpointError, list_checkpoints, read_json
from chromagan.hub.model_card import model_card
from chromagan.network.decoders import DECODERS
from train.evaluation import plots
from train.evaluation.claims import PAPER_WORDS, ROWS, Comparison, judge, newest, rank_agreement, side
from train.evaluation.learned_measures import Inception
from train.evaluation.measuring import GRAY
from train.evaluation.pictures import FIGURES

ROOT = Path(__file__).resolve().parent.parent
README_MARKS = ("<!-- measured: start -->", "<!-- measured: end -->")
COLUMNS = (  # of the table of results: title, measure, decimals
    ("CIEDE2000", "ciede2000_mean", 2), ("95th pct.", "ciede2000_p95", 2), ("near edges", "ciede2000_near", 2),
    ("elsewhere", "ciede2000_elsewhere", 2), ("CDR", "cdr", 3), ("SSIM", "ssim", 3), ("PSNR dB", "psnr_mean", 2),
    ("median", "psnr_median", 2), ("colorfulness", "colorfulness", 1), ("of truth's", "colorfulness_ratio", 2),
    ("top-1", "top1", 3), ("of ten", "top1_of_ten", 3), ("Fréchet", "frechet", 1),
    ("LPIPS", "lpips", 3), ("FID", "FID", 1),
)  # fmt: skip
DECIMALS = {"parameters": 0} | dict.fromkeys(("cdr", "ssim", "lpips", "top1", "top1_of_ten"), 3)
DECIMALS |= dict.fromkeys(("colorfulness", "peak_mib"), 1)  # of Table 1; two for the rest


def measure_of(summary: dict, name: str):
    """The measure `name` of a summary. FID lies among the Fréchet distances: it is that of one of the networks."""
    distances = dict(summary.get("frechet") or {})
    fid = distances.pop(Inception.name, None)
    return {"FID": fid, "frechet": next(iter(distances.values()), None)}.get(name, summary.get(name))


def single(measured) -> float | None:
    """The number of a measure, whether it stands alone or with an interval."""
    return measured["value"] if isinstance(measured, dict) else measured


def shown(measured, decimals: int, interval: bool = False) -> str:
    number = single(measured)
    if number is None:
        return "–"
    text = f"{number:,.{decimals}f}"
    if interval and isinstance(measured, dict) and measured.get("low") is not None:
        text += f" ({measured['low']:,.{decimals}f}–{measured['high']:,.{decimals}f})"
    return text


def results_table(results: list[dict], subset: str = "colored") -> str:
    """Markdown, a line for each result. PSNR never stands without colorfulness."""
    used = [column for column in COLUMNS if any(single(measure_of(r[subset], column[1])) is not None for r in results)]
    lines = [[*(r["decoder"] or "left gray", "" if r["epoch"] is None else str(r["epoch"]))] for r in results]
    for line, result in zip(lines, results):
        line += [shown(measure_of(result[subset], name), decimals) for _, name, decimals in used]
    return markdown_table(["decoder", "epoch", *(title for title, _, _ in used)], lines, left=1)


def markdown_table(header: list[str], rows: list[list[str]], left: int = 1) -> str:
    rule = ["---" if i < left else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


class Document:
    """A report in two forms at once: Markdown, and one HTML page with everything in it."""

    def __init__(self, title: str):
        self.title = title
        self.markdown, self.html = [f"# {title}"], [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        self.markdown.append(f"## {text}")
        self.html.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        self.markdown.append(text)
        self.html.append(f"<p>{html.escape(text)}</p>")

    def table(self, header: list[str], rows: list[list[str]], left: int = 1) -> None:
        self.markdown.append(markdown_table(header, [[c.replace("|", "\\|") for c in row] for row in rows], left))

        def cells(row, tag):
            return "".join(
                f"<{tag}{' class=t' if i < left else ''}>{html.escape(c)}</{tag}>" for i, c in enumerate(row)
            )

        body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
        self.html.append(f"<div class=wide><table><thead><tr>{cells(header, 'th')}</tr></thead>{body}</table></div>")

    def plot(self, path: Path, svg: str, caption: str, folder: Path) -> None:
        self.markdown.append(f"![{caption}]({path.relative_to(folder).as_posix()})\n\n{caption}")
        self.html.append(f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def picture(self, path: Path, caption: str, folder: Path) -> None:
        self.markdown.append(f"![{caption}]({path.relative_to(folder).as_posix()})\n\n{caption}")
        buffer = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").save(buffer, "WEBP", quality=88)  # the PNG beside it has the exact pixels
            width, height = image.size
        data = base64.b64encode(buffer.getvalue()).decode()
        image = f'<img src="data:image/webp;base64,{data}" width={width} height={height} alt="{html.escape(caption)}">'
        self.html.append(
            f"<figure><div class=wide>{image}</div><figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def write(self, folder: Path) -> None:
        page = PAGE.replace("TITLE", html.escape(self.title)).replace("BODY", "\n".join(self.html))
        for name, text in (("report.md", "\n\n".join(self.markdown) + "\n"), ("report.html", page)):
            beside = folder / f".{name}.{os.getpid()}.part"
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, folder / name)


PAGE = """<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>TITLE</title><style>
:root{color-scheme:light dark;--ink:#1d2026;--dim:#5c6370;--paper:#fbfaf8;--line:#dcd9d2;--band:#f2f0eb}
@media (prefers-color-scheme:dark){:root{--ink:#e6e4df;--dim:#a09c94;--paper:#17181b;--line:#34363b;--band:#202226}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:1280px;margin:0 auto;padding:2rem 1.1rem 5rem}h1{font-size:1.9rem;line-height:1.2;margin:.4em 0}
h2{font-size:1.25rem;margin:2.4em 0 .6em;padding-top:.7em;border-top:1px solid var(--line)}p{max-width:72ch}
.wide{overflow-x:auto;-webkit-overflow-scrolling:touch}figure{margin:1.4em 0}svg{width:100%;height:auto;display:block}
svg text{font-family:system-ui,sans-serif}img{max-width:none;height:auto;width:min(100%,max(100%,640px));display:block}
figcaption{color:var(--dim);font-size:.88rem;margin-top:.4em;max-width:80ch}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:.4em .5em;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--dim)}td{white-space:nowrap}th{vertical-align:bottom}.t{text-align:left;white-space:normal}td.t{min-width:7em}
.wide{margin:.8em 0}tr:nth-child(even) td{background:var(--band)}
@media (max-width:600px){body{font-size:15px}main{padding:1rem .8rem 3rem}img{width:640px}svg{min-width:560px}
figure{overflow-x:auto}}
</style><main>
BODY
</main></html>
"""


def write_report(folder: Path) -> None:
    """report.md and report.html in `folder`, from what evaluate.py left there; ValueError where that is damaged."""
    about = read_json(folder / METRICS_FILE)
    columns = colored_columns(folder)
    left_gray = columns.pop((GRAY.decoder, None), None)
    comparison = Comparison(columns, left_gray) if columns else None
    document = Document("Five decoders, measured")
    introduce(document, about)
    if comparison:
        measured_table_1(document, about, comparison)
        claims(document, comparison)
        pairwise(document, comparison)
    document.heading("Every checkpoint")
    document.text("Over the colored photos. PSNR rewards gray: read it beside colorfulness.")
    rows = [about["left_gray"], *about["checkpoints"]]
    table_from_markdown(document, results_table(rows))
    document.text("The same over all photos, gray ones counted.")
    table_from_markdown(document, results_table(rows, "all"))
    curves(document, about, folder)
    cost(document, about, folder)
    if comparison:
        classes(document, folder)
    pictures(document, folder)
    document.write(folder)


def introduce(document: Document, about: dict) -> None:
    images, colored = about["images"], about["left_gray"]["colored"]["images"]
    document.text(
        f"{len(about['checkpoints'])} checkpoints on {images:,} photos of {about['data']} ({about['split']}), "
        f"{about['size']}×{about['size']}, 8-bit sRGB; {colored:,} of them are colored and count in what follows. "
        "Intervals are 95 % percentile bootstraps over photos, the same draws for every checkpoint. "
        f"Photos: fingerprint {about['fingerprint']}."
    )
    if about["classifier"]:
        document.text(
            f"Top-1 and the Fréchet distance use {about['classifier']} (ImageNet weights; pooled features). A Fréchet "
            "distance has no interval, since its bootstrap is biased, and it falls with the number of photos: compare "
            "equal N only."
        )
    for reason in about["left_out"]:
        document.text(f"{reason}.")
    for entry in about["damaged"]:
        document.text(f"Left out: {entry['decoder']}, epoch {entry['epoch']}: {entry['reason']}")


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


def measured_table_1(document: Document, about: dict, comparison: Comparison) -> None:
    document.heading("Table 1, measured")
    entries = newest(comparison.columns)
    results = {(r["decoder"], r["epoch"]): r["colored"] for r in about["checkpoints"]}
    document.text(
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
        document.table([row.capitalize(), "rank", "paper", *(title for title, _, _ in measures)], rows)
    document.text(f"Cost: {about['cost']['machine']}; the decoder alone. Activations held at once, without weights.")
    found = rank_agreement(comparison)
    if found["pairs"]:
        document.text(
            f"Rank agreement with the paper: Kendall's tau {found['tau']:+.2f} over the {found['pairs']} pairs that "
            f"its known claims order ({found['agreeing']} agree, {found['disagreeing']} do not): a partial order, "
            "since the claims compare one decoder with the others and not those among themselves."
        )


def claims(document: Document, comparison: Comparison) -> None:
    document.heading("What stands of the paper's claims")
    rows = [[v.claim, v.verdict, v.evidence] for v in judge(comparison)]
    document.table(["claim", "verdict", "differences on the same photos (95 %)"], rows, left=3)


def pairwise(document: Document, comparison: Comparison) -> None:
    document.heading("Decoders against each other")
    document.text(
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
        document.table([title, *entries], rows)


def table_from_markdown(document: Document, table: str) -> None:
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    document.table(header, rows)


def curves(document: Document, about: dict, folder: Path) -> None:
    document.heading("Over the epochs")
    path = folder / "figures" / "epochs.png"
    svg = plots.save(plots.epochs_plot(about["checkpoints"], about["truth"]), path)
    document.plot(
        path, svg, "Bands are 95 % intervals; a ring marks a decoder's best epoch, its turning point.", folder
    )
    rows = []
    for decoder in dict.fromkeys(result["decoder"] for result in about["checkpoints"]):
        series = [result for result in about["checkpoints"] if result["decoder"] == decoder]
        best = [plots.turning_point(series, name, higher) for name, _, higher in plots.CURVES if name != "colorfulness"]
        rows.append([decoder, *("–" if b is None else str(b["epoch"]) for b in best)])
    document.table(["best epoch by", "CIEDE2000", "CDR", "PSNR"], rows)


def cost(document: Document, about: dict, folder: Path) -> None:
    document.heading("Cost against quality")
    path = folder / "figures" / "cost.png"
    svg = plots.save(plots.cost_plot(about["checkpoints"], about["cost"]), path)
    document.plot(path, svg, f"Newest epochs. {about['cost']['machine']}.", folder)
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
    document.table(["", "parameters", "GFLOPs", "ms", "peak MiB"], rows)


def classes(document: Document, folder: Path) -> None:
    """Mean CIEDE2000 and colorfulness of each class, by the newest epoch of each decoder."""
    names = ["label", "colored", "decoder", "epoch", "ciede2000", "colorfulness"]
    table = parquet.read_table(folder / "per_image.parquet", columns=names).to_pylist()
    labels = sorted({row["label"] for row in table if row["label"] is not None})
    if not labels:
        return
    latest = {}
    for row in table:
        if row["decoder"] in DECODERS:
            latest[row["decoder"]] = max(latest.get(row["decoder"], 0), row["epoch"])
    latest = {d: latest[d] for d in DECODERS if d in latest}
    sums: dict[tuple, list] = {}
    for row in table:
        if row["colored"] and (row["decoder"] == "truth" or latest.get(row["decoder"]) == row["epoch"]):
            sums.setdefault((row["label"], row["decoder"]), []).append((row["ciede2000"], row["colorfulness"]))
    document.heading("By class")
    document.text("CIEDE2000 (colorfulness in brackets), colored photos, newest epochs.")
    rows = []
    for label in labels:
        truth = sums.get((label, "truth"), [])
        cells = [str(len(truth)), f"{np.mean([c for _, c in truth]):.1f}" if truth else "–"]
        for decoder in latest:
            own = sums.get((label, decoder))
            cells.append("–" if not own else "{:.2f} ({:.1f})".format(*np.mean(own, axis=0)))
        rows.append([label, *cells])
    document.table(["class", "N", "truth's", *latest], rows)


def pictures(document: Document, folder: Path) -> None:
    for pattern, (title, caption) in FIGURES.items():
        found = sorted((folder / "figures").glob(f"{pattern}.png"))
        if found:
            document.heading(title)
        for path in found:
            document.picture(path, f"{path.stem}. {caption}", folder)


def readme_section(source: Path = ROOT / "checkpoints", every: bool = False) -> str:
    """What stands between README_MARKS, from the checkpoints' own metrics.json: each decoder's newest epoch, or all."""
    checkpoints = list_checkpoints(source)
    if not every:
        checkpoints = {checkpoint.decoder: checkpoint for checkpoint in checkpoints}.values()
    results = [checkpoint.metrics for checkpoint in checkpoints]
    results = [result for result in results if "colored" in result]
    if not results:
        raise CheckpointError(f"no checkpoint in {str(source)!r} was measured: run train/evaluate.py --write-metrics")
    first = results[0]
    counts = {(result["images"], result["colored"]["images"]) for result in results}
    if len(counts) > 1:
        raise CheckpointError(f"the checkpoints in {str(source)!r} were measured on different photos: {sorted(counts)}")
    truth = shown(first["colored"]["colorfulness_truth"], 1)
    which = "Every epoch" if every else "Newest epochs"
    if "left_gray" in first:  # the floor to beat
        results.insert(0, {"decoder": "left gray", "epoch": None, "colored": first["left_gray"]})
    if "truth" in first:  # what a classifier makes of the true colors is the ceiling
        results.append({"decoder": "true colors", "epoch": None, "colored": first["truth"]})
    classes = f"; {first['classifier']} names the classes" if first.get("classifier") else ""
    return (
        f"{which}, over the {first['colored']['images']:,} colored ones of {first['images']:,} photos of "
        f"{first['data']} ({first['split']}) at {first['size']}×{first['size']}; the true photos' colorfulness is "
        f"{truth}{classes}.\n\n{results_table(results)}"
    )


def update_readme(readme: Path, section: str) -> None:
    """Put `section` between the README_MARKS of `readme`."""
    text = readme.read_text(encoding="utf-8")
    start, end = (text.find(mark) for mark in README_MARKS)
    if not 0 <= start < end:
        raise ValueError(
            f"{readme} lacks the lines {README_MARKS[0]} and {README_MARKS[1]}, between which the table goes"
        )
    write_text(readme, f"{text[: start + len(README_MARKS[0])]}\n{section}\n{text[end:]}")


def write_cards(source: Path = ROOT / "checkpoints") -> None:
    """The model card of each decoder of `source`, that of its newest epoch, as <decoder>/README.md."""
    epochs: dict[str, list[Checkpoint]] = {}
    for checkpoint in list_checkpoints(source):
        epochs.setdefault(checkpoint.decoder, []).append(checkpoint)
    for decoder, of_decoder in epochs.items():
        write_text(source / decoder / "README.md", str(model_card(of_decoder[-1], None, of_decoder)))


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.print_usage = lambda file=None: None
    parser.add_argument("folder", nargs="?", type=Path, help="output folder of train/evaluate.py")
    parser.add_argument("--readme", action="store_true", help="write the tables and cards of checkpoints/")
    args = parser.parse_args(argv)
    if args.readme == (args.folder is not None):
        parser.error("give either the output folder of train/evaluate.py or --readme")
    return args


if __name__ == "__main__":
    arguments = parse_args()
    try:
        if arguments.readme:
            update_readme(ROOT / "README.md", readme_section())
            update_readme(ROOT / "checkpoints" / "README.md", readme_section(every=True))
            write_cards()
        else:
            write_report(arguments.folder)
    except (CheckpointError, OSError, ValueError, KeyError) as error:
        sys.exit(f"report.py: {error}")
