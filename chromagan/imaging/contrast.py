"""The contrast of faded and dark photos, as networks need it: they are trained on photos from black to white."""

import numpy as np
import torch
from torch import Tensor

BLACK, WHITE = 5, 95  # L to which the darkest and the lightest parts of a faded photo are brought
FADED, SOUND = 50, 70  # L from those to these parts: at most that of a faded photo, at least that of one left alone
TAIL = 1  # percent of the pixels darker or lighter than those parts: specks, scratches, glare
BORDER = 0.1  # of each side, which is not looked at: the white border of a print, the black one of a slide
MOST_GAIN = 4  # beyond, the noise of a nearly blank photo would be taken for things


def stretch_contrast(L: Tensor) -> Tensor:
    """Linear contrast stretching of a photo that uses only a part of the range from black to white, between percentiles
    of its lightness (Gonzalez and Woods, "Digital Image Processing").

    L: (1, 1, H, W), [0, 100], on the CPU. Returns the same shape, clipped to [0, 100]; a photo of contrast SOUND or
    more is returned as it is, and from there to FADED the stretch grows from none to all of it. None loses contrast.
    """
    height, width = L.shape[-2:]
    top, left = int(BORDER * height), int(BORDER * width)
    inside = L[0, 0, top : height - top, left : width - left]
    dark, light = np.percentile(inside.numpy(), [TAIL, 100 - TAIL]).tolist()
    share = min((SOUND - (light - dark)) / (SOUND - FADED), 1)
    if share <= 0:
        return L
    low, high = dark - share * max(dark - BLACK, 0), light + share * max(WHITE - light, 0)
    gain = min((high - low) / max(light - dark, 1e-6), MOST_GAIN)
    half = gain * (light - dark) / 2
    # In the middle of the new range, or, where the gain is at its limit, as near to where it was as that range allows.
    middle = min(max((dark + light) / 2, low + half), high - half)
    return torch.clamp((L - (dark + light) / 2) * gain + middle, 0, 100)
