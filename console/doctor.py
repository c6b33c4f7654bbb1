"""Whether all is well with this machine and root: one finding a line, each trouble with its remedy. Changes nothing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from store import clock, ledger
from store.errors import AssayError
from store.layout import FORMAT, Root

NEEDED = (
    "prefect",
    "streamlit",
    "duckdb",
    "polars",
    "scikit-learn",
    "evidently",
    "deltalake",
    "obstore",
    "skops",
    "fastapi",
)
LEAST_BYTES = 1_000_000_000
PORTS = {"the console": 8501, "a service": 8000}
REFUSED, UNREACHED = 3, 4


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``code``: what the exit code becomes when it is not well."""

    what: str
    well: bool
    found: str
    remedy: str = ""
    code: int = UNREACHED


def examine(opening: Callable[[], Root]) -> list[Finding]:
    """All findings. A root that cannot be opened is one of them, and ends what can be said of it."""
    found = [python(), *versions()]
    try:
        root = opening()
    except AssayError as error:
        return [*found, Finding("root", False, error.asked, error.remedy or error.exists, error.exit_code)]
    found += [Finding("root", True, f"{root.path}, format {FORMAT}"), record(root), disk(root), time(root)]
    return [*found, *prefect(), *ports()]


def python() -> Finding:
    """The interpreter."""
    said = sys.version.split()[0]
    return Finding(
        "python", sys.version_info >= (3, 11), said, "" if sys.version_info >= (3, 11) else "Use Python 3.11 or newer."
    )


def versions() -> list[Finding]:
    """Every library that was promised is installed, in what version."""
    return [_version(name) for name in NEEDED]


def record(root: Root) -> Finding:
    """The ledger, read from its first row to its last."""
    try:
        return Finding("ledger", True, f"{ledger.verify(root):,} rows, all in their chain")
    except AssayError as error:
        return Finding("ledger", False, error.asked, error.remedy, REFUSED)


def disk(root: Root) -> Finding:
    """Room for what is to come."""
    free = shutil.disk_usage(root.path).free
    well = free >= LEAST_BYTES
    return Finding(
        "disk",
        well,
        f"{free / 1e9:,.1f} GB free",
        "" if well else "Make room: `assay maintain` removes what nothing reaches.",
    )


def time(root: Root) -> Finding:
    """The machine's clock is not behind what was recorded by it; store time is said where it is simulated."""
    wall, rows = clock.wall(), _rows(root)
    said = clock.printed(wall) + (
        f", store time {clock.printed(clock.now(root))} (simulated)" if clock.simulated(root) else ""
    )
    if rows and rows[-1].recorded_at > wall:
        return Finding(
            "clock", False, f"{said}; the ledger's last row was recorded later", "Set the machine's clock.", REFUSED
        )
    return Finding("clock", True, said)


def prefect() -> list[Finding]:
    """Server, worker and deployments, where PREFECT_API_URL is set: without it every verb works, but nothing is scheduled."""
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return [
            Finding(
                "Prefect", True, "none is set: verbs run here and now, nothing is scheduled", "`assay up` starts one."
            )
        ]
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
        pools = httpx.post(f"{url}/work_pools/filter", json={}, timeout=5).raise_for_status().json()
        deployed = httpx.post(f"{url}/deployments/filter", json={}, timeout=5).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        remedy = "Start it: `prefect server start`, or `assay up`; or unset PREFECT_API_URL."
        return [Finding("Prefect", False, f"{url} does not answer ({type(error).__name__})", remedy)]
    ready = [pool["name"] for pool in pools if pool.get("status") == "READY"]
    ours = [one for one in deployed if one["name"] == "assay"]
    return [
        Finding("Prefect", True, url),
        Finding("worker", bool(ready), f"ready in {', '.join(ready)}" if ready else f"none in {len(pools)} pools",
                "" if ready else "`prefect worker start --pool POOL`, or `assay up`."),
        Finding("deployments", bool(ours), f"{len(ours)} of assay", "" if ours else "`prefect deploy --all` in the workspace."),
    ]  # fmt: skip


def ports() -> list[Finding]:
    """Whether the usual ports are free; a taken one is no trouble if it is ours."""
    return [
        Finding(f"port {port}", True, f"{'taken' if _taken(port) else 'free'} (for {what})")
        for what, port in PORTS.items()
    ]


def _rows(root: Root) -> Sequence[ledger.Row]:
    """The ledger's rows; none where it cannot be read, which is a finding of its own."""
    try:
        return ledger.rows(root)
    except AssayError:
        return ()


def _version(name: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", "Install from the lock: `make .venv/installed`.")


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
