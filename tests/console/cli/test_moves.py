"""Moving an alias by hand: seen before, asked once, written once."""

import io
import json
import sys

import pytest

from flows.building import source
from store import ledger
from store.registry import aliases, models, packages
from tests.flows.certified import issued
from tests.store.registry import made

WHY = ("--reason", "a test says so")


@pytest.fixture
def served(root):
    """A root with two models of a pipeline, the first of them champion after the second."""
    package = made.package(root, "1")
    found = [made.model(root, version, package=package.digest) for version in ("first", "second")]
    for model, expected in zip(found, [None, found[0].digest]):
        models.promote(root, model, expected=expected, actor="ada", now=made.NOW, reason="Better.")
    return root


def champion(root):
    return models.champion(root, made.PIPELINE, "production").version


@pytest.mark.parametrize(
    ("words", "target"),
    [(("promote", made.PIPELINE, "first"), "first"), (("rollback", made.PIPELINE, "model"), "first")],
    ids=["promote", "rollback"],
)
def test_a_move_can_be_seen_before_it_is_made(assay, served, words, target):
    """A dry run tells the very row, but for who hears of it; nothing moves until it is said again."""
    head = ledger.head(served)
    code, out, _ = assay(served, *words, *WHY, "--dry-run", "-o", "json")
    would = json.loads(out)
    assert (code, ledger.head(served), champion(served)) == (0, head, "second")
    code, out, _ = assay(served, *words, *WHY, "--yes", "-o", "json")
    assert (code, json.loads(out) | {"store_time": ""}) == (0, would | {"store_time": ""})
    assert (ledger.head(served), champion(served)) == (head + 1, target)


def test_without_somebody_to_answer_nothing_moves(assay, served, monkeypatch):
    """A script must say --yes; a person is asked, and may say no."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    code, out, err = assay(served, "promote", made.PIPELINE, "first", *WHY)
    assert (code, out) == (2, "")
    assert "Say --yes" in err
    assert champion(served) == "second"


@pytest.mark.parametrize(("answer", "version"), [("y", "first"), ("n", "second")])
def test_a_person_is_asked_once(assay, served, monkeypatch, answer, version):
    """The question names model, pipeline and environment."""
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    code, _, err = assay(served, "promote", made.PIPELINE, "first", *WHY)
    assert (code, champion(served)) == (0 if answer == "y" else 1, version)
    assert err.count(f"Make first the champion of {made.PIPELINE} in production?") == 1


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


def test_a_reason_is_needed(assay, served):
    """It stands in the ledger."""
    code, _, err = assay(served, "rollback", made.PIPELINE, "model", "--yes")
    assert code == 2
    assert "needs a reason" in err
    assert champion(served) == "second"


def test_the_champion_is_not_promoted_again(assay, served):
    """A command that was repeated writes no second row."""
    head = ledger.head(served)
    code, _, err = assay(served, "promote", made.PIPELINE, "second", *WHY, "--yes")
    assert code == 2
    assert "already" in err
    assert ledger.head(served) == head


def test_a_delivery_can_be_seen_before_it_is_made(assay, root):
    """Both moves of a package that runs nowhere yet, and none where it runs everywhere."""
    wheel = source.wheel(made.PIPELINE, "1", {"__init__.py": b""})
    proved = {
        "tree": source.tree(source.held(wheel, made.PIPELINE)),
        "certificate": issued(root, made.PIPELINE, "1", wheel, made.NOW),
    }
    body = made.body("package.published", version="1", **proved)
    package = packages.publish(root, made.PIPELINE, wheel, body, actor="ada", now=made.NOW)
    _, out, _ = assay(root, "deliver", made.PIPELINE, "--dry-run", "-o", "json")
    assert [(row["environment"], row["digest"]) for row in json.loads(out)] == [
        ("test", package.digest),
        ("production", package.digest),
    ]
    assert ledger.head(root) == 1
    assert aliases.current(root, made.PIPELINE, "production", aliases.DEPLOYED) is None
