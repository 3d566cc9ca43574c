"""ChromaGAN Studio: five decoders for automatic colorization, at every epoch of their training."""

from chromagan.checkpoints import Checkpoint, CheckpointError, list_checkpoints
from chromagan.colorizer import Colorizer
from chromagan.config import ModelConfig
from chromagan.decoders import DECODERS
from chromagan.generator import ChromaGAN
from chromagan.photo import ImageError

__version__ = "0.1.0"

__all__ = [
    "DECODERS",
    "Checkpoint",
    "CheckpointError",
    "ChromaGAN",
    "Colorizer",
    "ImageError",
    "ModelConfig",
    "list_checkpoints",
]
