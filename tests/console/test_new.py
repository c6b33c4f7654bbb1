"""Another team's data, laid out: it passes the gate as it stands, is honest about time, and refuses what it cannot be."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from console import new
from store import blobs
from store.errors import AssayError, Conflict, InvalidInput, NotFound
from store.layout import Root
from store.registry import packages
from tests import workspaces

START, DAY = datetime(2024, 3, 1), timedelta(days=1)  # noqa: DTZ001
SHOP = {
    "keys": ["Order ID", "Shop"], "time": "Ordered At", "known": "Told At", "label": "Outcome", "task": "classification",
    "positive": "late",
}  # fmt: skip


def orders(days: int = 50) -> pl.DataFrame:
    """Orders of three shops whose mood drifts; moody shops deliver late, and that is told five hours after."""
    random = np.random.default_rng(0)
    mood = np.clip(np.cumsum(random.normal(0, 0.8, (days, 3)), axis=0), -2, 2)
    rows = []
    for number in range(days * 24):
        place, size, asked = int(random.integers(3)), float(random.normal()), START + number * timedelta(hours=1)
        late = mood[number // 24, place] + size + random.normal(0, 0.7) > 0.3
        told = asked + timedelta(hours=5, minutes=int(random.integers(60)))
        kind = ["cake", "bread"][number % 2]
        rows.append((f"o{number}", ["amber", "birch", "cedar"][place], asked, size, kind, number % 5 == 0, f"note {number}", told,
                     "late" if late else "fine"))  # fmt: skip
    names = ["Order ID", "Shop", "Ordered At", "Size (kg)", "Kind", "Rush", "Note", "Told At", "Outcome"]
    return pl.DataFrame(rows, schema=names, orient="row")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The orders as CSV. Read it only."""
    file = tmp_path_factory.mktemp("shop") / "orders.csv"
    orders().write_csv(file)
    return file


def folders(where: Path) -> dict[str, Path]:
    return {"features": where / "features", "pipelines": where / "pipelines", "tests": where / "tests"}


def lay_out(shop: Path, where: Path, name: str = "shop_late", **changed) -> list[Path]:
    return new.lay_out(name, shop, **SHOP | folders(where) | changed)


# ---- through the gate -----------------------------------------------------------------------------------------------


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
    assert set(passed) == {"K02", "K04", "K11"}
    assert min(passed.values()) > 0
    assert not [one for one in evidence["faults"] if one["killed"] is False]
    assert package.body.value > 0.6
    manifest = package.manifest(root)
    assert manifest["columns"] == [
        *("shop", "kind", "size_kg", "rush", "hour", "weekday", "recent_outcome_mean", "recent_outcome_count")
    ]  # fmt: skip
    assert manifest["key"] == ["order_id", "shop", "ordered_at"]
    assert [one["application"] for one in manifest["examples"]] == ["the first application"]


# ---- what is written ------------------------------------------------------------------------------------------------


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


def test_parquet_and_csv_are_laid_out_alike(shop: Path, tmp_path: Path) -> None:
    """But for how they are read."""
    file = tmp_path / "orders.parquet"
    orders().write_parquet(file)
    one, other = lay_out(shop, tmp_path / "a"), lay_out(file, tmp_path / "b")
    assert one[1].read_text() == other[1].read_text()
    assert "pl.read_parquet(FILE)" in other[0].read_text()


def test_a_derived_group_is_by_the_keys_that_repeat(shop: Path, tmp_path: Path) -> None:
    """An order's number tells rows apart, and derives nothing."""
    features = lay_out(shop, tmp_path)[0].read_text()
    assert 'keys={"shop": pl.String()},\n    values={"outcome_mean"' in features
    ids = orders().with_columns(pl.col("Order ID").alias("Shop"))
    ids.write_csv(tmp_path / "ids.csv")
    alone = lay_out(tmp_path / "ids.csv", tmp_path / "b", keys=["Order ID"], leave_out=["Shop"])[0].read_text()
    assert "keys={},\n" in alone
    compile(alone, "features", "exec")


def test_a_delay_takes_the_place_of_a_column(shop: Path, tmp_path: Path) -> None:
    """The column that was not said to be anything is not known when the question is asked: a time is no input."""
    features, pipeline, _ = lay_out(shop, tmp_path, known=None, delay=timedelta(hours=6))
    assert "DELAY = timedelta(hours=6)" in features.read_text()
    assert "told_at" not in features.read_text() + pipeline.read_text()


def test_times_of_another_zone_are_read_in_it(shop: Path, tmp_path: Path) -> None:
    """And are UTC from there on."""
    seen = new.look(
        shop, **{name: SHOP[name] for name in ("keys", "time", "known", "label", "positive")}, zone="Asia/Tokyo"
    )
    assert seen.rows["ordered_at"][0] == datetime(2024, 2, 29, 15, tzinfo=UTC)
    assert 'replace_time_zone("Asia/Tokyo"' in lay_out(shop, tmp_path, zone="Asia/Tokyo")[0].read_text()


def test_the_grid_follows_how_often_an_entity_has_rows(shop: Path, tmp_path: Path) -> None:
    """Eight a day and shop: every six hours; what is asked for goes before."""
    assert "CADENCE = timedelta(hours=6)" in lay_out(shop, tmp_path / "a")[0].read_text()
    assert "CADENCE = timedelta(days=2)" in lay_out(shop, tmp_path / "b", every=2 * DAY)[0].read_text()


# ---- what is refused ------------------------------------------------------------------------------------------------


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
    ("change", "says"),
    [
        (lambda rows: rows.head(100), "has 100 rows with a label. The least is 200"),
        (lambda rows: pl.concat([rows, rows.head(3)]), "3 rows of odd.csv are about the same at the same time"),
        (lambda rows: rows.with_columns(pl.col("Shop").replace("amber", None)), "rows of odd.csv have no Shop"),
        (lambda rows: rows.with_columns(pl.lit(1).alias("shop")), "would have one name: shop"),
        (lambda rows: rows.with_columns(pl.col("Told At") + 30 * DAY), "spans 49 days, too few"),
    ],
    ids=["few", "twice", "null key", "one name", "late labels"],
)
def test_a_file_that_cannot_be_asked_about_is_refused(tmp_path: Path, change, says: str) -> None:
    """What is wrong, and how many rows."""
    rows = change(orders())
    rows.write_csv(tmp_path / "odd.csv")
    with pytest.raises(InvalidInput, match=says):
        lay_out(tmp_path / "odd.csv", tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "kind", "says"),
    [
        ("none.csv", None, NotFound, "There is no file"),
        ("some.xlsx", b"PK", InvalidInput, "Files: .csv, .parquet"),
        ("bad.parquet", b"no parquet", InvalidInput, "bad.parquet cannot be read"),
        ("empty.csv", b"", InvalidInput, "empty.csv cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, data, kind, says: str) -> None:
    """Named, with what can be."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(kind, match=says):
        lay_out(tmp_path / name, tmp_path)


def test_names_of_assays_own_are_given_others(tmp_path: Path) -> None:
    """A team's column may be called label, event_time, class, or 2nd."""
    columns = {"Ordered At": "event_time", "Outcome": "label", "Size (kg)": "class", "Rush": "2nd", "Kind": "x_kind"}
    orders().rename(columns).write_csv(tmp_path / "odd.csv")
    seen = new.look(
        tmp_path / "odd.csv",
        keys=["Order ID", "Shop"],
        time="event_time",
        known="Told At",
        label="label",
        positive="late",
    )
    assert (seen.time, seen.label) == ("asked_at", "answer")
    assert seen.given == ("c_class", "c_x_kind", "c_2nd")
    for path in lay_out(tmp_path / "odd.csv", tmp_path, time="event_time", label="label"):
        compile(path.read_text(), str(path), "exec")


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
