"""Files that are there whole or not at all."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chromagan.atomic import part_of, replacing
from chromagan.programs import one_line


def test_a_file_is_replaced_at_the_end_with_the_usual_permissions(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    usual = path.stat().st_mode
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == tmp_path and part.name.startswith(".out.txt-") and part.suffix == ".part"
    assert path.read_text() == "new" and path.stat().st_mode == usual
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("written", [True, False])
def test_what_an_exception_leaves_is_the_old_file(tmp_path, error, written):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as part:
        if written:
            part.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_in_writing_names_the_file(tmp_path):
    """As the system raises it on a full disk, it does not."""
    for error, named in ((OSError(28, "full"), tmp_path / "a"), (OSError(2, "missing", "other"), "other")):
        with pytest.raises(OSError) as raised, replacing(tmp_path / "a"):
            raise error
        assert one_line(raised.value) == f"{named}: {error.strerror}"


def test_what_cannot_be_renamed_leaves_nothing(tmp_path):
    (tmp_path / "out.txt" / "inside").mkdir(parents=True)
    with pytest.raises(OSError), replacing(tmp_path / "out.txt") as part:
        part.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_the_longest_name_can_be_written(tmp_path):
    for name in ("x" * 255, "\U0001f4f7" * 63, os.fsdecode(b"\xff" * 255)):
        with replacing(tmp_path / name) as part:
            part.write_text(name[:1], errors="replace")
        assert (tmp_path / name).exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_of_writers_at_once_one_wins_whole(tmp_path):
    path, together = tmp_path / "out.txt", threading.Barrier(4, timeout=10)

    def write(letter: str) -> None:
        with replacing(path) as part:
            together.wait()
            part.write_text(letter * 100_000)
            together.wait()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    text = path.read_text()
    assert len(text) == 100_000 and len(set(text)) == 1 and list(tmp_path.iterdir()) == [path]


def test_a_part_may_get_another_name(tmp_path):
    with part_of(tmp_path / "out") as part:
        part.write_text("new")
        part.rename(tmp_path / "named by its content")
    assert [path.name for path in tmp_path.iterdir()] == ["named by its content"]
