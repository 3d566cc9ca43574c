"""Options of train/refine.py."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from chromagan.hub.refiners import REFINER
from chromagan.network.config import MAX_CHANNELS
from chromagan.network.layers import FEATURE_STRIDE
from chromagan.network.refiner import MAX_STEPS
from train.training.options import CACHE_DIR, DATA_HELP, BatchSpec
from train.training.parsing import Options, option, parse_options

GREEDY = f"{REFINER}-greedy"  # the folder of the agent before its actor-critic steps


@dataclass(frozen=True, kw_only=True)
class RefineConfig(Options):
    """One training run of a refiner. The defaults are those of the refiner that ships."""

    source: str = option(MISSING, "folder of checkpoints whose colorings are refined; all must share one frozen trunk")
    data: list[str] = option(MISSING, DATA_HELP)
    output_dir: str = option(MISSING, "folder for the run; the refiner is saved as <output-dir>/refiner")
    epochs: list[int] = option([1, 3, 10], "epochs of the source to refine colorings of, for all its decoders")
    greedy_steps: int = option(
        2000, "first steps, in which the policy ascends the exact gradient of its immediate reward"
    )
    steps: int = option(2400, "total steps; after the greedy ones the agent learns by advantage actor-critic")
    resume: bool = option(False, "resume from the last complete state of the run in --output-dir")

    limit_train: int = option(0, "train on only N images, spread evenly over the data; 0: all")
    batch_size: int = option(8, "images per step, over all processes together")
    crop: int = option(96, "side in pixels of the random window of each photo")
    channels: int = option(48, "channels of the refiner's feature maps")
    agent_steps: int = option(5, "steps of a rollout: actions that each pixel takes")
    delta: float = option(3.0, "Lab units by which an action changes a or b")

    lr: float = option(2e-3, "AdamW's initial learning rate; decays to a twentieth along half a cosine")
    weight_decay: float = option(0.01, "AdamW's weight decay")
    entropy_weight: float = option(0.02, "weight of the policy's entropy, in units of CIEDE2000")
    value_weight: float = option(0.5, "weight of the value's squared error")
    discount: float = option(0.9, "discount of the next step's value")
    consistency_weight: float = option(0.1, "weight of local consistency, relative to the drop in color difference")
    feature_weight: float = option(
        0.0,
        "weight of the drop in distance to the true photo, in features of the trunk's network applied to the colors",
    )
    squared_weight: float = option(0.05, "weight of the squared color difference, which emphasizes large errors")
    multiplier: float = option(
        0.3, "initial Lagrange multiplier of the colorfulness constraint: the reward of a Lab unit of chroma"
    )
    multiplier_rate: float = option(0.05, "step size of its dual ascent, per unit of relative colorfulness")
    colorfulness: float = option(
        1.0, "constraint: the colorfulness to keep, relative to the colorings before refinement"
    )

    seed: int = option(0, "seed of the initial weights, data order, windows, flips and actions")
    log_every: int = option(20, "steps between lines of the JSON log")
    state_every: int = option(
        500, "steps between saved states for --resume; one is also saved at the end and on SIGTERM, SIGHUP or Ctrl-C"
    )
    cache_dir: str = option(CACHE_DIR, "folder for the trunk's features")

    NOT_NEGATIVE = (
        "greedy_steps", "limit_train", "weight_decay", "entropy_weight", "value_weight", "discount",
        "consistency_weight", "feature_weight", "squared_weight", "multiplier", "multiplier_rate",
    )  # fmt: skip
    POSITIVE = (
        "steps", "batch_size", "channels", "agent_steps", "delta", "lr", "colorfulness", "log_every", "state_every",
    )  # fmt: skip
    # Not the number of steps: the learning rate's schedule depends on it.
    FREE_ON_RESUME = frozenset({
        "resume", "source", "data", "output_dir", "log_every", "state_every", "cache_dir",
    })  # fmt: skip

    memory_options = "--batch-size or --crop"  # to lower when a step runs out of memory

    def __post_init__(self):
        super().__post_init__()
        self._require(
            0 < self.crop <= 224 and self.crop % FEATURE_STRIDE == 0,
            "crop",
            f"a multiple of {FEATURE_STRIDE} up to 224",
        )
        self._require(self.greedy_steps <= self.steps, "greedy_steps", f"at most --steps {self.steps}")
        self._require(self.discount <= 1, "discount", "in [0, 1]")
        self._require(self.channels <= MAX_CHANNELS, "channels", f"at most {MAX_CHANNELS}")
        self._require(self.agent_steps <= MAX_STEPS, "agent_steps", f"at most {MAX_STEPS}")
        self._require(all(epoch >= 0 for epoch in self.epochs), "epochs", "0 or more")

    @property
    def batch_spec(self) -> BatchSpec:
        return BatchSpec(batch_size=self.batch_size, crop=self.crop, seed=self.seed)

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir)

    def saved_after(self, recorded: dict[str, Any]) -> dict[str, int]:
        """The step after which each agent of the run with the options `recorded` is saved, by its folder's name."""
        ends = {GREEDY: "greedy_steps", REFINER: "steps"}
        return {folder: recorded.get(name, getattr(self, name)) for folder, name in ends.items()}


def parse_config(argv: list[str] | None = None) -> RefineConfig:
    """Build a RefineConfig from the command line; a wrong flag ends the program with status 2 and one line."""
    return parse_options(RefineConfig, "Train an agent that refines the colorings of a source.", argv)
