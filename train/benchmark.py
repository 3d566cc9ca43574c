"""What training and inference cost: images/s, ms, memory and GFLOP of every decoder, against the plain way.

    python train/benchmark.py                                  # lite, every decoder, on whatever hardware there is
    python train/benchmark.py --preset paper --batch-size 8 --decoders original

The plain way is that of public ports: float32, contiguous, the teacher and a frozen trunk at each step, the
generator run once for each update, the critic differentiated twice. Both run in this process on the same made
images, in turn, and medians are reported; so are they where one way of being fast is taken away. GFLOP are
counted by torch, derivatives of derivatives included, and set against this machine's matrix products. Coloring
photos from file to file is train/benchmarks/photos.py's, and runs last.
"""

import argparse
import copy
import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.hub.checkpoints import write_json
from chromagan.hub.model import ChromaGAN
from chromagan.network.config import PRESETS as MODEL_PRESETS
from chromagan.network.config import ModelConfig
from chromagan.network.critic import Critic
from chromagan.network.decoders import DECODERS
from chromagan.network.trunk import Teacher, timm
from train.benchmarks import photos as benchmark_photos
from train.evaluate import share_cores
from train.training.batches import Batches, frozen_trunk
from train.training.options import PRESETS, TrainConfig
from train.training.step import prepare, resolve_precision, train_step, update_average

PLAIN = dict(
    precision="fp32", compile="off", channels_last=False, fused_adam=False, keep_teacher=False, keep_features=False,
    share_forward=False, explicit_penalty=False, fold_upsampling=False,
)  # fmt: skip


class Flops(TorchDispatchMode):
    """Adds up torch's own counts of every operation that runs inside, differentiation of derivatives included.

    torch's FlopCounterMode does the same for modules, but its hooks fail inside torch.autograd.grad.
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function._overloadpacket in flop_registry:
            self.total += flop_registry[function._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


class TrainingRun:
    """Steps of one config on made images: `run()` takes one."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, images: int | None = None):
        device = accelerator.device
        self.config = config = replace(config, precision=resolve_precision(config.precision, device))
        self.accelerator, self.done = accelerator, 0
        torch.manual_seed(0)
        generator = ChromaGAN(config.model)
        if not config.train_trunk:
            generator.freeze_trunk()
        self.generator = generator
        self.average = copy.deepcopy(generator).to(device) if config.ema_share else None
        self.batches = made_batches(config, generator, device, images or 2 * config.batch_size)
        critic = Critic(config.critic_width)
        self.nets, self.optimizers = prepare(generator.train(), critic, config, accelerator)

    def run(self) -> None:
        batch = self.batches(self.done, slice(0, self.config.batch_size))
        train_step(batch, self.nets, self.optimizers, self.config, self.accelerator)
        self.done += 1
        if self.average is not None:
            trained = self.average.trained_state(), self.generator.trained_state()
            update_average(*trained, self.config.ema_share, self.done)

    def draw(self) -> None:
        """The input pipeline alone."""
        self.batches(self.done, slice(0, self.config.batch_size))
        self.done += 1


def made_batches(config: TrainConfig, generator: ChromaGAN, device: torch.device, images: int) -> Batches:
    """Random images, distributions and features in the form of the real ones. The teacher has random weights."""
    size = config.model.image_size
    lab = (torch.rand(images, size, size, 3) - 0.5).half()
    targets = teacher = stages = trunk = None
    if config.keep_teacher:
        targets = torch.rand(images, config.model.num_classes).softmax(dim=1).half()
    else:
        teacher = made_teacher(config, device)
    if not config.train_trunk:
        trunk = frozen_trunk(generator.trunk, device)
        if config.keep_features:
            with torch.no_grad():
                shapes = [
                    stage.movedim(1, -1).shape[1:] for stage in trunk(torch.zeros(1, 1, size, size, device=device))
                ]
            stages, trunk = [torch.rand(2 * images, *shape).half() for shape in shapes], None
    return Batches(lab, targets, stages, config, device, teacher, trunk)


def made_teacher(config: TrainConfig, device: torch.device) -> Teacher:
    return Teacher(timm.create_model(config.teacher).eval(), config.teacher).to(device)


def medians(ways: dict[str, Callable[[], None]], device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of each way, run in turn `repeats` times behind a warm-up of two, so that a busy moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 2):
        for name, way in ways.items():
            wait(device)
            start = time.perf_counter()
            way()
            wait(device)
            if repeat >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(way: Callable[[], None], device: torch.device) -> float | None:
    """MB that `way` holds at its peak beyond what is held before; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was freed and not given back would hide the peak
        Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew
        before = _resident("VmRSS")
        way()
        return max(0.0, _resident("VmHWM") - before) / 1024
    except (OSError, AttributeError):
        way()
        return None


def _resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


def matrix_rate(device: torch.device, precision: str, repeats: int) -> float:
    """GFLOP/s of a large square matrix product: the peak that shares are given of."""
    side = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / medians({"product": lambda: a @ b}, device, repeats)["product"] / 1e9


def gflop_per_image(config: TrainConfig, accelerator: Accelerator) -> float:
    """Counted in a step of its own, whose networks are gone before any other is timed."""
    run = TrainingRun(replace(config, compile="off"), accelerator)
    with Flops() as counted:
        run.run()
    return counted.total / config.batch_size / 1e9


def measure_training(config: TrainConfig, accelerator: Accelerator, peak: float, repeats: int) -> dict:
    """One decoder's step, the fast and the plain way in turn."""
    configs = {"fast": config, "plain": replace(config, **PLAIN)}
    gflop = {name: gflop_per_image(each, accelerator) for name, each in configs.items()}
    ways = {name: TrainingRun(each, accelerator) for name, each in configs.items()}
    seconds = medians({name: way.run for name, way in ways.items()}, accelerator.device, repeats)
    drawing = medians({"draw": ways["fast"].draw}, accelerator.device, 5 * repeats)["draw"]
    result = {"decoder": config.decoder, "preset": config.preset, "batch_size": config.batch_size, "crop": config.crop}
    for name, way in ways.items():
        rate = config.batch_size / seconds[name]
        result[name] = {
            "precision": way.config.precision,
            "seconds_per_step": seconds[name],
            "images_per_second": rate,
            "gflop_per_image": gflop[name],
            "share_of_peak": gflop[name] * rate / peak,
            "peak_memory_mb": peak_memory(way.run, accelerator.device),
        }
    result["speedup"] = seconds["plain"] / seconds["fast"]
    result["input_pipeline_over_step"] = seconds["fast"] / drawing
    return result


def measure_switches(config: TrainConfig, accelerator: Accelerator, repeats: int) -> dict[str, float]:
    """How much longer a step takes without each way of being fast: ratio to the step with all."""
    every, ratios = TrainingRun(config, accelerator), {}
    for name, value in PLAIN.items():
        without = replace(config, **{name: value})
        unused = {
            "compile": config.compile == "off" or accelerator.device.type != "cuda",
            "precision": every.config.precision == "fp32",
            "keep_features": config.train_trunk,
        }
        if not unused.get(name):
            pair = {"with": every.run, "without": TrainingRun(without, accelerator).run}  # two at a time: memory
            seconds = medians(pair, accelerator.device, repeats)
            ratios[name] = seconds["without"] / seconds["with"]
    return ratios


@torch.no_grad()  # not inference_mode, behind which nothing is counted
def measure_inference(preset: str, decoder: str, device: torch.device, repeats: int) -> dict:
    """The network alone at its own size, one image and sixteen at once."""
    model = ChromaGAN(replace(ModelConfig.preset(preset, decoder), num_classes=0))
    model = model.eval().to(device, memory_format=torch.channels_last)
    size = model.config.image_size
    one, many = torch.rand(1, 1, size, size, device=device), torch.rand(16, 1, size, size, device=device)
    seconds = medians({"one": lambda: model(one), "many": lambda: model(many)}, device, repeats)
    with Flops() as counted:
        model(one)
    return {
        "decoder": decoder,
        "preset": preset,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_per_image": counted.total / 1e9,
        "ms_one": 1000 * seconds["one"],
        "images_per_second_of_16": 16 / seconds["many"],
        "peak_memory_mb_of_16": peak_memory(lambda: model(many), device),
    }


def soak(config: TrainConfig, accelerator: Accelerator, steps: int) -> list[dict]:
    """images/s and memory in use in each tenth of `steps` steps: neither should drift."""
    run, lines = TrainingRun(config, accelerator, images=64 * config.batch_size), []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(steps // 10):
            run.run()
        wait(accelerator.device)
        rate = steps // 10 * config.batch_size / (time.perf_counter() - start)
        cuda = accelerator.device.type == "cuda"
        memory = torch.cuda.memory_allocated() / 2**20 if cuda else _resident("VmRSS") / 1024
        lines.append({"steps": run.done, "images_per_second": rate, "memory_mb": memory})
    return lines


def tables(results: dict) -> str:
    """The results as Markdown."""
    machine = results["machine"]
    rates = ", ".join(f"{name} {rate:,.0f} GFLOP/s" for name, rate in machine["matrix_gflops"].items())
    lines = [f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}; matrix products: {rates}"]
    if results["training"]:
        lines += [
            "",
            "| training step | batch | crop | images/s | plain | faster | GFLOP/image | plain "
            "| of peak | MB | input pipeline |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
    for row in results["training"]:
        fast, plain = row["fast"], row["plain"]
        memory = "–" if fast["peak_memory_mb"] is None else f"{fast['peak_memory_mb']:,.0f}"
        lines.append(
            f"| {row['preset']} {row['decoder']} ({fast['precision']}) | {row['batch_size']} | {row['crop']} "
            f"| {fast['images_per_second']:,.1f} | {plain['images_per_second']:,.1f} | {row['speedup']:.2f}× "
            f"| {fast['gflop_per_image']:.2f} | {plain['gflop_per_image']:.2f} | {fast['share_of_peak']:.0%} "
            f"| {memory} | {row['input_pipeline_over_step']:,.0f}× the step |"
        )
    for preset, ratios in results["switches"].items():
        lines += ["", f"A {preset} step takes longer without: "]
        lines[-1] += ", ".join(f"{name} {ratio:.2f}×" for name, ratio in ratios.items())
    if results["inference"]:
        lines += [
            "",
            "| inference | parameters | GFLOP | ms, one image | images/s of 16 | MB of 16 |",
            "|---|--:|--:|--:|--:|--:|",
        ]
    for row in results["inference"]:
        memory = "–" if row["peak_memory_mb_of_16"] is None else f"{row['peak_memory_mb_of_16']:,.0f}"
        lines.append(
            f"| {row['preset']} {row['decoder']} | {row['parameters']:,} | {row['gflop_per_image']:.2f} "
            f"| {row['ms_one']:.1f} | {row['images_per_second_of_16']:,.1f} | {memory} |"
        )
    if results["soak"]:
        lines += ["", "| steps | images/s | MB in use |", "|--:|--:|--:|"]
        lines += [f"| {r['steps']} | {r['images_per_second']:,.1f} | {r['memory_mb']:,.0f} |" for r in results["soak"]]
    if results["photos"]:
        lines += ["", benchmark_photos.markdown(results["photos"])]
    return "\n".join(lines)


def train_config(preset: str, decoder: str, args: argparse.Namespace) -> TrainConfig:
    wanted = dict(batch_size=args.batch_size, crop=args.crop, train_trunk=args.train_trunk)
    changes = PRESETS[preset] | {name: value for name, value in wanted.items() if value}
    return TrainConfig(decoder=decoder, preset=preset, data="made", output_dir="none", **changes)


def main(args: argparse.Namespace) -> None:
    accelerator = Accelerator(mixed_precision="no")
    share_cores(accelerator)
    device = accelerator.device
    precisions = {"fp32", resolve_precision("auto", device)}
    peak = {precision: matrix_rate(device, precision, 10) for precision in sorted(precisions)}
    results = {
        "machine": {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "matrix_gflops": peak,
        },
        "training": [],
        "switches": {},
        "inference": [],
        "soak": [],
        "photos": None,
    }
    for preset in args.preset:
        configs = [train_config(preset, decoder, args) for decoder in args.decoders]
        if "training" in args.only:
            fastest = max(peak.values())
            results["training"] += [measure_training(c, accelerator, fastest, args.repeats) for c in configs]
        if "switches" in args.only:
            results["switches"][preset] = measure_switches(configs[0], accelerator, args.repeats)
        if "inference" in args.only:
            results["inference"] += [measure_inference(preset, d, device, 3 * args.repeats) for d in args.decoders]
        if args.soak:
            results["soak"] += soak(configs[0], accelerator, args.soak)
    if "photos" in args.only:
        results["photos"] = benchmark_photos.measure(device)
    print(tables(results))
    if args.json:
        write_json(args.json, results)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
        return int(text)

    sections = ("training", "switches", "inference", "photos")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.print_usage = lambda file=None: None  # a wrong flag is one line; --help shows the rest
    parser.add_argument("--preset", nargs="+", choices=MODEL_PRESETS, default=["lite"])
    parser.add_argument("--decoders", nargs="+", choices=DECODERS, default=list(DECODERS))
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections), help="what to measure")
    parser.add_argument("--batch-size", type=count, help="images per step; default: the preset's")
    parser.add_argument("--crop", type=count, help="side of the training window in pixels; default: the preset's")
    parser.add_argument("--train-trunk", action="store_true", help="the trunk trains too, as in the paper preset")
    parser.add_argument("--repeats", type=count, default=5, help="runs of each way, behind a warm-up")
    parser.add_argument("--soak", type=count, help="also take N steps and watch speed and memory")
    parser.add_argument("--json", metavar="FILE", help="also write the results here")
    args = parser.parse_args(argv)
    try:
        for preset in args.preset:
            train_config(preset, args.decoders[0], args)
    except ValueError as error:
        parser.error(str(error))
    return args


if __name__ == "__main__":
    main(parse_args())
