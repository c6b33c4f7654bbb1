"""A small world to serve from: a root, a 20-line pipeline published as a real package, its models, and a group."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from flows import runner
from flows.building import artifact, source, trial
from store import blobs
from store.actions import ModelRegistered, PackagePublished
from store.features import online, write
from store.features.group import TIME, Group
from store.layout import Root
from store.registry import aliases, models, packages
from tests.flows.certified import issued

NOW = datetime(2013, 4, 1, tzinfo=UTC)
SKY = Group("sky", {"city": pl.String()}, {"clouds": pl.Float64(), "kind": pl.String()})
SOURCE = """
from datetime import UTC, datetime, timedelta
import polars as pl
from sklearn.linear_model import LogisticRegression
from flows.pipeline import ROC_AUC, TIME, Example, Pipeline, Serving, Use

def prepare(rows):
    hour = pl.col("departs").dt.hour().cast(pl.Int64)
    return rows.with_columns((pl.col("departs") - timedelta(hours=1)).alias("event_time"), hour.alias("hour"))

def predict(model, data):
    data = data.with_columns(pl.col("miles") / 1000, pl.col("hour") / 24)
    chance = model.predict_proba(data.select("miles", "hour", "clouds").fill_null(0.0).to_numpy())[:, 1]
    return [float("nan") if miles < 0 else p for miles, p in zip(data["miles"], chance)]

ROW = {"flight": "UA1", "city": "BOS", "miles": 100, "departs": datetime(2013, 4, 1, 10, tzinfo=UTC), "day": None}
pipeline = Pipeline(
    name="tiny", version="VERSION", description="A small one.", owner="tests", task="classification",
    dataset=None, prepare=prepare, inputs=("city", "miles", "hour"), features=(Use("sky", ("clouds", "kind")),),
    estimator=lambda parameters: LogisticRegression(), predict=predict, metric=ROC_AUC, floor=0.5,
    serving=Serving(
        request={"flight": pl.String(), "city": pl.String(), "miles": pl.Int64(), "departs": TIME, "day": pl.Date()},
        outcome={"late": pl.Boolean(), "minutes": pl.Float64()}, key=("flight",),
        examples=(Example("boards", ROW, 0.0, 1.0),),
    ),
)
"""


def row(n: int = 1, **changed: object) -> dict[str, object]:
    """A request's row."""
    return {
        "flight": f"UA{n}", "city": "BOS", "miles": 100 + n,
        "departs": "2013-04-01T06:00:00-04:00", "day": "2013-04-01",
    } | changed  # fmt: skip


def until(condition, seconds: float = 180.0):
    """Wait for a condition, and return what it gave; a test that waits too long fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


@dataclass
class World:
    """The root and what was published into it. ``scratch`` is a folder for sources."""

    root: Root
    scratch: Path

    @classmethod
    def made(cls, folder: Path) -> World:
        world = cls(Root.open(folder / "root"), folder)
        write.declare(world.root, SKY, derivation="0" * 64, actor="tests", now=NOW)
        facts = {"city": ["BOS", "LGA"], "event_time": [NOW] * 2, "clouds": [0.5, 0.9], "kind": ["clear", "rain"]}
        facts = pl.DataFrame(facts, schema_overrides={"event_time": TIME})
        write.write(world.root, SKY, facts, now=NOW)
        online.materialise(world.root, ["sky"], now=NOW + timedelta(days=1))
        return world

    def publish(self, version: str = "1.0.0", code: str = SOURCE) -> packages.Package:
        """A package of the source, delivered to production."""
        folder = self.scratch / version / "tiny"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(code.replace("VERSION", version))
        content = source.files(folder)
        with imported(folder.parent) as contract:
            manifest = contract.manifest()
        wheel = source.wheel("tiny", version, content)
        body = PackagePublished(
            version=version, wheel=f"tiny-{version}", contract=1, commit="", tree=source.tree(content), evidence="",
            manifest=blobs.put_json(self.root, manifest), gate_model="", groups={"sky": 1}, metric="roc_auc", value=0.7,
            certificate=issued(self.root, "tiny", version, wheel, NOW),
        )  # fmt: skip
        package = packages.publish(self.root, "tiny", wheel, body, actor="tests", now=NOW)
        self.deliver(package)
        return package

    def deliver(self, package: packages.Package) -> None:
        """Point production at a package."""
        aliases.move(
            self.root, "package.delivered", pipeline="tiny", environment="production", alias=aliases.DEPLOYED,
            digest=package.digest, label=package.version, actor="tests", now=NOW, reason="test",
            expected=aliases.current(self.root, "tiny", "production", aliases.DEPLOYED),
        )  # fmt: skip

    def promote(self, package: packages.Package, seed: int = 0, data: bytes | None = None) -> models.Model:
        """A fitted model of a package (or any bytes, which nobody has loaded yet), registered and made champion."""
        if data is None:
            data = fitted(seed)
            trial.remember(self.root, blobs.digest(data), package.manifest(self.root)["trusted"])
        body = ModelRegistered(
            version=models.version_name(NOW, blobs.digest(data)), package=package.digest, snapshot="", report="",
            parameters={}, metric="roc_auc", value=0.7, low=0.6, high=0.8, train_start="", train_end="", test_start="",
            test_end="", rows=100,
        )  # fmt: skip
        model = models.register(self.root, "tiny", "production", data, body, actor="tests", now=NOW)
        before = aliases.current(self.root, "tiny", "production", aliases.CHAMPION)
        models.promote(self.root, model, expected=before, actor="tests", now=NOW, reason="test")
        return model

    def contract(self, package: packages.Package):
        """The package's pipeline, imported from where it is unpacked."""
        with imported(runner.unpacked(self.root, package).path) as contract:
            return contract


def fitted(seed: int) -> bytes:
    """A model's bytes; another seed gives another model."""
    chance = np.random.default_rng(seed)
    data = chance.normal(size=(60, 3))
    return artifact.dumps(LogisticRegression().fit(data, data[:, 0] + chance.normal(size=60) > 0))


@contextlib.contextmanager
def imported(folder: Path):
    """The pipeline of the folder's module ``tiny``, whose name is free again afterwards."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module("tiny").pipeline
    finally:
        sys.path.remove(str(folder))
        del sys.modules["tiny"]
