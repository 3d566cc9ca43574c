"""The cards of an older study on the Hub name a newer one."""

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, hf_hub_download

from chromagan.hub import repositories
from chromagan.hub.access import PublishError, check_access, reason_of
from chromagan.hub.files import CARD_FILE
from chromagan.hub.refiners import REFINER
from chromagan.network.decoders import DECODERS


def check_superseded(older: str) -> None:
    """Raise PublishError if `older` is not a study on the Hub that the token may write to."""
    check_access(older)
    try:
        there = any(HfApi().repo_exists(repositories.repository(older, decoder)) for decoder in DECODERS)
    except Exception as error:
        raise PublishError(f"{older} cannot be looked up: {reason_of(error)}") from error
    if not there:
        raise PublishError(f"no study {older!r} on the Hub that could be superseded")


def supersede(older: str, to: str) -> list[str]:
    """Make the cards of the study `older` name the repositories of the study `to` as newer; return the changed ones.

    Decoders and a refiner that `to` does not have are left unchanged. Raises PublishError if `older` is not a study
    that the token may write to.
    """
    check_access(older)
    changed: list[str] = []
    try:
        there = [
            network
            for network in (*DECODERS, REFINER)
            if all(HfApi().repo_exists(repositories.repository(study, network)) for study in (older, to))
        ]
        for network in there:
            repo = repositories.repository(older, network)
            card = ModelCard.load(hf_hub_download(repo, CARD_FILE))
            card.data["new_version"] = repositories.repository(to, network)
            operations = [CommitOperationAdd(CARD_FILE, str(card).encode())]
            HfApi().create_commit(repo, operations, commit_message="Name a newer version")
            changed.append(repo)
    except Exception as error:
        done = f"only those of {', '.join(changed)} were" if changed else "none was"
        raise PublishError(f"not all cards of {older} could be changed, {done}: {reason_of(error)}") from error
    if not there:
        raise PublishError(f"no study {older!r} on the Hub that {to!r} could supersede")
    return changed
