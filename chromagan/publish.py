"""A study to the Hub: a model repository for each decoder, a tag for each epoch, a card with what was measured.

Every commit is one epoch, whole: weights, config, measures, the run's options, card. What the Hub holds already is
recognized by the content's hash and left alone, so that an interrupted push goes on and a repeated one changes nothing.
"""

import hashlib
import json
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, EvalResult, HfApi, ModelCard, ModelCardData, get_token
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from chromagan import hub
from chromagan.checkpoints import METRICS_FILE, Checkpoint, CheckpointError, list_checkpoints, read_json
from chromagan.data import IMAGENETTE
from chromagan.decoders import DECODERS
from chromagan.generator import CONFIG_FILE, WEIGHTS_FILE

IMAGENETTE_CLASSES = """Imagenette, ten classes of ImageNet (tench, English springer, cassette player, chain saw,
church, French horn, garbage truck, gas pump, golf ball, parachute)"""
OPTIONS_FILE = "train.json"  # beside the epochs of a run
CARD_FILE = "README.md"
MEASURES = {  # of metrics.json: name on the card, unit, how it reads
    "ciede2000_mean": ("CIEDE2000", "lower is nearer to the true colors"),
    "psnr_mean": ("PSNR", "dB; rewards gray, so never without the next"),
    "colorfulness_ratio": ("Colorfulness, of the truth's", "1 is as colorful as the photos"),
    "ssim_mean": ("SSIM", "1 is equal"),
}
SPACE_FILES = ["app.py", "README.md", "requirements.txt", "LICENSE", "chromagan/**", "examples/**", "checkpoints/**"]


class PublishError(CheckpointError):
    """Nothing could be pushed: the message says why and what to do."""


def publish(
    source: str | Path, to: str, *, private: bool = False, collection: bool = False, say: Callable[[str], None] = print
) -> None:
    """Push every checkpoint of the folder `source` to owner/name-<decoder>, a line to `say` for each.

    private: repositories that are made now are private; existing ones stay as they are. collection: gather them in a
    collection of the study's name. Raises CheckpointError for the source, PublishError for the Hub.
    """
    checkpoints = list_checkpoints(source)
    if any(checkpoint.revision for checkpoint in checkpoints):
        raise PublishError(f"{source} is on the Hub already: give a folder of checkpoints")
    check_access(to)
    try:
        for decoder in dict.fromkeys(checkpoint.decoder for checkpoint in checkpoints):
            epochs = [checkpoint for checkpoint in checkpoints if checkpoint.decoder == decoder]
            repo = hub.repository(to, decoder)
            HfApi().create_repo(repo, private=private, exist_ok=True)
            for checkpoint in epochs:
                pushed = push_epoch(checkpoint, repo, epochs)
                say(f"{repo} {hub.tag(checkpoint.epoch)}: {'pushed' if pushed else 'there already'}")
            # A run may have been pushed in another order, and an older epoch measured anew: main is the newest.
            _commit(epochs[-1], repo, epochs)
        if collection:
            _collect(to, [hub.repository(to, decoder) for decoder in {c.decoder: None for c in checkpoints}])
    except PublishError:
        raise
    except Exception as error:  # the network's errors are of many kinds
        raise PublishError(f"the push to {to} stopped: {_reason(error)}; the same command goes on") from error


def check_access(to: str) -> None:
    """PublishError, at once, for a name that no repository can have, no Hub, no token, or one without the right."""
    if not hub.PREFIX.fullmatch(to):
        raise PublishError(f"{to!r} is not owner/name")
    if not hub.reachable():
        raise PublishError(f"cannot push to {to}: the Hub is out of reach")
    if not get_token():
        raise PublishError("no token: hf auth login, or set HF_TOKEN to one that may write")
    try:
        who = HfApi().whoami()
    except Exception as error:
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code == 401
        reason = "hf auth login, or set HF_TOKEN anew" if refused else _reason(error)
        raise PublishError(f"the Hub does not take the token: {reason}") from error
    owner, allowed = to.split("/")[0], {who.get("name"), *(group.get("name") for group in who.get("orgs") or [])}
    if owner not in allowed:
        raise PublishError(f"{who.get('name')} may not write to {owner}: its owners are {', '.join(sorted(allowed))}")


def push_epoch(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint]) -> bool:
    """Commit one epoch and tag it, unless the tag is there with the same content; whether anything was pushed.

    epochs: what is known of the same decoder, for the card's table.
    """
    api, name = HfApi(), hub.tag(checkpoint.epoch)
    same = _same_as_tagged(repo, name, _files(checkpoint))
    if same:
        return False
    commit = _commit(checkpoint, repo, epochs)
    if same is not None:  # measured anew, or trained anew
        api.delete_tag(repo, tag=name)
    api.create_tag(repo, tag=name, revision=commit, exist_ok=True)
    return True


def _commit(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint]) -> str:
    """Make main this epoch; the commit's id. The client makes no commit where nothing differs."""
    operations = [CommitOperationAdd(name, content) for name, content in _files(checkpoint).items()]
    operations.append(CommitOperationAdd(CARD_FILE, str(model_card(checkpoint, repo, epochs)).encode()))
    return HfApi().create_commit(repo, operations, commit_message=f"Epoch {checkpoint.epoch}").oid


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Name in the repository -> content, of those that are there."""
    folder = Path(checkpoint.path)
    files = {name: (folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)}
    for name, path in ((METRICS_FILE, folder / METRICS_FILE), (OPTIONS_FILE, folder.parent / OPTIONS_FILE)):
        if path.exists():
            files[name] = _without_paths(read_json(path))
    return files


def _without_paths(values: dict) -> bytes:
    """JSON of what a run wrote, without the paths of the machine that it ran on."""
    public = {name: value for name, value in values.items() if name not in ("output_dir", "cache_dir")}
    if "data" in public:
        public["data"] = _data_name(public["data"])
    return (json.dumps(public, indent=2) + "\n").encode()


def _same_as_tagged(repo: str, name: str, files: dict[str, bytes]) -> bool | None:
    """Whether the tag `name` holds exactly the content of `files`; None where there is no such tag."""
    try:
        known = {file.path: file for file in HfApi().get_paths_info(repo, list(files), revision=name)}
    except RevisionNotFoundError:
        return None
    return set(known) == set(files) and all(
        (known[file].lfs.sha256 if known[file].lfs else known[file].blob_id) in _hashes(content)
        for file, content in files.items()
    )


def _hashes(content: bytes) -> tuple[str, str]:
    """The ids that the Hub gives to a content: git's for a small file, SHA-256 for a large one."""
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
    return git, hashlib.sha256(content).hexdigest()


def model_card(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint]) -> ModelCard:
    """The card of one epoch, with what was measured of all of `epochs`; every number with its data, N and epoch."""
    spec, metrics = DECODERS[checkpoint.decoder], checkpoint.metrics
    options = Path(checkpoint.path).parent / OPTIONS_FILE
    trained_on = read_json(options).get("data") if options.exists() else None
    imagenette = _is_imagenette(trained_on or metrics.get("data") or IMAGENETTE)
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name="Image colorization",
            dataset_type=IMAGENETTE if _is_imagenette(metrics.get("data")) else "photos",
            dataset_name=f"{_data_name(metrics.get('data'))}, {metrics.get('split', 'validation')}, "
            f"{metrics['colored'].get('images', '?')} colored photos",
            metric_type=key,
            metric_name=f"{title}, epoch {checkpoint.epoch}",
            metric_value=value,
        )
        for key, (title, _) in MEASURES.items()
        if (value := _measured(metrics, key)) is not None
    ]
    data = ModelCardData(
        license="apache-2.0",
        library_name="chromagan",
        pipeline_tag="image-to-image",
        tags=["colorization", "chromagan", "safetensors"],
        datasets=[IMAGENETTE] if imagenette else None,
        model_name=repo.split("/")[1] if results else None,
        eval_results=results or None,
    )
    prefix = repo.removesuffix(f"-{checkpoint.decoder}")
    text = CARD.format(
        yaml=data.to_yaml(), label=spec.label, summary=spec.summary, decoder=checkpoint.decoder, repo=repo,
        prefix=prefix, epoch=checkpoint.epoch, parameters=f"{spec.num_params:,}", measured=_table(epochs),
        data=IMAGENETTE_CLASSES if imagenette else _data_name(trained_on),
    )  # fmt: skip
    return ModelCard(text, ignore_metadata_errors=False)


def _is_imagenette(data: str | None) -> bool:
    return "imagenette" in str(data).lower()


def _data_name(data: str | None) -> str:
    """What a card calls the data: a path of somebody's machine by its last part only."""
    path = Path(data or "data that its run does not name")
    return path.name if path.is_absolute() or str(data).startswith((".", "~")) else str(path)


def _measured(metrics: dict, key: str) -> float | None:
    """One of MEASURES over the colored photos; None where it was not measured."""
    value = metrics.get("colored", {}).get(key)
    return value.get("value") if isinstance(value, dict) else value


def _table(epochs: list[Checkpoint]) -> str:
    measured = {c.epoch: c.metrics for c in epochs if _measured(c.metrics, "ciede2000_mean") is not None}
    if not measured:
        return "Not measured yet: `train/evaluate.py` does it."
    keys = [key for key in MEASURES if any(_measured(m, key) is not None for m in measured.values())]
    lines = [f"| epoch | {' | '.join(MEASURES[key][0] for key in keys)} | photos |", "|--:" * (len(keys) + 2) + "|"]
    for epoch, metrics in measured.items():
        values = [_measured(metrics, key) for key in keys]
        cells = ["–" if value is None else f"{value:.2f}" for value in values]
        lines.append(f"| {epoch} | {' | '.join(cells)} | {metrics['colored'].get('images', '?')} |")
    first = next(iter(measured.values()))
    lines += ["", *(f"- {MEASURES[key][0]}: {MEASURES[key][1]}" for key in keys)]
    preset = f", preset `{first['preset']}`" if "preset" in first else ""
    return (
        f"On the {first.get('split')} split of {_data_name(first.get('data'))}, gray photos left out, at "
        f"{first.get('size')}×{first.get('size')} on 8-bit sRGB{preset}:\n\n" + "\n".join(lines)
    )


CARD = """---
{yaml}
---

# ChromaGAN, {label} decoder, epoch {epoch}

Colors gray photos. This is the generator of ChromaGAN (Vitoria, Raad and Ballester, WACV 2020) with the `{decoder}`
decoder ({summary}; {parameters} parameters), one of five that a study trains alike and compares. Every epoch that was
saved is a tag of this repository; `main` is the newest.

## Use

```python
from PIL import Image
from chromagan import Colorizer

colorizer = Colorizer.from_pretrained("{prefix}", decoder="{decoder}", epoch={epoch})
colorizer(Image.open("photo.jpg")).save("colored.jpg")
```

The photo keeps its size, and its lightness at full resolution. The network alone, lightness in [-1, 1] to ab in
[-1, 1], is `ChromaGAN.from_pretrained("{repo}", revision="epoch-{epoch}")`. Weights are float16 safetensors.

## Measured

{measured}

## Training data and limits

Trained on {data}: what is not like these it colors by guess. Colors are plausible at
best, never the photo's own; do not take them for evidence of what something looked like. `train.json` has the run's
options.

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


def _collect(to: str, repos: list[str]) -> None:
    """A collection of the study's name, with every repository in it once."""
    api = HfApi()
    owner, name = to.split("/")
    collection = api.create_collection(title=name, namespace=owner, exists_ok=True)
    for repo in repos:
        api.add_collection_item(collection.slug, item_id=repo, item_type="model", exists_ok=True)


def publish_space(root: Path, to: str, *, source: str = "", private: bool = False) -> str:
    """Make the Gradio Space owner/space and fill it with the demo in `root`, a clone of this project; its address.

    source: a Hub prefix that the Space shows in place of the shipped checkpoints. PublishError where it cannot be.
    """
    if not (root / "app.py").is_file():
        raise PublishError(f"no app.py in {root}: a Space is made from a clone of this project, run it there")
    check_access(to)
    try:
        api = HfApi()
        api.create_repo(to, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        if source:
            api.add_space_variable(to, "CHROMAGAN_SOURCE", source)
        api.upload_folder(
            repo_id=to, repo_type="space", folder_path=root, allow_patterns=SPACE_FILES,
            ignore_patterns=["**/__pycache__/**"], commit_message="The demo",
        )  # fmt: skip
    except Exception as error:
        raise PublishError(f"the Space {to} was not filled: {_reason(error)}; the same command goes on") from error
    return f"{HfApi().endpoint}/spaces/{to}"


class BackgroundPublisher:
    """Pushes the saved epochs of a run while it trains, in a thread of its own. A failed push never stops training."""

    def __init__(self, to: str, decoder: str, run: Path, *, private: bool = False):
        """run: the folder of runs, with <decoder>/epoch-<N> in it. PublishError, at once, for a name or a token that
        cannot do."""
        check_access(to)
        self.repo, self.decoder, self.run, self.private = hub.repository(to, decoder), decoder, run, private
        self.failures: list[str] = []
        self.waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, daemon=True)  # a killed run does not wait for it
        self.thread.start()

    def epoch_saved(self, epoch: int) -> None:
        """The epoch's folder is complete: push it when those before it are. Returns at once."""
        self.waiting.put(epoch)

    def close(self) -> list[str]:
        """Wait until everything is pushed; a line for every epoch that was not."""
        self.waiting.put(None)
        self.thread.join()
        return self.failures

    def _work(self) -> None:
        while (epoch := self.waiting.get()) is not None:
            try:
                HfApi().create_repo(self.repo, private=self.private, exist_ok=True)
                epochs = [c for c in list_checkpoints(self.run) if c.decoder == self.decoder]
                (checkpoint,) = (c for c in epochs if c.epoch == epoch)
                pushed = push_epoch(checkpoint, self.repo, epochs)
                if not pushed and checkpoint == epochs[-1]:
                    # A resumed run may have saved an older epoch anew, which then is main: the newest is to be.
                    _commit(checkpoint, self.repo, epochs)
            except Exception as error:
                self.failures.append(
                    f"epoch {epoch} was not pushed to {self.repo}: {_reason(error)}; "
                    f"python -m chromagan publish --source {self.run} --to {self.repo.removesuffix(f'-{self.decoder}')}"
                )


def _reason(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code in (401, 403):
        return "the token may not write there"
    return " ".join(str(error).split())[:200] or type(error).__name__
