"""The measures of a photo for every checkpoint: one forward each, and the truth's side once for all.

A photo goes through every network alone, on one thread, so that no number depends on how the work was shared out:
kernels chosen for other batches or thread counts differ in the last bit, and 8-bit rounding makes that visible.
The photos of a shard follow each other through one network, which keeps one trunk's features at a time.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chromagan.hub.checkpoints import Checkpoint, CheckpointError, load_checkpoint
from chromagan.hub.files import CONFIG_FILE, WEIGHTS_FILE
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import load_refiner
from chromagan.hub.repositories import HubError
from chromagan.imaging import color
from chromagan.imaging.gamut import fit_gamut
from chromagan.measures import metrics
from chromagan.network.folding import fold_batch_norm
from chromagan.network.trunk import imagenet_classifier
from train.evaluation.learned_measures import LEARNED_MEASURES
from train.evaluation.pixel_measures import PIXEL_PARTS, Truth

# Names the classes, and gives the features of the Frechet distance. Not the teacher: what was trained to please that
# one is judged by another.
CLASSIFIER = "tf_efficientnet_lite2"

TOP1 = ("top1", "top1_of_ten")
COLUMNS = (*(column for part in PIXEL_PARTS.values() for column in part.columns), *TOP1)

# ImageNet's index of each class of Imagenette, by the names and the WordNet ids that its releases use.
IMAGENETTE_CLASSES = {
    "tench": 0, "english springer": 217, "cassette player": 482, "chain saw": 491, "church": 497, "french horn": 566,
    "garbage truck": 569, "gas pump": 571, "golf ball": 574, "parachute": 701,
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497, "n03394916": 566,
    "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip
TEN = tuple(dict.fromkeys(IMAGENETTE_CLASSES.values()))


@dataclass(frozen=True)
class Entry:
    """What makes pictures that are measured: a checkpoint, or GRAY or TRUTH, which need no network."""

    decoder: str
    epoch: int | None
    digest: str  # of what makes its pictures
    checkpoint: Checkpoint | None = None
    refiner: str | None = None  # the source whose refiner mends its colorings, and in how many steps
    steps: int = 0

    @property
    def name(self) -> str:
        name = self.decoder if self.epoch is None else f"{self.decoder}, epoch {self.epoch}"
        return f"{name}, refined" if self.refiner else name


GRAY = Entry("gray", None, "gray")
TRUTH = Entry("truth", None, "truth")


def checkpoint_entry(checkpoint: Checkpoint) -> Entry:
    """The entry of a checkpoint; CheckpointError where its files cannot be read."""
    digest = hashlib.blake2b(digest_size=10)
    try:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            with open(checkpoint.file(name), "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except (HubError, OSError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} cannot be used: {error}") from error
    return Entry(checkpoint.decoder, checkpoint.epoch, digest.hexdigest(), checkpoint)


class Networks:
    """The generators of some entries. Where trunks are equal, tensor by tensor, their features are computed once."""

    def __init__(self, models: dict[Entry, ChromaGAN], device: torch.device):
        """Raises CheckpointError where an entry's refiner cannot be used."""
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
        """Yield (entry, [ab]) for the networks of `entries` (None: all), those with a common trunk together.

        photos: L (1, 1, S, S) in [0, 100] of each; ab (1, 2, S, S), CIELAB units.
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
        return self.refiners[entry].refine(stages, L, ab, entry.steps) if entry.refiner else ab


def _equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def load_networks(entries: list[Entry], device: torch.device) -> Networks:
    """The networks of `entries`; CheckpointError where one cannot be loaded."""
    return Networks({entry: load_checkpoint(entry.checkpoint) for entry in entries}, device)


def to_srgb8(L: Tensor, ab: Tensor | None) -> Tensor:
    """sRGB (B, 3, H, W) in [0, 1], rounded to 8 bits, of L (B, 1, H, W) and ab (B, 2, H, W) or None for gray."""
    if ab is None:
        return (255 * color.L_to_gray(L)).round().div(255).expand(-1, 3, -1, -1)
    return (255 * fit_gamut(torch.cat([L, ab], dim=1))).round() / 255


class Classifier:
    """The pretrained network that names what is in a picture. One picture at a time: see the module."""

    def __init__(self, device: torch.device):
        self.net = fold_batch_norm(imagenet_classifier(CLASSIFIER)).to(device, memory_format=torch.channels_last)
        self.ten = torch.tensor(TEN, device=device)

    def __call__(self, image: Tensor, label: int | None) -> tuple[dict[str, float], np.ndarray]:
        """Whether sRGB (1, 3, S, S) in [0, 1] is named as its ImageNet index `label` says; its pooled features (D,)."""
        pictures = (2 * image - 1).contiguous(memory_format=torch.channels_last)  # their mean and std are 0.5
        pooled = self.net.forward_head(self.net.forward_features(pictures), pre_logits=True)
        logits = self.net.get_classifier()(pooled)[0]
        row = {"top1": math.nan, "top1_of_ten": math.nan}
        if label is not None:
            row["top1"] = float(logits.argmax().item() == label)
            row["top1_of_ten"] = float(self.ten[logits[self.ten].argmax()].item() == label)
        return row, pooled[0].float().cpu().numpy()


def measured_columns() -> tuple[str, ...]:
    """The measures with a number for each photo: COLUMNS, and those of the learned measures that can run here."""
    return (*COLUMNS, *(m.column for m in LEARNED_MEASURES if m.column and m.missing() is None))


def measured_arrays(classify: bool) -> dict[str, tuple[str, ...]]:
    """What is measured here, {array: its columns}: an array of numbers (n, columns), or of features (n, D), no columns.

    An array's name holds what decides its numbers: measures that changed are arrays of another name.
    """
    arrays = {_pixel_array(name): part.columns for name, part in PIXEL_PARTS.items()}
    if classify:
        arrays |= {f"top-1 by {CLASSIFIER}": TOP1, FEATURES + CLASSIFIER: ()}
    for measure in LEARNED_MEASURES:
        if measure.missing() is None:
            arrays |= {measure.column: (measure.column,)} if measure.column else {FEATURES + measure.name: ()}
    return arrays


FEATURES = "features of "


def _pixel_array(name: str) -> str:
    part = PIXEL_PARTS[name]
    return f"{name} {part.version}: {' '.join(part.columns)}"


class Measurer:
    """Measures photos for the entries whose networks it was given, and for GRAY and TRUTH."""

    def __init__(self, networks: Networks, classifier: Classifier | None, device: torch.device):
        self.networks, self.classifier, self.device = networks, classifier, device
        self.learned = [measure(device) for measure in LEARNED_MEASURES if measure.missing() is None]
        self.arrays = measured_arrays(classifier is not None)

    @torch.inference_mode()
    def __call__(
        self, images: list[Tensor], labels: list[int | None], missing: Mapping[Entry, Collection[str]]
    ) -> dict[Entry, dict[str, np.ndarray]]:
        """For each entry of `missing` those of `measured_arrays` that it names.

        images: uint8 sRGB (3, S, S). labels: their ImageNet indices, None for a photo of another class.
        """
        lightness = [color.srgb_to_lab(_to_float(image[None].to(self.device)))[:, :1] for image in images]
        outputs = {  # uint8: all photos are there at once
            entry: [_to_uint8(to_srgb8(L, ab)) for L, ab in zip(lightness, colors, strict=True)]
            for entry, colors in self.networks.colorize(lightness, missing)
        }
        if GRAY in missing:
            outputs[GRAY] = [_to_uint8(to_srgb8(L, None)) for L in lightness]
        if TRUTH in missing:
            outputs[TRUTH] = [image[None].to(self.device) for image in images]
        found = {entry: {name: [] for name in missing[entry]} for entry in outputs}
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            truth = Truth(image, self.device)
            for entry, colorings in outputs.items():
                for name, value in self._measure(_to_float(colorings[index]), truth, label, missing[entry]).items():
                    found[entry][name].append(value)
        return {entry: {name: np.stack(rows) for name, rows in arrays.items()} for entry, arrays in found.items()}

    def _measure(self, output: Tensor, truth: Truth, label: int | None, arrays: Collection[str]) -> dict:
        """One photo's row of each of `arrays`."""
        row = truth.measure(output, [part for part in PIXEL_PARTS if _pixel_array(part) in arrays])
        features = {}
        if self.classifier is not None and any(CLASSIFIER in name for name in arrays):
            named, features[FEATURES + CLASSIFIER] = self.classifier(output, label)
            row |= named
        for measure in self.learned:
            if (measure.column or FEATURES + measure.name) in arrays:
                value = measure(output, truth.srgb)
                if measure.column:
                    row[measure.column] = float(value)
                else:
                    features[FEATURES + measure.name] = value
        rows = {name: np.array([row[c] for c in self.arrays[name]]) for name in arrays if self.arrays[name]}
        return rows | {name: value for name, value in features.items() if name in arrays}


@torch.inference_mode()
def evaluate(model: ChromaGAN, images: Tensor, device: torch.device) -> dict[str, np.ndarray]:
    """The pixel measures (N,) of `model` by name, on uint8 sRGB images (N, 3, S, S); {} for no images.

    What training writes beside an epoch: fidelity alone, since the other parts take most of the time.
    """
    entry = Entry("model", None, "")
    networks = Networks({entry: model}, device)
    rows = []
    for image in images:
        truth = Truth(image, device)
        ((_, (ab,)),) = networks.colorize([truth.L])
        row = truth.measure(to_srgb8(truth.L, ab), ["fidelity"])
        rows.append(row | {"chroma_truth": truth.chroma, "colorfulness_truth": metrics.colorfulness(truth.srgb).item()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _to_uint8(srgb: Tensor) -> Tensor:
    return (255 * srgb).round().to(torch.uint8)


def _to_float(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32) / 255


def imagenet_labels(labels: np.ndarray | None, class_names: list[str] | None) -> list[int | None]:
    """ImageNet's index of each photo's class; None for classes that are not Imagenette's."""
    if labels is None:
        return []
    names = [str(name).lower() for name in class_names or ()]
    if not names and len(labels) and labels.min() >= 0 and labels.max() < len(TEN):
        return [None] * len(labels)  # numbers without names could mean anything
    return [IMAGENETTE_CLASSES.get(names[label]) if 0 <= label < len(names) else None for label in labels]
