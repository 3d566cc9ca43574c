"""Where a source keeps its refiner, and how it is read and written.

A source has at most one, for all of its checkpoints that share one frozen trunk: <source>/refiner/{config.json,
model.safetensors, metrics.json, train.json}, which also serves sources in its subfolders. For a Hub prefix owner/name
it is the repository owner/name-refiner.
"""

import functools
import logging
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file

from chromagan.errors import check_whole
from chromagan.hub import repositories
from chromagan.hub.checkpoints import NAMED_SOURCES, refined_by_default
from chromagan.hub.files import CONFIG_FILE, WEIGHTS_FILE, read_json, write_json
from chromagan.hub.model import CheckpointError, fetch, fitting, load_copies, read_fetched, reading
from chromagan.hub.repositories import OWNER, HubAccess
from chromagan.hub.trunks import half, write_weights
from chromagan.network.config import ModelConfig
from chromagan.network.refiner import Refiner, RefinerConfig
from chromagan.programs import printable

REFINER = "refiner"  # name of its folder, and ending of its repository's name
LEVELS = 2  # folders in which it is searched: the source's and its parent
ALL_STEPS = "all"  # instead of a number of steps: all that it was trained to take
LOGGER = logging.getLogger(__name__)


class NoRefinerError(CheckpointError):
    """A source that has no refiner."""


def load_refiner(source: str | os.PathLike, model: ModelConfig, access: HubAccess = OWNER) -> Refiner:
    """The refiner of `source` for colorings of the network `model`, float32 on the CPU, in eval mode. access: how a
    source on the Hub is read.

    Raises CheckpointError, one line, if it is out of reach, damaged or was trained for another trunk, and
    NoRefinerError if there is none.
    """
    source = NAMED_SOURCES.get(source, source)
    if repositories.is_prefix(source):
        name = f"refiner {repositories.repository(source, REFINER)}"
        find = functools.partial(find_refiner, source, access)
        refiner = read_fetched(find, lambda folder: read_refiner(folder, name))
    else:
        folder = find_refiner(source)
        name = f"refiner {folder}"
        refiner = read_refiner(folder, name)
    if reason := refiner.config.incompatibility(model):
        raise CheckpointError(f"{name} cannot be used: {reason}")
    return refiner


def select_refiner(
    source: str | os.PathLike, model: ModelConfig, refine: int | str | None
) -> tuple[Refiner | None, int | None]:
    """The refiner for colorings of the network `model` of `source`, None for none, and its number of steps, None for
    all that it was trained to take.

    refine: the number of steps, 0 for none, or ALL_STEPS; None is ALL_STEPS if the source is `refined_by_default`, else
    0. Only a refiner that is used by default may be missing or unusable: then a warning is logged.
    Raises OptionError for another value, and else what `load_refiner` does.
    """
    if refine == ALL_STEPS:
        return load_refiner(source, model), None
    check_whole("refine", refine, others=f', "{ALL_STEPS}" or None')
    if refine is not None:
        return (load_refiner(source, model) if refine else None), refine
    try:
        return (load_refiner(source, model) if refined_by_default(source) else None), None
    except CheckpointError as error:
        LOGGER.warning("%s; the colors are not refined", printable(str(error)))
        return None, None


def read_refiner(folder: Path, name: str) -> Refiner:
    """The refiner in `folder`, read strictly; CheckpointError, one line that calls it `name`, for whatever does not
    fit."""
    with reading(name, folder):
        config = RefinerConfig.from_dict(read_json(folder / CONFIG_FILE))
        with torch.device("meta"):
            refiner = Refiner(config)
        load_copies(refiner, fitting(load_file(folder / WEIGHTS_FILE), refiner.state_dict()))
    return refiner.requires_grad_(False).eval()


def has_refiner(source: str | os.PathLike) -> bool:
    """Whether `source`, a folder or a Hub prefix, has a refiner, usable or not; CheckpointError if the Hub does not
    tell."""
    try:
        find_refiner(source)
    except NoRefinerError:
        return False
    return True


def save_refiner(refiner: Refiner, folder: Path) -> None:
    """Write `refiner` to `folder`, <source>/refiner, with half-precision kernels, like a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(half(refiner.state_dict()), folder / WEIGHTS_FILE)
    write_json(folder / CONFIG_FILE, asdict(refiner.config))


def find_refiner(source: str | os.PathLike, access: HubAccess = OWNER, **download) -> Path:
    """The folder of a source's refiner, downloaded from the Hub if necessary; NoRefinerError if there is none,
    CheckpointError if the Hub does not tell. download: options of the client."""
    source = NAMED_SOURCES.get(source, source)
    if repositories.is_prefix(source):
        try:
            return fetch(repositories.repository(source, REFINER), "main", access, trunk=False, **download)
        except repositories.MissingError as error:
            raise NoRefinerError(f"{source!r} has no refiner: {error}") from error
        except repositories.HubError as error:
            raise CheckpointError(f"the refiner of {source!r} is out of reach: {error}") from error
    folder = Path(source).resolve()
    for above in [folder, *folder.parents][:LEVELS]:
        if (above / REFINER / CONFIG_FILE).is_file() or (above / REFINER / WEIGHTS_FILE).is_file():
            return above / REFINER
    raise NoRefinerError(f"{str(source)!r} has no refiner: expected {REFINER}/{WEIGHTS_FILE} in that folder")
