"""The service against the endpoints that teams write: bare, and with a DataFrame; the same model, the same requests.

    python -m tests.bench.service [--small]

``bare`` takes the body as it comes and calls the same road (``prepare``, ``predict``) on one loop: no validation, no log,
no health, no limits. ``DataFrame`` is FastAPI with a pydantic model, and pandas. Every request gives its features, so that
nobody looks anything up; only the service has its answers on disk first. Each runs in a process of its own. CPU is the
server's, in user and system, a request: what bounds the throughput. The 99th percentile is of one client that waits for
each answer, by the clock: with it the service's disk is measured, and on a shared machine the neighbours.

Two models: that of ``flight_delay``, delivered and trained, to which the targets belong; and a logistic regression of two
columns, the lightest there is, beside which everything else is seen.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import polars as pl
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flows import runner
from flows.building import artifact
from flows.building.fit import predict
from flows.pipeline import Pipeline
from flows.serving import port
from flows.serving.__main__ import _contract
from flows.serving.supervisor import running
from store import blobs
from store.features import snapshot
from store.layout import Root
from store.registry import models, packages
from tests.bench import training
from tests.bench.table import Row, main
from tests.flows.serving.flood import Flooded, flood
from tests.flows.serving.world import World, row
from tests.workspaces import WORKSPACE

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = 4
WAYS = ("bare", "DataFrame")
TARGETS = {"bare": (1.25, 1.5), "DataFrame": (None, None)}
"""CPU a request and 99th percentile, as shares of the peer's: 0.8 of a throughput is 1.25 of its cost."""


@dataclass(frozen=True)
class Subject:
    """A pipeline with a champion, and the requests it is asked."""

    name: str
    root: Root
    model: Path
    bodies: list[dict[str, Any]]
    targets: dict[str, tuple[float | None, float | None]]


def flights(folder: Path) -> Subject:
    """Delayed flights: five hundred as the store knows them, with their features as of when they were asked about."""
    root = training.delivered(folder / "root", training.SEVEN_WEEKS)
    training.retrain(root)
    champion = models.champion(root, training.pipeline.name, "production")
    assert champion is not None
    rows = snapshot.rebuild(root, champion.body.snapshot).tail(512)
    given = [name for use in training.pipeline.features for name in use.outputs]
    bodies = [
        {"row": {name: _plain(row[name]) for name in training.pipeline.serving.request} | {"features": {name: row[name] for name in given}}}
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
    return Subject(training.pipeline.name, root, blobs.path(root, champion.digest), bodies, TARGETS)


def lightest(folder: Path) -> Subject:
    """A logistic regression of two columns."""
    world = World.made(folder)
    model = world.promote(world.publish())
    bodies = [{"row": row(n, features={"clouds": 0.5, "kind": "clear"})} for n in range(512)]
    return Subject("tiny", world.root, blobs.path(world.root, model.digest), bodies, dict.fromkeys(WAYS, (None, None)))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass(frozen=True)
class Size:
    seconds: float
    rounds: int
    flights: bool = True


SIZES = {"full": Size(5.0, 5), "small": Size(2.0, 2), "tiny": Size(0.5, 1, flights=False)}


@dataclass
class Best:
    """Of all rounds. ``cpu`` and ``p99``: seconds a request."""

    cpu: float = float("inf")
    p99: float = float("inf")


def measured(size: Size) -> Iterator[Row]:
    """CPU and 99th percentile of each subject, against each endpoint."""
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(WORKSPACE), *path.split(os.pathsep)]).strip(os.pathsep)
    for made in (flights, lightest) if size.flights else (lightest,):
        with tempfile.TemporaryDirectory() as folder:
            yield from compared(made(Path(folder)), size)


def compared(subject: Subject, size: Size) -> Iterator[Row]:
    """One subject: the service, and each endpoint with its model."""
    found = {name: Best() for name in ("assay", *WAYS)}
    code = runner.unpacked(subject.root, packages.deployed(subject.root, subject.name, "production"))
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(running(subject.root, subject.name, "production"))
        assert service.serving is not None
        servers = {"assay": (service.url, service.serving.process.pid)}
        for name in WAYS:
            servers[name] = stack.enter_context(endpoint(name, subject, code))
        for url, _ in servers.values():
            ask(url, subject, min(size.seconds, 1.0), 1)
        for _ in range(size.rounds):
            for name, (url, process) in servers.items():
                measure(found[name], url, process, subject, size.seconds)
    ours = found["assay"]
    for name in WAYS:
        cpu, p99 = subject.targets[name]
        yield Row(f"a prediction of {subject.name} over HTTP", name, 1e6 * ours.cpu, 1e6 * found[name].cpu, "µs", cpu)
        yield Row(
            f"its 99th percentile ({subject.name}), by the clock",
            name,
            1e6 * ours.p99,
            1e6 * found[name].p99,
            "µs",
            p99,
        )


def measure(best: Best, url: str, process: int, subject: Subject, seconds: float) -> None:
    """One round of one endpoint."""
    began = used(process)
    one, many = (ask(url, subject, seconds, clients) for clients in (1, CLIENTS))
    if set(one.statuses) | set(many.statuses) != {"200"}:
        raise AssertionError(f"{url} did not answer: {one.statuses} {many.statuses}")
    best.cpu = min(best.cpu, (used(process) - began) / (len(one.seconds) + len(many.seconds)))
    best.p99 = min(best.p99, one.quantile(0.99))


def ask(url: str, subject: Subject, seconds: float, clients: int) -> Flooded:
    """A closed loop of so many clients."""
    return flood(url, subject.bodies, seconds, connections=clients, pipeline=subject.name)


def used(process: int) -> float:
    """CPU seconds of a process, in user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# ---- the endpoints --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def endpoint(name: str, subject: Subject, code: runner.Code) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its URL and process id."""
    command = [sys.executable, "-m", "tests.bench.service", name, subject.name, str(subject.model)]
    with subprocess.Popen(command, env=runner.environment(code), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


def be(way: str, name: str, path: Path) -> None:
    """Serve until told to end."""
    contract = _contract(name)
    model = artifact.loads(path.read_bytes(), trusted=contract.trusted, package=name)
    sock = port.listening()
    server = uvicorn.Server(uvicorn.Config(ENDPOINTS[way](contract, model), log_level="warning", access_log=False))
    print(port.url(sock), flush=True)
    server.run([sock])


def bare(contract: Pipeline, model: Any) -> Starlette:
    schema = pl.Schema(dict(contract.serving.request))
    read = {name: _READERS[type(dtype)] for name, dtype in schema.items() if type(dtype) in _READERS}

    async def answer(request: Request) -> Response:
        row = orjson.loads(await request.body())["row"]
        features = row.pop("features")
        for name, parse in read.items():
            row[name] = parse(row[name])
        data = contract.prepare(pl.DataFrame([row], schema=schema))
        data = data.with_columns(pl.lit(value).alias(name) for name, value in features.items()).select(contract.columns)
        (value,) = predict(contract, model, data)
        return Response(
            orjson.dumps({"predictions": [{"id": "", "prediction": float(value)}]}), media_type="application/json"
        )

    return Starlette(routes=[Route(f"/v1/{contract.name}/predict", answer, methods=["POST"])])


_READERS: dict[type, Callable[[str], Any]] = {pl.Datetime: datetime.fromisoformat, pl.Date: date.fromisoformat}
_TYPES: dict[type, type] = {
    pl.String: str, pl.Int64: int, pl.Int32: int, pl.Float64: float, pl.Boolean: bool, pl.Datetime: datetime, pl.Date: date,
}  # fmt: skip


class Prediction(BaseModel):
    id: str
    prediction: float


class Answer(BaseModel):
    predictions: list[Prediction]


def with_a_frame(contract: Pipeline, model: Any) -> FastAPI:
    fields: dict[str, Any] = {name: (_TYPES[type(dtype)], ...) for name, dtype in contract.serving.request.items()}
    asked = create_model("Asked", **fields, features=(dict[str, float | str | None], ...))
    body = create_model("Body", row=(asked, ...))
    app = FastAPI()

    async def answer(body: Any) -> Answer:
        row = body.row.model_dump()
        frame = pd.DataFrame([row | row.pop("features")])
        for name, dtype in contract.serving.request.items():
            if isinstance(dtype, pl.Datetime):
                frame[name] = pd.to_datetime(frame[name], utc=True)
        data = contract.prepare(pl.from_pandas(frame)).select(contract.columns)
        return Answer(predictions=[Prediction(id="", prediction=value) for value in predict(contract, model, data)])

    answer.__annotations__ = {"body": body, "return": Answer}
    app.post(f"/v1/{contract.name}/predict")(answer)
    return app


ENDPOINTS: dict[str, Callable[[Pipeline, Any], Any]] = {"bare": bare, "DataFrame": with_a_frame}


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        be(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    else:
        main(__doc__, measured, SIZES)
