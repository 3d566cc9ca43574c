"""Measure every checkpoint of a source on a data set's validation photos.

    accelerate launch train/evaluate.py --source checkpoints --data frgfm/imagenette --output-dir report

Writes <output-dir>/metrics.json, a comparison figure (PNG) and, with --write-metrics, each checkpoint's own
metrics.json. Everything is measured at the preset's size on 8-bit sRGB output. Gray photos, whose colors
nobody can miss, are counted in "all" and left out of "colored".
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan import color, metrics
from chromagan.checkpoints import METRICS_FILE, CheckpointError, list_checkpoints, load_checkpoint, write_json
from chromagan.chroma import fit_gamut
from chromagan.data import DataError, load_photos
from chromagan.generator import ChromaGAN

RESAMPLES = 1000  # of the bootstrap behind the 95 % intervals


@torch.inference_mode()
def colorize_batch(model: ChromaGAN | None, truth: Tensor) -> Tensor:
    """sRGB truth (B, 3, S, S) in [0, 1] -> its colorization in [0, 1], rounded to 8 bits; gray where model is None."""
    L = color.srgb_to_lab(truth)[:, :1]
    if model is None:
        return (255 * color.L_to_gray(L)).round().div(255).expand_as(truth)
    ab = color.denormalize_ab(model(color.normalize_L(L)))
    return (255 * fit_gamut(torch.cat([L, ab], dim=1))).round() / 255


@torch.inference_mode()
def evaluate(
    model: ChromaGAN | None, images: Tensor, device: torch.device, batch_size: int = 16
) -> dict[str, np.ndarray]:
    """Per-image measures (N,) of `model` (None leaves the photos gray) on uint8 sRGB images (N, 3, S, S)."""
    rows = []
    for batch in images.split(batch_size):
        truth = batch.to(device, torch.float32) / 255
        output = colorize_batch(model, truth)
        difference = metrics.ciede2000(color.srgb_to_lab(output), color.srgb_to_lab(truth)).flatten(1)
        rows.append(
            {
                "psnr": metrics.psnr(output, truth),
                "ciede2000": difference.mean(dim=1),
                "ciede2000_p95": difference.quantile(0.95, dim=1),
                "colorfulness": metrics.colorfulness(output),
                "colorfulness_truth": metrics.colorfulness(truth),
                "chroma_truth": metrics.mean_chroma(truth),
            }
        )
    return (
        {name: torch.cat([row[name] for row in rows]).cpu().numpy().astype(float) for name in rows[0]} if rows else {}
    )


def summarize(per_image: dict[str, np.ndarray], **about) -> dict:
    """metrics.json of per-image measures: means with 95 % bootstrap intervals, over all photos and the colored ones."""
    colored = per_image["chroma_truth"] >= metrics.GRAY_CHROMA
    return {
        **about,
        "images": len(colored),
        "all": _means(per_image),
        "colored": _means({name: values[colored] for name, values in per_image.items()}),
    }


def _means(per_image: dict[str, np.ndarray]) -> dict:
    psnr = per_image["psnr"]
    finite = psnr[np.isfinite(psnr)]  # a gray photo left gray is perfect: infinite, and no part of a mean
    change = per_image["colorfulness"] - per_image["colorfulness_truth"]
    truth = per_image["colorfulness_truth"]
    return {
        "images": len(psnr),
        "psnr_mean": _interval(finite, np.mean),
        "psnr_median": _interval(psnr, np.median),
        "psnr_infinite": int(np.isinf(psnr).sum()),
        "ciede2000_mean": _interval(per_image["ciede2000"], np.mean),
        "ciede2000_p95": _interval(per_image["ciede2000_p95"], np.mean),
        "colorfulness": _interval(per_image["colorfulness"], np.mean),
        "colorfulness_truth": _interval(truth, np.mean),
        "colorfulness_ratio": _number(per_image["colorfulness"].sum() / truth.sum()) if truth.sum() > 0 else None,
        "colorfulness_difference_of_means": _interval(change, np.mean),
        "colorfulness_mean_of_differences": _interval(np.abs(change), np.mean),
    }


def _interval(values: np.ndarray, statistic) -> dict | None:
    """{value, low, high} with the 95 % percentile bootstrap; no interval from fewer than two, null from none."""
    if len(values) == 0:
        return None
    low = high = None
    if len(values) > 1:
        picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
        with np.errstate(invalid="ignore"):  # between two infinite medians there is no number
            low, high = (_number(v) for v in np.quantile(statistic(values[picks], axis=1), [0.025, 0.975]))
    return {"value": _number(statistic(values)), "low": low, "high": high}


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def draw_comparison(columns: dict[str, Tensor], path: Path) -> None:
    """Grid of images (n, 3, S, S) in [0, 1], one titled column each, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = len(next(iter(columns.values())))
    figure, axes = plt.subplots(rows, len(columns), figsize=(2 * len(columns), 2 * rows + 0.3), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=9)
        for row, image in enumerate(images):
            axes[row, column].imshow(image.movedim(0, -1).cpu().numpy())
            axes[row, column].axis("off")
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def share_cores(accelerator: Accelerator) -> None:
    """On the CPU, give each process its share of the cores we may use: the launcher leaves it one thread."""
    if accelerator.device.type == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(max(1, cores // accelerator.num_processes))


def main(args: argparse.Namespace) -> None:
    accelerator = Accelerator()
    share_cores(accelerator)
    device, main_process = accelerator.device, accelerator.is_main_process
    checkpoints = list_checkpoints(args.source)
    with accelerator.main_process_first():
        photos = load_photos(args.data, "validation", args.size, args.limit, keep_gray=True)
    share = photos.images[accelerator.process_index :: accelerator.num_processes]
    about = {"data": args.data_name or args.data, "split": "validation", "size": args.size}
    output_dir = Path(args.output_dir)

    def measure(model: ChromaGAN | None) -> dict:
        parts = [part for part in gather_object([evaluate(model, share, device)]) if part]
        return summarize({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, **about)

    results = [{"decoder": None, "epoch": None, **measure(None)}]
    examples = photos.images[:: max(1, len(photos) // args.rows)][: args.rows].to(device, torch.float32) / 255
    columns = {"gray": colorize_batch(None, examples), "truth": examples}
    newest = {checkpoint.decoder: checkpoint for checkpoint in checkpoints}  # the list ascends by epoch
    for checkpoint in tqdm(checkpoints, "evaluate", unit=" checkpoints", disable=not main_process):
        model = load_checkpoint(checkpoint).to(device, memory_format=torch.channels_last)
        result = {"decoder": checkpoint.decoder, "epoch": checkpoint.epoch, **measure(model)}
        results.append(result)
        if main_process and args.write_metrics:
            write_json(Path(checkpoint.path, METRICS_FILE), result)
        if checkpoint in newest.values():
            columns[f"{checkpoint.decoder}\nepoch {checkpoint.epoch}"] = colorize_batch(model, examples)
    if main_process:
        output_dir.mkdir(parents=True, exist_ok=True)
        write_json(output_dir / METRICS_FILE, {"checkpoints": results[1:], "left_gray": results[0]})
        draw_comparison(columns, output_dir / "comparison.png")
        print(table(results))


def table(results: list[dict]) -> str:
    """Markdown, a line for each result, over the colored photos. PSNR never stands without colorfulness."""
    lines = [
        "| decoder | epoch | CIEDE2000 | 95th pct. | PSNR dB | median | colorfulness | of truth's |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        row = result["colored"]
        names = ("ciede2000_mean", "ciede2000_p95", "psnr_mean", "psnr_median", "colorfulness")
        cells = [f"{row[name]['value']:.2f}" if row[name] and row[name]["value"] is not None else "–" for name in names]
        ratio = "–" if row["colorfulness_ratio"] is None else f"{row['colorfulness_ratio']:.2f}"
        epoch = "" if result["epoch"] is None else result["epoch"]
        lines.append(f"| {result['decoder'] or 'left gray'} | {epoch} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
        return int(text)

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.print_usage = lambda file=None: None  # a wrong flag is one line; --help shows the rest
    parser.add_argument("--source", required=True, help="folder of checkpoints")
    parser.add_argument("--data", required=True, help="Hub dataset id, folder of Parquet files, or folder of images")
    parser.add_argument("--data-name", help="what metrics.json calls the data; default: --data")
    parser.add_argument("--output-dir", required=True, help="folder for metrics.json and the figure")
    parser.add_argument("--limit", type=count, help="measure N photos, spread evenly over the data, only")
    parser.add_argument("--size", type=count, default=224, help="side in pixels at which everything is measured")
    parser.add_argument("--rows", type=count, default=8, help="photos in the figure")
    parser.add_argument("--write-metrics", action="store_true", help="also write each checkpoint's metrics.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except (CheckpointError, DataError, OSError) as error:
        sys.exit(f"evaluate.py: {error}")
