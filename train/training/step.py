"""One training step: the critic's update, then the generator's (Vitoria et al. 2020, algorithm 1).

Every way in which a step is made fast has a switch in TrainConfig; train/benchmark.py shows what each brings.
"""

import contextlib
import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
from accelerate import Accelerator
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from chromagan.colorizer import fast_dtype
from chromagan.hub.model import ChromaGAN
from chromagan.network import losses
from chromagan.network.critic import Critic
from chromagan.network.folding import fold_upsampling_for_training
from train.training.batches import Batch
from train.training.options import TrainConfig


class GeneratorForward(nn.Module):
    """What a generator computes in training, as the one `forward` that accelerate wraps."""

    def __init__(self, generator: ChromaGAN):
        super().__init__()
        self.generator = generator

    def forward(
        self, L: Tensor, stages: list[Tensor] | None, rows: Tensor, columns: Tensor, channels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> ab_pred (B, 2, h, w) of each image's window, class_logits (B, K).

        L (B, 1, h, w): lightness of the windows. stages: a frozen trunk's features of them, `rows`, `columns` and
        `channels` as a Batch has them; None: the trunk, which trains, sees L.
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
    """What a critic computes in its own update, as the one `forward` that accelerate wraps."""

    def __init__(self, critic: Critic, explicit_penalty: bool):
        super().__init__()
        self.critic, self.explicit_penalty = critic, explicit_penalty

    def forward(self, L: Tensor, ab: Tensor, ab_pred: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """L, ab, ab_pred in loss units, ab_pred detached; mix (B, 1, 1, 1) -> Wasserstein loss, penalty."""
        fake, real = self.critic(torch.cat([L, L]), torch.cat([ab_pred, ab])).float().chunk(2)
        penalty = losses.gradient_penalty(self.critic, L, ab, ab_pred, mix, self.explicit_penalty)
        return losses.wasserstein_loss(fake, real), penalty


@dataclass
class Networks:
    """The two networks of `train_step`; behind `prepare` they are as accelerate wraps them."""

    generator: GeneratorForward
    critic: CriticLoss


@dataclass
class Optimizers:
    """Those of the two networks."""

    generator: torch.optim.Optimizer
    critic: torch.optim.Optimizer


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all processes' images together.

    With it, N processes take the step that one would with the same global batch. (torch's SyncBatchNorm does the
    same, on GPUs only.) Every process must hold equally many images, as it does here.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.BatchNorm2d.forward(self, x)
        processes = dist.get_world_size()
        wide = x.to(self.weight.dtype)  # statistics of bfloat16 are taken in float32
        mean = _SumOverProcesses.apply(wide.mean(dim=(0, 2, 3))) / processes
        centered = wide - mean[:, None, None]
        variance = _SumOverProcesses.apply(centered.square().mean(dim=(0, 2, 3))) / processes
        with torch.no_grad():
            count = processes * x.numel() / x.shape[1]
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @classmethod
    def convert(cls, module: nn.Module) -> None:
        """Make every batch norm inside `module` one of these, in place; its parameters stay the same tensors."""
        for child in module.modules():
            if type(child) in (nn.BatchNorm2d, BatchNormAct2d):
                child.__class__ = cls if type(child) is nn.BatchNorm2d else GlobalBatchNormAct


class GlobalBatchNormAct(GlobalBatchNorm, BatchNormAct2d):
    """The same for timm's batch norm with its activation, in a trunk that trains."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(GlobalBatchNorm.forward(self, x)))


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce in both directions: every process's statistics touch every process's loss."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def prepare(
    generator: ChromaGAN, critic: Critic, config: TrainConfig, accelerator: Accelerator
) -> tuple[Networks, Optimizers]:
    """The networks and optimizers of `train_step`, on the device and shared by all processes."""
    if accelerator.num_processes > 1:
        GlobalBatchNorm.convert(generator)
    if config.fold_upsampling:
        fold_upsampling_for_training(generator)
    nets = Networks(GeneratorForward(generator), CriticLoss(critic, config.explicit_penalty))
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    for net in (nets.generator, nets.critic):
        net.to(accelerator.device, memory_format=memory_format)
    optimizers = Optimizers(
        generator=adam(_decayed(generator, config), config.lr, config),
        critic=adam([{"params": critic.parameters(), "weight_decay": 0.0}], config.critic_lr, config),
    )
    if config.compile == "on" or (config.compile == "auto" and accelerator.device.type == "cuda"):
        nets.generator.compile()  # not the critic, which may be differentiated twice: that cannot be compiled
    nets.generator, nets.critic, optimizers.generator, optimizers.critic = accelerator.prepare(
        nets.generator, nets.critic, optimizers.generator, optimizers.critic
    )
    return nets, optimizers


def adam(groups: list[dict], lr: float, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over groups with their own weight_decay; where that is 0 it is Adam."""
    return torch.optim.AdamW(groups, lr, betas=(config.beta1, 0.999), fused=config.fused_adam or None)


def _decayed(generator: ChromaGAN, config: TrainConfig) -> list[dict]:
    """What trains, in two groups: kernels and matrices, which decay, and vectors (biases and norms), which do not."""
    trained = [p for p in generator.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def set_learning_rates(optimizers: Optimizers, config: TrainConfig, step: int) -> None:
    """Those of `step`, counted from 0. They never depend on where the run will end, so any run can go on."""
    factor = min(1.0, math.sqrt(config.lr_hold / (step + 1))) if config.lr_hold else 1.0
    for optimizer, lr in ((optimizers.generator, config.lr), (optimizers.critic, config.critic_lr)):
        for group in optimizer.param_groups:
            group["lr"] = factor * lr


def train_step(
    batch: Batch, nets: Networks, optimizers: Optimizers, config: TrainConfig, accelerator: Accelerator,
    norms: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Update the critic once, then the generator once; return the detached, unweighted loss terms.

    norms: also return the norms at ab_pred of the gradients of the weighted color and adversarial terms.
    Nothing here waits for the device.
    """
    mixed_precision = autocast(batch.L.device, config.precision)
    inputs = batch.L, batch.stages, batch.rows, batch.columns, batch.channels
    L, ab = losses.loss_units(batch.L, batch.ab)
    with mixed_precision:
        ab_pred, class_logits = nets.generator(*inputs)
    _, ab_pred = losses.loss_units(batch.L, ab_pred.float())
    if config.share_forward:  # one forward serves both updates
        fake = ab_pred.detach()
    else:
        with mixed_precision, torch.no_grad():
            fake = losses.loss_units(batch.L, nets.generator(*inputs)[0].float())[1]

    # Critic: Wasserstein loss with gradient penalty.
    with mixed_precision:
        seen = (part(images, batch.corner, config.critic_side) for images in (L, ab, fake))
        wasserstein, penalty = nets.critic(*seen, batch.mix)
    optimizers.critic.zero_grad()
    accelerator.backward(wasserstein + config.penalty_weight * penalty)
    optimizers.critic.step()

    # Generator, scored by the critic just updated. The critic's weights are held, not its graph: the gradient
    # flows through it to ab_pred.
    critic = accelerator.unwrap_model(nets.critic).critic.requires_grad_(False)
    with mixed_precision:
        scores = critic(*(part(images, batch.corner, config.critic_side) for images in (L, ab_pred))).float()
    color = losses.color_loss(ab_pred, ab, config.color_pivot)
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
    optimizers.generator.step()
    critic.requires_grad_(True)
    return {name: term.detach() for name, term in terms.items()}


def part(images: Tensor, corner: tuple[int, int], side: int) -> Tensor:
    """The part (B, C, side, side) of images (B, C, H, W) whose first row and column are `corner`."""
    top, left = corner
    return images[..., top : top + side, left : left + side]


@torch.no_grad()
def update_average(average: dict[str, Tensor], state: dict[str, Tensor], share: float, step: int) -> None:
    """Take `state`, weights and buffers behind `step`, counted from 1, into the average of those before, in place.

    Their weight in it grows as a power of the step, so that its mean age is `share` of the steps so far, at whatever
    step it is asked for (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
    section 3.1). One decay for all steps would average too long at first and too short in the end.
    """
    past = 1 / share - 1
    decay = step / (past + step)
    pairs = list(zip(average.values(), state.values(), strict=True))
    floats = [(old, new) for old, new in pairs if old.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], 1 - decay)
    for old, new in pairs:
        if not old.is_floating_point():
            old.copy_(new)


def resolve_precision(wanted: str, device: torch.device) -> str:
    """ "auto" is bf16 on hardware that multiplies bfloat16 faster than float32, else fp32."""
    if wanted != "auto":
        return wanted
    return "bf16" if fast_dtype(device) == torch.bfloat16 else "fp32"


def autocast(device: torch.device, precision: str):
    """bfloat16 convolutions and products where `precision` is "bf16"; what must not lose digits stays float32."""
    if precision != "bf16":
        return contextlib.nullcontext()
    # No cache: a weight that was cast under no_grad, as in Critic.ab_gradient, would be found there without its graph.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
