"""Results as tables, also in Markdown."""

from collections.abc import Sequence

from chromagan.hub.markdown import escaped
from chromagan.hub.measured import ends_of, number_of
from chromagan.measures.catalog import measure_called
from train.evaluation.learned_measures import Inception

COLUMNS = (  # of the results table
    "ciede2000_mean", "ciede2000_p95", "ciede2000_near", "ciede2000_elsewhere", "cdr", "ssim", "psnr_mean",
    "psnr_median", "colorfulness", "colorfulness_ratio", "top1", "top1_of_ten", "frechet", "lpips", "FID",
)  # fmt: skip
FIRST_COLUMNS = (  # for someone who sees the project for the first time
    "ciede2000_mean", "ciede2000_near", "colorfulness_ratio", "psnr_mean", "top1", "frechet",
)  # fmt: skip


def measure_of(summary: dict, name: str):
    """The measure `name` of a summary; None if it is missing.

    FID is stored among the Fréchet distances, as that of one of the networks.
    """
    distances = dict(summary.get("frechet") or {})
    fid = distances.pop(Inception.name, None)
    return {"FID": fid, "frechet": next(iter(distances.values()), None)}.get(name, summary.get(name))


def format_measure(name: str, measured, interval: bool = False) -> str:
    """The measure `name` as text: its number, and with `interval` its 95 % interval; "–" if it is missing."""
    number, facts = number_of(measured), measure_called(name)
    if number is None:
        return "–"
    text = facts.text(number)
    if interval and (ends := ends_of(measured)):
        text += f" ({facts.text(ends[0])}–{facts.text(ends[1])})"
    return text


def results_rows(
    results: list[dict], subset: str = "colored", columns: Sequence[str] = COLUMNS
) -> tuple[list[str], list[list[str]]]:
    """The header and a row for each result, over "colored" or "all" photos, with the measures that any of them has.

    columns: names in metrics.json. PSNR is always accompanied by colorfulness.
    """
    summaries = [result[subset] for result in results]
    used = [name for name in columns if any(number_of(measure_of(s, name)) is not None for s in summaries)]
    rows = [[r["decoder"] or "left gray", "" if r["epoch"] is None else str(r["epoch"])] for r in results]
    for row, summary in zip(rows, summaries):
        row += [format_measure(name, measure_of(summary, name)) for name in used]
    return ["decoder", "epoch", *(measure_called(name).arrowed for name in used)], rows


def results_table(results: list[dict], subset: str = "colored", columns: Sequence[str] = COLUMNS) -> str:
    """The results as a Markdown table; see `results_rows`."""
    return markdown_table(*results_rows(results, subset, columns))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with the first `left` columns aligned left and the others right."""
    rule = ["---" if i < left else "--:" for i in range(len(header))]
    header, *rows = [[escaped(cell) for cell in row] for row in (header, *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
