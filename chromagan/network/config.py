"""ModelConfig: exactly what is needed to rebuild the network, stored as config.json with every checkpoint."""

from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import ClassVar, Self

from chromagan.errors import OptionError
from chromagan.network.decoders import DECODERS

CONFIG_VERSION = 2
# `paper` has 4, 4096 and 224: far larger values are not from this project, and a config may be untrusted.
MAX_LAYERS, MAX_CHANNELS, MAX_SIDE = 16, 8192, 1024

# The expected value of a field in a config.json, by the type of its default. All sequences hold whole numbers.
EXPECTED = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", tuple: "whole numbers"}


class Config:
    """Base of every config.json: a frozen dataclass with a `version`; this release reads only VERSION."""

    VERSION: ClassVar[int]

    def __post_init__(self):
        for field in fields(self):  # JSON has no tuples
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
            if isinstance(getattr(self, field.name), tuple) and len(getattr(self, field.name)) > MAX_LAYERS:
                raise OptionError(f"{field.name} has more than {MAX_LAYERS} entries")
        if self.version != self.VERSION:
            raise OptionError(
                f"config version {self.version} is not {self.VERSION}, the one this release reads: "
                "use the release of chromagan that wrote it"
            )

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Build from the dictionary of a config.json; unknown keys and wrong types raise OptionError."""
        for field in fields(cls):
            if field.name in values and not is_of_type(values[field.name], type(field.default)):
                what, value = EXPECTED[type(field.default)], values[field.name]
                raise OptionError(f"{field.name} in the config should be {what}, got {value!r:.80}")
        if values.get("version", cls.VERSION) != cls.VERSION:
            cls(version=values["version"])  # raises: another version may have other keys
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise OptionError(f"unknown keys in the config: {', '.join(unknown)}")
        return cls(**values)


def is_of_type(value: object, expected: type) -> bool:
    """Whether a value of a config.json is valid for the type `expected`, a key of EXPECTED."""
    if expected is tuple:
        return isinstance(value, list | tuple) and all(is_of_type(each, int) for each in value)
    if isinstance(value, bool):  # an int, to Python
        return expected is bool
    return isinstance(value, int | float if expected is float else expected)


def check_stages(stages: tuple[int, ...]) -> None:
    """Raise OptionError unless `stages` can be stages of a trunk, finest first; which ones it has is known to timm."""
    if not stages or stages[0] < 0 or any(one >= other for one, other in pairwise(stages)):
        raise OptionError(f"trunk_stages must be ascending and at least 0, got {stages}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Architecture of one ChromaGAN generator. The defaults are the `lite` preset.

    Raises OptionError for an unknown decoder, a config of another version or sizes that do not fit.
    """

    decoder: str = "original"  # key of DECODERS
    trunk: str = "tf_efficientnet_lite0"  # timm name
    trunk_stages: tuple[int, ...] = (1, 2, 3, 4)  # timm out_indices, finest first
    trunk_digest: str = ""  # of a frozen trunk, stored once per source; empty: the weights include the trunk
    lightness: bool = True  # whether the mid-level branch also reads L itself, in addition to the stages
    mid_channels: tuple[int, ...] = (128, 128)  # the merging convolution, then conv3; relu and BN after each
    global_channels: tuple[int, ...] = ()  # conv3, relu, BN each, on the deepest stage
    global_strides: tuple[int, ...] = ()
    global_pooled: bool = True  # mean over the map (any image size); False flattens it (image_size only)
    global_dense: tuple[int, ...] = (256, 128)  # dense layers with no activation between
    fusion_channels: int = 128  # conv1 relu; then conv3 -> 128 relu, what every decoder reads
    class_dense: tuple[int, ...] = ()  # hidden layers of the class head
    num_classes: int = 1000
    image_size: int = 224  # side, in pixels, of the images that the preset is designed for
    version: int = CONFIG_VERSION

    VERSION = CONFIG_VERSION

    def __post_init__(self):
        super().__post_init__()
        if self.decoder not in DECODERS:
            raise OptionError(f"unknown decoder {self.decoder!r}; choose from {', '.join(DECODERS)}")
        if len(self.global_channels) != len(self.global_strides):
            raise OptionError(
                f"global_channels {self.global_channels} and global_strides {self.global_strides} differ in length"
            )
        check_stages(self.trunk_stages)
        if not self.mid_channels:
            raise OptionError("mid_channels is empty")
        sizes = *self.mid_channels, *self.global_channels, *self.global_dense, self.fusion_channels, *self.class_dense
        if max(sizes) > MAX_CHANNELS or self.image_size > MAX_SIDE:
            raise OptionError(f"a network has at most {MAX_CHANNELS} channels and {MAX_SIDE} pixels a side")
        if min(*sizes, *self.global_strides, self.image_size) < 1 or self.num_classes < 0:
            raise OptionError("channels, strides and image_size must be at least 1, and num_classes at least 0")
        if self.image_size % self.size_multiple:
            raise OptionError(f"image_size must be a multiple of {self.size_multiple}, got {self.image_size}")

    @property
    def size_multiple(self) -> int:
        """Sides of an input image must be multiples of this many pixels: the stride of the deepest map, which is the
        same in `lite`'s trunk and `paper`'s global branch."""
        return 32

    @property
    def any_size(self) -> bool:
        """Whether images of other sizes than image_size can be colorized."""
        return self.global_pooled

    @classmethod
    def preset(cls, name: str, decoder: str = "original") -> "ModelConfig":
        """Return preset `name` ("lite" or "paper") with `decoder`; OptionError for any other name."""
        if name not in PRESETS:
            raise OptionError(f"unknown preset {name!r}; choose from {', '.join(PRESETS)}")
        return replace(PRESETS[name], decoder=decoder)


PRESETS = {
    # Vitoria, Raad and Ballester 2020, figure 2 and section 3.2.
    "paper": ModelConfig(
        trunk="vgg16.tv_in1k",
        trunk_stages=(3,),
        lightness=False,
        mid_channels=(512, 256),
        global_channels=(512, 512, 512, 512),
        global_strides=(2, 1, 2, 1),
        global_pooled=False,
        global_dense=(1024, 512, 256),
        fusion_channels=256,
        class_dense=(4096, 4096),
    ),
    # The shipped networks: runs on a laptop, and what a run trains fits in 2 MB of float16 with any decoder.
    "lite": ModelConfig(),
}
