"""The HTTP of a model service: JSON in, JSON out, every refusal typed and naming the field.

Endpoints run on the event loop, when ``protocol`` has their body and it is their turn: a small request's model call is
shorter than a hop to a thread; a large one's is made in a thread, also one at a time. Errors have one shape
(``problem``); what asks to come again carries ``Retry-After``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio
import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.serving import docs, problem, schema
from flows.serving.champion import Champion
from flows.serving.protocol import MAX_BODY
from flows.serving.schema import Rejected
from flows.serving.service import Service
from flows.serving.turns import Full
from store import clock
from store.errors import AssayError, NotFound, Unreachable

INLINE_ROWS = 200
MAX_LARGE = 8
_KINDS = {
    400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type",
}  # fmt: skip

_UNTOLD = {"Not Found": "There is no {1} here.", "Method Not Allowed": "{0} is not for {1}."}
"""What the router itself says of a path or method it does not know, and what we say instead."""


def create(service: Service) -> FastAPI:
    """The application of one service. Its lifespan starts and stops the service."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.stop)

    app = FastAPI(
        title=f"{service.name} ({service.environment})", description=service.manifest["description"],
        version=service.package.version, lifespan=lifespan, docs_url=None, redoc_url=None,
    )  # fmt: skip
    large = _Large()
    app.add_middleware(_Farewell, service=service)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(Full, _full)
    app.add_exception_handler(AssayError, _unavailable)
    app.add_exception_handler(OSError, _unrecorded)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)

    @app.post("/v1/{pipeline}/predict", openapi_extra=docs.predict(service), summary="Predict")
    async def predict(pipeline: str, request: Request) -> Response:
        _check_name(service, pipeline)
        value = schema.parsed(await _body(request))
        champion = _champion(service)
        service.log.check()
        asked, received_at = service.schema.asked(value), clock.now(service.root)
        if len(asked.rows) <= INLINE_ROWS:
            answered = service.answer(champion, asked)
        else:
            async with large.place():
                answered = await anyio.to_thread.run_sync(service.answer, champion, asked)
        found: list[dict[str, Any]] = [{"prediction": value} for value in answered.predictions]
        if not asked.dry_run:
            ids = await service.recorded(champion, asked, answered, received_at)
            found = [{"id": id} | one for id, one in zip(ids, found)]
        return _json(_signed(service, champion) | {"predictions": found})

    @app.post("/v1/{pipeline}/outcomes", status_code=202, openapi_extra=docs.outcomes(service), summary="Report")
    async def outcomes(pipeline: str, request: Request) -> Response:
        _check_name(service, pipeline)
        told = service.schema.told(schema.parsed(await _body(request)))
        service.log.check()
        ids = await service.told(told, clock.now(service.root))
        return _json({"pipeline": service.name, "environment": service.environment, "accepted": ids}, 202)

    for path, endpoint in (("/v1/{pipeline}/predict", predict), ("/v1/{pipeline}/outcomes", outcomes)):
        app.router.routes.insert(0, _plain(path, endpoint))

    @app.get("/v1/{pipeline}", summary="Model, package and schema")
    async def described(pipeline: str) -> Response:
        _check_name(service, pipeline)
        return _json(service.described())

    @app.get("/health", summary="Whether it can answer")
    async def health() -> Response:
        found = await anyio.to_thread.run_sync(service.health)
        return _json(found, 200 if found["status"] == "ready" else 503)

    @app.get("/docs", include_in_schema=False)
    async def documentation(request: Request) -> Response:
        host, port = request.scope["server"]
        return HTMLResponse(docs.page(app.openapi(), f"http://{host}:{port}"))

    app.openapi = lambda: docs.documented(FastAPI.openapi(app), service)  # type: ignore[method-assign]
    return app


def _plain(path: str, endpoint: Callable[[str, Request], Awaitable[Response]]) -> Route:
    """The way to an endpoint that FastAPI documents, without what it does for each request: nothing here needs it."""

    async def call(request: Request) -> Response:
        return await endpoint(request.path_params["pipeline"], request)

    return Route(path, call, methods=["POST"], include_in_schema=False)


class _Farewell:
    """While draining, every answer closes its connection, so that the next request finds the next process."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self.service.draining:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self.app(scope, receive, closing)


class _Large:
    """Large requests, which a thread answers one at a time; as many as ``MAX_LARGE`` may be here."""

    def __init__(self) -> None:
        self._one, self._here = asyncio.Lock(), 0

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """The turn of one. Full: too many wait."""
        if self._here >= MAX_LARGE:
            raise Full
        self._here += 1
        try:
            async with self._one:
                yield
        finally:
            self._here -= 1


async def _body(request: Request) -> bytes:
    """The whole body, if it is JSON and not too large, however it is sent."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"The body is {kind or 'of no type'}; send application/json.")
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise HTTPException(415, f"The body is packed as {coding[:80]}; send it plain.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise HTTPException(413, f"The body has {int(declared):,} bytes; the most is {MAX_BODY:,}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"The body has more than {MAX_BODY:,} bytes.")
    return bytes(body)


def _check_name(service: Service, pipeline: str) -> None:
    if pipeline != service.name:
        raise HTTPException(404, f"There is no pipeline {pipeline[:80]!r} here; this service serves {service.name}.")


def _champion(service: Service) -> Champion:
    champion = service.watch.current
    if champion is None:
        failure = service.watch.failure
        why = f" The last one did not load: {failure.message}" if failure else ""
        name, where = service.name, service.environment
        raise NotFound(
            f"{name} has no model of package {service.package.version} to serve in {where} yet.{why}",
            remedy=f"Run `assay train {name} --environment {where}`.",
        )
    return champion


def _signed(service: Service, champion: Champion) -> dict[str, Any]:
    return {
        "pipeline": service.name, "environment": service.environment,
        "model": champion.digest, "package": service.package.digest,
    }  # fmt: skip


# ---- refusals -----------------------------------------------------------------------------------------------------


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _problem(status: int, kind: str, message: str, fields: Sequence[tuple[str, str]] = (), retry: int = 0) -> Response:
    headers = {"retry-after": str(retry)} if retry else None
    return Response(problem.content(kind, message, fields), status, headers, "application/json")


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = str(error.detail)
    if said in _UNTOLD:
        said = f"{_UNTOLD[said].format(request.method, request.url.path[:80])} Look at /docs."
    response = _problem(error.status_code, _KINDS.get(error.status_code, "refused"), said)
    response.headers.update(error.headers or {})
    return response


async def _rejected(_: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    return _problem(error.status, _KINDS.get(error.status, "invalid"), str(error), error.problems)


async def _full(_: Request, __: Exception) -> Response:
    return _problem(429, "busy", problem.BUSY, retry=problem.BUSY_SECONDS)


async def _unavailable(_: Request, error: Exception) -> Response:
    """No model yet, or features that cannot be looked up: not the caller's fault, and it may pass."""
    if isinstance(error, NotFound | Unreachable):
        return _problem(503, "unavailable", str(error), retry=5)
    return _problem(500, "failed", str(error))


async def _unrecorded(_: Request, error: Exception) -> Response:
    return _problem(503, "unrecorded", f"The disk would not take the records: {error}. Nothing was answered.", retry=5)


async def _gone(_: Request, __: Exception) -> Response:
    return _problem(400, "malformed", "The body ended too early.")


async def _unforeseen(_: Request, error: Exception) -> Response:
    return _problem(500, "failed", f"{type(error).__name__}: the service's log says more.")
