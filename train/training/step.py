"""One training step: the critic's update, then the generator's (Vitoria et al. 2020, algorithm 1).

Every way in which a step is made fast has a switch in TrainConfig; train/benchmark.py shows what each brings.
"""

import math
from types import SimpleNamespace

import torch
import torch.distributed as dist
from accelerate import Accelerator
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from chromagan.colorizer import native_dtype
from chromagan.hub.model import ChromaGAN
from chromagan.network import losses
from chromagan.network.critic import Critic
from chromagan.network.decoders import FEATURE_STRIDE
from chromagan.network.folding import fold_batch_norm
from chromagan.network.trunk import Teacher, Trunk
from train.training.batches import Batch, autocast, cut
from train.training.options import TrainConfig


class GeneratorForward(nn.Module):
    """What a generator computes in training, as the one `forward` that accelerate wraps."""

    def __init__(self, generator: ChromaGAN):
        super().__init__()
        self.generator = generator

    def forward(
        self, L: Tensor, stages: list[Tensor] | None, rows: Tensor, columns: Tensor, whole_L: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """-> ab_pred (B, 2, h, w) of each image's window, class_logits (B, K), ab_pred (b, 2, S, S) of whole images.

        L (B, 1, h, w): lightness of the windows, for a trunk that trains.
        stages: the whole images' kept features of a frozen trunk, in place of L. `rows` (B, h/8) and `columns`
        (B, w/8), in cells, cut the windows behind the global branch: the class of a whole image colors its part.
        whole_L (b, 1, S, S): of the images that are also colored whole, evenly spread over the batch; None: of none.
        """
        if stages is None:
            merged, flat = self.generator.features(L)
        else:
            merged, flat = window_features(self.generator, stages, rows, columns)
        ab_pred, class_logits = self.generator.color(merged, flat), self.generator.class_head(flat)
        ab_whole = None
        if whole_L is not None:
            every = -(-len(rows) // len(whole_L))
            if whole_L.shape[-2:] == ab_pred.shape[-2:]:  # the windows are whole images
                ab_whole = ab_pred[::every]
            elif stages is None:
                ab_whole = self.generator(whole_L)
            else:
                merged = Trunk.merge([stage[::every] for stage in stages])
                ab_whole = self.generator.color(merged, flat[::every])
        return ab_pred, class_logits, ab_whole


def window_features(generator: ChromaGAN, stages: list[Tensor], rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What `generator.color` reads of the windows at cells `rows` (B, h) and `columns` (B, w) of a frozen trunk's
    stages: their merged map (B, C, h, w), and the flattened global map (B, F) of the whole images."""
    merged = Trunk.merge(stages)
    flat = generator.flatten(generator.global_map(merged))
    if rows.shape[1] < merged.shape[-2] or columns.shape[1] < merged.shape[-1]:
        merged = cut(merged.movedim(1, -1), torch.arange(len(merged), device=rows.device), rows, columns)
    return merged, flat


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
    generator: ChromaGAN, critic: Critic, config: TrainConfig, accelerator: Accelerator, teacher: Teacher | None = None
) -> tuple[SimpleNamespace, SimpleNamespace]:
    """The networks and optimizers of `train_step`, on the device and shared by all processes.

    teacher: who judges the colored photos, where config.consistency_weight is not 0.
    """
    if accelerator.num_processes > 1:
        GlobalBatchNorm.convert(generator)
    nets = SimpleNamespace(generator=GeneratorForward(generator), critic=CriticLoss(critic, config.explicit_penalty))
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    for net in (nets.generator, nets.critic):
        net.to(accelerator.device, memory_format=memory_format)
    optimizers = SimpleNamespace(
        generator=adam(_by_rate(generator, config), config.lr, config),
        critic=adam([{"params": critic.parameters()}], config.critic_lr, config),
    )
    if config.compile == "on" or (config.compile == "auto" and accelerator.device.type == "cuda"):
        nets.generator.compile()  # not the critic, which may be differentiated twice: that cannot be compiled
    nets.generator, nets.critic, optimizers.generator, optimizers.critic = accelerator.prepare(
        nets.generator, nets.critic, optimizers.generator, optimizers.critic
    )
    nets.teacher = None  # trains nothing, so accelerate need not know it
    if config.consistency_weight:
        nets.teacher = fold_batch_norm(teacher).to(accelerator.device, memory_format=memory_format)
    return nets, optimizers


def adam(groups: list[dict], lr: float, config: TrainConfig) -> torch.optim.Adam:
    return torch.optim.Adam(groups, lr, betas=(config.beta1, 0.999), fused=config.fused_adam or None)


def _by_rate(generator: ChromaGAN, config: TrainConfig) -> list[dict]:
    """What trains, in groups for Adam: "share" of the learning rate is the group's own."""
    decoder = list(generator.decoder.parameters())
    shared = [p for name, p in generator.named_parameters() if p.requires_grad and not name.startswith("decoder.")]
    share = config.pretrained_lr if config.pretrain_epochs else 1.0
    return [{"params": shared, "share": share}, {"params": decoder, "share": 1.0}]


def set_learning_rates(optimizers: SimpleNamespace, config: TrainConfig, step: int) -> None:
    """Those of `step`, counted from 0. They never depend on where the run will end, so any run can go on."""
    factor = min(1.0, math.sqrt(config.lr_hold / (step + 1))) if config.lr_hold else 1.0
    for optimizer, lr in ((optimizers.generator, config.lr), (optimizers.critic, config.critic_lr)):
        for group in optimizer.param_groups:
            group["lr"] = factor * lr * group.get("share", 1.0)


def train_step(
    batch: Batch, nets: SimpleNamespace, optimizers: SimpleNamespace, config: TrainConfig, accelerator: Accelerator,
    norms: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Update the critic once, then the generator once; return the detached, unweighted loss terms.

    nets.generator: a GeneratorForward; nets.critic: a CriticLoss; nets.teacher: a Teacher, or None without the
    consistency term. optimizers: of the first two, by the same names.
    norms: also return the norms at ab_pred of the gradients of the weighted color, adversarial and consistency terms.
    Nothing here waits for the device.
    """
    mixed_precision = autocast(batch.L.device, config.precision)
    inputs = batch.L, batch.stages, batch.rows, batch.columns, None if batch.whole is None else batch.whole.L
    L, ab = losses.loss_units(batch.L, batch.ab)
    with mixed_precision:
        ab_pred, class_logits, ab_whole = nets.generator(*inputs)
    _, ab_pred = losses.loss_units(batch.L, ab_pred.float())
    if config.share_forward:  # one forward serves both updates
        fake = ab_pred.detach()
    else:
        with mixed_precision, torch.no_grad():
            fake = losses.loss_units(batch.L, nets.generator(*inputs[:-1])[0].float())[1]

    # Critic: Wasserstein loss with gradient penalty.
    with mixed_precision:
        wasserstein, penalty = nets.critic(*(off_grid(x, batch.shift) for x in (L, ab, fake)), batch.mix)
    optimizers.critic.zero_grad()
    accelerator.backward(wasserstein + config.penalty_weight * penalty)
    optimizers.critic.step()

    # Generator, scored by the critic just updated. The critic's weights are held, not its graph: the gradient
    # flows through it to ab_pred.
    critic = accelerator.unwrap_model(nets.critic).critic.requires_grad_(False)
    with mixed_precision:
        scores = critic(off_grid(L, batch.shift), off_grid(ab_pred, batch.shift)).float()
    color_term = losses.color_loss(ab_pred, ab, config.color_pivot)
    if batch.whole is not None:
        whole_L, whole_ab = losses.loss_units(batch.whole.L, batch.whole.ab)
        _, ab_whole = losses.loss_units(batch.whole.L, ab_whole.float())
        color_term = (color_term + losses.color_loss(ab_whole, whole_ab, config.color_pivot)) / 2
    adversarial = losses.adversarial_loss(scores)
    semantic = losses.class_loss(class_logits.float(), batch.class_target)
    terms = dict(color=color_term, adversarial=adversarial, semantic=semantic, wasserstein=wasserstein, penalty=penalty)
    weighted = [
        ("color", config.color_weight * color_term, ab_pred),
        ("adversarial", config.adversarial_weight * adversarial, ab_pred),
    ]
    if batch.whole is not None:
        terms["consistency"] = consistency(whole_L, ab_whole, batch.whole.target, nets.teacher, config)
        weighted.append(("consistency", config.consistency_weight * terms["consistency"], ab_whole))
    if norms:
        for name, term, colors in weighted:
            (gradient,) = torch.autograd.grad(term, colors, retain_graph=True)
            squares = gradient.float().square().sum()
            if accelerator.num_processes > 1:  # the batch's loss is the mean of the processes'
                squares = accelerator.reduce(squares, "sum") / accelerator.num_processes**2
            terms[f"{name}_grad_norm"] = squares.sqrt()
    optimizers.generator.zero_grad()
    accelerator.backward(sum(term for _, term, _ in weighted) + config.class_weight * semantic)
    optimizers.generator.step()
    critic.requires_grad_(True)
    return {name: term.detach() for name, term in terms.items()}


def consistency(L: Tensor, ab_pred: Tensor, target: Tensor, teacher: Teacher, config: TrainConfig) -> Tensor:
    """L_c of whole photos L (b, 1, S, S) colored ab_pred (b, 2, S, S), both in loss units; target (b, K)."""
    srgb = losses.to_srgb(L, ab_pred)
    with autocast(srgb.device, config.precision):
        logits = teacher.logits(srgb.contiguous(memory_format=torch.channels_last))
    return losses.consistency_loss(logits.float(), target)


def off_grid(images: Tensor, shift: tuple[int, int] | None) -> Tensor:
    """The part (B, C, H - 8, W - 8) of images (B, C, H, W) that begins at row and column `shift`; None: all of them."""
    if shift is None:
        return images
    height, width = (side - FEATURE_STRIDE for side in images.shape[-2:])
    return images[..., shift[0] : shift[0] + height, shift[1] : shift[1] + width]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, share: float, step: int) -> None:
    """Take the weights behind `step`, counted from 1, and the buffers into the average of those before.

    Their weight in it grows as a power of the step, so that its mean age is `share` of the steps so far, at whatever
    step it is asked for (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
    section 3.1). One decay for all steps would average too long at first and too short in the end.
    """
    past = 1 / share - 1
    decay = step / (past + step)
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [(old, new) for old, new in pairs if old.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], 1 - decay)
    for old, new in pairs:
        if not old.is_floating_point():
            old.copy_(new)


def resolve_precision(wanted: str, device: torch.device) -> str:
    """ "auto" is bf16 on hardware that multiplies bfloat16 natively, else fp32."""
    if wanted != "auto":
        return wanted
    return "bf16" if native_dtype(device) == torch.bfloat16 else "fp32"
