"""What a bench counts: CPU seconds of ways run in turn, and the most memory one of them takes in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

MEBIBYTE = 1024 * 1024
_STATUS = Path("/proc/self/status")


def seconds(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The fewest CPU seconds of each way, its child processes included.

    Ways take turns, so that a busy machine slows all alike, and the fewest of some rounds counts: only ratios say something.
    """
    best = [float("inf")] * len(ways)
    for _ in range(rounds):
        for place, way in enumerate(ways):
            began = spent()
            way()
            best[place] = min(best[place], spent() - began)
    return best


def spent() -> float:
    """CPU seconds of this process, of all its threads and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """What the function gives in a fresh process of its own, which neither holds nor caches what others left."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(function, *arguments).result()


def peak() -> float:
    """The most memory this process ever held, in MiB.

    On Linux from /proc: ``ru_maxrss`` begins with the size of the process that started this one.
    """
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE
