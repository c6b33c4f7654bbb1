"""The explore flow: whose code it asks for rows, who predicts them, and what it leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows import explore
from flows.building import source
from flows.reporting.explore import LEAVE, NEW
from store import blobs, clock, ledger
from store.actions import ModelRegistered, PackagePublished
from store.errors import NotFound
from store.layout import Root
from store.registry import aliases, models, packages
from tests.flows.certified import issued
from tests.flows.reporting.test_explore import DAY, START, world

NOW = START + timedelta(days=57)
MANIFEST = {
    "name": "late", "version": "1.2.3", "task": "classification", "metric": "roc_auc", "better": "higher",
    "key": ["id"], "columns": ["x", "noise", "kind"], "trigger": {"margin": 0.01},
}  # fmt: skip


class Children:
    """Stands in for the processes that run a pipeline's code: notes their jobs, and leaves rows."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Path, dict[str, Any]]] = []

    def __call__(self, code: Any, module: str, job: dict[str, Any], **options: Any) -> dict[str, Any]:
        assert module == "flows.building"
        self.jobs.append((code.path, job))
        if job["what"] == "describe":
            return {"manifest": MANIFEST}
        rows = world().with_row_index("id")
        rows = rows.with_columns((pl.col("x") if job["model"] else pl.col("prediction")).alias("prediction"))
        start = datetime.fromisoformat(job["window"]["start"])
        rows = rows.filter(pl.col("event_time") >= start)
        (rows if job["columns"] else rows.drop("x", "noise", "kind")).write_parquet(job["out"])
        return {"rows": rows.height}


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    children = Children()
    monkeypatch.setattr(explore.runner, "run", children)
    return children


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root.open(tmp_path / "root")
    clock.move(root, NOW)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "late"
    folder.mkdir()
    (folder / "__init__.py").write_text("pipeline = None\n")
    return folder


def publish(root: Root, version: str = "1.2.3") -> str:
    wheel = source.wheel("late", version, {"__init__.py": f"# {version}\n".encode()})
    body = PackagePublished(
        version=version, wheel="late.whl", contract=1, commit="", tree=source.tree(source.held(wheel, "late")), evidence="",
        manifest=blobs.put_json(root, MANIFEST), gate_model="", groups={}, metric="roc_auc", value=0.7,
        certificate=issued(root, "late", version, wheel, START),
    )  # fmt: skip
    return packages.publish(root, "late", wheel, body, actor="test", now=START).digest


def deliver(root: Root, package: str) -> None:
    aliases.move(
        root, "package.delivered", pipeline="late", environment="production", alias=aliases.DEPLOYED, digest=package,
        label="", expected=aliases.current(root, "late", "production", aliases.DEPLOYED), actor="test", now=START,
        reason="Test.",
    )  # fmt: skip


def crown(root: Root, package: str) -> str:
    body = ModelRegistered(
        version="champion", package=package, snapshot="", report="", parameters={}, metric="roc_auc",
        value=0.7, low=0.6, high=0.8, train_start="",
        train_end=(START + 40 * DAY).isoformat(), test_start="", test_end="", rows=1,
    )  # fmt: skip
    model = models.register(root, "late", "production", b"champion", body, actor="test", now=START)
    models.promote(root, model, expected=None, actor="test", now=START, reason="Test.")
    return model.digest


def test_before_the_first_delivery_the_source_folder_is_explored(root: Root, folder: Path, children: Children) -> None:
    explored = explore.run(root, str(folder))
    assert explored.verdict == NEW
    assert all((path / "late" / "__init__.py").is_file() for path, _ in children.jobs)
    assert [job["what"] for _, job in children.jobs] == ["describe", "score"]


def test_what_is_delivered_is_explored_under_its_name(root: Root, children: Children) -> None:
    package = publish(root)
    deliver(root, package)
    explore.run(root, "late")
    ((path, job),) = children.jobs
    assert path.name == package
    assert job["columns"] is True
    assert job["window"] == {"start": (NOW - explore.LOOKBACK).isoformat(), "end": NOW.isoformat()}


def test_a_folder_is_explored_even_when_a_package_is_delivered(root: Root, folder: Path, children: Children) -> None:
    deliver(root, publish(root))
    explore.run(root, str(folder))
    assert children.jobs[0][1]["what"] == "describe"


def test_a_champion_of_the_same_package_predicts_in_the_same_job(root: Root, children: Children) -> None:
    package = publish(root)
    deliver(root, package)
    champion = crown(root, package)
    assert explore.run(root, "late").verdict == LEAVE
    assert [job["model"] for _, job in children.jobs] == [champion]


def test_a_champion_of_another_package_predicts_the_newest_rows_with_its_own(root: Root, children: Children) -> None:
    old = publish(root, "1.0.0")
    champion = crown(root, old)
    deliver(root, publish(root))
    explored = explore.run(root, "late")
    (_, first), (path, second) = children.jobs
    assert (first["model"], second["model"], path.name) == (None, champion, old)
    assert datetime.fromisoformat(second["window"]["start"]) > START + 40 * DAY
    assert explored.verdict == LEAVE


def test_the_report_begins_with_its_verdict_and_shows_what_it_stands_on(
    root: Root, folder: Path, children: Children
) -> None:
    explored = explore.run(root, str(folder))
    text = blobs.get(root, explored.report).decode()
    lines = text.splitlines()
    assert lines[0].startswith("# late 1.2.3 (source ")
    assert lines[0].endswith(f": {NEW}")
    assert lines[2] == explored.sentence
    assert "| tree of all older rows |" in text
    assert "| noise | Float64 | 0.0% |" in text


def test_the_verdict_is_a_row_of_the_ledger_once_for_the_same_findings(
    root: Root, folder: Path, children: Children
) -> None:
    first, again = explore.run(root, str(folder)), explore.run(root, str(folder))
    assert first == again
    (row,) = ledger.find(root, action="data.explored", subject="late", environment="production")
    assert (row.digest, row.body.verdict, row.body.sentence) == (first.report, first.verdict, first.sentence)
    assert datetime.fromisoformat(row.body.window_start) == START
    assert datetime.fromisoformat(row.body.window_end) < NOW


def test_an_unknown_pipeline_is_refused_with_those_that_are(root: Root, children: Children) -> None:
    with pytest.raises(NotFound, match="flight_delay"):
        explore.run(root, "flight_dely")


def test_days_are_utc(root: Root, folder: Path, children: Children) -> None:
    explored = explore.run(root, str(folder))
    assert f"Labelled rows of {START.astimezone(UTC):%Y-%m-%d %H:%M} to " in blobs.get(root, explored.report).decode()
