"""Starting, stopping, and the clock of a root."""

import json
import sys

import pytest

from store import clock, ledger
from tests.store.registry import made


def test_the_clock_of_an_empty_root_can_be_moved_and_never_back(assay, tmp_path):
    """From the first move on the root lives in the past."""
    root = tmp_path / "root"
    assert json.loads(assay(root, "clock", "-o", "json")[1])["simulated"] is False
    code, out, _ = assay(root, "clock", "--move", "2013-04-01")
    assert (code, out) == (0, "2013-04-01 00:00 UTC, moved by hand or by a replay\n")
    assert json.loads(assay(root, "clock", "-o", "json")[1]) == {"now": "2013-04-01T00:00:00+00:00", "simulated": True}
    code, out, err = assay(root, "clock", "--move", "2013-03-31")
    assert (code, out) == (2, "")
    assert "cannot move back" in err


def test_the_clock_of_a_root_with_a_history_stays_the_machines(assay, root):
    """What was recorded by one clock is not judged by another."""
    made.package(root, "1")
    code, _, err = assay(root, "clock", "--move", "2013-04-01")
    assert code == 2
    assert "set ASSAY_ROOT" in err
    assert not clock.simulated(root)
    assert ledger.head(root) == 1


def test_what_is_not_up_cannot_go_down_and_that_is_no_error(assay, root):
    code, out, _ = assay(root, "down", "-o", "json")
    assert (code, json.loads(out)) == (0, {"stopped": False})


@pytest.fixture(autouse=True)
def _nobody_at_the_keyboard(monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)


def test_what_new_was_not_told_is_refused_where_nobody_can_be_asked(assay, root, tmp_path):
    """The missing option is named, and nothing is written."""
    file = tmp_path / "sales.csv"
    file.write_text("shop,day,sold\na,2020-01-01,1\n")
    code, out, err = assay(root, "new", "sales", str(file), "--key", "shop", "--time", "day", "--label", "sold")
    assert (code, out) == (2, "")
    assert "--task was not given" in err
