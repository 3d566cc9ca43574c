"""The critic: a PatchGAN that scores how real the colors of each patch look, given its lightness."""

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
            x = conv(F.pad(x, self._padding(conv)))
        return x

    def ab_gradient(self, L: Tensor, ab: Tensor) -> Tensor:
        """The gradient (B, 2, H, W) of the sum of each image's scores with respect to its ab.

        Equal to autograd's, and differentiable with respect to the weights, by one backward pass instead of two:
        between the kinks of its LeakyReLUs the critic is linear, so the gradient is a chain of transposed
        convolutions with the slopes of the forward pass as constant factors, and the forward pass itself needs no
        graph. That saves 10 of the 60 GFLOP per 224x224 image of the paper's critic update. H and W are multiples of 8.
        """
        with torch.no_grad():
            x = torch.cat([L, ab], dim=1)
            slopes = []
            for conv in self.convs[:-1]:
                x = conv(F.pad(x, self._padding(conv)))
                slopes.append(torch.full_like(x, self.SLOPE).masked_fill_(x > 0, 1))
                x = F.leaky_relu(x, self.SLOPE)
        gradient = torch.ones_like(x[:, :1])  # of the sum with respect to the scores, of the last map's size
        for layer in reversed(range(len(self.convs))):
            conv = self.convs[layer]
            weight = conv.weight if layer else conv.weight[:, 1:]  # of the input, only ab
            gradient = F.conv_transpose2d(gradient, weight, stride=conv.stride, padding=1)
            if conv.stride == (1, 1):  # the extra padding at the end
                gradient = gradient[..., :-1, :-1]
            if layer:
                gradient = gradient * slopes[layer - 1]
        return gradient

    @staticmethod
    def _padding(conv: nn.Conv2d) -> tuple[int, int, int, int]:
        """ "Same" padding of an even kernel: 1 + 1 at stride 2, 1 + 2 (the extra one at the end) at stride 1."""
        return (1, 1, 1, 1) if conv.stride == (2, 2) else (1, 2, 1, 2)
