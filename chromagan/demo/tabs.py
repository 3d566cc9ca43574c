"""What each tab of the demo shows and hands out: a photo and choices in, HTML and files out.

Where nothing is to change, the value is None. What a tab shows is remembered by the page as a Shown: it is not made
again, and what is downloaded is what was seen. All may raise Refusal and CheckpointError, whose words are for people.
"""

import functools
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chromagan.colorizer import render
from chromagan.demo import downloads, page, photo_report
from chromagan.demo.desk import GRAY, TRUTH, Desk, Options, Refusal, options_of
from chromagan.demo.studio import SHOWN_SIDE, SMALL_SIDE, gray_image, label_of
from chromagan.hub.checkpoints import Checkpoint
from chromagan.network.decoders import DECODERS
from chromagan.network.trunk import PYPI_WEIGHTS, PretrainedWeightsError, imagenet_classifier

ANIMATION_SIDE = 640  # pixels
REDRAW_SECONDS = 0.15  # between two states of the grid: the page redraws all of it


class Shown(NamedTuple):
    """What a tab shows."""

    photo: Path
    options: Options
    what: object  # Colorize: the checkpoint; Matrix: pictures by key, and their ratio; Epochs: the decoder; Measure: ..


class Tabs:
    """The tabs of a desk."""

    def __init__(self, desk: Desk):
        self.desk = desk

    # Colorize

    def show(self, photo: Path | None, decoder: str, epoch: str, *options) -> tuple[str, str, Shown]:
        """Gray and color to compare, and the caption."""
        options = options_of(*options)
        checkpoint, sitter = self.desk.choose(options.source, decoder, epoch), self.desk.read(photo)
        both = (self.desk.drawn(sitter, what, options, SHOWN_SIDE) for what in (GRAY, checkpoint))
        words = page.caption(checkpoint, self.desk.costs.get(checkpoint.decoder)) + page.first_page(sitter.pages)
        return page.comparison(*both), words, Shown(photo, options, checkpoint)

    def full_size(self, shown: Shown) -> Path:
        """What `show` showed, at the photo's own size, in its format, named after what made it."""
        image, suffix = self.desk.color(*shown)
        name = downloads.file_name(shown.photo.name, shown.what, suffix)
        return self.desk.shelf.put(downloads.encode(image, suffix), name)

    # Matrix

    def fill(self, photo: Path | None, source, chroma, saturation, left: str, right: str) -> Iterator[tuple]:
        """The grid with every checkpoint, filled as they are ready; then the two that are compared; and a Shown."""
        options = options_of(source, chroma, saturation)
        here, sitter = self.desk.studio(options.source), self.desk.read(photo)
        height, width = sitter.small.L.shape[-2:]
        cells, drawn = {}, time.monotonic()
        shown = Shown(photo, options, (cells, width / height))
        yield page.grid(here, width / height, cells), None, shown
        for checkpoint in here.checkpoints:
            cells[page.key_of(checkpoint)] = self.desk.drawn(sitter, checkpoint, options, SMALL_SIDE)
            if time.monotonic() - drawn > REDRAW_SECONDS:
                yield page.grid(here, width / height, cells), None, None
                drawn = time.monotonic()
        yield *self.compare(left, right, shown), shown

    def compare(self, left: str, right: str, shown: Shown | None) -> tuple[str, str]:
        """The grid with the two marked, and the two on the slider."""
        if shown is None:
            raise Refusal("Color the photo with all of them first.")
        here, sitter, (cells, ratio) = self.desk.studio(shown.options.source), self.desk.read(shown.photo), shown.what
        whats = {page.key_of(checkpoint): checkpoint for checkpoint in here.checkpoints} | {GRAY: GRAY, TRUTH: TRUTH}
        try:
            both = [self.desk.drawn(sitter, whats[key], shown.options, SHOWN_SIDE) for key in (left, right)]
        except KeyError as error:
            raise Refusal(f"{error} is not among the checkpoints of this source.") from error
        return page.grid(here, ratio, cells, (left, right)), page.comparison(*both)

    def archive(self, photo: Path | None, *options) -> Iterator[tuple[int, int, Path | None]]:
        """A ZIP of the photo by every checkpoint at full size, with a contact sheet and a JSON record.

        Yields how many are done, of how many, and at last the file.
        """
        options = options_of(*options)
        here, sitter = self.desk.studio(options.source), self.desk.read(photo)
        whole, kind = self.desk.whole(photo)
        count = len(here.checkpoints)

        def color(checkpoint: Checkpoint):
            return render(whole, here.predict(sitter, checkpoint), **options.rendering)

        suffix = downloads.suffix_for(render(sitter.small, here.predict(sitter, here.checkpoints[0])), kind)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "all.zip")
            with path.open("wb") as file:
                for done in downloads.write_archive(
                    file, photo.name, options.source or "shipped", here.checkpoints, color, suffix, options.rendering
                ):
                    yield done, count, None
            yield count, count, self.desk.shelf.put(path, f"{photo.stem[:60]}-matrix.zip")

    # Epochs

    def scrub(self, photo: Path | None, decoder: str, *options) -> tuple[str, Shown]:
        """One decoder's epochs over the photo, and their curves."""
        options = options_of(*options)
        sitter, here, checkpoints = self.desk.read(photo), *self._epochs(options, decoder)
        frames = [(each, self.desk.drawn(sitter, each, options, SHOWN_SIDE)) for each in checkpoints]
        truth = photo_report.true_colorfulness(sitter)
        curves = photo_report.curves(here, sitter, checkpoints)
        lines = {"colorfulness": truth} if truth is not None else {}
        return page.scrubber(frames, curves, lines), Shown(photo, options, decoder)

    def animate(self, shown: Shown | None, kind: str) -> Path:
        """The epochs as one file that moves; kind: a key of downloads.ANIMATIONS."""
        if shown is None:
            raise Refusal("Show the epochs first.")
        sitter, here, checkpoints = self.desk.read(shown.photo), *self._epochs(shown.options, shown.what)
        frames = (
            (label_of(each), here.color(sitter, each, ANIMATION_SIDE, **shown.options.rendering))
            for each in checkpoints
        )
        name = f"{shown.photo.stem[:60]}-{shown.what}-epochs.{kind}"
        return self.desk.shelf.put(downloads.animation(frames, kind), name)

    def _epochs(self, options: Options, decoder: str):
        here = self.desk.studio(options.source)
        decoder = self.desk.choose(options.source, decoder, None).decoder
        return here, [each for each in here.checkpoints if each.decoder == decoder]

    # Measure

    def tabulate(self, photo: Path | None, epoch: str, *options) -> tuple[str, str, Shown]:
        """Every decoder at one epoch against the photo: the table, and what a classifier sees."""
        options = options_of(*options)
        sitter, here, checkpoints = self.desk.read(photo), *self.at_epoch(options.source, epoch)
        report = photo_report.report(here, sitter, checkpoints)
        rows = None
        if (classes := classifier()) is not None:
            versions = {"gray": gray_image(sitter.small)}
            versions |= {"the photo": sitter.truth} if sitter.colored else {}
            versions |= {DECODERS[each.decoder].label: here.color(sitter, each, SMALL_SIDE) for each in checkpoints}
            rows = [(name, classes.top(image)) for name, image in versions.items()]
        at = checkpoints[0].epoch
        return page.report_table(report, at), page.classes_table(rows), Shown(photo, options, (report, at))

    def at_epoch(self, source: str, epoch: str | int | None):
        """A studio, and those of its checkpoints that have `epoch`, "" being the newest; Refusal where none has."""
        here = self.desk.studio(source)
        epochs = here.epochs()
        wanted = str(epochs[-1] if epoch in ("", None) else epoch)
        checkpoints = [each for each in here.checkpoints if str(each.epoch) == wanted]
        if not checkpoints:
            raise Refusal(f"no decoder has epoch {wanted}; choose from {', '.join(map(str, epochs))}")
        return here, checkpoints

    def locate(self, shown: Shown | None, decoder: str, view: str) -> str:
        """A coloring against where it errs: the heat map, or the boundaries; a gray photo against its coloring."""
        if shown is None:
            raise Refusal("Measure the photo first.")
        (report, epoch), options = shown.what, shown.options
        here, sitter = self.desk.studio(options.source), self.desk.read(shown.photo)
        checkpoint = self.desk.choose(options.source, decoder, epoch)
        left = self.desk.drawn(sitter, checkpoint, options, SHOWN_SIDE)
        if not sitter.colored:
            return page.comparison(self.desk.drawn(sitter, GRAY, options, SHOWN_SIDE), left)
        image = here.color(sitter, checkpoint, SHOWN_SIDE)
        if view == "boundaries":
            right = photo_report.boundary_picture(image, sitter.truth, report.size)
            words = "Boundaries", "True color edges: white where kept, pink where color bled over them; blue: invented"
            legend = page.edges_legend()
        else:
            right = photo_report.error_picture(image, sitter.truth)
            words = "CIEDE2000", "Color difference from the photo: black is none, yellow is 30 and more"
            legend = page.heat_legend()
        return page.comparison(left, self.desk.picture(right, *words, exact=True)) + legend

    def table_file(self, shown: Shown | None) -> Path:
        """The report as CSV."""
        if shown is None:
            raise Refusal("Measure the photo first.")
        report, epoch = shown.what
        return self.desk.shelf.put(report.csv().encode(), f"{shown.photo.stem[:60]}-epoch-{epoch}-measures.csv")


@functools.cache
def classifier() -> photo_report.Classes | None:
    """The teacher, where its weights are on this machine: a demo that asked the Hub for them would call home."""
    name, package = next(iter(PYPI_WEIGHTS.items()))
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return photo_report.Classes(imagenet_classifier(name), name)
    except PretrainedWeightsError:
        return None
