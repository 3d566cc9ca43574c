"""The demo, and the entry of the Hugging Face Space: widgets and messages only, the library decides the rest.

    python app.py

CHROMAGAN_SOURCE is the folder of checkpoints (default: checkpoints/ beside this file); GRADIO_SERVER_PORT
(default 7860) and GRADIO_SERVER_NAME (default 127.0.0.1) are where it listens.
"""

import functools
import html
import os
import sys
import tempfile
import warnings
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from chromagan import DECODERS, Checkpoint, CheckpointError, Colorizer, ImageError, list_checkpoints
from chromagan.checkpoints import find_checkpoint, load_checkpoint, nearest_checkpoint
from chromagan.photo import open_image, to_gray, write_image

HERE = Path(__file__).resolve().parent
SOURCE = os.environ.get("CHROMAGAN_SOURCE") or str(HERE / "checkpoints")
EXAMPLES = [HERE / "examples" / f"{name}.jpg" for name in ("rocket", "cat", "coffee", "astronaut", "photographer")]

MAX_FILE_SIZE = "50mb"
MAX_MEGAPIXELS = 64  # about 1.5 GB of memory while it is colored
PREVIEW_SIDE = 1600  # pixels; the slider shows at most this, the download is full-size

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # open_image has a limit of its own

message = functools.partial(gr.Error, print_exception=False)  # for people; the log is for faults of the program


@functools.lru_cache(maxsize=8)  # bounded: a source may hold many epochs
def load_colorizer(checkpoint: Checkpoint) -> Colorizer:
    return Colorizer(load_checkpoint(checkpoint))


def colorize(image: dict | None, decoder: str = "", epoch: str = "") -> Image.Image:
    """Colorize a photo; the result has its size and its lightness.

    decoder: a key of DECODERS; "" is the first there is. epoch: a number; "" is that decoder's newest.
    """
    return paint(read_photo(image), choose(decoder, epoch))


def read_photo(upload: dict | None) -> Image.Image:
    """The image in `upload`, a file as Gradio hands it over unread; gr.Error for what its sender can mend."""
    if not upload or not upload.get("path"):
        raise message("Upload a photo first.")
    path = Path(upload["path"])
    try:
        return open_image(path, MAX_MEGAPIXELS * 1_000_000)
    except ImageError as error:
        raise message(str(error).replace(str(path), path.name)) from error  # not where the server keeps it


def choose(decoder: str, epoch: str) -> Checkpoint:
    """The checkpoint that is meant; gr.Error, listing what there is, where there is none."""
    try:
        number = None if epoch in ("", None) else int(epoch)
    except (TypeError, ValueError) as error:
        raise message(f"epoch {epoch!r} is not a whole number") from error
    try:
        return find_checkpoint(SOURCE, str(decoder or "") or None, number)
    except CheckpointError as error:
        raise message(str(error)) from error


def paint(photo: Image.Image, checkpoint: Checkpoint) -> Image.Image:
    """`photo` in color; gr.Error where the checkpoint cannot be used."""
    try:
        return load_colorizer(checkpoint)(photo)
    except CheckpointError as error:
        raise message(str(error)) from error


def show(upload: dict | None, decoder: str, epoch: str) -> tuple[tuple[Image.Image, Image.Image], str, tuple]:
    """What the page shows: (gray, color) for the slider and the caption; and of what, for `full_size`."""
    checkpoint = choose(decoder, epoch)
    photo = read_photo(upload)
    photo.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))  # before the coloring, so that decoders are quick to compare
    result = paint(photo, checkpoint)
    return (to_gray(result), result), caption(checkpoint), (upload, checkpoint)


def full_size(shown: tuple[dict, Checkpoint]) -> str:
    """The file to download: what `show` showed, at the photo's own size, named after decoder and epoch."""
    upload, checkpoint = shown
    photo = read_photo(upload)
    result = paint(photo, checkpoint)
    # A JPEG of a large photo is written in a tenth of the time; PNG keeps transparency and all that was exact.
    suffix = ".jpg" if photo.format in ("JPEG", "MPO") and result.mode == "RGB" else ".png"
    name = f"{Path(upload['path']).stem[:60]}-{checkpoint.decoder}-epoch-{checkpoint.epoch}{suffix}"
    with tempfile.TemporaryDirectory() as folder:
        write_image(result, Path(folder, name))
        return save_file_to_cache(Path(folder, name), cache_dir=get_upload_folder())


def caption(checkpoint: Checkpoint) -> str:
    """HTML: which decoder and epoch this is, what it does, and what was measured of it, if anything was."""
    spec = DECODERS[checkpoint.decoder]
    moment = f"epoch {checkpoint.epoch}" if checkpoint.epoch else "before training"
    try:
        colored = checkpoint.metrics["colored"]
        measured = (
            f"<p>Over {colored['images']:,} photos: {colored['ciede2000_mean']['value']:.1f} CIEDE2000 from the true "
            f"colors, {colored['colorfulness_ratio']:.0%} of their colorfulness.</p>"
        )
    except (CheckpointError, KeyError, TypeError):
        measured = ""  # not measured, or not in this form: the picture is there all the same
    return (
        f"<h2>{html.escape(spec.label)} <span>{moment}</span></h2>"
        f"<p>{html.escape(spec.summary[:1].upper() + spec.summary[1:])}. {spec.num_params:,} parameters.</p>{measured}"
    )


def epochs_of(decoder: str) -> list[str]:
    return [str(checkpoint.epoch) for checkpoint in list_checkpoints(SOURCE) if checkpoint.decoder == decoder]


def offer_epochs(decoder: str, epoch: str) -> gr.Radio:
    """The epochs of a decoder just chosen: the same as before where it has it, else its newest."""
    epochs = epochs_of(decoder)
    return gr.Radio(choices=epochs, value=epoch if epoch in epochs else epochs[-1])


def build_demo() -> gr.Blocks:
    """The page and its API, with the first example colored already; CheckpointError for a source of no use."""
    first = nearest_checkpoint(SOURCE)
    decoders = dict.fromkeys(checkpoint.decoder for checkpoint in list_checkpoints(SOURCE))
    load_colorizer(first)  # says here, not in the page, that it is damaged
    pair, words, arrival = show({"path": str(EXAMPLES[0])}, first.decoder, str(first.epoch))

    # Uploads and results are deleted after six hours; looked for every hour.
    with gr.Blocks(title="ChromaGAN Studio", analytics_enabled=False, delete_cache=(3600, 6 * 3600)) as demo:
        gr.HTML(HEADER, elem_id="header", padding=False)
        with gr.Row(elem_id="studio"):
            with gr.Column(scale=5, min_width=320, elem_id="stage"):
                slider = gr.ImageSlider(
                    pair, format="png", type="pil", interactive=False, show_label=False, container=False,
                    buttons=["fullscreen"], slider_position=35, max_height=620, elem_id="result",
                )  # fmt: skip
                about = gr.HTML(words, elem_id="caption", padding=False)
            with gr.Column(scale=3, min_width=320, elem_id="controls"):
                photo = gr.Image(
                    str(EXAMPLES[0]), type="filepath", image_mode=None, sources=["upload", "clipboard"],
                    label="Photo", height=210, placeholder="Drop a photo here, or click to choose one", buttons=[],
                    elem_id="photo",
                )  # fmt: skip
                examples = gr.Examples(
                    [[str(path)] for path in EXAMPLES], photo, label="Or try one of these", cache_examples=False,
                    elem_id="examples",
                )  # fmt: skip
                decoder = gr.Radio(
                    [(DECODERS[name].label, name) for name in decoders], value=first.decoder,
                    label="Decoder", elem_id="decoder", elem_classes="pills",
                )  # fmt: skip
                epoch = gr.Radio(
                    epochs_of(first.decoder), value=str(first.epoch), label="Epochs of training",
                    elem_id="epoch", elem_classes="pills",
                )  # fmt: skip
                with gr.Row(elem_id="actions"):
                    button = gr.Button("Colorize", variant="primary", elem_id="colorize", min_width=120)
                    download = gr.Button("Download", elem_id="download", min_width=120)
                file = gr.File(visible="hidden", interactive=False)
        shown = gr.State(arrival)

        # preprocess=False everywhere: Gradio would open the upload itself, and fail with a traceback where it is
        # no image. It still checks that the file is one that was uploaded.
        ask = dict(preprocess=False, concurrency_limit=1, concurrency_id="colorize")
        page = dict(
            fn=show, inputs=[photo, decoder, epoch], outputs=[slider, about, shown],
            api_visibility="private", show_progress_on=slider, **ask,
        )  # fmt: skip
        button.click(**page)
        examples.load_input_event.then(**page)
        epoch.input(**page, trigger_mode="always_last")
        decoder.input(
            offer_epochs, [decoder, epoch], epoch,
            preprocess=False, queue=False, show_progress="hidden", api_visibility="private",
        ).then(**page)  # fmt: skip

        # Made when it is asked for: a photo of 12 megapixels takes seconds, and most pictures are only looked at.
        download.click(
            full_size, shown, file, show_progress_on=slider, api_visibility="private", **ask
        ).success(None, file, js=SAVE_FILE, api_visibility="private")  # fmt: skip

        with gr.Row(visible=False):  # the API has inputs of its own: their defaults do not follow the page's
            api_photo = gr.Image(type="filepath", image_mode=None, label="image")
            api_decoder = gr.Textbox("", label="decoder")
            api_epoch = gr.Textbox("", label="epoch")
            api_result = gr.Image(format="png", label="result")
            gr.Button().click(colorize, [api_photo, api_decoder, api_epoch], api_result, api_name="colorize", **ask)
    return demo.queue(max_size=32, default_concurrency_limit=1)


SAVE_FILE = "(file) => Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name}).click()"

HEADER = """
<h1>ChromaGAN Studio</h1>
<p>Give it a photo: it sees only the gray. Pick a decoder and a moment of its training, then drag between gray and
color. The colors are guesses: the network knows what is likely, not what was there.</p>
"""

# Neutral grays around the picture: a tinted page changes how its colors look.
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

CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto; overflow: clip !important; /* hidden ends sticky */ }
#header .html-container, #caption .html-container { padding: 0; }
#header h1 { font-size: 1.75rem; font-weight: 700; letter-spacing: -0.02em; margin: 0; }
/* From gray to the hues, all of one lightness: what the network adds. */
#header h1::after {
    content: ""; display: block; height: 4px; margin: 10px 0 12px; border-radius: 2px;
    background: linear-gradient(90deg, #a0a0a0 20%, #ed8279, #c5994e, #7fad5f, #00b59f, #00b2df, #75a0f2, #d386ca);
}
#header p { max-width: 46rem; margin: 0; line-height: 1.5; color: var(--body-text-color-subdued); }

#result { border-radius: var(--radius-lg); }
#result:not(.fullscreen) img { max-height: min(620px, 66vh) !important; }
/* The last picture stays in sight while the next one is made; what goes wrong is said in a message. */
#result [data-testid=status-tracker] { background: rgb(128 128 128 / 35%); }
#result [data-testid=status-tracker]:has(.error) { display: none; }
#result .icon { color: #fff; }
#result .inner { background: #fff; box-shadow: 0 0 3px rgb(0 0 0 / 60%); }
#caption h2 { font-size: 1.15rem; font-weight: 650; margin: 0 0 2px; }
#caption h2 span { font-weight: 400; color: var(--body-text-color-subdued); }
#caption p { margin: 0; }
#caption p + p { color: var(--body-text-color-subdued); }

.pills label { border: 1px solid var(--border-color-primary); border-radius: 999px; padding: 5px 13px; background: 0; }
.pills label:hover { border-color: var(--primary-600); }
.pills label.selected { background: var(--primary-700); border-color: var(--primary-700); color: #fff; }
.pills label span { margin: 0; }
/* Seen by the keyboard and by screen readers, not by the eye. */
.pills input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.pills label:has(input:focus-visible) { outline: 2px solid var(--primary-500); outline-offset: 2px; }

#examples .gallery { display: grid; grid-template-columns: repeat(5, 1fr); gap: 8px; }
#examples .gallery-item > span, #examples .container, #examples img {
    display: block; width: 100%; height: auto; max-width: none; max-height: none;
}
#examples img { aspect-ratio: 1; object-fit: cover; }
#examples .label { margin-bottom: 6px; }

/* Gradio puts its own container in front of the selectors in @media: what lies outside of it cannot be meant there. */
.gradio-container .main { padding: 16px clamp(14px, 3vw, 32px); }
footer .divider { display: none !important; }
footer button { margin: 0 8px; }
@media (max-width: 760px) {
    #studio { flex-direction: column; flex-wrap: nowrap; }
    /* The picture stays in sight while decoders and epochs are tried. */
    #stage { display: contents; }
    #result:not(.fullscreen) { position: sticky; top: 6px; z-index: 60; }
    #result:not(.fullscreen) img { max-height: 42vh !important; }
}
"""

try:
    demo = build_demo()
except CheckpointError as error:
    sys.exit(f"app.py: {error}")

if __name__ == "__main__":
    demo.launch(
        theme=THEME, css=CSS, max_file_size=MAX_FILE_SIZE, ssr_mode=False, run_history=False,
        footer_links=["api", "settings"],
    )  # fmt: skip
