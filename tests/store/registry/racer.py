"""One of several real processes that do the same things to one root at once.

``python -m tests.store.registry.racer ROOT NAME WORK``: says ``ready``, waits for a line, works, tells what it did as a
line of JSON, waits for another line, and tells what it sees at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from store import ledger, tables
from store.actions import PackageApproved
from store.errors import Conflict
from store.layout import Root
from store.registry import aliases, dues
from tests.conftest import NOW
from tests.store.registry import made

ROUNDS, DUES, TABLES = 12, 3, 10
TABLE = pl.Schema({"writer": pl.String(), "batch": pl.Int64(), "at": pl.Datetime("us", "UTC")})


def race(root: Root, names: Sequence[str], work: str) -> list[dict[str, Any]]:
    """Let processes of these names do the work at once; what each did, and under ``seen`` what it saw after all had."""
    command = [sys.executable, "-m", "tests.store.registry.racer", str(root.path)]
    racers = [
        subprocess.Popen(
            [*command, name, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=Path(__file__).parents[3],
        )
        for name in names
    ]
    try:
        assert [_told(racer) for racer in racers] == ["ready"] * len(names)
        did = [json.loads(line) for line in _asked(racers)]
        return [{**one, "seen": json.loads(line)} for one, line in zip(did, _asked(racers), strict=True)]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def _asked(racers: Sequence[subprocess.Popen[str]]) -> list[str]:
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
    return [_told(racer) for racer in racers]


def _told(racer: subprocess.Popen[str]) -> str:
    assert racer.stdout is not None
    line = racer.stdout.readline().strip()
    assert line, f"{racer.args} ended with {racer.wait()}"
    return line


def register(root: Root, name: str) -> dict[str, Any]:
    """Publish, promote, append and claim, all of it contested by the others."""
    ledger.CHECKPOINT_EVERY = 16
    done: dict[str, Any] = {"published": [], "same": [], "moved": [], "appended": [], "claimed": [], "lost": 0}
    for number in range(ROUNDS):
        done["same"].append(made.package(root, f"same {number}", actor=name).seq)
        try:
            done["published"].append(made.package(root, f"{number}", f"{name} {number}".encode(), actor=name).seq)
        except Conflict:
            done["lost"] += 1
        before = aliases.current(root, made.PIPELINE, made.ENVIRONMENT, aliases.CHAMPION)
        try:
            row = aliases.move(
                root, "model.promoted", pipeline=made.PIPELINE, environment=made.ENVIRONMENT, alias=aliases.CHAMPION,
                digest=made.digest(f"{name} {number}"), label=name, expected=before, actor=name, now=NOW, reason="Better.",
            )  # fmt: skip
            done["moved"].append([row.seq, before, row.digest])
        except Conflict:
            done["lost"] += 1
        what = {"subject": made.PIPELINE, "actor": name, "now": NOW}
        for request in (f"{name} {number}", f"anybody {number}"):
            row = ledger.append(root, "package.approved", PackageApproved("1"), **what, request=request)
            done["appended"].append(row.seq)
    for number in range(DUES):
        try:
            dues.claim(root, f"due {number:08d}", run=name, actor=name, by="test", now=NOW)
            done["claimed"].append(number)
        except Conflict:
            done["lost"] += 1
    return done


def fill(root: Root, name: str) -> dict[str, Any]:
    """Create tables that the other creates too, and append ten batches to one, each twice, as two writers: an own one and one all share."""
    path = root.group("raced")
    for table in (path, *(root.group(f"raced_{number}") for number in range(TABLES))):
        tables.create(table, TABLE)
    versions = []
    for number in range(1, 11):
        for writer in (name, "shared", name, "shared"):
            frame = pl.DataFrame({"writer": [writer] * 2, "batch": [number] * 2, "at": [NOW] * 2}, schema=TABLE)
            versions.append(tables.append(path, frame, transaction=(writer, number)))
    return {"versions": versions}


def seen(root: Root) -> dict[str, Any]:
    """What a reader sees of the ledger."""
    return {
        "hashes": [row.hash for row in ledger.rows(root)],
        "champion": aliases.current(root, made.PIPELINE, made.ENVIRONMENT, aliases.CHAMPION),
        "holders": [due.claimed.body.run for due in dues.listed(root) if due.claimed],
    }


def main(path: str, name: str, work: str) -> None:
    root = Root.open(path)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"name": name} | {"register": register, "fill": fill}[work](root, name)), flush=True)
    sys.stdin.readline()
    print(json.dumps(seen(root)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
