"""The epochs of a run are pushed to the Hub while it goes on."""

import queue
import shlex
import threading
from pathlib import Path

from huggingface_hub import HfApi

from chromagan.hub import repositories
from chromagan.hub.access import check_access, reason_of
from chromagan.hub.checkpoints import list_checkpoints
from chromagan.hub.publish import commit_epoch, push_epoch


class BackgroundPublisher:
    """Pushes the saved epochs of a run in a background thread. A failed push never stops training."""

    def __init__(self, to: str, decoder: str, run: Path, *, private: bool = False):
        """run: the folder with <decoder>/epoch-<N> in it. Raises PublishError immediately for a name or a token that
        cannot be used."""
        check_access(to)
        self.repo, self.decoder, self.run, self.private = repositories.repository(to, decoder), decoder, run, private
        self.failures: list[str] = []
        self.waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, daemon=True)  # so that a killed run does not wait for it
        self.thread.start()

    def epoch_saved(self, epoch: int) -> None:
        """Queue a completed epoch for pushing, after those before it. Returns immediately."""
        self.waiting.put(epoch)

    def close(self) -> list[str]:
        """Wait until everything is pushed; return a line for every epoch that was not."""
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
                    # A resumed run may have pushed an older epoch again, which is then main: make it the newest.
                    commit_epoch(checkpoint, self.repo, epochs)
            except Exception as error:
                again = ["python", "-m", "chromagan", "publish", "--source", str(self.run)]
                again += ["--to", self.repo.removesuffix(f"-{self.decoder}")]
                failure = f"epoch {epoch} was not pushed to {self.repo}: {reason_of(error)}; {shlex.join(again)}"
                self.failures.append(failure)
