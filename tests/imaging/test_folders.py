"""Folders as people have them, built in a temporary place."""

import os

import numpy as np
import pytest
from made_photos import made_photo

from chromagan.errors import ImageError
from chromagan.imaging import folders, formats
from chromagan.imaging.folders import find_photos
from chromagan.imaging.photo import open_image


def put(folder, *names):
    """Photos by these names, in their suffix's format where that is one of photos."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix in (".txt", ".mov", ".heic", ".db", "") else made_photo(0).convert("L").save(path)


def names_of(found, folder):
    return [str(path.relative_to(folder)) for path, _ in found.photos]


def find(folder, *names, output="out", is_result=lambda path: "-result" in path.stem):
    return find_photos([str(folder / name) for name in names] or [str(folder)], folder / output, is_result)


def test_every_format_of_photos_is_read(tmp_path):
    suffixes = (".jpg", ".JPEG", ".jfif", ".png", ".webp", ".avif", ".gif", ".jp2", ".pgm", ".bmp", ".tif", ".tga",
                ".mpo")  # fmt: skip
    put(tmp_path, *(f"{index:02}{suffix}" for index, suffix in enumerate(suffixes)))
    found = find(tmp_path)
    assert len(found.photos) == len(suffixes) and not found.problems and found.summary() == ""
    for path, _ in found.photos:
        assert open_image(path).size == (64, 64)


def test_what_is_no_photo_is_counted(tmp_path):
    put(tmp_path, "a.png", "b.txt", "c/d.txt", "e.mov", "noname", "._a.jpg", ".DS_Store.txt", "Thumbs.db")
    put(tmp_path, "x-result.png", "__MACOSX/a.png", ".Trash/a.png", "@eaDir/a.png", "c/$RECYCLE.BIN/a.png")
    os.mkfifo(tmp_path / "pipe.png")
    found = find(tmp_path)
    assert names_of(found, tmp_path) == ["a.png"] and not found.problems
    assert found.summary() == (
        "1 .mov, 2 .txt, 3 hidden files, 4 hidden or system folders, 1 result of an earlier run, 1 special file, "
        "1 without a suffix"
    )


def test_one_of_a_kind_is_not_told_as_several(tmp_path):
    put(tmp_path, "a.png", ".b.png", ".Trash/c.png")
    assert find(tmp_path).summary() == "1 hidden file, 1 hidden or system folder"
    put(tmp_path, ".d.png", ".e/f.png")
    assert find(tmp_path).summary() == "2 hidden files, 2 hidden or system folders"


def test_of_the_output_folder_only_results_are_skipped(tmp_path):
    put(tmp_path, "a.png", "out/a-result.png", "out/deep/b-result.png", "deep/out/c.png")
    others = ["a.png", "deep/out/c.png"]
    for own in ([], ["out/own.png"]):
        put(tmp_path, *own)
        assert names_of(find(tmp_path), tmp_path) == [others[0], others[1], *own]
        for names in (["*"], ["**"], ["**/*.png"], ["a.png", "deep", "out"], ["a.png", "deep", "out", "out/deep"]):
            found = find(tmp_path, *names)
            assert sorted(set(names_of(found, tmp_path))) == sorted([*others, *own]) and not found.problems, names
            assert found.skipped["results of earlier runs"] >= 2
    # It alone, one above it, and a folder in it.
    assert names_of(find(tmp_path, "out"), tmp_path) == ["out/own.png"]
    assert len(find(tmp_path, output="..").photos) == 3
    assert names_of(find(tmp_path, "deep/out", output="deep"), tmp_path) == ["deep/out/c.png"]
    (tmp_path / "out" / "own.png").unlink()
    (tmp_path / "empty").mkdir()
    assert find(tmp_path, "a.png", "empty", output=".").problems  # of one that holds no results either it is said
    assert not find(tmp_path, "a.png", "empty", output="empty").problems
    assert find(tmp_path, "out").problems == [
        f"{tmp_path / 'out'}: no images in this folder, only 2 results of earlier runs"
    ]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path):
    put(tmp_path, ".a.png", "b-result.png", "c.txt")
    assert len(find(tmp_path, ".a.png", "b-result.png", "c.txt").photos) == 3
    found = find(tmp_path, "*")
    assert not found.photos and found.summary() == "1 .txt, 1 result of an earlier run"
    assert found.problems == [f"{tmp_path / '*'}: none of its 2 matches is an image to color"]


def test_links_are_followed_and_loops_are_not(tmp_path):
    put(tmp_path, "in/a.png", "in/deep/b.png", "elsewhere/c.png")
    (tmp_path / "in" / "linked.png").symlink_to(tmp_path / "elsewhere" / "c.png")
    (tmp_path / "in" / "aaa").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "deep" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "deep" / "self").symlink_to(tmp_path / "in" / "deep")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "lost.png").symlink_to(tmp_path / "nothing.png")
    found = find(tmp_path / "in")
    assert names_of(found, tmp_path / "in") == ["a.png", "linked.png", "deep/b.png", "aaa/c.png"]
    assert [str(folder) for _, folder in found.photos] == [".", ".", "deep", "aaa"]
    assert found.summary() == "1 broken link" and not found.problems


def test_heic_is_read(tmp_path):
    formats.register_heif()
    photo = made_photo(0)
    photo.save(tmp_path / "a.heic", quality=95)
    assert names_of(find(tmp_path), tmp_path) == ["a.heic"]
    image = open_image(tmp_path / "a.heic")
    assert image.format == "HEIF" and np.abs(np.asarray(image).astype(int) - np.asarray(photo)).mean() < 8


@pytest.fixture
def without_heif(monkeypatch):
    monkeypatch.setattr("chromagan.imaging.photo.read_formats", lambda: ["PNG", "TIFF"])
    monkeypatch.setattr(formats, "register_heif", lambda: False)
    monkeypatch.setattr(folders, "register_heif", lambda: False)


def test_heic_without_its_package_is_named(tmp_path, without_heif):
    put(tmp_path, "a.png", "b.heic", "c.heic")
    assert find(tmp_path).summary() == "2 .heic (pip install pillow-heif)"
    (tmp_path / "a.png").unlink()
    (line,) = find(tmp_path).problems
    assert line == f"{tmp_path}: no images in this folder, only 2 .heic (pip install pillow-heif)"
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(ImageError, match="b.heic: it is a HEIC photo: pip install pillow-heif"):
        open_image(tmp_path / "b.heic")


@pytest.mark.parametrize("suffix, words", [(".avif", "an AVIF picture"), (".heic", "a HEIC photo")])
def test_a_damaged_photo_whose_reader_is_there_asks_for_no_package(tmp_path, suffix, words):
    formats.register_heif()
    made_photo(0).save(tmp_path / f"a{suffix}")
    path = tmp_path / f"cut{suffix}"
    path.write_bytes((tmp_path / f"a{suffix}").read_bytes()[:60])
    with pytest.raises(ImageError) as error:
        open_image(path)
    assert str(error.value) == f"{path}: it is {words} that is damaged or truncated"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run git lfs pull"),
        (b"<!DOCTYPE html><html>", "it is a web page"), (b"%PDF-1.7\n", "it is a PDF, not a photo"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2" + bytes(40), "it is a video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "it is a PostScript page"),
        (b"8BPS\0\1" + bytes(6) + b"\0\1" + bytes(8) + b"\0\x10\0\3" + bytes(8), "a 16-bit RGB Photoshop file"),
        (b"P7\nWIDTH 2\n", "it is a PAM picture"), (b"PF\n2 2\n-1.0\n", "floating-point RGB picture"),
        (b"\xff\x0a\0\0", "it is a JPEG XL picture"), (b"\x76\x2f\x31\x01\2\0", "it is an OpenEXR picture"),
        (b"#?RADIANCE\n", "a Radiance HDR picture"), (b"FUJIFILMCCD-RAW 0201", "it is a raw photo"),
        (b"II*\0\xff\xff\xff\x7f", "a TIFF that is damaged"), (b"hello", "it is not an image that can be read"),
    ],
)  # fmt: skip
def test_what_a_file_is_in_place_of_an_image(tmp_path, content, words):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=f"photo.jpg: .*{words}"):
        open_image(tmp_path / "photo.jpg")


def test_the_format_of_a_result_is_the_one_expected(tmp_path):
    made_photo(0).save(tmp_path / "still.gif")
    made_photo(0).save(tmp_path / "film.gif", save_all=True, append_images=[made_photo(1)])
    for name, suffix in (
        ("a.JPG", ".JPG"), ("a.jfif", ".jfif"), ("a.webp", ".webp"), ("a.tiff", ".tiff"), ("a.avif", ".avif"),
        ("a.pgm", ".png"), ("a.jp2", ".png"), ("a.xyz", ".png"), ("a", ".png"), ("still.gif", ".png"),
        ("film.gif", ".gif"),
    ):  # fmt: skip
        assert formats.suffix_for(tmp_path / name) == suffix
    assert formats.suffix_for(tmp_path / "a.heic") == ".jpg"
    assert formats.format_for("MPO", False, False) == formats.format_for("HEIF", False, False) == "JPEG"
    assert formats.format_for("HEIF", False, True) == "PNG"
