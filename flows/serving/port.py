"""What a supervisor and its process share: a listening socket, on this machine only, and the word for ready."""

from __future__ import annotations

import errno
import socket

from store.errors import Unreachable

HOST = "127.0.0.1"
READY = b"ready\n"
"""What a serving process tells its supervisor once it serves a model."""


def listening(port: int = 0) -> socket.socket:
    """A socket that listens on ``port`` (0: any free one). Unreachable: the port is taken, or may not be used."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
    except (OSError, OverflowError) as error:
        made.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "Another process listens there." if taken else f"{error}."
        raise Unreachable(
            f"Port {port} of {HOST} cannot be used.", why, "Give another port, or 0 for any free one."
        ) from error
    made.listen(2048)
    return made


def url(made: socket.socket) -> str:
    """Where it can be reached."""
    return f"http://{HOST}:{made.getsockname()[1]}"
