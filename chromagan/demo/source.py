"""A source's checkpoints for the demo: each network is loaded once and sees each photo once.

Caches are bounded in bytes and keyed by content: predictions by the digest of the photo's file, a trunk's features by
the digest of the lightness. So a cached result is only returned to someone who sent the same picture.
"""

import contextlib
import functools
import hashlib
import math
import os
import sys
import threading
import time
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from cachetools import LRUCache, cachedmethod
from PIL import Image
from torch import Tensor, nn

from chromagan.colorizer import Colorizer, Prediction, render
from chromagan.demo.loaded_photo import SHOWN_SIDE, LoadedPhoto
from chromagan.device import torch_threads
from chromagan.hub.checkpoints import (
    Checkpoint,
    CheckpointError,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    recommended_checkpoint,
)
from chromagan.hub.files import OPTIONS_FILE, names_of, plain_name, read_json
from chromagan.hub.measured import measures_of, number_of, split_of
from chromagan.hub.model import fetch
from chromagan.hub.refiners import NoRefinerError, load_refiner
from chromagan.hub.repositories import OWNER, HubAccess, HubError, is_prefix
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS, build_decoder
from chromagan.network.folding import fold
from chromagan.network.layers import FEATURE_CHANNELS, FEATURE_STRIDE
from chromagan.network.refiner import Refiner
from chromagan.network.trunk import Trunk

# Bytes of the caches of one source: networks; predictions, features and refiner rollouts for about four photos.
NETWORK_BYTES, PREDICTION_BYTES, FEATURE_BYTES, ROLLOUT_BYTES = 1024 << 20, 48 << 20, 16 << 20, 24 << 20

RETRY_SECONDS = 60  # until a refiner that could not be had is tried again


def tensor_digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().cpu().numpy().tobytes()).hexdigest()


def tensor_bytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def rollout_bytes(rollout: list[Prediction]) -> int:
    actions = (each.actions for each in rollout if each.actions is not None)
    return tensor_bytes(rollout[0].L, *(each.ab for each in rollout), *actions)  # all share one L


def network_bytes(colorizer: Colorizer) -> int:
    return tensor_bytes(*colorizer.model.parameters())


class CachedTrunk(nn.Module):
    """A frozen trunk with a cache of its features: a study's checkpoints share it, and see the same photos."""

    def __init__(self, trunk: Trunk, weights: tuple, cache: LRUCache, lock: threading.Lock):
        """weights: what tells the trunk from others in the cache, which outlives it."""
        super().__init__()
        self.trunk, self.weights = trunk, weights
        self.cache, self.lock = cache, lock

    def forward(self, L_norm: Tensor) -> list[Tensor]:
        """The trunk's stages of L_norm (1, 1, H, W) in [-1, 1]."""
        return self.features(L_norm)

    @cachedmethod(
        lambda self: self.cache,
        key=lambda self, L_norm: (self.weights, tuple(L_norm.shape), tensor_digest(L_norm)),
        lock=lambda self: self.lock,
    )
    def features(self, L_norm: Tensor) -> list[Tensor]:
        return self.trunk(L_norm)

    def __deepcopy__(self, memo: dict) -> "CachedTrunk":
        return self  # a colorizer copies its network; this part stays shared, folded in place by the first one


class CheckpointSource:
    """The checkpoints of one source, ready to color. Safe to use from several threads."""

    def __init__(self, name: str | os.PathLike, access: HubAccess = OWNER):
        """name: a folder or a Hub prefix, which is read with `access`; CheckpointError if it holds no checkpoints or is
        out of reach."""
        self.name, self.access = str(name), access
        self.title = self.name if is_prefix(self.name) else Path(self.name).name  # without the server's path
        self.checkpoints = list_checkpoints(name, access)
        self.networks = LRUCache(NETWORK_BYTES, getsizeof=network_bytes)
        self.predictions = LRUCache(PREDICTION_BYTES, getsizeof=lambda each: tensor_bytes(each.ab, each.L))
        self.rollouts = LRUCache(ROLLOUT_BYTES, getsizeof=rollout_bytes)
        self._features = LRUCache(FEATURE_BYTES, getsizeof=lambda stages: tensor_bytes(*stages))
        # By digests of their weights, each for as long as a network has it.
        self._trunks: WeakValueDictionary[tuple, CachedTrunk] = WeakValueDictionary()
        self._lock = threading.Lock()  # for the caches; held during a lookup, never while a network runs
        self._loading = threading.Lock()
        self._downloaded: set[Checkpoint] = set()  # or asked for in vain
        self._refiner, self._find_refiner_at = None, 0.0
        self._finding = threading.Lock()

    @property
    def decoders(self) -> list[str]:
        """In the order of the list of checkpoints."""
        return list(dict.fromkeys(checkpoint.decoder for checkpoint in self.checkpoints))

    def epochs(self, decoder: str | None = None) -> list[int]:
        """The epochs, ascending; those of all decoders if none is named."""
        return sorted({each.epoch for each in self.checkpoints if decoder in (None, each.decoder)})

    @property
    def single(self) -> bool:
        """Whether each decoder has only one epoch, and they differ: then there is no choice of epochs."""
        return len(self.epochs()) > 1 and len(self.checkpoints) == len(self.decoders)

    @functools.cached_property
    def recommended(self) -> Checkpoint:
        """The initial choice."""
        return recommended_checkpoint(self.checkpoints)

    def find(self, decoder: str | None = None, epoch: int | None = None) -> Checkpoint:
        """Like `find_checkpoint`, without asking the Hub again; CheckpointError if there is none."""
        decoder = decoder or self.checkpoints[0].decoder
        found = [each for each in self.checkpoints if each.decoder == decoder and epoch in (None, each.epoch)]
        if len(found) == 1:
            return found[0]
        if found:
            return recommended_checkpoint(found)
        try:
            return find_checkpoint(self.name, decoder, epoch, self.access)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(self.name, self.title)) from error

    def prepare(self) -> None:
        """Load what colors a photo for which no checkpoint is selected; CheckpointError if it cannot be used."""
        self.download(self.recommended)
        self.colorizer(self.recommended)
        _ = self.refiner

    def must_download(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is on the Hub and nobody has asked for its files yet."""
        return checkpoint.revision is not None and checkpoint not in self._downloaded

    def download(self, checkpoint: Checkpoint) -> None:
        """Ask the Hub for a checkpoint's files, so that `colorizer` need not wait for them; that says why, if there are
        none. No other request waits meanwhile."""
        if self.must_download(checkpoint):
            with contextlib.suppress(HubError):
                fetch(checkpoint.path, checkpoint.revision, checkpoint.access)
            self._downloaded.add(checkpoint)

    @property
    def refiner(self) -> Refiner | None:
        """The refiner of this source; None if it has none that can be used. One that is damaged or out of reach is
        reported on standard error and tried again after RETRY_SECONDS; until then coloring continues without it."""
        with self._finding:
            if time.monotonic() >= self._find_refiner_at:
                self._refiner, self._find_refiner_at = self._find_refiner()
            return self._refiner

    def _find_refiner(self) -> tuple[Refiner | None, float]:
        """The refiner, and the time, as of `time.monotonic`, at which to look for it again."""
        try:
            config = self.colorizer(self.recommended).model.config
            return load_refiner(self.name, config, self.access), math.inf
        except NoRefinerError:
            return None, math.inf
        except CheckpointError as error:
            print(f"{error}; coloring continues without it", file=sys.stderr)
            return None, time.monotonic() + RETRY_SECONDS

    def colorizer(self, checkpoint: Checkpoint) -> Colorizer:
        """The loaded network of a checkpoint; CheckpointError if it cannot be used."""
        with self._loading:
            return self._load(checkpoint)

    def predict(self, photo: LoadedPhoto, checkpoint: Checkpoint, refined: bool = False) -> Prediction:
        """The prediction of a checkpoint's network for a photo; refined: after all steps of the refiner.
        CheckpointError if the checkpoint or the refiner cannot be used."""
        return self.rollout(photo, checkpoint)[-1] if refined else self._predict(photo, checkpoint)

    @cachedmethod(
        lambda self: self.predictions,
        key=lambda self, photo, checkpoint: (photo.digest, checkpoint),
        lock=lambda self: self._lock,
    )
    def _predict(self, photo: LoadedPhoto, checkpoint: Checkpoint) -> Prediction:
        return self.colorizer(checkpoint).predict([photo.shown])[0]

    @cachedmethod(
        lambda self: self.rollouts,
        key=lambda self, photo, checkpoint: (photo.digest, checkpoint),
        lock=lambda self: self._lock,
    )
    def rollout(self, photo: LoadedPhoto, checkpoint: Checkpoint) -> list[Prediction]:
        """The prediction of a checkpoint's network for a photo, and the state after each of the refiner's steps;
        CheckpointError if the source has no refiner, or it was trained for another trunk."""
        colorizer = self.colorizer(checkpoint)
        if self.refiner is None:
            raise CheckpointError("these checkpoints have no refiner")
        if reason := self.refiner.config.incompatibility(colorizer.model.config):
            raise CheckpointError(f"the refiner cannot be used: {reason}")
        return colorizer.rollout(photo.shown, self.refiner)

    def color(
        self, photo: LoadedPhoto, checkpoint: Checkpoint, side: int = SHOWN_SIDE, refined: bool = False, **options
    ) -> Image.Image:
        """The photo in color, its longer side at most `side` pixels. options: those of `colorizer.render`."""
        return render(photo.at(side), self.predict(photo, checkpoint, refined), **options)

    @cachedmethod(lambda self: self.networks, key=lambda self, checkpoint: checkpoint, lock=lambda self: self._lock)
    def _load(self, checkpoint: Checkpoint) -> Colorizer:
        model = load_checkpoint(checkpoint)
        model.trunk = self._shared_trunk(model.config, model.trunk)
        return Colorizer(model)

    def _shared_trunk(self, config: ModelConfig, trunk: Trunk) -> nn.Module:
        """A trunk in use with the same weights, else this one: a study with a frozen trunk has only one."""
        weights = config.trunk, config.trunk_stages, *map(tensor_digest, trunk.state_dict().values())
        if (shared := self._trunks.get(weights)) is None:
            shared = self._trunks[weights] = CachedTrunk(trunk, weights, self._features, self._lock)
        return shared


def decoder_milliseconds(decoder: str, repeats: int = 5) -> float:
    """Milliseconds of processor time that a decoder, folded as in a colorizer, takes on one core for 28x28 features, a
    photo at 224x224.

    Not elapsed time, since others use the machine too. To be called at startup: it changes torch's threads meanwhile.
    """
    network = fold(build_decoder(decoder))
    cells = 224 // FEATURE_STRIDE
    features = torch.rand(1, FEATURE_CHANNELS, cells, cells)
    times = []
    with torch_threads(1), torch.inference_mode():
        for _ in range(repeats):
            start = time.thread_time()
            network(features)
            times.append(time.thread_time() - start)
    return 1000 * min(times)


def epoch_label(checkpoint: Checkpoint) -> str:
    """When in training: "epoch 4" or "before training"."""
    return f"epoch {checkpoint.epoch}" if checkpoint.epoch else "before training"


def label_of(checkpoint: Checkpoint) -> str:
    """The display name of a checkpoint: "Compact, epoch 4"."""
    return f"{DECODERS[checkpoint.decoder].label}, {epoch_label(checkpoint)}"


def measured(checkpoint: Checkpoint) -> dict:
    """The measures of a checkpoint over a data set's colored photos; {} if there are none in this form."""
    try:
        return measures_of(checkpoint.metrics)
    except CheckpointError:
        return {}


def measured_on(checkpoint: Checkpoint) -> str:
    """What a checkpoint was measured on, for display: "frgfm/imagenette, validation, at 224×224"."""
    # A repository's metrics.json may hold anything.
    name, split = checkpoint.metrics.get("data"), split_of(checkpoint.metrics)
    name = name if isinstance(name, str) else ""
    size = number_of(checkpoint.metrics.get("size"))
    words = ", ".join(filter(None, [plain_name(name or "data not recorded"), split]))
    return words + (f", at {size:g}×{size:g}" if size else "")


def trained_on(source: CheckpointSource) -> list[tuple[str, int]]:
    """The data sets that a source was trained on, as the run's options name them, with the number of photos used of
    each; [] if not recorded."""
    checkpoint = source.checkpoints[0]
    try:
        path = checkpoint.file(OPTIONS_FILE) if checkpoint.revision else Path(checkpoint.path).parent / OPTIONS_FILE
        sources = read_json(path)["sources"]
        return [(name, int(each["photos"])) for name, each in zip(names_of(sources), sources, strict=True)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, HubError):
        return []
