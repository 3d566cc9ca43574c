"""A progress bar for several threads, and lines of text that do not tear it."""

import sys
import threading

from tqdm import tqdm

from chromagan.programs import printable


class Progress:
    """A context with a bar over the pictures to make: each page of each photo, by each network. For a single picture
    there is none, and at the end the bar shows what was made: fewer, if photos failed."""

    def __init__(self, name: str, pictures: int):
        self._name, self._lock = name, threading.Lock()
        self._draw(pictures)

    def _draw(self, pictures: int) -> None:
        self._bar = tqdm(desc=self._name, total=pictures, unit=" pictures", disable=pictures < 2)

    def expect(self, more: int) -> None:
        """Expect so many pictures more than before: the pages of a photo are known when it is read."""
        with self._lock:
            if more and self._bar.disable:
                self._draw(self._bar.total + more)
            else:
                self._bar.total += more

    def advance(self) -> None:
        """One picture is made."""
        with self._lock:
            self._bar.update()

    def say(self, line: str) -> None:
        """Write a line to standard error, above the bar."""
        with self._lock:
            self._bar.write(printable(line), file=sys.stderr)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()
