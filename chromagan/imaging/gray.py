"""Gray images of more than 8 bits, integers and floats: their black and white values, and their lightness."""

import functools

import numpy as np
import torch
from PIL import ExifTags, Image

from chromagan.imaging import color, profiles
from chromagan.imaging.compiled import each_band

FULL = 65_535  # of 16 bits
INTEGER_SCALES = (1, 255, FULL, 2**31 - 1, 2**32 - 1)  # candidates for white, if a 32-bit file does not declare it
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # TIFF's sample formats
MAX_SAMPLE_VALUE, S_MAX_SAMPLE_VALUE = 281, 341  # TIFF tags


def is_deep(image: Image.Image) -> bool:
    """Whether an image is gray with more than 8 bits: Pillow's modes I;16, I;16B, I, F and similar."""
    return image.mode.startswith(("I", "F"))


def declared_range(image: Image.Image) -> tuple[float, float] | None:
    """The values of black and white that the file of a deep gray declares; None if they have to be guessed.

    For 16 bits they are 0 and 65535, unless a TIFF declares that zero is white, or that fewer bits are used: by the
    bits per sample, or by a maximum of 2^n - 1 (any other maximum only describes this picture).
    """
    tags = getattr(image, "tag_v2", None) or {}
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))[0]
    sample = tags.get(ExifTags.Base.SampleFormat, (1,))[0]
    zero_is_white = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    most = _first(tags.get(S_MAX_SAMPLE_VALUE)) or _first(tags.get(MAX_SAMPLE_VALUE)) or 0
    whole = float(most).is_integer() and (int(most) + 1).bit_count() == 1  # Pillow gives some as floats
    declared = most >= 255 and whole and (sample == FLOAT or most < 2**bits)
    if declared:
        white = most
    elif image.mode.startswith("I;16") or (image.mode == "I" and tags and bits < 32):
        white = 2**bits - 1 if sample != SIGNED else 2 ** (bits - 1) - 1
    elif image.mode == "I" and image.format in ("PNG", "PPM"):
        white = FULL  # to which Pillow scales a PPM's maximum
    elif zero_is_white:
        white = 1 if image.mode == "F" else 2**bits - 1
    else:
        return None
    return (white, 0) if zero_is_white else (0, white)


def is_unsigned(image: Image.Image) -> bool:
    """Whether the file of a deep gray says that its numbers have no sign: Pillow reads 32 bits as if they had."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(ExifTags.Base.SampleFormat, (UNSIGNED,))[0] == UNSIGNED


def lightness(
    image: Image.Image, declared: tuple[float, float] | None, profile: bytes | None, unsigned: bool = False
) -> np.ndarray:
    """L (H, W) float32 in [0, 100] of a deep gray.

    declared: black and white from `declared_range`; None guesses them. profile: ICC, applied if it is a gray profile.
    unsigned: from `is_unsigned`.
    Values beyond black and white are clipped; NaN is black.
    """
    table = profiles.gray_lightness(profile) if profiles.color_space(profile) == "GRAY" else None
    table = srgb_lightness() if table is None else table
    pixels, L = np.asarray(image), np.empty((image.height, image.width), np.float32)
    if pixels.dtype == np.int32 and unsigned:
        pixels = pixels.view(np.uint32)
    black, white = declared or (0, _guessed_white(pixels))
    levels = table
    if pixels.dtype.itemsize == 2:  # a table of all values
        levels = table[_levels(np.arange(1 << 16), black, white)]

    def read(top: int, bottom: int) -> None:
        band = pixels[top:bottom]
        np.take(levels, band if band.dtype.itemsize == 2 else _levels(band, black, white), out=L[top:bottom])

    each_band(image.height, image.width, read)
    return L


def alpha_of_key(image: Image.Image) -> Image.Image | None:
    """The alpha channel of a deep gray with a transparent value; None without one."""
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))


def _first(value):
    return value[0] if isinstance(value, tuple) and value else value


def _guessed_white(pixels: np.ndarray) -> float:
    """White of an image that does not declare it: the smallest common scale that fits its values.

    Non-integer floats are on a scale of 1 if most are at most 1: highlights may exceed it.
    """
    pixels = pixels[np.isfinite(pixels)]
    peak = pixels.max(initial=0)
    if peak > 1 and pixels.dtype.kind == "f" and np.any(pixels != np.rint(pixels)):
        above = np.count_nonzero(pixels > 1) / pixels.size
        return 1 if above < 0.25 else next((scale for scale in (255, FULL) if peak <= scale), peak)
    return next((scale for scale in INTEGER_SCALES if peak <= scale), peak)


def _levels(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Sample values -> 0 (black) to 65535 (white)."""
    scaled = (values - np.float64(black)) * (FULL / (white - black))
    return np.rint(np.nan_to_num(scaled, nan=0, posinf=0, neginf=0).clip(0, FULL)).astype(np.uint16)


@functools.cache
def srgb_lightness() -> np.ndarray:
    """L of every 16-bit gray of sRGB: (65536,) float32; for 8 bits, every 257th."""
    return color.gray_to_L(torch.arange(1 << 16, dtype=torch.float32, device="cpu") / FULL).numpy()
