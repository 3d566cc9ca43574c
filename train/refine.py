"""Train an agent that refines the colorings of a source, step by step and pixel by pixel.

    accelerate launch train/refine.py --source checkpoints --data frgfm/imagenette --output-dir runs/refiner

It is trained on colorings of all decoders of the source at several epochs; their weights are frozen. Copy the result,
<output-dir>/refiner, into the source's folder, where `colorize --refine` and the demo look for it.
<output-dir>/refiner-greedy is the agent before its actor-critic steps. Every random choice depends only on (seed,
step), so a run that was killed and resumed ends with the same weights as an uninterrupted one.
"""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import end_in_one_line

STOPPED = "refine.py: stopped; saved files are complete"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from chromagan.colorizer import Colorizer
from chromagan.data import load_photos
from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from chromagan.hub.files import OPTIONS_FILE, write_json
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import save_refiner
from chromagan.hub.trunks import digest_of
from chromagan.network.config import ModelConfig
from chromagan.network.refiner import Refiner, RefinerConfig
from chromagan.network.trunk import Trunk
from train.training.batches import Batches, fingerprint, normalized_lab, trunk_stages
from train.training.checks import check_data, check_run_dir, check_shares, fit_batch, load_run, lock_run
from train.training.cores import check_environment, check_launcher, share_cores
from train.training.refine_options import RefineConfig, parse_config
from train.training.refining import RefinerLoss, noise_of
from train.training.rewards import FeatureDistance
from train.training.run import Run, part_of_batch, run_script, speaker
from train.training.state import save_state
from train.training.watching import TrainingError, require_finite_weights

MULTIPLIER_EVERY = 4  # steps between updates of the multiplier: its greedy rollout takes a fifth of a step's time


def main(config: RefineConfig) -> None:
    # In greedy steps the value head has no part in the loss.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    check_environment()
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[unused])
    check_launcher(accelerator)
    share_cores(accelerator)
    device, main_process, processes = accelerator.device, accelerator.is_main_process, accelerator.num_processes
    say = speaker(accelerator)

    # Run directory, and the networks whose colorings are refined.
    recorded = check_run_dir(config)
    check_shares(config, processes)
    # Held until the end. A new run's folder is made only once nothing speaks against the run.
    lock = lock_run(config) if main_process and config.resume else None
    state = load_run(config, recorded, say)
    models = load_models(config)
    refined = digest_of({f"{n}.{k}": t for n, model in enumerate(models) for k, t in model.state_dict().items()})
    model, trunk = models[0].config, models[0].trunk
    generators = [Colorizer(each, device).model for each in models]  # as users run them

    # Data. On every machine one process fills the cache and the others read it.
    with accelerator.local_main_process_first():
        photos = load_photos(config.data, "train", model.image_size, config.limit_train or None, quiet=not main_process)
        stages = trunk_stages(photos.images, models[0], config.cache_dir, device)
    data_digest, sources = fingerprint(photos.images), photos.sources
    if state is not None:
        check_data(data_digest, state.pop("data"), config)
    config = fit_batch(config, len(photos), processes, recorded)
    part = part_of_batch(config.batch_size, accelerator)
    batches = Batches(normalized_lab(photos.images, device), config.batch_spec, device, stages=stages)

    # The agent and its optimizer.
    refiner = build_refiner(config, model, trunk)
    distance = None
    if config.feature_weight:
        distance = FeatureDistance.from_imagenet(model.trunk).to(device, memory_format=torch.channels_last)
    loss = RefinerLoss(refiner, config, distance).to(device, memory_format=torch.channels_last)
    if processes > 1:
        from train.training.batch_norm import GlobalBatchNorm  # imports timm: see trunk.py

        GlobalBatchNorm.convert(loss)
    optimizer = torch.optim.AdamW(loss.parameters(), config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay)
    forward, optimizer = accelerator.prepare(loss, optimizer)

    step = 0
    if state is not None:
        step = state.pop("step")
        if state.pop("refined") != refined:
            raise TrainingError(
                f"--source {config.source} does not hold the networks that {config.run_dir} was started with"
            )
        loss.load_state_dict(state["loss"])
        optimizer.load_state_dict(state["optimizer"])
    accelerator.wait_for_everyone()  # until all have read, before the first one writes
    lock = lock or (lock_run(config) if main_process else None)
    options = asdict(config) | {"sources": sources}
    if main_process:
        write_json(config.run_dir / OPTIONS_FILE, options)
    count = sum(p.numel() for p in refiner.parameters())
    say(
        f"refiner: {len(photos)} images ({photos.gray_dropped} left out as gray), colored by {len(generators)} "
        f"checkpoints, {config.steps} steps of {config.batch_size}, {count:,} parameters"
        + (f"; resuming after step {step}" if step else "")
    )
    del photos

    # Training.
    ends = {step: config.run_dir / name for name, step in config.saved_after({}).items()}
    if main_process and step and step in ends and not (ends[step] / OPTIONS_FILE).exists():  # killed while it saved it
        save(refiner, ends[step], options)
    loss.train()
    with Run(config, accelerator, step, config.steps, ("error_kept", "colorfulness_kept")) as run:
        while run.goes_on:
            set_learning_rate(optimizer, config, run.step)
            batch, generator = batches(run.step, part), generators[run.step % len(generators)]
            with torch.no_grad():
                fused, _ = generator.fuse(batch.stages, batch.L, batch.rows, batch.columns)
                ab = generator.decoder(fused).float()
            # Moved by one with each round of the generators, so that it sees all of them.
            turn = (run.step + run.step // len(generators)) % MULTIPLIER_EVERY == 0
            kept = loss.update_multiplier(batch, ab, accelerator) if turn else {}
            greedy = run.step < config.greedy_steps
            value, terms = forward(batch, ab, noise_of(run.step, config, part, device), greedy)
            optimizer.zero_grad()
            accelerator.backward(value)
            accelerator.clip_grad_norm_(loss.parameters(), 1.0)
            optimizer.step()

            saving = run.step + 1 in ends
            run.count({"loss": value.detach(), **terms, **kept}, saving)
            with run.meter.paused():
                if saving or run.state_is_due:
                    require_finite_weights(run.step, loss)
                if main_process and run.state_is_due:  # first, so that no kill leaves the refiner without a state
                    parts = {"loss": loss.state_dict(), "optimizer": optimizer.state_dict()}
                    save_state(config.run_dir, run.step, {"data": data_digest, "refined": refined, **parts})
                if main_process and saving:
                    save(refiner, ends[run.step], options)
    accelerator.end_training()
    run.exit_if_stopped(say)


def load_models(config: RefineConfig) -> list[ChromaGAN]:
    """The networks of the source at the epochs; TrainingError if they do not share one frozen trunk."""
    found = [checkpoint for checkpoint in list_checkpoints(config.source) if checkpoint.epoch in config.epochs]
    if not found:
        raise TrainingError(
            f"{config.source!r} has none of the epochs {', '.join(map(str, config.epochs))}: give others with --epochs"
        )
    if missing := sorted({*config.epochs} - {checkpoint.epoch for checkpoint in found}):
        raise TrainingError(
            f"no decoder of {config.source!r} has --epochs {' '.join(map(str, missing))}: leave them out"
        )
    models = [load_checkpoint(checkpoint) for checkpoint in found]
    trunks = {(model.config.trunk, model.config.trunk_stages, model.config.trunk_digest) for model in models}
    if len(trunks) > 1 or not models[0].config.trunk_digest:
        raise TrainingError(f"a refiner needs checkpoints that share a frozen trunk; those of {config.source!r} do not")
    return models


def build_refiner(config: RefineConfig, model: ModelConfig, trunk: Trunk) -> Refiner:
    """The agent before training, for colorings of networks that share `trunk`. The seed determines its weights."""
    torch.manual_seed(config.seed)
    return Refiner(
        RefinerConfig(
            trunk=model.trunk, trunk_stages=model.trunk_stages, trunk_strides=tuple(trunk.strides),
            trunk_channels=tuple(trunk.channels), trunk_digest=model.trunk_digest,
            channels=config.channels, steps=config.agent_steps, delta=config.delta,
        )
    )  # fmt: skip


def save(refiner: Refiner, folder: Path, options: dict[str, Any]) -> None:
    """Save the agent with the run's options, which are written last."""
    save_refiner(refiner, folder)
    write_json(folder / OPTIONS_FILE, options)


def set_learning_rate(optimizer: torch.optim.Optimizer, config: RefineConfig, step: int) -> None:
    """Set the learning rate of `step`, counted from 0: half a cosine from --lr to a twentieth of it."""
    for group in optimizer.param_groups:
        group["lr"] = config.lr * (0.05 + 0.475 * (1 + math.cos(math.pi * step / config.steps)))


if __name__ == "__main__":
    run_script(main, parse_config, STOPPED)
