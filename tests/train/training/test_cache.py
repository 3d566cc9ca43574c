"""The disk cache: what is computed once, by whom, and when it is computed anew."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from train.training.cache import cached


def test_cached_tensors_are_made_once_and_again_when_anything_changes(tmp_path):
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    calls = []

    def make(images):
        calls.append(1)
        return {"sum": images.float().sum(dim=(1, 2, 3))}

    first = cached(tmp_path, "sums", images, "net a", make)
    assert torch.equal(cached(tmp_path, "sums", images, "net a", make)["sum"], first["sum"]) and len(calls) == 1
    cached(tmp_path, "sums", images, "net b", make)
    assert len(calls) == 2
    images[1, 2, 3, 3] = 1  # one pixel
    assert cached(tmp_path, "sums", images, "net a", make)["sum"].tolist() == [0, 1] and len(calls) == 3
    assert not list(tmp_path.glob("*.part"))
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])  # torn: computed again
    assert cached(tmp_path, "sums", images, "net a", make)["sum"].tolist() == [0, 1] and len(calls) == 4


def test_what_several_processes_want_at_once_is_computed_by_one(tmp_path):
    """What differs in the last bit between two computations would be another start for each decoder of a study."""
    images, calls, together = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), [], threading.Barrier(4, timeout=10)

    def make(images):
        calls.append(1)
        time.sleep(0.2)
        return {"number": torch.rand(3)}

    def want(_):
        together.wait()
        return cached(tmp_path, "numbers", images, "net", make)["number"]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(want, range(4)))
    assert len(calls) == 1 and all(torch.equal(found[0], other) for other in found)


def test_a_folder_that_cannot_be_made_is_named_with_its_option(tmp_path, monkeypatch):
    """Also that of a user without a home: "~", which would be a folder where the run was started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for folder, reason in ((tmp_path / "file" / "x", "Not a directory"), (Path("~/.cache"), "this user has no home")):
        with pytest.raises(OSError, match=f"^--cache-dir {folder} cannot be used: {reason}.*: give a folder that can"):
            cached(folder, "x", torch.zeros(1), "net", lambda images: {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
