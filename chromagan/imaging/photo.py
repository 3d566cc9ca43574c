"""Opening and reading photos: their lightness, their transparency, and what else a result carries over."""

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chromagan.errors import ImageError
from chromagan.imaging import color, gray, profiles
from chromagan.imaging.compiled import each_band
from chromagan.imaging.formats import NEW_SUBFILE_TYPE, PAGED, REDUCED, misread, read_formats, what_it_is
from chromagan.imaging.metadata import upright
from chromagan.imaging.structure import check_structure

MAX_PIXELS = 178_956_970  # Pillow's limit, twice Image.MAX_IMAGE_PIXELS: a small file may declare any size
STEPS = {"L;2": 85, "L;4": 17}  # 8-bit steps per level of a 2-bit or 4-bit gray PNG
ORIENTATION = 274  # TIFF tag
# What readers say of a file whose end is missing, in lower case: each format's in its own words.
TORN = (
    "truncated", "could not create decoder object", "buffer is not large enough", "broken data stream",
    "missing dimensions", "not enough image data", "unexpected end of file", "decoder error",
)  # fmt: skip


@dataclass(frozen=True)
class Photo:
    """A photo without its colors: lightness, transparency, profile and metadata."""

    L: Tensor  # (1, 1, H, W), [0, 100], upright
    alpha: Image.Image | None  # mode L, H x W
    profile: bytes | None  # ICC profile of the RGB space of the result; None is sRGB
    info: dict = field(default_factory=dict)  # by Pillow's names: exif, xmp, iptc, dpi, duration, loop; compressed

    def carry_over(self, image: Image.Image) -> Image.Image:
        """`image`, sRGB, H x W, with the photo's color space, metadata (in `info`) and alpha channel."""
        if self.profile is not None:
            converted = image if profiles.is_srgb(self.profile) else profiles.from_srgb(image, self.profile)
            if converted is not None:
                image = converted
                image.info["icc_profile"] = self.profile
        image.info |= self.info
        if self.alpha is not None:
            image.putalpha(self.alpha)
        return image

    def gray_image(self) -> Image.Image:
        """The photo without its colors: 8-bit gray of the same lightness, with the alpha channel, if any."""
        image = Image.fromarray(color.to_uint8(color.L_to_gray(self.L[0, 0])).numpy())
        if self.alpha is not None:
            image.putalpha(self.alpha)
        return image


def open_image(path: str | os.PathLike | BinaryIO, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open and decode an image file of at most `max_pixels`, which is checked before decoding.

    A multi-page file is at its first page. Raises ImageError, naming the file and the problem.
    """
    file = path
    if not isinstance(path, str | os.PathLike):
        if path.seekable():
            path.seek(0)
        path, file = getattr(path, "name", "stream"), io.BytesIO(path.read())  # a pipe is not seekable
    try:
        if file is path and stat.S_ISFIFO(os.stat(path).st_mode):  # a named pipe, or the shell's <(command)
            with open(path, "rb") as pipe:
                file = io.BytesIO(pipe.read())
        check_structure(file)
        image = Image.open(file, formats=read_formats())
        if image.width * image.height > max_pixels:
            raise Image.DecompressionBombError
        image = _load(image)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more than {max_pixels / 1e6:.0f} megapixels: make it smaller first") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{path}: {_what_it_is(file)}") from error
    except FileNotFoundError as error:
        what = "it is a link to a missing file" if os.path.islink(path) else "no such file"
        raise ImageError(f"{path}: {what}") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path}: it is a folder") from error
    except MemoryError:
        raise
    except Exception as error:  # each format's reader fails differently on a damaged file
        raise ImageError(f"{path}: {reason(error)}") from error
    return image


def count_pages(image: Image.Image) -> int:
    """The number of pages of an opened file: a TIFF's sheets, the frames of an animation, otherwise 1.

    Raises ImageError if they cannot be counted.
    """
    try:
        return getattr(image, "n_frames", 1) if image.format in PAGED else 1
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(f"{_name(image)}: its pages cannot be counted: {reason(error)}") from error


def page_numbers(image: Image.Image) -> list[int]:
    """The pages of an opened file to color: all except thumbnails behind a TIFF's first page.

    Raises ImageError if they cannot be counted, or have more pixels in total than one image may have.
    """
    count = count_pages(image)
    numbers, pixels = list(range(count)), count * image.width * image.height
    if count > 1 and image.format == "TIFF":  # its pages have sizes of their own
        numbers, pixels = [0], image.width * image.height
        try:
            for number in range(1, count):
                _turn_to(image, number)
                if not image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & REDUCED:
                    numbers.append(number)
                    pixels += image.width * image.height
            _turn_to(image, 0)
        except MemoryError:
            raise
        except Exception as error:
            raise ImageError(f"{_name(image)}: page {number + 1}: {reason(error)}") from error
    if count > 1 and pixels > MAX_PIXELS:
        most = f"more than {MAX_PIXELS / 1e6:.0f} megapixels"
        raise ImageError(f"{_name(image)}: {most} in its {len(numbers)} pages: split it")
    return numbers


def read_pages(image: Image.Image, numbers: list[int]) -> Iterator[Photo]:
    """Read the given pages of an opened file; `info` holds each page's duration and the number of loops.

    Raises ImageError, naming the page.
    """
    name = _name(image)
    for number in numbers:
        try:
            if len(numbers) > 1:
                _turn_to(image, number)
            photo = read_photo(image)
        except MemoryError:
            raise
        except Exception as error:
            raise ImageError(f"{name}: page {number + 1}: {reason(error).removeprefix(f'{name}: ')}") from error
        if len(numbers) > 1:
            photo.info.update(_timing(image))
        yield photo


def _turn_to(image: Image.Image, number: int) -> None:
    """Seek to a page. Of a TIFF, Pillow would give it what it lacks itself and the page visited before has: resolution,
    ICC profile, and the palette, put on its pixels whatever they are."""
    if image.format == "TIFF" and image.tell() != number:
        image.palette = None
        for key in ("dpi", "icc_profile"):
            image.info.pop(key, None)
    image.seek(number)


def _timing(image: Image.Image) -> dict:
    """How long the current page is shown (milliseconds), and how often all pages are: 0 is forever."""
    timing = {key: image.info[key] for key in ("duration", "loop", "default_image") if key in image.info}
    if image.format == "GIF":  # it counts repetitions after the first time
        again = image.info.get("loop")
        timing["loop"] = 1 if again is None else again and again + 1
    return timing


def reason(error: Exception) -> str:
    """One line for an exception of Pillow's readers or writers: an OSError explains itself, a KeyError does not."""
    if isinstance(error, OSError) and error.strerror:  # without its number and the file name
        return error.strerror
    text = " ".join(str(error).split())
    if any(words in text.lower() for words in TORN):
        return "it is damaged or truncated: copy or download it again"
    return text if isinstance(error, OSError | SyntaxError | ValueError) and text else f"it is damaged ({error!r})"


def read_photo(image: Image.Image) -> Photo:
    """Lightness and the rest of an image of any mode, upright. ImageError if its pixels cannot be decoded.

    Honors the file's description of its pixels: transparency, ICC profile, whether zero is white, bits in use.
    """
    if not image.width or not image.height:
        raise ImageError(f"{_name(image)}: it has no pixels")
    try:
        image = _load(image)
        declared, unsigned = gray.declared_range(image), gray.is_unsigned(image)  # a rotated copy has no tags
        image, info = upright(image)
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        profile = image.info.get("icc_profile")
        if gray.is_deep(image):
            alpha = gray.alpha_of_key(image)
            L, carried = torch.from_numpy(gray.lightness(image, declared, profile, unsigned)), None
        else:
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            L, carried = _lightness(image, profile)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow decodes on access to the pixels
        raise ImageError(f"{_name(image)}: {reason(error)}") from error
    return Photo(L[None, None], alpha, carried, info)


def srgb_image(image: Image.Image) -> Image.Image:
    """The photo in its own colors: upright, 8-bit RGB in sRGB, without transparency; gray if it is gray."""
    if gray.is_deep(image):
        return read_photo(image).gray_image().convert("RGB")
    image, _ = upright(_load(image))
    profile = image.info.get("icc_profile")
    table = _gray_lightness(image, profile)
    if table is not None:
        levels = color.L_to_gray(torch.from_numpy(table[::257].copy()))
        return image.convert("L").point(color.to_uint8(levels).tolist()).convert("RGB")
    return _to_srgb(image, profile)[0]


def averageable(image: Image.Image) -> Image.Image:
    """`image` in a mode whose pixels may be averaged, as scaling does: palette indices and a transparent color, which
    is one exact value, may not. Upright if it had to be converted."""
    image = _load(image)
    if gray.is_deep(image):
        # Averaging would remove the peaks by which white is guessed.
        exact = "transparency" in image.info or gray.declared_range(image) != (0, gray.FULL)
        return read_photo(image).gray_image() if exact else image
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        mode = "LA" if image.mode in ("1", "L", "La") else "RGBA"
    else:
        mode = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
    return image if mode == image.mode else upright(image)[0].convert(mode)  # a converted TIFF has no tags


def _name(image: Image.Image) -> str:
    return getattr(image, "filename", "") or "image"


def _what_it_is(file: str | os.PathLike | BinaryIO) -> str:
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as opened:
            return what_it_is(opened)
    return what_it_is(file)


def _load(image: Image.Image) -> Image.Image:
    """`image` decoded; ImageError if Pillow would misread its pixels.

    A PNG's transparent color, which Pillow leaves at the file's bit depth, is converted to that of the decoded pixels.
    This must happen here, since the file's bit depth is unknown once the pixels are loaded.
    """
    if line := misread(image):
        raise ImageError(line)
    if image.format == "PNG":  # texts, which Pillow keeps with what the file says of itself
        for name in ("icc_profile", "transparency"):
            if isinstance(image.info.get(name), str):
                del image.info[name]
    key = image.info.get("transparency")
    raw = image.tile[0].args if image.format == "PNG" and getattr(image, "tile", None) and key is not None else None
    if raw in STEPS and isinstance(key, int) and key * STEPS[raw] <= 255:  # else done at an earlier frame, but for 0
        image.info["transparency"] = key * STEPS[raw]
    if image.format == "TIFF" and getattr(image, "tile", None):
        _load_tiff(image)
        return image
    if raw != "RGB;16B":
        image.load()
        return image
    if getattr(image, "is_animated", False):  # a copy has one frame: matched by the upper 8 bits, which all frames keep
        if image.tell() == 0:
            image.info["transparency"] = tuple(level >> 8 for level in key)
        image.load()
        return image
    # Pillow keeps the upper 8 of 16 bits. The lower ones, read separately, are needed to match the exact color.
    file = image.fp
    start = file.tell()
    file.seek(0)
    lower = Image.open(file, formats=["PNG"])
    lower.tile = [lower.tile[0]._replace(args="RGB;16L")]
    lower.load()
    file.seek(start)
    image.load()
    keyed = np.asarray(image).astype(np.uint16) << 8 | np.asarray(lower)
    alpha = np.where((keyed == np.array(key, np.uint16)).all(axis=-1), 0, 255).astype(np.uint8)
    clear = image.copy()
    clear.putalpha(Image.fromarray(alpha))
    clear.info.pop("transparency")
    clear.format, clear.filename = image.format, getattr(image, "filename", "")
    return clear


def _load_tiff(image: Image.Image) -> None:
    """Load a TIFF. Pillow maps the raw pixels of a named file into memory by the size of the upright picture, which
    misplaces the rows of one that is stored on its side. Without a name it decodes them."""
    name = image.filename
    if image.tag_v2.get(ORIENTATION) in (5, 6, 7, 8):  # width and height are swapped
        image.filename = ""
    try:
        image.load()
    finally:
        image.filename = name


def _lightness(image: Image.Image, profile: bytes | None) -> tuple[Tensor, bytes | None]:
    """L (H, W) of an 8-bit image of any mode, and its profile if the result can be written in it."""
    table = _gray_lightness(image, profile)
    if table is not None:
        return _in_bands(image if image.mode == "L" else image.convert("L"), table[::257].copy()), None
    srgb, carried = _to_srgb(image, profile)
    return _in_bands(srgb, None), carried


def _gray_lightness(image: Image.Image, profile: bytes | None) -> np.ndarray | None:
    """L of every 16-bit gray (for 8 bits, every 257th) if an 8-bit image is gray; None for a color image."""
    table = profiles.gray_lightness(profile) if profiles.color_space(profile) == "GRAY" else None
    if image.mode in ("1", "L", "LA"):
        return gray.srgb_lightness() if table is None else table
    if table is None:
        return None
    bands = image.convert("RGB").split()  # Pillow reads 16-bit gray with alpha as RGBA
    return table if bands[0].tobytes() == bands[1].tobytes() == bands[2].tobytes() else None


def _in_bands(image: Image.Image, table: np.ndarray | None) -> Tensor:
    """Image of mode L, whose lightness `table` holds, or of mode RGB in sRGB -> L (H, W); memory stays bounded."""
    L = np.empty((image.height, image.width), np.float32)

    def read(top: int, bottom: int) -> None:
        pixels = np.array(image.crop((0, top, image.width, bottom)))
        if table is not None:
            np.take(table, pixels, out=L[top:bottom])
        else:
            color.srgb8_to_L(pixels, L[top:bottom])

    each_band(image.height, image.width, read)
    return torch.from_numpy(L)


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """`image` in sRGB, mode RGB, through its profile if that fits; and the profile, if results can have it."""
    if image.mode == "LAB":
        return profiles.lab_to_srgb(image) or image.convert("RGB"), None
    space = profiles.color_space(profile)
    image = image if image.mode in ("RGB", "CMYK") else image.convert("RGB")
    if space == "RGB" and image.mode == "RGB":
        if profiles.is_srgb(profile):
            return image, profile
        converted = profiles.to_srgb(image, profile)
        if converted is not None:
            return converted, profile if profiles.holds_results(profile) else None
    elif space == "CMYK" and image.mode == "CMYK":
        image = profiles.to_srgb(image, profile) or image
    return image if image.mode == "RGB" else image.convert("RGB"), None
