"""The classifier of the evaluation, and the ImageNet indices of the data's classes."""

import math

import numpy as np
import torch
from torch import Tensor

from chromagan.network.folding import fold_batch_norm
from chromagan.network.trunk import imagenet_classifier

# Predicts the classes and provides the features of the Fréchet distance. It is not the teacher, which the generators
# were trained on.
CLASSIFIER = "tf_efficientnet_lite2"

TOP1 = ("top1", "top1_of_ten")

# ImageNet's index of each class of Imagenette, by the names and WordNet ids in its releases.
IMAGENETTE_CLASSES = {
    "tench": 0, "english springer": 217, "cassette player": 482, "chain saw": 491, "church": 497, "french horn": 566,
    "garbage truck": 569, "gas pump": 571, "golf ball": 574, "parachute": 701,
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497, "n03394916": 566,
    "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip
TEN = tuple(dict.fromkeys(IMAGENETTE_CLASSES.values()))


class Classifier:
    """The pretrained classifier. It takes one picture at a time: see measuring.py."""

    def __init__(self, device: torch.device):
        self.net = fold_batch_norm(imagenet_classifier(CLASSIFIER)).to(device, memory_format=torch.channels_last)
        self.ten = torch.tensor(TEN, device=device)

    def __call__(self, image: Tensor, label: int | None) -> tuple[dict[str, float], np.ndarray]:
        """Whether sRGB (1, 3, S, S) in [0, 1] is classified as its ImageNet index `label`, and its pooled features
        (D,)."""
        pictures = (2 * image - 1).contiguous(memory_format=torch.channels_last)  # the network's mean and std are 0.5
        pooled = self.net.forward_head(self.net.forward_features(pictures), pre_logits=True)
        logits = self.net.get_classifier()(pooled)[0]
        row = {"top1": math.nan, "top1_of_ten": math.nan}
        if label is not None:
            row["top1"] = float(logits.argmax().item() == label)
            row["top1_of_ten"] = float(self.ten[logits[self.ten].argmax()].item() == label)
        return row, pooled[0].float().cpu().numpy()


def imagenet_labels(labels: np.ndarray | None, class_names: list[str] | None) -> list[int | None]:
    """The ImageNet index of each photo's class; None for classes that are not Imagenette's."""
    if labels is None:
        return []
    names = [str(name).lower() for name in class_names or ()]
    return [IMAGENETTE_CLASSES.get(names[label]) if 0 <= label < len(names) else None for label in labels]
