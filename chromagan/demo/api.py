"""The demo's functions for programs and assistants: called through `gradio_client` or as tools of the MCP server.

Both show their docstrings, with an entry for each argument, of which Gradio reads one line. An image is the path of an
uploaded file. All may raise RequestError and CheckpointError, whose messages are for users.
"""

import math
from pathlib import Path

from chromagan.demo import downloads, photo_report
from chromagan.demo.service import CHROMA, check_choice, options_of, source_name
from chromagan.demo.source import label_of, measured
from chromagan.demo.tabs import Filmed, Tabs

REFINE = ("default", "yes", "no")


class Api:
    """The API functions, based on the tabs of the page."""

    def __init__(self, tabs: Tabs):
        self.tabs, self.service = tabs, tabs.service

    def colorize(
        self, image: Path, decoder: str = "", epoch: int | None = None, chroma: str = CHROMA, saturation: float = 1.0,
        source: str = "", refine: str = "default",
    ) -> Path:  # fmt: skip
        """Color a gray photo, or one in color as if it were gray. Colors are guessed, the lightness is kept.

        Args:
            image: The photo; for a multi-page file, its first page.
            decoder: The decoder that colors, as listed by checkpoints; empty for the source's first.
            epoch: Its epoch; none for the recommended one, the most colorful within 1 % of the lowest color error.
            chroma: How colors are upsampled to full size: along the photo's edges, or bilinearly.
            saturation: Factor that multiplies the chroma, from 0 (gray) to 3.
            source: "general" (or empty), "study" (or empty with an epoch), or a study on the Hub, owner/name.
            refine: "yes" for fewer red patches and spots, "no", or "default": yes with "general" only.

        Returns:
            A PNG of the photo's size.
        """
        source = source_name(source) or self.service.default_source(decoder, epoch)
        check_choice("refine", refine, REFINE)
        refined = self.service.refines(source) if refine == "default" else refine == "yes"
        options = options_of(source, chroma, saturation, refined)
        checkpoint = self.service.find(source, decoder, epoch)
        result, _ = self.service.color(image, options, checkpoint)
        name = downloads.file_name(image.name, source, checkpoint, ".png", options.refined)
        return self.service.files.put(downloads.encode(result, ".png"), name)

    def matrix(self, image: Path, chroma: str = CHROMA, saturation: float = 1.0, source: str = "") -> Path:
        """Color a photo with every decoder at every epoch, to compare them. It takes a while.

        Args:
            image: The photo; for a multi-page file, its first page.
            chroma: How colors are upsampled to full size: along the photo's edges, or bilinearly.
            saturation: Factor that multiplies the chroma, from 0 (gray) to 3.
            source: "study" (or empty); "general", for photos of any kind; or a study on the Hub, owner/name.

        Returns:
            A ZIP: every coloring at the photo's size, a contact sheet of all of them, and a record.json.
        """
        *_, (_, _, path) = self.tabs.archive(image, source, chroma, saturation)
        return path

    def epochs(
        self, image: Path, decoder: str = "", kind: str = "webp", chroma: str = CHROMA, saturation: float = 1.0,
        source: str = "",
    ) -> Path:  # fmt: skip
        """Animate a photo through the epochs of one decoder.

        Args:
            image: The photo; for a multi-page file, its first page.
            decoder: The decoder that colors, as listed by checkpoints; empty for the source's first.
            kind: The animation's format.
            chroma: How colors are upsampled to full size: along the photo's edges, or bilinearly.
            saturation: Factor that multiplies the chroma, from 0 (gray) to 3.
            source: "study" (or empty); "general", for photos of any kind; or a study on the Hub, owner/name.
        """
        check_choice("kind", kind, downloads.ANIMATIONS)
        self.service.load(image)
        decoder = self.service.find(source, decoder, "").decoder
        return self.tabs.animation_file(Filmed(image, options_of(source, chroma, saturation), decoder), kind)

    def measure(self, image: Path, epoch: int | None = None, source: str = "") -> dict:
        """Measure how close every decoder comes to the photo's own colors; for a gray photo, only what needs no truth.

        Args:
            image: The photo, in color.
            epoch: The epoch of all decoders; none for that of the recommended checkpoint, or for each one's only epoch.
            source: "study" (or empty); "general", for photos of any kind; or a study on the Hub, owner/name.

        Returns:
            Measures of each decoder: ciede2000, lower is nearer; psnr, which rewards gray; colorfulness; and more. Also
            their epoch, null if each decoder has its own.
        """
        loaded, here, checkpoints = self.service.load(image), *self.tabs.at_epoch(source, epoch)
        report = photo_report.measure_photo(here, loaded, checkpoints)
        rows = {name: {k: v if math.isfinite(v) else None for k, v in values.items()} for name, values in report.rows}
        epochs = {each.epoch for each in checkpoints}
        return {
            "epoch": epochs.pop() if len(epochs) == 1 else None,
            "colored": report.colored,
            "size": list(report.size),
            "measures": rows,
        }

    def checkpoints(self, source: str = "") -> list[dict]:
        """List the decoders and the available epochs of each.

        Args:
            source: "study" (or empty); "general", for photos of any kind; or a study on the Hub, owner/name.

        Returns:
            For each checkpoint its decoder, epoch, display name, and measures over the colored photos of a data set.
        """
        return [
            {"decoder": each.decoder, "epoch": each.epoch, "label": label_of(each), "measured": measured(each)}
            for each in self.service.source(source).checkpoints
        ]
