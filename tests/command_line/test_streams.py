"""The command line in a pipeline: standard streams, closed ones, and Ctrl-C."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from commands import ROOT, colorize
from made_photos import made_photo
from PIL import Image

from chromagan import Colorizer
from chromagan.__main__ import main


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


def test_what_exists_is_kept_if_asked(source, tmp_path, capsys, monkeypatch):
    """As without a stream; but no photo is ever in the place of its own result."""
    made_photo(0).save(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"the user's own")
    with open(tmp_path / "in.png") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert colorize(source, "-", "-o", tmp_path / "out.png", "--skip-existing") == 0
        assert capsys.readouterr().err == ""
        assert colorize(source, "-", "-o", tmp_path / "out.png") == 1
        assert "already exists: --overwrite replaces it, --skip-existing keeps it" in capsys.readouterr().err
        assert colorize(source, "-", "-o", tmp_path / "in.png", "--skip-existing") == 1
        assert "would replace the photo itself" in capsys.readouterr().err
    assert (tmp_path / "out.png").read_bytes() == b"the user's own"


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
        out, error = capfdbinary.readouterr()
        assert b"colored" not in error  # a stage of a pipeline does not say what colored
        result = Image.open(io.BytesIO(out))
        assert result.format == expected and result.size == (70, 50), options
        assert result.has_transparency_data == (image is clear)


def test_the_folder_of_a_streams_result_is_made(source, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    made_photo(0).save(buffer, "PNG")
    for name, status in (("new/deeper/x.png", 0), ("new/deeper/x.png/y.png", 1)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(buffer.getvalue())))
        assert colorize(source, "-", "-o", tmp_path / name) == status
    assert Image.open(tmp_path / "new" / "deeper" / "x.png").size == (64, 64)


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


def interrupt(monkeypatch, number: int) -> list:
    """Presses Ctrl-C at prediction `number`, counted from 1; what is predicted is appended to the result."""
    predict, calls = Colorizer.predict, []

    def interrupted(self, photos):
        calls.append(photos)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return predict(self, photos)

    monkeypatch.setattr(Colorizer, "predict", interrupted)
    return calls


def test_ctrl_c_is_one_line_and_leaves_nothing_half_written(source, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    for index in range(6):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    interrupt(monkeypatch, 3)
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--jobs", "1") == 130
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert [line for line in lines if "chromagan" in line] == [
        "chromagan: stopped: finished files are kept, and no file is half-written"
    ]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["0-compact-epoch-3.png", "1-compact-epoch-3.png"]
    for name in written:
        Image.open(tmp_path / "out" / name).load()


def test_ctrl_c_ends_a_book_after_its_page_and_tells_what_failed_before(source, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"not a JPEG")
    made_photo(0).save(tmp_path / "in" / "book.tif", save_all=True, append_images=[made_photo(1)] * 30)
    calls = interrupt(monkeypatch, 2)
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--jobs", "1") == 130
    assert len(calls) == 2 and not list((tmp_path / "out").iterdir())
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert any(line.startswith(f"chromagan: {tmp_path / 'in' / 'a.jpg'}: it is not") for line in lines)


def test_ctrl_c_twice_is_as_once(source, tmp_path):
    """The second comes while the threads of the first's last photos compute."""
    (tmp_path / "in").mkdir()
    made_photo(0, 600, 800).save(tmp_path / "in" / "0.jpg")
    for index in range(1, 60):  # so many that it is never done before it is stopped
        shutil.copy(tmp_path / "in" / "0.jpg", tmp_path / "in" / f"{index}.jpg")
    command = [sys.executable, "-m", "chromagan", "colorize", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    run = subprocess.Popen(
        [*command, "--source", str(source), "--jobs", "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("out/*.jpg")):
        assert run.poll() is None
        time.sleep(0.01)
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        time.sleep(0.1)
    lines = run.communicate(timeout=120)[1].splitlines()
    assert run.returncode == 130
    assert lines[-1] == "chromagan: stopped: finished files are kept, and no file is half-written"
    assert not any("Traceback" in line for line in lines) and not list((tmp_path / "out").glob(".*"))


def test_a_photo_out_of_a_pipe_with_a_name(source, tmp_path):
    """As the shell's <(command) gives it."""
    os.mkfifo(tmp_path / "pipe")
    for content, status in ((stream(made_photo(0), format="JPEG"), 0), (b"hello", 1)):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
        writer.start()
        assert colorize(source, tmp_path / "pipe", "-o", tmp_path / "out.png", "--overwrite") == status
        writer.join()
    assert Image.open(tmp_path / "out.png").size == (64, 64)
