"""What of a proving has to be asked again: what is not as it was when the pipeline's newest package was certified.

A certificate's verdicts speak for a source, a slice of data and the features' code, a runtime, and the sources of checks and faults
(``flows.certificate``). Where the source, the data, the features or the runtime are others, everything is asked again. Where only sources
of checks and faults are, those are asked whose module is among them or imports one that is; everything, where such a source is one that
no check imports (how they are run and judged). Where of the pipeline's source only its author's own checks and tests are others, only
these are asked.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import certificate
from flows.building import source
from flows.checks.catalog import CHECKS
from flows.checks.learned import differences
from flows.runner import Code
from store import blobs
from store.errors import Refused
from store.layout import Root
from store.registry import packages

LISTS = ("checks/catalog.py", "faults/catalog.py")
"""They name the others, and judge nothing."""


@dataclass(frozen=True)
class Since:
    """``package``: whose certificate it is, empty where there is none. ``why``: what is another since, in sentences. ``again``: the codes
    to ask again, None for all; ``own``: whether the author's own are among them. ``data``: the digests of what it stands on."""

    package: str
    why: tuple[str, ...] = ()
    again: frozenset[str] | None = None
    own: bool = True
    data: Mapping[str, Any] | None = None

    @property
    def job(self) -> dict[str, Any]:
        """For the process that holds the slice, and so knows the data; nothing where all is asked."""
        if self.again is None or self.data is None:
            return {}
        return {"since": {"again": sorted(self.again), "own": self.own, "data": dict(self.data)}}

    def told(self, found: Mapping[str, Any]) -> str:
        """What was asked again in a proving, and why."""
        if not self.package:
            return "It was never certified: everything was asked."
        why, data = list(self.why), self.data or {}
        if any(found[name] != data.get(name) for name in ("content", "features")):
            why.append("The data or the features' code are others.")
        asked = len(found["checks"]) + len(found["faults"])
        if not why:
            return f"Nothing is another since {self.package} was certified: its verdicts stand."
        return f"{asked} verdicts were asked again since {self.package} was certified. {' '.join(why)}"


def since(root: Root, code: Code) -> Since:
    """What is another since the newest package of this pipeline was certified, as far as its files, the runtime and the sources tell."""
    known = [one for one in packages.listed(root, code.pipeline) if one.body.certificate]
    if not known:
        return Since("")
    package = known[-1]
    name = f"{package.pipeline} {package.version}"
    try:
        found = certificate.require(root, package)
    except Refused as refused:
        return Since(name, (str(refused),))
    data = {part: found["data"].get(part) for part in ("content", "features")}
    mine = source.files(code.path / code.pipeline)
    theirs = source.held(blobs.get(root, package.digest), package.pipeline)
    files = differences(_digests(mine), _digests(theirs))
    everything = [*_runtime(found), *(_named("file", path) for path in files if not _own(path))]
    others = set(differences(found["sources"], certificate.sources())) - set(LISTS)
    reaching = reached_by_code()
    everything += [_named("source", path) for path in sorted(shared(others, reaching))]
    if everything:
        return Since(name, tuple(everything), data=data)
    certified = {one["code"] for one in (*found["checks"], *found["faults"])}
    again = {one for one, paths in reaching.items() if one not in certified or paths & others}
    why = [_named("file", path) for path in files] + [_named("source", path) for path in sorted(others)]
    return Since(name, tuple(why), frozenset(again), bool(files), data)


def _runtime(found: Mapping[str, Any]) -> list[str]:
    then, now = found["runtime"], certificate.runtime()
    python = "" if then["python"] == now["python"] else f"Python was {then['python']}, and is {now['python']}."
    return [one for one in (python, certificate.changed(then["packages"], now["packages"], "package")) if one]


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: blobs.digest(content) for path, content in files.items()}


def _named(kind: str, path: str) -> str:
    return f"The {kind} {path} is another."


def _own(path: str) -> bool:
    """Whether a file of a pipeline holds its author's own checks or tests (``flows.checks.own``)."""
    return path == "checks.py" or (Path(path).name.startswith("test_") and path.endswith(".py"))


def reached_by_code() -> dict[str, set[str]]:
    """By the code of each check and fault, its file and all of the checks and faults that it imports, as a certificate names them."""
    home = certificate.HERE
    rooms = ("flows.checks", "flows.faults")
    return {
        code: {
            one.relative_to(home).as_posix()
            for one in imported(home / path, home.parent, rooms)
            if one.stem != "__init__"
        }
        for code, path in modules().items()
    }


def shared(paths: Collection[str], reaching: Mapping[str, set[str]]) -> set[str]:
    """Of these sources the ones that no check and no fault imports: how they are run and judged, which concerns them all."""
    return set(paths) - set(LISTS) - set().union(*reaching.values())


def modules() -> dict[str, str]:
    """The file of each check and fault, by its code, as a certificate names it."""
    found = {check.code: f"checks/{check.look.__module__.rpartition('.')[2]}.py" for check in CHECKS}
    for path in sorted((certificate.HERE / "faults").glob("*.py")):
        faults = getattr(importlib.import_module(f"flows.faults.{path.stem}"), "FAULTS", ())
        found |= {fault.code: f"faults/{path.name}" for fault in faults if path.name != "catalog.py"}
    return found


def imported(start: Path, root: Path, rooms: tuple[str, ...]) -> set[Path]:
    """A file, and all that it imports below ``root`` of modules whose names begin with one of ``rooms``, and these import; imports
    below functions too."""
    found, waiting = set[Path](), [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(rooms):
                names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
                stems = [root.joinpath(*name.split(".")) for name in names]
                files = [file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py")]
                waiting += [file for file in files if file.is_file()]
    return found
