"""Scripts launched for real: by `accelerate launch`, on the CPU."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def launch_command(*arguments, processes=1, script="train/train.py"):
    """A real `accelerate launch` on the CPU; the script alone where `processes` is None."""
    several = ["--multi_gpu"] if processes and processes > 1 else []  # the launcher's name for "several processes"
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [*command, script] if processes else [sys.executable, script]
    return [*command, *map(str, arguments)]


def launch(*arguments, **options):
    command = launch_command(*arguments, **options)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
