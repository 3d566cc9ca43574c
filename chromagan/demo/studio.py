"""Every checkpoint of a source over the photos of a demo: each network loaded once, each photo seen once by each.

What is kept is bounded in bytes and found by content alone: a photo by the digest of its file, a prediction by the
digest of the lightness that the network saw. Who asks for something kept has sent the same picture.
"""

import functools
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from chromagan.colorizer import Colorizer, Prediction, render
from chromagan.hub.checkpoints import (
    Checkpoint,
    CheckpointError,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    nearest_checkpoint,
)
from chromagan.imaging import color
from chromagan.imaging.photo import Photo, averageable, count_pages, open_image, read_photo, srgb_image
from chromagan.measures import metrics
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS, FEATURE_CHANNELS, FEATURE_STRIDE, build_decoder
from chromagan.network.trunk import Trunk

SHOWN_SIDE = 1600  # pixels; screens show at most this, downloads are full-size
SMALL_SIDE = 400  # pixels; a photo among many
MB = 1 << 20
NETWORK_BYTES, PHOTO_BYTES, PREDICTION_BYTES, TRUNK_BYTES = (
    1024 * MB,
    96 * MB,
    48 * MB,
    16 * MB,
)  # four photos' matrices


class Kept:
    """Values by key, the least recently used dropped where they grow beyond `limit` bytes. Safe between threads."""

    def __init__(self, limit: int):
        self.limit, self.size = limit, 0
        self._values: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], object], size_of: Callable[[object], int]):
        """The value of `key`, made where it is not kept. The newest is kept whatever its size."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()  # not under the lock: two threads may make the same, and one of the two is kept
        with self._lock:
            if key not in self._values:
                self._values[key] = value, size_of(value)
                self.size += self._values[key][1]
            while self.size > self.limit and len(self._values) > 1:
                self.size -= self._values.popitem(last=False)[1][1]
        return value

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Sitter:
    """A photo as the page works with it: what the networks see of it, and what there is to compare with."""

    digest: str  # of the file
    shown: Photo  # at most SHOWN_SIDE, without profile and EXIF data
    truth: Image.Image  # RGB in sRGB, of the same size: the photo itself, in its own colors if it has any
    pages: int = 1  # of the file; the first is shown

    @functools.cached_property
    def colored(self) -> bool:
        """Whether the photo has colors to compare with."""
        small = self.truth.copy()
        small.thumbnail((SMALL_SIDE, SMALL_SIDE))
        return float(metrics.mean_chroma(as_tensor(small))) >= metrics.GRAY_CHROMA

    @functools.cached_property
    def small(self) -> Photo:
        """The photo among many: its longer side at most SMALL_SIDE pixels."""
        return resize_photo(self.shown, SMALL_SIDE)

    def at(self, side: int) -> Photo:
        """The photo with its longer side at most `side` pixels."""
        return self.small if side == SMALL_SIDE else resize_photo(self.shown, side)

    @property
    def bytes(self) -> int:
        pixels = self.shown.L.numel()
        return pixels * (4 + 3 + (self.shown.alpha is not None))


def read_sitter(path: str | os.PathLike, max_pixels: int) -> Sitter:
    """Open a photo for the page; ImageError for a file that is no image, a damaged one and one of too many pixels."""
    digest = file_digest(path)
    image = open_image(path, max_pixels)
    pages = count_pages(image)
    image = averageable(image)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    photo = read_photo(image)
    return Sitter(digest, replace(photo, profile=None, info={}), srgb_image(image), pages)


def file_digest(path: str | os.PathLike) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resize_photo(photo: Photo, side: int) -> Photo:
    """`photo` scaled down so that its longer side is at most `side` pixels."""
    height, width = photo.L.shape[-2:]
    scale = side / max(height, width)
    if scale >= 1:
        return photo
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    L = F.interpolate(photo.L, size=(height, width), mode="bilinear", antialias=True).clamp_(0, 100)
    alpha = photo.alpha and photo.alpha.resize((width, height), Image.Resampling.BILINEAR)
    return replace(photo, L=L, alpha=alpha)


def as_tensor(image: Image.Image) -> Tensor:
    """8-bit RGB image -> sRGB (1, 3, H, W) in [0, 1]."""
    pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(1, image.height, image.width, 3).movedim(-1, 1).float() / 255


def gray_image(photo: Photo) -> Image.Image:
    """The photo as the networks see it: 8-bit gray, with its alpha channel if any."""
    gray = Image.fromarray((255 * color.L_to_gray(photo.L[0, 0])).round().byte().numpy())
    if photo.alpha is not None:
        gray.putalpha(photo.alpha)
    return gray


class KeptTrunk(nn.Module):
    """A frozen trunk that remembers what it said: the checkpoints of a study share it, and look at the same photos."""

    def __init__(self, trunk: Trunk, kept: Kept):
        super().__init__()
        self.trunk, self.kept, self.channels = trunk, kept, trunk.channels

    def forward(self, L_norm: Tensor) -> Tensor:
        key = id(self.trunk), tuple(L_norm.shape), digest_of(L_norm)
        return self.kept.get(key, lambda: self.trunk(L_norm), tensor_bytes)

    def __deepcopy__(self, memo: dict) -> "KeptTrunk":
        return self  # a colorizer works on a copy of its network; this part stays the shared one


def digest_of(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().cpu().numpy().tobytes()).hexdigest()


def tensor_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


class Studio:
    """The checkpoints of one source, ready to color. Safe to use from several threads."""

    def __init__(self, source: str | os.PathLike):
        """Raises CheckpointError where `source` holds no checkpoints or cannot be reached."""
        self.source = str(source)
        self.checkpoints = list_checkpoints(source)
        self.networks = Kept(NETWORK_BYTES)
        self.predictions = Kept(PREDICTION_BYTES)
        self._trunks: dict[tuple, KeptTrunk] = {}  # by their weights as they were loaded
        self._trunk_maps = Kept(TRUNK_BYTES)
        self._loading = threading.Lock()

    @property
    def decoders(self) -> list[str]:
        return list(dict.fromkeys(checkpoint.decoder for checkpoint in self.checkpoints))

    def epochs(self, decoder: str | None = None) -> list[int]:
        """Ascending; those of any decoder where none is named."""
        return sorted({each.epoch for each in self.checkpoints if decoder in (None, each.decoder)})

    @functools.cached_property
    def nearest(self) -> Checkpoint:
        """Of every decoder's newest epoch, the one measured nearest to the true colors: the one to begin with."""
        return nearest_checkpoint(self.source)

    def find(self, decoder: str | None = None, epoch: int | None = None) -> Checkpoint:
        """As `find_checkpoint`, without asking the source again; CheckpointError for one that is not there."""
        decoder = decoder or self.checkpoints[0].decoder
        found = [each for each in self.checkpoints if each.decoder == decoder and epoch in (None, each.epoch)]
        return found[-1] if found else find_checkpoint(self.source, decoder, epoch)

    def colorizer(self, checkpoint: Checkpoint) -> Colorizer:
        """CheckpointError where the checkpoint cannot be used."""
        with self._loading:
            return self.networks.get(checkpoint, lambda: self._load(checkpoint), network_bytes)

    def predict(self, sitter: Sitter, checkpoint: Checkpoint) -> Prediction:
        """What a checkpoint says of a photo; the network runs where it was not asked before."""
        return self.predictions.get(
            (sitter.digest, checkpoint),
            lambda: self.colorizer(checkpoint).predict([sitter.shown])[0],
            lambda prediction: tensor_bytes(prediction.ab) + tensor_bytes(prediction.L),
        )

    def color(self, sitter: Sitter, checkpoint: Checkpoint, side: int = SHOWN_SIDE, **options) -> Image.Image:
        """The photo in color, its longer side at most `side` pixels. options: those of `colorizer.render`."""
        return render(sitter.at(side), self.predict(sitter, checkpoint), **options)

    def _load(self, checkpoint: Checkpoint) -> Colorizer:
        model = load_checkpoint(checkpoint)
        model.trunk = self._shared_trunk(model.config, model.trunk)
        return Colorizer(model)

    def _shared_trunk(self, config: ModelConfig, trunk: Trunk) -> nn.Module:
        """The trunk that has these very weights, if one was loaded before: a study that froze it has but one."""
        weights = [digest_of(tensor) for tensor in trunk.state_dict().values()]
        key = config.trunk, config.trunk_stages, tuple(weights)
        if key not in self._trunks and len(self._trunks) < 8:  # a trunk that was trained is another at each epoch
            self._trunks[key] = KeptTrunk(trunk, self._trunk_maps)
        return self._trunks.get(key, trunk)


def network_bytes(colorizer: Colorizer) -> int:
    return sum(tensor_bytes(parameter) for parameter in colorizer.model.parameters())


def decoder_milliseconds(decoder: str, repeats: int = 5) -> float:
    """Processor time of one decoder on 28x28 features, a photo's worth at 224x224, on one core of this machine.

    Not elapsed time: others use the machine too. For the start of a program: it sets torch's threads for a moment.
    """
    network = build_decoder(decoder).eval()
    cells = 224 // FEATURE_STRIDE
    features = torch.rand(1, FEATURE_CHANNELS, cells, cells)
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(repeats):
                start = time.thread_time()
                network(features)
                times.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    return 1000 * min(times)


def label_of(checkpoint: Checkpoint) -> str:
    """Which one it is, for people: "Compact, epoch 4"."""
    moment = f"epoch {checkpoint.epoch}" if checkpoint.epoch else "before training"
    return f"{DECODERS[checkpoint.decoder].label}, {moment}"


def measured(checkpoint: Checkpoint) -> dict:
    """What the data set measured of it, grays left out; {} where it was not measured, or not in this form."""
    try:
        colored = checkpoint.metrics["colored"]
        return colored if isinstance(colored, dict) else {}
    except (CheckpointError, KeyError, TypeError):
        return {}
