"""Options of train/refine.py."""

from dataclasses import MISSING, dataclass
from pathlib import Path

from chromagan.network.layers import FEATURE_STRIDE
from train.training.options import CACHE_DIR, DATA_HELP, BatchSpec
from train.training.parsing import Options, option, parse_options


@dataclass(frozen=True, kw_only=True)
class RefineConfig(Options):
    """One training run of a refiner."""

    source: str = option(MISSING, "folder of checkpoints whose colorings are refined; all behind one frozen trunk")
    data: list[str] = option(MISSING, DATA_HELP)
    output_dir: str = option(MISSING, "folder of the run; the refiner is saved as <output-dir>/refiner")
    epochs: list[int] = option([1, 3, 10], "epochs of the source whose colorings are seen, of all its decoders")
    greedy_steps: int = option(
        2000, "steps in which the policy is raised by what each action earns at once, which is known"
    )
    steps: int = option(4000, "all steps; behind the greedy ones it learns from what it does (actor-critic)")
    resume: bool = option(False, "go on from the last complete state of the run in --output-dir")

    limit_train: int = option(0, "train on N images, spread evenly over the data, only; 0 is all")
    batch_size: int = option(8, "images per step, over all processes together")
    crop: int = option(96, "side in pixels of the random window of each photo")
    channels: int = option(48, "of the refiner's maps")
    agent_steps: int = option(5, "actions that a pixel takes one after the other")
    delta: float = option(3.0, "Lab units by which an action changes a or b")

    lr: float = option(2e-3, "AdamW's learning rate at first; it falls to a twentieth by half a cosine")
    weight_decay: float = option(0.01, "AdamW's")
    entropy_weight: float = option(0.02, "weight of the policy's entropy, in units of CIEDE2000")
    value_weight: float = option(0.5, "weight of the value's squared error")
    discount: float = option(0.9, "of what the next step is worth")
    consistency_weight: float = option(0.0, "weight of local consistency beside the fall of the color difference")
    feature_weight: float = option(
        0.0,
        "weight of the fall of the distance to the true photo in features of the trunk's network, which sees colors",
    )
    large_weight: float = option(0.0, "weight of the squared color difference: of large faults more than of small ones")
    price: float = option(0.1, "what a Lab unit of chroma is worth at first")
    price_rate: float = option(0.005, "how fast that moves, for a relative difference of colorfulness of 1")
    colorfulness: float = option(1.0, "what is kept of the colorings' colorfulness")

    seed: int = option(0, "of initial weights, data order, windows, flips and actions")
    log_every: int = option(20, "steps between two JSON lines of the log")
    state_every: int = option(500, "steps between two states to --resume from; one is also kept at the end")
    cache_dir: str = option(CACHE_DIR, "where the trunk's features are kept")

    NOT_NEGATIVE = (
        "greedy_steps", "limit_train", "weight_decay", "entropy_weight", "value_weight", "discount",
        "consistency_weight", "feature_weight", "large_weight", "price", "price_rate",
    )  # fmt: skip
    POSITIVE = (
        "steps", "batch_size", "channels", "agent_steps", "delta", "lr", "colorfulness", "log_every", "state_every",
    )  # fmt: skip
    # Not the number of steps: the learning rate falls with it.
    FREE_ON_RESUME = frozenset({
        "resume", "source", "data", "output_dir", "log_every", "state_every", "cache_dir",
    })  # fmt: skip

    memory_options = "--batch-size or --crop"  # what a step takes less memory with

    def __post_init__(self):
        super().__post_init__()
        self._require(
            0 < self.crop <= 224 and self.crop % FEATURE_STRIDE == 0,
            "crop",
            f"a multiple of {FEATURE_STRIDE} up to 224",
        )
        self._require(self.greedy_steps <= self.steps, "greedy_steps", f"at most --steps {self.steps}")
        self._require(self.discount <= 1, "discount", "in [0, 1]")
        self._require(all(epoch >= 0 for epoch in self.epochs), "epochs", "0 or more")

    @property
    def batch_spec(self) -> BatchSpec:
        return BatchSpec(batch_size=self.batch_size, crop=self.crop, seed=self.seed)

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir)


def parse_config(argv: list[str] | None = None) -> RefineConfig:
    """Build RefineConfig from the command line; a wrong flag ends the program with status 2 and one line."""
    return parse_options(RefineConfig, "Train an agent that refines the colorings of a source.", argv)
