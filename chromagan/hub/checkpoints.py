"""What a source of checkpoints holds, and how a checkpoint is written and read.

A source is a folder laid out as <decoder>/epoch-<N>/{config.json, model.safetensors, metrics.json}, with their shared
frozen trunk next to the decoders' folders (chromagan.hub.trunks), or a Hub prefix owner/name: repositories
owner/name-<decoder> with a tag epoch-<N> for each epoch (chromagan.hub.repositories).
Epoch N means N completed epochs; epoch 0 is the network before training.
"""

import functools
import logging
import math
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chromagan.errors import check_whole
from chromagan.hub import repositories
from chromagan.hub.files import CONFIG_FILE, METRICS_FILE, WEIGHTS_FILE, read_json, write_json
from chromagan.hub.measured import value_of
from chromagan.hub.model import CheckpointError, ChromaGAN, fetch, read_fetched, read_network
from chromagan.hub.repositories import OWNER, HubAccess
from chromagan.hub.trunks import half, save_trunk, trunk_file_name, write_weights
from chromagan.network.decoders import DECODERS
from chromagan.programs import printable

ALIKE = 0.01  # relative, of CIEDE2000: about the resolution of a thousand photos, and invisible
SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"  # exists in a clone
# The shipped sources, by name; write ./study for a folder of the same name.
STUDY, GENERAL = "study", "general"  # Imagenette at every epoch; more kinds of photos, one epoch per decoder
NAMED_SOURCES = {STUDY: SHIPPED, GENERAL: SHIPPED / GENERAL}
EPOCH_FOLDER = re.compile(r"epoch-(\d+)")
LOGGER = logging.getLogger(__name__)


class NotNowError(CheckpointError):
    """A failure of the Hub that may be temporary."""


@dataclass(frozen=True)
class Checkpoint:
    """One decoder at one epoch. Sorts by the order of DECODERS, then by epoch."""

    decoder: str
    epoch: int
    path: str  # its folder or its Hub repository
    revision: str | None = None  # the repository's tag
    access: HubAccess = field(default=OWNER, repr=False, compare=False)  # how the repository is read

    def __lt__(self, other: "Checkpoint") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, int]:
        return list(DECODERS).index(self.decoder), self.epoch

    @functools.cached_property
    def metrics(self) -> dict:
        """Its measures, {} if there are none; CheckpointError if the file is damaged, NotNowError if the Hub fails to
        deliver it."""
        try:
            path = self.file(METRICS_FILE)
        except (repositories.MissingError, repositories.NotCachedError):  # not measured, or never downloaded
            return {}
        except repositories.HubError as error:
            raise NotNowError(str(error)) from error
        try:
            return read_json(path) if path.exists() else {}
        except (OSError, ValueError) as error:
            # A folder's file is named in full; of the Hub's cache, visitors are not told where it is.
            words = str(error) if self.revision is None else str(error).replace(str(path), f"{path.name} of {self}")
            raise CheckpointError(words) from error

    def file(self, name: str) -> Path:
        """The path of one of its files, downloaded from the Hub if necessary; HubError if that fails."""
        if self.revision is None:
            return Path(self.path, name)
        return repositories.download(self.path, self.revision, name, self.access)

    def __str__(self) -> str:
        return self.path if self.revision is None else f"{self.path} ({self.revision})"


def list_checkpoints(source: str | os.PathLike, access: HubAccess = OWNER) -> list[Checkpoint]:
    """Every checkpoint of `source`, decoders in the order of DECODERS, epochs ascending.

    source: a folder, a Hub prefix owner/name, or the name of a shipped source: "study" (Imagenette, every epoch) or
    "general" (more kinds of photos, one epoch per decoder). access: how a study on the Hub is read, also later.
    Raises CheckpointError if it is none of these, if the folder does not exist, cannot be read or holds none, or only
    those of decoders that DECODERS lacks, or if the Hub has none or is out of reach.
    """
    if not isinstance(source, str | os.PathLike) or source == "":  # which would be the current folder
        raise CheckpointError(
            f"a source must be {', '.join(NAMED_SOURCES)}, a folder of checkpoints or a Hub prefix owner/name, "
            f"got {source!r:.80}"
        )
    source = NAMED_SOURCES.get(source, source)
    if repositories.is_prefix(source):
        try:
            epochs = repositories.list_epochs(source, access)
        except repositories.HubError as error:
            raise CheckpointError(str(error)) from error
        return [
            Checkpoint(decoder, epoch, repositories.repository(source, decoder), repositories.tag(epoch), access)
            for decoder in DECODERS
            for epoch in epochs.get(decoder, [])
        ]
    folder = Path(source)
    if not folder.is_dir():
        raise CheckpointError(
            f"no folder {str(source)!r}: give a folder of checkpoints, {' or '.join(NAMED_SOURCES)} for the shipped "
            "ones, or a Hub prefix owner/name"
        )
    try:
        there = os.listdir(folder)
        found = [
            Checkpoint(decoder, int(match[1]), str(folder / decoder / name))
            for decoder in DECODERS
            if decoder in there
            for name in os.listdir(folder / decoder)
            if (match := EPOCH_FOLDER.fullmatch(name)) and Path(folder, decoder, name, WEIGHTS_FILE).is_file()
        ]
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: {error.strerror}") from error
    if not found:
        saved = [path.parent for path in folder.glob(f"*/*/{WEIGHTS_FILE}") if EPOCH_FOLDER.fullmatch(path.parent.name)]
        if saved:  # by a clone that has other decoders
            others = ", ".join(sorted({epoch.parent.name for epoch in saved}))
            raise CheckpointError(
                f"{str(source)!r} has only checkpoints of {others}, which chromagan/network/decoders.py does not have"
            )
        raise CheckpointError(
            f"no checkpoints in {str(source)!r}: expected <decoder>/epoch-<N>/{WEIGHTS_FILE} below it"
        )
    return sorted(found)


def find_checkpoint(
    source: str | os.PathLike, decoder: str | None = None, epoch: int | None = None, access: HubAccess = OWNER
) -> Checkpoint:
    """The checkpoint of `decoder` at `epoch`; None is the first decoder of the source, and its recommended epoch.

    Raises CheckpointError, listing the available ones, if it does not exist, and OptionError for an epoch that is not a
    whole number.
    """
    check_whole("epoch", epoch)
    found = list_checkpoints(source, access)
    decoder = found[0].decoder if decoder is None else decoder
    if decoder not in DECODERS:
        raise CheckpointError(f"unknown decoder {decoder!r}; choose from {', '.join(DECODERS)}")
    epochs = {checkpoint.epoch: checkpoint for checkpoint in found if checkpoint.decoder == decoder}
    if epochs and epoch is None:
        return recommended_checkpoint(list(epochs.values()))
    if epoch not in epochs:
        where, why = repr(str(source)), ""
        if found[0].revision is not None and not repositories.reachable():  # the study itself may have it
            where, why = f"what was downloaded of {where} before", f": {repositories.unreachable()}"
        if not epochs:
            there = ", ".join(dict.fromkeys(checkpoint.decoder for checkpoint in found))
            raise CheckpointError(f"{where} has no checkpoint of decoder {decoder!r}, only of {there}{why}")
        raise CheckpointError(
            f"{decoder} has no epoch {epoch} in {where}; choose from {', '.join(map(str, epochs))}{why}"
        )
    return epochs[epoch]


def default_source(decoder: str | None, epoch: str | int | None, general: Collection[str] | None = None) -> str:
    """Which of NAMED_SOURCES colors a photo if none is named: "general" if it has the decoder and no epoch is
    requested, else "study", which has the epochs.

    decoder, epoch: None or "" for no choice. general: the decoders of "general", empty if it cannot be used; None for
    the shipped ones.
    """
    if general is None:
        general = [name for name in DECODERS if (NAMED_SOURCES[GENERAL] / name).is_dir()]
    has_it = decoder in general if decoder else len(general) > 0
    return GENERAL if has_it and epoch in ("", None) else STUDY


def refined_by_default(source: str | os.PathLike) -> bool:
    """Whether colorings by a source are refined by default: only those by "general", however its folder is named, which
    is meant for good colors. Those by a study, or by any source on the Hub, show the decoders' own work."""
    return Path(NAMED_SOURCES.get(source, source)).resolve() == NAMED_SOURCES[GENERAL].resolve()


def recommended_checkpoint(checkpoints: list[Checkpoint]) -> Checkpoint:
    """The most colorful of the checkpoints within ALIKE of the lowest mean CIEDE2000, the difference from the true
    colors over the photos that have colors: the lowest alone would prefer pale colors. An unknown colorfulness counts
    as the least. If not all were measured, or a file of measures is damaged (a warning is logged), the last one of the
    first decoder. NotNowError if the Hub does not deliver the measures."""
    try:
        distance = {each: value_of(each.metrics, "ciede2000_mean") for each in checkpoints}
    except NotNowError:
        raise
    except CheckpointError as error:
        # Unless a program configures logging, Python prints a warning on standard error as it stands.
        LOGGER.warning("%s; the newest epoch is used", printable(str(error)))
        distance = dict.fromkeys(checkpoints)
    if None in distance.values():
        return [each for each in checkpoints if each.decoder == checkpoints[0].decoder][-1]

    def colorfulness(each: Checkpoint) -> float:
        value = value_of(each.metrics, "colorfulness")
        return -math.inf if value is None else value

    reach = (1 + ALIKE) * min(distance.values())
    alike = [each for each in checkpoints if distance[each] <= reach]
    return max(alike, key=lambda each: (colorfulness(each), -distance[each]))


def recommended_of_each(checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
    """{decoder: its `recommended_checkpoint`}, in the order of the list."""
    by_decoder: dict[str, list[Checkpoint]] = {}
    for each in checkpoints:
        by_decoder.setdefault(each.decoder, []).append(each)
    return {decoder: recommended_checkpoint(own) for decoder, own in by_decoder.items()}


def load_checkpoint(checkpoint: Checkpoint) -> ChromaGAN:
    """The network of `checkpoint` in float32 on the CPU, in eval mode, loaded strictly."""

    def read(folder: Path) -> ChromaGAN:
        return read_network(folder, str(checkpoint), checkpoint.decoder)

    if checkpoint.revision is None:
        return read(Path(checkpoint.path))
    try:
        return read_fetched(functools.partial(fetch, checkpoint.path, checkpoint.revision, checkpoint.access), read)
    except repositories.HubError as error:
        raise CheckpointError(f"checkpoint {checkpoint} cannot be used: {error}") from error


def save_checkpoint(model: ChromaGAN, folder: str | os.PathLike, metrics: dict | None = None) -> None:
    """Write `model` to `folder`, <source>/<decoder>/epoch-<N>, as half-precision safetensors with its config and, if
    given, its metrics. A frozen trunk is stored once, in the source's folder.

    Kernels and matrices become float16; vectors (biases, norms and their running statistics, whose range exceeds
    float16) stay float32. The folder is written atomically.
    """
    weights = half(model.trained_state())
    folder = Path(folder)
    if model.config.trunk_digest:
        save_trunk(model.trunk, folder.parents[1] / trunk_file_name(model.config.trunk))
    beside = folder.with_name(f".{folder.name}-{secrets.token_hex(8)}")
    beside.mkdir(parents=True)  # not by mkdtemp, whose folders are private
    try:
        write_weights(weights, beside / WEIGHTS_FILE)
        write_json(beside / CONFIG_FILE, asdict(model.config))
        if metrics is not None:
            write_json(beside / METRICS_FILE, metrics)
        if folder.exists():  # a resumed run repeats the epoch in which it was interrupted
            shutil.rmtree(folder)
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
