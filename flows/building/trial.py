"""A model's first load: under limits, in a process that may be lost; then its digest is remembered.

What checks can find in a crafted file, ``artifact`` refuses. What they cannot (a constructor that crashes, allocates or
never returns) must not meet the process that serves. So a digest is first loaded where a crash costs nothing: in the
child that trained it, or in one made for the purpose (``flows.serving.trial``). It is remembered in the root's cache,
with the libraries' versions, and so tried once a root and not once a process.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from store import blobs
from store.layout import Root, write_atomically

BASE_BYTES = 512 * 1024 * 1024
TIMES = 16
"""A load may take ``BASE_BYTES`` and ``TIMES`` the archive's own size (measured: forests take it 4 times, vocabularies 9 times)."""

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "skops")
_MEMORY = Path("/proc/self/statm")


@contextmanager
def memory(data: bytes) -> Iterator[None]:
    """While the block lasts, the process may grow by what loading ``data`` may take; beyond, MemoryError."""
    with growing(BASE_BYTES + TIMES * len(data)):
        yield


@contextmanager
def growing(most: int) -> Iterator[None]:
    """While the block lasts, the process may grow by so many bytes; beyond, MemoryError.

    Address space is what is counted. Where the system does not tell how much there is (outside Linux), nothing is limited.
    """
    if not _MEMORY.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(_MEMORY.read_text().split()[0]) * resource.getpagesize() + most
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def processor(seconds: int) -> None:
    """From here on this process has so many CPU seconds; then it is killed. It leaves no core file."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def passed(root: Root, digest: str, trusted: Collection[str]) -> bool:
    """Whether this model was loaded before by these libraries, and nothing came of it."""
    return _marker(root, digest, trusted).exists()


def remember(root: Root, digest: str, trusted: Collection[str]) -> None:
    """This model was loaded in a process that might have been lost, and was not."""
    write_atomically(_marker(root, digest, trusted), f"{os.getpid()}\n".encode())


def _marker(root: Root, digest: str, trusted: Collection[str]) -> Path:
    """Named by the model, what may be built for it, and the versions of whatever builds it."""
    names = sorted({*_LIBRARIES, *(name.partition(".")[0] for name in trusted)})
    with_what = {"python": platform.python_version(), "trusted": sorted(trusted)} | {
        name: _version(name) for name in names
    }
    return root.cache / "loaded" / f"{digest}-{blobs.digest(blobs.canonical(with_what))[:16]}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # a module of another name than its distribution, or of the package itself
        return ""
