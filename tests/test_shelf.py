import os
import time

from chromagan.shelf import Shelf


def test_equal_files_are_stored_once_under_names_that_another_shelf_does_not_have(tmp_path):
    shelf = Shelf(tmp_path, 1000)
    first, again = shelf.put(b"picture", "a.jpg"), shelf.put(b"picture", "a.jpg")
    assert first == again and first.read_bytes() == b"picture" and first.name == "a.jpg"
    assert Shelf(tmp_path, 1000).put(b"picture", "a.jpg") != first  # the digest is keyed: it cannot be worked out


def test_file_is_moved_in(tmp_path):
    (tmp_path / "large.zip").write_bytes(b"zip")
    path = Shelf(tmp_path / "shelf", 1000).put(tmp_path / "large.zip", "all.zip")
    assert path.read_bytes() == b"zip" and not (tmp_path / "large.zip").exists()


def test_oldest_go_beyond_the_limit_and_the_newest_stay(tmp_path):
    shelf = Shelf(tmp_path, 250)
    paths = [shelf.put(bytes([i]) * 100, "a.jpg") for i in range(5)]
    for age, path in zip(range(500, 0, -100), paths):
        os.utime(path, (time.time() - age,) * 2)
    assert shelf.tidy(now=True) == 200
    assert [path.exists() for path in paths] == [False, False, False, True, True]
    assert len(list(tmp_path.iterdir())) == 2  # no empty folders are left


def test_what_was_just_shown_is_not_deleted(tmp_path):
    shelf = Shelf(tmp_path, 10)
    path = shelf.put(b"x" * 100, "a.jpg")
    shelf._scanned = 0
    shelf.tidy()
    assert path.exists()


def test_old_files_go_and_pinned_ones_stay(tmp_path):
    shelf = Shelf(tmp_path, 1000, max_age=60)
    arrival = shelf.put(b"arrival", "a.jpg")
    shelf.pin()
    old, new = shelf.put(b"old", "b.jpg"), shelf.put(b"new", "c.jpg")
    for path in (arrival, old):
        os.utime(path, (time.time() - 61,) * 2)
    shelf.tidy(now=True)
    assert (arrival.exists(), old.exists(), new.exists()) == (True, False, True)
