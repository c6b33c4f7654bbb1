"""A service in this process, and a client that calls it without a network."""

import anyio
import httpx
import pytest

from flows.serving import app
from flows.serving.service import Service
from tests.flows.serving.world import World


@pytest.fixture
def world(tmp_path):
    return World.made(tmp_path)


@pytest.fixture
def package(world):
    return world.publish()


@pytest.fixture
def service(world, package):
    world.promote(package)
    made = Service(world.root, world.contract(package), package, "production")
    made.watch.look()
    yield made
    made.stop()


class Client:
    """Calls an application, each time in an event loop of its own."""

    def __init__(self, application):
        self.application = application

    def __call__(self, method, path, **given):
        async def call():
            transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, **given)

        return anyio.run(call)

    def predict(self, *rows, **given):
        return self("POST", "/v1/tiny/predict", json={"rows": list(rows)} | given)


@pytest.fixture
def client(service):
    return Client(app.create(service))
