"""What the demo that tests talk to is made of, and what its answers are held against."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

EPOCHS = {"compact": (0, 3), "transposed": (0, 8, 9)}  # so that (transposed, 3) is a pair that is not there
GENERAL_EPOCHS = {"compact": (5,), "transposed": (6,)}  # beside them, for photos of any kind
ERRORS = {"transposed": {0: 20.5, 8: 9.87, 9: 12.3}}  # CIEDE2000, where it was measured: not the newest is recommended


def metrics(decoder: str, epoch: int) -> dict | None:
    """Those of a checkpoint of EPOCHS; None where it was not measured."""
    if epoch not in ERRORS.get(decoder, ()):
        return None
    error = {"value": ERRORS[decoder][epoch]}
    return {"split": "validation", "colored": {"images": 1234, "ciede2000_mean": error, "colorfulness_ratio": 0.42}}


def variables(source: Path, scratch: Path) -> dict[str, str]:
    """Of the environment of a demo with the checkpoints of `source`.

    scratch: the system's folder for temporary files, so that the demo makes its own in it. A clone may lie in the real
    one; what Gradio serves from there needs no leave, elsewhere it does.
    """
    scratch.mkdir(exist_ok=True)
    return {"CHROMAGAN_SOURCE": str(source), "TMPDIR": str(scratch)}


def lightness(path) -> np.ndarray:
    return rgb2lab(np.asarray(Image.open(path).convert("RGB")))[..., 0]
