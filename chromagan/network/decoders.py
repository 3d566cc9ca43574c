"""The five decoders of the study: features (B, 128, H/8, W/8) -> ab_pred (B, 2, H, W).

All decoders read the same 128 fused channels at stride 8 and return ab normalized to [-1, 1] (a tanh
is their last nonlinearity). The layer lists give exactly the parameter counts that the paper prints;
DECODERS, at the end, is the only list of variants. To add a decoder, write its class and add it there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from chromagan.errors import OptionError
from chromagan.network.layers import FEATURE_CHANNELS, batch_norm, conv3, upsample2


class OriginalDecoder(nn.Sequential):
    """ChromaGAN's decoder: nearest-neighbor upsampling between convolutions (Vitoria et al. 2020, figure 2)."""

    def __init__(self):
        super().__init__(
            upsample2("nearest"),  # (B, 128, H/4, W/4)
            conv3(128, 64),
            nn.ReLU(),
            conv3(64, 64),
            nn.ReLU(),
            upsample2("nearest"),  # (B, 64, H/2, W/2)
            conv3(64, 32),
            nn.ReLU(),
            conv3(32, 2),
            nn.Tanh(),
            upsample2("nearest"),  # colors are decided at half resolution and doubled
        )


class CompactDecoder(nn.Sequential):
    """Three bilinear upsamplings, one convolution after each."""

    def __init__(self):
        super().__init__(
            upsample2("bilinear"),  # (B, 128, H/4, W/4)
            conv3(128, 64),
            nn.ReLU(),
            upsample2("bilinear"),  # (B, 64, H/2, W/2)
            conv3(64, 32),
            nn.ReLU(),
            upsample2("bilinear"),  # (B, 32, H, W)
            conv3(32, 2),
            nn.Tanh(),
        )


class TransposedDecoder(nn.Sequential):
    """Learned upsampling: 4x4 transposed convolutions of stride 2, which overlap evenly."""

    def __init__(self):
        super().__init__(
            *self._doubling(128, 64),  # (B, 64, H/4, W/4)
            *self._refining(64, 64),
            *self._doubling(64, 32),  # (B, 32, H/2, W/2)
            *self._refining(32, 16),
            *self._doubling(16, 8),  # (B, 8, H, W)
            conv3(8, 2),
            nn.Tanh(),
        )

    @staticmethod
    def _doubling(in_channels: int, out_channels: int) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1)
        return [convolution, batch_norm(out_channels), nn.ReLU()]

    @staticmethod
    def _refining(in_channels: int, out_channels: int) -> list[nn.Module]:
        return [conv3(in_channels, out_channels), batch_norm(out_channels), nn.ReLU()]


class DepthwiseDecoder(nn.Sequential):
    """Depthwise separable convolutions (Howard et al. 2017): a ninth of the original's parameters.

    The paper does not name the upsampling filter; nearest, the framework's default, is used.
    """

    def __init__(self):
        super().__init__(
            *self._doubling(128, 64),  # (B, 64, H/4, W/4)
            *self._doubling(64, 32),  # (B, 32, H/2, W/2)
            *self._doubling(32, 16),  # (B, 16, H, W)
            conv3(16, 2),
            nn.Tanh(),
        )

    @staticmethod
    def _doubling(in_channels: int, out_channels: int) -> list[nn.Module]:
        return [
            upsample2("nearest"),
            nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1, groups=in_channels),
            batch_norm(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size=1),
            batch_norm(out_channels),
            nn.ReLU(),
        ]


class PixelShuffleDecoder(nn.Sequential):
    """Sub-pixel convolution (Shi et al. 2016): four channels of one cell become four pixels.

    The paper says 1x1 convolutions, but no 1x1 layout has its printed count; this 3x3 one does.
    """

    def __init__(self):
        super().__init__(
            conv3(128, 256),
            nn.PixelShuffle(2),  # (B, 64, H/4, W/4)
            nn.ReLU(),
            conv3(64, 128),
            nn.PixelShuffle(2),  # (B, 32, H/2, W/2)
            nn.ReLU(),
            conv3(32, 32),
            nn.PixelShuffle(2),  # (B, 8, H, W)
            nn.ReLU(),
            conv3(8, 4),
            nn.ReLU(),
            conv3(4, 2),
            nn.Tanh(),
        )


@dataclass(frozen=True)
class DecoderSpec:
    """One row of the table of decoders."""

    build: Callable[[], nn.Module]  # features (B, 128, H/8, W/8) -> ab_pred (B, 2, H, W)
    num_params: int  # as the paper prints it; the tests build the decoder and count
    label: str  # display name
    summary: str  # one line, shown by the demo and on the model card


DECODERS: dict[str, DecoderSpec] = {
    "original": DecoderSpec(OriginalDecoder, 129_762, "Original", "colors decided at half size, doubled as blocks"),
    "compact": DecoderSpec(CompactDecoder, 92_834, "Compact", "bilinear steps: smooth, few layers"),
    "transposed": DecoderSpec(TransposedDecoder, 208_058, "Transposed convolutions", "learns its own upsampling"),
    "depthwise": DecoderSpec(DepthwiseDecoder, 14_066, "Depthwise convolutions", "the smallest by far"),
    "pixelshuffle": DecoderSpec(PixelShuffleDecoder, 378_638, "Pixel shuffle", "channels unfold into pixels"),
}

LABELS: dict[str, str] = {name: spec.label for name, spec in DECODERS.items()}


def build_decoder(name: str) -> nn.Module:
    """Return the untrained decoder `name`; OptionError, listing the known names, for any other.

    Where networks are built without memory, on the device "meta", a decoder is not: its constructor may compute, and
    have tensors that are not among the weights. Its size is that of its class, whatever a config says. Lazy layers get
    their shapes here, from a first pass: weights could not be loaded into them.
    """
    if name not in DECODERS:
        raise OptionError(f"unknown decoder {name!r}; choose from {', '.join(DECODERS)}")
    device = torch.get_default_device()
    with torch.device("cpu" if device.type == "meta" else device):
        decoder = DECODERS[name].build()
        if any(is_lazy(tensor) for tensor in (*decoder.parameters(), *decoder.buffers())):
            with torch.no_grad():
                decoder.eval()(torch.zeros(1, FEATURE_CHANNELS, 4, 4))  # as many cells as the smallest photo has
            decoder.train()
    return decoder
