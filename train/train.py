"""Train one decoder of the study, on whatever hardware there is.

    accelerate launch train/train.py --decoder transposed --data frgfm/imagenette --output-dir runs/study

Each step updates the critic once and the generator once, as in Vitoria et al. 2020 (train/training/step.py).
Saved epochs make <output-dir> a source that the demo, the command line and evaluate.py read. Every random choice is a
function of (seed, step) alone, so that a run that was killed and resumed ends with the weights of an unbroken one.
"""

import copy
import sys
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import end_in_one_line

STOPPED = "train.py: stopped; what was saved is whole"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from chromagan.data import evenly, load_photos
from chromagan.hub.checkpoints import save_checkpoint
from chromagan.hub.files import OPTIONS_FILE, names_of, write_json
from chromagan.hub.model import ChromaGAN
from chromagan.hub.publish import BackgroundPublisher
from chromagan.imaging import color
from chromagan.network.critic import Critic
from chromagan.network.trunk import build_teacher
from train.evaluation.intervals import summarize
from train.evaluation.measuring import evaluate, to_srgb8
from train.evaluation.pictures import grid, save_picture
from train.evaluation.shards import share_cores
from train.training.batches import (
    Batches,
    fingerprint,
    frozen_trunk,
    normalized_lab,
    teacher_targets,
    trunk_stages,
)
from train.training.beginning import check_data, check_run_dir, check_shares, explain, fit_batch, load_run
from train.training.options import TrainConfig, parse_config
from train.training.state import save_state
from train.training.step import prepare, resolve_precision, set_learning_rates, train_step, update_average
from train.training.tracking import Tracker, check_tracker
from train.training.watching import Log, Meter, StopSignal, TrainingError


def main(config: TrainConfig) -> None:
    unreachable = check_tracker(config.tracker)
    if unreachable and not config.resume:
        raise TrainingError(unreachable)
    accelerator = Accelerator(
        mixed_precision="no",  # train/training/step.py places autocast itself: the penalty's norm needs float32
        log_with=None if unreachable or config.tracker == "none" else config.tracker,
        project_dir=config.run_dir,
    )
    share_cores(accelerator)
    device, main_process = accelerator.device, accelerator.is_main_process
    processes, rank = accelerator.num_processes, accelerator.process_index
    say = tqdm.write if main_process else lambda text, file: None
    if unreachable:
        say(f"{unreachable}; going on without it", file=sys.stderr)

    # Run directory, and the Hub's leave to push there. What is wrong is said before anything takes time.
    recorded = check_run_dir(config)
    precision = recorded.get("precision", config.precision) if config.precision == "auto" else config.precision
    config = replace(config, precision=resolve_precision(precision, device))
    check_shares(config, processes)
    publisher = None
    if config.push_to_hub and main_process:
        publisher = BackgroundPublisher(config.push_to_hub, config.decoder, Path(config.output_dir))
    state = load_run(config, lambda text: say(text, file=sys.stderr))

    # Data. On every machine one process computes what is kept; the others read it.
    size = config.model.image_size
    validation = None
    if main_process and max(config.limit_validation, config.samples):
        several = max(config.limit_validation, config.samples)
        # Gray ones too: they are measured apart from the colored ones, and a sample may hold no other.
        validation = load_photos(config.data, "validation", size, several, keep_gray=True, quiet=True)
    generator, critic = build_networks(config)
    teacher = None if config.keep_teacher else build_teacher(config.teacher).to(device)
    with accelerator.local_main_process_first():
        photos = load_photos(config.data, "train", size, config.limit_train or None, quiet=not main_process)
        targets = teacher_targets(photos.images, config, device) if config.keep_teacher else None
        stages = None
        if config.keep_features and not config.train_trunk:
            stages = trunk_stages(photos.images, generator, config.cache_dir, device)
    config = fit_batch(config, len(photos), processes, recorded)
    share = config.batch_size // processes
    part = slice(rank * share, (rank + 1) * share)
    trunk = None if config.keep_features or config.train_trunk else frozen_trunk(generator.trunk, device)
    batches = Batches(normalized_lab(photos.images, device), targets, stages, config, device, teacher, trunk)
    data_digest, sources = fingerprint(photos.images), photos.sources

    # Networks and optimizers, and the average of the generator's weights, which is what is saved.
    average = copy.deepcopy(generator).to(device) if config.ema_share else generator
    nets, optimizers = prepare(generator, critic, config, accelerator)

    # What a run consists of, and where it goes on.
    resumable = dict(
        generator=generator, critic=critic, average=average,
        generator_optimizer=optimizers.generator, critic_optimizer=optimizers.critic,
    )  # fmt: skip
    step, total = 0, config.epochs * batches.steps_per_epoch
    if state is not None:
        step = state.pop("step")
        check_data(data_digest, state.pop("data"), config)
        if step > total:
            begun = -(-step // batches.steps_per_epoch)
            raise TrainingError(f"the run is at epoch {begun} already: --epochs must be that or more")
        for name, part_state in state.items():
            resumable[name].load_state_dict(part_state)
    accelerator.wait_for_everyone()  # all have read before the first one writes
    tracker = Tracker(accelerator, config, step, lambda text: say(text, file=sys.stderr))
    if main_process:
        config.run_dir.mkdir(parents=True, exist_ok=True)
        write_json(config.run_dir / OPTIONS_FILE, asdict(config) | {"sources": sources})
    say(
        f"{config.decoder}: {len(photos)} images ({photos.gray_dropped} gray ones left out), "
        f"{batches.steps_per_epoch} steps of {config.batch_size} an epoch, {parameters(generator):,} parameters "
        f"({parameters(generator.decoder):,} in the decoder), critic {parameters(critic):,}, {config.precision}"
        + (f"; going on behind step {step} of {total}" if step else ""),
        file=sys.stderr,
    )
    del photos
    saved = {e for e in config.saved_epochs if (config.run_dir / f"epoch-{e}").exists()}
    if lost := sorted(e for e in config.saved_epochs - saved if e * batches.steps_per_epoch < step):
        say(f"epochs {lost} lie behind step {step} and were not saved: they cannot be had any more", file=sys.stderr)
    for epoch in sorted(saved) if publisher is not None else ():  # what is on the Hub already is not sent again
        publisher.epoch_saved(epoch)

    def save_epoch(epoch: int) -> None:
        finished = average.without_class_head().to(device)
        measured = None
        if validation is not None and config.limit_validation:
            images = validation.images[evenly(len(validation), config.limit_validation)]
            measured = summarize(
                evaluate(finished, images, device),
                data=" and ".join(names_of(validation.sources)), split="validation", size=size,
            )  # fmt: skip
            measured |= {"decoder": config.decoder, "epoch": epoch, "preset": config.preset}
        samples = None
        if validation is not None and config.samples:
            samples = draw_samples(finished, validation.images, config, epoch)
        if epoch not in saved:  # then the tracker has it
            tracker.log_epoch(epoch, epoch * batches.steps_per_epoch, measured, samples)
        save_checkpoint(finished, config.run_dir / f"epoch-{epoch}", measured)
        if publisher is not None:
            publisher.epoch_saved(epoch)

    def keep_state() -> None:
        parts = {name: part.state_dict() for name, part in resumable.items()}
        save_state(config.run_dir, step, {"data": data_digest, **parts})

    begun, rest = divmod(step, batches.steps_per_epoch)
    if main_process and rest == 0 and begun in config.saved_epochs - saved:  # 0, or one that is asked for only now
        save_epoch(begun)

    # Training.
    log = Log(config.run_dir / "log.jsonl", step) if main_process else None
    meter = Meter(accelerator, step)
    stop = StopSignal()
    generator.train()
    bar = tqdm(
        total=total * config.batch_size, initial=step * config.batch_size, unit=" images", disable=not main_process
    )
    with bar:
        while step < total:
            logging = (step + 1) % config.log_every == 0 or step + 1 == total
            set_learning_rates(optimizers, config, step)
            terms = train_step(batches(step, part), nets, optimizers, config, accelerator, norms=logging)
            step += 1
            if config.ema_share:
                update_average(average.trained_state(), generator.trained_state(), config.ema_share, step)
            meter.add(step, terms)
            bar.update(config.batch_size)

            epoch_ends = step % batches.steps_per_epoch == 0
            saves_epoch = epoch_ends and step // batches.steps_per_epoch in config.saved_epochs
            stopping = stop.agreed()
            keeping = step % config.state_every == 0 or step == total or stopping
            if logging:  # waits for the device, so not at every step
                values = meter.read(step, config.batch_size)
                if main_process:
                    log.write({"step": step, "epoch": step / batches.steps_per_epoch, **values})
                    tracker.log(values, step)
                    bar.set_postfix({name: f"{values[name]:.2g}" for name in ("color", "adversarial", "semantic")})
            elif saves_epoch or keeping:
                meter.require_finite()
            with meter.paused():
                if main_process and saves_epoch:
                    save_epoch(step // batches.steps_per_epoch)
                if main_process and keeping:
                    keep_state()
            if stopping:
                break
    tracker.close()
    accelerator.end_training()
    for failure in publisher.close() if publisher is not None else ():
        say(failure, file=sys.stderr)  # no reason to fail: the run itself is complete
    if step < total:
        say(f"stopped by {stop.name} at step {step} of {total}, state saved: go on with --resume", file=sys.stderr)
        sys.exit(stop.status)


def build_networks(config: TrainConfig) -> tuple[ChromaGAN, Critic]:
    """The networks before training. The seed makes all decoders start from the same trunk, branches and critic."""
    torch.manual_seed(config.seed)
    generator = ChromaGAN(config.model)
    generator.load_imagenet()
    if not config.train_trunk:
        generator.freeze_trunk()
    torch.manual_seed(config.seed + 1)
    return generator, Critic(config.critic_width)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.inference_mode()
def draw_samples(model: ChromaGAN, images: Tensor, config: TrainConfig, epoch: int) -> Path:
    """The same few validation photos at every saved epoch, as PNG: gray, colored, true. The file's path."""
    truth = images[evenly(len(images), config.samples)].to(next(model.parameters()).device, torch.float32) / 255
    L = color.srgb_to_L(truth)
    ab = color.denormalize_ab(model(color.normalize_L(L)))
    columns = {"gray": to_srgb8(L, None), f"epoch {epoch}": to_srgb8(L, ab), "truth": truth}
    pixels = [(255 * column).round().to(torch.uint8).movedim(1, -1).cpu().numpy() for column in columns.values()]
    path = config.run_dir / "samples" / f"epoch-{epoch}.png"
    path.parent.mkdir(exist_ok=True)
    save_picture(grid([list(row) for row in zip(*pixels)], list(columns)), path)
    return path


if __name__ == "__main__":
    end_in_one_line(STOPPED)
    config = parse_config()
    try:
        main(config)
    except Exception as error:
        if line := explain(error, config):
            sys.exit(f"train.py: {line}")
        raise
