"""The demo's functions for programs: what `gradio_client` calls. Their docstrings are the documentation it shows.

image: the path of an uploaded file. All may raise RequestError and CheckpointError, whose words are for people.
"""

import math
from pathlib import Path

from chromagan.demo import downloads, photo_report
from chromagan.demo.service import CHROMA, RequestError, options_of
from chromagan.demo.source import label_of, measured
from chromagan.demo.tabs import Tabs, TabState


class Api:
    """The functions, over the tabs of the page."""

    def __init__(self, tabs: Tabs):
        self.tabs, self.service = tabs, tabs.service

    def colorize(self, image, decoder: str = "", epoch: str = "", chroma=CHROMA, saturation=1.0, source="") -> Path:
        """Colorize a photo, of several pages the first. The result is a PNG that has its size and its lightness.

        decoder: a key of /checkpoints; "" is the first there is. epoch: a number; "" is that
        decoder's epoch measured nearest to the true colors, or its newest where none was measured.
        chroma: "bilinear" or "edge-aware". saturation: 0 to 3. source: "" for what ships, or a Hub prefix owner/name.
        """
        options, checkpoint = options_of(source, chroma, saturation), self.service.find(source, decoder, epoch)
        result, _ = self.service.color(image, options, checkpoint)
        name = downloads.file_name(image.name, checkpoint, ".png")
        return self.service.files.put(downloads.encode(result, ".png"), name)

    def matrix(self, image, chroma=CHROMA, saturation=1.0, source="") -> Path:
        """Colorize a photo with every decoder at every epoch: a ZIP with a contact sheet and record.json."""
        *_, (_, _, path) = self.tabs.archive(image, source, chroma, saturation)
        return path

    def epochs(self, image, decoder: str = "", kind: str = "webp", chroma=CHROMA, saturation=1.0, source="") -> Path:
        """Animate a photo through the epochs of one decoder. kind: "webp" or "gif"."""
        if kind not in downloads.ANIMATIONS:
            raise RequestError(f"kind {kind!r} is none of {', '.join(downloads.ANIMATIONS)}")
        self.service.load(image)
        decoder = self.service.find(source, decoder, "").decoder
        return self.tabs.animation_file(TabState(image, options_of(source, chroma, saturation), decoder), kind)

    def measure(self, image, epoch: str = "", source: str = "") -> dict:
        """Measure every decoder at one epoch ("": the newest) on a photo, against its own colors if it has any."""
        loaded, here, checkpoints = self.service.load(image), *self.tabs.at_epoch(source, epoch)
        report = photo_report.measure_photo(here, loaded, checkpoints)
        rows = {name: {k: v if math.isfinite(v) else None for k, v in values.items()} for name, values in report.rows}
        return {
            "epoch": checkpoints[0].epoch, "colored": report.colored, "size": list(report.size), "measures": rows
        }  # fmt: skip

    def checkpoints(self, source: str = "") -> list[dict]:
        """List the decoders and epochs there are, with what was measured of each over a data set."""
        return [
            {"decoder": each.decoder, "epoch": each.epoch, "label": label_of(each), "measured": measured(each)}
            for each in self.service.source(source).checkpoints
        ]
