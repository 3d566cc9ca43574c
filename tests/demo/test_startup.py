"""How the demo starts and ends: without checkpoints, with damaged ones, and with nothing left behind."""

import atexit
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading

import gradio as gr
import pytest
from assistant import ask
from demo_server import APP, START_SECONDS, environment, running_demo
from gradio_client import Client, handle_file
from made_demo import EPOCHS, variables


def test_empty_source_is_one_line_and_status_1(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    run = subprocess.run(
        [sys.executable, APP],
        env=environment(**variables(empty, tmp_path / "tmp")),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1 and "no checkpoints" in run.stderr, run.stderr


@pytest.mark.parametrize("argument, status", [("--help", 0), ("--share", 2)])
def test_an_argument_starts_no_server(tmp_path, argument, status):
    variables = environment(GRADIO_SERVER_NAME="no such address", TMPDIR=str(tmp_path))
    run = subprocess.run([sys.executable, APP, argument], env=variables, capture_output=True, text=True, timeout=60)
    assert run.returncode == status and not list(tmp_path.iterdir())
    if status:
        assert run.stdout == "" and run.stderr == "app.py: error: unrecognized arguments: --share\n"
    else:
        assert "CHROMAGAN_SOURCE: study, general" in run.stdout and run.stderr == ""


def test_damaged_source_is_one_line(demo_source, tmp_path, monkeypatch):
    damaged = shutil.copytree(demo_source, tmp_path / "damaged")
    (damaged / "compact" / "epoch-3" / "model.safetensors").write_bytes(b"weights")
    for name, value in variables(damaged, tmp_path / "tmp").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:  # Python prints its text, with status 1
        runpy.run_path(str(APP))
    assert "cannot be used" in caught.value.code and "\n" not in caught.value.code


def test_source_within_reach_is_used_and_named(demo_source, tmp_path, monkeypatch, capsys):
    """Without a Hub: the source that ships stands for one that a visitor named."""
    for name, value in variables(demo_source, tmp_path / "tmp").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # as if it were not set: Gradio's own folder is every program's
    app = runpy.run_path(str(APP))
    assert app["service"].files.folder.name.startswith("chromagan-studio-")
    monkeypatch.setattr(app["service"], "source", lambda name: app["service"].shipped)
    assert app["offers_tools"]()
    # The page waits for none of the API's requests, which may fetch a photo from a slow server.
    lanes = {"public": set(), "private": set()}
    for event in app["demo"].fns.values():
        lanes[event.api_visibility].add(event.concurrency_id)
    assert len(lanes["public"]) == 2 and not lanes["public"] & lanes["private"]
    box, applied, *_, epochs_of, network, about = app["updates"].on_source("owner/name")
    assert not network.visible and "no readable" in about  # its networks are no choice; it has no claims.json
    assert (box.value, applied, box.info) == ("owner/name", "owner/name", f"Using {demo_source.name}.")
    assert [value for _, value in epochs_of.choices] == list(EPOCHS)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not app["offers_tools"]()
    assert capsys.readouterr().err == "app.py: tools for assistants are off: pip install 'gradio[mcp]' turns them on\n"


def test_nothing_keeps_the_page_waiting_while_it_starts(demo_source, tmp_path, monkeypatch, capfd):
    """Gradio looks at its own page once and gives up after three seconds: loading and compiling begin behind that."""
    for name, value in variables(demo_source, tmp_path / "tmp").items():
        monkeypatch.setenv(name, value)
    before, begun, heeded = set(threading.enumerate()), [], []

    def launch(*arguments, **options):
        begun.extend(thread.name for thread in threading.enumerate() if thread not in before)
        heeded.extend(map(signal.getsignal, (signal.SIGTERM, signal.SIGHUP)))
        raise ValueError("When localhost is not accessible, a shareable link must be created.")

    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(sys, "argv", [str(APP)])
    monkeypatch.setattr(gr.Blocks, "launch", launch)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(APP), run_name="__main__")
    assert caught.value.code == 1
    assert not [name for name in begun if "maintain" in name or "warm_up" in name]  # named after what they run
    assert callable(heeded[0]) and heeded[0] is heeded[1]  # a closed terminal, too, leaves no one's photo behind
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "localhost" in line]
    assert line.startswith("app.py: ")


def test_server_is_clean_afterwards(demo_source, harbor, tmp_path):
    """It ends when it is told to, though Gradio keeps a thread for each tool that was called; no one's photo stays."""
    folder = tmp_path / "demo"
    folder.mkdir()
    with running_demo(folder, **variables(demo_source, folder / "tmp")) as own:
        client = Client(own.url, verbose=False, download_files=False)
        client.predict(handle_file(harbor), api_name="/colorize")
        client.close()
        ask(own.url, ("checkpoints", {}))
        assert any((folder / "tmp").rglob("harbor.jpg"))
    assert "Traceback" not in own.log.read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["log", "tmp"]  # no .gradio/ beside it
    assert not any((folder / "tmp").iterdir())
