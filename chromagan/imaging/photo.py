"""Photos as files and as tensors: opened, read down to their lightness, dressed again, written."""

import functools
import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps
from torch import Tensor

from chromagan.imaging import color
from chromagan.imaging.compiled import each_band

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

# The tags below 700 are TIFF's own. These describe the photo; the others say how its pixels lie in the file that was
# read (bits, strips, compression, color model), which is not how they lie in the one that is written.
TIFF_DESCRIPTIONS = {
    ExifTags.Base.DocumentName,
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.PageName,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
}
MAX_JPEG_EXIF = 65_533  # bytes: JPEG keeps the data in one segment
MAX_PIXELS = 178_956_970  # Pillow's own limit, twice Image.MAX_IMAGE_PIXELS: a small file may claim any size


class ImageError(ValueError):
    """A file that is no image, or one that cannot be read."""


@dataclass(frozen=True)
class Photo:
    """What is kept of a photo: everything but its colors."""

    L: Tensor  # (1, 1, H, W), [0, 100], upright
    alpha: Image.Image | None  # mode L, H x W
    profile: bytes | None  # ICC profile of an RGB space, in which the result is written
    exif: bytes  # without the orientation, which has been applied

    def dress(self, image: Image.Image) -> Image.Image:
        """`image`, sRGB, H x W, with what the photo had: color space and profile, EXIF data, alpha channel."""
        if self.profile is not None and not _is_srgb(self.profile):
            image = _convert(image, ImageCms.createProfile("sRGB"), self.profile) or image
        if self.profile is not None:
            image.info["icc_profile"] = self.profile
        if self.exif:
            image.info["exif"] = self.exif
        if self.alpha is not None:
            image.putalpha(self.alpha)
        return image


def open_image(path: str | os.PathLike | BinaryIO, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open and decode an image file of at most `max_pixels`, which is checked before anything is decoded.

    Raises ImageError, naming the file and what is wrong with it.
    """
    if not isinstance(path, str | os.PathLike):
        path, file = getattr(path, "name", "stream"), io.BytesIO(path.read())  # a pipe cannot be sought in
    else:
        file = path
    try:
        image = Image.open(file)
        if image.width * image.height > max_pixels:
            raise Image.DecompressionBombError
        image.load()
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more than {max_pixels / 1e6:.0f} megapixels: make it smaller first") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{path}: it is not an image that can be read") from error
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path}: it is a folder") from error
    except MemoryError:
        raise
    except Exception as error:  # each format's reader has its own ways to fail on a damaged file
        raise ImageError(f"{path}: {_reason(error)}") from error
    return image


def _reason(error: Exception) -> str:
    """One line for what a reader or writer of Pillow raised: OSError says it itself, a KeyError does not."""
    text = " ".join(str(error).split())
    return text if isinstance(error, OSError | SyntaxError | ValueError) and text else f"it is damaged ({error!r})"


def read_photo(image: Image.Image) -> Photo:
    """Lightness and the rest of an image of any mode, upright. ImageError where its pixels cannot be decoded."""
    try:
        image, exif = _upright(image)
        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        profile = _rgb_profile(image)
        if image.mode.startswith(("I", "F")):
            gray = np.asarray(image, dtype=np.float32)  # 16 bits, or floating point of unknown scale
            gray = np.where(np.isfinite(gray), gray, 0)
            peak = gray.max(initial=0)
            white = next(limit for limit in (1, 255, 65535, max(peak, 65535)) if peak <= limit)
            L = color.gray_to_L(torch.from_numpy(np.clip(gray / white, 0, 1))[None])
        else:
            gray = image.mode in ("1", "L", "LA") and "icc_profile" not in image.info
            L = _lightness(image.convert("L") if gray else _to_srgb(image))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow decodes when pixels are asked for
        raise ImageError(f"{getattr(image, 'filename', '') or 'image'}: {_reason(error)}") from error
    return Photo(L[None], alpha, profile, exif)


def write_image(image: Image.Image, path: str | os.PathLike) -> None:
    """Save in the format of the suffix, with the EXIF data and ICC profile in `info`; written beside and renamed.

    Raises ImageError for a suffix that no format has.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}: use {', '.join(IMAGE_SUFFIXES)}"
        )
    # The process and the thread are in the name: several may write copies of one file, and the last one stays.
    beside = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}{suffix}")
    try:
        with beside.open("wb") as file:
            encode_image(image, file, Image.registered_extensions()[suffix])
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def encode_image(image: Image.Image, file: BinaryIO, kind: str, **options) -> None:
    """Write `image` to an open file as `kind`, a Pillow format name, with the EXIF data and ICC profile in `info`.

    options: Pillow's, of that format.
    """
    options |= {name: image.info[name] for name in ("exif", "icc_profile") if name in image.info and kind != "BMP"}
    if kind in ("JPEG", "WEBP"):
        options["quality"] = 95
    if kind == "JPEG" and len(options.get("exif", b"")) > MAX_JPEG_EXIF:
        del options["exif"]  # else the photo could not be written at all
    if kind == "JPEG" and image.mode == "RGBA":  # JPEG has no alpha: show what a white page would
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image).convert("RGB")
    image.save(file, kind, **options)


def to_gray(image: Image.Image) -> Image.Image:
    """The photo as the network sees it: upright, 8-bit gray of the same lightness, with its alpha channel if any."""
    photo = read_photo(image)
    gray = Image.fromarray((255 * color.L_to_gray(photo.L[0, 0])).round().byte().numpy())
    if photo.alpha is not None:
        gray.putalpha(photo.alpha)
    return gray


def to_color(image: Image.Image) -> Image.Image:
    """The photo in its own colors: upright, 8-bit RGB in sRGB; gray where it is gray. What is transparent shows."""
    image, _ = _upright(image)
    return to_gray(image).convert("RGB") if image.mode.startswith(("I", "F")) else _to_srgb(image)


def _upright(image: Image.Image) -> tuple[Image.Image, bytes]:
    """`image` turned as its EXIF orientation says, and the rest of its EXIF data; damaged data are left out."""
    image.load()  # what fails from here on is the EXIF data
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)  # always a copy, which for a large photo costs as much as decoding
        exif = Image.Exif()  # a copy: that of `image` is its owner's
        exif.load(image.getexif().tobytes())
        for tag in list(exif):
            if not _describes_the_photo(tag):
                del exif[tag]
        return image, exif.tobytes() if len(exif) else b""
    except Exception:
        return image, b""


def _describes_the_photo(tag: int) -> bool:
    """Whether an EXIF tag holds as well of the colored photo, which is 8-bit RGB and carries its profile itself."""
    layout = tag < ExifTags.Base.XMLPacket and tag not in TIFF_DESCRIPTIONS
    return not layout and tag != ExifTags.Base.InterColorProfile


def _lightness(image: Image.Image) -> Tensor:
    """Image of mode L or RGB -> L (1, H, W), in bands of rows, so that memory stays bounded."""
    L = np.empty((image.height, image.width), np.float32)
    table = color.gray_to_L(torch.arange(256, dtype=torch.float32) / 255).numpy()

    def read(top: int, bottom: int) -> None:
        pixels = np.array(image.crop((0, top, image.width, bottom)))
        if image.mode == "L":
            np.take(table, pixels, out=L[top:bottom])
        else:
            color.srgb8_to_L(pixels, L[top:bottom])

    each_band(image.height, image.width, read)
    return torch.from_numpy(L)[None]


def _to_srgb(image: Image.Image) -> Image.Image:
    """`image` in RGB mode and sRGB, through its ICC profile where it has one that fits."""
    profile = image.info.get("icc_profile")
    plain = image.convert("RGB") if image.mode in ("P", "PA", "RGBA", "RGBX", "RGBa") else image
    converted = None
    if profile and not _is_srgb(profile):
        converted = _convert(plain, profile, ImageCms.createProfile("sRGB"))
    return converted or (plain if plain.mode == "RGB" else plain.convert("RGB"))


def _convert(image: Image.Image, source, target) -> Image.Image | None:
    """From one ICC profile (bytes, or made by ImageCms) to another; None where one is damaged or does not fit."""
    try:
        source, target = (
            ImageCms.ImageCmsProfile(io.BytesIO(p)) if isinstance(p, bytes) else p for p in (source, target)
        )
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _rgb_profile(image: Image.Image) -> bytes | None:
    """The ICC profile, where it is one of an RGB space that the result can be written in."""
    profile = image.info.get("icc_profile")
    return profile if profile and _parse(profile)[0] == "RGB" else None


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile calls itself sRGB, as those of most cameras do: converting would change nothing."""
    return "srgb" in _parse(profile)[1].lower()


@functools.lru_cache(maxsize=16)  # the photos of a folder share a profile or two
def _parse(profile: bytes) -> tuple[str, str]:
    """Color space and description of an ICC profile; of a damaged one, none and what is usual."""
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return parsed.profile.xcolor_space.strip(), ImageCms.getProfileDescription(parsed)
    except (ImageCms.PyCMSError, OSError):
        return "", "sRGB"
