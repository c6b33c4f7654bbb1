"""Facts from sources and the inbox into the store, and the features derived from them.

Bulk: ``ingest --from … --until …`` reads a source's archive. Live: files dropped into ``<root>/inbox/<group>/`` (parquet or CSV, with
the group's columns) are known when they are taken, at store time ``now``. A batch of files is claimed by moving it into a folder of
its own before it is read; who is killed in between finds the folder and finishes it, once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
from prefect import flow

from flows.building import catalog, publish
from flows.orchestration import actor, say, step, table
from flows.pipeline import Facts, Window
from store import clock
from store.errors import InvalidInput, NotFound
from store.features import write
from store.features.group import EVENT_TIME, KNOWN_TIME
from store.layout import Root

TAKEN = ".taken-"


def run(
    root: Root, *, start: datetime | None = None, until: datetime | None = None, groups: tuple[str, ...] = ()
) -> dict[str, int]:
    """Ingest the archives over ``[start, until)`` if a start is given, then the inbox; publish what is derived. Rows by group."""
    now, known = clock.now(root), catalog.load()
    if unknown := sorted(set(groups) - set(known.facts)):
        raise NotFound.among("group of facts", unknown[0], known.facts)
    publish.declare(root, known, actor=actor(), now=now)
    written = dict.fromkeys(known.facts, 0)
    for name, facts in known.facts.items():
        if start is not None and (not groups or name in groups):
            written[name] += read_archive(root, facts, Window(start, until or now), now)
        written[name] += take_inbox(root, facts, now)
    if start is not None:
        written |= derive(root, start, min(until or now, now))
    materialise(root, [name for name, count in written.items() if count], now)
    table("ingested", [{"group": name, "rows": count} for name, count in written.items()], "Rows added by group")
    return written


@step
def read_archive(root: Root, facts: Facts, window: Window, now: datetime) -> int:
    """The archive's rows of the window that could be known by its end: nothing is known before it happened."""
    if facts.read is None:
        return 0
    rows = facts.read(window)
    known = pl.col(KNOWN_TIME) if KNOWN_TIME in rows.columns else pl.col(EVENT_TIME) + facts.group.delay
    count = write.write(root, facts.group, rows.filter(known < window.end), now=now)
    say(f"{facts.group.name}: {count:,} rows of {window}")
    return count


@step
def take_inbox(root: Root, facts: Facts, now: datetime) -> int:
    """Files of the inbox, known now. Exactly once, whatever is killed; runs at the same time wait for each other.

    A file that cannot be used is refused before any is moved.
    """
    folder, count = root.inbox / facts.group.name, 0
    if not folder.is_dir():
        return 0
    with _locked(folder):
        waiting = sorted(path for path in folder.iterdir() if path.suffix in (".parquet", ".csv"))
        for path in waiting:
            _file(path, facts)
        if waiting:
            _claim(folder, waiting)
        for batch in sorted(folder.glob(f"{TAKEN}*")):
            count += _take(root, batch, facts, now)
            shutil.rmtree(batch)
    return count


@step
def derive(root: Root, start: datetime, until: datetime) -> dict[str, int]:
    """The derived groups on their grid, from ``start`` or their watermark, until ``until``."""
    return publish.publish(root, catalog.load(), start=start, now=until)


@step
def materialise(root: Root, names: list[str], now: datetime) -> None:
    """The changed groups' newest rows, where services look them up."""
    publish.materialise(root, names, now=now)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One run at a time; the lock goes with its process."""
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _claim(folder: Path, waiting: list[Path]) -> None:
    """Move the files into a batch of its own. Its name is what makes its rows arrive once."""
    batch = folder / f"{TAKEN}{uuid.uuid4().hex}"
    batch.mkdir()
    for path in waiting:
        os.rename(path, batch / path.name)


def _take(root: Root, batch: Path, facts: Facts, now: datetime) -> int:
    files = sorted(batch.iterdir())
    if not files:
        return 0
    rows = pl.concat([_file(path, facts) for path in files], how="diagonal")
    taken = pl.max_horizontal(pl.lit(now), EVENT_TIME)
    rows = rows.with_columns(pl.coalesce(KNOWN_TIME, taken) if KNOWN_TIME in rows.columns else taken.alias(KNOWN_TIME))
    return write.write(root, facts.group, rows, now=now, batch=(f"inbox-{batch.name}", 1))


def _file(path: Path, facts: Facts) -> pl.DataFrame:
    group = facts.group
    try:
        rows = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, try_parse_dates=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidInput(
            f"{path.name} cannot be read: {error}.",
            f"The inbox takes parquet and CSV for {group.name}.",
            "Replace the file, and ingest again.",
        ) from error
    wanted = [*group.keys, EVENT_TIME, *([KNOWN_TIME] if KNOWN_TIME in rows.columns else []), *group.values]
    if missing := sorted(set(wanted) - set(rows.columns)):
        raise InvalidInput(
            f"{path.name} lacks the columns {missing}.",
            f"{group.name} has {wanted}.",
            "Replace the file, and ingest again.",
        )
    return rows.select(wanted)


@flow(name="ingest", description=__doc__)
def ingest(start: datetime | None = None, until: datetime | None = None) -> dict[str, int]:
    """Ingest archives (if a start is given) and the inbox of ``ASSAY_ROOT``."""
    return run(Root.open(), start=start, until=until)
