"""The cost of training and coloring: images/s, ms, memory and GFLOP of every decoder.

    python train/benchmark.py                                  # lite, every decoder, on the available hardware
    python train/benchmark.py --preset paper --batch-size 8 --decoders original
    python train/benchmark.py --only photos --sizes 1152x864 4000x3000 12000x9000
    python train/benchmark.py --only chroma degraded --data frgfm/imagenette

training: the median time of a step on random images. GFLOP are counted by torch, including second derivatives, and
compared with this machine's matrix products. MiB are of the tensors that a step makes, without compiling.
options: how much longer a training step takes with each option that makes it slower; the two take turns.
inference: the folded networks, as evaluate.py measures them, with random weights.
photos: coloring from file to file, as a ratio to decoding and encoding the same file, with the shipped checkpoints.
chroma: the gain of edge-aware upsampling at color boundaries, on validation photos of --data; only on request.
degraded: colors of faded, soft and grainy photos, and the gain of stretching contrast, on the same; only on request.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import ArgumentParser, end_in_one_line, errors_in_one_line, positive_int

STOPPED = "benchmark.py: stopped"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

import torch
from accelerate import Accelerator

from chromagan.errors import OptionError
from chromagan.hub.files import read_json, write_json
from chromagan.network.config import PRESETS as MODEL_PRESETS
from chromagan.network.decoders import DECODERS
from train.benchmarks import chroma, degraded, photos
from train.benchmarks.counting import matrix_rate
from train.benchmarks.inference import inference_table, measure_inference
from train.benchmarks.training import (
    made_config,
    measure_options,
    measure_training,
    options_line,
    soak,
    soak_table,
    training_table,
)
from train.training.cores import share_cores
from train.training.options import DATA_SET_HELP, TrainConfig
from train.training.step import resolve_precision

DEFAULT_SECTIONS = ("training", "options", "inference", "photos")
# Sections that need --data: what measures a source, and its result as Markdown.
WITH_DATA = {
    "chroma": (chroma.measure_source, chroma.chroma_table),
    "degraded": (degraded.measure_source, degraded.degraded_table),
}


def tables(results: dict) -> str:
    """The results as Markdown."""
    machine = results["machine"]
    rates = ", ".join(f"{name} {rate:,.0f} GFLOP/s" for name, rate in machine["matrix_gflops"].items())
    parts = [f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}; matrix products: {rates}"]
    if results["training"]:
        parts.append(training_table(results["training"]))
    parts += [options_line(preset, ratios) for preset, ratios in results["options"].items()]
    if results["inference"]:
        parts.append(inference_table(results["inference"]))
    if results["soak"]:
        parts.append(soak_table(results["soak"]))
    if results["photos"]:
        parts.append(photos.photos_table(results["photos"]))
    parts += [table(results[section]) for section, (_, table) in WITH_DATA.items() if results[section]]
    return "\n\n".join(parts)


def train_config(preset: str, decoder: str, args: argparse.Namespace) -> TrainConfig:
    return made_config(preset, decoder, batch_size=args.batch_size, crop=args.crop, train_trunk=args.train_trunk)


def main(args: argparse.Namespace) -> None:
    accelerator = Accelerator(mixed_precision="no")
    share_cores(accelerator)
    device = accelerator.device
    results = {"training": [], "options": {}, "inference": [], "soak": [], "photos": None}
    # First, so that errors in the data are reported before anything takes time.
    for section, (measure_source, _) in WITH_DATA.items():
        asked = section in args.only
        results[section] = measure_source(args.source, args.data, args.limit) if asked else None
    precisions = {"fp32", resolve_precision("auto", device)}
    peak = {precision: matrix_rate(device, precision, 10) for precision in sorted(precisions)}
    results["machine"] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matrix_gflops": peak,
    }
    for preset in args.preset:
        configs = [train_config(preset, decoder, args) for decoder in args.decoders]
        if "training" in args.only:
            fastest = max(peak.values())
            results["training"] += [measure_training(c, accelerator, fastest, args.repeats) for c in configs]
        if "options" in args.only:
            results["options"][preset] = measure_options(configs[0], accelerator, args.repeats)
        if "inference" in args.only:
            results["inference"] += measure_inference(preset, args.decoders, device, 3 * args.repeats)
        if args.soak:
            results["soak"] += soak(configs[0], accelerator, args.soak)
    if "photos" in args.only:
        results["photos"] = photos.measure(device, args.sizes)
    print(tables(results))
    if args.json:
        write_json(args.json, results)


def is_result(path: Path) -> bool:
    """Whether a file was written by an earlier benchmark, and so may be overwritten."""
    try:
        return "matrix_gflops" in read_json(path)["machine"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    def size(text: str) -> tuple[int, int]:
        width, _, height = text.partition("x")
        try:
            return positive_int(width), positive_int(height)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"must be a width and a height such as 1152x864, got {text!r}") from error

    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*DEFAULT_SECTIONS, *WITH_DATA),
        default=list(DEFAULT_SECTIONS),
        help="what to measure; default: all that need no --data",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    step = parser.add_argument_group("training, options, inference")
    step.add_argument("--preset", nargs="+", choices=MODEL_PRESETS, default=["lite"])
    step.add_argument("--decoders", nargs="+", choices=DECODERS, default=list(DECODERS))
    step.add_argument("--batch-size", type=positive_int, help="images per step; default: the preset's")
    step.add_argument("--crop", type=positive_int, help="side of the training window in pixels; default: the preset's")
    step.add_argument("--train-trunk", action="store_true", help="also train the trunk, as in the paper preset")
    step.add_argument("--repeats", type=positive_int, default=5, help="timed runs of each variant, after a warm-up")
    step.add_argument("--soak", type=positive_int, help="also take N steps and report speed and memory over time")
    files = parser.add_argument_group("photos")
    files.add_argument(
        "--sizes", nargs="+", type=size, default=photos.SIZES, metavar="WxH", help="default: 1 and 12 megapixels"
    )
    colors = parser.add_argument_group("chroma, degraded")
    colors.add_argument("--data", help=DATA_SET_HELP)
    colors.add_argument(
        "--source", help="folder of checkpoints, Hub prefix or name of a shipped source; default: study"
    )
    colors.add_argument("--limit", type=positive_int, metavar="N", help="photos, spread over the split; default: 400")
    args = parser.parse_args(argv)
    if args.json and not args.json.parent.is_dir():
        parser.error(f"--json {args.json}: no folder {str(args.json.parent)!r}")
    if args.json and args.json.exists() and not is_result(args.json):
        parser.error(f"--json {args.json} is not a benchmark result and would be overwritten: give another name")
    names = " or ".join(WITH_DATA)
    if any(section in args.only for section in WITH_DATA) != (args.data is not None):
        parser.error(f"--only {names} and --data go together: they are measured on photos")
    if args.data is None and (args.source or args.limit):
        parser.error(f"--{'source' if args.source else 'limit'} is for --only {names}: nothing else reads it")
    args.source, args.limit = args.source or "study", args.limit or 400
    try:
        for preset in args.preset:
            train_config(preset, args.decoders[0], args)
    except OptionError as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    end_in_one_line(STOPPED)
    with errors_in_one_line("benchmark.py"):
        main(parse_args())
