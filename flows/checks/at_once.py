"""The same work on several items at once, in threads: each mostly waits for a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def at_once(workers: int, work: Callable[[T], R], items: Sequence[T], tell: Callable[[R], None]) -> list[R]:
    """What comes of each item, in their order; ``tell`` hears of each as it is done, in the caller's thread."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, item) for item in items]
        for future in as_completed(futures):
            tell(future.result())
    return [future.result() for future in futures]
