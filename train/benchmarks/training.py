"""The cost of a training step: of every decoder, and with each option that trades time for memory or precision."""

import time
from dataclasses import replace

import torch
from accelerate import Accelerator

from train.benchmarks.counting import Flops, resident_mib
from train.evaluation.cost import LiveMemory
from train.evaluation.results_table import markdown_table
from train.training.options import PRESETS, TrainConfig
from train.training.timing import Trial, medians, wait

SLOWER = {"precision": "fp32", "compile": "off", "keep_features": False}  # options that make a step slower


def made_config(preset: str, decoder: str, **changes: int | bool | None) -> TrainConfig:
    """The config of a run on random images. changes: options that replace the preset's; None keeps an option."""
    options = PRESETS[preset] | {name: value for name, value in changes.items() if value}
    return TrainConfig(decoder=decoder, preset=preset, data=["made"], output_dir="none", **options)


def count_step(config: TrainConfig, accelerator: Accelerator) -> tuple[float, float]:
    """GFLOP per image of a training step, and the peak MiB of tensors that it makes, both without compiling.

    Counted in a separate trial that is freed before others are timed.
    """
    run = Trial(replace(config, compile="off"), accelerator)
    run.run()  # the first step makes the optimizers' state, too
    with Flops() as flops, LiveMemory() as memory:
        run.run()
    return flops.total / config.batch_size / 1e9, memory.peak / 2**20


def measure_training(config: TrainConfig, accelerator: Accelerator, peak: float, repeats: int) -> dict:
    """Speed, arithmetic and memory of one decoder's step.

    peak: the GFLOP/s that the share refers to.
    """
    gflop, memory = count_step(config, accelerator)
    run = Trial(config, accelerator)
    seconds = medians({"step": run.run}, accelerator.device, repeats)["step"]
    drawing = medians({"draw": run.draw}, accelerator.device, 5 * repeats)["draw"]
    return {
        "decoder": config.decoder,
        "preset": config.preset,
        "batch_size": config.batch_size,
        "crop": config.crop,
        "precision": run.config.precision,
        "seconds_per_step": seconds,
        "images_per_second": config.batch_size / seconds,
        "gflop_per_image": gflop,
        "share_of_peak": gflop * config.batch_size / seconds / peak,
        "peak_memory_mib": memory,
        "input_pipeline_over_step": seconds / drawing,
    }


def measure_options(config: TrainConfig, accelerator: Accelerator, repeats: int) -> dict[str, float]:
    """How much longer a step takes with each of SLOWER, by its flag, as a ratio; without those that change nothing."""
    fast, ratios = Trial(config, accelerator), {}
    unused = {
        "precision": fast.config.precision == "fp32",
        "compile": config.compile == "off" or accelerator.device.type != "cuda",
        "keep_features": config.train_trunk,
    }
    for name, value in SLOWER.items():
        if not unused[name]:
            slow = Trial(replace(config, **{name: value}), accelerator)  # two at a time, to save memory
            seconds = medians({"fast": fast.run, "slow": slow.run}, accelerator.device, repeats)
            flag = name.replace("_", "-")
            ratios[f"--no-{flag}" if value is False else f"--{flag} {value}"] = seconds["slow"] / seconds["fast"]
    return ratios


def soak(config: TrainConfig, accelerator: Accelerator, steps: int) -> list[dict]:
    """images/s and memory in use in each tenth of `steps` steps, or in each step of fewer: neither should drift."""
    run, lines, parts = Trial(config, accelerator, images=64 * config.batch_size), [], min(steps, 10)
    for part in range(parts):
        before, start = run.done, time.perf_counter()
        while run.done < steps * (part + 1) // parts:
            run.run()
        wait(accelerator.device)
        rate = (run.done - before) * config.batch_size / (time.perf_counter() - start)
        cuda = accelerator.device.type == "cuda"
        memory = torch.cuda.memory_allocated() / 2**20 if cuda else resident_mib()
        lines.append({"steps": run.done, "images_per_second": rate, "memory_mib": memory})
    return lines


def training_table(rows: list[dict]) -> str:
    """Results of `measure_training` as Markdown."""
    header = ["training step", "batch", "crop", "images/s", "GFLOP/image", "of peak", "MiB", "input pipeline"]
    cells = [
        [
            f"{row['preset']} {row['decoder']} ({row['precision']})", str(row["batch_size"]), str(row["crop"]),
            f"{row['images_per_second']:,.1f}", f"{row['gflop_per_image']:.2f}", f"{row['share_of_peak']:.0%}",
            f"{row['peak_memory_mib']:,.0f}", f"{row['input_pipeline_over_step']:,.0f}× the step",
        ]
        for row in rows
    ]  # fmt: skip
    return markdown_table(header, cells)


def options_line(preset: str, ratios: dict[str, float]) -> str:
    """The result of `measure_options` as a sentence."""
    if not ratios:
        return f"No option makes a {preset} step slower on this machine."
    return f"A {preset} step takes longer with: " + ", ".join(f"{flag} {ratio:.2f}×" for flag, ratio in ratios.items())


def soak_table(lines: list[dict]) -> str:
    """The result of `soak` as Markdown."""
    memory = ["–" if r["memory_mib"] is None else f"{r['memory_mib']:,.0f}" for r in lines]
    rows = [[str(r["steps"]), f"{r['images_per_second']:,.1f}", used] for r, used in zip(lines, memory, strict=True)]
    return markdown_table(["steps", "images/s", "MiB in use"], rows, left=0)
