"""Where things lie under a root. Nobody else builds a path.

The root is ``ASSAY_ROOT``, else ``./.assay``; worker processes inherit the variable. ``FORMAT`` holds the number of this
layout: a root written by a newer assay is refused instead of half-understood.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store.errors import AssayError, InvalidInput, Refused, Unreachable

FORMAT = 1
ENVIRONMENTS = ("test", "production")
_WILL_NOT = (
    "No space left on device", "database or disk is full", "Disk quota exceeded", "Read-only file system", "Permission denied",
    "File too large", "Input/output error",
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def checked(kind: str, name: str) -> str:
    """The name itself, if it is lower-case letters, digits and underscores: it becomes a folder, a view and a module."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}.",
            "A name is lower-case letters, digits and underscores, starts with a letter, and has 63 characters at most.",
            "Take another name.",
        )
    return name


def checked_environment(name: str) -> str:
    """The name itself, if it is one of ``ENVIRONMENTS``."""
    if name not in ENVIRONMENTS:
        raise InvalidInput(
            f"There is no environment {name!r}.", f"Environments: {', '.join(ENVIRONMENTS)}.", "Give one of these."
        )
    return name


@dataclass(frozen=True)
class Root:
    """One workspace's storage. Made by ``Root.open``; only paths, no handles, so it crosses process borders freely."""

    path: Path

    @classmethod
    def open(cls, path: str | Path | None = None) -> Root:
        """Open, or lay out, the root at ``path`` (default: ``ASSAY_ROOT``, else ``./.assay``). Refused: another FORMAT."""
        root = cls(Path(path or os.environ.get("ASSAY_ROOT") or ".assay").resolve())
        marker = root.path / "FORMAT"
        if not marker.exists():
            for folder in (
                root.ledger,
                root.blobs,
                root.path / "features",
                root.path / "traffic",
                root.path / "online",
            ):
                folder.mkdir(parents=True, exist_ok=True)
            write_atomically(marker, f"{FORMAT}\n".encode())
        found = marker.read_text().strip()
        if found != str(FORMAT):
            raise Refused(
                f"The root {root.path} has layout {found!r}.",
                f"This assay reads layout {FORMAT}.",
                "Open it with the version that wrote it, or set ASSAY_ROOT to another folder.",
            )
        return root

    @property
    def clock(self) -> Path:
        return self.path / "clock"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def cache(self) -> Path:
        """Unpacked packages and staged sources: may be deleted at any time, is rebuilt from blobs."""
        return self.path / "cache"

    @property
    def inbox(self) -> Path:
        """The folder ``ingest`` watches: ``inbox/<source>/*.parquet``."""
        return self.path / "inbox"

    def group(self, name: str) -> Path:
        return self.path / "features" / checked("feature group", name)

    def online(self, name: str) -> Path:
        return self.path / "online" / checked("feature group", name)

    def traffic(self, environment: str, pipeline: str, kind: str) -> Path:
        folder = self.path / "traffic" / checked_environment(environment) / checked("pipeline", pipeline)
        return folder / checked("traffic table", kind)

    def spool(self, environment: str, pipeline: str) -> Path:
        return self.path / "spool" / checked_environment(environment) / checked("pipeline", pipeline)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around every write below the root: Unreachable when the file system will not take it, whichever library found that out.

    Each of them has an exception of its own for it (OSError, obstore's, Delta's, SQLite's); the system's words are in all.
    """
    try:
        yield
    except Exception as error:
        why = next((reason for reason in _WILL_NOT if reason in str(error)), None)
        if isinstance(error, AssayError) or why is None:
            raise
        held = next(folder for folder in (path, *path.parents) if folder.exists())
        raise Unreachable(
            f"{path.name} cannot be written: {why}.",
            f"At {held} {shutil.disk_usage(held).free:,} bytes are free. Nothing was half-written.",
            "Make room or mend the permissions, and run it again.",
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step: a reader sees the old bytes or the new ones, and a kill leaves no half of either."""
    with writing(path):
        _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
