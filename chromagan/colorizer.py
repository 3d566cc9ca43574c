"""Image in, image out, any size: the lightness is the photo's own, at full resolution; the colors are the network's."""

import math
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from chromagan import chroma, color
from chromagan.checkpoints import find_checkpoint, load_checkpoint
from chromagan.data import IMAGE_SUFFIXES
from chromagan.generator import ChromaGAN

BAND_PIXELS = 1 << 20  # pixels converted at a time: bounds the memory of a large photo, and stays in cache
MAX_PIXELS = 178_956_970  # Pillow's own limit, twice Image.MAX_IMAGE_PIXELS: a small file may claim any size
LONGEST_SIDE = 4  # times the trained size: the most that the network sees of a panorama


class ImageError(ValueError):
    """A file that is no image, or one that cannot be read."""


def open_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open and decode an image file of at most `max_pixels`, which is checked before anything is decoded.

    Raises ImageError, naming the file and what is wrong with it.
    """
    try:
        image = Image.open(path)
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
    except (OSError, SyntaxError, ValueError) as error:  # each format's reader has its own way to fail
        raise ImageError(f"{path}: {error}") from error
    return image


class Colorizer:
    """One decoder at one epoch, ready to color photos.

    colorizer = Colorizer.from_pretrained("checkpoints", decoder="transposed", epoch=900)
    image = colorizer(Image.open("photo.jpg"))
    """

    def __init__(self, model: ChromaGAN, device: str | torch.device = "auto"):
        self.device = pick_device(device)
        self.model = model.to(self.device).requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike,
        decoder: str | None = None,
        epoch: int | None = None,
        device: str | torch.device = "auto",
    ) -> "Colorizer":
        """Load `decoder` at `epoch` from a source; None is the source's first decoder and that one's newest epoch.

        Raises CheckpointError where the source has no such checkpoint or it cannot be used.
        """
        return cls(load_checkpoint(find_checkpoint(source, decoder, epoch)), device)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Color `image`: same size, same lightness, RGB (RGBA where it had an alpha channel), 8 bits.

        Any mode is taken; a photo that has colors already is taken by its lightness. Its EXIF orientation is
        applied, so that the result is upright without it.
        """
        L, alpha = read_lightness(image)
        return render(L, self.predict_ab(L), alpha)

    @torch.inference_mode()
    def predict_ab(self, L: Tensor) -> Tensor:
        """L (1, 1, H, W) in [0, 100], any size -> ab (1, 2, h, w) in CIELAB units, at the network's own size."""
        height, width = self.working_size(*L.shape[-2:])
        small = F.interpolate(L.to(self.device), size=(height, width), mode="bilinear", antialias=True)
        return color.denormalize_ab(self.model(color.normalize_L(small.clamp(0, 100))))

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the network sees an image: its own aspect ratio, as many pixels as in training.

        Sides are multiples of config.size_multiple; a model of one size only sees every image at that size.
        """
        config = self.model.config
        if not config.any_size:
            return config.image_size, config.image_size
        scale = config.image_size / math.sqrt(height * width)
        longest = LONGEST_SIDE * config.image_size

        def fit(side: int) -> int:
            multiples = round(side * scale / config.size_multiple)
            return config.size_multiple * min(max(multiples, 1), longest // config.size_multiple)

        return fit(height), fit(width)


def read_lightness(image: Image.Image) -> tuple[Tensor, Image.Image | None]:
    """Upright lightness (1, 1, H, W) in [0, 100] of an image of any mode, and its alpha channel where it has one."""
    image = ImageOps.exif_transpose(image)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode.startswith(("I", "F")):
        gray = np.asarray(image, dtype=np.float32)  # 16 bits, or floating point of unknown scale
        peak = gray.max(initial=0)
        white = next(limit for limit in (1, 255, 65535, max(peak, 65535)) if peak <= limit)
        bands = [torch.from_numpy(np.clip(gray / white, 0, 1)).expand(3, -1, -1)]
    else:
        rgb = np.asarray(image.convert("RGB"))
        rows = max(1, BAND_PIXELS // image.width)
        bands = (torch.from_numpy(rgb[y : y + rows].copy()).movedim(-1, 0) / 255 for y in range(0, image.height, rows))
    return torch.cat([color.srgb_to_L(band) for band in bands], dim=-2)[None], alpha


def to_gray(image: Image.Image) -> Image.Image:
    """The photo as the network sees it: upright, 8-bit gray of the same lightness, with its alpha channel if any."""
    L, alpha = read_lightness(image)
    gray = Image.fromarray((255 * color.L_to_gray(L[0, 0])).round().byte().numpy())
    if alpha is not None:
        gray.putalpha(alpha)
    return gray


@torch.inference_mode()
def render(L: Tensor, ab: Tensor, alpha: Image.Image | None = None) -> Image.Image:
    """L (1, 1, H, W) and ab (1, 2, h, w), in CIELAB units -> 8-bit sRGB image of H x W, with `alpha` if given."""
    height, width = L.shape[-2:]
    ab = chroma.upsample(ab.to(L.device), (height, width))
    pixels = torch.empty(height, width, 3, dtype=torch.uint8)
    rows = max(1, BAND_PIXELS // width)
    for y in range(0, height, rows):
        band = slice(y, y + rows)
        srgb = chroma.fit_gamut(torch.cat([L[..., band, :], ab[..., band, :]], dim=1))
        pixels[band] = (255 * srgb[0]).round().to(torch.uint8).movedim(0, -1)
    image = Image.fromarray(pixels.numpy())
    if alpha is not None:
        image.putalpha(alpha)
    return image


def pick_device(device: str | torch.device) -> torch.device:
    """The torch device; "auto" is the first of CUDA, MPS and CPU. ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"device {str(device)!r} is not available: use auto, cpu, cuda or mps") from error


def write_image(image: Image.Image, path: str | os.PathLike) -> None:
    """Save in the format of the suffix, written beside and renamed; ImageError for a suffix that no format has."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}: use {', '.join(IMAGE_SUFFIXES)}"
        )
    if suffix in (".jpg", ".jpeg") and image.mode == "RGBA":  # JPEG has no alpha: show what a white page would
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image).convert("RGB")
    options = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"quality": 95}}.get(suffix, {})
    beside = path.with_name(f".{path.stem}.{os.getpid()}{suffix}")
    try:
        image.save(beside, **options)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
