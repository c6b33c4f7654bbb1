"""The console in a real browser: every page paints, in both themes, and says something a person can use."""

from pathlib import Path

import pytest

from console import server
from console.processes import Processes, answers, free_port, wait_for

pytestmark = pytest.mark.e2e
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
PAGES = {"": "Overview", "drift": "Drift", "proving": "Proving", "retrain": "Retrain"}

if not CHROMIUM.exists():
    pytest.skip("no chromium at /usr/bin/chromium: install Debian's package", allow_module_level=True)

sync_api = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def console(prefect):
    """The console's URL."""
    env, _, _ = prefect
    port = free_port()
    with Processes(Path(env["PREFECT_HOME"]) / "console-logs") as processes:
        processes.start("console", server.command(port), env)
        url = f"http://127.0.0.1:{port}"
        wait_for("the console", answers(url + "/_stcore/health"), processes)
        yield url


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium."""
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield found
        found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_paints_without_an_exception_and_asks_nothing_of_the_outside(console, browser, path, scheme):
    """Its heading is there, no traceback is, and every request went to 127.0.0.1."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1400, "height": 900})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{console}/{path}?pipeline=flight_delay&environment=production")
    page.get_by_role("heading").first.wait_for(timeout=60_000)
    page.wait_for_function("document.body.innerText.includes('flight_delay')", timeout=60_000)
    assert page.get_by_test_id("stException").count() == 0
    outside = [url for url in asked if not url.startswith((console, "data:", "blob:", console.replace("http", "ws")))]
    assert outside == []
    page.close()
