"""What the demo that tests talk to is made of, and what its answers are held against."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

EPOCHS = {"compact": (0, 3), "transposed": (0, 8)}  # so that (transposed, 3) is a pair that is not there
GENERAL = {"compact": (5,), "transposed": (6,)}  # beside them, for photos of any kind
METRICS = {"colored": {"images": 1234, "ciede2000_mean": {"value": 9.87}, "colorfulness_ratio": 0.42}}


def variables(source: Path, scratch: Path) -> dict[str, str]:
    """Of the environment of a demo with the checkpoints of `source`.

    scratch: the system's folder for temporary files, so that the demo makes its own in it. A clone may lie in the real
    one; what Gradio serves from there needs no leave, elsewhere it does.
    """
    scratch.mkdir(exist_ok=True)
    return {"CHROMAGAN_SOURCE": str(source), "TMPDIR": str(scratch)}


def lightness(path) -> np.ndarray:
    return rgb2lab(np.asarray(Image.open(path).convert("RGB")))[..., 0]
