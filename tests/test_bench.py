"""Every bench runs, at a tiny size: what it measures is told by `make bench`."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import __main__ as benches
from tests.bench import join, measure, table
from tests.bench.table import BEGIN, END, Row
from tests.soak import takes_minutes
from tests.workspaces import WORKSPACE

TINY = ("lookup", "drift", "ledger", *(pytest.param(name, marks=takes_minutes) for name in ("join", "service")))
"""Without those that need minutes to be set up: Feast's environment, a delivered pipeline."""


@pytest.mark.parametrize("name", TINY)
def test_a_bench_yields_rows_with_figures(name):
    """Each case has a cost of ours and of its peer's, in a unit. Apart, as always: what peers warn of is not our affair."""
    rows = measure.apart(table.measured, name, "tiny")
    assert rows
    assert all(row.ours > 0 and row.theirs > 0 and row.unit in ("s", "µs", "MiB") for row in rows)


def test_every_bench_is_run():
    """`make bench` finds all modules that have sizes."""
    modules = {path.stem for path in Path(benches.__file__).parent.glob("*.py") if "\nSIZES = " in path.read_text()}
    assert modules == set(benches.BENCHES)


def test_the_command_prints_the_table_of_the_benches_named():
    """As `make bench` does for all of them, each in a process of its own."""
    command = [sys.executable, "-m", "tests.bench", "ledger", "--small"]
    said = subprocess.run(command, cwd=WORKSPACE, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert "ledger append" in said.stdout


def test_part_of_the_benches_is_not_kept():
    """The table in the document is of one run; who asks for part of it is told so."""
    command = [sys.executable, "-m", "tests.bench", "ledger", "--keep"]
    said = subprocess.run(command, cwd=WORKSPACE, capture_output=True, text=True, timeout=120)
    assert said.returncode == 2
    assert "--keep is for all benches at full size" in said.stderr


def test_the_peers_of_the_join_give_its_answers_on_the_rule(tmp_path):
    """Otherwise they would not be peers."""
    root = join.Root.open(tmp_path / "root")
    names = [join.fill(root, name, 5_000, 0.0) for name in "ab"]
    spine = join.drawn_spine(1_000, 5_000)
    ours, *others = (way(root, spine, names) for way in (join.by_assay, join.by_hand, join.by_polars))
    assert ours.null_count().sum_horizontal().item() > 0
    for found in others:
        assert found.rename(dict(zip(found.columns, ours.columns, strict=True))).equals(ours)


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row("c", "p", 1.0, 2.0, target=0.5), "yes"),
        (Row("c", "p", 1.1, 2.0, target=0.5), "no"),
        (Row("c", "p", 1.1, 2.0), ""),
        (Row("c", "p", target=0.5, missing="no network"), ""),
    ],
)
def test_a_row_says_whether_its_target_is_reached(row, reached):
    """Ours is at most so much of the peer's; without a target or a measurement there is nothing to reach."""
    assert row.cells()[-1] == reached


def test_what_could_not_be_measured_says_why():
    """The table keeps the place of a case whose peer could not be had."""
    row = Row("join", "Feast", target=0.5, missing="no network")
    assert "not measured: no network" in row.cells()
    assert math.isnan(row.ratio)


def test_the_table_is_kept_between_its_marks(tmp_path):
    """The text around it stays; measuring again replaces it."""
    document = tmp_path / "bench.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    for case in ("first", "second"):
        table.keep([Row(case, "peer", 1.0, 4.0, target=0.5)], document)
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| second | peer | 1 s | 4 s | 0.25× | ≤ 0.5× | yes |" in text
    assert "first" not in text


def test_a_document_without_a_place_for_the_table_is_told_so(tmp_path):
    """Nothing is lost in silence."""
    document = tmp_path / "bench.md"
    document.write_text("no marks")
    with pytest.raises(ValueError, match=r"bench\.md has 0 places"):
        table.keep([], document)
