"""What the console asks of Prefect's server: recent runs, a deployment's form, and starting it. The console moves nothing itself.

Out of reach is an answer, not an exception: every function returns ``OutOfReach`` within a few seconds when the server, or
the deployment, cannot be had, and the page shows the rest. Prefect takes seconds to import, so it is imported by its first
use, in ``_prefect``, the one place that does so; ``warm`` does that in the background.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx

T = TypeVar("T")
TIMEOUT_S, START_TIMEOUT_S = 3.0, 15.0
DEPLOYMENT = "assay"
BUSY, RETRY_S = 503, 0.5
"""Prefect's answer when its database is locked for a moment, and what to ask again after: all that is asked here may be repeated."""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


@dataclass(frozen=True)
class OutOfReach:
    """Why Prefect could not be asked: where it was looked for, and what stood in the way."""

    address: str
    why: str


@dataclass(frozen=True)
class Run:
    """A flow run. ``state``: Prefect's type (SCHEDULED, PENDING, RUNNING, COMPLETED, FAILED, …); times are wall clock, UTC."""

    id: str
    name: str
    flow: str
    state: str
    state_name: str
    message: str
    pipeline: str
    created: datetime | None
    started: datetime | None
    seconds: float
    by: str

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Field:
    """One parameter of a deployment, as its form needs it. ``kind``: string, integer, number or boolean."""

    name: str
    title: str
    kind: str
    default: Any
    required: bool
    help: str
    options: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """A flow's deployment: what it says of itself, its parameters, and whether anybody would run it."""

    flow: str
    description: str
    fields: tuple[Field, ...]
    paused: bool
    ready: bool


def warm() -> None:
    """Import Prefect in the background, once a process, so that the first question to it does not wait for that."""
    if not any(thread.name == "warm-prefect" for thread in threading.enumerate()):
        threading.Thread(target=_prefect, name="warm-prefect", daemon=True).start()


def address() -> str:
    """Where Prefect's server is looked for; empty when none is set."""
    return str(_prefect()["settings"].get_current_settings().api.url or "")


def deployment(flow: str) -> Deployment | OutOfReach:
    """A flow's deployment and its form."""

    def ask(client: Any) -> Deployment:
        found = client.read_deployment_by_name(f"{flow}/{DEPLOYMENT}")
        ready = getattr(found.status, "value", str(found.status)) == "READY"
        return Deployment(
            flow, found.description or "", fields(found.parameter_openapi_schema or {}), bool(found.paused), ready
        )

    return _asked(ask)


def fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The form of a parameter schema (OpenAPI, as Prefect stores it), in its order."""
    found = sorted(schema.get("properties", {}).items(), key=lambda item: item[1].get("position", 0))
    return tuple(_field(name, one, name in schema.get("required", ())) for name, one in found)


def start(flow: str, parameters: Mapping[str, Any], request: str) -> Run | OutOfReach:
    """Start a flow through its deployment; its run as it was created.

    ``request`` is the caller's own id: asked again with it, because an answer was lost, the server gives the run it has.
    """

    def ask(client: Any) -> Run:
        found = client.read_deployment_by_name(f"{flow}/{DEPLOYMENT}")
        return _run(
            client.create_flow_run_from_deployment(found.id, parameters=dict(parameters), idempotency_key=request), flow
        )

    return _asked(ask, START_TIMEOUT_S)


def run(identity: str) -> Run | OutOfReach:
    """One run as it is now."""
    try:
        wanted = UUID(identity)
    except ValueError:
        return OutOfReach("", f"{identity[:36]!r} is not the id of a run.")
    return _asked(lambda client: _run(client.read_flow_run(wanted), ""))


def recent(flows: tuple[str, ...] = (), limit: int = 8) -> list[Run] | OutOfReach:
    """The newest runs (of some flows), newest first; scheduled ones that have not begun are left out."""

    def ask(client: Any) -> list[Run]:
        prefect = _prefect()
        filters, sorting = prefect["filters"], prefect["sorting"]
        begun = filters.FlowRunFilter(
            state=filters.FlowRunFilterState(
                type=filters.FlowRunFilterStateType(not_any_=[prefect["objects"].StateType.SCHEDULED])
            )
        )
        wanted = filters.FlowFilter(name=filters.FlowFilterName(any_=list(flows))) if flows else None
        found = client.read_flow_runs(
            flow_filter=wanted, flow_run_filter=begun, sort=sorting.FlowRunSort.START_TIME_DESC, limit=limit
        )
        names = {flow.id: flow.name for flow in client.read_flows(limit=100)}
        return [_run(one, names.get(one.flow_id, "")) for one in found]

    return _asked(ask)


def _prefect() -> dict[str, Any]:
    """Prefect's modules, imported now: see the module's docstring."""
    names = {
        "orchestration": "prefect.client.orchestration", "settings": "prefect.settings", "filters": "prefect.client.schemas.filters",
        "sorting": "prefect.client.schemas.sorting", "objects": "prefect.client.schemas.objects", "exceptions": "prefect.exceptions",
    }  # fmt: skip
    return {name: importlib.import_module(module) for name, module in names.items()}


def _asked(ask: Callable[[Any], T], timeout_s: float = TIMEOUT_S, attempts: int = 3) -> T | OutOfReach:
    """The answer of the server, or why there is none, within seconds."""
    prefect, where = _prefect(), address()
    if not where:
        return OutOfReach("", "No Prefect server is set: PREFECT_API_URL is empty.")
    settings, exceptions = prefect["settings"], prefect["exceptions"]
    with settings.temporary_settings({settings.PREFECT_CLIENT_MAX_RETRIES: 0}):
        try:
            with prefect["orchestration"].get_client(sync_client=True, httpx_settings={"timeout": timeout_s}) as client:
                return ask(client)
        except exceptions.ObjectNotFound:
            return OutOfReach(where, "The server answers, but knows no such deployment or run: prefect deploy --all")
        except exceptions.PrefectHTTPStatusError as error:
            if error.response.status_code != BUSY or attempts == 1:
                return OutOfReach(where, f"The server refused: {_detail(error)}.")
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            return OutOfReach(where, f"The server at {where} does not answer ({type(error).__name__}).")
    time.sleep(RETRY_S)
    return _asked(ask, timeout_s, attempts - 1)


def _run(found: Any, flow: str) -> Run:
    state, by = found.state, found.created_by
    return Run(
        str(found.id), found.name, flow, state.type.value if state else "", state.name if state else "not begun",
        (state.message or "") if state else "", str((found.parameters or {}).get("pipeline", "")), found.created, found.start_time,
        found.estimated_run_time.total_seconds() if found.estimated_run_time else 0.0, by.type.lower() if by and by.type else "",
    )  # fmt: skip


def _field(name: str, schema: Mapping[str, Any], required: bool) -> Field:
    kinds = [schema, *schema.get("anyOf", ())]
    kind = next((one["type"] for one in kinds if one.get("type") not in (None, "null")), "string")
    options = next((tuple(one["enum"]) for one in kinds if one.get("enum")), ())
    title = str(schema.get("title", name)).replace("_", " ").capitalize()
    return Field(name, title, kind, schema.get("default"), required, schema.get("description", ""), options)


def _detail(error: httpx.HTTPStatusError) -> str:
    try:
        return str(error.response.json().get("detail", f"code {error.response.status_code}"))[:200]
    except ValueError:
        return f"code {error.response.status_code}"
