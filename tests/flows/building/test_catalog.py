"""The catalogue of declared groups: found, told apart, and refused when it contradicts itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import flows.features
from flows.building import catalog
from flows.building.catalog import Catalog
from store.errors import InvalidInput, NotFound
from tests.flows.building import CATALOG

FACTS = """
from datetime import timedelta
import polars as pl
from flows.pipeline import Derived, Facts, Group

def pace(read, ticks):
    return read("{name}", None)

GROUP = Group("{name}", {{"shop": pl.String()}}, {{"amount": pl.Int64()}})
FEATURES = (Facts(GROUP),)
"""
DERIVED = FACTS.replace("(Facts(GROUP),)", '(Derived(GROUP, ("{of}",), pace, timedelta(1), timedelta(1)),)')


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Load a ``flows/features/`` that holds these modules."""

    def load(**modules: str) -> Catalog:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        return catalog.load.__wrapped__()

    monkeypatch.setattr(flows.features, "__path__", [str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield load
    for name in set(sys.modules) - before:
        if name.startswith("flows.features."):
            del sys.modules[name]
            delattr(flows.features, name.rpartition(".")[2])


def test_every_module_of_the_folder_is_found_whatever_its_name(features) -> None:
    """Facts and derived groups apart, each with its module's digest."""
    found = features(zebra=FACTS.format(name="sales"), ant=DERIVED.format(name="pace", of="sales"))
    assert (list(found.facts), list(found.derived)) == (["sales"], ["pace"])
    assert found.derived["pace"].inputs == ("sales",)
    assert {name: len(digest) for name, digest in found.digests.items()} == {"sales": 64, "pace": 64}
    assert found.digests["sales"] != found.digests["pace"]


def test_a_group_declared_twice_is_refused(features) -> None:
    """Two modules, one name: the second file is named."""
    with pytest.raises(InvalidInput, match=r"sales is declared twice. The second time in .*/b.py"):
        features(a=FACTS.format(name="sales"), b=FACTS.format(name="sales"))


def test_a_module_without_features_is_refused(features) -> None:
    """A forgotten last line is named, with what it looks like."""
    with pytest.raises(InvalidInput, match=r"a.py declares no FEATURES. End it with FEATURES = \(Facts"):
        features(a="GROUP = None")


@pytest.mark.parametrize("of", ["sale", "pace"])
def test_an_input_that_nobody_declares_is_refused(features, of: str) -> None:
    """Nor may a group be derived from a derived one."""
    with pytest.raises(InvalidInput, match=rf"pace is derived from \['{of}'\], which nobody declares. Facts: sales"):
        features(a=FACTS.format(name="sales"), b=DERIVED.format(name="pace", of=of))


def test_a_digest_changes_with_the_code_and_not_with_its_words(tmp_path: Path) -> None:
    """A comment or docstring is no new derivation; a number is."""

    def digest(text: str) -> str:
        path = tmp_path / "one.py"
        path.write_text(text)
        return catalog._digest(type("Module", (), {"__file__": str(path)}))

    plain = digest("def f(x):\n    return x + 1\n")
    assert digest('"""Words."""\n\n\ndef f(x):\n    """More."""\n    return x + 1  # one\n') == plain
    assert digest("def f(x):\n    return x + 2\n") != plain
    assert digest('def f(x):\n    return "x" + 1\n') != plain


def test_the_inputs_of_groups_are_their_facts() -> None:
    """A derived group's inputs, a group of facts itself, each once."""
    assert CATALOG.inputs(["pace", "orders", "sales"]) == {"sales", "orders"}
    assert CATALOG.inputs([]) == set()


def test_an_unknown_group_is_named_with_the_near_ones() -> None:
    """A misspelt feature group says what exists and where it is declared."""
    with pytest.raises(
        NotFound, match=r"no feature group named 'paces'. Known: orders, pace, sales. Did you mean pace?"
    ):
        CATALOG.inputs(["paces"])


def test_the_flights_are_declared() -> None:
    """Facts with an archive, and groups derived of them on one grid."""
    found = catalog.load()
    assert {"flight_schedule", "flight_events", "weather"} <= set(found.facts)
    assert {"airport", "route", "carrier"} <= set(found.derived)
    assert found.inputs(["route", "weather"]) == {"flight_events", "flight_schedule", "weather"}
