"""How the controls change when a photo arrives, and when a network, a source or a shared address is selected."""

from pathlib import Path

import gradio as gr

from chromagan.demo import page
from chromagan.demo.choices import REMEMBERED, Choices, Offer, chosen_source, example_of
from chromagan.demo.events import as_handler, as_html, errors_as_messages, from_gradio
from chromagan.demo.service import GRAY, Options, RequestError
from chromagan.demo.tabs import Measured, Tabs
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
        """A visitor's photo, colored by the network for photos of any kind if it is available."""
        return self._new_photo(GENERAL, *args)

    def on_example(self, *args) -> tuple:
        """An example, colored by the study's network."""
        return self._new_photo(STUDY, *args)

    def _new_photo(
        self, wanted: str, photo, decoder: str, epoch: str, refined: bool, errors_of: str, before: str,
        source, chroma, saturation,
    ) -> tuple:  # fmt: skip
        """The photo's box, the choices and the coloring.

        The choices change only with the network: a decoder clicked while the photo is being colored stays. A photo that
        cannot be read clears the box and the stage, so that nothing shown can be mistaken for it.
        """
        network, changes = self.choices.network(wanted), (gr.skip(),) * 6
        here = chosen_source(source, network)
        if network != before:
            with errors_as_messages():
                decoders, epochs, measured, errors = self._offers(here, decoder, errors_of)
                refined = self.service.refines(here)
            decoder, epoch = decoders.value, epochs.value
            changes = (network, radio(decoders), radio(epochs), refined, radio(measured), radio(errors))
        try:
            self.service.load(from_gradio(photo))
        except RequestError as error:
            gr.Warning(as_html(str(error)))
            return None, *changes, *self.on_clear()
        return (
            gr.skip(),
            *changes,
            *as_handler(self.tabs.colorize)(photo, decoder, epoch, here, chroma, saturation, refined),
        )

    def on_clear(self) -> tuple:
        """What Colorize shows without a photo."""
        return page.invitation(), "", None

    def on_source(self, source: str, network: str) -> tuple:
        """The choices of another source; if it is out of reach, those of the shipped one, and a message."""
        try:
            here = self.service.source(source)
            words = f"Using {here.title}." if source.strip() else SOURCE_INFO
        except RequestError as error:
            words = f"{str(error).rstrip('.')}. The shipped checkpoints are used."
            gr.Warning(as_html(words))
            source, here = "", self.service.shipped
        shown = chosen_source(source, network)
        decoders, cells = self.choices.decoders(shown), self.choices.cells(source)
        return (
            gr.Textbox(value=source, info=words), radio(decoders), radio(self.choices.epochs(shown, decoders.value)),
            gr.Checkbox(value=self.service.refines(shown), visible=self.service.source(shown).refiner is not None),
            gr.Dropdown(choices=cells.choices, value=GRAY), gr.Dropdown(choices=cells.choices, value=cells.value),
            radio(self.choices.decoders(source)), radio(self.choices.measured_epochs(shown)), radio(decoders),
            gr.Radio(visible=self.service.general is not None and not source.strip()),
            page.about(here, self.service.costs, self.service.general if here is self.service.shipped else None),
        )  # fmt: skip

    def on_restore(self, request: gr.Request) -> tuple:
        """The view that the address names, as written by page.js; what it does not name stays unchanged."""
        named = dict(request.query_params)
        if not named.keys() & {"tab", "example", *REMEMBERED}:
            return (gr.skip(),) * (5 + len(REMEMBERED))
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
            *as_handler(self.tabs.colorize)(example, decoder, epoch, *Options(network, refined=refined)),
        )  # fmt: skip
