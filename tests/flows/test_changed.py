"""With --changed only what is not as it was certified is asked again."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from flows import certificate, changed, prove, runner
from flows.building import source
from flows.checks.catalog import CHECKS
from flows.faults import analyse
from flows.faults.catalog import FAULTS
from store.layout import Root
from store.registry import packages

NAME = "arrival_minutes"


@pytest.fixture
def folder(tmp_path):
    """The certified pipeline's source, to be changed."""
    target = tmp_path / NAME
    shutil.copytree(source.find(NAME), target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def _since(root, folder):
    return changed.since(root, runner.stage(root, folder))


def _with_sources(monkeypatch, **others):
    """The sources of checks and faults, with these changed."""
    now = certificate.sources()
    monkeypatch.setattr(certificate, "sources", lambda: now | others)


def test_where_nothing_is_another_nothing_is_asked_and_the_verdicts_stand(delivered_copy):
    found = prove.run(delivered_copy, NAME, only_changed=True, checks=["K11"])

    assert found["since"] == f"Nothing is another since {NAME} 1.0.0 was certified: its verdicts stand."
    assert (found["checks"], found["faults"], found["failed"]) == ([], [], [])


def test_what_was_never_certified_is_asked_in_full(tmp_path, folder):
    since = _since(Root.open(tmp_path / "root"), folder)

    assert since.job == {}
    assert since.told({}) == "It was never certified: everything was asked."


def test_a_check_is_asked_again_with_its_faults_where_its_source_is_another(delivered_copy, monkeypatch):
    """And the verdict is that of the new source, on the very slice."""
    recorded = certificate.sources()
    _with_sources(monkeypatch, **{"checks/k11_report.py": "0" * 64, "checks/catalog.py": "0" * 64})

    found = prove.run(delivered_copy, NAME, only_changed=True, faults=["F10"])

    assert [one["code"] for one in (*found["checks"], *found["faults"])] == ["K11"]
    assert found["since"] == (
        f"1 verdicts were asked again since {NAME} 1.0.0 was certified. The source checks/k11_report.py is another."
    )
    assert recorded.keys() == certificate.sources().keys()


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("checks/k11_report.py", {"K11"}),
        ("checks/check.py", {"K02", "K04", "K11"}),
        ("faults/analyse.py", {fault.code for fault in analyse.FAULTS}),
        ("faults/spine.py", set()),
    ],
)
def test_again_is_what_is_written_there_or_imports_it(delivered_copy, folder, monkeypatch, path, codes):
    """And what the certificate does not speak of."""
    certified = certificate.read(delivered_copy, packages.get(delivered_copy, NAME))
    spoken = {one["code"] for one in (*certified["checks"], *certified["faults"])}
    _with_sources(monkeypatch, **{path: "0" * 64})

    again = _since(delivered_copy, folder).again

    assert again is not None
    assert {code for code in again & spoken if not code.startswith("F")} == {
        code for code in codes if code.startswith("K")
    }
    assert again >= codes
    assert again - spoken == {one.code for one in (*CHECKS, *FAULTS)} - spoken


def test_how_verdicts_are_reached_concerns_all_of_them(delivered_copy, folder, monkeypatch):
    _with_sources(monkeypatch, **{"checks/crew.py": "0" * 64})

    since = _since(delivered_copy, folder)

    assert (since.again, since.why) == (None, ("The source checks/crew.py is another.",))


@pytest.mark.parametrize("file", ["__init__.py", "more.py"])
def test_another_source_of_the_pipeline_is_asked_everything(delivered_copy, folder, file):
    with (folder / file).open("a") as more:
        more.write("# another\n")

    since = _since(delivered_copy, folder)

    assert (since.again, since.why) == (None, (f"The file {file} is another.",))


def test_another_runtime_is_asked_everything(delivered_copy, folder, monkeypatch):
    now = certificate.runtime()
    packages = now["packages"] | {"polars": "0.0.1"}
    monkeypatch.setattr(certificate, "runtime", lambda: now | {"packages": packages, "python": "3.99.0"})

    why = _since(delivered_copy, folder).why

    assert why[0].endswith("and is 3.99.0.")
    assert "polars" in why[1]


def test_of_an_authors_own_tests_only_these_are_asked(delivered_copy, folder):
    """A test that was not there yet: nothing of ours is asked again."""
    (folder / "test_own.py").write_text("def test_it_holds():\n    assert True\n")

    found = prove.run(delivered_copy, str(folder), only_changed=True, checks=["K11", "T01"])

    assert [(one["code"], one["verdict"]) for one in found["checks"]] == [("T01", "PASS")]
    assert found["faults"] == []


def test_another_slice_of_data_is_asked_everything(delivered_copy, folder):
    """Told by what the proving found, for only the process that holds the slice knows."""
    since = dataclasses.replace(_since(delivered_copy, folder), data={"content": "0", "features": {}})
    found = {"content": "1", "features": {}, "checks": [0, 1], "faults": [2]}

    assert since.told(found) == (
        f"3 verdicts were asked again since {NAME} 1.0.0 was certified. The data or the features' code are others."
    )
