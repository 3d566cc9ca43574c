"""The choices that each tab offers for a source, and those that a shared address selects."""

from pathlib import Path
from typing import NamedTuple

from chromagan.demo import page
from chromagan.demo.service import GRAY, TRUTH, DemoService, source_name
from chromagan.demo.source import label_of
from chromagan.hub.checkpoints import GENERAL, STUDY, Checkpoint
from chromagan.network.decoders import DECODERS

# What the address remembers. Epochs shows those of one decoder, Measure measures at one epoch and shows one's errors.
REMEMBERED = ("decoder", "epoch", "refined", "left", "right", "epochs-of", "measured-at", "errors-of", "network")
NETWORKS = [("Imagenette (the study)", STUDY), ("Photos of any kind", GENERAL)]
EACH_OWN = "Each decoder's own"  # epoch, if a source has one for each decoder


def chosen_source(source: str | None, network: str | None) -> str:
    """The source that colors: the one that a visitor named, else the network selected next to the photo. RequestError
    if either is not text."""
    return source_name(source) or source_name(network) or STUDY


class Offer(NamedTuple):
    """Values of one control: (label, value) pairs, and the selected one."""

    choices: list[tuple[str, str]]
    value: str


class Choices:
    """The choices of one service. source: as for `DemoService.source`; RequestError if it is not available."""

    def __init__(self, service: DemoService):
        self.service = service

    def decoders(self, source: str, decoder: str | None = None) -> Offer:
        """The decoders; `decoder` is selected if the source has it, else that of its recommended checkpoint."""
        here = self.service.source(source)
        chosen = decoder if decoder in here.decoders else here.recommended.decoder
        return Offer([(DECODERS[name].label, name) for name in here.decoders], chosen)

    def epochs(self, source: str, decoder: str, epoch: str | None = None) -> Offer:
        """The epochs of a decoder; `epoch` is selected if it has it, else the recommended one."""
        offered = [str(each) for each in self.service.source(source).epochs(decoder)]
        chosen = epoch if epoch in offered else str(self.service.find(source, decoder, None).epoch)
        return Offer([(each, each) for each in offered], chosen)

    def measured_epochs(self, source: str) -> Offer:
        """The epochs at which decoders can be measured; some may have more than others."""
        here = self.service.source(source)
        if here.single:
            return Offer([(EACH_OWN, "")], "")
        return Offer([(str(each), str(each)) for each in here.epochs()], str(here.recommended.epoch))

    def cells(self, source: str) -> Offer:
        """What can be compared in the matrix; the recommended checkpoint is selected."""
        here = self.service.source(source)
        cells = [(label_of(each), page.key_of(each)) for each in here.checkpoints]
        return Offer([("Gray", GRAY), ("The photo itself", TRUTH), *cells], page.key_of(here.recommended))

    def network(self, wanted: str | None) -> str:
        """The shipped source of that name if it is available, else the study."""
        return GENERAL if wanted == GENERAL and self.service.general else STUDY

    def restored(self, named: dict[str, str]) -> tuple[str, Checkpoint, dict[str, str]]:
        """The view that an address names: its network, the checkpoint to color with, and the other values of
        REMEMBERED that are offered. RequestError if it names a checkpoint that does not exist.
        """
        network = self.network(named.get("network"))
        if named.get("decoder") or named.get("epoch"):
            decoder = named.get("decoder") or self.service.source(network).recommended.decoder
            checkpoint = self.service.find(network, decoder, named.get("epoch"))
        else:
            checkpoint = self.service.source(network).recommended
        cells, decoder, epoch = self.cells(STUDY), checkpoint.decoder, str(checkpoint.epoch)
        offers = {
            "left": cells, "right": cells, "epochs-of": self.decoders(STUDY),
            "measured-at": self.measured_epochs(network), "errors-of": self.decoders(network),
        }  # fmt: skip
        # Defaults for a link written by hand.
        defaults = {"epochs-of": decoder, "errors-of": decoder, "measured-at": epoch}
        values = {}
        for name, offer in offers.items():
            offered = [value for _, value in offer.choices]
            wanted = [value for value in (named.get(name), defaults.get(name)) if value in offered]
            if wanted:
                values[name] = wanted[0]
            elif name == "measured-at":
                values[name] = offer.value
        return network, checkpoint, values


def example_of(named: dict[str, str], examples: dict[str, Path]) -> Path:
    """The example photo that an address names, else the first. examples: by name."""
    return examples.get(named.get("example", ""), next(iter(examples.values())))
