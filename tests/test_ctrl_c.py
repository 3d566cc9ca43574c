"""Ctrl-C: one line and status 130 from every program, whenever it is pressed."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chromagan.programs import end_in_one_line, raise_again

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ["app.py", "chromagan/__main__.py", *(f"train/{path.name}" for path in (ROOT / "train").glob("*.py"))]
LIGHT = {*sys.stdlib_module_names, "chromagan.programs", "chromagan.demo.address"}
ALONE = {"train/__init__.py", "train/job.py"}  # of the standard library until Ctrl-C is heeded


@pytest.fixture
def handlers():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_a_program_by_one_line_of_its_first_process(handlers, capsys, monkeypatch):
    end_in_one_line("x.py: stopped")
    for rank, said in (("0", "x.py: stopped\n"), ("", "x.py: stopped\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), signal.SIGINT)
        assert ended.value.code == 130 and capsys.readouterr().err == said
    raise_again()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_where_ctrl_c_is_ignored_it_stays_so(handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_in_one_line("x.py: stopped")
    raise_again()
    os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize("script", sorted({*SCRIPTS} - ALONE))
def test_ctrl_c_is_heeded_before_what_takes_seconds_is_imported(script):
    tree = ast.parse((ROOT / script).read_text())
    heeded = min(
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and "end_in_one_line" in ast.unparse(node.func)
    )
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) and node.lineno < heeded:
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert all(name in LIGHT or name.split(".")[0] in sys.stdlib_module_names for name in names), names


@pytest.mark.parametrize(
    "command, name",
    [(["-m", "chromagan", "list"], "chromagan"), (["train/evaluate.py"], "evaluate.py"), (["app.py"], "app.py")],
)
def test_ctrl_c_while_libraries_are_loaded(command, name):
    """A person presses it in the first seconds, too. NumPy swallows an exception there, and fails later."""
    run = subprocess.Popen(
        [sys.executable, "-X", "importtime", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    for line in run.stderr:
        if "numpy._core" in line:
            break
    run.send_signal(signal.SIGINT)
    rest = [line for line in run.stderr.read().splitlines() if not line.startswith("import time")]
    assert run.wait(60) == 130 and len(rest) == 1 and rest[0].startswith(f"{name}: stopped")


def test_sigterm_while_the_demo_starts_leaves_no_folder(tmp_path):
    """A machine that is taken back, or a container that is stopped, does not wait for the first page."""
    run = subprocess.Popen(
        [sys.executable, "-X", "importtime", "app.py"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""},
    )  # fmt: skip
    for line in run.stderr:
        if "numpy._core" in line:
            break
    assert [path.name.startswith("chromagan-studio-") for path in tmp_path.iterdir()] == [True]
    run.send_signal(signal.SIGTERM)
    rest = [line for line in run.stderr.read().splitlines() if not line.startswith("import time")]
    assert run.wait(60) == 0 and not rest and not list(tmp_path.iterdir())


def test_ctrl_c_while_a_job_fetches_its_code(tmp_path):
    """job.py is sent alone: it heeds Ctrl-C by itself."""
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\necho cloning >&2\necho here > fetching\nexec sleep 60\n")
    git.chmod(0o755)
    command = [sys.executable, str(ROOT / "train" / "job.py"), "--code", "x", "--output-dir", str(tmp_path / "out")]
    run = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PATH": str(tmp_path) + os.pathsep + os.environ["PATH"]},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "fetching").exists():
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    assert (
        run.communicate(timeout=60)[1] == "job.py: stopped; run the same command to start again\n"
        and run.returncode == 130
    )
