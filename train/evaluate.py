"""Measure every checkpoint of a source on a data set's validation photos, and write the report.

    accelerate launch train/evaluate.py --source checkpoints --data frgfm/imagenette --output-dir report

Writes to <output-dir>: metrics.json (every measure; means and medians over photos with their 95 % intervals),
per_image.parquet (one row per photo and checkpoint), claims.json (the verdict on every claim of the paper),
figures/*.png, report.md and report.html; with --write-metrics also each checkpoint's own metrics.json and the source's
claims.json. Measurements are cached in <output-dir>/measured, keyed by the contents of the photos and networks: an
interrupted run resumes from there, and a later one measures only new checkpoints and measures. The folder may be
deleted.

Everything is measured at --size on 8-bit sRGB output. Photos that are gray already are counted in "all" and left out of
"colored". Photos are processed one by one, so the numbers of processes and cores do not affect the results. For each
measured photo, memory holds only a row of numbers, and its features for each Fréchet distance.
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import (
    ArgumentParser,
    check_output_folder,
    end_in_one_line,
    errors_in_one_line,
    nonnegative_int,
    positive_int,
)

STOPPED = "evaluate.py: stopped; measurements are kept: run the same command to resume"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

import torch
from accelerate import Accelerator

from chromagan.data import DataError, PhotoSet
from chromagan.hub.checkpoints import NAMED_SOURCES, Checkpoint, CheckpointError, list_checkpoints, load_checkpoint
from chromagan.hub.files import CLAIMS_FILE, CONFIG_FILE, METRICS_FILE, WEIGHTS_FILE, names_of, read_json, write_json
from chromagan.hub.measured import NO_SPLIT
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import REFINER, find_refiner
from chromagan.hub.trunks import find_trunk
from chromagan.measures.metrics import GRAY_CHROMA
from chromagan.network.trunk import PretrainedWeightsError
from train.evaluation.claims_pictures import draw_claims
from train.evaluation.claims_report import claims_report
from train.evaluation.classifier import CLASSIFIER, Classifier, imagenet_labels
from train.evaluation.cost import decoder_costs
from train.evaluation.judging import judge
from train.evaluation.learned_measures import LEARNED_MEASURES
from train.evaluation.networks import GRAY, TRUTH, Entry, checkpoint_entry
from train.evaluation.pictures import FIGURES_FOLDER, draw_pictures
from train.evaluation.refined import refined_results, refined_rows, refined_twins
from train.evaluation.report import write_report
from train.evaluation.results import frechet_distances, merge, read_comparison, summaries
from train.evaluation.results_table import markdown_table, results_table
from train.evaluation.shards import SHARD, MeasuringTask, measure_shards, workers_for
from train.training.checks import lock_folder, remove_half_written
from train.training.cores import share_cores
from train.training.options import DATA_HELP

MEASURED = "measured"  # folder in --output-dir
MODEL_BYTES = 4 << 30  # limit for the networks held at once, over all processes on a CPU; more take several passes


def passes(entries: list[Entry], processes: int) -> list[list[Entry]]:
    """The checkpoints in groups whose networks fit into MODEL_BYTES when each of `processes` holds the whole group; a
    checkpoint that does not fit by itself is a separate group."""
    groups, room = [[]], MODEL_BYTES // processes
    for entry in entries:
        size = network_bytes(entry)
        if groups[-1] and size > room:
            groups.append([])
            room = MODEL_BYTES // processes
        groups[-1].append(entry)
        room -= size
    return groups


def network_bytes(entry: Entry) -> int:
    """Memory of the tensors of an entry's network, including a frozen trunk and a refiner in separate files: twice the
    size of the files, which are in half precision."""
    config_file = entry.checkpoint.file(CONFIG_FILE)
    config, files = read_json(config_file), [entry.checkpoint.file(WEIGHTS_FILE)]
    if config.get("trunk_digest"):
        files.append(find_trunk(config_file.parent, config["trunk"]))
    if entry.refiner:
        files.append(find_refiner(entry.refiner) / WEIGHTS_FILE)
    return 2 * sum(map(os.path.getsize, files))


def check_for_other_files(folder: Path) -> None:
    """OSError if the folder is not from an evaluation and holds files that this one would overwrite or delete."""
    with suppress(OSError, ValueError):
        if any((folder / MEASURED).glob("*.npz")) or "left_gray" in read_json(folder / METRICS_FILE):
            return  # perhaps cut off before it wrote metrics.json
    written = (METRICS_FILE, CLAIMS_FILE, "per_image.parquet", "report.md", "report.html", FIGURES_FOLDER)
    if there := [name for name in written if (folder / name).exists()]:
        raise FileExistsError(
            f"{folder} holds {', '.join(there)}, not from an evaluation, which would be lost: give another --output-dir"
        )


def check_size(model: ChromaGAN, size: int) -> None:
    """CheckpointError if the network does not take images of that size."""
    if not model.config.any_size and model.config.image_size != size:
        raise CheckpointError(f"it only takes images of {model.config.image_size} pixels: leave out --size {size}")


def check_photos(photos: PhotoSet, data: list[str]) -> None:
    """DataError if there are no colored photos to measure on."""
    if not len(photos):
        raise DataError(f"{' '.join(data)!r} holds no photos to measure on")
    if not photos.holds_color():
        raise DataError(f"all {len(photos)} photos of {' '.join(data)!r} are gray: there is no color to measure")


def what_runs_here(labels: list[int | None], device: torch.device) -> tuple[bool, list[str]]:
    """Whether the classifier is available, and a line for each measure that is left out, with the reason.

    labels: the photos' ImageNet indices.
    """
    left_out = [reason for measure in LEARNED_MEASURES if (reason := measure.missing())]
    try:
        Classifier(device)
    except PretrainedWeightsError as error:
        return False, [*left_out, f"classifier and Fréchet distance left out: {error}"]
    if not any(label is not None for label in labels):
        left_out.append("top-1 left out: the data's classes are not Imagenette's, by name or WordNet id")
    return True, left_out


def usable_entries(checkpoints: list[Checkpoint], size: int) -> tuple[list[Entry], dict[tuple[str, int], str]]:
    """The checkpoints that load and take images of that size, and by decoder and epoch why the others do not."""
    entries, damaged = [], {}
    for checkpoint in checkpoints:
        try:
            entry = checkpoint_entry(checkpoint)
            check_size(load_checkpoint(checkpoint), size)
            entries.append(entry)
        except CheckpointError as error:
            damaged[checkpoint.decoder, checkpoint.epoch] = str(error)
    return entries, damaged


def write_into_source(
    source: str | os.PathLike, entries: list[Entry], everything: dict, about: dict, claims: dict | None
) -> None:
    """Write each checkpoint's metrics.json, and the refiner's and the verdicts if there are any.

    everything: the content of the report's metrics.json. about: the first entries of a summary.
    """
    frame = {name: everything[name]["colored"] for name in ("left_gray", "truth")}
    for result, entry in zip(everything["checkpoints"], entries, strict=True):
        write_json(Path(entry.checkpoint.path, METRICS_FILE), result | frame)
    if everything["refined"] and Path(source, REFINER).is_dir():
        write_json(Path(source, REFINER, METRICS_FILE), about | {"refined": everything["refined"]})
    if claims:
        write_json(Path(source, CLAIMS_FILE), claims)


def main(args: argparse.Namespace) -> None:
    accelerator = Accelerator()
    cores, device, main_process = share_cores(accelerator), accelerator.device, accelerator.is_main_process
    check_output_folder(args.output_dir, args.data)
    output_dir = Path(args.output_dir)
    source = NAMED_SOURCES.get(args.source, args.source)
    if output_dir.is_dir() and os.path.isdir(source) and output_dir.samefile(source):
        raise OSError(f"--output-dir {output_dir} is the source of the checkpoints: give another folder")
    check_for_other_files(output_dir)
    checkpoints = list_checkpoints(source)
    if args.write_metrics and any(checkpoint.revision for checkpoint in checkpoints):
        raise CheckpointError(f"--write-metrics writes into a folder, and {args.source} is on the Hub: leave it out")
    with accelerator.main_process_first():
        photos = PhotoSet(args.data, "validation", args.size, args.limit)
        check_photos(photos, args.data)
        if main_process:  # before the other processes write
            # Held until the end.
            lock = lock_folder(output_dir, "is being written by another evaluation: give another --output-dir")
            remove_half_written(lock, output_dir, output_dir / MEASURED, output_dir / FIGURES_FOLDER)
    if main_process:
        print("\n".join(photos.found), file=sys.stderr)
    labels = imagenet_labels(photos.labels, photos.class_names)
    classify, left_out = what_runs_here(labels, device)

    # Measure. Every process takes every n-th shard and stores its measurements on disk.
    (output_dir / MEASURED).mkdir(parents=True, exist_ok=True)
    shards = [range(start, min(start + SHARD, len(photos))) for start in range(0, len(photos), SHARD)]
    mine = shards[accelerator.process_index :: accelerator.num_processes]
    entries, damaged = usable_entries(checkpoints, args.size)  # checked before an hour's work
    twins = {} if args.refine == 0 else refined_twins(entries, source, args.refine)
    workers = workers_for(mine, cores, device)
    processes = accelerator.num_processes * workers if device.type == "cpu" else 1  # each GPU has its own memory
    for group in passes([*entries, *twins.values()], processes) if entries else ():
        task = MeasuringTask(photos, labels, (GRAY, TRUTH, *group), output_dir / MEASURED, classify, device)
        measure_shards(task, mine, cores, main_process)
    if main_process:
        for line in [*(f"left out: {reason}" for reason in damaged.values()), *left_out]:
            print(f"evaluate.py: {line}", file=sys.stderr)
    if not entries:
        raise CheckpointError(f"none of the {len(checkpoints)} checkpoints in {args.source!r} can be used")
    accelerator.wait_for_everyone()
    if not main_process:
        return

    # Merge, summarize, draw. An older report must not be read together with the new rows if this is cut off.
    (output_dir / METRICS_FILE).unlink(missing_ok=True)
    tables, keys, fingerprint = merge(
        task, shards, [GRAY, TRUTH, *entries, *twins.values()], output_dir / "per_image.parquet"
    )
    colored = tables[TRUTH]["chroma_truth"] >= GRAY_CHROMA
    data = args.data_name or " and ".join(names_of(photos.sources))
    about = {"data": data, "split": photos.split or NO_SPLIT, "size": args.size}
    about |= {"fingerprint": fingerprint, "classifier": CLASSIFIER if classify else None}
    refined = refined_results(tables, twins)
    tables = {entry: table for entry, table in tables.items() if not entry.refiner}
    results = summaries(tables, frechet_distances(keys, [GRAY, *entries], task.store, colored), about)
    everything = about | {
        "images": len(photos),
        "left_gray": {"decoder": None, "epoch": None, **results[GRAY]},
        "truth": {"decoder": None, "epoch": None, **results[TRUTH]},
        "checkpoints": [{"decoder": e.decoder, "epoch": e.epoch, **results[e]} for e in entries],
        "refined": refined,
        "cost": decoder_costs(entries, args.size, device),
        "damaged": [{"decoder": d, "epoch": n, "reason": reason} for (d, n), reason in damaged.items()],
        "left_out": left_out,
    }
    write_json(output_dir / METRICS_FILE, everything)
    draw_pictures(photos, tables, entries, output_dir / FIGURES_FOLDER, device)
    claims = None
    if comparison := read_comparison(output_dir):
        verdicts = judge(comparison)
        claims = claims_report(comparison, verdicts)
        write_json(output_dir / CLAIMS_FILE, claims)
        draw_claims(photos, verdicts, entries, output_dir / FIGURES_FOLDER, device)
    write_report(output_dir)
    print(results_table([everything["left_gray"], *everything["checkpoints"]]))
    if refined:
        print(f"\n{markdown_table(*refined_rows(refined), left=2)}")
    print(f"\n{output_dir / 'report.html'}", file=sys.stderr)
    if args.write_metrics:  # last: the source may be one that cannot be written to
        write_into_source(source, entries, everything, about, claims)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    def side(text: str) -> int:
        if positive_int(text) % 32 or int(text) < 32:
            raise argparse.ArgumentTypeError(f"must be a multiple of 32, got {text}")
        return int(text)

    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", required=True, help="folder of checkpoints, or a Hub prefix owner/name")
    parser.add_argument("--data", required=True, nargs="+", help=DATA_HELP)
    parser.add_argument("--data-name", help="name of the data in metrics.json; default: from --data")
    parser.add_argument("--output-dir", required=True, help="folder for metrics.json, per_image.parquet and the report")
    parser.add_argument("--limit", type=positive_int, help="measure only N photos, spread evenly over the data")
    parser.add_argument("--size", type=side, default=224, help="side in pixels at which everything is measured")
    parser.add_argument(
        "--refine", nargs="?", default=0, const=None, type=nonnegative_int, metavar="N",
        help="also measure colorings after N refiner steps, 0 for none; without N, after all of them",
    )  # fmt: skip
    parser.add_argument("--write-metrics", action="store_true", help="also write each checkpoint's metrics.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    end_in_one_line(STOPPED)
    with errors_in_one_line("evaluate.py"):
        main(parse_args())
