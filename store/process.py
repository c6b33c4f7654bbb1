"""Who this process is, so that another one can tell later whether it still runs.

A number alone is used again by the system; together with the moment the process began, the boot, the machine's name and the
namespace its number counts in, it names one process for ever. Where the system has no ``/proc``, nothing can be told.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

PROC = Path("/proc")


def identity(pid: int | None = None) -> str:
    """``host/boot/namespace/pid/start`` of a process (this one), or an empty string where that cannot be known."""
    pid = os.getpid() if pid is None else pid
    try:
        # the fields after the command's name, which may itself hold spaces and brackets; the 20th of them is the start
        started = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(PROC / "self/ns/pid")
    except (OSError, IndexError):
        return ""
    return "/".join((socket.gethostname(), boot, namespace, str(pid), started))


def ended(told: str) -> bool:
    """Whether the process of an ``identity`` has certainly ended; False where it cannot be told from here."""
    here, there = identity().split("/"), told.split("/")
    if len(here) != 5 or len(there) != 5 or here[0] != there[0]:
        return False
    if here[1] != there[1]:
        return True
    if here[2] != there[2]:
        return False
    return identity(int(there[3])) != told or _state(int(there[3])) == "Z"


def _state(pid: int) -> str:
    """The letter of a process's state: ``Z`` has ended, and waits for its parent to hear of it."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "Z"
