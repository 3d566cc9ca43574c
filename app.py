"""The demo, and the entry point of the Hugging Face Space: only widgets and messages; the rest is in the library.

    python app.py

Environment variables:
CHROMAGAN_SOURCE: study, general, a folder of checkpoints or a Hub prefix owner/name (default: checkpoints/ next to this
file, which is the study).
GRADIO_SERVER_PORT (default: 7860 or the next free port), GRADIO_SERVER_NAME (default: 127.0.0.1): where it listens.
GRADIO_TEMP_DIR: folder for uploads and results, used by this program only (default: a new one, removed at the end).
"""

import argparse
import atexit
import functools
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from chromagan.demo.address import is_local, listening_address, reach_without_proxy
from chromagan.programs import ArgumentParser, end_in_one_line, end_process, errors_in_one_line, set_signal_handler

NAME = Path(__file__).name
if __name__ == "__main__":  # before importing gradio, which reads the environment and takes seconds
    end_in_one_line(f"{NAME}: stopped", at_once=True)
    set_signal_handler(lambda *_: end_process(), "SIGTERM", "SIGHUP")
    ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with errors_in_one_line(NAME):
        HOST, PORT = listening_address()
        reach_without_proxy(HOST)

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no call home
if not os.environ.get("GRADIO_TEMP_DIR"):  # before importing gradio, which uses one folder for all programs
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="chromagan-studio-")
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

import gradio as gr
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from chromagan import DECODERS
from chromagan.colorizer import MOST_SATURATION, warm_up
from chromagan.demo import page
from chromagan.demo.api import REFINE, Api
from chromagan.demo.body_limit import BodyLimit
from chromagan.demo.choices import NETWORKS, REMEMBERED, Offer
from chromagan.demo.downloads import ANIMATIONS
from chromagan.demo.events import as_handler, by_network, errors_as_messages, from_gradio
from chromagan.demo.gradio_workarounds import fetched, for_any_client, icon, not_a_tool, upload_folder
from chromagan.demo.remote_photo import MOST_BYTES
from chromagan.demo.service import CHROMA, GRAY, MAX_AGE, DemoService, Options
from chromagan.demo.tabs import Tabs
from chromagan.demo.updates import SOURCE_INFO, TABS, Updates
from chromagan.demo.visible import PLACES
from chromagan.hub.checkpoints import STUDY
from chromagan.imaging.chroma import MODES

HERE = Path(__file__).resolve().parent
SHIPPED = str(HERE / "checkpoints")
EXAMPLES = [HERE / "examples" / f"{name}.jpg" for name in ("rocket", "cat", "coffee", "astronaut", "photographer")]
MAX_BODY = 1 << 20  # bytes of any other request
UNFIT = f"That file is no photo, or larger than {MOST_BYTES >> 20} MB: the photo stays as it is."
QUEUE = 64  # waiting requests; further ones are rejected with a message
TOOLS = ("colorize", "matrix", "measure", "checkpoints")  # functions of the API that are offered to assistants

# preprocess=False everywhere: Gradio would open an upload itself, and fail with a traceback if it is not an image.
# `from_gradio` checks that the file was uploaded. Quick requests never wait for a matrix.
QUICK = dict(preprocess=False, concurrency_limit=1, concurrency_id="quick", api_visibility="private")
LONG = dict(preprocess=False, concurrency_limit=1, concurrency_id="long", api_visibility="private")
LOOKUP = QUICK | dict(concurrency_id="lookup", show_progress="hidden")  # on the Hub, which may be slow
RESTORE = QUICK | dict(concurrency_id="restore", show_progress="hidden")  # waits for nobody's coloring
AT_ONCE = dict(
    preprocess=False, queue=False, show_progress="hidden", trigger_mode="always_last", api_visibility="private"
)
BROWSER = dict(api_visibility="private")  # handled by page.js alone
SHOW_TAB = dict(fn=None, js="() => showTab()", **BROWSER)  # update the open tab
SETTLE = dict(fn=None, js="() => document.querySelector('#settle').click()", **BROWSER)  # see Updates.on_choices

SAVE_FILE = "(file) => Object.assign(document.createElement('a'), {href: file.url, download: file.orig_name}).click()"
FORGET_EXAMPLE = "() => remember(['example'], [null])"
TAKE_OUT = """(photo, refused) => {
    if (!refused || refused[0] !== photo?.path) return photo;
    document.querySelector('#emptied').click();
    return null;
}"""
PICK = """element.addEventListener('click', event => {
    const cell = event.target.closest('[data-key]');
    if (cell) trigger('pick', {key: cell.dataset.key});
});"""

with errors_in_one_line(NAME):
    service = DemoService(os.environ.get("CHROMAGAN_SOURCE") or SHIPPED, SHIPPED, upload_folder())
tabs = Tabs(service)
updates = Updates(tabs, EXAMPLES)
choices = updates.choices
api = Api(tabs)


def choose_cell(event: gr.EventData, left: str, right: str, shown) -> tuple:
    """Move the clicked cell to the right side, and the cell that was there to the left."""
    left, right = (left, right) if event.key == right else (right, event.key)
    return left, right, *as_handler(tabs.compare)(left, right, shown)


def archive(photo: dict | None, source, chroma, saturation, progress=gr.Progress()) -> Iterator:  # noqa: B008
    """The ZIP of all colorings, with progress."""
    with errors_as_messages():
        for done, count, path in tabs.archive(from_gradio(photo), source, chroma, saturation):
            progress((done, count), unit="colorings")
            yield str(path) if path else gr.skip()


def radio_buttons(offer: Offer, label: str, name: str, **how) -> gr.Radio:
    return gr.Radio(
        offer.choices, value=offer.value, label=label, elem_id=name, elem_classes="pills", interactive=True, **how
    )


# The page


def photo_controls() -> SimpleNamespace:
    """The left column: the photo and how it is colored."""
    photo = gr.Image(
        str(EXAMPLES[0]), type="filepath", image_mode=None, sources=["upload", "webcam"],
        label="What the network sees", height=210, placeholder="Drop a photo here, or tap to choose one",
        buttons=[], alt_text="The photo to color", elem_id="photo",
    )  # fmt: skip
    gr.Button("Choose a photo", variant="primary", elem_id="choose", elem_classes="choose")  # page.js opens the chooser
    examples = gr.Dataset(
        components=[photo], samples=[[str(path)] for path in EXAMPLES], label="Or try one of these", elem_id="examples"
    )
    network = radio_buttons(
        Offer(NETWORKS, STUDY), "Network trained on", "network", visible=service.general is not None,
        info="For Colorize, Refine and Measure. Matrix and Epochs always use the study's.",
    )  # fmt: skip
    with gr.Accordion("Options", open=False, elem_id="options"):
        saturation = gr.Slider(0, MOST_SATURATION, 1, step=0.05, label="Saturation", elem_id="saturation")
        chroma = gr.Radio(
            [("Edge-aware", "edge-aware"), ("Bilinear", "bilinear")], value=CHROMA, label="Chroma upsampling",
            info="How colors are upsampled to full size: along the photo's edges, or smoothly.", elem_id="chroma",
        )  # fmt: skip
        entered = gr.Textbox("", label="Checkpoints", info=SOURCE_INFO, placeholder="owner/name", elem_id="source")
    source = gr.Textbox("", visible="hidden")  # what was entered and can be used; `entered` may hold half a name
    files = json.dumps([file for (file,) in examples.samples])
    examples.click(None, examples, photo, js=f"index => pickExample({files}[index])", **BROWSER).then(**SETTLE)
    photo.upload(None, photo, photo, js="photo => takeUpload(photo)", **BROWSER).then(**SETTLE)
    return SimpleNamespace(
        photo=photo, network=network, entered=entered, source=source, chroma=chroma, saturation=saturation,
        options=[source, chroma, saturation],
    )  # fmt: skip


def download_result(event, file: gr.File) -> None:
    """Send the file that an event created to the browser."""
    event.success(None, file, js=SAVE_FILE, **BROWSER)


def colorize_tab(controls: SimpleNamespace, file: gr.File) -> SimpleNamespace:
    """One coloring, compared with the gray photo."""
    first = service.shipped.recommended
    stage, words, _ = tabs.colorize(EXAMPLES[0], first.decoder, str(first.epoch), *Options())
    with gr.Row(elem_classes="choices"):
        decoder = radio_buttons(choices.decoders(STUDY), "Decoder", "decoder", scale=5, min_width=260)
        epoch = radio_buttons(
            choices.epochs(STUDY, first.decoder, str(first.epoch)), "Epoch", "epoch", scale=3,
            min_width=260,
        )  # fmt: skip
    result = gr.HTML(stage, elem_id="result", elem_classes="stage follow")
    with gr.Row(elem_classes="actions"):
        download = gr.Button("Download", variant="primary", elem_id="download", min_width=120)
        button = gr.Button("Colorize again", elem_id="colorize", min_width=120)
        refined = gr.Checkbox(
            False, label="Refined", info="Fewer red patches and spots, more even colors.", elem_id="refine-colors",
            container=False, min_width=260, visible=service.shipped.refiner is not None,
        )  # fmt: skip
    about = gr.HTML(words, elem_id="caption", elem_classes="caption")
    shown, refused, wanted = gr.State(), gr.JSON(visible="hidden"), gr.JSON(visible="hidden")

    chosen = [controls.photo, decoder, epoch, refined, controls.network, *controls.options]
    color = dict(
        fn=updates.on_color, inputs=chosen,
        outputs=[refused, result, about, shown, wanted], show_progress_on=result, trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    button.click(**color)
    for control in (epoch.input, refined.input, controls.chroma.input, controls.saturation.input):
        control(**color).then(**SHOW_TAB)
    wanted.change(updates.on_wanted, wanted, None, **LOOKUP).then(**color)
    refused.change(None, [controls.photo, refused], controls.photo, js=TAKE_OUT, **BROWSER)
    # Created on request: a photo of 12 megapixels takes seconds, and most pictures are never downloaded.
    saving = download.click(
        as_handler(updates.on_download), [shown, *chosen], file, show_progress_on=result, **QUICK
    )  # fmt: skip
    download_result(saving, file)
    return SimpleNamespace(color=color, choices=[decoder, epoch, refined], stage=[result, about, shown])


def refine_tab(controls: SimpleNamespace, colorize: SimpleNamespace) -> SimpleNamespace:
    """The refiner's work on the coloring that Colorize shows, step by step."""
    film = gr.HTML(EMPTY["refine"], elem_id="refined", elem_classes="stage follow")
    with gr.Row(elem_classes="actions"):
        button = gr.Button("Refine", variant="primary", elem_id="refine", min_width=120)
    steps = service.shipped.refiner.config.steps if service.shipped.refiner else 1
    step = gr.Slider(0, steps, steps, step=1, label="Refiner step", elem_id="step", info="0 is before the first step.")
    views = [("Coloring", "coloring"), ("Action per pixel", "actions")]
    view = radio_buttons(Offer(views, "coloring"), "Shown as", "step-view")
    gr.HTML(REFINER_NOTE)
    refine = dict(
        fn=as_handler(by_network(tabs.refine)),
        inputs=[controls.photo, *colorize.choices[:2], step, view, controls.network, *controls.options], outputs=film,
        show_progress_on=film, trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    for event in (button.click, step.input, view.input):
        event(**refine)
    return SimpleNamespace(made={film: EMPTY["refine"]})


def matrix_tab(controls: SimpleNamespace, file: gr.File) -> SimpleNamespace:
    """All colorings, and any two of them compared."""
    here = service.shipped
    pair = gr.HTML(EMPTY["matrix"], elem_id="pair", elem_classes="stage follow")
    with gr.Row(elem_classes="actions"):
        button = gr.Button("Color with all", variant="primary", elem_id="fill", min_width=120)
        stop = gr.Button("Stop", elem_id="stop-fill", min_width=80)
        pack = gr.Button("Download all (ZIP)", elem_id="zip", min_width=120)
    cells = gr.HTML(page.matrix(here, 1.5, {}), elem_id="matrix", js_on_load=PICK, elem_classes="quiet")
    with gr.Row():
        offer = choices.cells(STUDY)
        left = gr.Dropdown(offer.choices, value=GRAY, label="Left", elem_id="left")
        right = gr.Dropdown(offer.choices, value=offer.value, label="Right", elem_id="right")
    shown = gr.State()

    filling = button.click(
        as_handler(tabs.fill_matrix), [controls.photo, *controls.options], [cells, shown], show_progress="hidden",
        trigger_mode="always_last", **LONG,
    )  # fmt: skip
    # With the values selected by then: a picture that was ready may have been clicked in the meantime.
    for event in (filling.success, left.input, right.input):
        event(
            as_handler(tabs.compare), [left, right, shown], [cells, pair], show_progress_on=pair,
            trigger_mode="always_last", **QUICK,
        )  # fmt: skip
    # "multiple": a repeated event would have the key of the first click.
    cells.pick(
        choose_cell, [left, right, shown], [left, right, cells, pair], trigger_mode="multiple", show_progress_on=pair,
        **QUICK,
    )  # fmt: skip
    packing = pack.click(archive, [controls.photo, *controls.options], file, show_progress_on=pair, **LONG)
    stop.click(None, cancels=[filling, packing], **BROWSER)
    download_result(packing, file)
    made = {pair: EMPTY["matrix"], shown: None}
    return SimpleNamespace(choices=[left, right], made=made, cells=cells, filling=filling)


def epochs_tab(controls: SimpleNamespace, file: gr.File) -> SimpleNamespace:
    """One decoder over its epochs."""
    film = gr.HTML(EMPTY["epochs"], elem_id="film", elem_classes="stage")
    decoder = radio_buttons(choices.decoders(STUDY), "Decoder", "epochs-of")
    with gr.Row(elem_classes="actions"):
        button = gr.Button("Show all epochs", variant="primary", elem_id="scrub", min_width=120)
        webp = gr.Button("Download WebP", elem_id="webp", min_width=120)
        gif = gr.Button("Download GIF", elem_id="gif", min_width=120)
    shown, wanted = gr.State(), gr.JSON(visible="hidden")

    scrub = dict(
        fn=as_handler(updates.on_epochs), inputs=[controls.photo, decoder, *controls.options],
        outputs=[film, shown, wanted], show_progress_on=film, trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    button.click(**scrub)
    decoder.input(**scrub)
    wanted.change(updates.on_wanted, wanted, None, **LOOKUP).then(**scrub)
    for kind, save in (("webp", webp), ("gif", gif)):
        animate = as_handler(functools.partial(tabs.animation_file, kind=kind))
        download_result(save.click(animate, shown, file, show_progress_on=film, **QUICK), file)
    return SimpleNamespace(choices=[decoder], made={film: EMPTY["epochs"], shown: None})


def measure_tab(controls: SimpleNamespace, file: gr.File) -> SimpleNamespace:
    """Measures of the photo's colorings."""
    measured_at = radio_buttons(choices.measured_epochs(STUDY), "Epoch", "measured-at")
    with gr.Row(elem_classes="actions"):
        button = gr.Button("Measure", variant="primary", elem_id="run-measure", min_width=120)
        save_table = gr.Button("Download CSV", elem_id="csv", min_width=120)
    table = gr.HTML(EMPTY["measure"], elem_id="table", elem_classes="measures quiet")
    errors = gr.HTML("", elem_id="errors", elem_classes="stage")
    errors_of = radio_buttons(choices.decoders(STUDY), "Show errors of", "errors-of")
    places = [(words, name) for name, words in PLACES.items()]
    views = [("Error heat map", "errors"), ("Boundaries", "boundaries"), *places]
    view = radio_buttons(Offer(views, "errors"), "Shown as", "view")
    seen = gr.HTML("", elem_id="seen", elem_classes="measures quiet")
    classes = gr.HTML("", elem_id="classes", elem_classes="measures quiet")
    shown = gr.State()

    locate = dict(
        fn=as_handler(tabs.show_errors), inputs=[shown, errors_of, view], outputs=errors, show_progress_on=errors,
        trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    for event in (button.click, measured_at.input):
        event(
            as_handler(by_network(tabs.measure)), [controls.photo, measured_at, controls.network, *controls.options],
            [table, seen, classes, shown], show_progress_on=table, trigger_mode="always_last", **LONG,
        ).success(updates.on_measured, [shown, errors_of], [errors_of, view], **AT_ONCE).success(**locate)  # fmt: skip
    errors_of.input(**locate)
    view.input(**locate)
    download_result(save_table.click(as_handler(tabs.measures_file), shown, file, **QUICK), file)
    made = {table: EMPTY["measure"], errors: "", seen: "", classes: "", shown: None}
    return SimpleNamespace(choices=[measured_at, errors_of], made=made)


EMPTY = {
    "refine": "<p class='empty'>An agent corrects the coloring in a few steps.</p>",
    "matrix": "<p class='empty'>Your photo, by every decoder at every epoch. Click any two to compare them.</p>",
    "epochs": "<p class='empty'>How one decoder learned: your photo at each of its epochs.</p>",
    "measure": "<p class='note'>How far each decoder's colors are from the photo's own, and where. "
    "For a gray photo, the table shows only what can be measured without true colors.</p>",
}
REFINER_NOTE = (
    "<p class='note'>An agent trained by reinforcement learning corrects the coloring of the Colorize tab in a few "
    "steps. In each step, every pixel takes one small action: redder, weaker, like its neighbors, and so on. This "
    "removes red patches and spots and evens out the colors: vivid ones become weaker, gray ones less gray.</p>"
)


def endpoints() -> None:
    """The API, and the tools of assistants. It has separate inputs, whose defaults do not follow the page's."""
    with gr.Row(visible=False):
        image = fetched(gr.Image(type="filepath", image_mode=None, label="image"))
        refine = gr.Radio(list(REFINE), value=REFINE[0], label="refine")
        decoder = gr.Radio(["", *DECODERS], value="", label="decoder")
        epoch = gr.Number(None, precision=0, label="epoch")
        chroma, saturation = gr.Radio(list(MODES), value=CHROMA, label="chroma"), gr.Number(1.0, label="saturation")
        source, kind = gr.Textbox("", label="source"), gr.Radio(list(ANIMATIONS), value="webp", label="kind")
        picture, file, answer = gr.Image(format="png", label="result"), gr.File(label="file"), gr.JSON(label="answer")
        options = [chroma, saturation, source]
        for function, inputs, output, lane in (
            (api.colorize, [image, decoder, epoch, *options, refine], picture, QUICK),
            (api.matrix, [image, *options], file, LONG),
            (api.epochs, [image, decoder, kind, *options], file, LONG),
            (api.measure, [image, epoch, source], answer, LONG),
            (api.checkpoints, [source], answer, QUICK),
        ):
            how = lane | {"api_visibility": "public", "api_name": function.__name__}
            how["concurrency_id"] += " of the API"  # the page does not wait for a photo that comes from a slow URL
            handler = as_handler(function, escape=str)
            handler.__name__ = function.__name__  # the tool's name
            if function.__name__ not in TOOLS:
                handler = not_a_tool(handler)
            gr.Button().click(handler, inputs, output, **how)


def build_demo() -> gr.Blocks:
    """The page and its API, with the first example already colored."""
    # Uploads and results are deleted after six hours, checked every hour. The file store bounds their size.
    with gr.Blocks(title="ChromaGAN Studio", analytics_enabled=False, delete_cache=(3600, MAX_AGE)) as demo:
        gr.HTML(page.header(service.notice), elem_id="header")
        file = gr.File(visible="hidden", interactive=False)
        with gr.Row(elem_id="studio", equal_height=False):
            with gr.Column(scale=2, min_width=260, elem_id="controls"):
                controls = photo_controls()
            with gr.Column(scale=7, min_width=320, elem_id="stage"), gr.Tabs(elem_id="tabs") as bar:
                opened = {name: gr.Tab(name.capitalize(), id=name) for name in TABS}
                opened["refine"].visible = service.shipped.refiner is not None
                with opened["colorize"]:
                    colorize = colorize_tab(controls, file)
                with opened["refine"]:
                    refine = refine_tab(controls, colorize)
                with opened["matrix"]:
                    matrix = matrix_tab(controls, file)
                with opened["epochs"]:
                    epochs = epochs_tab(controls, file)
                with opened["measure"]:
                    measure = measure_tab(controls, file)
                with opened["about"]:
                    about = gr.HTML(page.about(service.shipped, service.costs, service.general), elem_id="about")

        chosen = [*colorize.choices, *matrix.choices, *epochs.choices, *measure.choices, controls.network]
        (decoder, epoch, refined), (measured_at, errors_of) = colorize.choices, measure.choices
        settle = gr.Button(visible="hidden", elem_id="settle")
        settled = gr.JSON(updates.settled_for(EXAMPLES[0], STUDY, decoder.value), visible="hidden")
        gr.on(
            [settle.click, controls.network.input, decoder.input], updates.on_choices,
            [controls.photo, controls.network, controls.source, decoder, epoch, errors_of, settled],
            [controls.network, decoder, epoch, refined, measured_at, errors_of, settled], **AT_ONCE,
        ).then(**colorize.color).then(**SHOW_TAB)  # fmt: skip
        controls.entered.submit(
            updates.on_source, controls.entered,
            [controls.entered, controls.source, *matrix.choices, *epochs.choices, controls.network, about],
            trigger_mode="always_last", **LOOKUP,
        ).then(**SETTLE)  # fmt: skip
        demo.load(
            updates.on_restore, None, [bar, controls.photo, *chosen, settled], **RESTORE
        ).then(
            None, [controls.photo, settled], [controls.photo, settled], js="(...both) => ownPhoto(...both)", **BROWSER
        ).then(None, chosen, js=f"(...values) => viewRestored({list(REMEMBERED)}, values)", **BROWSER)  # fmt: skip
        gr.on(
            [choice.change for choice in chosen], None, chosen,
            js=f"(...values) => rememberChoices({list(REMEMBERED)}, values)", **BROWSER,
        )  # fmt: skip
        for name, tab in opened.items():
            tab.select(None, js=f"() => {{ rememberTab('{name}'); showTab(); }}", **BROWSER)
        controls.photo.clear(None, js=FORGET_EXAMPLE, **BROWSER)
        # Not on controls.photo.clear: a photo that replaces another clears the box, too.
        cleared, emptied = (gr.Button(visible="hidden", elem_id=name) for name in ("cleared", "emptied"))
        cleared.click(updates.on_clear, None, colorize.stage, **AT_ONCE).then(**SETTLE)
        made = refine.made | matrix.made | epochs.made | measure.made
        for button in (cleared, emptied):
            button.click(None, cancels=[matrix.filling], **BROWSER)
            button.click(
                lambda source: [page.matrix(service.source(source), 1.5, {}), *made.values()], controls.source,
                [matrix.cells, *made], **AT_ONCE,
            )  # fmt: skip
        unfit = gr.Button(visible="hidden", elem_id="unfit")  # for page.js
        unfit.click(lambda: gr.Warning(UNFIT), **RESTORE)
        nudge = gr.Button(visible="hidden", elem_id="nudge")  # for page.js: makes Gradio open a stream of answers
        nudge.click(lambda: None, **RESTORE)
        endpoints()
    return for_any_client(demo.queue(max_size=QUEUE, default_concurrency_limit=1))


def offers_tools() -> bool:
    """Whether the API is offered to assistants, which needs an optional package."""
    if importlib.util.find_spec("mcp") is not None:
        return True
    print(f"{NAME}: tools for assistants are off: pip install 'gradio[mcp]' turns them on", file=sys.stderr)
    return False


def health() -> JSONResponse:
    """GET /health: 200 if the network can color, 503 if it cannot."""
    state = service.health()
    return JSONResponse(state, 200 if state["status"] == "ok" else 503)


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

with errors_in_one_line(NAME):
    demo = build_demo()

if __name__ == "__main__":
    service.files.pin(EXAMPLES)
    demo.api_open = is_local(HOST)  # direct requests skip the queue, and with it what bounds memory
    try:
        demo.launch(
            theme=THEME, css=page.CSS, head=page.HEAD, max_file_size=MOST_BYTES,
            ssr_mode=False, run_history=False, footer_links=["api", "settings"], mcp_server=offers_tools(), pwa=True,
            enable_monitoring=False,
            i18n=gr.I18n(en={"common.complete": "Done"}),  # for screen readers: Gradio has the key, but no words for it
            favicon_path=str(page.ICON),
            allowed_paths=[str(EXAMPLES[0].parent)], server_name=HOST, server_port=PORT, prevent_thread_lock=True,
            app_kwargs={
                "routes": [
                    APIRoute("/health", health, methods=["GET"]),
                    APIRoute("/pwa_icon/{size}", functools.partial(icon, page.ICON), name="pwa_icon", methods=["GET"]),
                ],
                # Gradio compresses its files but not the page, which is 230 kB and a sixth of that compressed.
                "middleware": [Middleware(BodyLimit, most=MAX_BODY), Middleware(GZipMiddleware, compresslevel=6)],
            },
        )  # fmt: skip
    # The port was taken since it was checked, or the machine is too busy to show Gradio its own page within seconds.
    except (OSError, ValueError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        end_process(1)
    # Behind that look at the page, which they would delay.
    threading.Thread(target=service.maintain, daemon=True).start()
    threading.Thread(target=warm_up, daemon=True).start()  # before the first photo waits for it
    demo.block_thread()
    end_process()
