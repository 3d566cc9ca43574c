"""Whether this machine's token may write to a repository, and why a push failed, in one line."""

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

from chromagan.hub import repositories
from chromagan.hub.checkpoints import CheckpointError


class PublishError(CheckpointError):
    """Something could not be pushed: the message says why and what to do."""


def check_access(to: str) -> None:
    """Raise PublishError, early, for an invalid name, an unreachable Hub, or no token with the right to write."""
    if not repositories.REPO_ID.fullmatch(to):
        raise PublishError(f"{to!r} is not of the form owner/name")
    if not repositories.reachable():
        raise PublishError(f"cannot push to {to}: the Hub is out of reach")
    if not get_token():
        raise PublishError("no token: run hf auth login, or set HF_TOKEN to one that may write")
    try:
        who = HfApi().whoami()
    except Exception as error:
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code == 401
        reason = "run hf auth login, or set HF_TOKEN again" if refused else reason_of(error)
        raise PublishError(f"the Hub rejected the token: {reason}") from error
    if ((who.get("auth") or {}).get("accessToken") or {}).get("role") == "read":
        raise PublishError("the token may only read: set HF_TOKEN to one that may write")
    owner, allowed = to.split("/")[0], {who.get("name"), *(group.get("name") for group in who.get("orgs") or [])}
    if owner not in allowed:
        raise PublishError(f"{who.get('name')} may not write to {owner}, only to {', '.join(sorted(allowed))}")


def reason_of(error: Exception) -> str:
    """Why a request to the Hub failed, in one line."""
    if isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code in (401, 403):
        return "the token may not write there"
    return " ".join(str(error).split())[:200] or type(error).__name__
