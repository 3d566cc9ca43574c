import os
import shutil
import time
from pathlib import Path

import pytest

from chromagan.demo.file_store import GRACE_SECONDS, RESULTS, FileStore


@pytest.fixture
def pass_time(monkeypatch):
    """A function that lets so many seconds pass: no file can be made that was written in the past."""

    def wait(seconds: float):
        now = time.time() + seconds
        monkeypatch.setattr(time, "time", lambda: now)

    return wait


def test_equal_files_are_stored_once_under_names_that_another_store_does_not_have(tmp_path):
    store = FileStore(tmp_path, 1000)
    first, again = store.put(b"picture", "a.jpg"), store.put(b"picture", "a.jpg")
    assert first == again and first.read_bytes() == b"picture" and first.name == "a.jpg"
    assert FileStore(tmp_path, 1000).put(b"picture", "a.jpg") != first  # the digest is keyed: it cannot be worked out


def test_file_is_moved_in(tmp_path):
    (tmp_path / "large.zip").write_bytes(b"zip")
    path = FileStore(tmp_path / "files", 1000).put(tmp_path / "large.zip", "all.zip")
    assert path.read_bytes() == b"zip" and not (tmp_path / "large.zip").exists()


def test_oldest_go_beyond_the_limit_and_the_newest_stay(tmp_path, pass_time):
    store = FileStore(tmp_path, 250)
    paths = [store.put(bytes([i]) * 100, "a.jpg") for i in range(5)]
    for path in paths:
        pass_time(100)
        store.mark_used(path)
    assert store.clean_up(now=True) == 200
    assert [path.exists() for path in paths] == [False, False, False, True, True]
    assert len(list((tmp_path / RESULTS).iterdir())) == 2  # no empty folders are left


def test_the_limit_holds_after_the_clock_was_set_back(tmp_path, pass_time):
    store = FileStore(tmp_path, 250)
    for i in range(5):
        store.put(bytes([i]) * 100, "a.jpg")
    pass_time(-3 * 3600)
    assert store.clean_up(now=True) == 200


def test_what_was_just_shown_is_not_deleted(tmp_path):
    store = FileStore(tmp_path, 10)
    path = store.put(b"x" * 100, "a.jpg")
    store._scanned = 0
    store.clean_up()
    assert path.exists()


def test_old_files_go_and_pinned_ones_stay(tmp_path, pass_time):
    store = FileStore(tmp_path, 1000, max_age=60)
    arrival = store.put(b"arrival", "a.jpg")
    store.pin()
    old, new = store.put(b"old", "b.jpg"), store.put(b"new", "c.jpg")
    pass_time(61)
    store.mark_used(new)
    store.clean_up(now=True)
    assert (arrival.exists(), old.exists(), new.exists()) == (True, False, True)


def test_a_cleaned_temporary_folder_gets_the_pinned_files_again(tmp_path, pass_time):
    """Machines delete from /tmp by age, which is that of the last use."""
    store = FileStore(tmp_path / "files", 1000)
    arrival = store.put(b"arrival", "a.jpg")
    store.pin()
    pass_time(60)
    store.clean_up(now=True)
    assert arrival.stat().st_mtime == pytest.approx(time.time(), abs=1)
    shutil.rmtree(tmp_path / "files")
    store.clean_up(now=True)
    assert arrival.read_bytes() == b"arrival"


def test_a_pinned_file_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    store = FileStore(tmp_path, 1000)
    arrival = store.put(b"arrival", "a.jpg")
    store.pin()
    arrival.unlink()

    def fill(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fill)
        assert store.clean_up(now=True) == 0 and not arrival.exists()
    store.clean_up(now=True)
    assert arrival.exists()


def test_uploads_of_an_earlier_process_are_not_pinned_but_its_copies_of_the_examples_are(tmp_path, pass_time):
    """Gradio finds the copy of an example under its name, and does not write it again."""
    example = tmp_path / "cat.jpg"
    example.write_bytes(b"cat")
    names = ("1/photo.jpg", "2/cat.jpg", "3/cat.jpg")
    upload, copy, namesake = (tmp_path / "files" / name for name in names)
    for path, data in zip((upload, copy, namesake), (b"me", b"cat", b"my cat")):
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    store = FileStore(tmp_path / "files", 1000, max_age=60)
    arrival = store.put(b"arrival", "a.jpg")
    store.pin([example])
    pass_time(61)
    assert store.clean_up(now=True) == 0
    assert [path.exists() for path in (arrival, copy, upload, namesake)] == [True, True, False, False]


def test_the_copy_of_an_old_file_is_new(tmp_path):
    """Gradio's copies of the examples have the date of a checkout or an image that may be months old."""
    example, copy = tmp_path / "example.jpg", tmp_path / "files" / "digest" / "example.jpg"
    example.write_bytes(b"example")
    os.utime(example, (1000, 1000))
    copy.parent.mkdir(parents=True)
    shutil.copy2(example, copy)
    assert FileStore(tmp_path / "files", 1000, max_age=60).clean_up(now=True) == len(b"example")
    assert copy.exists()


def test_results_go_before_uploads_and_uploads_in_use_last(tmp_path, pass_time):
    store = FileStore(tmp_path, 400)
    uploads = [tmp_path / name / "photo.jpg" for name in ("first", "second")]
    for path in uploads:
        path.parent.mkdir()
        path.write_bytes(b"x" * 100)
    results = [store.put(bytes([i]) * 100, "a.jpg") for i in range(4)]
    pass_time(GRACE_SECONDS)  # older than the results
    for path in results:
        pass_time(1)
        store.mark_used(path)
    assert store.clean_up(now=True) == 400
    assert [path.exists() for path in uploads + results] == [True, True, False, False, True, True]
    store.limit = 300
    store.mark_used(uploads[0])
    assert store.clean_up(now=True) == 300
    assert [path.exists() for path in uploads] == [True, False]


def test_a_file_of_someone_else_is_not_touched(tmp_path):
    (tmp_path / "files").mkdir()
    other = tmp_path / "example.jpg"
    other.write_bytes(b"x")
    os.utime(other, (1000, 1000))
    FileStore(tmp_path / "files", 10).mark_used(other)
    assert other.stat().st_mtime == 1000


def test_two_hundred_requests_leave_it_within_its_bounds(tmp_path, monkeypatch, pass_time):
    """As they come from 200 people one after another, each with an upload and two pictures, a second apart."""
    store, sizes = FileStore(tmp_path, 60_000), []
    for index in range(200):
        pass_time(1)
        upload = tmp_path / f"upload-{index}" / "photo.jpg"
        upload.parent.mkdir()
        upload.write_bytes(b"x" * 100)
        store.mark_used(upload)
        for side in range(2):
            path = store.put(f"{index} {side}".encode().ljust(200), "a.jpg")
            store.mark_used(path)
        monkeypatch.setattr(store, "_scanned", 0)
        store.clean_up()
        if index % 10 == 9:
            sizes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
    assert sizes[5] == 30_000 and sizes[12:] == [60_000] * 8  # what is over a minute old made room


@pytest.mark.parametrize("name", ["tmp5owvre7i", "deep_links/abc/state.json", "a/b/c/d"])
def test_whatever_gradio_writes_counts_and_goes(tmp_path, name, pass_time):
    """An upload that was broken off is in the folder itself, a saved view is below deep_links."""
    store = FileStore(tmp_path, 1000, max_age=60)
    other = tmp_path / name
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"x" * 100)
    assert store.clean_up(now=True) == 100
    pass_time(61)
    assert store.clean_up(now=True) == 0
    assert not other.exists() and tmp_path.is_dir()


def test_what_cannot_be_deleted_counts_and_the_others_go(tmp_path, monkeypatch, pass_time):
    store = FileStore(tmp_path, 1000, max_age=60)
    kept, old = store.put(b"kept", "a.jpg"), store.put(b"old", "b.jpg")
    pass_time(61)
    unlink = Path.unlink

    def refuse(path, **options):
        if path == kept:
            raise PermissionError(path)
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert store.clean_up(now=True) == len(b"kept")
    assert kept.exists() and not old.exists()


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    def fill(path, data):
        path.open("wb").write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space"):
        FileStore(tmp_path, 1000).put(b"picture", "a.jpg")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
