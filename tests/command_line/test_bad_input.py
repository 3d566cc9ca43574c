"""What the command line is given and cannot use: one line, a status, and the other photos colored."""

import errno
import os
import resource

import pytest
from commands import colorize
from made_photos import made_photo
from PIL import Image

from chromagan.__main__ import main
from chromagan.colorizer import warm_up


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
        (["colorize", "{photo}", "-o", "{folder}/out.xyz"], 1, "cannot write .xyz: use .jfif, .jpe, .jpg"),
        (["colorize", "{photo}"], 2, "required: -o/--output"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "-1"], 2, "must be a number, 0 to 3, got -1"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "3.1"], 2, "must be a number, 0 to 3, got 3.1"),
        (["colorize", "{photo}", "-o", "{out}", "--saturation", "much"], 2, "must be a number, 0 to 3, got much"),
        (["colorize", "{photo}", "-o", "{out}", "--jobs", "0"], 2, "must be a whole number, 1 or more, got 0"),
        (["colorize", "{photo}", "-o", "{out}", "--all", "--epoch", "3"], 2, "cannot be combined with --decoder"),
        (["colorize", "{photo}", "-o", "{out}", "--overwrite", "--skip-existing"], 2, "not allowed with"),
        (["colorize", "{photo}", "{photo}", "-o", "{folder}/new.jpg"], 1, "is the name of a photo: for several"),
        (["colorize", "{folder}", "-o", "{folder}/new.jpg"], 1, "is the name of a photo: for several"),
        (["colorize", "{photo}", "{photo}", "-o", "{folder}/text.jpg"], 1, "is a file: for several pictures"),
        (["colorize", "-", "{photo}", "-o", "{out}"], 1, "'-' is one photo"),
        (["colorize", "-", "-o", "{folder}/new/"], 1, "new/: a photo from stdin has no name: -o must be a file"),
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


@pytest.mark.parametrize("command", ["list", "colorize", "export", "publish"])
def test_help_says_what_is_used_by_default(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # one line for each option
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  --")}
    assert stop.value.code == 0
    default = "general, trained on more kinds of photos, if it has the decoder; study with --epoch and with --all"
    assert lines["--source"].endswith(f"(default: {default if command == 'colorize' else 'study'})")
    assert ("owner/name" in lines["--source"]) == (command != "publish")
    assert ("--epoch" in lines) == (command in ("colorize", "export"))
    if "--epoch" in lines:
        assert lines["--epoch"].endswith("default: the recommended epoch (see docs/coloring.md)")
    if command == "colorize":
        assert lines["--saturation"].endswith("multiplies the chroma: 0 to 3 (1)")


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
    monkeypatch.setattr(f"chromagan.command_line.coloring.{place}", fail)
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


def test_a_folder_that_cannot_be_entered_costs_its_own_photos_only(source, tmp_path, capsys, monkeypatch):
    """It can be listed; asked about what lies in it, Python 3.11 raises. Root may enter every folder."""
    for name in ("open/a.png", "closed/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        made_photo(0).save(tmp_path / "in" / name)
    stat = os.stat

    def refused(path, **options):
        if not isinstance(path, int) and os.fspath(path).endswith("b.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    for option in (), ("--overwrite",):
        monkeypatch.setattr(os, "stat", refused)
        status = colorize(source, tmp_path / "in", "-o", tmp_path / "out", *option)
        monkeypatch.undo()
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        assert status == 1 and f"chromagan: {tmp_path / 'in' / 'closed' / 'b.png'}: Permission denied" in lines
        assert [path.name for path in (tmp_path / "out").rglob("*.png")] == ["a-compact-epoch-3.png"]


def test_a_result_folder_that_cannot_be_made_costs_its_own_photos_only(source, tmp_path, capsys):
    for name in ("good/a.png", "gone/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        made_photo(0).save(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gone").symlink_to(tmp_path / "disk")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert f"b.png: {tmp_path}/out/gone cannot be written to: {tmp_path}/out/gone is a link to a folder that" in error
    assert (tmp_path / "out" / "good" / "a-compact-epoch-3.png").exists()
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out" / "gone") == 1  # none of them has a place
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("out/gone is a link to a folder that is missing")
