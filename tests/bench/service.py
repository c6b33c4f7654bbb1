"""The service against the endpoints that teams write: bare, and with a DataFrame; the same model, the same requests.

    python -m tests.bench.service [--small]

``bare`` takes the body as it comes and calls the same road (``prepare``, ``predict``) on one loop: no validation, no log,
no health, no limits. ``DataFrame`` is FastAPI with a pydantic model, and pandas. Every request gives its features, so that
nobody looks anything up; only the service has its answers on disk first. Each runs in a process of its own. CPU is the
server's, in user and system, a request: what bounds the throughput. The 99th percentile is of one client that waits for
each answer, by the clock: with it the service's disk is measured, and on a shared machine the neighbours.
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
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flows import runner
from flows.building import artifact
from flows.pipeline import Pipeline
from flows.serving import port
from flows.serving.__main__ import _contract
from flows.serving.supervisor import running
from store import blobs
from tests.bench.table import Row, main
from tests.flows.serving.flood import flood
from tests.flows.serving.world import World, row
from tests.workspaces import WORKSPACE

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = 4
ROWS = [{"row": row(n, features={"clouds": 0.5, "kind": "clear"})} for n in range(512)]
WAYS = ("bare", "DataFrame")
TARGETS = {"bare": (1.25, 1.5), "DataFrame": (None, None)}
"""CPU a request and 99th percentile, as shares of the peer's: 0.8 of a throughput is 1.25 of its cost."""


@dataclass(frozen=True)
class Size:
    seconds: float
    rounds: int


SIZES = {"full": Size(5.0, 5), "small": Size(2.0, 2), "tiny": Size(0.5, 1)}


@dataclass
class Best:
    """Of all rounds. ``cpu`` and ``p99``: seconds a request."""

    cpu: float = float("inf")
    p99: float = float("inf")


def measured(size: Size) -> Iterator[Row]:
    """CPU and 99th percentile, against each endpoint."""
    found = {name: Best() for name in ("assay", *WAYS)}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        world = World.made(Path(folder))
        package = world.publish()
        model = world.promote(package)
        code = runner.unpacked(world.root, package)
        path = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(WORKSPACE), *path.split(os.pathsep)]).strip(os.pathsep)
        service = stack.enter_context(running(world.root, "tiny", "production"))
        assert service.serving is not None
        servers = {"assay": (service.url, service.serving.process.pid)}
        for name in WAYS:
            servers[name] = stack.enter_context(endpoint(name, code, blobs.path(world.root, model.digest)))
        for url, _ in servers.values():
            flood(url, ROWS, min(size.seconds, 1.0), connections=1)
        for _ in range(size.rounds):
            for name, (url, process) in servers.items():
                measure(found[name], url, process, size.seconds)
    ours = found["assay"]
    for name in WAYS:
        cpu, p99 = TARGETS[name]
        yield Row("a prediction over HTTP", name, 1e6 * ours.cpu, 1e6 * found[name].cpu, "µs", cpu)
        yield Row("its 99th percentile, by the clock", name, 1e6 * ours.p99, 1e6 * found[name].p99, "µs", p99)


def measure(best: Best, url: str, process: int, seconds: float) -> None:
    """One round of one endpoint."""
    began = used(process)
    one = flood(url, ROWS, seconds, connections=1)
    many = flood(url, ROWS, seconds, connections=CLIENTS)
    if set(one.statuses) | set(many.statuses) != {"200"}:
        raise AssertionError(f"{url} did not answer: {one.statuses} {many.statuses}")
    best.cpu = min(best.cpu, (used(process) - began) / (len(one.seconds) + len(many.seconds)))
    best.p99 = min(best.p99, one.quantile(0.99))


def used(process: int) -> float:
    """CPU seconds of a process, in user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# ---- the endpoints --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def endpoint(name: str, code: runner.Code, model: Path) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its URL and process id."""
    command = [sys.executable, "-m", "tests.bench.service", name, str(model)]
    with subprocess.Popen(command, env=runner.environment(code), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


def be(name: str, path: Path) -> None:
    """Serve until told to end."""
    contract = _contract("tiny")
    model = artifact.loads(path.read_bytes(), trusted=[], package="tiny")
    sock = port.listening()
    server = uvicorn.Server(uvicorn.Config(ENDPOINTS[name](contract, model), log_level="warning", access_log=False))
    print(port.url(sock), flush=True)
    server.run([sock])


def bare(contract: Pipeline, model: Any) -> Starlette:
    schema = pl.Schema(dict(contract.serving.request))

    async def predict(request: Request) -> Response:
        row = orjson.loads(await request.body())["row"]
        features = row.pop("features")
        row["departs"], row["day"] = datetime.fromisoformat(row["departs"]), date.fromisoformat(row["day"])
        data = contract.prepare(pl.DataFrame([row], schema=schema))
        data = data.with_columns(pl.lit(value).alias(name) for name, value in features.items())
        (value,) = contract.predict(model, data)
        return Response(
            orjson.dumps({"predictions": [{"id": "", "prediction": float(value)}]}), media_type="application/json"
        )

    return Starlette(routes=[Route("/v1/tiny/predict", predict, methods=["POST"])])


class Asked(BaseModel):
    """A request's row, as pydantic has it."""

    flight: str
    city: str
    miles: int
    departs: datetime
    day: date
    features: dict[str, float | str]


class Body(BaseModel):
    row: Asked


class Prediction(BaseModel):
    id: str
    prediction: float


class Answer(BaseModel):
    predictions: list[Prediction]


def with_a_frame(contract: Pipeline, model: Any) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/tiny/predict")
    async def predict(body: Body) -> Answer:
        row = body.row.model_dump()
        frame = pd.DataFrame([row | row.pop("features")])
        frame["departs"] = pd.to_datetime(frame["departs"], utc=True)
        data = contract.prepare(pl.from_pandas(frame))
        return Answer(predictions=[Prediction(id="", prediction=value) for value in contract.predict(model, data)])

    return app


ENDPOINTS: dict[str, Callable[[Pipeline, Any], Any]] = {"bare": bare, "DataFrame": with_a_frame}


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        be(sys.argv[1], Path(sys.argv[2]))
    else:
        main(__doc__, measured, SIZES)
