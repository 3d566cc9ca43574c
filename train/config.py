"""Options of the training script: one dataclass, its presets, and the command line made from it."""

import argparse
import os
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin

from chromagan.config import PRESETS as MODEL_PRESETS
from chromagan.config import ModelConfig
from chromagan.decoders import DECODERS


def option(default: Any, help: str) -> Any:
    """A field of TrainConfig with its line of --help. No default makes the flag a required one."""
    metadata = {"help": help}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. Every option is a flag of the same name; nonsense is a ValueError that names the flag.

    The defaults are the `lite` preset; PRESETS holds what `paper` does otherwise.
    """

    decoder: str = option(MISSING, f"one of {', '.join(DECODERS)}")
    data: str = option(MISSING, "Hub dataset id, folder of Parquet files, or folder of images")
    output_dir: str = option(MISSING, "folder of the run; epochs are saved as <output-dir>/<decoder>/epoch-<N>")
    preset: str = option("lite", f"one of {', '.join(MODEL_PRESETS)}: the network and the defaults of what follows")
    epochs: int = option(900, "passes over the data")
    save_epochs: list[int] = option(
        [], "epochs to save; 0 is before training, the last is always saved. None given: 0, both thirds and the last"
    )
    resume: bool = option(False, "go on from the last completed epoch of the run in --output-dir")

    limit_train: int = option(0, "train on N images, spread evenly over the data, only; 0 is all")
    limit_validation: int = option(256, "images of the quick validation at every saved epoch; 0 is none")
    batch_size: int = option(16, "images per step, over all processes together")
    crop: int = option(64, "side in pixels of the random window that decoder and critic train on")
    train_trunk: bool = option(
        False, "also train the pretrained trunk; without, its features are computed once and kept"
    )

    lr: float = option(1e-3, "Adam's learning rate for the generator")
    critic_lr: float = option(5e-4, "Adam's learning rate for the critic")
    beta1: float = option(0.5, "Adam's first momentum")
    color_weight: float = option(1.0, "weight of L_e, the squared error of ab")
    # 0.1 at 224 pixels is 0.03 at 64: the term's gradient per pixel grows as the window shrinks (a mean over fewer
    # patches), and at 0.1 the generator outran the critic and saturated.
    adversarial_weight: float = option(0.03, "weight of L_g, the Wasserstein term; the paper's is 0.1")
    class_weight: float = option(0.003, "weight of L_s, the class distribution term")
    penalty_weight: float = option(10.0, "lambda of the critic's gradient penalty")
    critic_width: int = option(16, "channels of the critic's first layer; the paper's is 64")
    ema_decay: float = option(0.998, "averaging of the saved generator's weights over steps; 0 saves the raw weights")
    teacher: str = option("tf_efficientnet_lite0", "timm classifier that gives the class distributions")

    seed: int = option(0, "of initial weights, data order, windows and flips")
    log_every: int = option(20, "steps between two JSON lines of the log")
    cache_dir: str = option(
        os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "chromagan"),
        "where the teacher's distributions and a frozen trunk's features are kept",
    )

    def __post_init__(self):
        if self.decoder not in DECODERS:
            raise ValueError(f"unknown --decoder {self.decoder!r}; choose from {', '.join(DECODERS)}")
        if self.preset not in MODEL_PRESETS:
            raise ValueError(f"unknown --preset {self.preset!r}; choose from {', '.join(MODEL_PRESETS)}")
        for name in ("epochs", "limit_train", "limit_validation", "ema_decay", "adversarial_weight", "class_weight"):
            self._require(getattr(self, name) >= 0, name, "0 or more")
        for name in ("batch_size", "lr", "critic_lr", "color_weight", "penalty_weight", "critic_width", "log_every"):
            self._require(getattr(self, name) > 0, name, "more than 0")
        self._require(0 <= self.beta1 < 1, "beta1", "in [0, 1)")
        self._require(self.ema_decay < 1, "ema_decay", "below 1")
        self._require(
            all(0 <= epoch <= self.epochs for epoch in self.save_epochs), "save_epochs", f"in 0..{self.epochs}"
        )
        size, multiple = self.model.image_size, self.model.size_multiple
        self._require(
            0 < self.crop <= size and self.crop % multiple == 0, "crop", f"a multiple of {multiple} up to {size}"
        )
        if not self.model.any_size and self.crop != size:
            raise ValueError(f"--crop must be {size} with --preset {self.preset}, whose network has one size")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(f"--{name.replace('_', '-')} must be {expected}, got {getattr(self, name)}")

    @property
    def saved_epochs(self) -> set[int]:
        """The epochs to save; the last is always among them."""
        return {*(self.save_epochs or (0, round(self.epochs / 3), round(2 * self.epochs / 3))), self.epochs}

    @property
    def model(self) -> ModelConfig:
        return ModelConfig.preset(self.preset, self.decoder)

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir, self.decoder)


PRESETS: dict[str, dict[str, Any]] = {
    "lite": {},
    "paper": dict(  # Vitoria et al. 2020, section 4.1; the batch is that of their code
        batch_size=10,
        crop=224,
        adversarial_weight=0.1,
        train_trunk=True,
        lr=2e-5,
        critic_lr=2e-5,
        critic_width=64,
        ema_decay=0.0,
        teacher="vgg16.tv_in1k",
    ),
}


def parse_config(argv: list[str] | None = None) -> TrainConfig:
    """Build TrainConfig from the command line; a wrong flag ends the program with status 2 and one line."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", default="lite")
    try:
        preset = PRESETS.get(first.parse_known_args(argv)[0].preset, {})
    except argparse.ArgumentError:  # --preset without a value: the whole parser, below, says so
        preset = {}

    parser = argparse.ArgumentParser(
        description="Train one decoder of the study.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.print_usage = lambda file=None: None  # a wrong flag is one line; --help shows the rest
    for f in fields(TrainConfig):
        default = preset.get(
            f.name, f.default_factory() if f.default is MISSING and f.default_factory is not MISSING else f.default
        )
        kind: dict[str, Any] = {"type": f.type}
        if f.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif get_origin(f.type) is list:
            kind = {"type": get_args(f.type)[0], "nargs": "+"}
        required = default is MISSING
        parser.add_argument(
            "--" + f.name.replace("_", "-"),
            required=required,
            default=argparse.SUPPRESS if required else default,
            help=f.metadata["help"],
            **kind,
        )
    try:
        return TrainConfig(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))
