"""A step is a Prefect task when a flow runs, and a plain call when it does not: one order, two ways, the same ledger rows.

Flows meet Prefect only here and in their own decorator: steps, artifacts, events, progress. Without a server nothing of this is
needed, and nothing waits for one.
"""

from __future__ import annotations

import functools
import getpass
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.settings import get_current_settings

from flows.checks.at_once import at_once
from store.errors import AssayError

P = ParamSpec("P")
R = TypeVar("R")
Tell = Callable[[dict[str, Any]], None]
"""Hears of each verdict as it comes: a check's (``verdict``) or a fault's (``fate``)."""
BLOCKING = ("FAIL", "VACUOUS", "SURVIVED")
_logger = logging.getLogger("assay")


def running() -> bool:
    """Whether Prefect runs this code as a flow."""
    return FlowRunContext.get() is not None


def step(function: Callable[P, R]) -> Callable[P, R]:
    """A task of the run under Prefect, a call without. Nothing is cached or persisted: the store is what remembers."""
    as_task = task(name=function.__name__.strip("_").replace("_", "-"), cache_policy=NO_CACHE, persist_result=False)(
        function
    )

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return as_task(*args, **kwargs) if running() else function(*args, **kwargs)

    return call


class Failing(Exception):
    """A verdict that blocks, so that its task is red in Prefect's UI. ``verdict``: the whole of it."""

    def __init__(self, verdict: dict[str, Any]) -> None:
        self.verdict = verdict
        super().__init__(verdict)

    def __str__(self) -> str:
        return f"{self.verdict['code']} {_fate(self.verdict)}: {self.verdict['sentence']}"


def each(
    ask: Callable[[str, str], dict[str, Any]], address: str, ones: Sequence[dict[str, Any]], workers: int,
    tell: Tell | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """``ask(address, code)`` for each of ``ones`` (``code``, ``title``): under Prefect a task each, on the flow's own runner, else in
    ``workers`` threads. The verdicts in their order; ``tell`` hears each as it comes.
    """
    tell = tell or (lambda verdict: None)
    if not running():
        return at_once(workers, lambda one: ask(address, one["code"]), ones, tell)
    futures = [_verdict.submit(ask, address, one["code"], one["title"]) for one in ones]
    found = [_given(future.result(raise_on_failure=False)) for future in futures]
    for verdict in found:
        tell(verdict)
    return found


@task(name="verdict", task_run_name="{code} {title}", cache_policy=NO_CACHE, persist_result=False)
def _verdict(ask: Callable[[str, str], dict[str, Any]], address: str, code: str, title: str) -> dict[str, Any]:
    verdict = ask(address, code)
    if _fate(verdict) in BLOCKING:
        raise Failing(verdict)
    return verdict


def _given(result: Any) -> dict[str, Any]:
    if isinstance(result, Failing):
        return result.verdict
    if isinstance(result, BaseException):
        raise result
    given: dict[str, Any] = result
    return given


def _fate(verdict: Mapping[str, Any]) -> str:
    fate: str = verdict.get("fate") or verdict["verdict"]
    return fate


def actor() -> str:
    """Who acts, for the ledger: the flow run's name under Prefect, else the person at the keyboard."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        return f"prefect:{context.flow_run.name}"
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def run_id() -> str | None:
    """The flow run's id under Prefect."""
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context is not None and context.flow_run is not None else None


def started_by() -> str:
    """What started the run: ``automation`` when Prefect's automation made it, ``deployment``, or ``call``."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return "call"
    created_by = context.flow_run.created_by
    if created_by is not None and created_by.type == "AUTOMATION":
        return "automation"
    return "deployment" if context.flow_run.deployment_id else "call"


def say(message: str) -> None:
    """Progress, where it is read: the run's log under Prefect, the logger ``assay`` else (the CLI shows it on standard error)."""
    (get_run_logger() if running() else _logger).info(message)


def progress(key: str, steps: int) -> Callable[[str], None]:
    """Says each step as it begins; under Prefect also a progress artifact that fills as they do."""
    bar: Any = create_progress_artifact(0.0, key=key, description="Progress in percent") if running() else None
    begun = itertools.count(1)

    def say_step(message: str) -> None:
        say(message)
        if bar is not None:
            update_progress_artifact(bar, min(100.0, 100.0 * next(begun) / steps))

    return say_step


def markdown(key: str, text: str, description: str = "") -> None:
    """A markdown artifact of the run; nothing outside Prefect, where the caller prints."""
    if running():
        create_markdown_artifact(text, key=key, description=description)


def table(key: str, rows: list[dict[str, Any]], description: str = "") -> None:
    """A table artifact of the run."""
    if running():
        create_table_artifact(rows, key=key, description=description)


def link(pipeline: str, environment: str, page: str, text: str) -> None:
    """A link artifact of the run to a page of the console (``ASSAY_CONSOLE_URL``, else where ``assay console`` serves it)."""
    if running():
        home = os.environ.get("ASSAY_CONSOLE_URL", "http://127.0.0.1:8501")
        url = f"{home}/{page}?pipeline={pipeline}&environment={environment}"
        create_link_artifact(url, text, key=f"{pipeline.replace('_', '-')}-{page}")


def emit(event: str, pipeline: str, payload: dict[str, Any]) -> None:
    """An event for Prefect's automations, if there is a server. It carries no authority: the ledger does."""
    if get_current_settings().api.url:
        emit_event(event, resource={"prefect.resource.id": f"assay.pipeline.{pipeline}"}, payload=payload)


def start_deployment(flow: str, parameters: dict[str, Any]) -> str:
    """Start a flow through its deployment on Prefect's server; the flow run's id."""
    started: Any = run_deployment(f"{flow}/assay", parameters=parameters, timeout=0, as_subflow=False)
    return str(started.id)


def sentence(error: AssayError) -> str:
    """An error in one line, for a ledger row or a run's log."""
    return " ".join(str(error).split())[:500]
