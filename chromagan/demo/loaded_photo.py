"""An uploaded photo: what the networks see of it, and its own colors to compare a coloring with."""

import functools
import hashlib
import os
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from chromagan.imaging.color import to_tensor
from chromagan.imaging.photo import Photo, averageable, count_pages, open_image, read_photo, srgb_image
from chromagan.imaging.scaling import scaled
from chromagan.measures import metrics

SHOWN_SIDE = 1600  # pixels, at most, on the page; downloads are full-size
SMALL_SIDE = 400  # pixels, for a photo among many


@dataclass(frozen=True)
class LoadedPhoto:
    """A photo as the page uses it: what the networks see of it, and its own colors to compare with."""

    digest: str  # of the file
    shown: Photo  # at most SHOWN_SIDE, without profile and EXIF data
    truth: Image.Image  # sRGB, same size: the photo itself, in its own colors if it has any
    pages: int = 1  # of the file, of which the first is shown

    @functools.cached_property
    def colored(self) -> bool:
        """Whether the photo has colors to compare with: a gray photo has none, nor has a toned one, such as sepia."""
        small = self.truth.copy()
        small.thumbnail((SMALL_SIDE, SMALL_SIDE))
        pixels = to_tensor(np.array(small))
        chroma = min(metrics.mean_chroma(pixels), metrics.chroma_beyond_tone(pixels))
        return float(chroma) >= metrics.GRAY_CHROMA

    @functools.cached_property
    def small(self) -> Photo:
        """The photo with its longer side at most SMALL_SIDE pixels."""
        return resize_photo(self.shown, SMALL_SIDE)

    def at(self, side: int) -> Photo:
        """The photo with its longer side at most `side` pixels."""
        return self.small if side == SMALL_SIDE else resize_photo(self.shown, side)

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        pixels = self.shown.L.numel()
        return pixels * (4 + 3 + (self.shown.alpha is not None))


def load_photo(path: str | os.PathLike, max_pixels: int) -> LoadedPhoto:
    """The photo in a file; ImageError if it is not an image, is damaged or has too many pixels."""
    digest = file_digest(path)
    image = open_image(path, max_pixels)
    pages = count_pages(image)
    image = averageable(image)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    photo = read_photo(image)
    return LoadedPhoto(digest, replace(photo, profile=None, info={}), srgb_image(image), pages)


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal; OSError if it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resize_photo(photo: Photo, side: int) -> Photo:
    """`photo`, scaled down if its longer side exceeds `side` pixels."""
    height, width = photo.L.shape[-2:]
    scale = side / max(height, width)
    if scale >= 1:
        return photo
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    L = scaled(photo.L, (height, width)).clamp_(0, 100)
    alpha = photo.alpha and photo.alpha.resize((width, height), Image.Resampling.BILINEAR)
    return replace(photo, L=L, alpha=alpha)
