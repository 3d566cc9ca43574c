"""The job for rented hardware: what it brings, what it runs, how it is stopped and goes on, and what it refuses.

A small project stands for this one, so that nothing is trained; study.py itself has tests of its own.
"""

import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

from train.job import JobError, check_hub, check_output, fetch, hourly_price, parse_args, run
from train.study import parse_args as parse_study
from train.study import plan

ROOT = Path(__file__).resolve().parents[3]
# Steps one by one, each kept; on SIGTERM it ends as study.py does. The second revision takes two steps.
STUDY = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[sys.argv.index("--output-dir") + 1])
folder.mkdir(exist_ok=True)
(folder / "calls").open("a").write(" ".join(sys.argv[1:]) + chr(10))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
kept = folder / "steps"
for step in range(len(kept.read_text()) if kept.exists() else 0, STEPS):
    kept.write_text("x" * (step + 1))
    time.sleep(0.05 if (folder / "stopped").exists() else 30)
print("trackio in", os.environ["TRACKIO_DIR"])
"""
PUBLISH = "import sys; open(sys.argv[3] + '/pushed', 'w').write(' '.join(sys.argv[1:]))"


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A repository with the two scripts that the job runs, at revisions v1 and v2."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "train").mkdir()
    (folder / "chromagan").mkdir()
    (folder / "chromagan" / "__main__.py").write_text(PUBLISH)
    git(folder, "init", "--quiet")
    for revision, steps in (("v1", 3), ("v2", 2)):
        (folder / "train" / "study.py").write_text(STUDY.replace("STEPS", str(steps)))
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "-m", revision)
        git(folder, "tag", revision)
    return folder


def job(project: Path, folder: Path, *flags: str) -> list[str]:
    command = [sys.executable, str(ROOT / "train" / "job.py"), "--code", str(project), "--revision", "v1"]
    return [*command, "--output-dir", str(folder / "study"), "--epochs", "3", *flags]


@pytest.fixture(autouse=True)
def no_trackio(monkeypatch):
    monkeypatch.delenv("TRACKIO_DIR", raising=False)  # tests of the tracker set it for their process


def test_a_job_that_is_stopped_goes_on_by_the_same_command(project, tmp_path):
    """At the first revision, not the newest; the second time it ends, and nothing is taken twice."""
    study = tmp_path / "study"
    process = subprocess.Popen(job(project, tmp_path))
    deadline = time.monotonic() + 60
    while not (study / "steps").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130  # not 0: the machine's owner is to try again
    assert (study / "steps").read_text() == "x"
    (study / "stopped").touch()
    again = subprocess.run(job(project, tmp_path), capture_output=True, text=True, timeout=60)
    assert again.returncode == 0 and again.stdout == f"trackio in {study / 'trackio'}\n", again.stderr
    assert (study / "steps").read_text() == "xxx"
    assert set((study / "calls").read_text().splitlines()) == {f"--epochs 3 --output-dir {study}"}


def test_a_job_that_is_to_outlive_its_terminal_does():
    """nohup ignores SIGHUP."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert run(["true"], {}) == 0 and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert callable(signal.getsignal(signal.SIGTERM))


def test_a_dry_run_says_what_would_be_done_and_does_nothing(project, tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "stopped").touch()
    flags = ["--push-to-hub", "someone/study", "--flavor", "l4x1", "--dry-run"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = subprocess.run(job(project, tmp_path, *flags), capture_output=True, text=True, timeout=60)
    study, publish, price, *_ = said.stdout.splitlines()
    pushed = ["--push-to-hub", "someone/study"]
    assert shlex.split(study)[2:] == ["--epochs", "3", "--output-dir", str(tmp_path / "study"), *pushed]
    assert publish.endswith(f"-m chromagan publish --source {tmp_path / 'study'} --to someone/study")
    assert price == "l4x1: price: see hf jobs hardware"
    assert (tmp_path / "study" / "calls").read_text().endswith(" --dry-run\n")


def test_what_the_job_brings_is_what_the_project_asks_for():
    """Its inline dependencies, of PEP 723, are lines of the requirements, and hub, data and judges are among them."""
    text = (ROOT / "train" / "job.py").read_text(encoding="utf-8")
    block = re.match(r"# /// script\n((?:#(?: .*)?\n)+?)# ///\n", text)[1]
    inline = tomllib.loads(re.sub(r"(?m)^# ?", "", block))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert inline["requires-python"] == project["requires-python"]
    lines = [line for name in ("", "-dev") for line in (ROOT / f"requirements{name}.txt").read_text().splitlines()]
    asked = {line.partition("  #")[0] for line in lines}
    assert set(inline["dependencies"]) <= asked, set(inline["dependencies"]) - asked
    names = {re.match(r"[\w-]+", each)[0] for each in inline["dependencies"]}
    assert names >= {re.match(r"[\w-]+", each)[0] for each in project["dependencies"]} | {
        "accelerate",
        "datasets",
        "trackio",
    }


def test_its_options_reach_study_and_train():
    own, rest = parse_args(
        ["--output-dir", "o", "--decoders", "compact", "--data", "d", "--epochs", "3", "--lr", "0.5"]
    )
    study, flags = parse_study([*rest, "--output-dir", str(own.output_dir)])
    (run,) = plan(study.decoders, flags)
    assert run.config.lr == 0.5 and run.config.output_dir == str(Path("o").absolute()) and own.code == str(ROOT)


def test_its_help_shows_a_command_that_can_be_copied(capsys):
    with pytest.raises(SystemExit):
        parse_args(["--help"])
    example = capsys.readouterr().out.split("\n\n")[2]
    assert [line[-2:] for line in example.splitlines()] == [" \\", " \\", "me"]
    assert shlex.split(example)[:2] == ["hf", "jobs"] and shlex.split(example)[-2:] == ["--push-to-hub", "owner/name"]


@pytest.mark.parametrize("revision, words", [("v9", "--revision v9 cannot be fetched"), (None, "no train/study.py in")])
def test_code_that_is_not_there_is_one_line(project, tmp_path, revision, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match=words) as caught:
        fetch(str(project if revision else tmp_path / "empty"), revision, tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(JobError, match="nowhere --revision HEAD cannot be fetched"):
        fetch(str(tmp_path / "nowhere"), None, tmp_path / "other")


def test_a_folder_that_is_not_mounted_and_a_missing_token_are_one_line(tmp_path, monkeypatch):
    check_output(tmp_path / "study")
    with pytest.raises(JobError, match="no folder .*runs for --output-dir: mount one"):
        check_output(tmp_path / "runs" / "study")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(JobError, match="--push-to-hub: cannot push to someone/study: the Hub is out of reach"):
        check_hub("someone/study", ROOT)


def test_the_price_is_the_hubs(monkeypatch):
    machine = SimpleNamespace(name="l4x1", unit_cost_usd=0.02, unit_label="minute")
    monkeypatch.setattr(HfApi, "list_jobs_hardware", lambda self: [machine])
    assert hourly_price("l4x1") == pytest.approx(1.2)
    with pytest.raises(JobError, match="no machine 'l4x9'; choose from l4x1"):
        hourly_price("l4x9")
    monkeypatch.delattr(HfApi, "list_jobs_hardware")
    assert hourly_price("l4x1") is None
