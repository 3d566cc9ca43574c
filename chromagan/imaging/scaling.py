"""Scaling of maps."""

import torch.nn.functional as F
from torch import Tensor


def scaled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, H, W) -> (B, C, *size), bilinear, antialiased along axes that shrink."""
    if size[1] == 1:  # torch's kernel for the CPU would repeat the first row all the way down
        return F.interpolate(maps.mT.contiguous(), size=size[::-1], mode="bilinear", antialias=True).mT
    return F.interpolate(maps, size=size, mode="bilinear", antialias=True)
