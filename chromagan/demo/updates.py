"""How the controls change when a photo arrives, and when a network, a source or a shared address is selected; and the
coloring that follows.

What only changes controls is done at once. The coloring is a separate event, which takes the controls' values when it
begins and is repeated after any change in the meantime: so the stage ends up with what the controls say.
"""

from pathlib import Path

import gradio as gr

from chromagan.demo import page
from chromagan.demo.choices import REMEMBERED, Choices, Offer, chosen_source, example_of
from chromagan.demo.events import as_html, errors_as_messages, from_gradio
from chromagan.demo.service import GRAY, PhotoError, RequestError
from chromagan.demo.tabs import Measured, Tabs
from chromagan.errors import ChromaGANError
from chromagan.hub.checkpoints import GENERAL, STUDY
from chromagan.network.decoders import DECODERS

TABS = ("colorize", "refine", "matrix", "epochs", "measure", "about")
SOURCE_INFO = "Empty for the shipped checkpoints, or a Hub prefix owner/name of published ones. Press Enter to apply."


def radio(offer: Offer) -> gr.Radio:
    return gr.Radio(choices=offer.choices, value=offer.value)


class Updates:
    """Event handlers that change controls.

    Gradio names endpoints after functions, so none of these may share a name with an API function.
    """

    def __init__(self, tabs: Tabs, examples: list[Path]):
        self.tabs, self.service, self.examples = tabs, tabs.service, examples
        self.choices = Choices(tabs.service)

    def on_decoder(self, network: str, source: str, decoder: str, epoch: str) -> gr.Radio:
        """The epochs of the decoder just selected."""
        with errors_as_messages():
            return radio(self.choices.epochs(chosen_source(source, network), decoder, epoch))

    def on_network(self, network: str, source: str, decoder: str, errors_of: str) -> tuple:
        """The decoders and epochs of the selected network, for Colorize and Measure; whether it is refined."""
        with errors_as_messages():
            here = chosen_source(source, network)
            decoders, epochs, measured, errors = self._offers(here, decoder, errors_of)
            return radio(decoders), radio(epochs), self.service.refines(here), radio(measured), radio(errors)

    def _offers(self, source: str, decoder: str, errors_of: str) -> tuple[Offer, Offer, Offer, Offer]:
        """The offers for a network; the epoch becomes the nearest one, since the selected one was another network's."""
        decoders = self.choices.decoders(source, decoder)
        epochs = self.choices.epochs(source, decoders.value)
        return decoders, epochs, self.choices.measured_epochs(source), self.choices.decoders(source, errors_of)

    def on_measured(self, state: Measured | None, errors_of: str) -> tuple:
        """The measured decoders, to select whose errors are shown; the views, if the photo has colors."""
        if state is None:
            return gr.skip(), gr.skip()
        measured = [(DECODERS[name].label, name) for name in state.checkpoints]
        return (
            gr.Radio(
                choices=measured, value=errors_of if errors_of in state.checkpoints else next(iter(state.checkpoints)),
                label="Where it errs: decoder" if state.report.colored else "Decoder",
            ),
            gr.Radio(visible=state.report.colored),
        )  # fmt: skip

    def on_own_photo(self, *args) -> tuple:
        """The choices for a visitor's photo: the network for photos of any kind if it is available."""
        return self._for_photo(GENERAL, *args)

    def on_example(self, *args) -> tuple:
        """The choices for an example: the study's network."""
        return self._for_photo(STUDY, *args)

    def _for_photo(self, wanted: str, before: str, source: str, decoder: str, errors_of: str) -> tuple:
        """The network, and what changes with it as in `on_network`; all else stays as it is.

        before: the network until now.
        """
        network = self.choices.network(wanted)
        changes = (gr.skip(),) * 5
        if chosen_source(source, network) != chosen_source(source, before):
            changes = self.on_network(network, source, decoder, errors_of)
        return network, *changes

    def on_color(
        self, photo, decoder: str, epoch: str, refined: bool, network: str, source, chroma, saturation
    ) -> tuple:
        """The photo's box and the coloring, by what the controls say when it begins.

        Of whatever cannot be colored nothing is left on the stage that could be mistaken for its coloring; a photo that
        cannot be read is also taken out of its box.
        """
        try:
            if (photo := from_gradio(photo)) is None:
                return gr.skip(), *self.on_clear()
            here = chosen_source(source, network)
            return gr.skip(), *self.tabs.colorize(photo, decoder, epoch, here, chroma, saturation, refined)
        except PhotoError as error:
            gr.Warning(as_html(str(error)))
            return None, *self.on_clear()
        except ChromaGANError as error:  # as an error, it would also end the event that waits ("always_last")
            gr.Warning(as_html(str(error)))
            return gr.skip(), page.failure(str(error)), "", None

    def on_clear(self) -> tuple:
        """What Colorize shows without a photo."""
        return page.invitation(), "", None

    def on_source(self, source: str, network: str) -> tuple:
        """The source that counts from now on, and its choices; if it is out of reach, those of the shipped one, and a
        message."""
        try:
            return self._offers_of(source.strip(), network)
        except ChromaGANError as error:
            words = f"{str(error).rstrip('.')}. The shipped checkpoints are used."
            gr.Warning(as_html(words))
            return self._offers_of("", network, words)

    def _offers_of(self, source: str, network: str, words: str = "") -> tuple:
        here = self.service.source(source)
        words = words or (f"Using {here.title}." if source else SOURCE_INFO)
        shown = chosen_source(source, network)
        decoders, cells = self.choices.decoders(shown), self.choices.cells(source)
        return (
            gr.Textbox(value=source, info=words), source,
            radio(decoders), radio(self.choices.epochs(shown, decoders.value)),
            gr.Checkbox(value=self.service.refines(shown), visible=self.service.source(shown).refiner is not None),
            gr.Dropdown(choices=cells.choices, value=GRAY), gr.Dropdown(choices=cells.choices, value=cells.value),
            radio(self.choices.decoders(source)), radio(self.choices.measured_epochs(shown)), radio(decoders),
            gr.Radio(visible=self.service.general is not None and not source),
            page.about(here, self.service.costs, self.service.general if here is self.service.shipped else None),
        )  # fmt: skip

    def on_restore(self, request: gr.Request) -> tuple:
        """The photo and the choices that the address names, as written by page.js; without any, nothing changes."""
        named = dict(request.query_params)
        if not named.keys() & {"tab", "example", *REMEMBERED}:
            return (gr.skip(),) * (2 + len(REMEMBERED))
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
            network,
        )  # fmt: skip
