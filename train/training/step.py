"""One training step: the critic's update, then the generator's (Vitoria et al. 2020, algorithm 1)."""

import contextlib
import math
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from chromagan.device import fast_dtype
from chromagan.hub.model import ChromaGAN
from chromagan.network import losses
from chromagan.network.critic import Critic
from chromagan.network.folding import fold_upsampling_for_training
from train.training.batches import Batch
from train.training.options import TrainConfig
from train.training.watching import TrainingError


class GeneratorForward(nn.Module):
    """A generator's training computation, as the single `forward` that accelerate wraps."""

    def __init__(self, generator: ChromaGAN):
        super().__init__()
        self.generator = generator

    def forward(
        self, L: Tensor, stages: list[Tensor] | None, rows: Tensor, columns: Tensor, channels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> ab_pred (B, 2, h, w) of each image's window, class_logits (B, K).

        L: (B, 1, h, w), lightness of the windows. stages, rows, columns, channels: as in a Batch; without stages, the
        trunk trains and is applied to L.
        """
        if stages is None:
            fused, flat = self.generator.fuse(self.generator.stages(L), L)
        else:
            if channels is not None:
                seen = channels.split([stage.shape[1] for stage in stages], dim=1)
                stages = [stage * mask[..., None, None] for stage, mask in zip(stages, seen, strict=True)]
            fused, flat = self.generator.fuse(stages, L, rows, columns)
        return self.generator.decoder(fused), self.generator.class_head(flat)


class CriticLoss(nn.Module):
    """The computation of a critic's update, as the single `forward` that accelerate wraps."""

    def __init__(self, critic: Critic):
        super().__init__()
        self.critic = critic

    def forward(self, L: Tensor, ab: Tensor, ab_pred: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """L, ab, ab_pred in loss units, ab_pred detached; mix (B, 1, 1, 1) -> Wasserstein loss, penalty."""
        fake, real = self.critic(torch.cat([L, L]), torch.cat([ab_pred, ab])).float().chunk(2)
        penalty = losses.gradient_penalty(self.critic, L, ab, ab_pred, mix)
        return losses.wasserstein_loss(fake, real), penalty


@dataclass
class Networks:
    """The two networks of `train_step`; `prepare` wraps them with accelerate."""

    generator: GeneratorForward
    critic: CriticLoss


@dataclass
class Optimizers:
    """The optimizers of the two networks."""

    generator: torch.optim.Optimizer
    critic: torch.optim.Optimizer


def prepare(
    generator: ChromaGAN, critic: Critic, config: TrainConfig, accelerator: Accelerator
) -> tuple[Networks, Optimizers]:
    """The networks and optimizers of `train_step`, on the device and synchronized across processes."""
    if accelerator.num_processes > 1:
        from train.training.batch_norm import GlobalBatchNorm  # imports timm: see trunk.py

        GlobalBatchNorm.convert(generator)
    fold_upsampling_for_training(generator)
    nets = Networks(GeneratorForward(generator), CriticLoss(critic))
    for net in (nets.generator, nets.critic):
        net.to(accelerator.device, memory_format=torch.channels_last)
    optimizers = Optimizers(
        generator=adam(_decayed(generator, config), config.lr, config),
        critic=adam([{"params": critic.parameters(), "weight_decay": 0.0}], config.critic_lr, config),
    )
    if config.compile == "on" or (config.compile == "auto" and accelerator.device.type == "cuda"):
        nets.generator.compile()  # not the critic, whose double differentiation cannot be compiled
    nets.generator, nets.critic, optimizers.generator, optimizers.critic = accelerator.prepare(
        nets.generator, nets.critic, optimizers.generator, optimizers.critic
    )
    return nets, optimizers


def adam(groups: list[dict], lr: float, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over parameter groups that set their own weight_decay; where it is 0 this is Adam."""
    return torch.optim.AdamW(groups, lr, betas=(config.beta1, 0.999), fused=True)


def _decayed(generator: ChromaGAN, config: TrainConfig) -> list[dict]:
    """The trained parameters in two groups: kernels and matrices, with weight decay, and vectors (biases and norms),
    without."""
    trained = [p for p in generator.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def set_learning_rates(optimizers: Optimizers, config: TrainConfig, step: int) -> None:
    """Set the learning rates of `step`, counted from 0. They do not depend on a run's length, so any run can be
    extended."""
    factor = min(1.0, math.sqrt(config.lr_hold / (step + 1))) if config.lr_hold else 1.0
    for optimizer, lr in ((optimizers.generator, config.lr), (optimizers.critic, config.critic_lr)):
        for group in optimizer.param_groups:
            group["lr"] = factor * lr


def train_step(
    batch: Batch, nets: Networks, optimizers: Optimizers, config: TrainConfig, accelerator: Accelerator,
    norms: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Update the critic once, then the generator once; return the detached, unweighted loss terms.

    norms: also return the gradient norms of the weighted color and adversarial terms with respect to ab_pred.
    Does not wait for the device.
    """
    mixed_precision = autocast(batch.L.device, config.precision)
    L, ab = losses.loss_units(batch.L, batch.ab)
    with mixed_precision:
        ab_pred, class_logits = nets.generator(batch.L, batch.stages, batch.rows, batch.columns, batch.channels)
    _, ab_pred = losses.loss_units(batch.L, ab_pred.float())

    # Critic: Wasserstein loss with gradient penalty. The generator's one forward pass serves both updates.
    with mixed_precision:
        seen = (part(images, batch.corner, config.critic_side) for images in (L, ab, ab_pred.detach()))
        wasserstein, penalty = nets.critic(*seen, batch.mix)
    optimizers.critic.zero_grad()
    accelerator.backward(wasserstein + config.penalty_weight * penalty)
    optimizers.critic.step()

    # Generator, scored by the critic just updated. The critic's weights are frozen, but gradients flow through it to
    # ab_pred.
    critic = accelerator.unwrap_model(nets.critic).critic.requires_grad_(False)
    with mixed_precision:
        scores = critic(*(part(images, batch.corner, config.critic_side) for images in (L, ab_pred))).float()
    color = losses.color_loss(ab_pred, ab, config.color_loss, config.color_pivot)
    adversarial = losses.adversarial_loss(scores)
    semantic = losses.class_loss(class_logits.float(), batch.class_target)
    terms = dict(color=color, adversarial=adversarial, semantic=semantic, wasserstein=wasserstein, penalty=penalty)
    if norms:
        for name, term in (("color", color), ("adversarial", config.adversarial_weight * adversarial)):
            (gradient,) = torch.autograd.grad(term, ab_pred, retain_graph=True)
            squares = gradient.float().square().sum()
            if accelerator.num_processes > 1:  # the batch's loss is the mean of the processes'
                squares = accelerator.reduce(squares, "sum") / accelerator.num_processes**2
            terms[f"{name}_grad_norm"] = squares.sqrt()
    optimizers.generator.zero_grad()
    accelerator.backward(color + config.adversarial_weight * adversarial + config.class_weight * semantic)
    if accelerator.num_processes > 1:
        check_all_take_part(accelerator.unwrap_model(nets.generator).generator)
    optimizers.generator.step()
    critic.requires_grad_(True)
    return {name: term.detach() for name, term in terms.items()}


def check_all_take_part(generator: ChromaGAN) -> None:
    """Raise TrainingError if a trained parameter got no gradient in a step of several processes, which would wait for
    it: the next forward pass would end with an error of torch that knows its number alone."""
    idle = [name for name, p in generator.named_parameters() if p.requires_grad and p.grad is None]
    if idle:
        more = f" and {len(idle) - 1} more" if len(idle) > 1 else ""
        raise TrainingError(
            f"parameter {idle[0]}{more} took no part in a step, as every one must with several processes: use it in "
            "every pass, remove it, or train with one process"
        )


def part(images: Tensor, corner: tuple[int, int], side: int) -> Tensor:
    """The part (B, C, side, side) of images (B, C, H, W) whose first row and column are `corner`."""
    top, left = corner
    return images[..., top : top + side, left : left + side]


@torch.no_grad()
def update_average(average: dict[str, Tensor], state: dict[str, Tensor], share: float, step: int) -> None:
    """Update `average` in place with `state`, the weights and buffers after `step`, counted from 1.

    The weight of a step grows as a power of its number, so that at any time the average's mean age is `share` of the
    steps so far (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3.1).
    A constant decay would average over too many steps at first and too few in the end.
    """
    past = 1 / share - 1
    decay = step / (past + step)
    pairs = zip(average.values(), state.values(), strict=True)
    pairs = list({old.data_ptr(): (old, new) for old, new in pairs}.values())  # a shared tensor has several names
    floats = [(old, new) for old, new in pairs if old.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], 1 - decay)
    for old, new in pairs:
        if not old.is_floating_point():
            old.copy_(new)


def resolve_precision(wanted: str, device: torch.device) -> str:
    """Replace "auto" by bf16 on hardware that multiplies bfloat16 faster than float32, else by fp32."""
    if wanted != "auto":
        return wanted
    return "bf16" if fast_dtype(device) == torch.bfloat16 else "fp32"


def autocast(device: torch.device, precision: str):
    """Autocast to bfloat16 if `precision` is "bf16"; operations that need the digits stay in float32."""
    if precision != "bf16":
        return contextlib.nullcontext()
    # No cache: it would return weights that were cast under no_grad, as in Critic.ab_gradient, without their graph.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
