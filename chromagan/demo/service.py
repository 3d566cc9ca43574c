"""The service behind the demo: checkpoints, uploaded photos, and the files made from them. It knows no widgets.

A request that cannot be met raises RequestError, with a message for users; whoever displays it must escape it.
"""

import functools
import inspect
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from cachetools import LRUCache, cachedmethod
from PIL import Image

from chromagan.colorizer import MOST_SATURATION, render
from chromagan.demo import downloads, page
from chromagan.demo.file_store import FileStore
from chromagan.demo.loaded_photo import LoadedPhoto, file_digest, load_photo, resize_photo
from chromagan.demo.source import CheckpointSource, decoder_milliseconds, label_of
from chromagan.errors import ChromaGANError, ImageError
from chromagan.hub import repositories
from chromagan.hub.checkpoints import (
    GENERAL,
    NAMED_SOURCES,
    STUDY,
    Checkpoint,
    CheckpointError,
    default_source,
    refined_by_default,
)
from chromagan.imaging import chroma
from chromagan.imaging.photo import Photo, open_image, read_photo

MAX_MEGAPIXELS = 64  # needs about 1.5 GB of memory
PHOTO_BYTES = 96 << 20  # of uploaded photos in memory
DISK_BYTES = 256 << 20  # of uploads and results; beyond, the oldest are deleted, results first
MAX_AGE = 6 * 3600  # seconds, after which files are deleted
VISITED = 2  # sources named by visitors that are kept loaded, besides the shipped one
CHROMA = inspect.signature(render).parameters["chroma"].default  # the same as the command line's
NO_PHOTO = "Upload a photo first."
NOT_UPLOADED = "This photo was not uploaded to this server: upload it first."
GRAY, TRUTH = "gray", "truth"  # what can be compared besides the checkpoints

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # open_image has its own limit


class RequestError(ChromaGANError, ValueError):
    """A request that cannot be met: the message tells the visitor why."""


class PhotoError(RequestError):
    """A photo that is missing, was not uploaded or cannot be read."""


class Options(NamedTuple):
    """How a photo is colored: the source, as for `DemoService.source`, how the prediction is rendered, and whether the
    source's refiner is applied first, with all of its steps."""

    source: str = STUDY
    chroma: str = CHROMA
    saturation: float = 1.0
    refined: bool = False

    @property
    def rendering(self) -> dict:
        return {"chroma": self.chroma, "saturation": self.saturation}


def source_name(source: object) -> str:
    """The source that a request names, "" for none; RequestError if it is not text: a program may send anything."""
    if source is not None and not isinstance(source, str):
        raise RequestError(f"source must be text, got {source!r:.80}")
    return (source or "").strip()


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise RequestError if `value`, of any type, is not one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise RequestError(f"{name} must be one of {', '.join(choices)}, got {value!r:.80}")


def options_of(source: str | None, mode: str, saturation: float, refined: bool = False) -> Options:
    """The validated options of a request; RequestError for an invalid one."""
    check_choice("chroma upsampling", mode, chroma.MODES)
    try:
        saturation = float(saturation)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(f"saturation {saturation!r:.80} is not a number") from error
    if not 0 <= saturation <= MOST_SATURATION:
        raise RequestError(f"saturation must be 0 to {MOST_SATURATION}, got {saturation:g}")
    return Options(source_name(source) or STUDY, mode, saturation, bool(refined))


def whole_number(value: str | float | None, name: str = "epoch") -> int | None:
    """The epoch, or another number called `name`, of a request; None if it names none, RequestError if it is not a
    whole number."""
    if value in ("", None):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(f"{name} {value!r:.80} is not a whole number") from error
    if isinstance(value, float) and number != value:
        raise RequestError(f"{name} {value!r:.80} is not a whole number")
    return number


class DemoService:
    """The checkpoints, the uploaded photos and the files made from them. Safe to use from several threads."""

    def __init__(self, source: str, shipped: str, folder: str | os.PathLike):
        """source: a folder or a Hub prefix; if a prefix cannot be used, `shipped` is used instead and `notice` says
        so. folder: for uploads and results.

        Raises CheckpointError if the checkpoints cannot be used: one is loaded as a test.
        """
        self.started, self.notice = time.monotonic(), ""
        try:
            self.shipped = CheckpointSource(source)
        except CheckpointError as error:
            if not repositories.is_prefix(source):
                raise
            print(f"{error}; using the shipped checkpoints", file=sys.stderr)
            self.notice = f"{source} cannot be used: the shipped checkpoints are used."
            self.shipped = CheckpointSource(shipped)
        self.shipped.colorizer(self.shipped.recommended)
        self.general = self._general()
        visitors = repositories.VisitorAccess()
        self._visited = functools.lru_cache(maxsize=VISITED)(lambda name: CheckpointSource(name, visitors))
        self._photos = LRUCache(PHOTO_BYTES, getsizeof=lambda photo: photo.bytes)
        self._photos_lock = threading.Lock()
        self.files = FileStore(folder, DISK_BYTES, MAX_AGE)
        self.costs = {name: decoder_milliseconds(name) for name in self.shipped.decoders}  # on this machine

    def _general(self) -> CheckpointSource | None:
        """The networks for photos of any kind, stored next to the study's; None if there are none that can be used."""
        folder = Path(NAMED_SOURCES.get(self.shipped.name, self.shipped.name), GENERAL)
        if not folder.is_dir():
            return None
        try:
            general = CheckpointSource(folder)
            general.colorizer(general.recommended)
        except CheckpointError as error:
            print(f"{error}; all photos are colored by the study's networks", file=sys.stderr)
            return None
        return general

    # What there is

    def source(self, name: str | None) -> CheckpointSource:
        """The checkpoints of a Hub prefix, of GENERAL, or of STUDY (also for "", and for the title of what the demo was
        started with); RequestError for others."""
        name = source_name(name) or STUDY
        if name == GENERAL and self.general is not None:
            return self.general
        if name in (STUDY, self.shipped.title):  # the title of a prefix is the prefix: the owner's, maybe private
            return self.shipped
        if name == GENERAL:
            raise RequestError(f"the networks {GENERAL!r} (photos of any kind) are not installed here: use {STUDY!r}")
        if not repositories.is_prefix(name):  # visitors cannot read folders
            raise RequestError(f"{name!r} is neither {STUDY}, {GENERAL} nor a Hub prefix of the form owner/name")
        try:
            return self._visited(name)
        except CheckpointError as error:
            if isinstance(error.__cause__, repositories.NotCachedError):  # it advises whoever runs the server
                raise RequestError(f"{name}: the Hub cannot be reached from this server now") from error
            raise RequestError(str(error)) from error

    def default_source(self, decoder: str | None, epoch: str | int | None) -> str:
        """The shipped source that colors a photo if the request names none, see `default_source`."""
        return default_source(decoder, epoch, self.general.decoders if self.general else ())

    def refines(self, source: str) -> bool:
        """Whether colorings by a source are refined by default, see `refined_by_default`, and it has a usable refiner.
        RequestError for a source that is not available."""
        here = self.source(source)  # first: a visitor's text may be no path
        return refined_by_default(source) and here.refiner is not None

    def find(self, source: str, decoder: str | None, epoch: str | int | None) -> Checkpoint:
        """The checkpoint that a request names; RequestError, listing the available ones, if it does not exist."""
        number = whole_number(epoch)
        try:
            return self.source(source).find(str(decoder or "") or None, number)
        except CheckpointError as error:
            raise RequestError(str(error)) from error

    # A photo

    def load(self, path: Path | None) -> LoadedPhoto:
        """An uploaded photo as the page uses it; PhotoError for a problem that the sender can fix."""
        return self._opened(path, lambda: self._load(path))

    @cachedmethod(
        lambda self: self._photos, key=lambda self, path: file_digest(path), lock=lambda self: self._photos_lock
    )
    def _load(self, path: Path) -> LoadedPhoto:
        return load_photo(path, MAX_MEGAPIXELS * 1_000_000)

    def load_whole(self, path: Path | None) -> tuple[Photo, str | None]:
        """An uploaded photo at full size, and its file format; PhotoError for a problem that the sender can fix."""

        def read() -> tuple[Photo, str | None]:
            image = open_image(path, MAX_MEGAPIXELS * 1_000_000)
            return read_photo(image), image.format

        return self._opened(path, read)

    def _opened(self, path: Path | None, read: Callable):
        """What `read` returns; PhotoError if the file is gone or is not a photo."""
        if path is None:
            raise PhotoError(NO_PHOTO)
        if not isinstance(path, Path):  # a program may send anything
            raise PhotoError(NOT_UPLOADED)
        try:
            self.files.mark_used(path)
            return read()
        except (ImageError, OSError) as error:
            if not path.exists():
                words = f"{path.name} has been deleted from the server: upload it again."
            else:
                words = str(error).replace(str(path), path.name)  # do not reveal the server's path
            raise PhotoError(words) from error

    def color(self, path: Path, options: Options, checkpoint: Checkpoint) -> tuple[Image.Image, str]:
        """The photo colored at full size, and the suffix of the file to write it to."""
        loaded, (photo, kind) = self.load(path), self.load_whole(path)
        prediction = self.source(options.source).predict(loaded, checkpoint, options.refined)
        result = render(photo, prediction, **options.rendering)
        return result, downloads.result_suffix(result, kind)

    # Pictures for the page

    def picture(self, image: Image.Image, label: str, alt: str, exact: bool = False) -> page.Picture:
        """An image stored where the page can load it. exact: as PNG. label: drawn over it. alt: its description."""
        data, suffix = (downloads.encode(image, ".png"), ".png") if exact else downloads.encode_shown(image)
        return page.Picture(self.files.put(data, f"picture{suffix}"), label, alt, *image.size)

    def picture_of(self, photo: LoadedPhoto, what: str | Checkpoint, options: Options, side: int) -> page.Picture:
        """A picture for the page, at most `side` pixels a side. what: GRAY, TRUTH, or a checkpoint."""
        if what == GRAY:
            gray = resize_photo(photo.shown, side).gray_image()
            return self.picture(gray, "Gray", "The photo in gray")
        if what == TRUTH:
            return self.picture(photo.truth, "The photo", "The photo in its own colors")
        image = self.source(options.source).color(photo, what, side, options.refined, **options.rendering)
        label = label_of(what) + (", refined" if options.refined else "")
        return self.picture(image, label, f"The photo colored by {label}")

    # Staying up

    def health(self) -> dict:
        """The state of the service: "status" is "ok", or tells why a small gray picture could not be colored."""
        here = self.shipped
        try:
            model = here.colorizer(here.recommended).model
            side = 32 if model.config.any_size else model.config.image_size
            with torch.inference_mode():
                gray = torch.zeros(1, 1, side, side, device=next(model.parameters()).device)
                fine = bool(model(gray).isfinite().all())
            status = "ok" if fine else "the network's output is not finite"
        except Exception as error:  # any failure is what the health check is for
            status = f"{type(error).__name__}: {error}"
        caches = {"photos": self._photos, "predictions": here.predictions, "networks": here.networks}
        return {
            "status": status,
            "checkpoints": len(here.checkpoints),
            "uptime_s": round(time.monotonic() - self.started),
            "cached_bytes": {name: cache.currsize for name, cache in caches.items()},
        }

    def maintain(self) -> None:
        """Load the other networks in the background, then delete old files, forever."""
        for source in filter(None, (self.general, self.shipped)):
            for checkpoint in source.checkpoints:
                try:
                    source.colorizer(checkpoint)
                except CheckpointError as error:
                    print(error, file=sys.stderr)
        while True:
            time.sleep(60)
            self.files.clean_up()
