"""A package's certificate: what proved it, bound by digests to the bytes it speaks for.

It holds both tables of the proving (checks with their controls, faults with who killed them, each N/A with its reason) and the digests of
what was proved: the package's wheel and source tree, the slice of data and the code of the features it uses, the runtime (Python and every
installed package's version), and the sources of the checks and faults themselves. It is a JSON blob; ``PackagePublished.certificate`` names
it in the ledger, so neither can be changed alone.

``require`` is asked by whatever delivers, trains, scores or serves a package. It asks what is true for good: the package's own bytes and
verdicts. Runtime and checks move on, and a package proved by yesterday's checks goes on serving; ``verify`` tells those too.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from flows.building import source
from flows.parts import POINTS_AT
from store import blobs, clock
from store.errors import Refused
from store.layout import Root
from store.registry.packages import Package

FORMAT = 1
OURS = "K"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bound:
    """One thing a certificate is bound to. ``differs``: what is not as it was proved, in words; empty where all is."""

    what: str
    differs: str = ""


def issue(
    root: Root, pipeline: str, version: str, wheel: bytes, tree: str, proved: Mapping[str, Any], now: datetime
) -> str:
    """Write the certificate of a proving (see ``flows.prove``) for these bytes; its digest."""
    return blobs.put_json(root, {
        "format": FORMAT, "pipeline": pipeline, "version": version, "wheel": blobs.digest(wheel), "tree": tree,
        "issued_at": clock.utc(now).isoformat(),
        "data": {name: proved[name] for name in ("window", "rows", "content", "features")},
        "runtime": runtime(), "sources": sources(), "checks": proved["checks"], "faults": proved["faults"],
        "seconds": proved["seconds"],
    })  # fmt: skip


def read(root: Root, package: Package) -> dict[str, Any]:
    """The certificate of a package. Refused when there is none, or its bytes are not those that were written."""
    if not package.body.certificate:
        raise Refused(
            f"{package.pipeline} {package.version} has no certificate.",
            "It was published without a proving.",
            f"Integrate it again under a higher version: `assay integrate {package.pipeline}`.",
        )
    found: dict[str, Any] = blobs.get_json(root, package.body.certificate)
    return found


def require(root: Root, package: Package) -> dict[str, Any]:
    """The certificate, if it speaks for these bytes and says they are proved. Refused otherwise, naming what differs."""
    found = read(root, package)
    wrong = [one for one in own(root, package, found) if one.differs]
    if wrong:
        raise Refused(
            f"The certificate of {package.pipeline} {package.version} does not hold: {wrong[0].what}.",
            wrong[0].differs,
            "Roll back to a version that is proved, or integrate this one again under a higher version.",
        )
    return found


def own(root: Root, package: Package, found: Mapping[str, Any]) -> list[Bound]:
    """What must hold for good: form, name, wheel, source and verdicts."""
    wheel = blobs.get(root, package.digest)
    name = f"{package.pipeline} {package.version}"
    tree = source.tree(source.held(wheel, package.pipeline))
    failed = unproved(found)
    return [
        Bound("form", "" if found.get("format") == FORMAT else f"It has format {found.get('format')!r}; this assay reads {FORMAT}."),
        Bound("name", _differs(f"{found.get('pipeline')} {found.get('version')}", name)),
        Bound("wheel", _differs(found.get("wheel"), package.digest)),
        Bound("source", _differs(found.get("tree"), tree) or _differs(package.body.tree, tree)),
        Bound("verdicts", failed[0] if failed else ""),
    ]  # fmt: skip


def verify(root: Root, package: Package, data: Mapping[str, Any] | None = None) -> list[Bound]:
    """Everything it is bound to, held against what is there now. ``data``: digests of the same slice, read again (``content``), and
    of the code of the features (``features``)."""
    found = read(root, package)
    bound = own(root, package, found)
    try:
        bound.append(Bound("runtime", changed(found["runtime"]["packages"], runtime()["packages"], "package")))
        bound.append(Bound("Python", _differs(found["runtime"]["python"], runtime()["python"])))
        bound.append(Bound("checks", changed(found["sources"], sources(), "source")))
        if data is not None:
            bound.append(Bound("data", _differs(found["data"]["content"], data["content"])))
            bound.append(Bound("features", changed(found["data"]["features"], data["features"], "feature group")))
    except KeyError as missing:
        raise Refused(
            f"The certificate of {package.pipeline} {package.version} lacks {missing}.",
            f"It lies in the blob {package.body.certificate[:8]}.",
            f"Integrate it again under a higher version: `assay integrate {package.pipeline}`.",
        ) from None
    return bound


def unproved(found: Mapping[str, Any]) -> list[str]:
    """Why no package may come of a proving: a check that failed or saw nothing, a fault that survived, a check that passed though no
    fault showed that it can fail, and a proving of no check at all. For an author's own (``flows.checks.own``) no fault is planted."""
    sentences = failed(found)
    killers = {one["check"] for one in found["faults"] if one["killed"]}
    passed = [one for one in found["checks"] if one["verdict"] == "PASS"]
    sentences += [
        f"{one['code']} passed, but no planted fault proved that it can fail."
        for one in passed
        if one["severity"] == "blocks" and one["code"] not in killers and one["code"].startswith(OURS)
    ]
    return sentences if passed or sentences else ["No check passed."]


def failed(found: Mapping[str, Any]) -> list[str]:
    """The checks that failed or saw nothing, and the faults that survived."""
    checks = [
        f"{one['code']} {one['verdict']}: {one['sentence']}"
        for one in found["checks"]
        if one["verdict"] in ("FAIL", "VACUOUS") and one["severity"] == "blocks"
    ]
    return checks + [_survived(one) for one in found["faults"] if one["killed"] is False]


def _survived(fault: Mapping[str, Any]) -> str:
    """What is untested thereby, for who has to mend it."""
    untested = POINTS_AT.get(fault["check"], "what it replaces")
    return f"{fault['code']} survived {fault['check']}: {fault['sentence']} Untested thereby is {untested}."


def runtime() -> dict[str, Any]:
    """Python's version, and every installed package's."""
    packages = {one.metadata["Name"].lower(): one.version for one in metadata.distributions()}
    return {"python": platform.python_version(), "packages": dict(sorted(packages.items()))}


def sources() -> dict[str, str]:
    """The digest of each file of the checks and faults."""
    files = sorted((*(HERE / "checks").glob("*.py"), *(HERE / "faults").glob("*.py")))
    return {f"{path.parent.name}/{path.name}": blobs.digest(path.read_bytes()) for path in files}


def _differs(recorded: object, found: object) -> str:
    return "" if recorded == found else f"Certified is {_short(recorded)}, there is {_short(found)}."


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


def changed(recorded: Mapping[str, str], found: Mapping[str, str], kind: str) -> str:
    """What of a certificate's digests or versions are others now, in words; empty where none is."""
    other = sorted(name for name in recorded.keys() | found.keys() if recorded.get(name) != found.get(name))
    if not other:
        return ""
    first = f"{other[0]} {_short(recorded.get(other[0], 'not there'))} → {_short(found.get(other[0], 'not there'))}"
    return f"{len(other)} {kind}{'s' if len(other) > 1 else ''} changed since: {first}."
