"""Another team's data, laid out: it passes the gate as it stands, and what cannot be is refused before anything is written."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from console import new
from store import blobs
from store.errors import AssayError, Conflict, InvalidInput, NotFound
from store.layout import Root
from store.registry import packages
from tests import workspaces
from tests.console import team
from tests.console.team import DAY, SHOP, lay_out
from tests.soak import takes_minutes


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The orders as CSV. Read it only."""
    return team.written(tmp_path_factory.mktemp("shop"))


@takes_minutes
def test_what_is_laid_out_passes_its_own_test_and_the_gate(shop: Path, tmp_path: Path) -> None:
    """Every check passes with its control moved, in a copy of the workspace; nothing is edited in between."""
    workspace = workspaces.copied(tmp_path)
    code = (
        f"from pathlib import Path; from console import new; new.lay_out('shop_late', Path({str(shop)!r}), **{SHOP!r})"
    )
    assert (done := workspaces.run(workspace, "-c", code)).returncode == 0, done.stderr
    own = workspace / "tests" / "flows" / "features" / "test_shop_late.py"
    assert (done := workspaces.run(workspace, "-m", "pytest", "-p", "no:cacheprovider", str(own))).returncode == 0, (
        done.stdout
    )
    lint = [sys.executable, "-m", "ruff", "check", str(own), "flows/features/shop_late.py", "flows/pipelines/shop_late"]
    assert subprocess.run(lint, cwd=workspace, capture_output=True).returncode == 0
    for words in (["ingest", "--from", "2024-03-01", "--until", "2024-04-20"], ["integrate", "shop_late"]):
        done = workspaces.run(workspace, "-m", "console.cli", *words)
        assert done.returncode == 0, done.stderr
    root = Root.open(workspace / ".assay")
    package = packages.get(root, "shop_late")
    evidence = blobs.get_json(root, package.body.evidence)
    passed = {one["code"]: one["control"] for one in evidence["checks"] if one["verdict"] == "PASS"}
    assert {"K02", "K04", "K11"} <= set(passed)
    assert min(passed.values()) > 0
    assert not [one for one in evidence["faults"] if one["killed"] is False]
    assert package.body.value > 0.6
    manifest = package.manifest(root)
    assert manifest["columns"] == [
        *("shop", "kind", "size_kg", "rush", "hour", "weekday", "recent_outcome_mean", "recent_outcome_count")
    ]  # fmt: skip
    assert set(manifest["request"]) == {"order_id", "shop", "ordered_at", "size_kg", "kind", "rush"}
    assert manifest["key"] == ["order_id", "shop", "ordered_at"]
    assert [one["application"] for one in manifest["examples"]] == ["the first application"]


def test_three_files_are_written_where_they_were_asked_for(shop: Path, tmp_path: Path) -> None:
    """A feature module, a pipeline's folder, an author's test."""
    written = lay_out(shop, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        *("features/shop_late.py", "pipelines/shop_late/__init__.py", "tests/test_shop_late.py")
    ]  # fmt: skip
    assert all(path.read_text().startswith('"""shop_late') for path in written)


def test_what_is_there_is_not_overwritten(shop: Path, tmp_path: Path) -> None:
    """Not even one of the three; nothing else is written then."""
    first = lay_out(shop, tmp_path)
    first[0].unlink()
    first[1].write_text("mine")
    with pytest.raises(Conflict, match="laid out already"):
        lay_out(shop, tmp_path)
    assert first[1].read_text() == "mine"
    assert not first[0].exists()


def test_the_grid_follows_how_often_an_entity_has_rows(shop: Path, tmp_path: Path) -> None:
    """Eight a day and shop: every six hours; what is asked for goes before."""
    assert "CADENCE = timedelta(hours=6)" in lay_out(shop, tmp_path / "a")[0].read_text()
    assert "CADENCE = timedelta(days=2)" in lay_out(shop, tmp_path / "b", every=2 * DAY)[0].read_text()


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"name": "Shop"}, InvalidInput, "cannot be the name of a pipeline"),
        ({"name": "json"}, InvalidInput, "cannot be named 'json'"),
        ({"name": "class"}, InvalidInput, "cannot be named 'class'"),
        ({"task": "clustering"}, InvalidInput, "no task 'clustering'. Tasks: classification, regression"),
        ({"known": None}, InvalidInput, "must be said once"),
        ({"delay": DAY}, InvalidInput, "must be said once"),
        ({"known": None, "delay": -DAY}, InvalidInput, "before the question"),
        ({"keys": ["Shopp"]}, NotFound, "no column of orders.csv named 'Shopp'.*Did you mean Shop"),
        ({"keys": []}, InvalidInput, "No key was given"),
        ({"keys": ["Order ID", "Outcome"]}, InvalidInput, "cannot be two things"),
        ({"keys": ["Size (kg)"]}, InvalidInput, "key Size .kg. is Float64"),
        ({"time": "Size (kg)", "keys": ["Shop"]}, InvalidInput, "is Float64, which is no time: it begins"),
        ({"positive": None}, InvalidInput, "Which of .*fine.*late.* is predicted"),
        ({"label": "Kind", "positive": "fruit"}, InvalidInput, "Given: 'fruit'"),
        ({"label": "Note"}, InvalidInput, "has 1200 texts"),
        ({"label": "Size (kg)"}, InvalidInput, "not the two of a classification"),
        ({"task": "regression"}, InvalidInput, "has two values.*Take the task classification"),
        ({"zone": "Mars/Base"}, InvalidInput, "no time zone 'Mars/Base'"),
        ({"time": "Told At", "known": "Ordered At"}, InvalidInput, "1,200 labels .* known before the question"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_way_out(shop: Path, tmp_path: Path, changed, kind, says: str) -> None:
    """Three sentences; nothing is written."""
    with pytest.raises(kind, match=says) as refused:
        lay_out(shop, tmp_path, **changed)
    assert isinstance(refused.value, AssayError)
    assert not list(tmp_path.rglob("*.py"))


@pytest.mark.parametrize(
    ("text", "length"), [("91d", 91 * DAY), ("6h", DAY / 4), ("13w", 91 * DAY), ("90 min", DAY / 16)]
)
def test_a_length_of_time_is_written_as_people_do(text: str, length: timedelta) -> None:
    """A number and its unit."""
    assert new.length(text) == length


@pytest.mark.parametrize("text", ["", "d", "3", "3 months", "-1d"])
def test_another_length_is_refused(text: str) -> None:
    """With examples."""
    with pytest.raises(InvalidInput, match="Lengths are such as"):
        new.length(text)


def test_the_next_steps_name_the_pipeline() -> None:
    """From the file to production."""
    steps = new.next_steps("shop_late")
    assert [line.split()[1] for line in steps.splitlines()] == ["ingest", "integrate", "deliver", "train"]
    assert steps.count("shop_late") == 3
