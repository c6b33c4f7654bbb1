"""The tutorial does what it says: its commands, read out of the text, from a file to production and a retraining."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from store import ledger
from store.layout import Root
from store.registry import dues, models, packages
from tests import workspaces
from tests.soak import takes_minutes

TUTORIAL = workspaces.WORKSPACE / "docs" / "tutorial.md"
pytestmark = [pytest.mark.xdist_group("tutorial"), takes_minutes]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)


def shell(workspace: Path, block: str) -> str:
    """What a block prints; a command that fails ends it, and the test."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=workspace, env=workspaces.environment(workspace), capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Root, dict[str, str]]:
    """The root when all commands have run, in order, and what each block printed."""
    workspace = workspaces.copied(tmp_path_factory.mktemp("tutorial"))
    before = {path for path in workspaces.WORKSPACE.glob("flows/*/*") if "__pycache__" not in path.parts}
    printed = {block: shell(workspace, block) for block in BLOCKS}
    assert before == {path for path in workspaces.WORKSPACE.glob("flows/*/*") if "__pycache__" not in path.parts}
    return Root.open(workspace / ".assay"), printed


def test_every_command_is_executed(told) -> None:
    """From the file on: no command of the text stands outside a block."""
    _, printed = told
    assert len(printed) == len(BLOCKS) == 8
    verbs = re.findall(r"^\s*assay (\w+)", "\n".join(BLOCKS), re.MULTILINE)
    assert verbs[:7] == ["new", "clock", "ingest", "sql", "integrate", "deliver", "train"]
    assert not re.findall(
        r"^\s*assay \w+", re.sub(r"```sh\n.*?```", "", TUTORIAL.read_text(), flags=re.DOTALL), re.MULTILINE
    )


def test_it_ends_in_production_retrained_once(told) -> None:
    """One package, two models, a champion; both dues are closed with an outcome, and none failed."""
    root, _ = told
    assert packages.deployed(root, "co2", "production").version == "1.0.0"
    assert len(models.listed(root, "co2", "production")) == 2
    assert models.champion(root, "co2", "production") is not None
    outcomes = [due.closed.body.outcome for due in dues.listed(root, "co2") if due.closed]
    assert outcomes[0] == "promoted"
    assert outcomes[1] in ("promoted", "kept")
    judged = ledger.find(root, action="model.judged", subject="co2", environment="production")
    assert judged[-1].body.low is not None
    assert judged[-1].body.rows > 100


def test_nothing_was_known_before_its_time(told) -> None:
    """At New Year's Day the newest answer was the one of two days before, as the text says."""
    _, printed = told
    (asked,) = (out for block, out in printed.items() if "FROM co2_answers" in block)
    assert "1989-12-30" in asked
    assert ledger.verify(told[0]) > 10
