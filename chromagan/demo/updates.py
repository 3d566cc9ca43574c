"""What changes of the controls when a photo comes, and when a network, a source or a shared address is chosen."""

from pathlib import Path

import gradio as gr

from chromagan.demo import page
from chromagan.demo.choices import REMEMBERED, Choices, Offer, chosen_source, example_of
from chromagan.demo.events import as_handler, as_html, errors_as_messages, from_gradio
from chromagan.demo.service import GENERAL, GRAY, STUDY, Options, RequestError
from chromagan.demo.tabs import Tabs, TabState
from chromagan.network.decoders import DECODERS

TABS = ("colorize", "refine", "matrix", "epochs", "measure", "about")
SOURCE_INFO = "Empty for what ships, or a Hub prefix owner/name of published checkpoints. Enter to use it."


def radio(offer: Offer) -> gr.Radio:
    return gr.Radio(choices=offer.choices, value=offer.value)


class Updates:
    """Handlers of events that change controls, over the tabs.

    Gradio names endpoints after functions: none of these may have the name of one of the API's.
    """

    def __init__(self, tabs: Tabs, examples: list[Path]):
        self.tabs, self.service, self.examples = tabs, tabs.service, examples
        self.choices = Choices(tabs.service)

    def on_decoder(self, network: str, source: str, decoder: str, epoch: str) -> gr.Radio:
        """The epochs of a decoder just chosen."""
        with errors_as_messages():
            return radio(self.choices.epochs(chosen_source(source, network), decoder, epoch))

    def on_network(self, network: str, source: str, decoder: str, of: str) -> tuple:
        """The decoders and epochs of the network that is chosen, for Colorize and Measure; whether it is refined."""
        with errors_as_messages():
            here = chosen_source(source, network)
            decoders, epochs, at, ofs = self._offers(here, decoder, of)
            return radio(decoders), radio(epochs), self.choices.refined(here), radio(at), radio(ofs)

    def _offers(self, source: str, decoder: str, of: str) -> tuple[Offer, Offer, Offer, Offer]:
        """A decoder's epoch is that nearest to the true colors: another network's was no choice for this one."""
        decoders = self.choices.decoders(source, decoder)
        epochs = self.choices.epochs(source, decoders.value)
        return decoders, epochs, self.choices.measured_epochs(source), self.choices.decoders(source, of)

    def on_measured(self, state: TabState | None, of: str) -> tuple:
        """The decoders that were measured, of which one's errors are shown; ways to show them where there are any."""
        if state is None:
            return gr.skip(), gr.skip()
        report, checkpoints = state.content
        measured = [(DECODERS[name].label, name) for name in checkpoints]
        return (
            gr.Radio(
                choices=measured, value=of if of in checkpoints else next(iter(checkpoints)),
                label="Where it errs: decoder" if report.colored else "Decoder",
            ),
            gr.Radio(visible=report.colored),
        )  # fmt: skip

    def on_own_photo(self, *args) -> tuple:
        """A photo of the visitor's own, colored by the network for photos of any kind where it is here."""
        return self._new_photo(GENERAL, *args)

    def on_example(self, *args) -> tuple:
        """An example, colored by the study."""
        return self._new_photo(STUDY, *args)

    def _new_photo(
        self, wanted: str, photo, decoder: str, epoch: str, refined: bool, of: str, before: str,
        source, chroma, saturation,
    ) -> tuple:  # fmt: skip
        """The photo's box, choices and coloring.

        Choices change where the network does only: a decoder that is clicked while the photo is colored stays. A photo
        that cannot be read leaves nothing behind that could be taken for it.
        """
        network, changes = self.choices.network(wanted), (gr.skip(),) * 6
        here = chosen_source(source, network)
        if network != before:
            with errors_as_messages():
                decoders, epochs, at, ofs = self._offers(here, decoder, of)
                refined = self.choices.refined(here)
            decoder, epoch = decoders.value, epochs.value
            changes = (network, radio(decoders), radio(epochs), refined, radio(at), radio(ofs))
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
        """What Colorize shows where there is no photo."""
        return page.invitation(), "", None

    def on_source(self, source: str, network: str) -> tuple:
        """The choices of another source; what ships, and a word about it, where it cannot be reached."""
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
            gr.Checkbox(value=self.choices.refined(shown), visible=self.service.source(shown).refiner is not None),
            gr.Dropdown(choices=cells.choices, value=GRAY), gr.Dropdown(choices=cells.choices, value=cells.value),
            radio(self.choices.decoders(source)), radio(self.choices.measured_epochs(shown)), radio(decoders),
            gr.Radio(visible=self.service.general is not None and not source.strip()),
            page.about(here, self.service.costs, self.service.general if here is self.service.shipped else None),
        )  # fmt: skip

    def on_restore(self, request: gr.Request) -> tuple:
        """The view that the address names, as page.js wrote it there; what it does not name stays as it is."""
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
        refined = {"true": True, "false": False}.get(named.get("refined"), self.choices.refined(network))
        left, right, film = (values.get(name, gr.skip()) for name in ("left", "right", "film"))
        measured, decoders = self.choices.measured_epochs(network), self.choices.decoders(network, decoder)
        return (
            gr.Tabs(selected=tab if tab in TABS else TABS[0]), str(example), radio(decoders),
            radio(self.choices.epochs(network, decoder, epoch)), refined, left, right, film,
            radio(measured._replace(value=values["at"])), radio(decoders._replace(value=values["of"])), network,
            *as_handler(self.tabs.colorize)(example, decoder, epoch, *Options(network, refined=refined)),
        )  # fmt: skip
