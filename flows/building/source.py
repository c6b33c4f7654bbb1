"""A pipeline's source: its files, their digest, and the wheel that is built of them.

The wheel is built in process with hatchling's own builder (an isolated build would download one): the same files give the
same bytes, whatever the folder, day or umask.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hatchling.builders.wheel import WheelBuilder

from flows.building import archive
from store.errors import InvalidInput, NotFound, Refused
from store.layout import checked

HOME = Path(__file__).parent.parent / "pipelines"
MAX_UNPACKED = 64 * 1024 * 1024
COMPILED = (".pyc", ".pyo", ".pyd")


def find(name_or_folder: str) -> Path:
    """The folder of a pipeline: a name in ``flows/pipelines/``, or a path. NotFound names what exists."""
    folder = Path(name_or_folder) if "/" in name_or_folder else HOME / name_or_folder
    if not (folder / "__init__.py").is_file():
        known = [path.parent.name for path in HOME.glob("*/__init__.py")]
        raise NotFound.among(
            "pipeline",
            name_or_folder,
            known,
            "Give a name of flows/pipelines/, or the path of a folder with an __init__.py.",
        )
    checked("pipeline", folder.resolve().name)
    return folder.resolve()


def files(folder: Path) -> dict[str, bytes]:
    """Every file of the source by its path below the folder, without caches, compiled and hidden files: what a wheel holds."""
    named = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in named.items() if _counts(name)}


def held(wheel: bytes, name: str) -> dict[str, bytes]:
    """The same of a wheel whose digest is verified."""
    own = {
        path.removeprefix(f"{name}/"): content for path, content in _members(wheel, name).items() if _own(path, name)
    }
    return {relative: content for relative, content in own.items() if _counts(relative)}


def _counts(name: str) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
    return not hidden and not name.endswith(COMPILED)


def tree(content: dict[str, bytes]) -> str:
    """SHA-256 over names and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(f"{name}\0{len(content[name])}\0".encode() + content[name])
    return digest.hexdigest()


def commit(folder: Path) -> str:
    """The git commit the folder stands at, with ``+dirty`` if its files differ from it; empty outside git."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+dirty" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def wheel(name: str, version: str, content: dict[str, bytes]) -> bytes:
    """The reproducible wheel: one top-level name, the pipeline's own. InvalidInput: no version that a wheel can have."""
    with tempfile.TemporaryDirectory(prefix="assay-wheel-") as scratch:
        home = Path(scratch)
        for relative, data in content.items():
            path = home / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        config = {
            "project": {"name": name, "version": version},
            "tool": {"hatch": {"build": {"ignore-vcs": True, "targets": {"wheel": {"packages": [name]}}}}},
        }
        try:
            with _fixed_date():
                (built,) = WheelBuilder(str(home), config=config).build(
                    directory=str(home / "dist"), versions=["standard"]
                )
        except ValueError as error:
            raise InvalidInput(
                f"{name} {version} cannot be built: {error}.", remedy="Give the pipeline a version such as 1.2.0."
            ) from error
        return Path(built).read_bytes()


_BUILDING = threading.Lock()


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """hatchling dates a wheel by this variable, and by a date of its own without it. One build at a time: threads share the variables."""
    with _BUILDING:
        before = os.environ.pop("SOURCE_DATE_EPOCH", None)
        try:
            yield
        finally:
            if before is not None:
                os.environ["SOURCE_DATE_EPOCH"] = before


def unpack(data: bytes, name: str, target: Path) -> None:
    """Unpack a wheel whose digest is verified.

    Refused: no wheel, names outside the pipeline's own, files that count for no digest, links, or too much inside.
    """
    content = {path: data for path, data in _members(data, name).items() if _own(path, name)}
    target.mkdir(parents=True)
    for relative, member in content.items():
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(member)


def _members(wheel: bytes, name: str) -> dict[str, bytes]:
    """Everything in a wheel by its path, if it is such as ``wheel`` makes."""
    try:
        found = archive.members(wheel, MAX_UNPACKED)
    except archive.Unreadable as error:
        raise Refused(
            f"The package of {name} is no wheel: {error}.",
            "Nothing was unpacked.",
            "Restore it from a copy, or integrate again.",
        ) from error
    folders = {parent.as_posix() for path in found for parent in PurePosixPath(path).parents}
    for path in found:
        metadata = path.startswith(f"{name}-") and path.partition("/")[0].endswith(".dist-info")
        if path in folders or not (metadata or (_own(path, name) and _counts(path.removeprefix(f"{name}/")))):
            raise Refused(
                f"The package of {name} holds {path!r}.",
                "A package has one top-level name, and below it no hidden and no compiled files.",
                "Nothing was unpacked.",
            )
    return found


def _own(path: str, name: str) -> bool:
    return path.startswith(f"{name}/")


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def checked_name(name: str) -> str:
    """A pipeline's name that shadows no module its own process needs, and that a wheel can have."""
    checked("pipeline", name)
    taken = {"flows", "store", "console", "tests", "dist"}
    if name in taken or name in sys.stdlib_module_names:
        names = f"Taken: {', '.join(sorted(taken))}, and the modules of Python's own library."
        raise InvalidInput(f"A pipeline cannot be named {name!r}.", names, "Rename its folder and its contract.")
    if "__" in name or name.endswith("_"):
        raise InvalidInput(
            f"A pipeline cannot be named {name!r}.",
            "A wheel's name has single underscores, inside.",
            "Rename its folder and its contract.",
        )
    return name
