"""From rows as an application sends them to predictions, along the same road as in training.

``prepare`` says when the question is asked and computes inputs; features are looked up online by key at that time, what
the request gives by itself taking precedence; the model sees the same columns with the same dtypes as in training.
Columns are handled one by one: a small frame's `select` costs more than the work in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from flows.building import assemble
from flows.building.fit import predict
from flows.pipeline import TIME, Pipeline
from flows.serving.schema import Asked, Rejected, Row, Schema
from store.errors import AssayError, InvalidInput
from store.features import group as groups
from store.features import online
from store.features.join import Use
from store.layout import Root


def examples(schema: Schema, manifest: Mapping[str, Any]) -> Asked | None:
    """The requests of the contract's examples, as one; None if it has none."""
    requests = [example["request"] for example in manifest["examples"]]
    return schema.asked({"rows": requests}) if requests else None


@dataclass(frozen=True)
class Answered:
    """One finite prediction a row, and the model's columns as they were served (text or Float64, null: missing)."""

    predictions: list[float]
    served: list[Row]


class Predictor:
    """One pipeline's road from row to prediction, with the groups' versions its package pins.

    ``versions``: group name to version. NotFound: a feature group that was never declared.
    """

    def __init__(self, root: Root, pipeline: Pipeline, versions: Mapping[str, int]) -> None:
        self.root = root
        self.pipeline = assemble.pinned(pipeline, versions)
        self.request = pl.Schema(dict(pipeline.serving.request))
        self.dtypes = _feature_dtypes(root, self.pipeline)

    def text(self, examples: Sequence[Row]) -> set[str]:
        """The model columns that hold text, as these rows (none will do) and the groups' declarations tell."""
        inputs = self._prepared(pl.DataFrame(examples, schema=self.request)).schema
        dtypes = {name: inputs[name] for name in self.pipeline.inputs} | self.dtypes
        return {name for name, dtype in dtypes.items() if _is_text(dtype)}

    def answer(self, model: Any, asked: Asked) -> Answered:
        """Predictions for the rows, in order.

        Rejected: the pipeline or its model cannot answer them. NotFound, Unreachable: features cannot be looked up.
        """
        data = self.data(asked)
        try:
            predictions = predict(self.pipeline, model, data).tolist()
        except InvalidInput as error:
            raise _unanswerable(error) from error
        except Exception as error:  # the model passed its warm-up: it is these rows it cannot take
            raise _unanswerable(error) from error
        return Answered(predictions, _served(data))

    def data(self, asked: Asked) -> pl.DataFrame:
        """What a model sees of the rows. Raises as ``answer``."""
        prepared = self._prepared(pl.DataFrame(asked.rows, schema=self.request))
        inputs = [prepared.get_column(name) for name in self.pipeline.inputs]
        return pl.DataFrame([*inputs, *self._features(prepared, asked.features)])

    def rehearse(self, model: Any, asked: Asked | None) -> None:
        """Answer the contract's examples, if it has any: a model that cannot does not serve. Raises as ``answer``."""
        if asked:
            self.answer(model, asked)

    def _prepared(self, rows: pl.DataFrame) -> pl.DataFrame:
        try:
            prepared = self.pipeline.prepare(rows)
        except AssayError:
            raise
        except Exception as error:  # a user's code, on rows that have the declared dtypes
            raise _unanswerable(error) from error
        keys, needed = self.pipeline.serving.key, {*self.pipeline.serving.key, "event_time", *self.pipeline.inputs}
        if missing := sorted(needed - set(prepared.columns)):
            raise Rejected([("rows", f"cannot be answered: `prepare` makes no {', '.join(missing)}")])
        if prepared.height != rows.height or not all(prepared[key].equals(rows[key]) for key in keys):
            raise Rejected([("rows", "cannot be answered: `prepare` does not keep them one by one, in order")])
        times = prepared["event_time"]
        if times.dtype != TIME or times.null_count():
            place = times.is_null().arg_max() if times.null_count() else 0
            raise Rejected([(f"rows[{place}]", f"has no event_time: `prepare` made a {times.dtype}, or null of it")])
        return prepared

    def _features(self, prepared: pl.DataFrame, given: Sequence[Row]) -> list[pl.Series]:
        """The features' columns: looked up, unless every row gives all of a use by itself."""
        uses = [use for use in self.pipeline.features if not _all_given(use, given)]
        found: list[dict[str, Any]] = [{} for _ in given]
        if uses:
            found = online.lookup(self.root, uses, prepared.to_dicts(), at=prepared["event_time"].to_list())
        columns = []
        for name, dtype in self.dtypes.items():
            values = [own[name] if name in own else row.get(name) for own, row in zip(given, found)]
            columns.append(_column(name, values, dtype))
        return columns


def _feature_dtypes(root: Root, pipeline: Pipeline) -> dict[str, pl.DataType]:
    """The features' columns with the dtypes their groups declare, in the contract's order."""
    return {
        output: groups.load(root, use.group).values[feature]
        for use in pipeline.features
        for output, feature in use.outputs.items()
    }


def _all_given(use: Use, given: Sequence[Row]) -> bool:
    return all(name in own for name in use.outputs for own in given)


def _column(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype.is_float():
        values = [float(value) if type(value) is int else value for value in values]
    try:
        return pl.Series(name, values, dtype=dtype)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise Rejected([(f"features.{name}", f"is {dtype}, and was given as {' or '.join(kinds)}")]) from None


def _served(data: pl.DataFrame) -> list[Row]:
    """As the traffic tables hold it: text, or Float64."""
    names, columns = data.columns, [_plain(column) for column in data.iter_columns()]
    return [dict(zip(names, values)) for values in zip(*columns)]


def _plain(column: pl.Series) -> list[Any]:
    if _is_text(column.dtype):
        return column.cast(pl.String).to_list()
    return (column.to_physical() if column.dtype.is_temporal() else column).cast(pl.Float64).to_list()


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _unanswerable(error: Exception) -> Rejected:
    return Rejected([("rows", f"cannot be answered: {type(error).__name__}: {str(error)[:500]}")])
