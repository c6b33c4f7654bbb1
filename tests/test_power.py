"""How `make power` judges, tells and keeps what it measures."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import certificate
from flows.checks.catalog import CHECKS
from flows.faults.catalog import FAULTS
from tests.power import page, proved
from tests.power.catalog import KINDS


def test_there_are_twenty_kinds_and_five_seeds():
    """As many as were promised."""
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 20
    assert page.SEEDS >= 5


def _result(verdict: str, killed: bool | None = None) -> proved.Result:
    check = {"code": "K99", "verdict": verdict, "sentence": "It is so.", "seconds": 0.1}
    fault = {"code": "F99", "check": "K99", "killed": killed, "sentence": "It is so.", "seconds": 0.1}
    return {"kind": "any", "seed": 0, "rows": 1, "seconds": 1.0, "checks": [check], "faults": [fault]}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (_result("PASS", True), []),
        (_result("N/A", None), []),
        (_result("FAIL"), ["K99 FAIL: It is so."]),
        (_result("VACUOUS"), ["K99 VACUOUS: It is so."]),
        (_result("PASS", False), ["F99 survived K99: It is so."]),
    ],
)
def test_an_alarm_and_a_survivor_are_told(result, told):
    """Whatever else came out is good."""
    assert proved.bad(result) == told


@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (["PASS"] * 5, "✓"),
        (["N/A"] * 5, "·"),
        (["PASS", "N/A", "PASS"], "✓ 2 · 1"),
        (["PASS", "FAIL"], "✓ 1 FAIL 1"),
        (["VACUOUS"] * 2, "VACUOUS 2"),
        (["SURVIVED"], "SURVIVED 1"),
        ([], "not judged"),
    ],
)
def test_a_cell_is_a_sign_where_all_is_alike_and_spells_out_what_is_not(words, sign):
    """So that a bad one is seen."""
    assert page.cell(words) == sign


@pytest.fixture
def keeping(tmp_path, monkeypatch):
    """A place to keep results in."""
    monkeypatch.setattr(proved, "WORK", tmp_path)
    yield monkeypatch
    for one in (proved.made_by, proved._sources):
        one.cache_clear()


def _found(*codes: str) -> proved.Result:
    checks = [{"code": code, "verdict": "PASS"} for code in codes if code.startswith("K")]
    faults = [{"code": code, "killed": True} for code in codes if code.startswith("F")]
    return {"kind": KINDS[0].name, "seed": 0, "rows": 1, "seconds": 1.0, "checks": checks, "faults": faults}


def _kept() -> set[str]:
    found = proved.kept(KINDS[0], 0)
    return set() if found is None else {one["code"] for one in (*found["checks"], *found["faults"])}


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("checks/k11_report.py", {"K13", "F83"}),  # F08 is judged by K11
        ("checks/claims.py", {"K11", "F08"}),
        ("faults/analyse.py", {"K11", "K13", "F83"}),
        ("checks/catalog.py", {"K11", "K13", "F08", "F83"}),
        ("checks/crew.py", set()),
    ],
)
def test_what_is_finished_is_kept_for_its_own_sources_alone(keeping, path, left):
    """After a change only what comes of it is asked again."""
    now = certificate.sources()
    proved.keep(KINDS[0], _found("K11", "K13", "F08", "F83"))
    assert _kept() == {"K11", "K13", "F08", "F83"}

    keeping.setattr(certificate, "sources", lambda: now | {path: "0" * 64})
    for one in (proved.made_by, proved._sources):
        one.cache_clear()

    assert _kept() == left


def test_another_kind_is_asked_everything(keeping, tmp_path):
    """By its own file, and by those it is made of."""
    proved.keep(KINDS[0], _found("K11"))
    keeping.setattr(proved, "_imported", lambda kind: {Path(__file__)})
    proved.made_by.cache_clear()
    assert _kept() == set()


def test_what_was_asked_again_stands_beside_what_was_not():
    """In the order of the catalogs, with the seconds of the whole run."""
    before = _found("K01", "K13", "F83") | {"seconds": 30.0}
    result = proved.merged(before, _found("K11", "K13", "F08") | {"seconds": 2.0})
    assert [one["code"] for one in (*result["checks"], *result["faults"])] == ["K01", "K11", "K13", "F08", "F83"]
    assert result["seconds"] == 30.0
    assert proved.merged(None, before) is before


def test_every_kind_says_which_files_it_is_made_of():
    """The flights stand on the users' rooms too."""
    found = {kind.name: proved._imported(kind) for kind in KINDS}
    assert {"bundled.py", "tables.py", "kind.py"} <= {path.name for path in found["cancer_logistic"]}
    assert {"flights.py", "kind.py"} <= {path.name for path in found["flight_delay"]}
    assert any("pipelines/flight_delay" in str(path) for path in found["flight_delay"])


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, dict[str, str]]]:
    """The page's matrices: heading, pipeline, code, cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for part in page.PAGE.read_text().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        lines = [[one.strip() for one in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
        if lines:
            found[title] = {name: dict(zip(lines[0][1:], cells, strict=True)) for name, *cells in lines[2:]}
    return found


def test_the_page_was_measured_with_these_very_checks_and_faults(tables):
    """Else `make power` has to run again."""
    assert f"`{proved.digest()}`" in page.PAGE.read_text(), "docs/power.md is older than checks and faults: make power"
    assert tables["Checks"].keys() == tables["Faults"].keys() == {kind.name for kind in KINDS}
    assert {code for row in tables["Checks"].values() for code in row} == {check.code for check in CHECKS}
    assert {code for row in tables["Faults"].values() for code in row} == {fault.code for fault in FAULTS}


def test_no_clean_pipeline_raised_an_alarm_and_no_fault_survived(tables):
    """A cell is a sign: good with all seeds, or not applicable."""
    bad = [
        (name, code, cell)
        for table in ("Checks", "Faults")
        for name, row in tables[table].items()
        for code, cell in row.items()
        if not set(cell.split()) <= {"✓", "·", *map(str, range(1, page.SEEDS))}
    ]
    assert bad == []


def test_every_check_passed_somewhere_and_every_fault_was_killed_somewhere(tables):
    """What applies to no pipeline was not measured."""
    for table in ("Checks", "Faults"):
        codes = next(iter(tables[table].values())).keys()
        assert [code for code in codes if not any("✓" in row[code] for row in tables[table].values())] == []


def test_the_pipeline_of_the_day_is_as_the_page_says(tables):
    """Another one each day, with another seed, and every fifth of the faults, in a process of its own."""
    day = datetime.now(UTC).toordinal()
    kind, seed = KINDS[day % len(KINDS)], day // len(KINDS) % page.SEEDS
    planted = [fault.code for fault in FAULTS][day % 5 :: 5]

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        found = alone.submit(proved.again, kind.name, seed, planted).result(timeout=900)

    assert proved.bad(found) == []
    for one in found["checks"]:
        assert page.MARKS[one["verdict"]] in tables["Checks"][kind.name][one["code"]], one["sentence"]
    assert {one["code"] for one in found["faults"]} == set(planted)
