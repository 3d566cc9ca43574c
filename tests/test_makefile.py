"""Set-up by make: what it does again, and when."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALL = "-m pip install --quiet -r requirements.txt"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_environment_whose_python_is_gone_is_set_up_anew(tmp_path):
    """The system's Python was updated: the link to the old one leads nowhere."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    (tmp_path / "requirements.txt").touch()
    for stamp in (".demo", ".test"):
        (tmp_path / ".venv" / stamp).touch()

    def planned() -> str:
        command = ["make", "--dry-run", "demo"]
        alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=True).stdout

    python.symlink_to(sys.executable)
    assert planned() == ".venv/bin/python app.py\n"
    python.unlink()
    python.symlink_to(tmp_path / "python3.10")
    said = planned()
    assert "-m venv --clear .venv" in said and INSTALL in said and said.endswith(".venv/bin/python app.py\n")
