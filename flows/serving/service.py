"""One pipeline in one environment, as a process serves it: what the HTTP above it asks for, without HTTP."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import orjson

from flows.pipeline import Pipeline
from flows.serving.champion import Champion, Watch
from flows.serving.log import Log
from flows.serving.predict import Answered, Predictor, examples
from flows.serving.schema import Asked, Schema, Told
from store import clock
from store.errors import Refused
from store.layout import Root
from store.registry.packages import Package
from store.traffic import collect, outcomes, predictions
from store.traffic.spool import Writer


class Service:
    """Everything a serving process holds. ``start`` and ``stop`` are its life; ``draining`` is its last part.

    Refused: the code is not the package's. Conflict: the package's fields contradict what its traffic tables hold.
    NotFound: a feature group that was never declared.
    """

    def __init__(self, root: Root, contract: Pipeline, package: Package, environment: str) -> None:
        if (contract.name, contract.version) != (package.pipeline, package.version):
            raise Refused(
                f"The code found as {contract.name} {contract.version} is not {package.pipeline} {package.version}.",
                "A serving process has its package's unpacked folder first on its path.",
                "Start it through `assay serve`.",
            )
        self.root, self.package, self.environment = root, package, environment
        self.name = package.pipeline
        self.manifest = package.manifest(root)
        self.schema = Schema(self.manifest)
        self.examples = examples(self.schema, self.manifest)
        self.predictor = Predictor(root, contract, package.body.groups)
        text = self.predictor.text(self.examples.rows if self.examples else [])
        collect.prepare(root, environment, self.name, self.manifest, text)
        self.watch = Watch(root, package, environment, self.manifest["trusted"], self)
        self.log = Log(Writer(root, environment, self.name))
        self.draining = False

    def stop(self) -> None:
        """End the threads; whatever was taken is on disk."""
        self.watch.stop()
        self.log.close()

    def answer(self, champion: Champion, asked: Asked) -> Answered:
        """Predictions by one model."""
        return self.predictor.answer(champion.model, asked)

    async def recorded(self, champion: Champion, asked: Asked, answered: Answered, received_at: datetime) -> list[str]:
        """The predictions' ids, once they are on disk."""
        recorded_at = clock.wall()
        ids = [uuid.uuid4().hex for _ in asked.rows]
        records = [
            orjson.dumps(
                predictions.record(
                    prediction_id=id, received_at=received_at, recorded_at=recorded_at, model=champion.digest,
                    package=self.package.digest, request=row, served=served, prediction=prediction,
                )
            )
            for id, row, served, prediction in zip(ids, asked.rows, answered.served, answered.predictions)
        ]  # fmt: skip
        await self.log.written(records)
        return ids

    async def told(self, given: list[Told], received_at: datetime) -> list[str]:
        """The outcomes' ids, once they are on disk."""
        recorded_at = clock.wall()
        ids = [uuid.uuid4().hex for _ in given]
        records = [
            orjson.dumps(
                outcomes.record(
                    outcome_id=id, received_at=received_at, recorded_at=recorded_at,
                    prediction_id=one.prediction_id, outcome=one.fields,
                )
            )
            for id, one in zip(ids, given)
        ]  # fmt: skip
        await self.log.written(records)
        return ids

    def described(self) -> dict[str, Any]:
        """Who serves what, since when, and what may be sent."""
        return {
            "pipeline": self.name,
            "environment": self.environment,
            "description": self.manifest["description"],
            "owner": self.manifest["owner"],
            "task": self.manifest["task"],
            "package": self._package(),
            "model": self._model(self.watch.current),
            "request": self.manifest["request"],
            "outcome": self.manifest["outcome"],
            "key": self.manifest["key"],
            "features": self.schema.features,
        }

    def health(self) -> dict[str, Any]:
        """Whether it can answer, with what, and what stands in the way. ``status``: ready, waiting or draining."""
        failure = self.watch.failure
        return {
            "status": "draining" if self.draining else "ready" if self.watch.current else "waiting",
            "pipeline": self.name,
            "environment": self.environment,
            "package": self._package(),
            "model": self._model(self.watch.current),
            "load_error": {"digest": failure.digest, "message": failure.message} if failure else None,
            "spool": {"queued": self.log.queued, "lag_bytes": collect.lag(self.root, self.environment, self.name)},
        }

    def _package(self) -> dict[str, str]:
        return {"version": self.package.version, "digest": self.package.digest}

    def _model(self, champion: Champion | None) -> dict[str, Any] | None:
        if champion is None:
            return None
        return {
            "version": champion.version, "digest": champion.digest, "since": champion.since.isoformat(),
            "metric": {"name": champion.metric, "value": champion.value, "low": champion.low, "high": champion.high},
        }  # fmt: skip

    def prepare(self) -> None:
        """What the contract's examples need of the store, a model apart. NotFound, Unreachable: it is not there."""
        if self.examples:
            self.predictor.data(self.examples)

    def warm(self, model: Any) -> None:
        """The contract's examples, answered: what cannot answer them does not serve."""
        self.predictor.rehearse(model, self.examples)
