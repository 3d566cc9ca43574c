"""A study on the Hugging Face Hub: a repository owner/name-<decoder> for each decoder, a tag epoch-<N> for each epoch.

`owner/name` is the study's prefix. Everything here answers within seconds: a short probe checks whether the Hub is
reachable, since the client itself would retry for twenty seconds; if it is not, cached downloads are used.
"""

import math
import os
import queue
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from chromagan.errors import ChromaGANError
from chromagan.hub.files import WEIGHTS_FILE
from chromagan.hub.process_folder import folder_of_process
from chromagan.network.decoders import DECODERS

REPO_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name, also of data sets and studies
EPOCH_TAG = re.compile(r"epoch-(\d+)")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

# Limits, since a visitor of the demo may name any repository.
MOST_BYTES = 1 << 30  # of weights; the largest network of this project, of the `paper` preset, has two thirds of that
MOST_BYTES_OF_JSON = 1 << 20
MOST_EPOCHS = 100  # of a decoder, in a study that a visitor named
MOST_BYTES_KEPT = 8 << 30  # of downloads for visitors
VISITORS_FOLDER = "chromagan-visitors"  # in the Hub's cache, of downloads for visitors
PROBE_SECONDS = 2.0
PROBE_MEMORY = 30.0  # seconds for which a probe's result is reused


class HubError(ChromaGANError, RuntimeError):
    """Something on the Hub that is unavailable: the message says what, and what to do."""


class MissingError(HubError):
    """A file or repository that does not exist: retrying does not help."""


class NotCachedError(HubError):
    """A file that was not downloaded before, and the Hub is out of reach or not to be asked."""


class HubAccess:
    """How studies on the Hub are read. This is how the owner of a machine reads them: with its token, and with all that
    is in its cache."""

    token: bool | None = None  # the client's option: None is this machine's token, False none
    most_epochs: float = math.inf  # of a decoder

    def cache(self, repo: str) -> Path:
        """The client's cache of downloads from `repo`. All that it holds may be used without asking the Hub."""
        return Path(constants.HF_HUB_CACHE)

    def make_room(self, repo: str, size: int) -> None:
        """Called before a file of `repo` is downloaded, with the bytes that the cache will grow by; HubError if there
        is no room for them."""


OWNER = HubAccess()


class VisitorAccess(HubAccess):
    """How a server reads the studies that its visitors name. Safe to use from several threads.

    The token of this machine is not sent, since it would show them its owner's private repositories. Nor is its cache
    used, which may hold them too: what visitors download has a folder of its own, which is this process's, and of which
    `most_bytes` stay.
    """

    token = False

    def __init__(self, most_bytes: int = MOST_BYTES_KEPT, most_epochs: int = MOST_EPOCHS):
        self.most_bytes, self.most_epochs = most_bytes, most_epochs
        self.kept: dict[str, int] = {}  # bytes downloaded of each repository, the longest unused first
        self._folder: Path | None = None  # made for the first visitor who names a study
        self._lock = threading.RLock()

    def cache(self, repo: str) -> Path:
        """One of its own for each repository: in a common one, the client shares equal files between repositories, and
        they would outlive the one that is deleted."""
        with self._lock:
            if self._folder is None:
                try:
                    self._folder = folder_of_process(Path(constants.HF_HUB_CACHE, VISITORS_FOLDER))
                except OSError as error:
                    raise HubError(f"this server cannot store what it downloads: {error.strerror}") from error
            return self._folder / repo.replace("/", "--")

    def make_room(self, repo: str, size: int) -> None:
        """Count `size` bytes that are about to be downloaded; to make room for them, delete the repositories that are
        longest unused. HubError if one repository alone needs more than there is."""
        with self._lock:
            self.kept[repo] = self.kept.pop(repo, 0) + size
            if self.kept[repo] > self.most_bytes:
                self.kept[repo] -= size
                raise HubError(f"this server keeps at most {self.most_bytes / 1e9:.1f} GB of {repo}")
            while sum(self.kept.values()) > self.most_bytes:
                oldest = next(iter(self.kept))
                shutil.rmtree(self.cache(oldest), ignore_errors=True)
                del self.kept[oldest]


def is_prefix(source: str | os.PathLike) -> bool:
    """Whether `source` names a study on the Hub: owner/name, and no local folder has that name."""
    return isinstance(source, str) and REPO_ID.fullmatch(source) is not None and not os.path.isdir(source)


def repository(prefix: str, decoder: str) -> str:
    return f"{prefix}-{decoder}"


def tag(epoch: int) -> str:
    return f"epoch-{epoch}"


def list_epochs(prefix: str, access: HubAccess = OWNER) -> dict[str, list[int]]:
    """The epochs of each decoder of the study `prefix`, ascending; those in the cache if the Hub is out of reach.

    Raises HubError, with the reason, if there are none.
    """
    repos = {decoder: repository(prefix, decoder) for decoder in DECODERS}
    cached = {decoder: _cached_epochs(repo, access) for decoder, repo in repos.items()}
    cached = {decoder: epochs for decoder, epochs in cached.items() if epochs}
    if not reachable():
        if not cached:
            raise NotCachedError(f"{unreachable()}, and nothing of {prefix} was downloaded before: {_remedy()}")
        return cached
    with ThreadPoolExecutor(len(DECODERS)) as pool:
        try:
            listed = list(pool.map(lambda repo: _tagged_epochs(repo, access), repos.values()))
        except HubError:
            if cached:
                return cached
            raise
    found = {decoder: epochs for decoder, epochs in zip(DECODERS, listed, strict=True) if epochs}
    if not found:
        raise HubError(
            f"no study {prefix!r} on the Hub: none of the repositories {prefix}-<decoder> ({', '.join(DECODERS)}) has "
            "a tag epoch-<N>; a private one needs a token (hf auth login)"
        )
    return found


def _tagged_epochs(repo: str, access: HubAccess) -> list[int]:
    """Ascending; empty if the repository does not exist or is private, which the Hub does not distinguish."""
    try:
        refs = HfApi(token=access.token).list_repo_refs(repo)
    except GatedRepoError as error:
        raise HubError(f"{repo} is gated: ask for access on its page") from error
    except RepositoryNotFoundError:
        return []
    except Exception as error:  # network errors are of many kinds, not all of them OSError
        raise HubError(f"the Hub does not list {repo}: {_first_line(error)}") from error
    epochs = sorted(int(match[1]) for ref in refs.tags if (match := EPOCH_TAG.fullmatch(ref.name)))
    if len(epochs) > access.most_epochs:
        raise HubError(f"{repo} has {len(epochs)} tags epoch-<N>, more than {access.most_epochs}")
    return epochs


def download(
    repo: str, revision: str, name: str, access: HubAccess = OWNER, *, local_files_only: bool = False, **options
) -> Path:
    """The file `name` of `repo` at `revision`, from the cache if it is there; HubError if it is unavailable, of kind
    MissingError if it does not exist and NotCachedError if only the Hub could tell.

    Only JSON and safetensors are ever requested. A repository that has only a pickle, which can run arbitrary code when
    it is read, is refused by name. options: those of the client.
    """
    try:
        local = local_files_only or not reachable()
        options = {"token": access.token, "cache_dir": access.cache(repo)} | options
        if not local:
            most = MOST_BYTES if name.endswith(".safetensors") else MOST_BYTES_OF_JSON
            size = get_hf_file_metadata(hf_hub_url(repo, name, revision=revision), token=options["token"]).size
            if size is None or size > most:
                has = "an unknown size" if size is None else f"{size / 1e6:,.0f} MB"
                raise HubError(f"{name} of {repo} has {has}: at most {most / 1e6:,.0f} MB are downloaded")
            cached = try_to_load_from_cache(repo, name, cache_dir=options["cache_dir"], revision=revision)
            access.make_room(repo, 0 if isinstance(cached, str) else size)
        return Path(hf_hub_download(repo, name, revision=revision, local_files_only=local, **options))
    except HubError:
        raise
    except GatedRepoError as error:  # a subclass of the next one
        raise HubError(f"{repo} is gated: ask for access on its page") from error
    except RepositoryNotFoundError as error:
        raise MissingError(f"no repository {repo!r} on the Hub; a private one needs a token (hf auth login)") from error
    except RevisionNotFoundError as error:
        raise HubError(f"{repo} has no tag {revision!r}") from error
    except LocalEntryNotFoundError as error:
        raise _not_cached(repo, revision, name, local_files_only) from error
    except EntryNotFoundError as error:
        instead = _pickle_instead(repo, revision, name, access)
        raise MissingError(f"{repo} ({revision}) has no {name}{instead}") from error
    except Exception as error:
        raise HubError(f"{name} of {repo} ({revision}) could not be downloaded: {_first_line(error)}") from error


def _not_cached(repo: str, revision: str, name: str, local_files_only: bool) -> NotCachedError:
    missing = f"{name} of {repo} ({revision}) was not downloaded before"
    why = missing if local_files_only else f"{unreachable()}, and {missing}"
    return NotCachedError(f"{why}: {_remedy()}")


def _pickle_instead(repo: str, revision: str, name: str, access: HubAccess) -> str:
    if not name.endswith(".safetensors"):
        return ""
    try:
        files = HfApi(token=access.token).list_repo_files(repo, revision=revision)
        pickles = [file for file in files if file.endswith(PICKLES)]
    except Exception:  # then only the missing file is reported
        return ""
    if not pickles:
        return ""
    return f", only {pickles[0]}, a pickle, which is refused because reading it can run code: ask for safetensors"


def reachable() -> bool:
    """Whether the Hub answers, known within PROBE_SECONDS; a result is reused for PROBE_MEMORY."""
    if constants.HF_HUB_OFFLINE:
        return False
    with _probe_lock:
        if time.monotonic() - _probe["at"] > PROBE_MEMORY:
            answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
            # In a thread: resolving a host name has no time limit.
            threading.Thread(target=_ask, args=(answers,), daemon=True).start()
            try:
                _probe["answer"] = answers.get(timeout=PROBE_SECONDS)
            except queue.Empty:
                _probe["answer"] = False
            _probe["at"] = time.monotonic()
        return _probe["answer"]


_probe_lock = threading.Lock()
_probe = {"at": -float("inf"), "answer": False}


def _ask(answers: "queue.SimpleQueue[bool]") -> None:
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS)
        answers.put(True)
    except Exception:  # of any kind: a refused connection is known immediately
        answers.put(False)


def _cached_epochs(repo: str, access: HubAccess) -> list[int]:
    """Epochs whose weights are in the cache: the client keeps a file refs/<tag> for every resolved tag."""
    folder, epochs = access.cache(repo) / f"models--{repo.replace('/', '--')}", []
    for ref in folder.glob("refs/epoch-*"):
        weights = folder / "snapshots" / ref.read_text().strip() / WEIGHTS_FILE
        if (match := EPOCH_TAG.fullmatch(ref.name)) and weights.exists():
            epochs.append(int(match[1]))
    return sorted(epochs)


def unreachable() -> str:
    return "the Hub is switched off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "the Hub is out of reach"


def _remedy() -> str:
    return "connect once, or give a folder of checkpoints such as the shipped checkpoints/"


def _first_line(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code == 401:
        return "it rejected the token: run hf auth login, or set HF_TOKEN again"
    words = str(error)
    for folder in (constants.HF_HUB_CACHE, constants.HF_HOME):  # visitors are not told where they are
        words = words.replace(str(folder), "the cache")
    return " ".join(words.split())[:200] or type(error).__name__
