"""The card of a model repository: a template, filled with what was measured and with the data that was trained on."""

import os
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from chromagan.hub.checkpoints import Checkpoint, read_json
from chromagan.network.decoders import DECODERS

OPTIONS_FILE = "train.json"  # beside the epochs of a run
MEASURES = {  # of metrics.json: name on the card, how it reads
    "ciede2000_mean": ("CIEDE2000", "lower is nearer to the true colors"),
    "psnr_mean": ("PSNR", "dB; rewards gray, so never without the next"),
    "colorfulness_ratio": ("Colorfulness, of the truth's", "1 is as colorful as the photos"),
    "ssim": ("SSIM", "1 is equal"),
}
HUB_DATASET = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
IMAGENETTE = (
    "Imagenette, ten classes of ImageNet (tench, English springer, cassette player, chain saw, church, French horn, "
    "garbage truck, gas pump, golf ball, parachute)"
)


def model_card(checkpoint: Checkpoint, repo: str | None, epochs: list[Checkpoint]) -> ModelCard:
    """The card of one epoch, with what was measured of all of `epochs`; every number with its data, N and interval.

    repo: the model repository that it is for, owner/name-<decoder>; None: the folder that the checkpoint lies in.
    """
    if repo is None:
        source = Path(checkpoint.path).parents[1].name
        network = f'"{source}/{checkpoint.decoder}/epoch-{checkpoint.epoch}"'
        name, where = f"chromagan-{checkpoint.decoder}", "Every epoch that was saved lies beside this card."
    else:
        source, network = repo.removesuffix(f"-{checkpoint.decoder}"), f'"{repo}", revision="epoch-{checkpoint.epoch}"'
        name = repo.split("/")[1]
        where = "Every epoch that was\nsaved is a tag of this repository; `main` is the newest."
    spec, metrics = DECODERS[checkpoint.decoder], checkpoint.metrics
    trained_on, measured_on = _training_data(checkpoint), plain_name(metrics.get("data", "data not recorded"))
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name="Image colorization",
            dataset_type=next(filter(None, map(_hub_id, _each(metrics.get("data")))), measured_on),
            dataset_name=f"{measured_on}, {metrics.get('split')}, {metrics['colored']['images']} colored photos",
            metric_type=key,
            metric_name=f"{title}, epoch {checkpoint.epoch}",
            metric_value=value,
        )
        for key, (title, _) in MEASURES.items()
        if (value := _measured(metrics, key)) is not None
    ]
    datasets = [hub_id for each in _each(trained_on) if (hub_id := _hub_id(each))]
    data = ModelCardData(
        license="apache-2.0",
        library_name="chromagan",
        pipeline_tag="image-to-image",
        tags=["colorization", "chromagan", "safetensors"],
        datasets=datasets or None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    text = CARD.format(
        yaml=data.to_yaml(), label=spec.label, summary=spec.summary, decoder=checkpoint.decoder, where=where,
        source=source, network=network, epoch=checkpoint.epoch, parameters=f"{spec.num_params:,}",
        measured=_table(epochs), training=_training(trained_on),
    )  # fmt: skip
    return ModelCard(text, ignore_metadata_errors=False)


def _training_data(checkpoint: Checkpoint) -> str | list[str] | None:
    """What the run's options call its data; without them, what it was measured on, which is of the same data set."""
    options = Path(checkpoint.path).parent / OPTIONS_FILE
    recorded = read_json(options) if options.exists() else checkpoint.metrics
    return recorded.get("data")


def _training(data: str | list[str] | None) -> str:
    if data is None:
        return "What it was trained on is not recorded. What was not in it is colored by guess."
    names = [IMAGENETTE if "imagenette" in each.lower() else plain_name(each) for each in _each(data)]
    return f"Trained on {' and '.join(names)}: what is not like these it colors by guess."


def _each(data: str | list[str] | None) -> list[str]:
    """The data sets of a run: one, several, or none that is recorded."""
    return [data] if isinstance(data, str) else list(data or ())


def plain_name(data: str | list[str]) -> str:
    """A data set's name for others to read: of a folder its last part, not where it lies on somebody's machine."""
    if not isinstance(data, str):
        return " and ".join(map(plain_name, data))
    return Path(data).name if os.path.isabs(data) or os.path.isdir(data) or data.startswith((".", "~")) else data


def _hub_id(data: str) -> str | None:
    """The Hub id that `data` begins with, such as "owner/name (resized)" or "owner/name@revision"."""
    match = HUB_DATASET.match(data)
    if match and data[match.end() : match.end() + 1] in ("", " ", "@") and plain_name(data) == data:
        return match[0]
    return None


def _measured(metrics: dict, key: str) -> float | None:
    """One of MEASURES over the colored photos; None where it was not measured."""
    value = metrics.get("colored", {}).get(key)
    return value.get("value") if isinstance(value, dict) else value


def _cell(metrics: dict, key: str) -> str:
    """The value, and its 95 % interval where there is one."""
    if (value := _measured(metrics, key)) is None:
        return "–"
    interval = metrics["colored"][key]
    if not isinstance(interval, dict) or None in (interval.get("low"), interval.get("high")):
        return f"{value:.2f}"
    return f"{value:.2f} ({interval['low']:.2f} to {interval['high']:.2f})"


def _table(epochs: list[Checkpoint]) -> str:
    measured = {c.epoch: m for c in epochs if _measured(m := c.metrics, "ciede2000_mean") is not None}
    if not measured:
        return "Not measured yet: `train/evaluate.py` does it."
    keys = [key for key in MEASURES if any(_measured(m, key) is not None for m in measured.values())]
    lines = [f"| epoch | {' | '.join(MEASURES[key][0] for key in keys)} | photos |", "|--:" * (len(keys) + 2) + "|"]
    for epoch, metrics in measured.items():
        cells = [_cell(metrics, key) for key in keys]
        lines.append(f"| {epoch} | {' | '.join(cells)} | {metrics['colored'].get('images', '–')} |")
    lines += ["", *(f"- {MEASURES[key][0]}: {MEASURES[key][1]}" for key in keys)]
    first = next(iter(measured.values()))
    preset = f", preset `{first['preset']}`" if "preset" in first else ""
    return (
        f"On the {first.get('split')} split of {plain_name(first.get('data', 'data not recorded'))}, gray photos left "
        f"out, at {first.get('size')}×{first.get('size')} on 8-bit sRGB{preset}; in brackets the 95 % bootstrap "
        "interval:\n\n" + "\n".join(lines)
    )


CARD = """---
{yaml}
---

# ChromaGAN, {label} decoder, epoch {epoch}

Colors gray photos. This is the generator of ChromaGAN (Vitoria, Raad and Ballester, WACV 2020) with the `{decoder}`
decoder ({summary}; {parameters} parameters), one of five that a study trains alike and compares. {where}

## Use

```python
from PIL import Image
from chromagan import Colorizer

colorizer = Colorizer.from_pretrained("{source}", decoder="{decoder}", epoch={epoch})
colorizer(Image.open("photo.jpg")).save("colored.jpg")
```

The photo keeps its size, and its lightness at full resolution. The network alone, lightness in [-1, 1] to ab in
[-1, 1], is `ChromaGAN.from_pretrained({network})`. Weights are float16 safetensors.

## Measured

{measured}

## Training data and limits

{training} Colors are plausible at best, never the photo's own; do not take them for evidence of what something looked
like. The run's options, where they are known, are in `train.json`.

## Licence and citation

Apache-2.0. The networks were written anew from the paper; the trunk starts from ImageNet weights.

```bibtex
@inproceedings{{vitoria2020chromagan,
  title     = {{ChromaGAN: Adversarial Picture Colorization with Semantic Class Distribution}},
  author    = {{Vitoria, Patricia and Raad, Lara and Ballester, Coloma}},
  booktitle = {{IEEE Winter Conference on Applications of Computer Vision (WACV)}},
  year      = {{2020}}
}}
```
"""
