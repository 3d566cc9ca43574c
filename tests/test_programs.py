"""What all programs share: streams, lines and folders."""

import os
import signal
import sys

import pytest
import torch

from chromagan import CheckpointError, ImageError
from chromagan.errors import ChromaGANError, OptionError
from chromagan.programs import (
    ArgumentParser,
    check_output_folder,
    errors_in_one_line,
    is_closed,
    one_line,
    open_closed_streams,
    printable,
    set_signal_handler,
)


@pytest.mark.parametrize(
    "error, line",
    [
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("of its own words"), "of its own words"),
        (MemoryError(), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "not enough memory",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "not enough memory"),
        (RuntimeError("a library's\n   two lines"), "a library's two lines"),
        (ValueError("a\nb.png: it is a folder"), r"a\nb.png: it is a folder"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_is_one_line(error, line):
    assert one_line(error) == line


@pytest.mark.parametrize(
    "error",
    [
        ChromaGANError("a reason"),
        CheckpointError("a reason"),
        ImageError("a reason"),
        OptionError("a reason"),
        OSError("a reason"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_a_user_can_mend_ends_a_program_in_one_line(error):
    with pytest.raises(SystemExit) as ended, errors_in_one_line("do.py"):
        raise error
    assert ended.value.code == f"do.py: {one_line(error)}"


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, RuntimeError, KeyboardInterrupt])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(error), errors_in_one_line("do.py"):
        raise error("a bug")


def test_an_error_of_this_project_is_of_its_usual_kind_too():
    assert issubclass(ImageError, ValueError) and issubclass(CheckpointError, RuntimeError)
    assert issubclass(OptionError, ValueError) and not issubclass(ChromaGANError, ValueError)


def test_a_name_cannot_end_a_line_or_color_the_terminal():
    assert printable("Café 写真 \U0001f4f7.jpg") == "Café 写真 \U0001f4f7.jpg"
    assert printable("a\nb\t\x1b[31m\x00\u2028\udcff.jpg") == r"a\nb\t\x1b[31m\x00\u2028\udcff.jpg"


def test_a_signal_that_is_ignored_stays_so():
    """As nohup leaves it; the system may lack one."""
    got = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_signal_handler(lambda number, frame: got.append(number), "SIGHUP", "SIGTERM", "SIGNONE")
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    assert got == [signal.SIGTERM] and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_streams_that_are_closed_become_the_null_device(monkeypatch):
    there = sys.stdout
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stderr", None)
    open_closed_streams()
    assert is_closed(sys.stdin) and is_closed(sys.stderr) and sys.stdout is there and not is_closed(there)
    assert sys.stdin.read() == ""
    print("to nobody", file=sys.stderr)
    for stream in (sys.stdin, sys.stderr):
        stream.close()


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for fine in (tmp_path, tmp_path / "new" / "deeper", "."):
        check_output_folder(fine)
    for name in ("file", "link", "file/below/it"):
        with pytest.raises(NotADirectoryError) as error:
            check_output_folder(tmp_path / name)
        wrong = tmp_path / name.split("/")[0]
        assert str(error.value) == f"{tmp_path / name} cannot be written to: {wrong} is a file, not a folder"
    with pytest.raises(OSError, match="no folder is named"):
        check_output_folder("")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]
    (tmp_path / "disk").symlink_to(tmp_path / "unplugged")
    with pytest.raises(NotADirectoryError, match="disk is a link to a folder that is missing"):
        check_output_folder(tmp_path / "disk" / "new")


def test_output_does_not_go_among_the_photos(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    check_output_folder(tmp_path / "run", ["owner/name", str(tmp_path / "photos")])
    for folder in ("photos", "photos/run", "link/run"):
        with pytest.raises(OSError, match="whose photos its pictures would join"):
            check_output_folder(tmp_path / folder, ["owner/name", str(tmp_path / "photos")])


def test_a_wrong_argument_is_one_line_in_a_subcommand_too(capsys):
    parser = ArgumentParser(prog="do.py")
    parser.add_subparsers(required=True).add_parser("color").add_argument("--epoch", type=int)
    for arguments, line in (
        (["color", "--epoch", "x"], "do.py color: error: argument --epoch: invalid int value: 'x'\n"),
        (["paint"], "do.py: error: argument {color}: invalid choice: 'paint' (choose from 'color')\n"),
    ):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(arguments)
        assert ended.value.code == 2 and capsys.readouterr().err == line
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "usage: do.py" in capsys.readouterr().out
