"""ChromaGAN Studio: five decoders for automatic colorization, at every epoch of their training."""

from chromagan.colorizer import Colorizer
from chromagan.hub.checkpoints import Checkpoint, CheckpointError, list_checkpoints
from chromagan.hub.model import ChromaGAN
from chromagan.imaging.photo import ImageError
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS

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
