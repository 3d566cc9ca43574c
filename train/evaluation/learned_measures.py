"""Measures whose weights must be downloaded from their authors: they run if the weights are present, else report what
is missing.

Nothing is downloaded here: an evaluation should not wait for a network, nor give other measures when it has one.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chromagan.imaging import color


def _hub_file(name: str) -> Path:
    return Path(torch.hub.get_dir(), "checkpoints", name)


class LPIPS:
    """Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1 on AlexNet; 0 for equal images."""

    name, column = "LPIPS", "lpips"
    WEIGHTS = "alexnet-owt-7be5be79.pth"

    @classmethod
    def missing(cls) -> str | None:
        """One line on what is missing and how to get it; None if nothing is missing."""
        if importlib.util.find_spec("lpips") is None:
            return "LPIPS left out: the package is missing; pip install lpips, then run lpips.LPIPS(net='alex') once"
        if not _hub_file(cls.WEIGHTS).is_file():
            return (
                f"LPIPS left out: AlexNet's weights are missing; while online, run "
                f"python -c \"import lpips; lpips.LPIPS(net='alex')\" once, which puts {cls.WEIGHTS} in torch's cache"
            )
        return None

    def __init__(self, device: torch.device):
        import lpips

        self.net = lpips.LPIPS(net="alex", verbose=False).to(device).eval()

    def __call__(self, image: Tensor, truth: Tensor) -> float:
        """Both (1, 3, H, W) in [0, 1]."""
        return self.net(image, truth, normalize=True).item()


class Inception:
    """Features of the Inception network that defines FID (Heusel et al. 2017), in torch-fidelity's port."""

    name, column = "FID", None
    WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("torch_fidelity") is None:
            return (
                "FID left out: Inception's port is missing; pip install torch-fidelity, then run its "
                "FeatureExtractorInceptionV3 once; a Fréchet distance on another network's features is given instead"
            )
        if not _hub_file(cls.WEIGHTS).is_file():
            return (
                f"FID left out: Inception's weights are missing; while online, run torch-fidelity's "
                f"FeatureExtractorInceptionV3 once, which puts {cls.WEIGHTS} in torch's cache"
            )
        return None

    def __init__(self, device: torch.device):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device).eval()

    def __call__(self, image: Tensor, truth: Tensor) -> np.ndarray:
        return self.net(color.to_uint8(image))[0][0].float().cpu().numpy()


LEARNED_MEASURES = (LPIPS, Inception)
