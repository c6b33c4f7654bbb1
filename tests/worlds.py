"""Worlds that are expensive to make: made once a session, copied by who wants to write.

``delivered`` is real throughout: flights of seven weeks, both pipelines through the real gate, delivered over HTTP, trained in production.
Each is proved by a few checks and their faults, to spare minutes: by all of them README's tour and the demo are.
"""

from __future__ import annotations

import functools
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import deliver, ingest, integrate, train
from store import clock
from store.layout import Root

START = datetime(2013, 1, 1, tzinfo=UTC)
NOW = datetime(2013, 2, 18, tzinfo=UTC)
CLAIMS = """
import sys
from pathlib import Path
from store import clock
from store.layout import Root
from store.registry import dues
dues.claim(Root.open(Path(sys.argv[1])), sys.argv[2], run="killed", actor="test", by="call", now=clock.wall())
"""
"""A program that claims a due of a root and ends without a word: a run that was killed."""
PROVED_BY = {"flight_delay": ["K11"], "arrival_minutes": ["K02", "K04", "K11"]}
"""Each pipeline, and the checks it is proved by."""


def ingested(folder: Path) -> Root:
    """A simulated root with the flights and weather of 2013 from January to 18 February, a Monday."""
    root = Root.open(folder)
    clock.move(root, NOW)
    ingest.run(root, start=START)
    return root


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Both pipelines integrated, delivered and trained in production. Read it only."""
    root = ingested(tmp_path_factory.mktemp("delivered") / "root")
    for pipeline, checks in PROVED_BY.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(integrate.proving, "proved", functools.partial(integrate.proving.proved, checks=checks))
            integrate.run(root, pipeline)
        deliver.run(root, pipeline, approve=True, reason="a test approves")
        train.run(root, pipeline, reason="a test trains")
    return root


@pytest.fixture
def delivered_copy(delivered: Root, tmp_path: Path) -> Root:
    """A copy of ``delivered`` to write into."""
    return copied(delivered, tmp_path / "root")


def copied(root: Root, target: Path) -> Root:
    """The whole root at another place."""
    shutil.copytree(root.path, target)
    return Root.open(target)
