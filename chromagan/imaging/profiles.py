"""ICC profiles by their effect, never by their names: conversion to sRGB and back, and the lightness of a gray.

Everything that depends only on a profile is cached: the photos of a folder share a profile or two.
"""

import functools
import hashlib
import io
import threading
from collections.abc import Callable

import cachetools
import numpy as np
import torch
from PIL import Image, ImageCms

from chromagan.imaging import color


def cached(maxsize: int) -> Callable:
    """A cache for functions of a profile. Its keys are digests: a profile in a photo may have megabytes."""

    def digest(profile: bytes | None) -> bytes:
        return hashlib.sha256(profile or b"").digest()

    return cachetools.cached(cachetools.LRUCache(maxsize), digest, threading.Lock())


SAME = 1  # 8-bit steps: a profile that changes no color by more counts as sRGB
KEPT = 1.0  # L: a profile can hold a result if a round trip through it changes no lightness by more


@cached(16)
def color_space(profile: bytes | None) -> str:
    """The color space of a profile: "RGB", "GRAY", "CMYK", "Lab" ...; "" for None or a damaged profile."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile or b"")).profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError):
        return ""


@cached(16)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile leaves sRGB unchanged, within an 8-bit step."""
    converted = to_srgb(_test_colors(), profile)
    if converted is None:
        return False
    return np.abs(np.asarray(converted).astype(int) - np.asarray(_test_colors())).max() <= SAME


@cached(16)
def holds_results(profile: bytes) -> bool:
    """Whether sRGB survives a round trip through an RGB profile with its lightness.

    False for input-only profiles, as scanners have, for a small gamut, and for profiles whose 8 bits are too coarse in
    the shadows, such as linear light.
    """
    written = from_srgb(_test_colors(), profile)
    again = written and to_srgb(written, profile)
    if not again:
        return False
    L = [np.empty((image.height, image.width), np.float32) for image in (_test_colors(), again)]
    for image, out in zip((_test_colors(), again), L, strict=True):
        color.srgb8_to_L(np.array(image), out)
    return np.abs(L[0] - L[1]).max() <= KEPT


@cached(4)
def gray_lightness(profile: bytes) -> np.ndarray | None:
    """L of every 16-bit gray under a gray profile: (65536,) float32, read-only; None for a damaged profile.

    For 8 bits, every 257th.
    """
    ramp = Image.fromarray(np.arange(1 << 16, dtype=np.uint16)[None])
    converted = _convert(ramp, profile, None, ImageCms.Flags.NOOPTIMIZE)  # else sampled at 33 grays: 2 L off
    if converted is None:
        return None
    levels = np.asarray(converted)[0, :, 1].astype(np.float32) / 255
    table = color.gray_to_L(torch.from_numpy(_unrounded(levels))).numpy()
    table.flags.writeable = False
    return table


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` of the profile's own mode in sRGB, mode RGB; None if the profile is damaged or of another space."""
    return _convert(image, profile, None)


def from_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image`, RGB in sRGB, converted to `profile`; None if that is not possible."""
    return _convert(image, None, profile)


def lab_to_srgb(image: Image.Image) -> Image.Image | None:
    """`image` of mode LAB, which is CIELAB under D50, in sRGB, mode RGB."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return _convert(image, lab, None)


def _unrounded(levels: np.ndarray) -> np.ndarray:
    """An ascending curve that was rounded to steps, as lines from the middle of each step to the next."""
    values, first = np.unique(levels, return_index=True)
    if len(values) < 2 or np.any(np.diff(first) < 0):  # only black, or inverted
        return levels
    middle = (first + np.append(first[1:], len(levels)) - 1) / 2
    middle[0], middle[-1] = 0, len(levels) - 1
    return np.interp(np.arange(len(levels)), middle, values).astype(np.float32)


@functools.cache
def _test_colors() -> Image.Image:
    """All grays, and all combinations of nine steps per channel: 985 colors of sRGB."""
    steps = np.linspace(0, 255, 9).round()
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    grays = np.repeat(np.arange(256)[:, None], 3, axis=1)
    return Image.fromarray(np.concatenate([cube, grays])[None].astype(np.uint8))


def _convert(
    image: Image.Image, source: bytes | None, target: bytes | None, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> Image.Image | None:
    """Convert from one profile to another, with None for sRGB; None if one is damaged or does not fit."""
    try:
        source, target = (
            ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("sRGB")
            for profile in (source, target)
        )
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
