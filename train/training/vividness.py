"""How vivid a network's colors are, set once it is trained: the gain of chromagan.network.generator.vivid.

Whatever rewards being right makes colors paler than the true ones, by how much depends on the decoder and the epoch.
Reading a network out more vividly is common (Zhang et al. 2016, section 2.3, do it by a temperature); here the gain is
found on training photos, so that networks are compared at one colorfulness, and config.json says how pale each was.
"""

from dataclasses import replace

import torch
from torch import Tensor

from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.imaging.chroma import fit_gamut
from chromagan.measures import metrics
from chromagan.network.generator import vivid

PHOTOS = 256  # as many are enough
GAINS = (0.25, 4.0)  # no network that has learned anything lies beyond
SPARSE = slice(1, None, 3)  # rows and columns that are looked at; 3 has no period in common with the decoders' 8


@torch.inference_mode()
def calibrate(model: ChromaGAN, images: Tensor, share: float) -> float:
    """Give `model` the chroma gain with which the mean colorfulness of `images`, as it colors them, is `share` of that
    of their true colors; return it. It stays within GAINS: where the share lies beyond, it is the nearer end.

    images: uint8 sRGB (N, 3, S, S), colored ones. model: in eval mode, on any device.
    """
    model.config = replace(model.config, chroma_gain=0.0)
    device = next(model.parameters()).device
    lightness, colors, true = [], [], []
    for image in images.split(1):  # one by one: the gain depends on the photos, not on the memory there is
        srgb = image.to(device, torch.float32) / 255
        L = color.srgb_to_L(srgb)
        colors.append(model(color.normalize_L(L))[..., SPARSE, SPARSE])
        lightness.append(L[..., SPARSE, SPARSE])
        true.append(metrics.colorfulness(srgb[..., SPARSE, SPARSE]))
    L, ab, wanted = torch.cat(lightness), torch.cat(colors), share * torch.cat(true).mean()

    def colorfulness(gain: float) -> Tensor:
        return metrics.colorfulness(fit_gamut(torch.cat([L, color.denormalize_ab(vivid(ab, gain))], dim=1))).mean()

    low, high = GAINS
    for _ in range(16):  # bisection, to 1 in 20,000
        middle = (low * high) ** 0.5
        low, high = (middle, high) if colorfulness(middle) < wanted else (low, middle)
    gain = (low * high) ** 0.5
    model.config = replace(model.config, chroma_gain=gain)
    return gain
