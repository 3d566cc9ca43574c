"""Scripts launched for real: by `accelerate launch`, on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Where no system gives ports to those who ask for any: the launcher's choice, --main_process_port 0, is free when it
# looks, and may be a browser's or a server's by the time its processes have started and bind it, seconds later.
PORT = 20_000 + os.getpid() % 10_000


def launch_command(*arguments, processes=1, script="train/train.py"):
    """A real `accelerate launch` on the CPU; the script alone where `processes` is None."""
    several = ["--multi_gpu"] if processes and processes > 1 else []  # the launcher's name for "several processes"
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [*command, "--main_process_port", str(PORT), script] if processes else [sys.executable, script]
    return [*command, *map(str, arguments)]


def launch(*arguments, **options):
    command = launch_command(*arguments, **options)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
