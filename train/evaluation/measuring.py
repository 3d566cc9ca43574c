"""Measuring photos for every checkpoint: one forward pass each; quantities of the true photo are computed once.

A photo goes through every network alone and on one thread, so that results do not depend on how the work is divided:
kernels for other batch sizes or thread counts differ in the last bit, which 8-bit rounding makes visible. All photos of
a shard go through one network before the next, so that only one trunk's features are kept at a time.
"""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.measures import metrics
from chromagan.measures.colorings import PARTS, Truth
from train.evaluation.classifier import CLASSIFIER, TOP1, Classifier
from train.evaluation.learned_measures import LEARNED_MEASURES
from train.evaluation.networks import GRAY, TRUTH, Entry, Networks, to_srgb8

FEATURES = "features of "  # prefix of the names of feature arrays, before the network's name
COLUMNS = (*(column for part in PARTS.values() for column in part.columns), *TOP1)


def measured_columns() -> tuple[str, ...]:
    """The measures with a number for each photo: COLUMNS and the learned measures that can run here."""
    return (*COLUMNS, *(m.column for m in LEARNED_MEASURES if m.column and m.missing() is None))


def measured_arrays(classify: bool) -> dict[str, tuple[str, ...]]:
    """The arrays to measure here, {name: columns}: of numbers (n, columns), or of features (n, D), without columns.

    An array's name identifies how it is computed: a changed measure is an array with another name.
    """
    arrays = {_pixel_array(name): part.columns for name, part in PARTS.items()}
    if classify:
        arrays |= {f"top-1 by {CLASSIFIER}": TOP1, FEATURES + CLASSIFIER: ()}
    for measure in LEARNED_MEASURES:
        if measure.missing() is None:
            arrays |= {measure.column: (measure.column,)} if measure.column else {FEATURES + measure.name: ()}
    return arrays


def _pixel_array(name: str) -> str:
    part = PARTS[name]
    return f"{name} {part.version}: {' '.join(part.columns)}"


class Measurer:
    """Measures photos for the entries of its networks, and for GRAY and TRUTH."""

    def __init__(self, networks: Networks, classifier: Classifier | None, device: torch.device):
        self.networks, self.classifier, self.device = networks, classifier, device
        self.learned = [measure(device) for measure in LEARNED_MEASURES if measure.missing() is None]
        self.arrays = measured_arrays(classifier is not None)

    @torch.inference_mode()
    def __call__(
        self, images: list[Tensor], labels: list[int | None], missing: Mapping[Entry, Collection[str]]
    ) -> dict[Entry, dict[str, np.ndarray]]:
        """For each entry of `missing` the `measured_arrays` that it lists.

        images: uint8 sRGB (3, S, S). labels: ImageNet indices, None for a photo of another class.
        """
        lightness = [color.srgb_to_lab(_to_float(image[None].to(self.device)))[:, :1] for image in images]
        outputs = {  # uint8, since all photos are in memory at once
            entry: [color.to_uint8(to_srgb8(L, ab)) for L, ab in zip(lightness, colors, strict=True)]
            for entry, colors in self.networks.colorize(lightness, missing)
        }
        if GRAY in missing:
            outputs[GRAY] = [color.to_uint8(to_srgb8(L, None)) for L in lightness]
        if TRUTH in missing:
            outputs[TRUTH] = [image[None].to(self.device) for image in images]
        found = {entry: {name: [] for name in missing[entry]} for entry in outputs}
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            truth = Truth(_to_float(image[None].to(self.device)))
            for entry, colorings in outputs.items():
                for name, value in self._measure(_to_float(colorings[index]), truth, label, missing[entry]).items():
                    found[entry][name].append(value)
        return {entry: {name: np.stack(rows) for name, rows in arrays.items()} for entry, arrays in found.items()}

    def _measure(self, output: Tensor, truth: Truth, label: int | None, arrays: Collection[str]) -> dict:
        """One photo's row for each of `arrays`."""
        row = truth.measure(output, [part for part in PARTS if _pixel_array(part) in arrays])
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

    For the quick validation in training: fidelity only, since the other parts take most of the time.
    """
    entry = Entry("model", None, "")
    networks = Networks({entry: model}, device)
    rows = []
    for image in images:
        truth = Truth(_to_float(image[None].to(device)))
        ((_, (ab,)),) = networks.colorize([truth.L])
        row = truth.measure(to_srgb8(truth.L, ab), ["fidelity"])
        rows.append(row | {"chroma_truth": truth.chroma, "colorfulness_truth": metrics.colorfulness(truth.srgb).item()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _to_float(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32) / 255
