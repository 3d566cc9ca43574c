"""Photos as old prints and scans have them: soft and grainy.

Trained on sharp and clean photos alone, a network colors others falsely, since what it takes for things are edges and
grain. With --degraded-share it sees degraded ones, too, as in restoring old photos (Wan et al., "Bringing Old Photos
Back to Life", CVPR 2020). Blur softens their colors as well; grain leaves them alone.
"""

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from tqdm import tqdm

from chromagan.imaging import color

# The strongest of each, at 224 pixels; for a photo it is drawn evenly from none to that.
BLUR = 1.5  # standard deviation in pixels
GRAIN = 4.0  # standard deviation in L
CLUMPS = 1.0  # of grain, which film and scanner blur, too: standard deviation in pixels


def degrade(images: Tensor, share: float, seed: int) -> Tensor:
    """The photos, of which the drawn `share` are degraded.

    images: uint8 sRGB (N, 3, S, S), which stays as it is. What is drawn depends on `seed` and N alone.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.rand(len(images), generator=generator) < share).nonzero()[:, 0].tolist()
    if not drawn:
        return images
    images = images.clone()
    for index in tqdm(drawn, "degrade", unit=" images", leave=False):
        images[index] = _degraded(images[index], generator)
    return images


def _degraded(image: Tensor, generator: torch.Generator) -> Tensor:
    """One photo, uint8 (3, S, S)."""
    blur, grain, clumps = torch.rand(3, generator=generator).tolist()
    lab = color.srgb_to_lab(soft(image.float() / 255, BLUR * blur))
    lab[:1] = grainy(lab[:1], GRAIN * grain, CLUMPS * clumps, generator)
    return color.to_uint8(color.lab_to_srgb(lab).clamp(0, 1))


def soft(image: Tensor, deviation: float) -> Tensor:
    """An image of any channels (C, H, W), blurred by a Gaussian of that standard deviation in pixels; none is 0."""
    return torch.from_numpy(gaussian_filter(image.numpy(), deviation, axes=(1, 2)))


def grainy(L: Tensor, deviation: float, clumps: float, generator: torch.Generator) -> Tensor:
    """L (1, H, W) in [0, 100] with normal noise of that standard deviation, after a blur by `clumps` pixels."""
    noise = soft(torch.randn(L.shape, generator=generator), clumps)
    return (L + deviation * noise / noise.std()).clamp(0, 100)
