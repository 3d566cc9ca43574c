"""ChromaGAN Studio: five decoders for automatic colorization, at every epoch of their training.

The public names are imported on first access, since importing torch takes seconds.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chromagan.colorizer import Colorizer
    from chromagan.errors import ChromaGANError, ImageError
    from chromagan.hub.checkpoints import Checkpoint, CheckpointError, list_checkpoints
    from chromagan.hub.model import ChromaGAN
    from chromagan.network.config import ModelConfig
    from chromagan.network.decoders import DECODERS

__version__ = "0.1.0"

__all__ = [
    "DECODERS",
    "Checkpoint",
    "CheckpointError",
    "ChromaGAN",
    "ChromaGANError",
    "Colorizer",
    "ImageError",
    "ModelConfig",
    "list_checkpoints",
]

HOMES = {
    "Colorizer": "colorizer",
    "ChromaGANError": "errors",
    "ImageError": "errors",
    "Checkpoint": "hub.checkpoints",
    "CheckpointError": "hub.checkpoints",
    "list_checkpoints": "hub.checkpoints",
    "ChromaGAN": "hub.model",
    "ModelConfig": "network.config",
    "DECODERS": "network.decoders",
}


def __getattr__(name: str):
    """A public name, imported on first access."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
