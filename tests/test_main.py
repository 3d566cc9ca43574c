"""The command line, run as a person runs it: a process, its output, its exit status."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import made_photo
from PIL import Image
from skimage import color as reference

from chromagan.__main__ import main

ROOT = Path(__file__).resolve().parent.parent


def chromagan(*arguments):
    command = [sys.executable, "-m", "chromagan", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def one_line(result, status):
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_list(source):
    entries = json.loads(chromagan("list", "--source", source, "--json").stdout)
    assert [(entry["decoder"], entry["epoch"]) for entry in entries] == [
        ("compact", 0),
        ("compact", 3),
        ("depthwise", 0),
    ]
    text = chromagan("list", "--source", source).stdout
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


def test_colorize_a_folder_goes_on_past_bad_files(source, tmp_path):
    photos = tmp_path / "photos"
    (photos / "deeper").mkdir(parents=True)
    made_photo(0).save(photos / "a.png")
    made_photo(1).save(photos / "deeper" / "b.webp")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 not a JPEG")
    result = chromagan(
        "colorize", photos, "-o", tmp_path / "out", "--source", source, "--decoder", "compact", "--epoch", "0"
    )
    assert result.returncode == 1
    assert "broken.jpg: it is not an image that can be read" in result.stderr
    assert "2 of 3 photos colored" in result.stderr and "Traceback" not in result.stderr
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a-compact-epoch-0.png", "deeper/b-compact-epoch-0.webp"]


def test_nothing_is_overwritten_unasked(source, tmp_path):
    made_photo(0).save(tmp_path / "in.png")
    made_photo(1).save(tmp_path / "out.png")
    before = (tmp_path / "out.png").read_bytes()
    arguments = ("colorize", tmp_path / "in.png", "-o", tmp_path / "out.png", "--source", source)
    assert "out.png exists already: --overwrite replaces it" in one_line(chromagan(*arguments), 1)
    assert (tmp_path / "out.png").read_bytes() == before
    assert chromagan(*arguments, "--overwrite").returncode == 0
    assert (tmp_path / "out.png").read_bytes() != before


def colorize(source, *arguments):
    """In this process, which is quicker: what `main` returns."""
    return main(["colorize", "--source", str(source), *map(str, arguments)])


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


def test_two_photos_of_one_name_do_not_replace_each_other(source, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made_photo(0).save(tmp_path / name / "photo.png")
    status = colorize(source, tmp_path / "a/photo.png", tmp_path / "b/photo.png", "-o", tmp_path / "out")
    assert status == 1 and "would replace those of" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 1


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
        (["colorize", "{folder}/text.jpg", "-o", "{out}"], 1, "text.jpg: it is not an image that can be read"),
        (["colorize", "{folder}/none.jpg", "-o", "{out}"], 1, "none.jpg: there is no such file"),
        (["colorize", "{folder}/empty", "-o", "{out}"], 1, "no images in this folder"),
        (["colorize", "{photo}", "-o", "{folder}/out.xyz"], 1, "cannot write .xyz: use .jpg"),
        (["colorize", "{photo}"], 2, "required: -o/--output"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "-1"], 2, "must be 0 or more, got -1"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "much"], 2, "invalid _at_least_0 value: 'much'"),
        (["colorize", "{photo}", "-o", "{out}", "--jobs", "0"], 2, "must be 1 or more, got 0"),
        (["colorize", "{photo}", "-o", "{out}", "--all", "--epoch", "3"], 2, "goes without --decoder and --epoch"),
        (["colorize", "{photo}", "-o", "{out}", "--overwrite", "--skip-existing"], 2, "not allowed with"),
        (["colorize", "{photo}", "{photo}", "-o", "{folder}/text.jpg"], 1, "is a file: for several pictures"),
        (["colorize", "-", "{photo}", "-o", "{out}"], 1, "'-' is one photo"),
        (["list", "--source", "{folder}/empty"], 1, "no checkpoints in"),
        (["list", "--source", "{folder}/none"], 1, "no folder"),
        (["paint"], 2, "invalid choice: 'paint'"),
        ([], 2, "required: COMMAND"),
    ],
)
def test_bad_input_is_one_line(source, tmp_path, capsys, arguments, status, message):
    made_photo(0).save(tmp_path / "photo.png")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty").mkdir()
    places = {"photo": tmp_path / "photo.png", "out": tmp_path / "out.png", "folder": tmp_path}
    arguments = [argument.format(**places) for argument in arguments]
    if arguments and arguments[0] == "colorize":
        arguments += ["--source", str(source)]
    try:
        returned = main(arguments)
    except SystemExit as stop:  # argparse's way
        returned = stop.code
    lines = capsys.readouterr().err.strip().splitlines()
    assert returned == status and len(lines) == 1 and message in lines[0], lines
    assert not (tmp_path / "out.png").exists() and not list(tmp_path.glob(".*"))


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(source, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    for index in range(2):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    save = Image.Image.save

    def full(self, file, *rest, **options):
        if "0-compact" in getattr(file, "name", ""):
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, file, *rest, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 1
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    (problem,) = (line for line in lines if line.startswith("chromagan: "))
    assert "0.png" in problem and "No space left on device" in problem
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
