"""The cost of a training step: of every decoder, compared with the plain version of public ports, and without each
optimization."""

import time
from dataclasses import replace

import torch
from accelerate import Accelerator

from train.benchmarks.counting import Flops, peak_memory, resident_kib
from train.training.options import PRESETS, TrainConfig
from train.training.timing import Trial, medians, wait

PLAIN = dict(
    precision="fp32", compile="off", channels_last=False, fused_adam=False, keep_teacher=False, keep_features=False,
    share_forward=False, explicit_penalty=False, fold_upsampling=False,
)  # fmt: skip


def made_config(preset: str, decoder: str, **changes: int | bool | None) -> TrainConfig:
    """The config of a run on random images. changes: options that replace the preset's; None keeps an option."""
    options = PRESETS[preset] | {name: value for name, value in changes.items() if value}
    return TrainConfig(decoder=decoder, preset=preset, data=["made"], output_dir="none", **options)


def gflop_per_image(config: TrainConfig, accelerator: Accelerator) -> float:
    """GFLOP per image of a training step, counted in a separate trial that is freed before others are timed."""
    run = Trial(replace(config, compile="off"), accelerator)
    with Flops() as counted:
        run.run()
    return counted.total / config.batch_size / 1e9


def measure_training(config: TrainConfig, accelerator: Accelerator, peak: float, repeats: int) -> dict:
    """Speed, arithmetic and memory of one decoder's step; the fast and the plain version take turns.

    peak: the GFLOP/s that shares refer to.
    """
    configs = {"fast": config, "plain": replace(config, **PLAIN)}
    gflop = {name: gflop_per_image(each, accelerator) for name, each in configs.items()}
    ways = {name: Trial(each, accelerator) for name, each in configs.items()}
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
            "peak_memory_mib": peak_memory(way.run, accelerator.device),
        }
    result["speedup"] = seconds["plain"] / seconds["fast"]
    result["input_pipeline_over_step"] = seconds["fast"] / drawing
    return result


def measure_switches(config: TrainConfig, accelerator: Accelerator, repeats: int) -> dict[str, float]:
    """How much longer a step takes without each optimization, as a ratio to the step with all of them."""
    every, ratios = Trial(config, accelerator), {}
    for name, value in PLAIN.items():
        without = replace(config, **{name: value})
        unused = {
            "compile": config.compile == "off" or accelerator.device.type != "cuda",
            "precision": every.config.precision == "fp32",
            "keep_features": config.train_trunk,
        }
        if not unused.get(name):
            pair = {"with": every.run, "without": Trial(without, accelerator).run}  # two at a time, to save memory
            seconds = medians(pair, accelerator.device, repeats)
            ratios[name] = seconds["without"] / seconds["with"]
    return ratios


def soak(config: TrainConfig, accelerator: Accelerator, steps: int) -> list[dict]:
    """images/s and memory in use in each tenth of `steps` steps: neither should drift."""
    run, lines = Trial(config, accelerator, images=64 * config.batch_size), []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(steps // 10):
            run.run()
        wait(accelerator.device)
        rate = steps // 10 * config.batch_size / (time.perf_counter() - start)
        cuda = accelerator.device.type == "cuda"
        memory = torch.cuda.memory_allocated() / 2**20 if cuda else resident_kib("VmRSS") / 1024
        lines.append({"steps": run.done, "images_per_second": rate, "memory_mib": memory})
    return lines


def training_table(rows: list[dict]) -> str:
    """Results of `measure_training` as Markdown."""
    lines = [
        "| training step | batch | crop | images/s | plain | faster | GFLOP/image | plain "
        "| of peak | MiB | input pipeline |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        fast, plain = row["fast"], row["plain"]
        memory = "–" if fast["peak_memory_mib"] is None else f"{fast['peak_memory_mib']:,.0f}"
        lines.append(
            f"| {row['preset']} {row['decoder']} ({fast['precision']}) | {row['batch_size']} | {row['crop']} "
            f"| {fast['images_per_second']:,.1f} | {plain['images_per_second']:,.1f} | {row['speedup']:.2f}× "
            f"| {fast['gflop_per_image']:.2f} | {plain['gflop_per_image']:.2f} | {fast['share_of_peak']:.0%} "
            f"| {memory} | {row['input_pipeline_over_step']:,.0f}× the step |"
        )
    return "\n".join(lines)


def switches_line(preset: str, ratios: dict[str, float]) -> str:
    """The result of `measure_switches` as a sentence."""
    return f"A {preset} step takes longer without: " + ", ".join(f"{n} {ratio:.2f}×" for n, ratio in ratios.items())


def soak_table(lines: list[dict]) -> str:
    """The result of `soak` as Markdown."""
    rows = [f"| {r['steps']} | {r['images_per_second']:,.1f} | {r['memory_mib']:,.0f} |" for r in lines]
    return "\n".join(["| steps | images/s | MiB in use |", "|--:|--:|--:|", *rows])
