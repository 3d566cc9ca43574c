"""Photos that are made for tests, and folders of them."""

import numpy as np
from PIL import Image


def made_photo(seed: int, height: int = 64, width: int = 64) -> Image.Image:
    """Colored rectangles on a gradient, with a little noise: edges, flat parts and texture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows / height * 255, columns / width * 255, np.full_like(rows, 128)], axis=-1).astype(float)
    for _ in range(6):
        top, left = rng.integers(height), rng.integers(width)
        pixels[top : top + height // 3, left : left + width // 3] = rng.integers(0, 256, 3)
    pixels += rng.normal(0, 4, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def folder_of(path, pictures, classes=("n01440764", "n02102040")):
    for index, picture in enumerate(pictures):
        target = path / "validation" / classes[index % len(classes)] / f"{index:03}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(target)
    return path
