"""Where the demo's visitors are served: which checkpoints there are, the photo someone brought, what they may ask for.

Nothing of a widget is known here. What cannot be done is a Refusal: text for people, which whoever shows it escapes.
"""

import functools
import inspect
import os
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from chromagan.colorizer import render
from chromagan.demo import downloads, page
from chromagan.demo.shelf import Shelf
from chromagan.demo.studio import (
    PHOTO_BYTES,
    Kept,
    Sitter,
    Studio,
    decoder_milliseconds,
    file_digest,
    gray_image,
    label_of,
    read_sitter,
    resize_photo,
)
from chromagan.hub import repositories
from chromagan.hub.checkpoints import Checkpoint, CheckpointError
from chromagan.imaging import chroma
from chromagan.imaging.photo import ImageError, Photo, open_image, read_photo

MAX_MEGAPIXELS = 64  # about 1.5 GB of memory while it is colored
DISK_BYTES = 256 << 20  # of uploads and results; beyond it the oldest go, results first
MAX_AGE = 6 * 3600  # seconds, after which all go
VISITING = 2  # sources that visitors named, kept beside the one that ships
CHROMA = inspect.signature(render).parameters["chroma"].default  # what the command line does, too
GRAY, TRUTH = "gray", "truth"  # beside the checkpoints, what can be compared

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # open_image has a limit of its own


class Refusal(ValueError):
    """What a visitor asked for and cannot have, in words for them."""


class Options(NamedTuple):
    """What is set beside the photo: the folded panel of the page."""

    source: str = ""
    chroma: str = CHROMA
    saturation: float = 1.0

    @property
    def rendering(self) -> dict:
        return {"chroma": self.chroma, "saturation": self.saturation}


def options_of(source: str | None, mode: str, saturation: float) -> Options:
    """Options as they came; Refusal for one of no meaning."""
    if mode not in chroma.MODES:
        raise Refusal(f"chroma upsampling {mode!r} is none of {', '.join(chroma.MODES)}")
    try:
        saturation = float(saturation)
    except (TypeError, ValueError) as error:
        raise Refusal(f"saturation {saturation!r} is not a number") from error
    if not 0 <= saturation <= 3:
        raise Refusal(f"saturation must be between 0 and 3, got {saturation:g}")
    return Options((source or "").strip(), mode, saturation)


class Desk:
    """The checkpoints, the photos at hand and the files made of them. Safe to use from several threads."""

    def __init__(self, source: str, shipped: str, folder: str | os.PathLike):
        """source: a folder, or a Hub prefix; where that is out of reach, `shipped` takes its place and `notice` says
        so: no reason not to start. folder: for uploads and results.

        Raises CheckpointError where the checkpoints cannot be used: one is tried.
        """
        self.started, self.notice = time.time(), ""
        try:
            self.shipped = Studio(source)
        except CheckpointError as error:
            if not repositories.is_prefix(source):
                raise
            print(f"{error}; using the shipped checkpoints", file=sys.stderr)
            self.notice = f"{source} is out of reach: these are the shipped checkpoints."
            self.shipped = Studio(shipped)
        self.shipped.colorizer(self.shipped.nearest)
        self._visiting = functools.lru_cache(maxsize=VISITING)(Studio)
        self._sitters = Kept(PHOTO_BYTES)
        self.shelf = Shelf(folder, DISK_BYTES, MAX_AGE)
        self.costs = {name: decoder_milliseconds(name) for name in self.shipped.decoders}  # of each decoder, here

    # What there is

    def studio(self, source: str | None) -> Studio:
        """The checkpoints of a Hub prefix, or what ships for "". Refusal for one that is not to be had."""
        source = (source or "").strip()
        if not source:
            return self.shipped
        if not repositories.is_prefix(source):  # no one else's folders
            raise Refusal(f"{source!r} is no Hub prefix: it has the form owner/name")
        try:
            return self._visiting(source)
        except CheckpointError as error:
            raise Refusal(str(error)) from error

    def choose(self, source: str, decoder: str | None, epoch: str | int | None) -> Checkpoint:
        """The checkpoint that is meant; Refusal, listing what there is, where there is none."""
        try:
            number = None if epoch in ("", None) else int(epoch)
        except (TypeError, ValueError) as error:
            raise Refusal(f"epoch {epoch!r} is not a whole number") from error
        try:
            return self.studio(source).find(str(decoder or "") or None, number)
        except CheckpointError as error:
            raise Refusal(str(error)) from error

    # A photo

    def read(self, path: Path | None) -> Sitter:
        """The photo as the page works with it; Refusal for what its sender can mend."""
        return self._reading(
            path,
            lambda: self._sitters.get(
                file_digest(path), lambda: read_sitter(path, MAX_MEGAPIXELS * 1_000_000), lambda sitter: sitter.bytes
            ),
        )

    def whole(self, path: Path | None) -> tuple[Photo, str | None]:
        """The photo at its own size, and the format of its file; Refusal for what its sender can mend."""

        def read() -> tuple[Photo, str | None]:
            image = open_image(path, MAX_MEGAPIXELS * 1_000_000)
            return read_photo(image), image.format

        return self._reading(path, read)

    def _reading(self, path: Path | None, read):
        if path is None:
            raise Refusal("Upload a photo first.")
        try:
            self.shelf.touch(path)
            return read()
        except (ImageError, OSError) as error:
            if not path.exists():
                words = f"{path.name} was deleted from the server meanwhile: upload it again."
            else:
                words = str(error).replace(str(path), path.name)  # not where the server keeps it
            raise Refusal(words) from error

    def color(self, path: Path, options: Options, checkpoint: Checkpoint) -> tuple[Image.Image, str]:
        """The photo colored at its own size, and the suffix of the file it is to be written in."""
        sitter, (photo, kind) = self.read(path), self.whole(path)
        result = render(photo, self.studio(options.source).predict(sitter, checkpoint), **options.rendering)
        return result, downloads.suffix_for(result, kind)

    # Pictures for the page

    def picture(self, image: Image.Image, label: str, alt: str, exact: bool = False) -> page.Picture:
        """Put an image where the page can load it; exact: as PNG."""
        data, suffix = (downloads.encode(image, ".png"), ".png") if exact else downloads.encode_shown(image)
        return page.Picture(self.shelf.put(data, f"picture{suffix}"), label, alt, *image.size)

    def drawn(self, sitter: Sitter, what: str | Checkpoint, options: Options, side: int) -> page.Picture:
        """The gray photo, the photo itself, or a coloring of it, ready for the page; at most `side` pixels a side."""
        if what == GRAY:
            gray = gray_image(resize_photo(sitter.shown, side))
            return self.picture(gray, "Gray", "The photo in gray, as the network sees it")
        if what == TRUTH:
            return self.picture(sitter.truth, "The photo", "The photo in its own colors")
        image = self.studio(options.source).color(sitter, what, side, **options.rendering)
        return self.picture(image, label_of(what), f"The photo colored by {label_of(what)}")

    # Staying up

    def health(self) -> dict:
        """Whether the network colors, which a picture of 32x32 pixels tells: "status" is "ok" or says what fails."""
        here = self.shipped
        try:
            model = here.colorizer(here.nearest).model
            side = 32 if model.config.any_size else model.config.image_size
            with torch.inference_mode():
                gray = torch.zeros(1, 1, side, side, device=next(model.parameters()).device)
                fine = bool(model(gray).isfinite().all())
            status = "ok" if fine else "the network's output is not finite"
        except Exception as error:  # whatever it is, it is what is asked for
            status = f"{type(error).__name__}: {error}"
        kept = {"photos": self._sitters, "predictions": here.predictions, "networks": here.networks}
        return {
            "status": status,
            "checkpoints": len(here.checkpoints),
            "uptime_s": round(time.time() - self.started),
            "kept_bytes": {name: values.size for name, values in kept.items()},
        }

    def keep_house(self) -> None:
        """Load the other networks while the first visitor looks at the example; then delete what is old, for good."""
        for checkpoint in self.shipped.checkpoints:
            try:
                self.shipped.colorizer(checkpoint)
            except CheckpointError as error:
                print(error, file=sys.stderr)
        while True:
            time.sleep(60)
            self.shelf.tidy()
