"""The demo's folder and environment, before anything of Prefect is imported: it reads its settings once, at import."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from console import prefect_server
from console.processes import refuse_taken
from store.errors import InvalidInput

MARKER = "demo-of-assay"


def start(folder: Path, ports: Mapping[str, int], *, once: bool, weeks: int) -> None:
    """Become the demo: this process goes on as ``python -m console.demo`` in a folder begun anew. Does not return."""
    refuse_taken(ports)
    home = anew(folder)
    env = prefect_server.environment(home / "prefect", ports["prefect"], home / "root")
    env["ASSAY_CONSOLE_URL"] = f"http://127.0.0.1:{ports['console']}"
    asked = json.dumps({"home": str(home), "ports": dict(ports), "once": once, "weeks": weeks})
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "console.demo", asked], env)


def anew(folder: Path) -> Path:
    """The demo's folder, empty. InvalidInput when something else than an earlier demo lies there."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise InvalidInput(
                f"{folder} is not an earlier demo's folder.",
                "It is not empty.",
                "Give another one with --root; nothing was deleted.",
            )
        shutil.rmtree(folder)
    (folder / "prefect").mkdir(parents=True)
    (folder / MARKER).touch()
    return folder
