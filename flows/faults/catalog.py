"""All faults. A new one is an entry in its component's file; it names the check that must kill it."""

from __future__ import annotations

from flows.faults import (
    analyse,
    company,
    data,
    deploy,
    derived,
    environment,
    gate,
    input,
    labels,
    preprocess,
    proxy,
    rebuild,
    schema,
    spine,
    split,
    train,
    transforms,
    tune,
    useful,
)
from flows.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *data.FAULTS,
    *spine.FAULTS,
    *company.FAULTS,
    *schema.FAULTS,
    *split.FAULTS,
    *derived.FAULTS,
    *preprocess.FAULTS,
    *labels.FAULTS,
    *proxy.FAULTS,
    *tune.FAULTS,
    *train.FAULTS,
    *useful.FAULTS,
    *environment.FAULTS,
    *analyse.FAULTS,
    *deploy.FAULTS,
    *input.FAULTS,
    *transforms.FAULTS,
    *rebuild.FAULTS,
    *gate.FAULTS,
)
