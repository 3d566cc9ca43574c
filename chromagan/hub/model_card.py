"""The cards of model repositories: templates filled with measures and training data."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData, constants
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chromagan.hub.checkpoints import NAMED_SOURCES, Checkpoint, recommended_checkpoint
from chromagan.hub.files import (
    CONFIG_FILE,
    METRICS_FILE,
    OPTIONS_FILE,
    TRACKER_FILE,
    check_record,
    plain_name,
    read_json,
    recorded_data,
)
from chromagan.hub.markdown import FILTERS, string_literal
from chromagan.hub.measured import (
    interval_of,
    measures_of,
    named_split,
    place_of,
    refined_table,
    split_of,
    value_of,
)
from chromagan.hub.repositories import REPO_ID
from chromagan.measures.catalog import measure_called
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from chromagan.network.refiner import ACTIONS, Refiner, RefinerConfig

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=False,  # Markdown
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
TEMPLATES.filters |= FILTERS
MEASURES = ("ciede2000_mean", "psnr_mean", "colorfulness_ratio", "ssim")  # on the card, by their names in metrics.json
IMAGENETTE = (
    "Imagenette, ten classes of ImageNet (tench, English springer, cassette player, chain saw, church, French horn, "
    "garbage truck, gas pump, golf ball, parachute)"
)


def model_card(
    checkpoint: Checkpoint, repo: str | None, epochs: list[Checkpoint], newer: str | None = None
) -> ModelCard:
    """The card of one epoch, with the measures of all of `epochs`; every number with its data, N and interval.

    repo: the model repository of the card, owner/name-<decoder>; None for the folder of the checkpoint.
    newer: a repository that supersedes it. Raises ValueError if the Hub's client does not accept the card's metadata,
    JSONError if a file of measures or options is damaged.
    """
    import timm

    for each in epochs:
        check_record(Path(each.path, METRICS_FILE), each.metrics)
    if repo is None:
        folder = Path(checkpoint.path).parents[1]
        source, name = folder.name, f"chromagan-{checkpoint.decoder}"
        if folder.name in NAMED_SOURCES:  # a subfolder of the study
            source, name = f"{folder.parent.name}/{folder.name}", f"{name}-{folder.name}"
        network = string_literal(f"{source}/{checkpoint.decoder}/epoch-{checkpoint.epoch}")
    else:
        source, network = repo.removesuffix(f"-{checkpoint.decoder}"), f'"{repo}", revision="epoch-{checkpoint.epoch}"'
        name = repo.split("/")[1]
    spec, metrics = DECODERS[checkpoint.decoder], checkpoint.metrics
    trained_on, measured_on = _training_data(checkpoint), plain_name(metrics.get("data", "data not recorded"))
    curves, split = _address_of_curves(checkpoint), split_of(metrics)
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name="Image colorization",
            dataset_type=_hub_id(metrics.get("data") or "") or measured_on,
            dataset_name=", ".join(
                filter(None, [measured_on, split, f"{metrics['colored'].get('images')} colored photos"])
            ),
            dataset_split=named_split(metrics),
            metric_type=key,
            metric_name=f"{measure_called(key).title}, epoch {checkpoint.epoch}",
            metric_value=value,
            source_name="Training curves" if curves else None,
            source_url=curves,
        )
        for key in MEASURES
        if (value := value_of(metrics, key)) is not None
    ]
    datasets = [hub_id for data in trained_on if (hub_id := _hub_id(data))]
    data = ModelCardData(
        base_model=timm.get_pretrained_cfg(
            ModelConfig.from_dict(read_json(Path(checkpoint.path, CONFIG_FILE))).trunk
        ).hf_hub_id,
        license="apache-2.0",
        library_name="chromagan",
        pipeline_tag="image-to-image",
        tags=["colorization", "chromagan", "safetensors"],
        datasets=datasets or None,
        model_name=name if results else None,
        eval_results=results or None,
        **({"new_version": newer} if newer else {}),
    )
    arguments = f"{string_literal(source)}, decoder={string_literal(checkpoint.decoder)}, epoch={checkpoint.epoch}"
    text = TEMPLATES.get_template("card.md").render(
        yaml=data.to_yaml(), spec=spec, checkpoint=checkpoint, repo=repo, arguments=arguments, network=network,
        measured=_measured_epochs(epochs), trained_on=" and ".join(map(_described, trained_on)), curves=curves,
        newer=newer, saved=_saved_epochs(epochs, repo), hub=constants.ENDPOINT,
    )  # fmt: skip
    return ModelCard(text, ignore_metadata_errors=False)


def refiner_card(folder: Path, source: str, newer: str | None = None) -> ModelCard:
    """The card of the refiner in `folder`, with its measures. source: the study that it belongs to.

    newer: a repository that supersedes it. Raises ValueError if its files are damaged.
    """
    config = RefinerConfig.from_dict(read_json(folder / CONFIG_FILE))
    measured = read_json(folder / METRICS_FILE) if (folder / METRICS_FILE).exists() else None
    check_record(folder / METRICS_FILE, measured or {})
    data = ModelCardData(
        license="apache-2.0", library_name="chromagan", pipeline_tag="image-to-image",
        tags=["colorization", "chromagan", "safetensors", "reinforcement-learning"],
        **({"new_version": newer} if newer else {}),
    )  # fmt: skip

    rows = (measured or {}).get("refined", [])
    headings, cells = refined_table(rows)
    text = TEMPLATES.get_template("refiner_card.md").render(
        yaml=data.to_yaml(), config=config, actions=ACTIONS, source=source, measured=measured,
        arguments=f"{string_literal(source)}, refine={config.steps}",
        place=_place(measured or {}), parameters=sum(p.numel() for p in Refiner(config).parameters()),
        headings=headings, rows=list(zip(rows, cells, strict=True)), newer=newer, hub=constants.ENDPOINT,
    )  # fmt: skip
    return ModelCard(text, ignore_metadata_errors=False)


def _training_data(checkpoint: Checkpoint) -> list[str]:
    """The data sets in the run's options; without options, what it was measured on, which is the same data."""
    path = Path(checkpoint.path).parent / OPTIONS_FILE
    if not path.exists():
        return recorded_data(checkpoint.metrics)
    options = read_json(path)
    check_record(path, options)
    return recorded_data(options)


def _address_of_curves(checkpoint: Checkpoint) -> str | None:
    """The address of the run's curves, if they were tracked publicly."""
    path = Path(checkpoint.path).parent / TRACKER_FILE
    return read_json(path).get("url") if path.exists() else None


def _saved_epochs(epochs: list[Checkpoint], repo: str | None) -> list[dict]:
    """The epochs, ascending, with the address of their files, and why one is recommended: "" for the others, and for
    all if none is measured. It is the one that a program takes that is told no epoch."""
    measured = [value_of(c.metrics, "ciede2000_mean") is not None for c in epochs]
    recommended = recommended_checkpoint(epochs) if any(measured) else None
    why = (
        "the most colorful within 1 % of the lowest CIEDE2000"
        if all(measured)
        else "the newest, since not all are measured"
    )
    place = f"{constants.ENDPOINT}/{repo}/tree/" if repo else ""
    return [
        {"epoch": c.epoch, "address": f"{place}epoch-{c.epoch}", "recommended": why if c == recommended else ""}
        for c in epochs
    ]


def _described(data: str) -> str:
    return IMAGENETTE if "imagenette" in data.lower() else plain_name(data)


def _hub_id(data: str) -> str | None:
    """The Hub id at the start of `data`, such as "owner/name (resized)" or "owner/name@revision"; None without one."""
    match = REPO_ID.match(data)
    if match and data[match.end() : match.end() + 1] in ("", " ", "@") and plain_name(data) == data:
        return match[0]
    return None


def _place(metrics: dict) -> str:
    return place_of(metrics, plain_name(metrics.get("data", "data not recorded")))


def _cell(metrics: dict, key: str) -> str:
    """The value, and its 95 % interval if there is one."""
    value = value_of(metrics, key)
    return "–" if value is None else measure_called(key).text(value, interval_of(metrics, key))


def _measured_epochs(epochs: list[Checkpoint]) -> dict | None:
    """The card's table: the data, the available measures and a row for each epoch; None if nothing was measured."""
    measured = {c.epoch: m for c in epochs if value_of(m := c.metrics, "ciede2000_mean") is not None}
    if not measured:
        return None
    keys = [key for key in MEASURES if any(value_of(m, key) is not None for m in measured.values())]
    first = next(iter(measured.values()))
    return {name: first.get(name) for name in ("size", "preset")} | {
        "place": _place(first),
        "measures": [measure_called(key) for key in keys],
        "rows": [
            {"epoch": epoch, "cells": [_cell(m, key) for key in keys], "photos": measures_of(m).get("images", "–")}
            for epoch, m in measured.items()
        ],
    }
