"""The critic: a PatchGAN that scores how real the colors of each patch are, given its lightness."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Critic(nn.Module):
    """PatchGAN of five 4x4 convolutions (Isola et al. 2017; Vitoria et al. 2020, section 3.2).

    Scores are unbounded: this is a Wasserstein critic, so there is no sigmoid, and no normalization
    layer, which would tie the images of a batch together and void the per-image gradient penalty.

    width: channels of the first layer; the paper's is 64, and half of it costs a quarter.
    """

    SLOPE = 0.3  # LeakyReLU's default in Keras, where the reference was written

    def __init__(self, width: int = 64):
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 8 * width, 1]
        strides = [2, 2, 2, 1, 1]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=4, stride=s) for i, o, s in zip(channels, channels[1:], strides)
        )

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """L (B, 1, H, W) and ab (B, 2, H, W), both in loss units [0, 1] -> scores (B, 1, H/8, W/8)."""
        x = torch.cat([L, ab], dim=1)
        for layer, conv in enumerate(self.convs):
            if layer:
                x = F.leaky_relu(x, self.SLOPE)
            # "Same" padding of an even kernel: 1 + 1 at stride 2, 1 + 2 (the extra one behind) at stride 1.
            x = conv(F.pad(x, (1, 1, 1, 1) if conv.stride == (2, 2) else (1, 2, 1, 2)))
        return x
