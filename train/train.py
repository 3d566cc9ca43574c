"""Train one decoder of the study, on whatever hardware there is.

    accelerate launch train/train.py --decoder transposed --data frgfm/imagenette --output-dir runs/study

Each step updates the critic once and the generator once, as in Vitoria et al. 2020. Saved epochs make
<output-dir> a source that the demo, the command line and evaluate.py read. The data set lives decoded in
memory; what never changes (the teacher's class distributions, a frozen trunk's features) is computed once.
Every random choice is a function of (seed, step) alone, so that a resumed run repeats an unbroken one.
"""

import copy
import json
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone runs without being installed

from chromagan import color, losses
from chromagan.checkpoints import save_checkpoint, write_json
from chromagan.critic import Critic
from chromagan.data import DataError, kept, load_photos
from chromagan.decoders import FEATURE_STRIDE
from chromagan.generator import ChromaGAN
from chromagan.trunk import PretrainedWeightsError, Trunk, build_teacher
from train.config import TrainConfig, parse_config
from train.evaluate import evaluate, share_cores, summarize


class TrainingError(RuntimeError):
    """The run cannot start or go on: the message says why."""


class TrainingForward(nn.Module):
    """What a generator computes in training, as the one `forward` that accelerate wraps."""

    def __init__(self, generator: ChromaGAN):
        super().__init__()
        self.generator = generator

    def forward(self, L: Tensor, stages: list[Tensor] | None, window: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
        """-> ab_pred (B, 2, h, w) of the window, class_logits (B, K).

        L (B, 1, h, w): lightness of the window, for a trunk that trains.
        stages: the whole images' kept features of a frozen trunk, in place of L; `window`, in cells, cuts them
        behind the global branch, so that the class of a whole image colors its part.
        """
        if stages is None:
            merged, flat = self.generator.features(L)
        else:
            merged = Trunk.merge(stages)
            flat = self.generator.flatten(self.generator.global_map(merged))
            merged = merged[..., *window]
        return self.generator.color(merged, flat), self.generator.class_head(flat)


def train_step(
    batch, nets, optimizers, config: TrainConfig, accelerator: Accelerator, norms: bool
) -> dict[str, Tensor]:
    """Update the critic once, then the generator once; return the detached, unweighted loss terms.

    batch: L (B, 1, h, w) and ab (B, 2, h, w), in [-1, 1]; class_target (B, K), rows sum to 1; mix (B, 1, 1, 1).
    norms: also return the norms at ab_pred of the gradients of the weighted color and adversarial terms.
    """
    ab_pred, class_logits = nets.generator(batch.L, batch.stages, batch.window)  # one forward serves both updates
    L, ab = losses.loss_units(batch.L, batch.ab)
    _, ab_pred = losses.loss_units(batch.L, ab_pred)
    fake = ab_pred.detach()

    # Critic: Wasserstein loss with gradient penalty.
    wasserstein = losses.wasserstein_loss(nets.critic(L, fake), nets.critic(L, ab))
    penalty = losses.gradient_penalty(nets.critic, L, ab, fake, batch.mix)
    optimizers.critic.zero_grad()
    accelerator.backward(wasserstein + config.penalty_weight * penalty)
    optimizers.critic.step()

    # Generator, scored by the critic just updated. The critic's weights are held, not its graph: the gradient
    # flows through it to ab_pred.
    critic = accelerator.unwrap_model(nets.critic).requires_grad_(False)
    color_term = losses.color_loss(ab_pred, ab)
    adversarial = losses.adversarial_loss(critic(L, ab_pred))
    semantic = losses.class_loss(class_logits, batch.class_target)
    terms = dict(color=color_term, adversarial=adversarial, semantic=semantic, wasserstein=wasserstein, penalty=penalty)
    weighted_color, weighted_adversarial = config.color_weight * color_term, config.adversarial_weight * adversarial
    if norms:
        for name, term in (("color", weighted_color), ("adversarial", weighted_adversarial)):
            (gradient,) = torch.autograd.grad(term, ab_pred, retain_graph=True)
            terms[f"{name}_grad_norm"] = gradient.norm()
    optimizers.generator.zero_grad()
    accelerator.backward(weighted_color + weighted_adversarial + config.class_weight * semantic)
    optimizers.generator.step()
    critic.requires_grad_(True)
    return {name: term.detach() for name, term in terms.items()}


class Batches:
    """The training set as tensors, and the batch of any step as a function of (seed, step) alone."""

    def __init__(self, images: Tensor, class_target: Tensor, stages: list[Tensor] | None, config: TrainConfig):
        self.images, self.class_target, self.stages, self.config = images, class_target, stages, config
        self.steps_per_epoch = len(images) // config.batch_size  # a last, smaller batch is left out

    def __call__(self, step: int, part: slice, device: torch.device) -> SimpleNamespace:
        """The `part` of the batch of `step` that is one process's, on `device`."""
        config, images = self.config, self.images
        epoch, position = divmod(step, self.steps_per_epoch)
        order = torch.randperm(len(images), generator=_generator(config.seed, 1, epoch))
        index = order[position * config.batch_size :][: config.batch_size]

        choose = _generator(config.seed, 2, step)
        cells = config.crop // FEATURE_STRIDE
        places = images.shape[-1] // FEATURE_STRIDE - cells + 1
        top, left = torch.randint(places, (2,), generator=choose).tolist()
        flip = torch.randint(2, (len(index),), generator=choose)
        mix = torch.rand(len(index), 1, 1, 1, generator=choose)

        index, flip, mix = index[part], flip[part], mix[part].to(device)
        srgb = images[index].to(device, torch.float32) / 255
        srgb = torch.where(flip.to(device).view(-1, 1, 1, 1) == 1, srgb.flip(-1), srgb)
        window = slice(top, top + cells), slice(left, left + cells)
        rows, columns = (slice(FEATURE_STRIDE * w.start, FEATURE_STRIDE * w.stop) for w in window)
        lab = color.srgb_to_lab(srgb[..., rows, columns])
        return SimpleNamespace(
            L=color.normalize_L(lab[:, :1]),
            ab=color.normalize_ab(lab[:, 1:]),
            class_target=self.class_target[index].to(device, torch.float32),
            stages=self.stages and [stage[index, flip].to(device, torch.float32) for stage in self.stages],
            window=window,
            mix=mix,
        )


def fit_batch(config: TrainConfig, images: int, processes: int) -> TrainConfig:
    """`config` with a batch of at most all images, shared evenly; TrainingError where that cannot be."""
    if config.batch_size % processes:
        raise TrainingError(f"--batch-size {config.batch_size} cannot be shared by {processes} processes evenly")
    if images < processes:
        raise TrainingError(f"{images} images cannot be shared by {processes} processes: use fewer")
    return replace(config, batch_size=min(config.batch_size, images // processes * processes))


def _generator(*key: int) -> torch.Generator:
    """A generator that depends on the whole key; neighboring keys give unrelated streams."""
    seed = 0
    for number in key:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)


def teacher_targets(images: Tensor, config: TrainConfig, device: torch.device) -> Tensor:
    """The teacher's class distribution of every image, (N, K) in float16, computed once and kept."""

    def make(images: Tensor) -> dict[str, Tensor]:
        teacher = build_teacher(config.teacher).to(device, memory_format=torch.channels_last)
        targets = [teacher(L).half().cpu() for L in _lightness(images, device, "teacher")]
        return {"class_target": torch.cat(targets)}

    return kept(Path(config.cache_dir), "teacher", images, config.teacher, make)["class_target"]


@torch.no_grad()
def trunk_stages(images: Tensor, trunk: Trunk, config: TrainConfig, device: torch.device) -> list[Tensor]:
    """A frozen trunk's stages of every image and of its mirror image, (N, 2, C, h, w) each in float16, kept."""
    trunk = copy.deepcopy(trunk).to(device, memory_format=torch.channels_last).eval()

    def make(images: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}
        done = 0
        for L in _lightness(images, device, "features"):
            pair = [trunk.stages(L), trunk.stages(L.flip(-1))]
            for number, (plain, mirrored) in enumerate(zip(*pair)):
                if done == 0:
                    stages[str(number)] = torch.empty(len(images), 2, *plain.shape[1:], dtype=torch.float16)
                stages[str(number)][done : done + len(L)] = torch.stack([plain, mirrored], dim=1).half().cpu()
            done += len(L)
        return stages

    maker = f"{config.model.trunk} {config.model.trunk_stages} ImageNet"
    stages = kept(Path(config.cache_dir), "features", images, maker, make)
    return [stages[str(number)] for number in range(len(stages))]


@torch.inference_mode()
def _lightness(images: Tensor, device: torch.device, title: str):
    """uint8 sRGB images -> L_norm (b, 1, S, S), batch by batch, under a progress bar."""
    with tqdm(total=len(images), desc=title, unit=" images", leave=False) as bar:
        for batch in images.split(32):
            yield color.normalize_L(color.srgb_to_lab(batch.to(device, torch.float32) / 255)[:, :1])
            bar.update(len(batch))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move `average` toward `model`, buffers included; early steps move it faster, so that it forgets its start."""
    decay = min(decay, (1 + step) / (10 + step))
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)


def main(config: TrainConfig) -> None:
    accelerator = Accelerator()
    share_cores(accelerator)
    device, main_process = accelerator.device, accelerator.is_main_process
    processes, rank = accelerator.num_processes, accelerator.process_index

    # Run directory.
    state_path = config.run_dir / "state.pt"
    if config.resume and not state_path.exists():
        raise TrainingError(f"nothing to resume in {config.run_dir}: start the run without --resume")
    if not config.resume and config.run_dir.exists() and any(config.run_dir.iterdir()):
        raise TrainingError(
            f"{config.run_dir} holds a run already: --resume goes on with it, or give another --output-dir"
        )
    accelerator.wait_for_everyone()  # all have looked before the first one writes
    if main_process:
        config.run_dir.mkdir(parents=True, exist_ok=True)

    # Networks. The seed makes all decoders start from the same trunk, branches, fusion and critic.
    torch.manual_seed(config.seed)
    generator = ChromaGAN(config.model)
    generator.load_imagenet()
    generator.trunk.requires_grad_(config.train_trunk)
    torch.manual_seed(config.seed + 1)
    critic = Critic(config.critic_width)

    # Data. One process computes what is kept; the others read it.
    with accelerator.main_process_first():
        size = config.model.image_size
        photos = load_photos(config.data, "train", size, config.limit_train or None)
        targets = teacher_targets(photos.images, config, device)
        stages = None if config.train_trunk else trunk_stages(photos.images, generator.trunk, config, device)
    config = fit_batch(config, len(photos), processes)
    share = config.batch_size // processes
    part = slice(rank * share, (rank + 1) * share)
    batches = Batches(photos.images, targets, stages, config)
    validation = None
    if config.limit_validation and main_process:
        validation = load_photos(config.data, "validation", size, config.limit_validation)

    # Optimizers, and the average of the generator's weights that is saved.
    trained = [p for p in generator.parameters() if p.requires_grad]
    optimizers = SimpleNamespace(
        generator=torch.optim.Adam(trained, config.lr, betas=(config.beta1, 0.999), fused=True),
        critic=torch.optim.Adam(critic.parameters(), config.critic_lr, betas=(config.beta1, 0.999), fused=True),
    )
    average = copy.deepcopy(generator).to(device) if config.ema_decay else generator
    nets = SimpleNamespace(
        generator=TrainingForward(generator).to(device, memory_format=torch.channels_last),
        critic=critic.to(device, memory_format=torch.channels_last),
    )
    nets.generator, nets.critic, optimizers.generator, optimizers.critic = accelerator.prepare(
        nets.generator, nets.critic, optimizers.generator, optimizers.critic
    )
    resumable = dict(
        generator=generator, critic=critic, average=average,
        generator_optimizer=optimizers.generator, critic_optimizer=optimizers.critic,
    )  # fmt: skip

    first_epoch = 0
    if config.resume:
        state = torch.load(state_path, map_location=device, weights_only=True)
        first_epoch = state.pop("epoch")
        for name, part_state in state.items():
            resumable[name].load_state_dict(part_state)
    if main_process:
        write_json(config.run_dir / "train.json", asdict(config))
        counts = {
            name: sum(p.numel() for p in net.parameters())
            for name, net in resumable.items()
            if isinstance(net, nn.Module)
        }
        tqdm.write(
            f"{config.decoder}: {len(photos)} images ({photos.gray_dropped} gray ones left out), "
            f"{batches.steps_per_epoch} steps of {config.batch_size} an epoch, {counts['generator']:,} parameters "
            f"({sum(p.numel() for p in generator.decoder.parameters()):,} in the decoder), critic {counts['critic']:,}",
            file=sys.stderr,
        )

    def save_epoch(epoch: int) -> None:
        finished = average.without_class_head()
        measured = None
        if validation is not None:
            measured = summarize(
                evaluate(finished.to(device), validation.images, device), data=config.data, split="validation"
            )
            measured |= {"decoder": config.decoder, "epoch": epoch, "preset": config.preset}
        save_checkpoint(finished, config.run_dir / f"epoch-{epoch}", measured)

    if main_process and not config.resume and 0 in config.saved_epochs:
        save_epoch(0)

    # Training.
    step, total = first_epoch * batches.steps_per_epoch, config.epochs * batches.steps_per_epoch
    log_path = config.run_dir / "log.jsonl"
    if main_process and config.resume:  # steps that will be taken again
        lines = log_path.read_text(encoding="utf-8").splitlines(keepends=True)
        log_path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), encoding="utf-8")
    generator.train()
    bar = tqdm(
        total=total * config.batch_size, initial=step * config.batch_size, unit=" images", disable=not main_process
    )
    with bar, open(log_path if main_process else os.devnull, "a", encoding="utf-8") as log:
        since_step, since_time = step, time.perf_counter()
        for epoch in range(first_epoch, config.epochs):
            for _ in range(batches.steps_per_epoch):
                logging = (step + 1) % config.log_every == 0 or step + 1 == total
                batch = batches(step, part, device)
                terms = train_step(batch, nets, optimizers, config, accelerator, norms=logging)
                step += 1
                if config.ema_decay:
                    update_average(average, generator, config.ema_decay, step)
                bar.update(config.batch_size)
                if logging:  # .item() waits for the device, so only here
                    values = {name: accelerator.reduce(term, "mean").item() for name, term in terms.items()}
                    for name, value in values.items():
                        if value != value or abs(value) == float("inf"):
                            raise TrainingError(f"{name} is {value} at step {step}: lower --lr or --critic-lr")
                    speed = (step - since_step) * config.batch_size / (time.perf_counter() - since_time)
                    line = {"step": step, "epoch": step / batches.steps_per_epoch, **values, "images_per_second": speed}
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    bar.set_postfix({name: f"{values[name]:.2g}" for name in ("color", "adversarial", "semantic")})
                    since_step, since_time = step, time.perf_counter()
            if main_process:
                if epoch + 1 in config.saved_epochs:
                    save_epoch(epoch + 1)
                state = {name: part.state_dict() for name, part in resumable.items()}
                torch.save({"epoch": epoch + 1, **state}, f"{state_path}.part")
                os.replace(f"{state_path}.part", state_path)
                since_step, since_time = step, time.perf_counter()  # saving is not training
    accelerator.end_training()


if __name__ == "__main__":
    try:
        main(parse_config())
    except (TrainingError, DataError, PretrainedWeightsError, OSError) as error:
        sys.exit(f"train.py: {error}")
