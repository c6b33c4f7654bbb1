"""Training, labelling and predicting in a process of its own, with one pipeline's code active."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from flows.building import analyse, artifact, assemble, catalog, publish, split, trial, tune
from flows.building.fit import fit, matrix, predict
from flows.building.job import Job, main, step
from flows.pipeline import Pipeline, Window
from store import blobs, clock
from store.errors import InvalidInput
from store.layout import Root

LABELLED_WITHIN = timedelta(days=365)
"""How long after a window its rows' labels may come, where rows without labels are wanted too."""


def describe(pipeline: Pipeline, job: Job) -> Job:
    """The contract's declarations."""
    return {"manifest": pipeline.manifest()}


def train(pipeline: Pipeline, job: Job) -> Job:
    """Snapshot, split, tune, fit, predict the test rows (also with the champion, if asked), analyse.

    Leaves in ``job["folder"]``: ``model.skops``; ``rows.parquet`` (key, event_time, part, the model's columns); ``test.parquet``
    (key, event_time, slices, label, prediction, and champion's prediction or null).
    """
    root, folder, now = Root.open(job["root"]), Path(job["folder"]), datetime.fromisoformat(job["now"])
    known, seconds, manifest = catalog.load(), _Seconds(), pipeline.manifest()
    pipeline = assemble.pinned(pipeline, job.get("groups", {}))
    until = assemble.known_until(root, known, pipeline, now)
    start = datetime.fromisoformat(job["start"]) if job.get("start") else assemble.history(root, known, pipeline)
    end = min(until, datetime.fromisoformat(job["end"])) if job.get("end") else until
    window = Window(start, end)
    step(f"snapshot of {window}")
    snapshot = assemble.frozen(root, known, pipeline, window, actor=job["actor"], now=now)
    rows = snapshot.frame
    seconds.lap("snapshot")
    parts = split.parts(pipeline, rows)
    rows = rows.with_columns(parts)
    train_rows, validation, test = (
        rows.filter(pl.col("part") == part) for part in (split.TRAIN, split.VALIDATION, split.TEST)
    )
    step(
        f"tuning on {train_rows.height:,} rows, judged on {validation.height:,}: {pipeline.search.trials} trials and the defaults"
    )
    tuned = (pipeline.tune or tune.tune)(pipeline, train_rows, validation)
    seconds.lap("tune")
    step(f"fitting {tuned.parameters or 'the defaults'}")
    model = fit(pipeline, tuned.parameters, train_rows)
    data = artifact.dumps(model)
    seconds.lap("fit")
    step(f"analysing {test.height:,} test rows")
    judged = _judged(pipeline, root, test, data, job.get("champion"))
    trial.remember(root, blobs.digest(data), pipeline.trusted)
    analysis = (pipeline.analyse or analyse.analyse)(pipeline, judged)
    seconds.lap("analyse")
    (folder / "model.skops").write_bytes(data)
    kept = dict.fromkeys((*pipeline.serving.key, "event_time", "part", *pipeline.columns))
    rows.select(list(kept)).write_parquet(folder / "rows.parquet")
    judged.write_parquet(folder / "test.parquet")
    return {
        "manifest": manifest,
        "snapshot": snapshot.id,
        "window": window.to_dict(),
        "parameters": tuned.parameters,
        "trials": tuned.trials,
        "metrics": analysis.metrics,
        "slices": analysis.slices.to_dicts(),
        "curves": analysis.curves.to_dicts(),
        "parts": {
            name: _span(rows.filter(pl.col("part") == name)) for name in (split.TRAIN, split.VALIDATION, split.TEST)
        },
        "seconds": seconds.laps,
    }


def score(pipeline: Pipeline, job: Job) -> Job:
    """Rows of a window in ``job["out"]``: key, event_time, slices, label, label_time, prediction, value.

    ``prediction`` is the model's (``job["model"]``: a digest), or what was served (``job["served"]``: a parquet file with key and
    prediction), or null; ``value`` is its business value, null without one. With ``job["columns"]`` the model's columns follow.
    With ``job["unlabelled"]`` rows are there that nobody knows the label of yet: asked by the time facts are complete, label null.
    """
    root, now = Root.open(job["root"]), datetime.fromisoformat(job["now"])
    known = catalog.load()
    pipeline = assemble.pinned(pipeline, job.get("groups", {}))
    window = Window.from_dict(job["window"])
    until = assemble.known_until(root, known, pipeline, now)
    end = window.end + LABELLED_WITHIN if job.get("unlabelled") else until
    rows = assemble.spine(pipeline, publish.reader(root, known), Window(window.start, max(end, until, window.start)))
    rows = rows.filter(pl.col("event_time") < window.end)
    if job.get("unlabelled"):
        rows = rows.filter(pl.col("event_time") <= until)
        rows = rows.with_columns(pl.when(pl.col("label_time") < until).then("label").alias("label"))
    if rows.is_empty():
        kind = "rows" if job.get("unlabelled") else "labelled rows"
        raise InvalidInput(f"{pipeline.name} has no {kind} in {window}.", remedy="Ask for a window that holds some.")
    if job.get("model") or job.get("columns"):
        rows = assemble.joined(root, pipeline, rows)
    rows = _with_predictions(pipeline, root, rows, job)
    extra = [column for column in pipeline.columns if job.get("columns")]
    kept = dict.fromkeys((*_kept(pipeline, rows.columns), "label_time", "prediction", "value", *extra))
    rows.select(list(kept)).write_parquet(job["out"])
    return {"rows": rows.height, "unit": pipeline.value.unit if pipeline.value else ""}


def _with_predictions(pipeline: Pipeline, root: Root, rows: pl.DataFrame, job: Job) -> pl.DataFrame:
    """The rows with columns prediction and value (Float64)."""
    if job.get("served"):
        rows = rows.join(pl.read_parquet(job["served"]), on=pipeline.serving.key, how="left", maintain_order="left")
    elif job.get("model"):
        model = _loaded(pipeline, blobs.get(root, job["model"]))
        rows = rows.with_columns(pl.Series("prediction", predict(pipeline, model, matrix(pipeline, rows))))
    else:
        rows = rows.with_columns(pl.lit(None, pl.Float64).alias("prediction"))
    known = pl.col("prediction").is_not_null() & pl.col("label").is_not_null()
    value = (
        pipeline.value.compute(rows).cast(pl.Float64)
        if pipeline.value
        else pl.Series([None] * rows.height, dtype=pl.Float64)
    )
    return rows.with_columns(pl.when(known).then(value).alias("value"))


def _judged(pipeline: Pipeline, root: Root, test: pl.DataFrame, data: bytes, champion: str | None) -> pl.DataFrame:
    """The test rows with the predictions of the *stored* model, read back from its bytes: what is reported is what will serve."""
    rows = matrix(pipeline, test)
    predictions = {"prediction": data, "champion": blobs.get(root, champion) if champion else None}
    columns = []
    for name, stored in predictions.items():
        if stored is None:
            columns.append(pl.Series(name, [None] * test.height, dtype=pl.Float64))
        else:
            model = _loaded(pipeline, stored)
            columns.append(pl.Series(name, predict(pipeline, model, rows)))
    return test.with_columns(columns).select(*_kept(pipeline, test.columns), "prediction", "champion")


def _loaded(pipeline: Pipeline, data: bytes) -> Any:
    """The model of these bytes, with no more memory than that may take."""
    with trial.memory(data):
        return artifact.loads(data, trusted=pipeline.trusted, package=pipeline.name)


def _kept(pipeline: Pipeline, columns: list[str]) -> list[str]:
    """The columns that identify and slice a row, each once."""
    wanted = dict.fromkeys((*pipeline.serving.key, "event_time", *pipeline.slices, "label"))
    if missing := [column for column in wanted if column not in columns]:
        raise InvalidInput(
            f"{pipeline.name} declares {missing}, which its rows do not have.",
            f"They have {columns}.",
            "Give them in `dataset` or `prepare`, or declare what is there.",
        )
    return list(wanted)


def _span(rows: pl.DataFrame) -> dict[str, Any]:
    start, end = rows["event_time"].min(), rows["event_time"].max()
    return {"rows": rows.height, "start": clock.utc(start).isoformat(), "end": clock.utc(end).isoformat()}  # type: ignore[arg-type]


class _Seconds:
    """Wall seconds by step, for the report."""

    def __init__(self) -> None:
        self.last, self.laps = time.monotonic(), dict[str, float]()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self.last = round(now - self.last, 2), now


if __name__ == "__main__":
    main({"describe": describe, "train": train, "score": score})
