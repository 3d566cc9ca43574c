"""Measures of one photo: every decoder against the photo's own colors, where they err, and what a classifier sees.

Everything is measured at the network's size, as in `train/evaluate.py`, so the numbers are comparable.
"""

import csv
import functools
import io
import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from timm.data import ImageNetInfo
from torch import Tensor, nn

from chromagan.colorizer import Prediction, render
from chromagan.demo import visible
from chromagan.demo.loaded_photo import LoadedPhoto
from chromagan.demo.source import CheckpointSource
from chromagan.demo.visible import VISIBLE, marked_picture, visible_faults
from chromagan.hub.checkpoints import Checkpoint
from chromagan.imaging.color import to_tensor
from chromagan.imaging.photo import Photo
from chromagan.measures import metrics
from chromagan.measures.catalog import measure_called
from chromagan.measures.colorings import Coloring, Truth, place_of
from chromagan.measures.error_maps import edge_overlay, error_map
from chromagan.network.trunk import GrayInput

COLUMNS = (  # of the report on a photo with colors
    "psnr", "ssim", "ciede2000", "ciede2000_p95", "ciede2000_near", "ciede2000_elsewhere", "cdr",
    "colorfulness_difference", "colorfulness",
)  # fmt: skip
COLUMNS_OF_GRAY = ("colorfulness", "mean_chroma")  # of that on a gray photo, which has no true colors to compare with
PARTS = ("fidelity", "boundaries", *visible.PARTS)  # of chromagan.measures.colorings, which are needed


@dataclass(frozen=True)
class Report:
    """The measures of a photo. rows: a name and a value for each of `columns`, NaN if it cannot be measured."""

    columns: list[str]  # names of measures
    rows: list[tuple[str, dict[str, float]]]
    size: tuple[int, int]  # width and height at which it was measured
    colored: bool
    visible: list[str] = field(default_factory=list)  # keys of VISIBLE, also in the rows; empty for a gray photo
    truth: dict[str, float] = field(default_factory=dict)  # the photo's own values for those

    def best(self, column: str) -> float | None:
        """The best value of a column among the colorings, without REFERENCES; None if there is no best."""
        values = [values[column] for name, values in self.rows if name not in REFERENCES]
        values = [value for value in values if not math.isnan(value)]
        return None if len(values) < 2 else measure_called(column).best(values)

    def least_fault(self, name: str) -> float | None:
        """The value of a key of VISIBLE nearest to a faultless coloring's; None if no coloring is ahead."""
        best = VISIBLE[name].best
        best = self.truth[name] if math.isnan(best) else best
        values = {values[name] for row, values in self.rows if row not in REFERENCES and not math.isnan(values[name])}
        if math.isnan(best) or len({round(value, VISIBLE[name].decimals) for value in values}) < 2:
            return None
        return min(values, key=lambda value: abs(value - best))

    def csv(self) -> str:
        """The report as CSV text; unmeasured values are empty cells."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        columns = [*self.columns, *self.visible]
        writer.writerow(["name", *columns])
        for name, values in self.rows:
            writer.writerow([name, *("" if math.isnan(v) else f"{v:.6g}" for v in map(values.get, columns))])
        return file.getvalue()


GRAY = "left gray"
REFERENCES = (GRAY,)  # rows that no decoder colored


class PhotoEvaluator:
    """Measures colorings of one photo; what depends only on the truth is computed once."""

    def __init__(self, loaded: LoadedPhoto, size: tuple[int, int]):
        """size: height and width at which to measure, the network's."""
        self.colored, self.size = loaded.colored, size
        self.truth = Truth(to_tensor(np.array(loaded.truth.resize(size[::-1], Image.Resampling.BOX))))
        self.photo = Photo(self.truth.L, None, None)

    @functools.cached_property
    def own(self) -> dict[str, float]:
        """The photo's own values of the measures behind VISIBLE."""
        return self.truth.measure(self.truth.srgb, visible.PARTS)

    @functools.cached_property
    def true_colorfulness(self) -> float:
        return metrics.colorfulness(self.truth.srgb).item()

    def color(self, prediction: Prediction | None, **options) -> Image.Image:
        """The coloring to measure, at that size; gray for None. options: those of `render`."""
        if prediction is None:
            prediction = Prediction(torch.zeros(1, 2, *self.size), self.photo.L)
        return render(self.photo, prediction, **options)

    def measure(self, image: Image.Image, parts: Collection[str] = PARTS) -> dict[str, float]:
        """The measures of a coloring of that size. parts: those to take, keys of `colorings.PARTS`."""
        output = to_tensor(np.array(image))
        if not self.colored:
            return {
                "colorfulness": metrics.colorfulness(output).item(),
                "mean_chroma": metrics.mean_chroma(output).item(),
            }
        values = self.truth.measure(output, parts)
        return values | {"colorfulness_difference": values["colorfulness"] - self.true_colorfulness}

    def faults(self, measured: dict[str, float]) -> dict[str, float]:
        """The values of VISIBLE, from those that `measure` returned."""
        return visible_faults(measured, self.own)


@torch.inference_mode()
def measure_photo(source: CheckpointSource, loaded: LoadedPhoto, checkpoints: list[Checkpoint]) -> Report:
    """All available measures of a photo for each checkpoint, and for leaving it gray if it has colors."""
    predictions = [source.predict(loaded, checkpoint) for checkpoint in checkpoints]
    evaluator = PhotoEvaluator(loaded, tuple(predictions[0].ab.shape[-2:]))
    images = {GRAY: evaluator.color(None)} if loaded.colored else {}
    for checkpoint, prediction in zip(checkpoints, predictions, strict=True):
        images[checkpoint.decoder] = evaluator.color(prediction)
    rows = [(name, evaluator.measure(image)) for name, image in images.items()]
    columns = list(COLUMNS if loaded.colored else COLUMNS_OF_GRAY)
    if not loaded.colored:
        return Report(columns, rows, evaluator.size[::-1], False)
    rows = [(name, {column: values[column] for column in columns} | evaluator.faults(values)) for name, values in rows]
    return Report(columns, rows, evaluator.size[::-1], True, list(VISIBLE), evaluator.faults(evaluator.own))


@torch.inference_mode()
def epoch_curves(
    source: CheckpointSource, loaded: LoadedPhoto, checkpoints: list[Checkpoint], **options
) -> dict[str, list[float]]:
    """By name, a value for each epoch: colorfulness and, if the photo has colors, CIEDE2000 and PSNR; of the pictures
    that are shown, so rendered with the same options."""
    predictions = [source.predict(loaded, checkpoint) for checkpoint in checkpoints]
    evaluator = PhotoEvaluator(loaded, tuple(predictions[0].ab.shape[-2:]))
    rows = [evaluator.measure(evaluator.color(prediction, **options), ["fidelity"]) for prediction in predictions]
    names = ["colorfulness", "ciede2000", "psnr"] if loaded.colored else ["colorfulness"]
    return {name: [row[name] for row in rows] for name in names}


def true_colorfulness(loaded: LoadedPhoto) -> float | None:
    """The photo's own colorfulness; None for a gray one."""
    return float(metrics.colorfulness(to_tensor(np.array(loaded.truth)))) if loaded.colored else None


def error_picture(image: Image.Image, truth: Image.Image) -> Image.Image:
    """Heat map of CIEDE2000 between a coloring and the photo, at their size."""
    return Image.fromarray(error_map(np.array(image.convert("RGB")), np.array(truth.convert("RGB"))))


def boundary_picture(image: Image.Image, truth: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Chroma edges of both at `size` (width, height), the size they are measured at, scaled to that of `image`."""
    small = [np.array(each.convert("RGB").resize(size, Image.Resampling.BOX)) for each in (image, truth)]
    return Image.fromarray(edge_overlay(*small)).resize(image.size, Image.Resampling.NEAREST)


@torch.inference_mode()
def fault_picture(loaded: LoadedPhoto, prediction: Prediction, image: Image.Image, place: str) -> Image.Image:
    """A coloring of any size with a place marked, a key of PLACES, which is found at the network's size."""
    evaluator = PhotoEvaluator(loaded, tuple(prediction.ab.shape[-2:]))
    coloring = Coloring(to_tensor(np.array(evaluator.color(prediction))), evaluator.truth)
    return marked_picture(image, place_of(place, coloring))


class ImageClassifier:
    """An ImageNet classifier of pictures: the teacher of the training."""

    def __init__(self, classifier: nn.Module, timm_name: str):
        self.gray = GrayInput(timm_name)  # for its mean and standard deviation
        self.classifier = classifier.eval()
        self.names = ImageNetInfo()

    @torch.inference_mode()
    def top(self, image: Image.Image, count: int = 3) -> list[tuple[str, float]]:
        """The `count` most likely classes of a picture with their probabilities, the most likely first."""
        image = image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        pixels = (to_tensor(np.array(image)) - self.gray.mean) / self.gray.std
        probabilities: Tensor = self.classifier(pixels).softmax(dim=1)[0]
        values, indices = probabilities.topk(count)
        return [
            (self.names.index_to_description(index).split(",")[0], value)
            for index, value in zip(indices.tolist(), values.tolist(), strict=True)
        ]
