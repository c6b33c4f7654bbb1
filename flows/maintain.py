"""Housekeeping: tables compacted, the ledger checkpointed, and what nobody can reach any more removed.

Reach is the ledger's. A blob stays as long as a row names its digest, or a JSON blob that is reached names it (a snapshot's
manifest names its spine); a file of a table stays as long as the newest version or the version of a frozen training set has it. What
is left are the remains of killed runs and of compaction. Nothing younger than the grace period is touched, by the machine's
clock: bytes are written before the row that names them, and readers hold what was there a moment ago.

What is to be removed is written to the ledger before it goes. A dry run tells the same and changes nothing.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow

from flows.orchestration import actor, say, sentence, step, table
from store import blobs, clock, ledger, tables
from store.actions import RootMaintained
from store.errors import AssayError, InvalidInput, Refused
from store.layout import ENVIRONMENTS, Root
from store.registry import aliases
from store.traffic import collect as spool_tables
from store.traffic import spool

GRACE = timedelta(days=7)
LEAST = timedelta(hours=1)
"""The shortest grace: a flow may take as long between its bytes and the row that names them."""
MANY_FILES = 8
"""A table of more active files than this is compacted."""
CHECKPOINT_AFTER, CHECKPOINTS = 64, 2
KINDS = ("blobs", "table_files", "segments", "caches", "leftovers")
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_TEMPORARY = re.compile(r"\.(.*\.)?\d+\.\d+(\.sqlite)?|.*#\d+|_commit_.*\.tmp|\.filling-.*|\.\d+-\d+-[0-9a-f]+\.jsonl")
"""Names under which files are written before they get their own: of layout, obstore, online, Delta, the cache and the spool."""


@dataclass(frozen=True)
class Thing:
    """Something to remove: its kind (of ``KINDS``), its name, its path below the root, and its size in bytes."""

    kind: str
    name: str
    path: str
    bytes: int


@dataclass(frozen=True)
class Maintained:
    """What was done, or, in a dry run, what would be. ``compacted``: a table below the root to its active files before;
    ``removed``: how many, by kind; ``checkpoint``: the ledger row up to which a new checkpoint reaches, None for none."""

    dry_run: bool
    compacted: dict[str, int]
    checkpoint: int | None
    removed: dict[str, int]
    bytes: int
    sentence: str


def run(root: Root, *, grace: timedelta = GRACE, dry_run: bool = False) -> Maintained:
    """Maintain a root once. InvalidInput: a grace under an hour."""
    if grace < LEAST:
        raise InvalidInput(
            f"A grace of {grace} is too short.",
            f"The least is {LEAST}: bytes are written before the row that names them.",
            "Give a longer one.",
        )
    now, before = clock.now(root), clock.wall() - grace
    compacted = compact(root, dry_run)
    checkpoint = checkpointed(root, dry_run)
    things = [*unreached_blobs(root, before), *table_files(root, before), *segments(root), *caches(root, before)]
    things += leftovers(root, before)
    if things and not dry_run:
        record(root, things, grace, now)
        remove(root, things, before)
    removed = dict.fromkeys(KINDS, 0) | Counter(one.kind for one in things)
    size = sum(one.bytes for one in things)
    told = _sentence(compacted, checkpoint, removed, size, dry_run)
    table("maintained", [asdict(one) for one in things] or [{"kind": "nothing"}], told)
    say(told)
    return Maintained(dry_run, compacted, checkpoint, removed, size, told)


@step
def compact(root: Root, dry_run: bool) -> dict[str, int]:
    """Tables of many small files rewritten into few; their active files before."""
    found = {path: len(tables.files(path)) for path in _tables(root)}
    wanted = {path: count for path, count in found.items() if count > MANY_FILES}
    for path in [] if dry_run else wanted:
        tables.compact(path)
    return {str(path.relative_to(root.path)): count for path, count in wanted.items()}


@step
def checkpointed(root: Root, dry_run: bool) -> int | None:
    """The whole ledger in one file, if enough rows came since the last; older checkpoints but one go, for they say nothing more."""
    head, folder = ledger.head(root), root.ledger / "checkpoints"
    known = sorted(int(path.stem) for path in folder.glob("[0-9]*.parquet"))
    if head - (known[-1] if known else 0) < CHECKPOINT_AFTER:
        return None
    if not dry_run:
        ledger.checkpoint(root, head)
        for old in sorted(folder.glob("[0-9]*.parquet"))[:-CHECKPOINTS]:
            old.unlink(missing_ok=True)
    return head


@step
def unreached_blobs(root: Root, before: datetime) -> list[Thing]:
    """Blobs older than the grace that no ledger row reaches. They are listed first, and the ledger is read after."""
    old = {sha: path for sha in blobs.listed(root) if _older(path := blobs.path(root, sha), before)}
    reached = reach(root)
    return [_thing(root, "blobs", path) for sha, path in old.items() if sha not in reached]


def reach(root: Root) -> set[str]:
    """Every digest that a ledger row names, itself or through JSON blobs. A maintenance's own list names only what is gone."""
    lists = {row.digest for row in ledger.rows(root) if row.action == "root.maintained"}
    found, waiting = set(lists), set[str]()
    for row in ledger.rows(root):
        if row.action != "root.maintained":
            waiting |= _named(f"{row.digest} {row.payload}".encode())
    while waiting:
        found |= waiting
        waiting = set().union(*(_named(_json(blobs.path(root, sha))) for sha in waiting)) - found
    return found


@step
def table_files(root: Root, before: datetime) -> list[Thing]:
    """Files of feature and traffic tables that neither the newest version nor a frozen training set needs."""
    pinned: dict[str, set[int]] = {}
    for row in ledger.find(root, action="snapshot.frozen"):
        for reference, version in row.body.tables.items():
            pinned.setdefault(reference.removesuffix("@1"), set()).add(version)
    found = list[Thing]()
    for path in _tables(root):
        versions = pinned.get(path.name, set()) if path.parent.name == "features" else set()
        try:
            found += [_thing(root, "table_files", file) for file in tables.unreached(path, versions, before=before)]
        except (
            AssayError
        ) as refusal:  # a version that a snapshot pins cannot be read: whatever is there may be what is left of it
            say(f"The files of {path.name} are left alone: {sentence(refusal)}")
    return found


@step
def segments(root: Root) -> list[Thing]:
    """Spool segments that nobody writes any more and that the traffic tables have whole."""
    found = list[Thing]()
    for environment, pipeline in _spools(root):
        try:
            offsets = spool_tables.collected(root, environment, pipeline)
            names = spool.remove_consumed(root, environment, pipeline, offsets, dry_run=True)
        except Refused as refusal:
            say(f"The spool of {pipeline} in {environment} is left alone: {sentence(refusal)}")
            continue
        found += [_thing(root, "segments", root.spool(environment, pipeline) / name) for name in names]
    return found


@step
def caches(root: Root, before: datetime) -> list[Thing]:
    """Unpacked packages and staged sources that nobody has read since the grace began, but for packages that an alias points at."""
    running = {
        aliases.current(root, row.subject, environment, aliases.DEPLOYED)
        for row in ledger.find(root, action="package.published")
        for environment in ENVIRONMENTS
    }
    entries = (
        path
        for path in sorted(root.cache.glob("*/*"))
        if path.name not in running and not _TEMPORARY.fullmatch(path.name)
    )
    return [_thing(root, "caches", path) for path in entries if _older(path, before, read=True)]


@step
def leftovers(root: Root, before: datetime) -> list[Thing]:
    """Files and folders under a temporary name, whose writers were killed. The inbox is left alone: what was claimed there is finished
    by the next ``ingest``."""
    found = (
        path
        for path in sorted(root.path.rglob("*"))
        if _TEMPORARY.fullmatch(path.name) and root.inbox not in path.parents
    )
    return [_thing(root, "leftovers", path) for path in found if _older(path, before)]


@step
def record(root: Root, things: list[Thing], grace: timedelta, now: datetime) -> None:
    """The ledger's row, before anything goes: killed in between, the next maintenance lists what is left."""
    digest = blobs.put_json(root, [asdict(one) for one in things])
    counts = dict.fromkeys(KINDS, 0) | Counter(one.kind for one in things)
    body = RootMaintained(grace_seconds=grace.total_seconds(), **counts, bytes=sum(one.bytes for one in things))
    ledger.append(root, "root.maintained", body, subject="root", digest=digest, actor=actor(), now=now)


@step
def remove(root: Root, things: list[Thing], before: datetime) -> None:
    """Remove what was listed, each through its own door; what somebody took up again meanwhile stays."""
    doors: dict[str, Callable[[Thing], Any]] = {
        "blobs": lambda one: blobs.remove(root, one.name, before=before),
        "table_files": lambda one: (root.path / one.path).unlink(missing_ok=True),
        "caches": lambda one: _gone(root.path / one.path),
        "leftovers": lambda one: _gone(root.path / one.path),
    }
    for one in things:
        if one.kind in doors:
            doors[one.kind](one)
    listed = {one.path for one in things if one.kind == "segments"}
    for environment, pipeline in _spools(root) if listed else []:
        offsets = spool_tables.collected(root, environment, pipeline)
        folder = root.spool(environment, pipeline).relative_to(root.path)
        spool.remove_consumed(
            root, environment, pipeline, {name: at for name, at in offsets.items() if str(folder / name) in listed}
        )


def _tables(root: Root) -> list[Path]:
    found = [*(root.path / "features").glob("*"), *(root.path / "traffic").glob("*/*/*")]
    return sorted(path for path in found if tables.exists(path))


def _spools(root: Root) -> Iterator[tuple[str, str]]:
    for environment in ENVIRONMENTS:
        for folder in sorted((root.path / "spool" / environment).glob("*")):
            yield environment, folder.name


def _named(data: bytes) -> set[str]:
    return {found.decode() for found in _DIGEST.findall(data)}


def _json(path: Path) -> bytes:
    """A blob's bytes if it holds JSON, else nothing: wheels, models and parquet name no other blob."""
    if not path.is_file():
        return b""
    with open(path, "rb") as file:
        begin = file.read(1)
        return begin + file.read() if begin in (b"{", b"[") else b""


def _older(path: Path, before: datetime, *, read: bool = False) -> bool:
    """Whether everything there was written (and, with ``read``, read) before that instant."""
    try:
        inside = [path, *path.rglob("*")] if path.is_dir() else [path]
        times = [max(one.stat().st_mtime, one.stat().st_atime if read and one.is_file() else 0) for one in inside]
    except FileNotFoundError:
        return False
    return max(times) < before.timestamp()


def _thing(root: Root, kind: str, path: Path) -> Thing:
    inside = path.rglob("*") if path.is_dir() else [path]
    size = sum(one.stat().st_size for one in inside if one.is_file())
    return Thing(kind, path.name, str(path.relative_to(root.path)), size)


def _gone(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sentence(
    compacted: dict[str, int], checkpoint: int | None, removed: dict[str, int], size: int, dry_run: bool
) -> str:
    would, gone = ("would be ", "would go") if dry_run else ("", "removed")
    parts = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in removed.items() if count]
    told = f"{', '.join(parts) or 'nothing'} {gone} ({size:,} bytes); {len(compacted)} tables {would}compacted"
    return told + (f"; ledger {would}checkpointed at row {checkpoint}." if checkpoint else ".")


@flow(name="maintain", description=__doc__)
def maintain(grace_days: float = GRACE / timedelta(days=1), dry_run: bool = False) -> dict[str, Any]:
    """Maintain ``ASSAY_ROOT``: compact, checkpoint, remove what nobody reaches; with ``dry_run``, only tell."""
    return asdict(run(Root.open(), grace=timedelta(days=grace_days), dry_run=dry_run))
