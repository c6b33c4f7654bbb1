"""A pipeline's source: its files, their digest, and the wheel that is built of them.

The wheel is built in process with hatchling's own builder (an isolated build would download one): the same files give the
same bytes, whatever the folder, day or umask.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

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
    with _archive(wheel, name) as archive:
        named = {
            member.filename.removeprefix(f"{name}/"): member
            for member in archive.infolist()
            if member.filename.startswith(f"{name}/") and not member.is_dir()
        }
        return {relative: archive.read(member) for relative, member in named.items() if _counts(relative)}


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


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """hatchling dates a wheel by this variable, and by a date of its own without it."""
    before = os.environ.pop("SOURCE_DATE_EPOCH", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["SOURCE_DATE_EPOCH"] = before


def unpack(data: bytes, name: str, target: Path) -> None:
    """Unpack a wheel whose digest is verified. Refused: no wheel, names outside the pipeline's own, links, or too much inside."""
    with _archive(data, name) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_UNPACKED:
            raise Refused(
                f"The package of {name} unpacks to over {MAX_UNPACKED:,} bytes.", remedy="Nothing was unpacked."
            )
        for member in members:
            parts = Path(member.filename).parts
            if (
                not _own(parts, name)
                or ".." in parts
                or member.filename.startswith("/")
                or "\\" in member.filename
                or (member.external_attr >> 28) == 0xA
            ):
                raise Refused(
                    f"The package of {name} holds {member.filename!r}.",
                    "A package has one top-level name.",
                    "Nothing was unpacked.",
                )
        target.mkdir(parents=True)
        archive.extractall(target, [member for member in members if member.filename.startswith(f"{name}/")])


def _archive(data: bytes, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise Refused(f"The package of {name} is no wheel: {error}.", remedy="Nothing was unpacked.") from None


def _own(parts: tuple[str, ...], name: str) -> bool:
    return bool(parts) and (parts[0] == name or (parts[0].startswith(f"{name}-") and parts[0].endswith(".dist-info")))


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
        raise InvalidInput(f"A pipeline cannot be named {name!r}.", "A wheel's name has single underscores, inside.")
    return name
