"""A copy of the workspace to write features and pipelines into: what is laid out there never reaches the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

WORKSPACE = Path(__file__).parent.parent
PARTS = ("store", "flows", "console", "tests", "conftest.py", "pyproject.toml")


def copied(target: Path) -> Path:
    """The code at another place, without caches."""
    for name in PARTS:
        part = WORKSPACE / name
        if part.is_dir():
            shutil.copytree(part, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(part, target / name)
    return target


def environment(workspace: Path) -> dict[str, str]:
    """Of a command that runs the copy's code on the copy's own root, and finds ``assay`` and ``python`` as this test does."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {
        "PYTHONPATH": str(workspace),
        "ASSAY_ROOT": str(workspace / ".assay"),
        "PATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return os.environ | own


def run(workspace: Path, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """A command of Python in the copy; what it printed, whatever came of it."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=workspace,
        env=environment(workspace),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
