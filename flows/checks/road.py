"""The road of a request: the parts of production that a service is made of, each replaceable.

A request's bytes are parsed and checked by a ``Schema``, its rows prepared, looked up and asked by a ``Predictor``, with a model that
``artifact`` builds from bytes. ``flows.serving`` composes the very same; here a fault can take the place of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.building import artifact
from flows.pipeline import Pipeline
from flows.serving.predict import Predictor
from flows.serving.schema import Schema
from store.layout import Root


@dataclass(frozen=True)
class Road:
    """``schema`` of a manifest; ``predictor`` of a root, a pipeline and its groups' versions; ``load``: a model from its bytes."""

    schema: Callable[[Mapping[str, Any]], Schema] = Schema
    predictor: Callable[[Root, Pipeline, Mapping[str, int]], Predictor] = Predictor
    load: Callable[..., Any] = artifact.loads


PRODUCTION = Road()
