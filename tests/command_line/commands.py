"""How the tests run the command line: as a process, or in this one."""

import subprocess
import sys
from pathlib import Path

from chromagan.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def chromagan(*arguments):
    """A real start; most tests call `main`, which is quicker."""
    command = [sys.executable, "-m", "chromagan", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def colorize(source, *arguments):
    """What `main` returns, in this process."""
    return main(["colorize", "--source", str(source), *map(str, arguments)])
