"""Results as tables: their measures and decimals, and Markdown."""

from collections.abc import Sequence

from chromagan.hub.markdown import escaped
from chromagan.hub.measured import ends_of, number_of
from train.evaluation.learned_measures import Inception

COLUMNS = (  # of the results table: title, measure, decimals
    ("CIEDE2000", "ciede2000_mean", 2), ("95th pct.", "ciede2000_p95", 2), ("near edges", "ciede2000_near", 2),
    ("elsewhere", "ciede2000_elsewhere", 2), ("CDR", "cdr", 3), ("SSIM", "ssim", 3), ("PSNR dB", "psnr_mean", 2),
    ("median", "psnr_median", 2), ("colorfulness", "colorfulness", 1), ("of truth's", "colorfulness_ratio", 2),
    ("top-1", "top1", 3), ("of ten", "top1_of_ten", 3), ("Fréchet", "frechet", 1),
    ("LPIPS", "lpips", 3), ("FID", "FID", 1),
)  # fmt: skip
FIRST_COLUMNS = (  # for someone who sees the project for the first time
    ("CIEDE2000 ↓", "ciede2000_mean", 2), ("near edges ↓", "ciede2000_near", 2),
    ("of true colorfulness", "colorfulness_ratio", 2), ("PSNR dB ↑", "psnr_mean", 2), ("top-1 ↑", "top1", 3),
    ("Fréchet ↓", "frechet", 1),
)  # fmt: skip
DECIMALS = {"parameters": 0} | dict.fromkeys(("cdr", "ssim", "lpips", "top1", "top1_of_ten", "edge_gradient_kept"), 3)
DECIMALS |= dict.fromkeys(("colorfulness", "peak_mib"), 1)  # of Table 1; two for the rest


def measure_of(summary: dict, name: str):
    """The measure `name` of a summary; None if it is missing.

    FID is stored among the Fréchet distances, as that of one of the networks.
    """
    distances = dict(summary.get("frechet") or {})
    fid = distances.pop(Inception.name, None)
    return {"FID": fid, "frechet": next(iter(distances.values()), None)}.get(name, summary.get(name))


def format_measure(measured, decimals: int, interval: bool = False) -> str:
    """A measure as text: its number, and with `interval` its 95 % interval; "–" if it is missing."""
    number = number_of(measured)
    if number is None:
        return "–"
    text = f"{number:,.{decimals}f}"
    if interval and (ends := ends_of(measured)):
        text += f" ({ends[0]:,.{decimals}f}–{ends[1]:,.{decimals}f})"
    return text


def results_rows(
    results: list[dict], subset: str = "colored", columns: Sequence[tuple[str, str, int]] = COLUMNS
) -> tuple[list[str], list[list[str]]]:
    """The header and a row for each result, over "colored" or "all" photos, with the measures that any of them has.

    columns: as COLUMNS. PSNR is always accompanied by colorfulness.
    """
    summaries = [result[subset] for result in results]
    used = [column for column in columns if any(number_of(measure_of(s, column[1])) is not None for s in summaries)]
    rows = [[r["decoder"] or "left gray", "" if r["epoch"] is None else str(r["epoch"])] for r in results]
    for row, result in zip(rows, results):
        row += [format_measure(measure_of(result[subset], name), decimals) for _, name, decimals in used]
    return ["decoder", "epoch", *(title for title, _, _ in used)], rows


def results_table(
    results: list[dict], subset: str = "colored", columns: Sequence[tuple[str, str, int]] = COLUMNS
) -> str:
    """The results as a Markdown table; see `results_rows`."""
    return markdown_table(*results_rows(results, subset, columns))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with the first `left` columns aligned left and the others right."""
    rule = ["---" if i < left else "--:" for i in range(len(header))]
    header, *rows = [[escaped(cell) for cell in row] for row in (header, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
