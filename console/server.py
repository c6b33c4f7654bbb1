"""The console's server: Streamlit on 127.0.0.1, asking nobody and telling nobody."""

from __future__ import annotations

import sys
from pathlib import Path

APP = Path(__file__).parent / "app.py"
WORKSPACE = APP.parent.parent


def command(port: int) -> list[str]:
    """The command that serves the console on a port of 127.0.0.1."""
    options = {
        "server.port": str(port),
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(APP),
        *(f"--{name}={value}" for name, value in options.items()),
    ]
