"""Color images of any size: the lightness stays the photo's, at full resolution; the colors are the network's."""

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Real

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chromagan.device import fast_dtype, keep_freed_memory, one_core_each, pick_device
from chromagan.errors import ImageError, OptionError
from chromagan.hub.checkpoints import find_checkpoint, load_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import select_refiner
from chromagan.imaging import color
from chromagan.imaging.chroma import MODES, ChromaUpsampler
from chromagan.imaging.compiled import each_band
from chromagan.imaging.contrast import stretch_contrast
from chromagan.imaging.gamut import lab_to_srgb8
from chromagan.imaging.photo import Photo, open_image, read_photo
from chromagan.imaging.scaling import scaled
from chromagan.network.folding import fold
from chromagan.network.generator import check_finite
from chromagan.network.refiner import Refiner, double

LONGEST_SIDE = 4  # times the trained size: longest side at which the network sees a panorama
BATCH = 4  # photos per forward pass: the features of 8 at 224 pixels no longer fit a core's cache
MOST_SATURATION = 3  # beyond, nearly every colored pixel is at the limit of sRGB
GROUP_PIXELS = 2**24  # of the photos held in memory together; a larger photo is processed alone

Photograph = Image.Image | np.ndarray | str | os.PathLike


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for a photo, at the network's size; it can be rendered several times."""

    ab: Tensor  # (1, 2, h, w), CIELAB units
    L: Tensor  # (1, 1, h, w), [0, 100]: the photo's lightness at that size, which guides the upsampling
    actions: Tensor | None = None  # (h/2, w/2), indices of chromagan.network.refiner.ACTIONS: the last step's


def _undisturbed(method: Callable) -> Callable:
    """A method that runs the networks: without gradients, and in their own types even where the program that calls has
    begun an autocast."""

    @functools.wraps(method)
    def called(self: "Colorizer", *args, **options):
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return method(self, *args, **options)

    return called


class Colorizer:
    """One decoder at one epoch, ready to color photos. Safe to call from several threads.

    colorizer = Colorizer.from_pretrained("study", decoder="transposed", epoch=30)
    image = colorizer(Image.open("photo.jpg"))
    """

    def __init__(
        self,
        model: ChromaGAN,
        device: str | torch.device = "auto",
        dtype: torch.dtype | None = None,
        *,
        refiner: Refiner | None = None,
        refine: int | None = None,
    ):
        """model and refiner are copied, and stay as they are: they may be trained further.

        refiner: refines every coloring in `refine` steps; None takes all the steps that it was trained to take.

        dtype: of the computation after the trunk; None is bfloat16 if the device multiplies it faster, else float32.
        Where bfloat16 is faster, it takes 0.65 to 0.8 of the time (two cores, 224 pixels) and changes a and b by 0.06
        on average. The trunk stays in float32: in bfloat16, EfficientNet-Lite0's features change a and b by 1.2 on
        average and by up to 20.
        Raises OptionError for a refiner of another trunk, an invalid number of steps, or another type of numbers.
        """
        numbers = isinstance(dtype, torch.dtype) and dtype.is_floating_point
        if dtype is not None and not (numbers and dtype.itemsize > 1):  # torch does not compute in those of 8 bits
            raise OptionError(f"dtype must be a floating-point type such as torch.float32, or None, got {dtype!r:.80}")
        self.device = pick_device(device)
        self.refiner, self.refine = None, 0
        if refiner is not None:
            if reason := refiner.config.incompatibility(model.config):
                raise OptionError(f"the refiner cannot be used: {reason}")
            self.refiner = fold(refiner).requires_grad_(False).to(self.device, memory_format=torch.channels_last)
            self.refine = refiner.config.count(refine)
        self.model = fold(model).requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        for name, part in self.model.named_children():
            if name != "trunk":
                part.to(dtype or fast_dtype(self.device))
        if self.device.type == "cpu":
            keep_freed_memory()

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike,
        decoder: str | None = None,
        epoch: int | None = None,
        device: str | torch.device = "auto",
        dtype: torch.dtype | None = None,
        *,
        refine: int | str | None = None,
    ) -> "Colorizer":
        """Load `decoder` at `epoch` from a source, see `list_checkpoints`. None is the source's first decoder, and its
        recommended epoch, see `recommended_checkpoint`.

        device, dtype: as for the constructor. refine: steps in which the source's refiner refines every coloring; 0 for
        none, "all" for all that it was trained to take, None for all if the source is "general" and none otherwise.
        Raises CheckpointError if the source has no such checkpoint or refiner or it cannot be used, and OptionError for
        an invalid number of steps, or an epoch or number of steps that is not a whole number.
        """
        model = load_checkpoint(find_checkpoint(source, decoder, epoch))
        refiner, steps = select_refiner(source, model.config, refine)
        return cls(model, device, dtype, refiner=refiner, refine=steps)

    def __call__(
        self, image: Photograph | Sequence[Photograph], *, saturation: float = 1.0, chroma: str = "edge-aware"
    ) -> Image.Image | np.ndarray | list:
        """Color a photo, or each photo of a list: same size, lightness and type (a path gives a PIL image).

        Takes PIL images of any mode, paths, and uint8 arrays (H, W), (H, W, 3) or (H, W, 4). Returns 8-bit RGB, or RGBA
        if there was an alpha channel. Only the lightness of a color photo is used. The EXIF orientation is applied;
        other EXIF data, XMP and IPTC data, the resolution and an RGB ICC profile that can hold the result are carried
        over in `info`. For a multi-page file the first page is colored, for a PIL image its current page.

        saturation: multiplies the chroma, 0 to MOST_SATURATION. chroma: how it is upsampled to full size, "edge-aware"
        or "bilinear" (see ChromaUpsampler).
        Raises ImageError for an input that cannot be read as an image, OptionError for an invalid option.
        """
        if isinstance(saturation, bool) or not isinstance(saturation, Real):
            raise OptionError(f"saturation must be a number, got {saturation!r:.80}")
        if not 0 <= saturation <= MOST_SATURATION:
            raise OptionError(f"saturation must be 0 to {MOST_SATURATION}, got {saturation}")
        if not isinstance(image, list | tuple):
            return self([image], saturation=saturation, chroma=chroma)[0]

        results: list[Image.Image | np.ndarray] = []
        finish = functools.partial(render, saturation=float(saturation), chroma=chroma)
        for group in _groups(image, BATCH * torch.get_num_threads()):
            with one_core_each(len(group)) as (cores, each):
                distinct = {id(one): one for one in group}  # one image cannot be decoded in two threads at once
                read = dict(zip(distinct, each(read_photo, distinct.values()), strict=True))
                photos = [read[id(one)] for one in group]
                # On the CPU each core predicts its share; another device predicts all of them, batch by batch.
                share = math.ceil(len(group) / cores) if self.device.type == "cpu" else len(group)
                shares = [photos[start : start + share] for start in range(0, len(group), share)]
                predictions = chain.from_iterable(each(self.predict, shares))
                results += each(finish, photos, predictions)
        return [np.array(r) if isinstance(i, np.ndarray) else r for r, i in zip(results, image, strict=True)]

    @_undisturbed
    def predict(self, photos: Sequence[Photo]) -> list[Prediction]:
        """The network's prediction for each photo; faded and dark ones it sees through `stretch_contrast`. Photos of
        the same working size are batched."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, photo in enumerate(photos):
            by_size.setdefault(self.working_size(*photo.L.shape[-2:]), []).append(index)
        predictions: dict[int, Prediction] = {}
        for size, members in by_size.items():
            for start in range(0, len(members), BATCH):
                batch = members[start : start + BATCH]
                L = torch.cat([_resize(photos[index].L, size) for index in batch])
                stages, lightness, ab = self._color(L)
                if self.refiner is not None:
                    ab = self.refiner.refine(stages, lightness, ab, self.refine)
                ab = color.denormalize_ab(ab).cpu()
                for index, each_ab, each_L in zip(batch, ab.split(1), L.split(1), strict=True):
                    predictions[index] = Prediction(each_ab, each_L)
        return [predictions[index] for index in range(len(photos))]

    @_undisturbed
    def rollout(self, photo: Photo, refiner: Refiner | None = None) -> list[Prediction]:
        """The photo's coloring before the first step of `refiner`, which is moved to the device, and after each of its
        steps, with the action of every pixel. None is the colorizer's own refiner; ValueError without one."""
        refiner = refiner or self.refiner
        if refiner is None:
            raise ValueError("this colorizer has no refiner: Colorizer.from_pretrained(..., refine='all') loads one")
        L = _resize(photo.L, self.working_size(*photo.L.shape[-2:]))
        stages, lightness, ab = self._color(L)
        predictions = [Prediction(color.denormalize_ab(ab).cpu(), L)]
        for half, actions in refiner.to(self.device).steps(stages, lightness, ab, refiner.config.steps):
            predictions.append(Prediction(color.denormalize_ab(double(half)).cpu(), L, actions[0].cpu()))
        return predictions

    def _color(self, L: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """L (B, 1, h, w) in [0, 100] -> the trunk's stages, L and ab as the networks see them, on the device."""
        lightness = color.normalize_L(torch.cat([stretch_contrast(each) for each in L.split(1)]).to(self.device))
        stages = self.model.stages(lightness)
        ab = self.model.color(stages, lightness).float()
        check_finite(ab, f"decoder {self.model.config.decoder}")
        return stages, lightness, ab

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the network sees an image: the image's aspect ratio, about as many pixels as in training.

        Sides are multiples of config.size_multiple; a model of a fixed size sees every image at that size.
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


@torch.inference_mode()
def render(photo: Photo, prediction: Prediction, *, saturation: float = 1.0, chroma: str = "edge-aware") -> Image.Image:
    """The colored photo, 8 bits, at the photo's size; computed in bands of rows, so that memory stays bounded."""
    height, width = photo.L.shape[-2:]
    upsampler = ChromaUpsampler(saturation * prediction.ab, photo.L, prediction.L, chroma)
    L, pixels = photo.L[0, 0].numpy(), np.empty((height, width, 3), np.uint8)

    def paint(top: int, bottom: int) -> None:
        lab_to_srgb8(L[top:bottom], upsampler.rows(top, bottom)[0].numpy(), pixels[top:bottom])

    each_band(height, width, paint)
    return photo.carry_over(Image.fromarray(pixels))


def warm_up() -> None:
    """Compile the loops that read and render: takes seconds once after an installation, then cached on disk."""
    photo = read_photo(Image.new("RGB", (64, 64)))
    for chroma in MODES:
        render(photo, Prediction(torch.zeros(1, 2, 16, 16), torch.zeros(1, 1, 16, 16)), chroma=chroma)


def _as_image(image: Photograph) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | os.PathLike):
        return open_image(image)
    if isinstance(image, np.ndarray):
        if (
            image.dtype == np.uint8
            and image.size
            and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4)))
        ):
            return Image.fromarray(image)
        raise ImageError(f"an array must be uint8 (H, W), (H, W, 3) or (H, W, 4), got {image.dtype} {image.shape}")
    raise ImageError(f"expected a PIL image, a path or an array, got {type(image).__name__}")


def _groups(images: Sequence[Photograph], most: int) -> Iterator[list[Image.Image]]:
    """The images, opened but not yet decoded, at most `most` at a time; fewer if they are large, to bound memory."""
    group, pixels = [], 0
    for image in map(_as_image, images):
        pixels += image.width * image.height
        if group and (len(group) == most or pixels > GROUP_PIXELS):
            yield group
            group, pixels = [], image.width * image.height
        group.append(image)
    if group:
        yield group


def _resize(L: Tensor, size: tuple[int, int]) -> Tensor:
    """L (1, 1, H, W) -> (1, 1, *size), antialiased where it shrinks."""
    return scaled(L, size).clamp_(0, 100)
