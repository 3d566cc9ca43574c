"""Batch norm whose statistics are taken over the images of all processes."""

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import Tensor, nn


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch norm whose training statistics are taken over the images of all processes.

    With it, N processes take the same step as one process with the same global batch. (torch's SyncBatchNorm does this
    on GPUs only.) Every process must have equally many images, as is the case here.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.BatchNorm2d.forward(self, x)
        processes = dist.get_world_size()
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x  # statistics are computed in float32
        mean = _SumOverProcesses.apply(wide.mean(dim=(0, 2, 3))) / processes
        centered = wide - mean[:, None, None]
        variance = _SumOverProcesses.apply(centered.square().mean(dim=(0, 2, 3))) / processes
        if self.track_running_stats:
            self._track(mean, variance, processes * x.numel() / x.shape[1])
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (centered * scale[:, None, None]).to(x.dtype)
        scale = scale * self.weight
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Update the running statistics with those of a batch of `count` values a channel."""
        self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / (count - 1), momentum)

    @classmethod
    def convert(cls, module: nn.Module) -> None:
        """Convert every batch norm inside `module` in place; its parameters stay the same tensors."""
        for child in module.modules():
            if type(child) in (nn.BatchNorm2d, BatchNormAct2d):
                child.__class__ = cls if type(child) is nn.BatchNorm2d else GlobalBatchNormAct


class GlobalBatchNormAct(GlobalBatchNorm, BatchNormAct2d):
    """The same for timm's batch norm with activation, in a trunk that trains."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(GlobalBatchNorm.forward(self, x)))


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce in both directions: every process's statistics affect every process's loss."""

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
