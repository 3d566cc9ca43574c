"""How the controls change when a photo arrives, and when a network, a source or a shared address is selected; and the
coloring that follows.

Three rules keep the page right whatever is clicked in whatever order, and however late the answers of a slow network:
- What follows from the controls is one event, `on_choices`, and the coloring one more. Each takes the controls' values
  when it begins and is repeated after any change in the meantime, so the last answer fits what was selected last.
- No other event changes a control that these read, but for the source, which takes effect through them.
- What is in the photo's box is changed by the browser alone (page.js): no answer can replace a photo that came later.
Only the view that an address names is set by the server, once.
"""

import filecmp
import time
from contextlib import suppress
from pathlib import Path

import gradio as gr

from chromagan.demo import page
from chromagan.demo.choices import REMEMBERED, Choices, Offer, chosen_source, example_of
from chromagan.demo.events import as_html, from_gradio
from chromagan.demo.service import GRAY, PhotoError, RequestError, source_name
from chromagan.demo.tabs import Colored, Measured, Tabs
from chromagan.errors import ChromaGANError
from chromagan.hub.checkpoints import GENERAL, STUDY, Checkpoint
from chromagan.network.decoders import DECODERS

TABS = ("colorize", "refine", "matrix", "epochs", "measure", "about")
DOWNLOADING = "Downloading from the Hub …"
SOURCE_INFO = "Leave empty for this demo's own, or enter a Hub prefix owner/name. Press Enter to apply."


def radio(offer: Offer, now: str | None = None) -> gr.Radio:
    """now: the selected value. Where it stays it is not sent, since by now another may be."""
    return gr.Radio(choices=offer.choices) if offer.value == now else gr.Radio(choices=offer.choices, value=offer.value)


class Updates:
    """Event handlers that change controls.

    Gradio names endpoints after functions, so none of these may share a name with an API function.
    """

    def __init__(self, tabs: Tabs, examples: list[Path]):
        self.tabs, self.service = tabs, tabs.service
        self.examples = {path.stem: path for path in examples}
        self.choices = Choices(tabs.service)

    def on_choices(self, photo, network: str, source: str, decoder: str, epoch: str, errors_of: str, settled) -> tuple:
        """What follows from the controls' values: another photo brings its network, other networks their decoders and
        epochs, another decoder its epochs.

        settled: what this was last done for, see `settled_for`; where it is the same, controls stay as they are. They
        also stay if this fails: the coloring that follows says why.
        """
        try:
            return self._settle(from_gradio(photo), network, source, decoder, epoch, errors_of, settled)
        except ChromaGANError:  # as an error, it would also end the event that waits ("always_last")
            return (gr.skip(),) * 7

    def _settle(self, photo: Path | None, network, source, decoder, epoch, errors_of, settled) -> tuple:
        then_photo, then_source, then_decoder = settled if isinstance(settled, list) and len(settled) == 3 else [""] * 3
        photo_now = then_photo if photo is None else self._photo_id(photo)
        networks = decoders = epochs = refined = measured = errors = gr.skip()
        if photo_now != then_photo:
            networks = network = self.choices.network(STUDY if photo_now in self.examples else GENERAL)
        here = chosen_source(source, network)
        if here != then_source:  # the selected epoch was another network's: the recommended one
            offered = self.choices.decoders(here, decoder)
            decoders, decoder = radio(offered, decoder), offered.value
            epochs, refined = radio(self.choices.epochs(here, decoder)), self._refined(here)
            measured = radio(self.choices.measured_epochs(here))
            errors = radio(self.choices.decoders(here, errors_of), errors_of)
        elif decoder != then_decoder:
            epochs = radio(self.choices.epochs(here, decoder, epoch), epoch)
        return networks, decoders, epochs, refined, measured, errors, [photo_now, here, decoder]

    def _refined(self, source: str) -> gr.Checkbox:
        """Whether colorings by a source are refined, unless a visitor says otherwise; offered if it has a refiner."""
        return gr.Checkbox(self.service.refines(source), visible=self.service.source(source).refiner is not None)

    def settled_for(self, photo: Path, source: str, decoder: str) -> list[str]:
        """What the controls offer the choices for; the page keeps it, so it outlives a restart of the server."""
        return [self._photo_id(photo), source, decoder]

    def _photo_id(self, photo: Path) -> str:
        """The name of an example, of which Gradio has a copy; else the path, in which Gradio puts the file's digest."""
        example = self.examples.get(photo.stem)
        same = example is not None and photo.is_file() and filecmp.cmp(photo, example, shallow=False)
        return photo.stem if same else str(photo)

    def on_measured(self, state: Measured | None, errors_of: str) -> tuple:
        """The measured decoders, to select whose errors are shown; the views, if the photo has colors."""
        if state is None:
            return gr.skip(), gr.skip()
        measured = [(DECODERS[name].label, name) for name in state.checkpoints]
        return (
            gr.Radio(
                choices=measured, value=errors_of if errors_of in state.checkpoints else next(iter(state.checkpoints)),
                label="Show errors of" if state.report.colored else "Decoder",
            ),
            gr.Radio(visible=state.report.colored),
        )  # fmt: skip

    def on_color(
        self, photo, decoder: str, epoch: str, refined: bool, network: str, source, chroma, saturation
    ) -> tuple:
        """The photo that is refused, if any, the coloring, by what the controls say when it begins, and what must be
        downloaded before, as for `on_wanted`.

        Of whatever cannot be colored nothing is left on the stage that could be mistaken for its coloring. A photo that
        cannot be read is named as refused: the browser takes it out of its box, unless another is there by then.
        """
        try:
            if (path := from_gradio(photo)) is None:
                return gr.skip(), *self.on_clear(), gr.skip()
            here = chosen_source(source, network)
            if (wanted := self._wanted(here, [self.service.find(here, decoder, epoch)])) is not None:
                return gr.skip(), page.failure(DOWNLOADING), "", None, wanted
            return gr.skip(), *self.tabs.colorize(path, decoder, epoch, here, chroma, saturation, refined), gr.skip()
        except PhotoError as error:
            gr.Warning(as_html(str(error)))
            # The time: it may be given, and refused, once more.
            return [photo["path"], time.time()], page.invitation(str(error)), "", None, gr.skip()
        except ChromaGANError as error:  # as an error, it would also end the event that waits ("always_last")
            gr.Warning(as_html(str(error)))
            return gr.skip(), page.failure(str(error)), "", None, gr.skip()

    def on_epochs(self, photo: Path | None, decoder: str, source, chroma, saturation) -> tuple:
        """The photo at each epoch of a decoder, the state, and what must be downloaded before, as for `on_wanted`."""
        here = chosen_source(source, STUDY)
        epochs = [each for each in self.service.source(here).checkpoints if each.decoder == decoder]
        if photo is not None and (wanted := self._wanted(here, epochs)) is not None:
            return page.failure(DOWNLOADING), None, wanted
        return *self.tabs.show_epochs(photo, decoder, here, chroma, saturation), None

    def _wanted(self, source: str, checkpoints: list[Checkpoint]) -> list | None:
        here = self.service.source(source)
        keys = [page.key_of(each) for each in checkpoints if here.must_download(each)]
        return [source, keys, time.time()] if keys else None  # the time: a page hears of changes only

    def on_wanted(self, wanted) -> None:
        """Download what a coloring waits for, where nobody else's waits: a source, and keys of its checkpoints."""
        if not isinstance(wanted, list) or len(wanted) != 3 or not isinstance(wanted[1], list):
            return  # not from the page
        with suppress(ChromaGANError):  # the coloring that follows says why
            here = self.service.source(wanted[0])
            for checkpoint in here.checkpoints:
                if page.key_of(checkpoint) in wanted[1]:
                    here.download(checkpoint)

    def on_download(self, shown: Colored | None, photo, decoder: str, epoch: str, *options) -> Path:
        """The file of what Colorize shows. Where the page has not colored yet, or the server has forgotten what it has
        (it was restarted, or the connection was lost for an hour), that is what the controls say."""
        if shown is None and (path := from_gradio(photo)) is not None:
            refined, network, source, *rendering = options
            shown = self.tabs.chosen(path, decoder, epoch, chosen_source(source, network), *rendering, refined)
        return self.tabs.colorized_file(shown)

    def on_clear(self) -> tuple:
        """What Colorize shows without a photo."""
        return page.invitation(), "", None

    def on_source(self, source: str) -> tuple:
        """The source that counts from now on, and what depends on it alone; if it is out of reach, the shipped one, and
        a message. `on_choices` follows, for the network that is selected by then."""
        try:
            return self._source(source_name(source))
        except ChromaGANError as error:
            words = f"{str(error).rstrip('.')}. This demo's own checkpoints are used."
            gr.Warning(as_html(words))
            return self._source("", words)

    def _source(self, source: str, words: str = "") -> tuple:
        here = self.service.source(source)
        if source:  # downloaded here, where it may take its time: whoever only colors a photo does not wait for it
            here.prepare()
        words = words or (f"Using {here.title}." if source else SOURCE_INFO)
        cells = self.choices.cells(source)
        return (
            gr.Textbox(value=source, info=words), source,
            gr.Dropdown(choices=cells.choices, value=GRAY), gr.Dropdown(choices=cells.choices, value=cells.value),
            radio(self.choices.decoders(source)), gr.Radio(visible=self.service.general is not None and not source),
            page.about(here, self.service.costs, self.service.general if here is self.service.shipped else None),
        )  # fmt: skip

    def on_restore(self, request: gr.Request) -> tuple:
        """The photo and the choices that the address names, as written by page.js; without any, nothing changes."""
        named = dict(request.query_params)
        if not named.keys() & {"tab", "example", *REMEMBERED}:
            return (gr.skip(),) * (3 + len(REMEMBERED))
        try:
            network, checkpoint, values = self.choices.restored(named)
        except RequestError as error:
            gr.Warning(as_html(str(error)))
            network, checkpoint, values = self.choices.restored({})
        example, tab = example_of(named, self.examples), named.get("tab")
        decoder, epoch = checkpoint.decoder, str(checkpoint.epoch)
        refined = {"true": True, "false": False}.get(named.get("refined"), self.service.refines(network))
        left, right, epochs_of = (values.get(name, gr.skip()) for name in ("left", "right", "epochs-of"))
        measured, decoders = self.choices.measured_epochs(network), self.choices.decoders(network, decoder)
        return (
            gr.Tabs(selected=tab if tab in TABS else TABS[0]), str(example), radio(decoders),
            radio(self.choices.epochs(network, decoder, epoch)), refined, left, right, epochs_of,
            radio(measured._replace(value=values["measured-at"])), radio(decoders._replace(value=values["errors-of"])),
            network, self.settled_for(example, network, decoder),
        )  # fmt: skip
