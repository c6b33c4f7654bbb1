"""The console's tests, and the small root they look at: one pipeline whose temperature drifts, and a second that was only delivered.

Everything is written through the store's own functions; the drift scores are real scores of the rows that lie in it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flows import certificate
from flows.deciding import drift
from store import blobs, clock, ledger, tables
from store.actions import ChallengerJudged, ModelRegistered, MonitorDecided, PackagePublished, SnapshotFrozen
from store.layout import Root
from store.registry import aliases, dues, models, packages
from store.registry.models import Model
from store.traffic import predictions
from tests.console import proved

START = datetime(2013, 4, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
PIPELINE, OTHER, ENVIRONMENT = "flight_delay", "arrival_minutes", "production"
COLUMNS = ("temp_f", "late_share", "carrier")
WEEKS = 4


def manifest(name: str = PIPELINE, better: str = "higher") -> dict[str, Any]:
    """As much of a contract's manifest as the console and the tables read."""
    return {
        "name": name, "metric": "roc_auc" if better == "higher" else "mean_absolute_error", "better": better, "columns": list(COLUMNS),
        "monitored": list(COLUMNS), "request": {"carrier": "String"}, "outcome": {}, "key": ["carrier"],
        "trigger": {
            "window_seconds": 604800.0, "windows": 2, "cool_down_seconds": 1209600.0, "margin": 0.005,
            "cadence_seconds": None, "new_rows": None,
        },
        "promote": {"margin": 0.005, "slices": [], "tolerance": 0.02, "minimum_rows": 100},
    }  # fmt: skip


def rows(count: int, warmer: float, seed: int) -> pl.DataFrame:
    """Rows of the model's columns; ``warmer`` moves the temperature."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "temp_f": random.normal(40 + warmer, 8, count),
            "late_share": random.beta(2, 6, count),
            "carrier": random.choice(["UA", "B6", "EV"], count, p=[0.5, 0.3, 0.2]),
        }
    )


def story(path: Path, weeks: int = WEEKS) -> Root:
    """A root after some weeks: champion since the first, warmer from the third on, one retraining that kept the champion."""
    root = Root.open(path)
    clock.move(root, START)
    reference = rows(7000, 0, 0).with_columns(
        pl.datetime_range(
            START - timedelta(days=70), START, timedelta(days=70) / 6999, time_unit="us", time_zone="UTC", eager=True
        ).alias("event_time")
    )
    calibration = drift.calibrate(reference, COLUMNS, time="event_time")
    found = proved.proving(START)
    publish(root, OTHER, "lower", found=found)
    champion = train(root, publish(root, PIPELINE, found=found), calibration, START, None)
    schema = predictions.schema(manifest())
    tables.create(predictions.path(root, ENVIRONMENT, PIPELINE), schema)
    for at in range(weeks):
        served = rows(900, 30.0 if at > 1 else 0.0, at + 1)
        serve(root, champion, served, START + at * WEEK, schema)
        clock.move(root, START + (at + 1) * WEEK)
        decide(root, champion, calibration, served, START + at * WEEK, fallen=at > 1)
        if at == 2:
            train(root, packages.get(root, PIPELINE), calibration, START + 3 * WEEK, champion)
    return root


def publish(
    root: Root, name: str, better: str = "higher", version: str = "1.0.0", *, now: datetime = START, found: dict[str, Any] | None = None,
    deliver: bool = True,
) -> packages.Package:  # fmt: skip
    """A package, delivered to production; with a certificate of the proving ``found``."""
    contract, (data, tree) = manifest(name, better), proved.wheel(name, version)
    body = PackagePublished(
        version, f"{name}-{version}-py3-none-any.whl", 1, "", tree, "0" * 64, blobs.put_json(root, contract), "0" * 64, {},
        contract["metric"], 0.7, certificate.issue(root, name, version, data, tree, found, now) if found else "",
    )  # fmt: skip
    before = aliases.current(root, name, ENVIRONMENT, aliases.DEPLOYED)
    package = packages.publish(root, name, data, body, actor="ana", now=now)
    if deliver:
        aliases.move(root, "package.delivered", pipeline=name, environment=ENVIRONMENT, alias=aliases.DEPLOYED, digest=package.digest,
                     label=version, expected=before, actor="ana", now=now, reason="first delivery")  # fmt: skip
    return package


def train(
    root: Root, package: packages.Package, calibration: drift.Calibration, now: datetime, champion: Model | None
) -> Model:
    """A due, opened, claimed and closed: the first training promotes, a later one keeps the champion."""
    name, kinds = package.pipeline, ["drift"] if champion else ["by_hand"]
    due, run = blobs.digest(now.isoformat().encode()), f"run-{now:%Y%m%d}"
    opened = {"pipeline": name, "environment": ENVIRONMENT, "actor": "ana", "now": now}
    dues.open_due(
        root,
        due,
        kinds=kinds,
        reasons=["temp_f drifted."],
        window_end=now,
        champion=champion.digest if champion else None,
        **opened,
    )
    dues.claim(root, due, run=run, by="automation", actor="prefect:amber-lynx", now=now)
    frozen = SnapshotFrozen("0" * 64, "2013-01-01T00:00:00+00:00", now.isoformat(), 7000, "0" * 64, {})
    ledger.append(
        root, "snapshot.frozen", frozen, subject=name, digest=blobs.digest(run.encode()), actor="ana", now=now
    )
    value, difference = (0.731, 0.003) if champion else (0.718, None)
    report = blobs.put_json(root, {"calibration": calibration.to_dict()})
    times = [(now - timedelta(days=back)).isoformat() for back in (70, 15, 14, 0)]
    data = f"model of {run}".encode()
    body = ModelRegistered(
        models.version_name(now, blobs.digest(data)),
        package.digest,
        "0" * 64,
        report,
        {},
        "roc_auc",
        value,
        value - 0.03,
        value + 0.03,
        *times,
        rows=5600,
        due=due,
    )
    model = models.register(root, name, ENVIRONMENT, data, body, actor="prefect:amber-lynx", now=now)
    outcome = "kept" if champion else "promoted"
    why = "In roc_auc the challenger is better by 0.0030 [-0.0040, 0.0110]: the lower bound is not above 0.005."
    before, low, high = (0.728, -0.004, 0.011) if champion else (None, None, None)
    judged = ChallengerJudged(
        champion.digest if champion else None,
        outcome,
        "roc_auc",
        before,
        value,
        difference,
        low,
        high,
        1300,
        *times[2:],
        [why],
    )
    ledger.append(
        root, "model.judged", judged, subject=name, digest=model.digest, environment=ENVIRONMENT, actor="ana", now=now
    )
    if champion is None:
        models.promote(root, model, expected=None, actor="ana", now=now, reason="the first champion")
    dues.close(
        root, due, outcome=outcome, run=run, by="automation", model=model.digest, sentence="said", actor="ana", now=now
    )
    return model


def serve(root: Root, champion: Model, served: pl.DataFrame, start: datetime, schema: pl.Schema) -> None:
    """A week of predictions, evenly over it."""
    when = pl.datetime_range(
        start, start + WEEK, WEEK / served.height, closed="left", time_unit="us", time_zone="UTC", eager=True
    ).head(served.height)
    frame = served.select(pl.all().name.prefix(predictions.SERVED)).with_columns(
        pl.Series("prediction_id", [f"{start:%m%d}-{at}" for at in range(served.height)]),
        when.alias("received_at"),
        when.alias("recorded_at"),
        pl.lit(champion.digest).alias("model"),
        pl.lit(champion.body.package).alias("package"),
        served["carrier"],
        pl.lit(0.3).alias("prediction"),
    )
    tables.append(predictions.path(root, ENVIRONMENT, PIPELINE), frame.select(list(schema)))


def decide(
    root: Root, champion: Model, calibration: drift.Calibration, served: pl.DataFrame, start: datetime, *, fallen: bool
) -> None:
    """The monitor's row of a week, its scores as ``flows.deciding.drift`` gives them."""
    scored = drift.score(calibration, served)
    features = {
        one["feature"]: {name: one[name] for name in ("score", "threshold", "null_share")} for one in scored.to_dicts()
    }
    low, high = (0.008, 0.022) if fallen else (-0.012, 0.004)
    drifted, end, baseline = sorted(scored.filter("drifted")["feature"]), start + WEEK, 0.717 if fallen else 0.698
    body = MonitorDecided(
        start.isoformat(), end.isoformat(), served.height, served.height - 5, drifted, features,
        "roc_auc", 0.702, baseline, low, high, fallen, None, "said",
    )  # fmt: skip
    ledger.append(
        root,
        "monitor.decided",
        body,
        subject=PIPELINE,
        digest=champion.digest,
        environment=ENVIRONMENT,
        actor="prefect:sly-otter",
        now=start + WEEK,
    )
