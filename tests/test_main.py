"""The command line, run as a person runs it: a process, its output, its exit status."""

import json
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
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


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
    assert "2 colored, 1 not" in result.stderr and "Traceback" not in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a-compact-epoch-0.png",
        "b-compact-epoch-0.webp",
    ]


def test_nothing_is_overwritten_unasked(source, tmp_path):
    made_photo(0).save(tmp_path / "in.png")
    made_photo(1).save(tmp_path / "out.png")
    before = (tmp_path / "out.png").read_bytes()
    arguments = ("colorize", tmp_path / "in.png", "-o", tmp_path / "out.png", "--source", source)
    assert "out.png exists already: --overwrite replaces it" in one_line(chromagan(*arguments), 1)
    assert (tmp_path / "out.png").read_bytes() == before
    assert chromagan(*arguments, "--overwrite").returncode == 0
    assert (tmp_path / "out.png").read_bytes() != before


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
