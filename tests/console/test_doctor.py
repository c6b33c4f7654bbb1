"""The doctor finds what is wrong, says what to do, and changes nothing."""

import pytest

from console import doctor
from console.processes import free_port
from store import clock, ledger
from store.layout import Root
from tests.store.registry import made


@pytest.fixture(autouse=True)
def _no_prefect(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def found(root, what):
    (one,) = [one for one in doctor.examine(lambda: root) if one.what == what]
    return one


def test_all_is_well_with_a_new_root(root):
    """Every finding is well, and none needs a remedy that is missing."""
    findings = doctor.examine(lambda: root)
    assert all(one.well for one in findings)
    assert {"python", "prefect", "root", "ledger", "disk", "clock", "Prefect"} <= {one.what for one in findings}
    assert ledger.head(root) == 0


def test_a_changed_ledger_is_found_and_is_refused(root):
    made.package(root, "1")
    victim = next(root.ledger.glob("*.parquet"))
    victim.chmod(0o600)
    victim.write_bytes(victim.read_bytes()[:-100])
    one = found(root, "ledger")
    assert (one.well, one.code) == (False, 3)
    assert "Restore" in one.remedy


def test_a_root_of_a_newer_assay_is_found(tmp_path):
    """Nothing more is said of it."""
    Root.open(tmp_path / "root")
    (tmp_path / "root" / "FORMAT").write_text("99\n")
    findings = doctor.examine(lambda: Root.open(tmp_path / "root"))
    assert (findings[-1].what, findings[-1].well, findings[-1].code) == ("root", False, 3)


def test_a_full_disk_is_found(root, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_BYTES", 10**18)
    assert "Make room" in found(root, "disk").remedy


def test_a_clock_that_went_back_is_found(root, monkeypatch):
    """What was recorded later than now."""
    made.package(root, "1")
    early = clock.wall().replace(year=2020)
    monkeypatch.setattr(clock, "wall", lambda: early)
    assert not found(root, "clock").well


def test_a_prefect_that_does_not_answer_is_found_with_its_address(root, monkeypatch):
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    one = found(root, "Prefect")
    assert (one.well, one.code) == (False, 4)
    assert url in one.found


def test_a_library_that_is_missing_is_found(root, monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED", ("nosuchlibrary",))
    assert "lock" in found(root, "nosuchlibrary").remedy


def test_the_exit_code_is_that_of_the_worst_finding(root, monkeypatch):
    """All lines are looked at, though the first is bad."""
    monkeypatch.setattr(doctor, "NEEDED", ("nosuchlibrary",))
    findings = doctor.examine(lambda: root)
    assert [one.what for one in findings if not one.well] == ["nosuchlibrary"]
    assert len(findings) > 5
