"""The demo, and the entry of the Hugging Face Space: widgets and messages only, the library decides the rest.

    python app.py

CHROMAGAN_SOURCE is the folder of checkpoints (default: checkpoints/ beside this file) or a Hub prefix owner/name;
GRADIO_SERVER_PORT (default 7860) and GRADIO_SERVER_NAME (default 127.0.0.1) are where it listens;
GRADIO_TEMP_DIR is a folder of its own for uploads and results (default: a new one, removed at the end).
"""

import atexit
import functools
import html
import importlib.util
import inspect
import math
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no call home
if "GRADIO_TEMP_DIR" not in os.environ:  # before gradio is imported, which has one folder for all programs
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="chromagan-studio-")
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

import gradio as gr
import torch
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from gradio.utils import get_upload_folder
from PIL import Image

from chromagan import DECODERS, Checkpoint, CheckpointError, ImageError, downloads, hub, page, photo_report
from chromagan import chroma as chroma_modes
from chromagan.colorizer import render
from chromagan.photo import open_image, read_photo
from chromagan.shelf import Shelf
from chromagan.studio import (
    PHOTO_BYTES,
    SHOWN_SIDE,
    SMALL_SIDE,
    Kept,
    Sitter,
    Studio,
    decoder_milliseconds,
    file_digest,
    gray_image,
    label_of,
    measured,
    read_sitter,
    resize_photo,
)
from chromagan.trunk import PYPI_WEIGHTS, PretrainedWeightsError, imagenet_classifier

HERE = Path(__file__).resolve().parent
SOURCE = os.environ.get("CHROMAGAN_SOURCE") or str(HERE / "checkpoints")
EXAMPLES = [HERE / "examples" / f"{name}.jpg" for name in ("rocket", "cat", "coffee", "astronaut", "photographer")]

MAX_FILE_SIZE = "50mb"
MAX_MEGAPIXELS = 64  # about 1.5 GB of memory while it is colored
DISK_BYTES = 256 << 20  # of uploads and results; beyond it the oldest go, results first
MAX_AGE = 6 * 3600  # seconds, after which all go
QUEUE = 64  # requests that wait; more are told to come back
ANIMATION_SIDE = 640  # pixels
GRAY, TRUTH = "gray", "truth"  # beside the checkpoints, what the matrix compares

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # open_image has a limit of its own

message = functools.partial(gr.Error, print_exception=False)  # for people; the log is for faults of the program
shelf = Shelf(get_upload_folder(), DISK_BYTES, MAX_AGE)
sitters = Kept(PHOTO_BYTES)
started = time.time()


CHROMA = inspect.signature(render).parameters["chroma"].default  # what the command line does, too


class Options(NamedTuple):
    """What is set beside the photo: the folded panel of the page."""

    source: str = ""
    chroma: str = CHROMA
    saturation: float = 1.0

    @property
    def rendering(self) -> dict:
        return {"chroma": self.chroma, "saturation": self.saturation}


class Shown(NamedTuple):
    """What a tab shows, so that it is not made again, and is downloaded as it was seen."""

    upload: dict
    options: Options
    what: object = None  # Colorize: the checkpoint; Matrix: pictures by key; Epochs: the decoder; Measure: the report


@functools.lru_cache(maxsize=4)
def studio_of(source: str) -> Studio:
    return Studio(source or SOURCE)


def studio(source: str) -> Studio:
    """The shipped checkpoints, or those of a Hub prefix; gr.Error for one that is not to be had."""
    source = (source or "").strip()
    if source and (not hub.is_prefix(source)):  # no one else's folders
        raise message(f"{source!r} is no Hub prefix: it has the form owner/name")
    try:
        return studio_of(source)
    except CheckpointError as error:
        raise message(str(error)) from error


def options_of(source: str, chroma: str, saturation: float) -> Options:
    """Options as they came; gr.Error for one of no meaning."""
    if chroma not in chroma_modes.MODES:
        raise message(f"chroma upsampling {chroma!r} is none of {', '.join(chroma_modes.MODES)}")
    try:
        saturation = float(saturation)
    except (TypeError, ValueError) as error:
        raise message(f"saturation {saturation!r} is not a number") from error
    if not 0 <= saturation <= 3:
        raise message(f"saturation must be between 0 and 3, got {saturation:g}")
    return Options((source or "").strip(), chroma, saturation)


def read(upload: dict | None) -> Sitter:
    """The photo in `upload`, a file as Gradio hands it over unread; gr.Error for what its sender can mend."""
    path = path_of(upload)
    shelf.touch(path)
    try:
        return sitters.get(
            file_digest(path), lambda: read_sitter(path, MAX_MEGAPIXELS * 1_000_000), lambda sitter: sitter.bytes
        )
    except (ImageError, OSError) as error:
        raise unreadable(error, path) from error


def path_of(upload: dict | None) -> Path:
    if not upload or not upload.get("path"):
        raise message("Upload a photo first.")
    return Path(upload["path"])


def unreadable(error: Exception, path: Path) -> gr.Error:
    if isinstance(error, FileNotFoundError):
        return message(f"{path.name} was deleted from the server meanwhile: upload it again.")
    return message(str(error).replace(str(path), path.name))  # not where the server keeps it


def choose(source: str, decoder: str | None, epoch: str | int | None) -> Checkpoint:
    """The checkpoint that is meant; gr.Error, listing what there is, where there is none."""
    try:
        number = None if epoch in ("", None) else int(epoch)
    except (TypeError, ValueError) as error:
        raise message(f"epoch {epoch!r} is not a whole number") from error
    try:
        return studio(source).find(str(decoder or "") or None, number)
    except CheckpointError as error:
        raise message(str(error)) from error


def guarded(function):
    """Turn what the library says of a damaged checkpoint into a message in the page."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            result = function(*args, **kwargs)
            return (yield from result) if inspect.isgenerator(result) else result
        except CheckpointError as error:
            raise message(str(error)) from error

    @functools.wraps(function)
    def plain(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except CheckpointError as error:
            raise message(str(error)) from error

    return wrapped if inspect.isgeneratorfunction(function) else plain


def picture(image: Image.Image, label: str, alt: str, exact: bool = False) -> page.Picture:
    """Put an image where the page can load it; exact: as PNG."""
    data, suffix = (downloads.encode(image, ".png"), ".png") if exact else downloads.encode_shown(image)
    return page.Picture(shelf.put(data, f"picture{suffix}"), label, alt, *image.size)


def drawn(studio: Studio, sitter: Sitter, what: str | Checkpoint, options: Options, side: int) -> page.Picture:
    """The gray photo, the photo itself, or a coloring of it, ready for the page."""
    if what == GRAY:
        return picture(
            gray_image(resize_photo(sitter.shown, side)), "Gray", "The photo in gray, as the network sees it"
        )
    if what == TRUTH:
        return picture(sitter.truth, "The photo", "The photo in its own colors")
    image = studio.color(sitter, what, side, **options.rendering)
    return picture(image, label_of(what), f"The photo colored by {label_of(what)}")


# Colorize


@guarded
def show(upload: dict | None, decoder: str, epoch: str, *options) -> tuple[str, str, Shown]:
    """What the tab shows: gray and color to compare and the caption; and of what, for `full_size`."""
    options = options_of(*options)
    checkpoint = choose(options.source, decoder, epoch)
    sitter, here = read(upload), studio(options.source)
    left, right = (drawn(here, sitter, what, options, SHOWN_SIDE) for what in (GRAY, checkpoint))
    words = page.caption(checkpoint, COSTS.get(checkpoint.decoder))
    return page.comparison(left, right), words, Shown(upload, options, checkpoint)


@guarded
def full_size(shown: Shown) -> str:
    """The file to download: what `show` showed, at the photo's own size, in its format, named after what made it."""
    path = path_of(shown.upload)
    image, suffix = whole(path, shown.options, shown.what)
    return str(shelf.put(downloads.encode(image, suffix), downloads.file_name(path.name, shown.what, suffix)))


def whole(path: Path, options: Options, checkpoint: Checkpoint) -> tuple[Image.Image, str]:
    """A photo colored at its own size, and the suffix of the file it is to be written in."""
    sitter, (photo, kind) = read({"path": str(path)}), opened(path)
    result = render(photo, studio(options.source).predict(sitter, checkpoint), **options.rendering)
    return result, downloads.suffix_for(result, kind)


def opened(path: Path):
    try:
        image = open_image(path, MAX_MEGAPIXELS * 1_000_000)
        return read_photo(image), image.format
    except ImageError as error:
        raise unreadable(error, path) from error


# Matrix


@guarded
def fill(upload: dict | None, source, chroma, saturation, left: str, right: str) -> Iterator[tuple]:
    """Every checkpoint over the photo, the grid filled as they are ready; then the two that are compared."""
    options = options_of(source, chroma, saturation)
    here, sitter = studio(options.source), read(upload)
    height, width = sitter.small.L.shape[-2:]
    cells, seen = {}, time.monotonic()
    yield page.grid(here, width / height, cells), gr.skip(), Shown(upload, options, (cells, width / height))
    for checkpoint in here.checkpoints:
        cells[page.key_of(checkpoint)] = drawn(here, sitter, checkpoint, options, SMALL_SIDE)
        if time.monotonic() - seen > 0.15:
            yield page.grid(here, width / height, cells), gr.skip(), gr.skip()
            seen = time.monotonic()
    shown = Shown(upload, options, (cells, width / height))
    yield *compare(left, right, shown), shown


@guarded
def compare(left: str, right: str, shown: Shown | None) -> tuple[str, str]:
    """The grid with the two marked, and the two on the slider."""
    if shown is None:
        raise message("Color the photo with all of them first.")
    here, sitter, (cells, ratio) = studio(shown.options.source), read(shown.upload), shown.what
    whats = {page.key_of(checkpoint): checkpoint for checkpoint in here.checkpoints} | {GRAY: GRAY, TRUTH: TRUTH}
    try:
        both = [drawn(here, sitter, whats[key], shown.options, SHOWN_SIDE) for key in (left, right)]
    except KeyError as error:
        raise message(f"{error} is not among the checkpoints of this source.") from error
    return page.grid(here, ratio, cells, (left, right)), page.comparison(*both)


def pick(event: gr.EventData, left: str, right: str, shown: Shown | None) -> tuple:
    """The cell that was clicked goes to the right; the one that was there goes to the left."""
    left, right = (left, right) if event.key == right else (right, event.key)
    return left, right, *compare(left, right, shown)


@guarded
def archive(upload: dict | None, source, chroma, saturation, progress=gr.Progress()) -> Iterator:  # noqa: B008
    """A ZIP of the photo by every checkpoint at full size, with a contact sheet and a JSON record."""
    options, path = options_of(source, chroma, saturation), path_of(upload)
    here, sitter, (photo, kind) = studio(options.source), read(upload), opened(path)

    def color(checkpoint: Checkpoint) -> Image.Image:
        return render(photo, here.predict(sitter, checkpoint), **options.rendering)

    suffix = downloads.suffix_for(color(here.checkpoints[0]), kind)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "all.zip")
        with whole.open("wb") as file:
            for done in downloads.write_archive(
                file, path.name, options.source or "shipped", here.checkpoints, color, suffix, options.rendering
            ):
                progress((done, len(here.checkpoints)), unit="colorings")
                yield gr.skip()
        yield str(shelf.put(whole, f"{path.stem[:60]}-matrix.zip"))


# Epochs


@guarded
def scrub(upload: dict | None, decoder: str, *options) -> tuple[str, Shown]:
    """One decoder's epochs over the photo, and their curves."""
    options = options_of(*options)
    here, sitter = studio(options.source), read(upload)
    checkpoints = [each for each in here.checkpoints if each.decoder == decoder]
    frames = [(each, drawn(here, sitter, each, options, SHOWN_SIDE)) for each in checkpoints]
    truth = photo_report.true_colorfulness(sitter)
    curves = photo_report.curves(here, sitter, checkpoints)
    lines = {"colorfulness": truth} if truth is not None else {}
    return page.scrubber(frames, curves, lines), Shown(upload, options, decoder)


@guarded
def animate(shown: Shown | None, kind: str) -> str:
    """The epochs as one file that moves."""
    if shown is None:
        raise message("Show the epochs first.")
    here, sitter, path = studio(shown.options.source), read(shown.upload), path_of(shown.upload)
    frames = (
        (label_of(each), here.color(sitter, each, ANIMATION_SIDE, **shown.options.rendering))
        for each in here.checkpoints
        if each.decoder == shown.what
    )
    return str(shelf.put(downloads.animation(frames, kind), f"{path.stem[:60]}-{shown.what}-epochs.{kind}"))


# Measure


@guarded
def tabulate(upload: dict | None, epoch: str, source, chroma, saturation) -> tuple[str, str, Shown]:
    """Every decoder at one epoch against the photo: the table, the classes; and the report, for the rest."""
    options = options_of(source, chroma, saturation)
    here, sitter = studio(options.source), read(upload)
    checkpoints = [each for each in here.checkpoints if str(each.epoch) == str(epoch)]
    if not checkpoints:
        raise message(f"no decoder has epoch {epoch}; choose from {', '.join(map(str, here.epochs()))}")
    report = photo_report.report(here, sitter, checkpoints)
    rows = None
    if (classes := classifier()) is not None:
        versions = {"gray": gray_image(sitter.small)}
        versions |= {"the photo": sitter.truth} if sitter.colored else {}
        versions |= {DECODERS[each.decoder].label: here.color(sitter, each, SMALL_SIDE) for each in checkpoints}
        rows = [(name, classes.top(image)) for name, image in versions.items()]
    return page.report_table(report, int(epoch)), page.classes_table(rows), Shown(upload, options, (report, int(epoch)))


@guarded
def locate(shown: Shown | None, decoder: str, view: str) -> str:
    """A coloring against where it errs: the heat map, or the boundaries; a gray photo against its coloring."""
    if shown is None:
        raise message("Measure the photo first.")
    report, epoch = shown.what
    here, sitter = studio(shown.options.source), read(shown.upload)
    checkpoint = choose(shown.options.source, decoder, epoch)
    left = drawn(here, sitter, checkpoint, shown.options, SHOWN_SIDE)
    if not sitter.colored:
        return page.comparison(drawn(here, sitter, GRAY, shown.options, SHOWN_SIDE), left)
    image = here.color(sitter, checkpoint, SHOWN_SIDE)
    if view == "boundaries":
        right = photo_report.boundary_picture(image, sitter.truth, report.size)
        words = "Boundaries", "True color edges: white where kept, pink where color bled over them; blue: invented"
    else:
        right = photo_report.error_picture(image, sitter.truth)
        words = "CIEDE2000", "Color difference from the photo: black is none, yellow is 30 and more"
    return page.comparison(left, picture(right, *words, exact=True))


def table_file(shown: Shown | None) -> str:
    """The report as CSV."""
    if shown is None:
        raise message("Measure the photo first.")
    report, epoch = shown.what
    name = f"{path_of(shown.upload).stem[:60]}-epoch-{epoch}-measures.csv"
    return str(shelf.put(report.csv().encode(), name))


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


# The API


@guarded
def colorize(image: dict | None, decoder: str = "", epoch: str = "", chroma=CHROMA, saturation=1.0, source=""):
    """Colorize a photo. The result is a PNG that has its size and its lightness.

    decoder: a key of /checkpoints; "" is the first there is. epoch: a number; "" is that decoder's newest.
    chroma: "bilinear" or "edge-aware". saturation: 0 to 3. source: "" for what ships, or a Hub prefix owner/name.
    """
    options = options_of(source, chroma, saturation)
    path, checkpoint = path_of(image), choose(source, decoder, epoch)
    result, _ = whole(path, options, checkpoint)
    return str(shelf.put(downloads.encode(result, ".png"), downloads.file_name(path.name, checkpoint, ".png")))


@guarded
def matrix(image: dict | None, chroma=CHROMA, saturation=1.0, source="") -> str:
    """Colorize a photo with every decoder at every epoch: a ZIP with the pictures, a contact sheet and record.json."""
    *_, file = archive(image, source, chroma, saturation, lambda *_, **__: None)
    return file


@guarded
def epochs(image: dict | None, decoder: str = "", kind: str = "webp", chroma=CHROMA, saturation=1.0, source=""):
    """Animate a photo through the epochs of one decoder. kind: "webp" or "gif"."""
    if kind not in downloads.ANIMATIONS:
        raise message(f"kind {kind!r} is none of {', '.join(downloads.ANIMATIONS)}")
    read(image)
    decoder = choose(source, decoder, "").decoder
    return animate(Shown(image, options_of(source, chroma, saturation), decoder), kind)


@guarded
def measure(image: dict | None, epoch: str = "", source: str = "") -> dict:
    """Measure every decoder at one epoch ("": the newest) on a photo, against its own colors if it has any."""
    sitter, here = read(image), studio(source)
    number = choose(source, "", epoch).epoch
    report = photo_report.report(here, sitter, [each for each in here.checkpoints if each.epoch == number])
    rows = {name: {k: v if math.isfinite(v) else None for k, v in values.items()} for name, values in report.rows}
    return {"epoch": number, "colored": report.colored, "size": list(report.size), "measures": rows}


def checkpoints(source: str = "") -> list[dict]:
    """List the decoders and epochs there are, with what was measured of each over a data set."""
    return [
        {"decoder": each.decoder, "epoch": each.epoch, "label": label_of(each), "measured": measured(each)}
        for each in studio(source).checkpoints
    ]


# The page

COSTS: dict[str, float] = {}  # milliseconds of each decoder alone, measured here at the start


def pills(choices: list, value: str, label: str, name: str) -> gr.Radio:
    return gr.Radio(choices, value=value, label=label, elem_id=name, elem_classes="pills", interactive=True)


def decoder_choices(source: str) -> list[tuple[str, str]]:
    return [(DECODERS[name].label, name) for name in studio(source).decoders]


def epoch_choices(source: str, decoder: str | None = None) -> list[str]:
    return [str(epoch) for epoch in studio(source).epochs(decoder)]


def cell_choices(source: str) -> list[tuple[str, str]]:
    cells = [(label_of(each), page.key_of(each)) for each in studio(source).checkpoints]
    return [("Gray", GRAY), ("The photo itself", TRUTH), *cells]


def offer_epochs(source: str, decoder: str, epoch: str) -> gr.Radio:
    """The epochs of a decoder just chosen: the same as before where it has it, else its newest."""
    offered = epoch_choices(source, decoder)
    return gr.Radio(choices=offered, value=epoch if epoch in offered else offered[-1])


def use_source(source: str) -> tuple:
    """The choices of another source; what ships, and a word about it, where it cannot be reached."""
    try:
        here = studio(source)
        words = f"Using {here.source}." if source.strip() else ""
    except gr.Error as error:
        words = f"{error.message} Using the shipped checkpoints."
        gr.Warning(words)
        source, here = "", studio("")
    first = here.nearest
    decoders, epochs = decoder_choices(source), epoch_choices(source)
    decoder = gr.Radio(choices=decoders, value=first.decoder)
    return (
        gr.Textbox(value=source, info=words or SOURCE_INFO), decoder,
        gr.Radio(choices=epoch_choices(source, first.decoder), value=str(first.epoch)),
        gr.Dropdown(choices=cell_choices(source), value=GRAY),
        gr.Dropdown(choices=cell_choices(source), value=page.key_of(first)),
        decoder, gr.Radio(choices=epochs, value=str(first.epoch)), decoder,
    )  # fmt: skip


def restore(request: gr.Request) -> tuple:
    """The view that the address names: tab, decoder, epoch, example; what it does not name stays as it is."""
    asked = dict(request.query_params)
    names = {path.stem: path for path in EXAMPLES}
    if not asked.keys() & {"tab", "decoder", "epoch", "example"}:
        return (gr.skip(),) * 9
    example = names.get(asked.get("example", ""), EXAMPLES[0])
    try:
        checkpoint = choose("", asked.get("decoder") or studio("").nearest.decoder, asked.get("epoch"))
    except gr.Error as error:
        gr.Warning(html.escape(error.message, quote=False))  # a toast is HTML, and anyone may write the address
        checkpoint = studio("").nearest
    here = checkpoint.decoder, str(checkpoint.epoch)
    stage, words, shown = show({"path": str(example)}, *here, *Options())
    tab = asked.get("tab") if asked.get("tab") in TABS else TABS[0]
    return (
        gr.Tabs(selected=tab), str(example), here[0],
        gr.Radio(choices=epoch_choices("", here[0]), value=here[1]), here[0], here[1], stage, words, shown,
    )  # fmt: skip


TABS = ("colorize", "matrix", "epochs", "measure", "about")
SOURCE_INFO = "Empty for what ships, or a Hub prefix owner/name of published checkpoints. Enter to use it."
SAVE_FILE = "(file) => Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name}).click()"
REMEMBER_EXAMPLE = "rememberView({example: photo.url.split('/').pop().replace(/[.].*/, '')});"
PICK = """element.addEventListener('click', event => {
    const cell = event.target.closest('[data-key]');
    if (cell) trigger('pick', {key: cell.dataset.key});
});"""


def build_demo() -> gr.Blocks:
    """The page and its API, with the first example colored already; CheckpointError for a source of no use."""
    first = self_test()
    decoders, newest = decoder_choices(""), str(first.epoch)
    stage, words, arrival = show({"path": str(EXAMPLES[0])}, first.decoder, newest, *Options())

    # Uploads and results are deleted after six hours; looked for every hour. The shelf bounds their bytes.
    with gr.Blocks(title="ChromaGAN Studio", analytics_enabled=False, delete_cache=(3600, MAX_AGE)) as demo:
        gr.HTML(page.HEADER + NOTICE, elem_id="header")
        with gr.Row(elem_id="studio", equal_height=False):
            with gr.Column(scale=2, min_width=260, elem_id="controls"):
                photo = gr.Image(
                    str(EXAMPLES[0]), type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"],
                    label="Photo", height=210, placeholder="Drop a photo here, or click to choose one", buttons=[],
                    alt_text="The photo to color", elem_id="photo",
                )  # fmt: skip
                examples = gr.Examples(
                    [[str(path)] for path in EXAMPLES], photo, label="Or try one of these", cache_examples=False,
                    elem_id="examples",
                )  # fmt: skip
                with gr.Accordion("Options", open=False, elem_id="options"):
                    saturation = gr.Slider(0, 2, 1, step=0.05, label="Saturation", elem_id="saturation")
                    chroma = gr.Radio(
                        [("Bilinear", "bilinear"), ("Edge-aware", "edge-aware")], value=CHROMA,
                        label="Chroma upsampling", info="How colors come up to full size: along edges, or smoothly.",
                        elem_id="chroma",
                    )  # fmt: skip
                    source = gr.Textbox(
                        "", label="Checkpoints", info=SOURCE_INFO, placeholder="owner/name", elem_id="source"
                    )
            with gr.Column(scale=7, min_width=320, elem_id="stage"), gr.Tabs(elem_id="tabs") as tabs:
                with gr.Tab("Colorize", id="colorize") as colorize_tab:
                    result = gr.HTML(stage, elem_id="result", elem_classes="stage follow")
                    with gr.Row(elem_classes="actions"):
                        button = gr.Button("Colorize", variant="primary", elem_id="colorize", min_width=120)
                        download = gr.Button("Download", elem_id="download", min_width=120)
                    decoder = pills(decoders, first.decoder, "Decoder", "decoder")
                    epoch = pills(epoch_choices("", first.decoder), newest, "Epochs of training", "epoch")
                    about = gr.HTML(words, elem_id="caption", elem_classes="caption")
                with gr.Tab("Matrix", id="matrix") as matrix_tab:
                    pair = gr.HTML(EMPTY["matrix"], elem_id="pair", elem_classes="stage follow")
                    with gr.Row(elem_classes="actions"):
                        fill_button = gr.Button(
                            "Color with all of them", variant="primary", elem_id="fill", min_width=120
                        )
                        stop_fill = gr.Button("Stop", elem_id="stop-fill", min_width=80)
                        pack = gr.Button("Download all (ZIP)", elem_id="zip", min_width=120)
                    cells = gr.HTML(
                        page.grid(studio(""), 1.5, {}), elem_id="matrix", js_on_load=PICK, elem_classes="quiet"
                    )
                    with gr.Row():
                        left = gr.Dropdown(cell_choices(""), value=GRAY, label="Left", elem_id="left")
                        right = gr.Dropdown(cell_choices(""), value=page.key_of(first), label="Right", elem_id="right")
                with gr.Tab("Epochs", id="epochs") as epochs_tab:
                    film = gr.HTML(EMPTY["epochs"], elem_id="film", elem_classes="stage")
                    film_decoder = pills(decoders, first.decoder, "Decoder", "film-decoder")
                    with gr.Row(elem_classes="actions"):
                        scrub_button = gr.Button("Show its epochs", variant="primary", elem_id="scrub", min_width=120)
                        webp = gr.Button("Download WebP", elem_id="webp", min_width=120)
                        gif = gr.Button("Download GIF", elem_id="gif", min_width=120)
                with gr.Tab("Measure", id="measure") as measure_tab:
                    at = pills(epoch_choices(""), newest, "Epoch", "at")
                    with gr.Row(elem_classes="actions"):
                        measure_button = gr.Button("Measure", variant="primary", elem_id="run-measure", min_width=120)
                        save_table = gr.Button("Download CSV", elem_id="csv", min_width=120)
                    table = gr.HTML(EMPTY["measure"], elem_id="table", elem_classes="measures quiet")
                    errors = gr.HTML("", elem_id="errors", elem_classes="stage")
                    with gr.Row():
                        of = pills(decoders, first.decoder, "Where it errs: decoder", "of")
                        view = pills(
                            [("Error heat map", "errors"), ("Boundaries", "boundaries")], "errors", "Shown as", "view"
                        )
                    classes = gr.HTML("", elem_id="classes", elem_classes="measures quiet")
                with gr.Tab("About", id="about") as about_tab:
                    gr.HTML(page.about(studio(""), COSTS), elem_id="about")
        file = gr.File(visible="hidden", interactive=False)
        shown, shown_matrix, shown_film, shown_report = gr.State(arrival), gr.State(), gr.State(), gr.State()

        # preprocess=False everywhere: Gradio would open the upload itself, and fail with a traceback where it is
        # no image. It still checks that the file is one that was uploaded. What is quick never waits for a matrix.
        quick = dict(preprocess=False, concurrency_limit=1, concurrency_id="quick", api_visibility="private")
        long = dict(preprocess=False, concurrency_limit=1, concurrency_id="long", api_visibility="private")
        hidden = dict(api_visibility="private", preprocess=False, queue=False, show_progress="hidden")
        options = [source, chroma, saturation]

        # Colorize
        color_it = dict(
            fn=show, inputs=[photo, decoder, epoch, *options], outputs=[result, about, shown], show_progress_on=result,
            **quick,
        )  # fmt: skip
        button.click(**color_it)
        photo.upload(**color_it)
        examples.load_input_event.then(**color_it)
        for control in (epoch.input, chroma.input, saturation.release):
            control(**color_it, trigger_mode="always_last")
        decoder.input(offer_epochs, [source, decoder, epoch], epoch, **hidden).then(**color_it)
        # Made when it is asked for: a photo of 12 megapixels takes seconds, and most pictures are only looked at.
        saved = [download.click(full_size, shown, file, show_progress_on=result, **quick)]

        # Matrix
        fill_it = dict(
            fn=fill, inputs=[photo, *options, left, right], outputs=[cells, pair, shown_matrix],
            show_progress="hidden", **long,
        )  # fmt: skip
        filling = [fill_button.click(**fill_it, trigger_mode="always_last")]
        compare_it = dict(
            fn=compare, inputs=[left, right, shown_matrix], outputs=[cells, pair], show_progress_on=pair, **quick
        )
        left.input(**compare_it)
        right.input(**compare_it)
        cells.pick(
            pick, [left, right, shown_matrix], [left, right, cells, pair], trigger_mode="always_last",
            show_progress_on=pair, **quick,
        )  # fmt: skip
        packing = pack.click(archive, [photo, *options], file, show_progress_on=pair, **long)
        stop_fill.click(None, cancels=[*filling, packing], api_visibility="private")
        saved.append(packing)

        # Epochs
        scrub_it = dict(
            fn=scrub, inputs=[photo, film_decoder, *options], outputs=[film, shown_film], show_progress_on=film, **quick
        )
        scrub_button.click(**scrub_it, trigger_mode="always_last")
        film_decoder.input(**scrub_it, trigger_mode="always_last")
        for kind, wanted in (("webp", webp), ("gif", gif)):
            saved.append(
                wanted.click(functools.partial(animate, kind=kind), shown_film, file, show_progress_on=film, **quick)
            )

        # Measure
        measure_it = dict(
            fn=tabulate,
            inputs=[photo, at, *options],
            outputs=[table, classes, shown_report],
            show_progress_on=table,
            **long,
        )
        locate_it = dict(fn=locate, inputs=[shown_report, of, view], outputs=errors, show_progress_on=errors, **quick)
        measure_button.click(**measure_it, trigger_mode="always_last").success(**locate_it)
        at.input(**measure_it, trigger_mode="always_last").success(**locate_it)
        of.input(**locate_it, trigger_mode="always_last")
        view.input(**locate_it, trigger_mode="always_last")
        saved.append(save_table.click(table_file, shown_report, file, **quick))
        for event in saved:
            event.success(None, file, js=SAVE_FILE, api_visibility="private")

        # Another source, and the address bar
        source.submit(
            use_source, source, [source, decoder, epoch, left, right, film_decoder, at, of],
            show_progress="hidden", **quick,
        ).then(**color_it)  # fmt: skip
        demo.load(
            restore,
            None,
            [tabs, photo, decoder, epoch, film_decoder, at, result, about, shown],
            show_progress="hidden",
            **quick,
        ).then(None, js="() => viewRestored()", api_visibility="private")
        for name, tab in zip(TABS, (colorize_tab, matrix_tab, epochs_tab, measure_tab, about_tab), strict=True):
            tab.select(None, js=f"() => {{ rememberView({{tab: '{name}'}}); showTab(); }}", api_visibility="private")
        gr.on(
            [decoder.change, epoch.change], None, [decoder, epoch],
            js="(decoder, epoch) => rememberView({decoder, epoch})", api_visibility="private",
        )  # fmt: skip
        examples.load_input_event.then(
            None, photo, js=f"photo => {{ {REMEMBER_EXAMPLE} showTab(); }}",
            api_visibility="private",
        )  # fmt: skip
        gr.on(
            [photo.upload, photo.clear],
            None,
            js="() => { rememberView({example: null}); showTab(); }",
            api_visibility="private",
        )
        build_api()
    return demo.queue(max_size=QUEUE, default_concurrency_limit=1)


EMPTY = {
    "matrix": "<p class='empty'>Every decoder at every epoch, on your photo. Then click any two to compare them.</p>",
    "epochs": "<p class='empty'>How one decoder learned: your photo at each of its epochs.</p>",
    "measure": "<p class='note'>How far each decoder is from the photo's own colors, and where. "
    "A photo that is gray has none: it is said then what can be measured.</p>",
}
NOTICE = ""  # said on the page where the source asked for could not be used


def build_api() -> None:
    """The endpoints. They have inputs of their own: their defaults do not follow the page's."""
    with gr.Row(visible=False):
        image = gr.Image(type="filepath", image_mode=None, label="image")
        decoder, epoch = gr.Textbox("", label="decoder"), gr.Textbox("", label="epoch")
        chroma, saturation = gr.Textbox(CHROMA, label="chroma"), gr.Number(1.0, label="saturation")
        source, kind = gr.Textbox("", label="source"), gr.Textbox("webp", label="kind")
        picture, file, answer = gr.Image(format="png", label="result"), gr.File(label="file"), gr.JSON(label="answer")
        options = [chroma, saturation, source]
        for function, inputs, output, lane in (
            (colorize, [image, decoder, epoch, *options], picture, "quick"),
            (matrix, [image, *options], file, "long"),
            (epochs, [image, decoder, kind, *options], file, "long"),
            (measure, [image, epoch, source], answer, "long"),
            (checkpoints, [source], answer, "quick"),
        ):
            gr.Button().click(
                function,
                inputs,
                output,
                api_name=function.__name__,
                preprocess=False,
                concurrency_limit=1,
                concurrency_id=lane,
            )


def self_test() -> Checkpoint:
    """Color the first example, and time the decoders; CheckpointError where the source is of no use.

    A Hub prefix out of reach is no reason not to start: what ships is used, and the page says so.
    """
    global SOURCE, NOTICE
    shipped = str(HERE / "checkpoints")
    try:
        studio_of("")
    except CheckpointError as error:
        if not hub.is_prefix(SOURCE):
            raise
        print(f"app.py: {error}; using the shipped checkpoints", file=sys.stderr)
        NOTICE = (
            f"<p role='status'><b>{html.escape(SOURCE)} is out of reach: these are the shipped checkpoints.</b></p>"
        )
        SOURCE = shipped
    first = studio_of("").nearest
    studio_of("").colorizer(first)  # says here, not in the page, that it is damaged
    COSTS.update({decoder: decoder_milliseconds(decoder) for decoder in studio_of("").decoders})
    return first


def health() -> JSONResponse:
    """GET /health: 200 where the network colors, 503 where it does not. Cheap: a picture of 32x32 pixels."""
    try:
        model = studio_of("").colorizer(studio_of("").nearest).model
        side = 32 if model.config.any_size else model.config.image_size
        with torch.inference_mode():
            fine = bool(model(torch.zeros(1, 1, side, side, device=next(model.parameters()).device)).isfinite().all())
        words = "ok" if fine else "the network's output is not finite"
    except Exception as error:  # whatever it is, it is what this endpoint is for
        fine, words = False, f"{type(error).__name__}: {error}"
    here = studio_of("")
    return JSONResponse(
        {
            "status": words,
            "checkpoints": len(here.checkpoints),
            "uptime_s": round(time.time() - started),
            "kept_bytes": {
                "photos": sitters.size,
                "predictions": here.predictions.size,
                "networks": here.networks.size,
            },
        },
        200 if fine else 503,
    )


def keep_house() -> None:
    """Load the other networks while the first visitor looks at the example; then delete what is old, now and then."""
    here = studio_of("")
    for checkpoint in here.checkpoints:
        try:
            here.colorizer(checkpoint)
        except CheckpointError as error:
            print(f"app.py: {error}", file=sys.stderr)
    while True:
        time.sleep(60)
        shelf.tidy()


THEME = gr.themes.Base(
    primary_hue="teal", neutral_hue="neutral", radius_size="lg", font=["system-ui", "sans-serif"]
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    color_accent="*primary_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_600",
)

try:
    demo = build_demo()
except CheckpointError as error:
    sys.exit(f"app.py: {error}")

if __name__ == "__main__":
    shelf.pin()
    threading.Thread(target=keep_house, daemon=True).start()
    demo.launch(
        theme=THEME, css=page.CSS, head=f"<script>{page.SCRIPT}</script>", max_file_size=MAX_FILE_SIZE, ssr_mode=False,
        run_history=False, footer_links=["api", "settings"], allowed_paths=[str(EXAMPLES[0].parent)],
        app_kwargs={"routes": [APIRoute("/health", health, methods=["GET"])]},
    )  # fmt: skip
