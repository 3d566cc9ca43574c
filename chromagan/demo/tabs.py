"""What each tab of the demo shows and offers for download: a photo and choices in, HTML and files out.

A value of None means no change. The page keeps what a tab shows, so that it is not computed again and a download is
exactly what was shown. All may raise RequestError and CheckpointError, whose messages are for users.
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
from chromagan.demo.loaded_photo import SHOWN_SIDE, SMALL_SIDE
from chromagan.demo.refining import action_picture, action_shares
from chromagan.demo.service import GRAY, NO_PHOTO, TRUTH, DemoService, Options, RequestError, options_of, whole_number
from chromagan.demo.source import CheckpointSource, label_of
from chromagan.demo.visible import PLACES, words_for
from chromagan.hub.checkpoints import GENERAL, STUDY, Checkpoint
from chromagan.network.decoders import DECODERS
from chromagan.network.trunk import PYPI_WEIGHTS, PretrainedWeightsError, imagenet_classifier

ANIMATION_SIDE = 640  # pixels
ARCHIVE_BYTES = 1 << 30  # a TIFF is not compressed: a small upload can have results of gigabytes
REDRAW_SECONDS = 0.15  # between two updates of the grid: the page redraws all of it


class Colored(NamedTuple):
    """What Colorize shows."""

    photo: Path
    options: Options
    checkpoint: Checkpoint


class Filled(NamedTuple):
    """What Matrix shows. cells: the pictures by their keys; ratio: their width over their height."""

    photo: Path
    options: Options
    cells: dict[str, page.Picture]
    ratio: float


class Filmed(NamedTuple):
    """What Epochs shows."""

    photo: Path
    options: Options
    decoder: str


class Measured(NamedTuple):
    """What Measure shows. checkpoints: by decoder."""

    photo: Path
    options: Options
    report: photo_report.Report
    checkpoints: dict[str, Checkpoint]


class Tabs:
    """The tabs of the page, over one service."""

    def __init__(self, service: DemoService):
        self.service = service

    # Colorize

    def colorize(self, photo: Path | None, decoder: str, epoch: str, *options) -> tuple[str, str, Colored]:
        """HTML comparing gray and color, HTML of the caption, and the state, as by `chosen`."""
        state = self.chosen(photo, decoder, epoch, *options)
        _, options, checkpoint = state
        loaded = self.service.load(photo)
        both = (self.service.picture_of(loaded, what, options, SHOWN_SIDE) for what in (GRAY, checkpoint))
        networks = {STUDY: "", GENERAL: "photos of any kind"}.get(options.source, options.source)
        words = page.caption(checkpoint, networks, self.service.costs.get(checkpoint.decoder))
        words += page.first_page(loaded.pages)
        return page.comparison(*both), words, state

    def chosen(self, photo: Path | None, decoder: str, epoch: str, *options) -> Colored:
        """The state of a coloring that is yet to be made. Refined only if the source can do it."""
        options = options_of(*options)
        if options.refined and self.service.source(options.source).refiner is None:
            options = options._replace(refined=False)
        return Colored(photo, options, self.service.find(options.source, decoder, epoch))

    def colorized_file(self, state: Colored | None) -> Path:
        """What `colorize` showed, as a file of the photo's size and format, named after photo and checkpoint."""
        if state is None:
            raise RequestError(NO_PHOTO)
        image, suffix = self.service.color(*state)
        options = state.options
        name = downloads.file_name(state.photo.name, options.source, state.checkpoint, suffix, options.refined)
        return self.service.files.put(downloads.encode(image, suffix), name)

    # Refine

    def refine(self, photo: Path | None, decoder: str, epoch: str, step: float, view: str, *options) -> str:
        """HTML comparing a coloring before the refiner's first step and after step `step`, with a legend of the actions
        taken in it. view: "coloring", or "actions" for a map of the pixels' actions.
        """
        options, step = options_of(*options), whole_number(step, "step")
        here, checkpoint = self.service.source(options.source), self.service.find(options.source, decoder, epoch)
        loaded = self.service.load(photo)
        rollout = here.rollout(loaded, checkpoint)
        if step is None or not 0 <= step < len(rollout):
            raise RequestError(f"step must be between 0 and {len(rollout) - 1}, got {step}")
        shown = loaded.at(SHOWN_SIDE)
        before, after = (render(shown, each, **options.rendering) for each in (rollout[0], rollout[step]))
        name = label_of(checkpoint)
        left = self.service.picture(before, "Before", f"The photo colored by {name}")
        if view == "actions" and step:
            right = action_picture(rollout[step].actions, shown.gray_image())
            right = self.service.picture(
                right, f"Step {step}: actions", f"The action of each pixel in step {step}", exact=True
            )
        else:
            words = f"Step {step} of {len(rollout) - 1}" if step else "Before"
            right = self.service.picture(after, words, f"The photo colored by {name}, after step {step} of the refiner")
        legend = page.action_legend(action_shares(rollout[step].actions)) if step else ""
        return page.comparison(left, right) + legend

    # Matrix

    def fill_matrix(self, photo: Path | None, *options) -> Iterator[tuple]:
        """HTML of the grid, updated as colorings become ready, and the state."""
        options = options_of(*options)
        here, loaded = self.service.source(options.source), self.service.load(photo)
        height, width = loaded.small.L.shape[-2:]
        cells, drawn = {}, time.monotonic()
        state = Filled(photo, options, cells, width / height)
        yield page.matrix(here, state.ratio, cells), state
        for checkpoint in here.checkpoints:
            cells[page.key_of(checkpoint)] = self.service.picture_of(loaded, checkpoint, options, SMALL_SIDE)
            if time.monotonic() - drawn > REDRAW_SECONDS:
                yield page.matrix(here, state.ratio, cells), None
                drawn = time.monotonic()
        yield page.matrix(here, state.ratio, cells), state

    def compare(self, left: str, right: str, state: Filled | None) -> tuple[str, str]:
        """HTML of the grid with two colorings marked, and of the two on the slider. left, right: their keys."""
        if state is None:
            raise RequestError("Color the photo with all checkpoints first.")
        here, loaded = self.service.source(state.options.source), self.service.load(state.photo)
        whats = {page.key_of(checkpoint): checkpoint for checkpoint in here.checkpoints} | {GRAY: GRAY, TRUTH: TRUTH}
        try:
            chosen = [whats[str(key)] for key in (left, right)]
        except KeyError as error:
            raise RequestError(f"{error} is not among the checkpoints of this source.") from error
        both = [self.service.picture_of(loaded, what, state.options, SHOWN_SIDE) for what in chosen]
        return page.matrix(here, state.ratio, state.cells, (left, right)), page.comparison(*both)

    def archive(self, photo: Path | None, *options) -> Iterator[tuple[int, int, Path | None]]:
        """A ZIP of the photo colored by every checkpoint at full size, with a contact sheet and a JSON record.

        Yields (done, total, None) for progress and finally the path of the file.
        """
        options = options_of(*options)
        here, loaded = self.service.source(options.source), self.service.load(photo)
        whole, kind = self.service.load_whole(photo)
        count = len(here.checkpoints)

        def color(checkpoint: Checkpoint):
            return render(whole, here.predict(loaded, checkpoint), **options.rendering)

        suffix = downloads.result_suffix(render(loaded.small, here.predict(loaded, here.checkpoints[0])), kind)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "all.zip")
            with path.open("wb") as file:
                for done in downloads.write_archive(
                    file, photo.name, options.source, here.checkpoints, color, suffix, options.rendering
                ):
                    if file.tell() > ARCHIVE_BYTES:
                        most = f"{ARCHIVE_BYTES >> 30} GiB"
                        raise RequestError(f"All colorings together exceed {most}: use a smaller photo.")
                    yield done, count, None
            yield count, count, self.service.files.put(path, downloads.named(photo, options.source, "matrix.zip"))

    # Epochs

    def show_epochs(self, photo: Path | None, decoder: str, *options) -> tuple[str, Filmed]:
        """HTML of the photo at each epoch of one decoder, with curves, and the state."""
        options = options_of(*options)
        loaded, here, checkpoints, best = self.service.load(photo), *self._epochs(options, decoder)
        frames = [(each, self.service.picture_of(loaded, each, options, SHOWN_SIDE)) for each in checkpoints]
        truth = photo_report.true_colorfulness(loaded)
        curves = photo_report.epoch_curves(here, loaded, checkpoints, **options.rendering)
        lines = {"colorfulness": truth} if truth is not None else {}
        return page.epochs_view(frames, curves, lines, checkpoints.index(best)), Filmed(photo, options, decoder)

    def animation_file(self, state: Filmed | None, kind: str) -> Path:
        """The epochs as an animation; kind: a key of downloads.ANIMATIONS."""
        if state is None:
            raise RequestError("Show the epochs first.")
        loaded, here, checkpoints, _ = self.service.load(state.photo), *self._epochs(state.options, state.decoder)
        frames = (
            (label_of(each), here.color(loaded, each, ANIMATION_SIDE, **state.options.rendering))
            for each in checkpoints
        )
        name = downloads.named(state.photo, state.options.source, f"{state.decoder}-epochs.{kind}")
        return self.service.files.put(downloads.animation(frames, kind), name)

    def _epochs(self, options: Options, decoder: str) -> tuple[CheckpointSource, list[Checkpoint], Checkpoint]:
        """A source, its checkpoints of a decoder, and the recommended one."""
        here, recommended = self.service.source(options.source), self.service.find(options.source, decoder, None)
        return here, [each for each in here.checkpoints if each.decoder == recommended.decoder], recommended

    # Measure

    def measure(self, photo: Path | None, epoch: str, *options) -> tuple[str, str, str, Measured]:
        """HTML of every decoder's measures at one epoch, of the visible faults and of what a classifier sees, and the
        state."""
        options = options_of(*options)
        loaded, here, checkpoints = self.service.load(photo), *self.at_epoch(options.source, epoch)
        report = photo_report.measure_photo(here, loaded, checkpoints)
        rows = None
        if (classes := classifier()) is not None:
            versions = {"gray": loaded.small.gray_image()}
            versions |= {"the photo": loaded.truth} if loaded.colored else {}
            versions |= {DECODERS[each.decoder].label: here.color(loaded, each, SMALL_SIDE) for each in checkpoints}
            rows = [(name, classes.top(image)) for name, image in versions.items()]
        state = Measured(photo, options, report, {each.decoder: each for each in checkpoints})
        table = page.report_table(report, page.epochs_label(checkpoints))
        return table, page.visible_table(report), page.classes_table(rows), state

    def at_epoch(self, source: str, epoch: str | int | None) -> tuple[CheckpointSource, list[Checkpoint]]:
        """A source and its checkpoints of one epoch, "" for that of the recommended one, or for all if each decoder has
        only one. RequestError if no decoder has the epoch.
        """
        here = self.service.source(source)
        wanted = whole_number(epoch)
        if wanted is None and here.single:
            return here, here.checkpoints
        wanted = here.recommended.epoch if wanted is None else wanted
        checkpoints = [each for each in here.checkpoints if each.epoch == wanted]
        if not checkpoints:
            raise RequestError(f"no decoder has epoch {wanted}; choose from {', '.join(map(str, here.epochs()))}")
        return here, checkpoints

    def show_errors(self, state: Measured | None, decoder: str, view: str) -> str:
        """HTML comparing a coloring and a map of its errors; for a gray photo, the photo and its coloring.

        view: "errors", "boundaries", or a key of PLACES to mark on the coloring.
        """
        if state is None:
            raise RequestError("Measure the photo first.")
        _, options, report, checkpoints = state
        here, loaded = self.service.source(options.source), self.service.load(state.photo)
        if decoder not in tuple(checkpoints):
            raise RequestError(f"{decoder!r} was not measured; choose from {', '.join(checkpoints)}")
        checkpoint = checkpoints[decoder]
        # As it was measured, whatever the options of rendering.
        left = self.service.picture_of(loaded, checkpoint, Options(options.source), SHOWN_SIDE)
        if not loaded.colored:
            return page.comparison(self.service.picture_of(loaded, GRAY, options, SHOWN_SIDE), left)
        image = here.color(loaded, checkpoint, SHOWN_SIDE)
        if view in tuple(PLACES):  # of a tuple anything can be asked, of a dict only a key
            right = photo_report.fault_picture(loaded, here.predict(loaded, checkpoint), image, view)
            said = words_for(view, dict(report.rows)[decoder], report.truth)
            words, legend = (PLACES[view], said), page.place_legend(said)
        elif view == "boundaries":
            right = photo_report.boundary_picture(image, loaded.truth, report.size)
            words = "Boundaries", "True color edges: white where kept, pink where color bled across; invented: blue"
            legend = page.edges_legend()
        else:
            right = photo_report.error_picture(image, loaded.truth)
            words = "CIEDE2000", "Color difference from the photo: black is 0, yellow is 30 or more"
            legend = page.heat_legend()
        return page.comparison(left, self.service.picture(right, *words, exact=True)) + legend

    def measures_file(self, state: Measured | None) -> Path:
        """The measures of `measure` as CSV."""
        if state is None:
            raise RequestError("Measure the photo first.")
        epochs = {each.epoch for each in state.checkpoints.values()}
        moment = f"epoch-{epochs.pop()}-" if len(epochs) == 1 else ""
        name = downloads.named(state.photo, state.options.source, f"{moment}measures.csv")
        return self.service.files.put(state.report.csv().encode(), name)


@functools.cache
def classifier() -> photo_report.ImageClassifier | None:
    """The teacher, if its weights are installed: the demo does not download them, so that it never calls home."""
    name, package = next(iter(PYPI_WEIGHTS.items()))
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return photo_report.ImageClassifier(imagenet_classifier(name), name)
    except PretrainedWeightsError:
        return None
