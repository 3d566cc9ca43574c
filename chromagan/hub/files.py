"""The files of checkpoints: what they are called, JSON read and written, and a data set's name in them."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from chromagan.atomic import replacing
from chromagan.errors import ChromaGANError

# Of a checkpoint's folder, and of a refiner's.
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METRICS_FILE = "metrics.json"
# Of a run's folder, beside its epochs.
OPTIONS_FILE = "train.json"
TRACKER_FILE = "tracker.json"  # what the run is called in its tracker, and its address where it has one
# Of a source.
CLAIMS_FILE = "claims.json"  # the verdict on every claim of the paper, as train/evaluate.py writes it
# Of a repository, and beside the epochs.
CARD_FILE = "README.md"


class JSONError(ChromaGANError, ValueError):
    """A file that is not JSON, or holds no object."""


def read_json(path: str | os.PathLike) -> dict:
    """The object in a JSON file; JSONError, naming the file, where it is damaged."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise JSONError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise JSONError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    return value


def write_json(path: str | os.PathLike, value) -> None:
    """Write `value` as JSON, whole or not at all. NaN and infinity are a ValueError: JSON has neither."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plain_name(data: str) -> str:
    """A data set's name for others to read: of a path its last part, not where it lies on somebody's machine.

    A relative path may look like a Hub id, and which it was nobody can tell where it is read: see `recorded_data`.
    """
    return Path(data).name or data if os.path.isabs(data) or data.startswith((".", "~")) else data


def recorded_data(options: dict) -> list[str]:
    """The data sets of a run's options. Those that were folders where it ran, as its `sources` tell, are paths that no
    Hub id looks like."""
    data = options.get("data") or ()
    folders = {source["data"] for source in options.get("sources", ()) if source.get("folder")}
    named = [data] if isinstance(data, str) else list(data)
    return [os.path.join(".", each) if each in folders else each for each in named]


def names_of(sources: Iterable[dict]) -> list[str]:
    """The names for others to read of data sets as `chromagan.data` describes them: of a folder its last part."""
    return [
        plain_name(os.path.join(".", source["data"]) if source.get("folder") else source["data"]) for source in sources
    ]
