"""Options of the training script: one dataclass, its presets, and the command line made from it."""

import argparse
import os
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from chromagan.errors import OptionError
from chromagan.hub.repositories import REPO_ID
from chromagan.network.config import PRESETS as MODEL_PRESETS
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from chromagan.network.layers import FEATURE_STRIDE
from chromagan.network.losses import COLOR_LOSSES
from train.training.parsing import Options, option, parse_options

DATA_SET_HELP = "a Hub id (optionally with @revision), a folder of Parquet files or a folder of images"
DATA_HELP = f"one or more data sets: {DATA_SET_HELP}"
CACHE_DIR = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "chromagan")
LOG_AXIS = (0, 1, 3, 10, 30, 100, 300, 900)  # epochs that are saved by default


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """What determines a run's batches, apart from its photos."""

    batch_size: int  # over all processes together
    crop: int  # side in pixels of the random window of each photo
    seed: int
    dropout: float = 0.0  # share of a frozen trunk's channels to drop at each step
    critic_side: int | None = None  # side in pixels of the critic's crop of a window; None without a critic


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Options):
    """One training run. The defaults are the `lite` preset; PRESETS holds what `paper` changes."""

    decoder: str = option(MISSING, f"one of {', '.join(DECODERS)}")
    data: list[str] = option(MISSING, DATA_HELP)
    output_dir: str = option(MISSING, "folder for the run; epochs are saved as <output-dir>/<decoder>/epoch-<N>")
    preset: str = option(
        "lite", f"one of {', '.join(MODEL_PRESETS)}: sets the network and the defaults of the options below"
    )
    epochs: int = option(900, "passes over the data")
    save_epochs: list[int] = option(
        [], "epochs to save; 0 is before training, and the last is always saved. If omitted: "
        f"{', '.join(map(str, LOG_AXIS))}, up to --epochs"
    )  # fmt: skip
    resume: bool = option(False, "resume from the last complete state of the run in --output-dir")
    push_to_hub: str = option("", "Hub prefix owner/name: every saved epoch is also pushed to owner/name-<decoder>")

    limit_train: int = option(0, "train on only N images, spread evenly over the data; 0: all")
    limit_validation: int = option(256, "images of the quick validation at every saved epoch; 0: none")
    degraded_share: float = option(
        0.0, "share of the photos that are made soft and grainy, as old prints are, before training: for networks that "
        "are to color such"
    )  # fmt: skip
    batch_size: int = option(16, "images per step, over all processes together")
    crop: int = option(120, "side in pixels of the random window of each photo that the decoder colors")
    critic_crop: int = option(
        64, "side in pixels of the part of each window that the critic sees. Its position is random, not aligned with "
        "the decoder's grid, whose pattern the critic would otherwise teach; the whole window if --crop is no larger"
    )  # fmt: skip
    train_trunk: bool = option(
        False, "also train the pretrained trunk; otherwise its features are computed once and kept"
    )

    lr: float = option(5e-4, "AdamW's learning rate for the generator")
    critic_lr: float = option(5e-4, "Adam's learning rate for the critic")
    lr_hold: int = option(500, "steps after which both learning rates decay as 1/sqrt(step); 0: constant")
    weight_decay: float = option(0.05, "AdamW's weight decay of the generator's kernels and matrices; 0: plain Adam")
    dropout: float = option(0.1, "share of a frozen trunk's channels to drop, drawn for each photo and step")
    beta1: float = option(0.5, "beta1 of both optimizers")
    color_loss: str = option(
        "difference", "what L_e is: difference, close to CIEDE2000 and least at the median of the plausible colors, or "
        "squared, the paper's squared error and least at their mean: smoother colors"
    )  # fmt: skip
    color_pivot: float = option(
        9.0, "chroma above which colors come out more vivid, and below which grayer, than that median or mean; 0 for "
        "none"
    )  # fmt: skip
    # 0.1 at 224 pixels corresponds to 0.04 at 64: the term's gradient per pixel grows as the critic's window shrinks
    # (a mean over fewer patches), and at 0.1 the generator outran the critic and saturated.
    adversarial_weight: float = option(0.04, "weight of L_g, the Wasserstein term, relative to L_e; the paper's is 0.1")
    class_weight: float = option(0.003, "weight of L_s, the class distribution term")
    penalty_weight: float = option(10.0, "lambda of the critic's gradient penalty")
    critic_width: int = option(16, "channels of the critic's first layer; the paper's is 64")
    ema_share: float = option(
        0.3, "the saved weights are an average whose mean age is this share of the steps so far; 0: the latest weights"
    )
    teacher: str = option("tf_efficientnet_lite0", "timm classifier that provides the class distributions")

    seed: int = option(0, "seed of the initial weights, data order, windows and flips")
    log_every: int = option(20, "steps between lines of the JSON log")
    state_every: int = option(
        500, "steps between saved states for --resume; one is also saved at the end and on SIGTERM, SIGHUP or Ctrl-C"
    )
    tracker: str = option(
        "none", "where to show curves and samples: trackio (on this machine, or where TRACKIO_SPACE_ID or "
        "TRACKIO_SERVER_URL point), tensorboard (in <output-dir>/<decoder>/tensorboard) or none"
    )  # fmt: skip
    samples: int = option(
        6, "validation photos to color at every saved epoch, in <output-dir>/<decoder>/samples; 0: none"
    )
    cache_dir: str = option(CACHE_DIR, "folder for the teacher's distributions and a frozen trunk's features")

    # Time, memory and disk; train/benchmark.py measures each.
    precision: str = option(
        "auto", "fp32, bf16 or auto: bf16 where the hardware is faster with it; a resumed run keeps its precision"
    )  # fmt: skip
    compile: str = option("auto", "whether to compile the generator: on, off or auto (only on CUDA)")
    keep_features: bool = option(True, "compute a frozen trunk's features once and keep them; otherwise at every step")

    CHOICES: ClassVar = {
        "decoder": tuple(DECODERS),
        "preset": tuple(MODEL_PRESETS),
        "color_loss": tuple(COLOR_LOSSES),
        "precision": ("auto", "bf16", "fp32"),
        "compile": ("auto", "on", "off"),
        "tracker": ("none", "trackio", "tensorboard"),
    }
    NOT_NEGATIVE = (
        "epochs", "limit_train", "limit_validation", "samples", "ema_share", "lr_hold", "weight_decay",
        "adversarial_weight", "class_weight", "color_pivot",
    )  # fmt: skip
    POSITIVE = (
        "batch_size", "lr", "critic_lr", "penalty_weight", "critic_width", "log_every", "state_every",
    )  # fmt: skip
    FREE_ON_RESUME = frozenset({
        "resume", "data", "output_dir", "epochs", "save_epochs", "limit_validation", "samples", "log_every",
        "state_every", "tracker", "cache_dir", "push_to_hub",
    })  # fmt: skip
    ALWAYS_ON = (
        "channels_last", "fused_adam", "keep_teacher", "fold_upsampling", "share_forward", "explicit_penalty",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        self._require(0 <= self.beta1 < 1, "beta1", "in [0, 1)")
        self._require(0 <= self.dropout < 1, "dropout", "in [0, 1)")
        if self.push_to_hub:
            self._require(REPO_ID.fullmatch(self.push_to_hub) is not None, "push_to_hub", "owner/name")
        self._require(self.ema_share < 1, "ema_share", "below 1")
        self._require(0 <= self.degraded_share <= 1, "degraded_share", "in [0, 1]")
        self._require(
            all(0 <= epoch <= self.epochs for epoch in self.save_epochs), "save_epochs", f"in 0..{self.epochs}"
        )
        size, multiple = self.model.image_size, self.model.size_multiple if self.train_trunk else FEATURE_STRIDE
        self._require(
            0 < self.crop <= size and self.crop % multiple == 0, "crop", f"a multiple of {multiple} up to {size}"
        )
        cells = self.batch_size * (self.crop // FEATURE_STRIDE) ** 2  # batch norm needs two to average over
        self._require(cells > 1, "batch_size", f"2 or more with a --crop of {self.crop}")
        self._require(
            self.critic_crop > 0 and self.critic_crop % FEATURE_STRIDE == 0, "critic_crop",
            f"a multiple of {FEATURE_STRIDE}",
        )  # fmt: skip
        if not self.model.any_size and self.crop != size:
            raise OptionError(f"--crop must be {size} with --preset {self.preset}, whose network takes one size only")

    def defaults(self) -> dict[str, Any]:
        return super().defaults() | PRESETS[self.preset]

    @property
    def batch_spec(self) -> BatchSpec:
        return BatchSpec(
            batch_size=self.batch_size, crop=self.crop, seed=self.seed, dropout=self.dropout,
            critic_side=self.critic_side,
        )  # fmt: skip

    @property
    def critic_side(self) -> int:
        """Side in pixels of the part of a window that the critic sees."""
        return min(self.critic_crop, self.crop)

    @property
    def memory_options(self) -> str:
        """The options to lower when a step runs out of memory."""
        return "--batch-size or --crop" if self.model.any_size else "--batch-size"

    @property
    def saved_epochs(self) -> set[int]:
        """The epochs to save; always includes the last."""
        return {*(self.save_epochs or (epoch for epoch in LOG_AXIS if epoch < self.epochs)), self.epochs}

    def saved_after(self, recorded: dict[str, Any]) -> dict[str, int]:
        """The step after which each network of the run with the options `recorded` is saved, by its folder's name."""
        photos = sum(source["photos"] for source in recorded.get("sources", ()))
        steps = photos // recorded.get("batch_size", self.batch_size)  # an epoch
        ends = {name: recorded.get(name, getattr(self, name)) for name in ("epochs", "save_epochs")}
        return {f"epoch-{epoch}": epoch * steps for epoch in replace(self, **ends).saved_epochs}

    @property
    def model(self) -> ModelConfig:
        return ModelConfig.preset(self.preset, self.decoder)

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir, self.decoder)


PRESETS: dict[str, dict[str, Any]] = {
    "lite": {},
    "paper": dict(  # Vitoria et al. 2020, section 4.1; the batch size is that of their code
        batch_size=10,
        crop=224,
        critic_crop=224,
        adversarial_weight=0.1,
        train_trunk=True,
        lr=2e-5,
        critic_lr=2e-5,
        lr_hold=0,
        weight_decay=0.0,
        dropout=0.0,
        critic_width=64,
        color_loss="squared",
        color_pivot=0.0,
        ema_share=0.0,
        teacher="vgg16.tv_in1k",
    ),
}


def parse_config(argv: list[str] | None = None) -> TrainConfig:
    """Build a TrainConfig from the command line; a wrong flag ends the program with status 2 and one line."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", default="lite")
    try:
        preset = PRESETS.get(first.parse_known_args(argv)[0].preset, {})
    except argparse.ArgumentError:  # --preset without a value: the full parser below reports it
        preset = {}

    return parse_options(TrainConfig, "Train one decoder of the study.", argv, preset)
