"""The command line, run as a person runs it: a process, its output, its exit status."""

import errno
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from made_photos import made_photo
from PIL import Image
from skimage import color as reference

from chromagan import Colorizer, plan
from chromagan.__main__ import main, parse_args
from chromagan.colorizer import warm_up
from chromagan.hub.checkpoints import NAMED_SOURCES

ROOT = Path(__file__).resolve().parent.parent


def chromagan(*arguments):
    """A real start; most tests call `main`, which is quicker."""
    command = [sys.executable, "-m", "chromagan", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def colorize(source, *arguments):
    """What `main` returns, in this process."""
    return main(["colorize", "--source", str(source), *map(str, arguments)])


def test_list(source, capsys):
    entries = json.loads(chromagan("list", "--source", source, "--json").stdout)
    assert [(entry["decoder"], entry["epoch"]) for entry in entries] == [
        ("compact", 0),
        ("compact", 3),
        ("depthwise", 0),
    ]
    assert main(["list", "--source", str(source)]) == 0
    text = capsys.readouterr().out
    assert "epochs 0, 3" in text and "Depthwise convolutions" in text


def test_colorize_one_photo_to_a_file(source, tmp_path):
    photo = made_photo(0, 120, 200)
    photo.save(tmp_path / "photo.jpg", quality=95)
    result = chromagan("colorize", tmp_path / "photo.jpg", "-o", tmp_path / "out.png", "--source", source)
    assert result.returncode == 0, result.stderr
    before, after = Image.open(tmp_path / "photo.jpg"), Image.open(tmp_path / "out.png")
    assert after.size == before.size
    L = [reference.rgb2lab(np.asarray(image) / 255)[..., 0] for image in (before, after)]
    assert np.abs(L[0] - L[1]).mean() < 0.5


def test_colorize_a_folder_goes_on_past_bad_files(source, tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / "deeper").mkdir(parents=True)
    made_photo(0).save(photos / "a.png")
    made_photo(1).save(photos / "deeper" / "b.webp")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 not a JPEG")
    assert colorize(source, photos, "-o", tmp_path / "out", "--decoder", "compact", "--epoch", "0") == 1
    error = capsys.readouterr().err
    assert "broken.jpg: it is not an image that can be read" in error and "2 of 3 photos colored" in error
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a-compact-epoch-0.png", "deeper/b-compact-epoch-0.webp"]


def test_nothing_is_overwritten_unasked(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "in.png")
    made_photo(1).save(tmp_path / "out.png")
    before = (tmp_path / "out.png").read_bytes()
    arguments = (tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert colorize(source, *arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "out.png already exists: --overwrite replaces it" in line
    assert (tmp_path / "out.png").read_bytes() == before
    assert colorize(source, *arguments, "--overwrite") == 0
    assert (tmp_path / "out.png").read_bytes() != before


def test_another_photo_that_was_named_is_not_replaced_even_if_asked(source, tmp_path, capsys):
    photos = [tmp_path / name for name in ("a.png", "a-compact-epoch-3.png")]
    for seed, path in enumerate(photos):
        made_photo(seed).save(path)
    before = photos[1].read_bytes()
    assert colorize(source, *photos, "-o", tmp_path, "--decoder", "compact", "--epoch", "3", "--overwrite") == 1
    assert f"would replace {photos[1]}, a photo that was named" in capsys.readouterr().err
    assert photos[1].read_bytes() == before
    chosen = ["--decoder", "compact", "--epoch", "3", "--skip-existing"]
    assert colorize(source, *photos, "-o", tmp_path, *chosen) == 0  # as a shell's *.png names them the next time
    assert photos[1].read_bytes() == before


@pytest.mark.parametrize("output", ["in.png", "link.png"])
def test_the_photo_itself_is_not_replaced_even_if_asked(source, tmp_path, capsys, output):
    made_photo(0).save(tmp_path / "in.png")
    (tmp_path / "link.png").symlink_to("in.png")
    before = (tmp_path / "in.png").read_bytes()
    assert colorize(source, tmp_path / "in.png", "-o", tmp_path / output, "--overwrite") == 1
    assert "its result would replace the photo itself: give it another name" in capsys.readouterr().err
    assert (tmp_path / "in.png").read_bytes() == before


@pytest.mark.parametrize("photo, output", [("-", "in.png"), ("-", "link.png"), ("-", "-"), ("in.png", "-")])
def test_the_photo_itself_is_not_replaced_through_a_stream(source, tmp_path, capsys, monkeypatch, photo, output):
    """As with a shell's < and >>."""
    made_photo(0).save(tmp_path / "in.png")
    (tmp_path / "link.png").symlink_to("in.png")
    before = (tmp_path / "in.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    with open("in.png") as stdin, open("in.png", "a") as stdout:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        assert colorize(source, photo, "-o", output, "--overwrite") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"chromagan: {photo}: its result would replace the photo itself: give it another name"
    assert (tmp_path / "in.png").read_bytes() == before


@pytest.mark.parametrize("letter", ["n", "ß", "📷"])
def test_the_longest_name_that_a_file_may_have(source, tmp_path, letter):
    """The result's is longer by the decoder and the epoch. Names that differ at their end only stay two."""
    (tmp_path / "in").mkdir()
    stem = letter * (250 // len(letter.encode()))
    for end in "ab":
        made_photo(0).save(tmp_path / "in" / f"{stem[:-1]}{end}.png")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--all") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2 * 4 and all(name.startswith(stem[:20]) for name in names)
    assert sum(name.endswith("-compact-epoch-3.png") for name in names) == 2
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--all", "--skip-existing") == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["colorize"], "general"),
        (["colorize", "--decoder", "original"], "general"),
        (["colorize", "--decoder", "transposed"], "study"),  # which general does not have
        (["colorize", "--epoch", "3"], "study"),
        (["colorize", "--all"], "study"),
        (["colorize", "--source", "elsewhere"], "elsewhere"),
        (["list"], "study"),
    ],
)
def test_a_photo_is_colored_by_the_network_for_any_kind_where_it_has_what_is_asked_for(
    arguments, expected, tmp_path, monkeypatch
):
    (tmp_path / "general" / "original").mkdir(parents=True)
    monkeypatch.setitem(NAMED_SOURCES, "general", tmp_path / "general")
    command, *options = arguments
    named = ["in.png", "-o", "out.png"] if command == "colorize" else []
    assert parse_args([command, *named, *options]).source == expected


def test_folders_keep_their_shape_and_patterns_are_expanded(source, tmp_path):
    for name in ("a/photo.png", "b/photo.png", "b/deep/other.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        made_photo(0).save(tmp_path / "in" / name)
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 0
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == [
        "a/photo-compact-epoch-3.png",
        "b/deep/other-compact-epoch-3.jpg",
        "b/photo-compact-epoch-3.png",
    ]
    assert colorize(source, tmp_path / "in" / "b" / "*.png", "-o", tmp_path / "glob.png") == 0
    assert (tmp_path / "glob.png").is_file()


@pytest.mark.parametrize("name", ["scans.2024/", "out.jpg/", "plain/", "out.jpg/."])
def test_a_slash_at_the_end_means_a_folder(source, tmp_path, name):
    made_photo(0).save(tmp_path / "a.png")
    for photos in ([tmp_path / "a.png"], [tmp_path / "*.png"], [tmp_path]):  # all are this one
        assert colorize(source, *photos, "-o", f"{tmp_path}/{name}", "--overwrite") == 0
        assert [path.name for path in (tmp_path / name).iterdir()] == ["a-compact-epoch-3.png"]


def test_two_photos_of_one_name_do_not_replace_each_other(source, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made_photo(0).save(tmp_path / name / "photo.png")
    status = colorize(source, tmp_path / "a/photo.png", tmp_path / "b/photo.png", "-o", tmp_path / "out")
    assert status == 1 and "would replace those of" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("folds, written", [(True, 1), (False, 2)])
def test_names_that_are_one_on_some_disks(source, tmp_path, capsys, monkeypatch, folds, written):
    """They are two on this one: what tells such a disk is replaced."""
    assert not plan.folds_case(tmp_path) and not plan.folds_case(tmp_path / "new" / "deeper")
    monkeypatch.setattr(plan, "folds_case", lambda folder: folds)
    for name in ("x/A.png", "y/a.png"):
        (tmp_path / name).parent.mkdir()
        made_photo(0).save(tmp_path / name)
    status = colorize(source, tmp_path / "x/A.png", tmp_path / "y/a.png", "-o", tmp_path / "out")
    assert (status == 1) == folds == ("would replace those of" in capsys.readouterr().err)
    assert len(list((tmp_path / "out").iterdir())) == written


def test_a_run_that_was_cut_off_goes_on(source, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(3):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 0
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    lost = sorted(times)[1]
    lost.unlink()
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--skip-existing") == 0
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} == {lost}
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--skip-existing") == 0  # nothing left to do


def test_skipping_leaves_what_exists_of_a_half_done_photo(source, tmp_path):
    made_photo(0, 90, 120).save(tmp_path / "photo.png")
    arguments = (tmp_path / "photo.png", "-o", tmp_path / "out", "--all")
    assert colorize(source, *arguments) == 0
    lost, *there = sorted((tmp_path / "out").iterdir())
    lost.unlink()
    there[0].write_bytes(b"the user's own")
    times = {path: path.stat().st_mtime_ns for path in there}
    assert colorize(source, *arguments, "--skip-existing") == 0
    assert lost.exists() and {path: path.stat().st_mtime_ns for path in there} == times


def test_every_decoder_and_epoch_with_a_contact_sheet(source, tmp_path):
    made_photo(0, 90, 120).save(tmp_path / "photo.png")
    assert colorize(source, tmp_path / "photo.png", "-o", tmp_path / "out", "--all") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "photo-all.jpg",
        "photo-compact-epoch-0.png",
        "photo-compact-epoch-3.png",
        "photo-depthwise-epoch-0.png",
    ]
    sheet = Image.open(tmp_path / "out" / "photo-all.jpg")
    assert sheet.width > 2 * 120 and sheet.height > 2 * 90


def test_a_stage_of_a_pipeline(source, tmp_path):
    made_photo(0, 50, 70).save(tmp_path / "in.jpg")
    command = [sys.executable, "-m", "chromagan", "colorize", "-", "-o", "-", "--source", str(source)]
    result = subprocess.run(
        command, cwd=ROOT, input=(tmp_path / "in.jpg").read_bytes(), capture_output=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    image = Image.open(io.BytesIO(result.stdout))
    assert image.format == "JPEG" and image.size == (70, 50)
    result = subprocess.run(command, cwd=ROOT, input=b"not an image", capture_output=True, timeout=300)
    assert result.returncode == 1 and result.stdout == b""
    assert result.stderr.decode() == "chromagan: <stdin>: it is not an image that can be read\n"


def test_processes_share_the_photos(source, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for index in range(5):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, total in (("0", 3), ("1", 5)):
        monkeypatch.setenv("RANK", rank)
        assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 0
        assert len(list((tmp_path / "out").iterdir())) == total


def test_saturation_and_chroma_reach_the_picture(source, tmp_path):
    made_photo(0, 300, 400).save(tmp_path / "in.png")
    pictures = []
    for index, options in enumerate(([], ["--saturation", "0"], ["--saturation", "2"], ["--chroma", "bilinear"])):
        assert colorize(source, tmp_path / "in.png", "-o", tmp_path / f"{index}.png", *options) == 0
        pictures.append((tmp_path / f"{index}.png").read_bytes())
    assert len(set(pictures)) == 4
    gray = np.asarray(Image.open(tmp_path / "1.png")).astype(int)
    assert np.abs(gray - gray.mean(axis=2, keepdims=True)).max() < 1


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["colorize", "{photo}", "-o", "{out}", "--decoder", "nearest"], 2, "invalid choice: 'nearest'"),
        (["colorize", "{photo}", "-o", "{out}", "--epoch", "99"], 1, "compact has no epoch 99 in"),
        (["colorize", "{photo}", "-o", "{out}", "--epoch", "last"], 2, "invalid int value: 'last'"),
        (["colorize", "{photo}", "-o", "{out}", "--decoder", "original"], 1, "no checkpoint of decoder 'original'"),
        (["colorize", "{photo}", "-o", "{out}", "--device", "abacus"], 1, "device 'abacus' is not available"),
        (["colorize", "{photo}", "-o", "{out}", "--device", "meta"], 1, "device 'meta' is not available"),
        (["colorize", "{folder}/text.jpg", "-o", "{out}"], 1, "text.jpg: it is not an image that can be read"),
        (["colorize", "{folder}/none.jpg", "-o", "{out}"], 1, "none.jpg: no such file"),
        (["colorize", "{folder}/empty", "-o", "{out}"], 1, "empty: no images in this folder"),
        (["colorize", "{folder}/*.gif", "-o", "{out}"], 1, "*.gif: no file matches this pattern"),
        (["colorize", "{folder}/lost.jpg", "-o", "{out}"], 1, "lost.jpg: it is a link to a missing file"),
        (["colorize", "{folder}/pointer.jpg", "-o", "{out}"], 1, "run git lfs pull"),
        (["colorize", "{photo}", "-o", "{folder}/text.jpg/out.png"], 1, "text.jpg is a file, not a folder"),
        (["colorize", "{photo}", "-o", "{folder}/text.jpg/deeper"], 1, "text.jpg is a file, not a folder"),
        (["colorize", "{photo}", "-o", ""], 2, "must be a name, got ''"),
        (["colorize", "{folder}/two\nlines.jpg", "-o", "{out}"], 1, r"two\nlines.jpg: it is not an image"),
        (["colorize", "{folder}/two  blanks.jpg", "-o", "{out}"], 1, "chromagan: {folder}/two  blanks.jpg: it is not"),
        (["colorize", "{folder}/\x1b[31mred.jpg", "-o", "{out}"], 1, r"\x1b[31mred.jpg: it is not an image"),
        (["colorize", "{folder}/no\nsuch.jpg", "-o", "{out}"], 1, r"no\nsuch.jpg: no such file"),
        (["colorize", "{photo}", "-o", "{folder}/out.xyz"], 1, "cannot write .xyz: use .jpg"),
        (["colorize", "{photo}"], 2, "required: -o/--output"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "-1"], 2, "must be a number, 0 to 100, got -1"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "1e38"], 2, "must be a number, 0 to 100, got 1e38"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "much"], 2, "must be a number, 0 to 100, got much"),
        (["colorize", "{photo}", "-o", "{out}", "--jobs", "0"], 2, "must be a whole number, 1 or more, got 0"),
        (["colorize", "{photo}", "-o", "{out}", "--all", "--epoch", "3"], 2, "cannot be combined with --decoder"),
        (["colorize", "{photo}", "-o", "{out}", "--overwrite", "--skip-existing"], 2, "not allowed with"),
        (["colorize", "{photo}", "{photo}", "-o", "{folder}/new.jpg"], 1, "is the name of a photo: for several"),
        (["colorize", "{folder}", "-o", "{folder}/new.jpg"], 1, "is the name of a photo: for several"),
        (["colorize", "{photo}", "{photo}", "-o", "{folder}/text.jpg"], 1, "is a file: for several pictures"),
        (["colorize", "-", "{photo}", "-o", "{out}"], 1, "'-' is one photo"),
        (["colorize", "-", "-o", "{out}/"], 1, "out.png/: a photo from stdin has no name: -o must be a file"),
        (["colorize", "{photo}", "-o", "{folder}/text.jpg/"], 1, "text.jpg is a file, not a folder"),
        (["export", "-o", "{folder}/out.onnx/"], 1, "out.onnx/: the name of an ONNX file must end with .onnx"),
        (["list", "--source", "{folder}/empty"], 1, "no checkpoints in"),
        (["list", "--source", "{folder}/none"], 1, "no folder"),
        (["paint"], 2, "invalid choice: 'paint'"),
        ([], 2, "required: COMMAND"),
    ],
)
def test_bad_input_is_one_line(source, tmp_path, capsys, arguments, status, message):
    made_photo(0).save(tmp_path / "photo.png")
    for name in ("text.jpg", "two\nlines.jpg", "two  blanks.jpg", "\x1b[31mred.jpg"):
        (tmp_path / name).write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    places = {"photo": tmp_path / "photo.png", "out": tmp_path / "out.png", "folder": tmp_path}
    arguments, message = [argument.format(**places) for argument in arguments], message.format(**places)
    if arguments and arguments[0] == "colorize":
        arguments += ["--source", str(source)]
    try:
        returned = main(arguments)
    except SystemExit as stop:  # argparse's way
        returned = stop.code
    lines = capsys.readouterr().err.strip().splitlines()
    assert returned == status and len(lines) == 1 and message in lines[0], lines
    assert not (tmp_path / "out.png").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("output", ["loop", "loop/out.png", "loop/below/out.png"])
def test_a_link_to_itself_is_one_line(source, tmp_path, capsys, output):
    made_photo(0).save(tmp_path / "photo.png")
    (tmp_path / "loop").symlink_to("loop")
    assert colorize(source, tmp_path / "photo.png", "-o", tmp_path / output) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"chromagan: {tmp_path / 'loop'}")


@pytest.mark.parametrize("bug", [RuntimeError, ValueError, TypeError])
@pytest.mark.parametrize("place", ["color_photo", "load_checkpoint"])
def test_a_bug_is_no_line(source, tmp_path, monkeypatch, bug, place):
    def fail(*arguments):
        raise bug("a bug")

    made_photo(0).save(tmp_path / "photo.png")
    monkeypatch.setattr(f"chromagan.__main__.{place}", fail)
    with pytest.raises(bug, match="a bug"):
        colorize(source, tmp_path / "photo.png", "-o", tmp_path / "out.png")


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(source, tmp_path, capsys):
    """A limit on the size of files stands for the disk: writing fails in its middle, in the kernel."""
    (tmp_path / "in").mkdir()
    Image.effect_noise((500, 400), 99).save(tmp_path / "in" / "0.png")
    made_photo(1).save(tmp_path / "in" / "1.png")
    warm_up()  # what is compiled is kept in files, too
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        status = colorize(source, tmp_path / "in", "-o", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    (problem,) = (line for line in lines if line.startswith("chromagan: "))
    assert status == 1 and "0-compact-epoch-3.png: it cannot be written: File too large" in problem
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1-compact-epoch-3.png"]


def test_a_folder_that_cannot_be_read_is_one_line(source, tmp_path, capsys, monkeypatch):
    (tmp_path / "closed").mkdir()
    made_photo(0).save(tmp_path / "photo.png")

    def walk(top, onerror):  # the tests may run as root, from whom nothing can be closed
        onerror(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(top)))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    assert colorize(source, tmp_path / "closed", tmp_path / "photo.png", "-o", tmp_path / "out") == 1
    assert f"chromagan: {tmp_path / 'closed'}: Permission denied" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo-compact-epoch-3.png"]


def test_a_photo_in_a_folder_that_is_closed_is_one_line(source, tmp_path, capsys, monkeypatch):
    made_photo(0).save(tmp_path / "photo.png")
    status = os.lstat

    def lstat(path, **options):
        if "closed" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return status(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    assert colorize(source, tmp_path / "closed" / "a.png", "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err == f"chromagan: {tmp_path / 'closed' / 'a.png'}: Permission denied\n"


def test_a_photo_that_cannot_be_opened_is_named_once(source, tmp_path, capsys, monkeypatch):
    made_photo(0).save(tmp_path / "photo.png")

    def refuse(file, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))

    monkeypatch.setattr(Image, "open", refuse)
    assert colorize(source, tmp_path / "photo.png", "-o", tmp_path / "out.png") == 1
    assert capsys.readouterr().err == f"chromagan: {tmp_path / 'photo.png'}: Permission denied\n"


def test_a_file_in_the_place_of_a_folder_stops_only_what_would_go_there(source, tmp_path, capsys):
    for name in ("in/a.png", "in/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        made_photo(0).save(tmp_path / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("the user's own")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("chromagan: "))
    assert f"b.png: {tmp_path / 'out' / 'deep'} cannot be written to" in line
    assert (tmp_path / "out" / "deep").read_text() == "the user's own"
    assert (tmp_path / "out" / "a-compact-epoch-3.png").exists()


def test_what_a_result_cannot_hold_of_the_alpha_channel_is_said(source, tmp_path, capsys):
    photo = made_photo(0, 40, 50)
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    photo.save(tmp_path / "clear.png")
    for suffix, kind, words in (("jpg", "JPEG", "transparency"), ("bmp", "BMP", "transparency"),
                                ("gif", "GIF", "half transparency"), ("tif", "TIFF", None)):  # fmt: skip
        assert colorize(source, tmp_path / "clear.png", "-o", tmp_path / f"out.{suffix}") == 0
        line = f"note: {tmp_path / 'clear.png'}: {kind} cannot hold its {words}: white shows\n"
        assert capsys.readouterr().err == (line if words else "")


def test_closed_streams(source, tmp_path, monkeypatch, capsys):
    """As cron, or a shell's <&- and >&-, start a program."""
    for seed in (0, 1):
        made_photo(seed).save(tmp_path / f"{seed}.png")
    command = [sys.executable, "-m", "chromagan", "colorize", *(str(tmp_path / f"{seed}.png") for seed in (0, 1))]
    command += ["-o", str(tmp_path / "out"), "--source", str(source)]
    assert subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], cwd=ROOT, timeout=120).returncode == 0
    for seed in (0, 1):
        Image.open(tmp_path / "out" / f"{seed}-compact-epoch-3.png").load()
    with open(os.devnull) as nothing_to_read, open(os.devnull, "w") as nowhere:
        monkeypatch.setattr(sys, "stdin", nothing_to_read)
        assert colorize(source, "-", "-o", tmp_path / "out.png") == 1
        assert capsys.readouterr().err == "chromagan: '-' is stdin, which is closed\n"
        monkeypatch.setattr(sys, "stdout", nowhere)
        assert colorize(source, tmp_path / "0.png", "-o", "-") == main(["list", "--source", str(source)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "chromagan: '-' is stdout, which is closed",
        "chromagan: stdout is closed: the list cannot be written",
    ]


def test_every_page_is_colored_where_the_format_holds_pages(source, tmp_path, capsys):
    pages = [made_photo(seed, 40, 50) for seed in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "film.gif", save_all=True, append_images=pages[1:], duration=[100, 200, 300], loop=4)
    assert colorize(source, tmp_path, "-o", tmp_path / "out") == 0
    written = Image.open(tmp_path / "out" / "scan-compact-epoch-3.tif")
    assert written.n_frames == 3
    for number, page in enumerate(pages):
        written.seek(number)
        L = [reference.rgb2lab(np.asarray(image.convert("RGB")) / 255)[..., 0] for image in (page, written)]
        assert np.abs(L[0] - L[1]).mean() < 0.5
    film = Image.open(tmp_path / "out" / "film-compact-epoch-3.gif")
    durations = []
    for number in range(film.n_frames):
        film.seek(number)
        durations.append(film.info["duration"])
    assert durations == [100, 200, 300] and film.info["loop"] == 4
    capsys.readouterr()
    assert colorize(source, tmp_path / "scan.tif", "-o", tmp_path / "one.jpg") == 0
    lines = capsys.readouterr().err.splitlines()
    (line,) = lines
    assert line.endswith("scan.tif: only the first of its 3 pages is colored: JPEG cannot hold several")


def test_what_a_run_left_is_not_colored_by_the_next(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "a.png")
    (tmp_path / "b.txt").touch()
    for output in (tmp_path / "colored", tmp_path, tmp_path / "again"):
        for _ in range(2):
            assert colorize(source, tmp_path, "-o", output, "--overwrite", "--all") == 0
            assert "1 .txt" in capsys.readouterr().err
    for folder in ("colored", ".", "again"):
        assert len(list((tmp_path / folder).glob("*-*"))) == 4, folder  # three checkpoints and a sheet


def test_photos_of_ones_own_in_the_output_folder_are_colored_once(source, tmp_path, capsys):
    for name in ("a.png", "deep/b.png", "out/own.png", "out/deep/own.png", f"out/{'n' * 240}.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        made_photo(0).save(tmp_path / name)
    own = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    for options in (["--all"], ["--all", "--overwrite"], ["--all", "--skip-existing"]):
        assert colorize(source, tmp_path, "-o", tmp_path / "out", *options) == 0
        made = {path.relative_to(tmp_path / "out") for path in tmp_path.rglob("*.*") if path not in own}
        assert len(made) == 5 * 4 and {str(path.parent) for path in made} == {".", "deep", "out", "out/deep"}
    assert "skipped: 20 results of earlier runs" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in own} == own


def test_a_phones_photo_beside_its_twin(source, tmp_path):
    """Both would be named alike as JPEG: the one whose format changes keeps its old suffix in the name."""
    made_photo(0).save(tmp_path / "IMG_1.jpg")
    made_photo(1).convert("L").save(tmp_path / "IMG_1.pgm")
    made_photo(1).convert("L").save(tmp_path / "IMG_1.png")
    assert colorize(source, tmp_path, "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "IMG_1-compact-epoch-3.jpg",
        "IMG_1-compact-epoch-3.png",
        "IMG_1.pgm-compact-epoch-3.png",
    ]


@pytest.mark.parametrize("stem", ["IMG.1", "n" * 240])
def test_photos_that_differ_in_their_suffix_have_sheets_of_their_own(source, tmp_path, capsys, stem):
    for suffix in (".jpg", ".png", ".pgm"):
        made_photo(0).convert("L").save(tmp_path / f"{stem}{suffix}")
    assert colorize(source, tmp_path, "-o", tmp_path / "out", "--all") == 0
    sheets = sorted(path.name for path in (tmp_path / "out").glob("*-all.jpg"))
    assert [name[-12:] for name in sheets] == [".jpg-all.jpg", ".pgm-all.jpg", ".png-all.jpg"]
    assert len(list((tmp_path / "out").iterdir())) == 3 * 4
    made_photo(1).save(tmp_path / "out" / "IMG-all.jpg")  # the user's own
    capsys.readouterr()
    assert colorize(source, tmp_path / "out", "-o", tmp_path / "again") == 0
    assert "skipped: 12 results of earlier runs" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["IMG-all-compact-epoch-3.jpg"]


def test_a_photo_that_is_named_twice_has_one_sheet_of_the_usual_name(source, tmp_path):
    made_photo(0).save(tmp_path / "a.png")
    assert colorize(source, tmp_path / "a.png", tmp_path / "a.*", "-o", tmp_path / "out", "--all") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.jpg")] == ["a-all.jpg"]


def stream(photo, **options):
    """The format and the bytes of what comes out for `photo` going in."""
    data = io.BytesIO()
    photo.save(data, **options)
    return data.getvalue()


def test_a_pipe_keeps_the_format_one_expects(source, monkeypatch, capfdbinary):
    photo, mask = made_photo(0, 50, 70), Image.linear_gradient("L").resize((70, 50))
    clear = photo.copy()
    clear.putalpha(mask)
    for image, options, expected in (
        (photo, {"format": "MPO", "save_all": True, "append_images": [made_photo(1, 50, 70)]}, "JPEG"),
        (photo, {"format": "TIFF"}, "TIFF"), (clear, {"format": "WEBP", "lossless": True}, "WEBP"),
        (photo, {"format": "GIF"}, "PNG"), (photo.convert("L"), {"format": "PPM"}, "PNG"),
        (photo, {"format": "GIF", "save_all": True, "append_images": [made_photo(1, 50, 70)]}, "GIF"),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream(image, **options))))
        assert colorize(source, "-", "-o", "-") == 0
        result = Image.open(io.BytesIO(capfdbinary.readouterr().out))
        assert result.format == expected and result.size == (70, 50), options
        assert result.has_transparency_data == (image is clear)


def test_a_reader_that_leaves_and_a_full_stdout_are_one_line(source, tmp_path):
    Image.effect_noise((700, 600), 99).save(tmp_path / "in.tif")
    command = [sys.executable, "-m", "chromagan", "colorize", str(tmp_path / "in.tif"), "-o", "-"]
    command += ["--source", str(source)]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.read(10)
    run.stdout.close()
    lines = run.stderr.read().decode().splitlines()
    assert run.wait(60) == 1 and lines == ["chromagan: stdout: the picture cannot be written: Broken pipe"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=120)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1 and lines == [
        "chromagan: stdout: the picture cannot be written: No space left on device"
    ]


def test_ctrl_c_is_one_line_and_leaves_nothing_half_written(source, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    for index in range(6):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    predict, calls = Colorizer.predict, []

    def interrupted(self, photos):
        calls.append(photos)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return predict(self, photos)

    monkeypatch.setattr(Colorizer, "predict", interrupted)
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--jobs", "1") == 130
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert [line for line in lines if "chromagan" in line] == [
        "chromagan: stopped: finished files are kept, and no file is half-written"
    ]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["0-compact-epoch-3.png", "1-compact-epoch-3.png"]
    for name in written:
        Image.open(tmp_path / "out" / name).load()


def test_a_photo_out_of_a_pipe_with_a_name(source, tmp_path):
    """As the shell's <(command) gives it."""
    os.mkfifo(tmp_path / "pipe")
    for content, status in ((stream(made_photo(0), format="JPEG"), 0), (b"hello", 1)):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
        writer.start()
        assert colorize(source, tmp_path / "pipe", "-o", tmp_path / "out.png", "--overwrite") == status
        writer.join()
    assert Image.open(tmp_path / "out.png").size == (64, 64)


def test_one_photo_into_a_file_without_a_suffix(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "a.png")
    (tmp_path / "out").touch()
    assert colorize(source, tmp_path / "a.png", "-o", tmp_path / "out") == 1
    assert "out: cannot write a file without a suffix" in capsys.readouterr().err


def test_colorize_refines_where_it_is_asked_to(refined_source, source, tmp_path):
    made_photo(0, 90, 100).save(tmp_path / "photo.png")
    pictures = []
    for flags in ([], ["--refine", "1"], ["--refine"], ["--refine", "0"]):
        out = tmp_path / f"{len(pictures)}.png"
        assert (
            main(["colorize", str(tmp_path / "photo.png"), "-o", str(out), "--source", str(refined_source), *flags])
            == 0
        )
        pictures.append(np.asarray(Image.open(out)))
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])
    assert np.array_equal(pictures[0], pictures[3])


def test_photos_of_any_kind_are_refined_unless_one_says_otherwise(refined_source, tmp_path, monkeypatch, capsys):
    made_photo(0, 90, 100).save(tmp_path / "photo.png")
    study = shutil.copytree(refined_source, tmp_path / "study")
    monkeypatch.setitem(NAMED_SOURCES, "general", study)

    def picture(*flags: str) -> np.ndarray:
        out = tmp_path / "out.png"
        arguments = ["colorize", str(tmp_path / "photo.png"), "-o", str(out), "--overwrite", "--source", "general"]
        assert main([*arguments, *flags]) == 0
        return np.asarray(Image.open(out))

    usual, refined, plain = picture(), picture("--refine"), picture("--refine", "0")
    assert np.array_equal(usual, refined) and not np.array_equal(usual, plain)
    assert not capsys.readouterr().err
    (study / "refiner" / "model.safetensors").write_bytes(b"torn")  # not asked for by name: it goes on without
    assert np.array_equal(picture(), plain)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: ") and line.endswith("; the colors are not refined")


@pytest.mark.parametrize(
    "source_name, steps, status, message",
    [("source", "1", 1, "has no refiner"), ("refined_source", "9", 1, "takes 0 to 2 steps, got 9"),
     ("refined_source", "-1", 2, "0 or more, got -1"), ("refined_source", "none.png", 2, "whole number")],
)  # fmt: skip
def test_a_refiner_that_was_asked_for_and_cannot_be_used_ends_it(
    request, tmp_path, capsys, source_name, steps, status, message
):
    made_photo(0).save(tmp_path / "photo.png")
    folder = request.getfixturevalue(source_name)
    arguments = ["colorize", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png"), "--source", str(folder)]
    try:
        assert main([*arguments, "--refine", steps]) == status
    except SystemExit as stop:
        assert stop.code == status
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1 and not (tmp_path / "out.png").exists()
