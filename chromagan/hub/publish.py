"""Publish a study on the Hub: a model repository for each decoder, a tag for each epoch, a card with the measures.

Every commit is one complete epoch: weights, config, measures, the run's options, card. What the Hub already holds is
recognized by its hash and left alone, so that an interrupted push can be resumed and a repeated one changes nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    hf_hub_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.sha import git_hash

from chromagan.errors import ChromaGANError
from chromagan.hub import repositories
from chromagan.hub.access import PublishError, check_access, reason_of
from chromagan.hub.checkpoints import Checkpoint, CheckpointError, list_checkpoints, load_checkpoint
from chromagan.hub.files import (
    CARD_FILE,
    CONFIG_FILE,
    METRICS_FILE,
    OPTIONS_FILE,
    WEIGHTS_FILE,
    check_record,
    names_of,
    plain_name,
    read_json,
    recorded_data,
)
from chromagan.hub.model import reading
from chromagan.hub.model_card import model_card, refiner_card
from chromagan.hub.refiners import REFINER, find_refiner, has_refiner, read_refiner
from chromagan.hub.trunks import find_trunk, read_trunk
from chromagan.network.config import ModelConfig
from chromagan.network.refiner import RefinerConfig


def publish(
    source: str | Path, to: str, *, private: bool = False, collection: bool = False, say: Callable[[str], None] = print
) -> None:
    """Push every checkpoint of the folder `source` to owner/name-<decoder>, with a line to `say` for each.

    The source's refiner, if it has one, goes to owner/name-refiner. Everything that is not on the Hub already is read
    first, so that one damaged file does not leave half a study there.
    private: make new repositories private; existing ones stay as they are. collection: gather them in a collection with
    the study's name. Raises CheckpointError for the source, PublishError for the Hub.
    """
    checkpoints = list_checkpoints(source)
    if any(checkpoint.revision for checkpoint in checkpoints):
        raise PublishError(f"{source} is on the Hub already: give a folder of checkpoints")
    check_access(to)
    by_repo: dict[str, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        by_repo.setdefault(repositories.repository(to, checkpoint.decoder), []).append(checkpoint)
    repos = list(by_repo)
    try:
        same = {each: check_epoch(each, repo, epochs) for repo, epochs in by_repo.items() for each in epochs}
        refiner = find_refiner(source) if has_refiner(source) else None
        if refiner and (reason := check_refiner(refiner, to, checkpoints)):
            say(f"{refiner} is not pushed: {reason}")
            refiner = None
        for repo, epochs in by_repo.items():
            HfApi().create_repo(repo, private=private, exist_ok=True)
            for checkpoint in epochs:
                say(_told(checkpoint, repo, _push(checkpoint, repo, epochs, same[checkpoint])))
            # A run may have saved more epochs since, and pushed them itself: main must not become an older one again.
            for checkpoint in list_checkpoints(source):
                if checkpoint.decoder == epochs[0].decoder and checkpoint not in epochs:
                    epochs = sorted([*epochs, checkpoint])
                    say(_told(checkpoint, repo, push_epoch(checkpoint, repo, epochs)))
            # Epochs may have been pushed in another order, or an older one measured again: make main the newest.
            commit_epoch(epochs[-1], repo, epochs)
        if refiner:
            repos.append(repositories.repository(to, REFINER))
            HfApi().create_repo(repos[-1], private=private, exist_ok=True)
            say(f"{repos[-1]}: {_outcome(push_refiner(refiner, repos[-1], to))}")
        if collection:
            _collect(to, repos, private)
    except CheckpointError:
        raise
    except ChromaGANError as error:  # a damaged file of the source: running the command again would not help
        raise PublishError(str(error)) from error
    except Exception as error:  # network errors are of many kinds
        raise PublishError(f"the push to {to} stopped: {reason_of(error)}; run the command again to resume") from error


def _told(checkpoint: Checkpoint, repo: str, pushed: bool) -> str:
    return f"{repo} {repositories.tag(checkpoint.epoch)}: {_outcome(pushed)}"


def _outcome(pushed: bool) -> str:
    return "pushed" if pushed else "already there"


def check_epoch(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint]) -> bool | None:
    """Whether the checkpoint's tag in `repo` holds it and its measures; None if there is no such tag. If it does not,
    the checkpoint is read as its users will: raises CheckpointError if it cannot be loaded or has no card."""
    with reading(f"checkpoint {checkpoint}", Path(checkpoint.path)):
        files = _files_of(checkpoint)
    same = _same_as_tagged(repo, repositories.tag(checkpoint.epoch), files)
    if not same:
        load_checkpoint(checkpoint)
    if not same or checkpoint == epochs[-1]:
        with _making_card(Path(checkpoint.path)):
            model_card(checkpoint, repo, epochs)
    return same


def check_refiner(folder: Path, study: str, checkpoints: list[Checkpoint]) -> str | None:
    """Why the refiner in `folder` can refine the colorings of none of the checkpoints; None if it can, of one at least.

    Raises CheckpointError if it or its trunk cannot be loaded, or no card can be made of it.
    """
    name = f"refiner {folder}"
    config = read_refiner(folder, name).config
    with reading(name, folder):
        _files(folder, folder, RefinerConfig)
        if config.trunk_digest:
            read_trunk(find_trunk(folder, config.trunk), config.trunk_digest)
    reasons = [config.incompatibility(ModelConfig.from_dict(read_json(each.file(CONFIG_FILE)))) for each in checkpoints]
    if all(reasons):
        return reasons[0]
    with _making_card(folder):
        refiner_card(folder, study)
    return None


@contextlib.contextmanager
def _making_card(folder: Path) -> Iterator[None]:
    """A context for making the card of the network in `folder`: measures of an odd form become a PublishError."""
    try:
        yield
    except ChromaGANError:  # names its file
        raise
    except Exception as error:  # a file of measures may hold anything
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise PublishError(f"no card can be made of {folder / METRICS_FILE} ({reason}): measure again") from error


def push_epoch(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint]) -> bool:
    """Commit one epoch and tag it, unless the tag already has the same content; return whether anything was pushed.

    epochs: all known epochs of the decoder, for the card's table. Raises CheckpointError for one that cannot be loaded.
    """
    return _push(checkpoint, repo, epochs, check_epoch(checkpoint, repo, epochs))


def _push(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint], same: bool | None) -> bool:
    """Like `push_epoch`. same: what `check_epoch` returned."""
    if same:
        return False
    api, name = HfApi(), repositories.tag(checkpoint.epoch)
    commit = commit_epoch(checkpoint, repo, epochs)
    if same is not None:  # measured or trained again
        api.delete_tag(repo, tag=name)
    try:
        api.create_tag(repo, tag=name, revision=commit)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        api.delete_tag(repo, tag=name)  # another push has made it since, perhaps of other measures
        api.create_tag(repo, tag=name, revision=commit, exist_ok=True)
    return True


def push_refiner(folder: Path, repo: str, study: str) -> bool:
    """Commit the refiner in `folder`: weights, config, trunk, measures, options, card. Without changes the client makes
    no commit; return whether it made one."""
    before = HfApi().model_info(repo).sha
    card = refiner_card(folder, study, _newer_version(repo))
    return _commit_files(_files(folder, folder, RefinerConfig), card, repo, "The refiner") != before


def commit_epoch(checkpoint: Checkpoint, repo: str, epochs: list[Checkpoint]) -> str:
    """Commit this epoch to main and return the commit's id. Without changes the client makes no commit."""
    card = model_card(checkpoint, repo, epochs, _newer_version(repo))
    return _commit_files(_files_of(checkpoint), card, repo, f"Epoch {checkpoint.epoch}")


def _commit_files(files: dict[str, bytes], card: ModelCard, repo: str, message: str) -> str:
    """Commit the files of a network and its card to main and return the commit's id."""
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations.append(CommitOperationAdd(CARD_FILE, str(card).encode()))
    # main may have files of the network before that this one lacks: they would be taken for this one's.
    absent = [name for name in (METRICS_FILE, OPTIONS_FILE) if name not in files]
    if absent:
        operations += [CommitOperationDelete(file.path) for file in HfApi().get_paths_info(repo, absent)]
    return HfApi().create_commit(repo, operations, commit_message=message).oid


def _newer_version(repo: str) -> str | None:
    """The repository that supersedes `repo`, according to its card: kept when an older study is pushed again."""
    try:
        return ModelCard.load(hf_hub_download(repo, CARD_FILE)).data.get("new_version")
    except RemoteEntryNotFoundError:  # not for a Hub out of reach: the card would forget it
        return None


def _files_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    """{name in the repository: content} of the existing files of a checkpoint."""
    return _files(Path(checkpoint.path), Path(checkpoint.path).parent, ModelConfig)


def _files(folder: Path, run: Path, kind: type[ModelConfig | RefinerConfig]) -> dict[str, bytes]:
    """The files of the network in `folder`, with its trunk, and the options of its `run`. kind: of its config."""
    files = {name: (folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)}
    config = kind.from_dict(read_json(folder / CONFIG_FILE))
    if config.trunk_digest:
        path = find_trunk(folder, config.trunk)
        files[path.name] = path.read_bytes()
    for name, path in ((METRICS_FILE, folder / METRICS_FILE), (OPTIONS_FILE, run / OPTIONS_FILE)):
        if path.exists():
            values = read_json(path)
            check_record(path, values)
            files[name] = (json.dumps(without_paths(values), indent=2) + "\n").encode()
    return files


def without_paths(values: dict) -> dict:
    """A run's recorded values without the paths of the machine on which it ran."""
    public = {name: value for name, value in values.items() if name not in ("output_dir", "cache_dir")}
    if "source" in public:  # whose colorings a refiner was trained on
        public["source"] = plain_name(str(public["source"]))
    data = public.get("data")
    if data is not None:
        public["data"] = plain_name(data) if isinstance(data, str) else list(map(plain_name, recorded_data(values)))
    if "sources" in public:  # for several data sets, how many photos each had
        sources = public["sources"]
        public["sources"] = [source | {"data": name} for source, name in zip(sources, names_of(sources), strict=True)]
    return public


def _same_as_tagged(repo: str, name: str, files: dict[str, bytes]) -> bool | None:
    """Whether the tag `name` holds the `files` of a checkpoint; None if there is no such tag.

    The run's options are ignored: they change for all epochs when a run resumes, and main has the newest.
    """
    files = {file: content for file, content in files.items() if file != OPTIONS_FILE}
    try:
        tagged = HfApi().get_paths_info(repo, [*files, METRICS_FILE], revision=name)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None
    known = {file.path: file for file in tagged}
    return set(known) == set(files) and all(
        known[file].lfs.sha256 == hashlib.sha256(content).hexdigest()
        if known[file].lfs
        else known[file].blob_id == git_hash(content)
        for file, content in files.items()
    )


def _collect(to: str, repos: list[str], private: bool) -> None:
    """Create a collection with the study's name that holds every repository once."""
    api = HfApi()
    owner, name = to.split("/")
    collection = api.create_collection(title=name, namespace=owner, private=private, exists_ok=True)
    for repo in repos:
        api.add_collection_item(collection.slug, item_id=repo, item_type="model", exists_ok=True)
