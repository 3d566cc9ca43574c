"""The networks to measure, each identified by an entry, and their 8-bit pictures."""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from chromagan.hub.checkpoints import Checkpoint, CheckpointError, load_checkpoint
from chromagan.hub.files import CONFIG_FILE, WEIGHTS_FILE
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import load_refiner
from chromagan.hub.repositories import HubError
from chromagan.imaging import color
from chromagan.imaging.gamut import fit_gamut
from chromagan.network.decoders import build_decoder
from chromagan.network.generator import check_finite


@dataclass(frozen=True)
class Entry:
    """A source of pictures to measure: a checkpoint, optionally refined, or GRAY or TRUTH, which need no network."""

    decoder: str
    epoch: int | None
    digest: str  # of the files, and the decoder's code, that determine its pictures
    checkpoint: Checkpoint | None = None
    refiner: str | None = None  # the source whose refiner refines its colorings
    steps: int = 0  # of the refiner

    @property
    def name(self) -> str:
        name = self.decoder if self.epoch is None else f"{self.decoder}, epoch {self.epoch}"
        return f"{name}, refined" if self.refiner else name


GRAY = Entry("gray", None, "gray")
TRUTH = Entry("truth", None, "truth")


def checkpoint_entry(checkpoint: Checkpoint) -> Entry:
    """The entry of a checkpoint; CheckpointError if its files cannot be read."""
    digest = hashlib.blake2b(_code_of(checkpoint.decoder), digest_size=10)
    try:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            with open(checkpoint.file(name), "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except (HubError, OSError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} cannot be used: {error}") from error
    return Entry(checkpoint.decoder, checkpoint.epoch, digest.hexdigest(), checkpoint)


NOT_OWN = ("torch", "typing", "builtins")  # whose classes no change of a decoder changes


def _code_of(decoder: str) -> bytes:
    """The layers of a decoder and the code of their classes, without comments and layout: with the same tensors,
    `forward` may do another thing. They are those of the decoder as it is built, since what builds it may be a function
    as well as its class."""
    built = build_decoder(decoder)
    classes = {each for module in built.modules() for each in type(module).__mro__}
    own = [each for each in classes if each.__module__.split(".")[0] not in NOT_OWN]
    code = sorted(ast.dump(ast.parse(textwrap.dedent(inspect.getsource(each)))) for each in own)
    return "\n".join([str(built), *code]).encode()


class Networks:
    """The generators of some entries. Features of trunks with equal tensors are computed once."""

    def __init__(self, models: dict[Entry, ChromaGAN], device: torch.device):
        """Raises CheckpointError if an entry's refiner cannot be used."""
        self.refiners = {
            entry: load_refiner(entry.refiner, model.config).to(device)
            for entry, model in models.items()
            if entry.refiner
        }
        self.models = {entry: model.to(device, memory_format=torch.channels_last) for entry, model in models.items()}
        self.trunk_of: dict[Entry, Entry] = {}  # entry -> the first with the same trunk
        for entry, model in self.models.items():
            same = (first for first in self.trunk_of.values() if _equal(model.trunk, self.models[first].trunk))
            self.trunk_of[entry] = next(same, entry)

    def colorize(self, photos: list[Tensor], entries: Collection[Entry] | None = None):
        """Yield (entry, [ab]) for the networks of `entries` (None: all), grouped by common trunk.

        photos: L (1, 1, S, S) in [0, 100] of each photo. ab: (1, 2, S, S), in CIELAB units.
        """
        wanted = [entry for entry in self.models if entries is None or entry in entries]
        for first in dict.fromkeys(self.trunk_of[entry] for entry in wanted):
            trunk = self.models[first].trunk
            lightness = [color.normalize_L(L).contiguous(memory_format=torch.channels_last) for L in photos]
            features = [trunk(L) for L in lightness]
            for entry in (entry for entry in wanted if self.trunk_of[entry] == first):
                model = self.models[entry]
                pairs = zip(features, lightness, strict=True)
                yield entry, [color.denormalize_ab(self._color(entry, model, stages, L)) for stages, L in pairs]

    def _color(self, entry: Entry, model: ChromaGAN, stages: list[Tensor], L: Tensor) -> Tensor:
        ab = model.color(stages, L)
        check_finite(ab, entry.name)
        return self.refiners[entry].refine(stages, L, ab, entry.steps) if entry.refiner else ab


def _equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def load_networks(entries: list[Entry], device: torch.device) -> Networks:
    """The networks of `entries`; CheckpointError if one cannot be loaded."""
    return Networks({entry: load_checkpoint(entry.checkpoint) for entry in entries}, device)


def to_srgb8(L: Tensor, ab: Tensor | None) -> Tensor:
    """sRGB (B, 3, H, W) in [0, 1], rounded to 8 bits, from L (B, 1, H, W) and ab (B, 2, H, W), or None for gray.

    By `fit_gamut`, not by the faster `lab_to_srgb8` that renders photos. They differ by 1 in less than 1 % of the
    values, but last decimals of published numbers would change.
    """
    if ab is None:
        return (255 * color.L_to_gray(L)).round().div(255).expand(-1, 3, -1, -1)
    return (255 * fit_gamut(torch.cat([L, ab], dim=1))).round() / 255
