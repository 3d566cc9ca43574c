import os
import time

from chromagan.demo.shelf import GRACE_SECONDS, MADE, Shelf


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
    assert len(list((tmp_path / MADE).iterdir())) == 2  # no empty folders are left


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


def test_results_go_before_uploads_and_uploads_in_use_last(tmp_path):
    shelf = Shelf(tmp_path, 400)
    uploads = [tmp_path / name / "photo.jpg" for name in ("first", "second")]
    for path in uploads:
        path.parent.mkdir()
        path.write_bytes(b"x" * 100)
        os.utime(path, (time.time() - 5 * GRACE_SECONDS,) * 2)  # older than the results
    results = [shelf.put(bytes([i]) * 100, "a.jpg") for i in range(4)]
    assert shelf.tidy(now=True) == 400
    assert [path.exists() for path in uploads + results] == [True, True, False, False, True, True]
    shelf.limit = 300
    shelf.touch(uploads[0])
    assert shelf.tidy(now=True) == 300
    assert [path.exists() for path in uploads] == [True, False]


def test_a_file_of_someone_else_is_not_touched(tmp_path):
    (tmp_path / "shelf").mkdir()
    other = tmp_path / "example.jpg"
    other.write_bytes(b"x")
    os.utime(other, (1000, 1000))
    Shelf(tmp_path / "shelf", 10).touch(other)
    assert other.stat().st_mtime == 1000


def test_two_hundred_requests_leave_it_within_its_bounds(tmp_path, monkeypatch):
    """As they come from 200 people one after another, each with an upload and two pictures, a second apart."""
    shelf, present = Shelf(tmp_path, 60_000), time.time()
    sizes = []
    for index in range(200):
        monkeypatch.setattr(time, "time", lambda now=present + index: now)
        upload = tmp_path / f"upload-{index}" / "photo.jpg"
        upload.parent.mkdir()
        upload.write_bytes(b"x" * 100)
        os.utime(upload, (time.time(),) * 2)
        for side in range(2):
            path = shelf.put(f"{index} {side}".encode().ljust(200), "a.jpg")
            os.utime(path, (time.time(),) * 2)
        monkeypatch.setattr(shelf, "_scanned", 0)
        shelf.tidy()
        if index % 10 == 9:
            sizes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
    assert sizes[5] == 30_000 and sizes[12:] == [60_000] * 8  # what is over a minute old made room
