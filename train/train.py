"""Train one decoder of the study on the available hardware.

    accelerate launch train/train.py --decoder transposed --data frgfm/imagenette --output-dir runs/study

Each step updates the critic once and the generator once, as in Vitoria et al. 2020 (train/training/step.py).
Saved epochs make <output-dir> a source for the demo, the command line and evaluate.py. Every random choice depends only
on (seed, step), so a run that was killed and resumed ends with the same weights as an uninterrupted one.
"""

import copy
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan.programs import end_in_one_line

STOPPED = "train.py: stopped; saved files are complete"
if __name__ == "__main__":  # the next imports take seconds
    end_in_one_line(STOPPED, at_once=True)

import torch
from accelerate import Accelerator
from torch import nn

from chromagan.data import Photos, evenly, load_photos
from chromagan.hub.background_publisher import BackgroundPublisher
from chromagan.hub.checkpoints import save_checkpoint
from chromagan.hub.files import OPTIONS_FILE, names_of, write_json
from chromagan.hub.measured import NO_SPLIT
from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.network.critic import Critic
from chromagan.network.layers import FEATURE_CHANNELS, FEATURE_STRIDE
from train.evaluation.intervals import summarize
from train.evaluation.measuring import evaluate
from train.evaluation.networks import to_srgb8
from train.evaluation.pictures import grid, save_picture
from train.training.batches import (
    Batches,
    fingerprint,
    frozen_trunk,
    normalized_lab,
    seed_step,
    teacher_targets,
    trunk_stages,
)
from train.training.checks import (
    check_data,
    check_epochs,
    check_run_dir,
    check_shares,
    fit_batch,
    load_run,
    lock_run,
    restore,
)
from train.training.cores import check_environment, check_launcher, share_cores
from train.training.degradation import degrade
from train.training.options import TrainConfig, parse_config
from train.training.run import Run, part_of_batch, run_script, speaker
from train.training.state import save_state
from train.training.step import prepare, resolve_precision, set_learning_rates, train_step, update_average
from train.training.tracking import Tracker, check_tracker
from train.training.watching import TrainingError, require_finite_weights


def main(config: TrainConfig) -> None:
    unreachable = check_tracker(config.tracker)
    if unreachable and not config.resume:
        raise TrainingError(unreachable)
    check_environment()
    accelerator = Accelerator(
        mixed_precision="no",  # train/training/step.py places autocast itself: the penalty's norm needs float32
        log_with=None if unreachable or config.tracker == "none" else config.tracker,
        project_dir=config.run_dir,
    )
    check_launcher(accelerator)
    share_cores(accelerator)
    device, main_process, processes = accelerator.device, accelerator.is_main_process, accelerator.num_processes
    say = speaker(accelerator)
    if unreachable:
        say(f"{unreachable}; continuing without it")

    # Run directory and permission to push to the Hub. Errors are reported before anything takes time.
    recorded = check_run_dir(config)
    precision = recorded.get("precision", config.precision) if config.precision == "auto" else config.precision
    config = replace(config, precision=resolve_precision(precision, device))
    check_shares(config, processes)
    publisher = None
    if config.push_to_hub and main_process:
        publisher = BackgroundPublisher(config.push_to_hub, config.decoder, Path(config.output_dir))
    # Held until the end. A new run's folder is made only once nothing speaks against the run.
    lock = lock_run(config) if main_process and config.resume else None
    state = load_run(config, recorded, say)

    # Data. On every machine one process fills the cache and the others read it.
    size = config.model.image_size
    validation = None
    if main_process and (several := max(config.limit_validation, config.samples)):
        # Gray photos included: they are measured separately, and the samples may contain no others.
        validation = load_photos(config.data, "validation", size, several, keep_gray=True, quiet=True)
    generator, critic = build_networks(config)
    with accelerator.local_main_process_first():
        photos = load_photos(config.data, "train", size, config.limit_train or None, quiet=not main_process)
        photos = replace(photos, images=degrade(photos.images, config.degraded_share, config.seed))
        targets = teacher_targets(photos.images, config, device)
        stages = None
        if config.keep_features and not config.train_trunk:
            stages = trunk_stages(photos.images, generator, config.cache_dir, device)
    if validation is not None and not (validation.split and photos.split):
        say("--data is not split into train and validation: measures and samples are of photos that are trained on")
        validation = replace(validation, split=None)  # also if its only split is called validation
    data_digest, sources = fingerprint(photos.images), photos.sources
    if state is not None:  # before the batch is fitted to other photos, and --batch-size called wrong
        check_data(data_digest, state.pop("data"), config)
    config = fit_batch(config, len(photos), processes, recorded)
    part = part_of_batch(config.batch_size, accelerator)
    trunk = None if config.keep_features or config.train_trunk else frozen_trunk(generator.trunk, device)
    batches = Batches(normalized_lab(photos.images, device), config.batch_spec, device, targets, stages, trunk)

    # Networks and optimizers, and the average of the generator's weights, which is saved.
    average = copy.deepcopy(generator).to(device) if config.ema_share else generator
    nets, optimizers = prepare(generator, critic, config, accelerator)

    # The state of a run, and the step from which it resumes.
    resumable = dict(
        generator=generator, critic=critic, average=average,
        generator_optimizer=optimizers.generator, critic_optimizer=optimizers.critic,
    )  # fmt: skip
    step, total = 0, config.epochs * batches.steps_per_epoch
    if state is not None:
        step = state.pop("step")
        check_epochs(-(-step // batches.steps_per_epoch), config)
        restore(resumable, state, config)
    accelerator.wait_for_everyone()  # until all have read, before the first one writes
    lock = lock or (lock_run(config) if main_process else None)
    tracker = Tracker(accelerator, config, step, say)
    if main_process:
        write_json(config.run_dir / OPTIONS_FILE, asdict(config) | {"sources": sources})
    say(
        f"{config.decoder}: {len(photos)} images ({photos.gray_dropped} left out as gray), "
        f"{batches.steps_per_epoch} steps of {config.batch_size} an epoch, {parameters(generator):,} parameters "
        f"({parameters(generator.decoder):,} in the decoder), critic {parameters(critic):,}, {config.precision}"
        + (f"; resuming after step {step} of {total}" if step else "")
    )
    del photos
    saver = EpochSaver(config, average, validation, tracker, publisher)
    if lost := sorted(e for e in config.saved_epochs - saver.saved if e * batches.steps_per_epoch < step):
        say(f"epochs {lost} lie before step {step} and were not saved: they can no longer be saved")
    for epoch in sorted(saver.saved) if publisher is not None else ():  # the publisher skips what the Hub already has
        publisher.epoch_saved(epoch)
    reached, rest = divmod(step, batches.steps_per_epoch)
    # 0, one requested on resuming, or one whose state was saved before the run was killed.
    if main_process and rest == 0 and reached in config.saved_epochs - saver.saved:
        saver.save(reached, step)

    # Training.
    generator.train()
    with Run(config, accelerator, step, total, ("color", "adversarial", "semantic")) as run:
        while run.goes_on:
            set_learning_rates(optimizers, config, run.step)
            seed_step(config.seed, run.step, accelerator.process_index)
            norms = run.is_logged(run.step + 1)
            terms = train_step(batches(run.step, part), nets, optimizers, config, accelerator, norms)
            if config.ema_share:
                update_average(average.trained_state(), generator.trained_state(), config.ema_share, run.step + 1)

            epoch, rest = divmod(run.step + 1, batches.steps_per_epoch)
            saving = rest == 0 and epoch in config.saved_epochs
            values = run.count(terms, saving, epoch=(run.step + 1) / batches.steps_per_epoch)
            if main_process and values:
                tracker.log(values, run.step)
            with run.meter.paused():
                if run.state_is_due:
                    require_finite_weights(run.step, generator, critic)
                if main_process and run.state_is_due:  # first, so that no kill leaves the last epoch without a state
                    parts = {name: part.state_dict() for name, part in resumable.items()}
                    save_state(config.run_dir, run.step, {"data": data_digest, **parts})
                if main_process and saving:
                    saver.save(epoch, run.step)
    tracker.close()
    accelerator.end_training()
    for failure in publisher.close() if publisher is not None else ():
        say(failure)  # only reported: the run itself is complete
    run.exit_if_stopped(say)


def build_networks(config: TrainConfig) -> tuple[ChromaGAN, Critic]:
    """The networks before training. With the same seed all decoders start from the same trunk, branches and critic."""
    torch.manual_seed(config.seed)
    generator = ChromaGAN(config.model)
    generator.load_imagenet()
    if not config.train_trunk:
        generator.freeze_trunk()
    check_decoder(generator, config.crop)
    torch.manual_seed(config.seed + 1)
    return generator, Critic(config.critic_width)


@torch.no_grad()
def check_decoder(generator: ChromaGAN, side: int) -> None:
    """Raise TrainingError if the decoder does not color windows of `side` pixels as the losses take them."""
    expected = (1, 2, side, side)
    found = tuple(generator.decoder.eval()(torch.zeros(1, FEATURE_CHANNELS, *[side // FEATURE_STRIDE] * 2)).shape)
    generator.decoder.train()
    if found != expected:
        raise TrainingError(f"decoder {generator.config.decoder} returns {found} for a window of {expected}")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@dataclass
class EpochSaver:
    """Saves epochs as checkpoints, measures them and passes them to the tracker and the Hub, on the main process."""

    config: TrainConfig
    average: ChromaGAN  # whose weights are saved
    validation: Photos | None  # spread evenly over the validation photos
    tracker: Tracker
    publisher: BackgroundPublisher | None

    def __post_init__(self):
        self.saved = {e for e in self.config.saved_epochs if self._folder(e).exists()}  # before the run was resumed

    def _folder(self, epoch: int) -> Path:
        return self.config.run_dir / f"epoch-{epoch}"

    def save(self, epoch: int, step: int) -> None:
        """Save `epoch`, after `step` steps. Raises TrainingError if its weights are not finite."""
        device = next(self.average.parameters()).device
        model = self.average.without_class_head().to(device)
        require_finite_weights(step, model)
        measured = self._measure(model, epoch, device) if self.config.limit_validation else None
        samples = self._draw_samples(model, epoch, device) if self.config.samples else None
        if epoch not in self.saved:  # otherwise the tracker already has it
            self.tracker.log_epoch(epoch, step, measured, samples)
        save_checkpoint(model, self._folder(epoch), measured)
        if self.publisher is not None:
            self.publisher.epoch_saved(epoch)

    def _measure(self, model: ChromaGAN, epoch: int, device: torch.device) -> dict:
        """The quick validation, in the format of a checkpoint's metrics.json."""
        config, images = self.config, self.validation.images[evenly(len(self.validation), self.config.limit_validation)]
        about = {
            "data": " and ".join(names_of(self.validation.sources)),
            "split": self.validation.split or NO_SPLIT,
            "size": config.model.image_size,
        }
        measured = summarize(evaluate(model, images, device), **about)
        return measured | {"decoder": config.decoder, "epoch": epoch, "preset": config.preset}

    @torch.inference_mode()
    def _draw_samples(self, model: ChromaGAN, epoch: int, device: torch.device) -> Path:
        """Draw the same few photos at every saved epoch as a PNG: gray, colored, true. Returns its path."""
        images = self.validation.images[evenly(len(self.validation), self.config.samples)]
        truth = images.to(device, torch.float32) / 255
        L = color.srgb_to_L(truth)
        ab = color.denormalize_ab(model(color.normalize_L(L)))
        columns = {"gray": to_srgb8(L, None), f"epoch {epoch}": to_srgb8(L, ab), "truth": truth}
        pixels = [color.to_uint8(column).movedim(1, -1).cpu().numpy() for column in columns.values()]
        path = self.config.run_dir / "samples" / f"epoch-{epoch}.png"
        path.parent.mkdir(exist_ok=True)
        save_picture(grid([list(row) for row in zip(*pixels)], list(columns)), path)
        return path


if __name__ == "__main__":
    run_script(main, parse_config, STOPPED)
