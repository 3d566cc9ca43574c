"""A Space of the demo on the Hub, from a clone of this project."""

from pathlib import Path

from huggingface_hub import HfApi

from chromagan.hub import repositories
from chromagan.hub.access import PublishError, check_access, reason_of

SOURCE_VARIABLE = "CHROMAGAN_SOURCE"  # of a Space: the source that app.py shows
SPACE_FILES = [
    "app.py", "README.md", "docs/**", "requirements.txt", "LICENSE", "chromagan/**", "examples/**", "checkpoints/**",
]  # fmt: skip
# What may lie among them without being part of the demo: hidden files, and what a run leaves next to its epochs.
NO_SPACE_FILES = [
    "*/__pycache__/*", "*/.*", "checkpoints/*/state-*", "checkpoints/*/samples/*", "checkpoints/*/tracker.json",
    "checkpoints/*/tensorboard/*", "checkpoints/*.txt", "checkpoints/report/*",
]  # fmt: skip


def publish_space(root: Path, to: str, *, source: str = "", private: bool = False) -> str:
    """Create or update the Gradio Space `to` with the demo in `root`, a clone of this project; return its address.

    source: a Hub prefix that the Space shows instead of the shipped checkpoints. Raises PublishError if it fails.
    """
    if not (root / "app.py").is_file():
        raise PublishError(f"no app.py in {root}: a Space is made from a clone of this project: run it there")
    if source and not repositories.REPO_ID.fullmatch(source):
        raise PublishError(f"a Space shows a study on the Hub, owner/name, not {source!r}")
    check_access(to)
    try:
        api = HfApi()
        api.create_repo(to, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        if source:
            api.add_space_variable(to, SOURCE_VARIABLE, source)
        elif SOURCE_VARIABLE in api.get_space_variables(to):  # from an earlier call
            api.delete_space_variable(to, SOURCE_VARIABLE)
        api.upload_folder(
            repo_id=to, repo_type="space", folder_path=root, allow_patterns=SPACE_FILES,
            ignore_patterns=NO_SPACE_FILES, delete_patterns=SPACE_FILES, commit_message="The demo",
        )  # fmt: skip
    except Exception as error:
        raise PublishError(
            f"the Space {to} is incomplete: {reason_of(error)}; run the command again to resume"
        ) from error
    return f"{HfApi().endpoint}/spaces/{to}"
