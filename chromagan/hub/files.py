"""The files of checkpoints: their names, reading and writing JSON, and the names of data sets in them."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from chromagan.atomic import replacing
from chromagan.errors import ChromaGANError

# In the folder of a checkpoint or a refiner.
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
METRICS_FILE = "metrics.json"
# In a run's folder, next to its epochs.
OPTIONS_FILE = "train.json"
TRACKER_FILE = "tracker.json"  # the run's name in its tracker, and its address if it has one
# In a source.
CLAIMS_FILE = "claims.json"  # the verdict on every claim of the paper, as train/evaluate.py writes it
# In a repository, and next to the epochs.
CARD_FILE = "README.md"


class JSONError(ChromaGANError, ValueError):
    """A file that is not JSON, or does not hold an object."""


def read_json(path: str | os.PathLike) -> dict:
    """The object in a JSON file; JSONError, naming the file, if it is damaged or nested too deeply."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError also for bytes that are no text, and endless numbers
        raise JSONError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise JSONError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    return value


def write_json(path: str | os.PathLike, value) -> None:
    """Write `value` as JSON, atomically. NaN and infinity raise ValueError: JSON has neither."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def check_record(path: str | os.PathLike, values: dict) -> None:
    """Raise JSONError, naming the file, if the measures or a run's options, `values` in `path`, tell their data in
    another form than cards and public copies are made of."""
    data, sources = values.get("data", ""), values.get("sources", [])
    if Path(path).name == OPTIONS_FILE:  # a run may have several data sets, a refiner's names none
        named = data if isinstance(data, list) else [data or ""]
        checks = [("data", "a string or a list of strings", all(isinstance(each, str) for each in named))]
    else:
        checks = [("data", "a string", isinstance(data, str))]
        checks += [(key, "a string", isinstance(values.get(key), str | None)) for key in ("split", "preset")]
        checks.append(("size", "a number", isinstance(values.get("size"), int | float | None)))
    told = isinstance(sources, list) and all(
        isinstance(each, dict) and isinstance(each.get("data"), str) for each in sources
    )
    for key, what, fits in [*checks, ("sources", "a list of data sets", told)]:
        if not fits:
            raise JSONError(f"{path}: {key} should be {what}, got {values[key]!r:.80}")


def plain_name(data: str) -> str:
    """A data set's public name: the last part of a path, without its location on a user's machine.

    A relative path may look like a Hub id and cannot be distinguished from one here: see `recorded_data`.
    """
    if not os.path.isabs(data) and not data.startswith((".", "~")):
        return data
    name = Path(data).name
    return name if name not in ("", "..") else Path(data).resolve().name or "photos"


def recorded_data(options: dict) -> list[str]:
    """The data sets of a run's options. Those that were local folders, according to its `sources`, start with "./", so
    that they do not look like Hub ids."""
    data = options.get("data") or ()
    folders = {source["data"] for source in options.get("sources", ()) if source.get("folder")}
    named = [data] if isinstance(data, str) else list(data)
    return [os.path.join(".", each) if each in folders else each for each in named]


def names_of(sources: Iterable[dict]) -> list[str]:
    """The public names of data sets described as in `chromagan.data`: the last part of a folder's path."""
    return [
        plain_name(os.path.join(".", source["data"]) if source.get("folder") else source["data"]) for source in sources
    ]
