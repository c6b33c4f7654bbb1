"""The demo's order: everything an operator would see over months, in minutes, with nothing mocked.

It has a root and a Prefect home of its own, begun anew each time; live schedules are paused, because its clock is the
replayer's. The training runs are started by Prefect: the first through a deployment, the later ones by the automation alone.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from console import prefect_server, server
from console.demo.display import Story, console, named_by
from console.demo.replay import Replayer
from console.processes import Processes, answers, python, wait_for
from flows import collect, deliver, explore, ingest, integrate, monitor
from flows.orchestration import start_deployment
from flows.pipeline import Window
from store import clock, ledger
from store.errors import AssayError, Unreachable
from store.layout import Root
from store.ledger import Row
from store.registry import dues, models
from store.registry.dues import Due

T = TypeVar("T")
HISTORY = Window(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC))
PIPELINES = ("flight_delay", "arrival_minutes")
SERVED = PIPELINES[0]
WEEK = timedelta(days=7)


def run(home: Path, ports: Mapping[str, int], *, once: bool, weeks: int) -> int:
    """Turn the loop once in a folder that ``prepare`` made, under its environment.

    0: a due was opened by the monitor and closed by a run of the automation; 1: none was in the time given; 130: Ctrl-C.
    """
    env = dict(os.environ)
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell that starts it in the background has SIGINT ignored
        signal.signal(ending, signal.default_int_handler)
    story, root = Story(), Root.open(home / "root")
    logging.getLogger("assay").addFilter(named_by(PIPELINES))
    with Processes(home / "logs") as processes:
        try:
            return _turn(story, root, processes, env, ports, once=once, weeks=weeks)
        except KeyboardInterrupt:
            console.print("\nStopping what was started.")
            return 130
        except AssayError:
            console.print(f"[red]The demo stopped.[/red] Logs: {home / 'logs'}")
            raise


def _turn(
    story: Story,
    root: Root,
    processes: Processes,
    env: dict[str, str],
    ports: Mapping[str, int],
    *,
    once: bool,
    weeks: int,
) -> int:
    clock.move(root, HISTORY.end)
    prefect = beside("prefect", lambda: prefect_server.start(processes, env, ports["prefect"]))
    story.note(
        f"Prefect's server and worker start in the background; the root is {root.path}, its clock {clock.printed(HISTORY.end)}"
    )
    build(story, root)
    with story.step(
        "prefect deploy --all", "every flow a deployment; the automation retrain-when-due; live schedules paused"
    ):
        prefect.result()
    first_training(story, root, processes)
    urls = serve(story, processes, env, ports)
    table = replay(story, root, processes, urls["service"], weeks)
    return end(story, root, processes, table, urls, once=once)


def build(story: Story, root: Root) -> None:
    """Data, analysis, the gate for both pipelines, delivery."""
    with story.step("ingest", f"flights and weather of {HISTORY}, and the features derived from them every 6 hours"):
        written = ingest.run(root, start=HISTORY.start)
        story.note(", ".join(f"{name} {count:,}" for name, count in written.items()) + " rows")
    with story.step("explore", "what the features hold, ending in a verdict by rule"):
        explore.run(root, SERVED)
    with story.step(
        "integrate", "both pipelines side by side: checks, faults that prove the checks, floor, reproducible wheel"
    ):
        side_by_side(lambda pipeline: integrate.run(root, pipeline))
    with story.step("deliver", "into test, tried over HTTP against every application's contract, then production"):
        word = "the demo's operator approves"
        for way in side_by_side(lambda pipeline: deliver.run(root, pipeline, approve=True, reason=word)):
            story.note(f"{way.pipeline}: {way.sentence}")


def first_training(story: Story, root: Root, processes: Processes) -> None:
    """The delivered packages, trained in production through their deployment."""
    with story.step("train", "by deployment, from the package's bytes: snapshot, split, search, fit, report, register"):
        for pipeline in PIPELINES:
            start_deployment("train", {"pipeline": pipeline, "reason": "first training in production"})
        for pipeline in PIPELINES:
            due = wait_for(f"the training of {pipeline}", lambda name=pipeline: _closed(root, name, 0), processes, 240)  # type: ignore[misc]
            _refuse_failed(due)
            champion = models.get(root, pipeline, "production")
            value = (
                f"{champion.body.metric} {champion.body.value:.3f} ({champion.body.low:.3f} … {champion.body.high:.3f})"
            )
            story.note(f"{pipeline}: champion {champion.version}, {value}")


def serve(story: Story, processes: Processes, env: dict[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Service and console, on their ports."""
    urls = {
        "console": f"http://127.0.0.1:{ports['console']}",
        "prefect": f"http://127.0.0.1:{ports['prefect']}",
        "service": f"http://127.0.0.1:{ports['service']}",
    }
    with story.step("serve", f"{SERVED} on {urls['service']}, console on {urls['console']}"):
        processes.start("service", python("-m", "console.cli", "serve", SERVED, "--port", str(ports["service"])), env)
        processes.start("console", server.command(ports["console"]), env)
        wait_for("the service", answers(urls["service"] + "/health"), processes)
        wait_for("the console", answers(urls["console"] + "/_stcore/health"), processes)
    return urls


def replay(story: Story, root: Root, processes: Processes, url: str, weeks: int) -> list[list[str]]:
    """Week by week: traffic, collection, the monitor, and what follows. Ends a week after the first promotion."""
    end = HISTORY.end + weeks * WEEK

    def publish() -> None:
        began = time.monotonic()
        ingest.run(root)
        collect.run(root, SERVED)
        story.add("collect and ingest", time.monotonic() - began)

    logging.getLogger("assay").setLevel(
        logging.WARNING
    )  # 28 collections a week say the same; the bar and the tables tell it
    with Replayer(root, url, SERVED, Window(HISTORY.end, end), publish) as replayer:
        return weekly(story, root, replayer, processes, end)


def weekly(story: Story, root: Root, replayer: Replayer, processes: Processes, last: datetime) -> list[list[str]]:
    """The weeks until ``last``, or until one after the first promotion; a row a week for the table of the end."""
    rows = list[list[str]]()
    replayer.begin()
    while replayer.now < last:
        one_week(story, replayer)
        began = time.monotonic()
        decided = monitor.run(root, SERVED)
        story.add("monitor", time.monotonic() - began)
        story.note(f"monitor: {monitor.verdict(decided.body)}")
        outcome = retrain(story, root, replayer, processes, decided)
        rows.append(_week(root, decided, outcome))
        if outcome is not None and outcome.closed and outcome.closed.body.outcome == "promoted":
            last = min(last, replayer.now + WEEK)
    story.note(
        f"{replayer.traffic.asked:,} predictions asked, {replayer.traffic.told:,} outcomes told, {replayer.traffic.failed} requests failed"
    )
    return rows


def one_week(story: Story, replayer: Replayer) -> None:
    """A week of store time."""
    end, start = replayer.now + WEEK, replayer.now
    before = story.seconds.get("collect and ingest", 0)
    began = time.monotonic()
    with story.bar(7 * 24, f"week to {end:%Y-%m-%d}") as progress:
        replayer.until(end, lambda _: progress.advance(progress.task_ids[0]))
    inside = story.seconds.get("collect and ingest", 0) - before
    story.add("replay", time.monotonic() - began - inside)
    so_far = f"{replayer.traffic.asked:,} asked, {replayer.traffic.told:,} told so far"
    console.print(f"[bold cyan]▸ week {start:%Y-%m-%d} … {end:%Y-%m-%d}[/bold cyan]  [dim]{so_far}[/dim]")


def retrain(story: Story, root: Root, replayer: Replayer, processes: Processes, decided: Row) -> Due | None:
    """If the monitor opened a due: hold the clock, keep asking, and wait until the automation's run has closed it."""
    if decided.body.due is None:
        return None
    opened = dues.get(root, decided.body.due)
    with story.step(
        "retrain", f"due {opened.id[:8]} is in the ledger; its event starts Prefect's automation, which starts train"
    ):
        before = replayer.traffic.models.copy()
        due = wait_for(
            "the automation's training run", _asking(replayer, lambda: _closed_due(root, opened.id)), processes, 240
        )
        _refuse_failed(due)
        assert due.claimed is not None
        assert due.closed is not None
        story.note(
            f"taken by {due.claimed.actor} ({due.claimed.body.by}), [bold]{due.closed.body.outcome}[/bold]: {due.closed.body.sentence}"
        )
        if due.closed.body.outcome == "promoted":
            champion = models.get(root, SERVED, "production")
            wait_for(
                "the service's swap",
                _asking(replayer, lambda: replayer.probe() == champion.digest or None),
                processes,
                60,
            )
            answered = sum(replayer.traffic.models.values()) - sum(before.values())
            story.note(
                f"the service swapped to {champion.version} under traffic; {answered} answers meanwhile, none failed"
            )
    return due


def end(
    story: Story, root: Root, processes: Processes, table: list[list[str]], urls: dict[str, str], *, once: bool
) -> int:
    """The tables, the URLs, and, unless ``once``, the console until Ctrl-C."""
    story.table(
        "Week by week",
        ["week to", "drift", "champion", "baseline", "challenger − champion", "decided"],
        [row[:-1] for row in table],
    )
    for row in table:
        story.note(f"[dim]{row[0]}[/dim] {row[-1]}")
    story.times()
    turned = [
        due
        for due in dues.listed(root, SERVED)
        if _by_monitor(due) and due.closed and due.claimed and due.claimed.body.by == "automation"
    ]
    story.note("")
    if turned:
        outcomes = ", ".join(due.closed.body.outcome for due in turned if due.closed)
        story.note(f"The loop has turned: dues opened by the monitor, closed by the automation's runs: {outcomes}.")
    else:
        story.note(
            "[yellow]The loop has not turned: no due for drift or performance was closed by a run of the automation.[/yellow]"
        )
    for name, url in urls.items():
        story.note(f"{name:8} {url}{'/docs' if name == 'service' else ''}")
    story.note(f"{ledger.verify(root)} ledger rows, all in their chain: ASSAY_ROOT={root.path} assay ledger")
    if not once:
        story.note("The console stays up until Ctrl-C.")
        while True:
            processes.check()
            time.sleep(0.5)
    return 0 if turned else 1


def side_by_side(work: Callable[[str], T]) -> list[T]:
    """The same for every pipeline at once; what each of them says of its progress is said with its name."""
    return [future.result() for future in [beside(pipeline, partial(work, pipeline)) for pipeline in PIPELINES]]


def beside(name: str, work: Callable[[], T]) -> Future[T]:
    """Work in a thread of that name, which nobody waits for when the demo ends: its children notice, and end too."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _asking(replayer: Replayer, ready: Callable[[], Any]) -> Callable[[], Any]:
    """The condition, with a question to the service before each look: traffic goes on while the clock is held."""

    def ask_and_look() -> Any:
        replayer.ask(dry_run=True)
        return ready()

    return ask_and_look


def _closed(root: Root, pipeline: str, index: int) -> Due | None:
    closed = [due for due in dues.listed(root, pipeline, "production") if due.closed]
    return closed[index] if len(closed) > index else None


def _closed_due(root: Root, due: str) -> Due | None:
    found = dues.get(root, due)
    return found if found.closed else None


def _refuse_failed(due: Due) -> None:
    if due.closed is not None and due.closed.body.outcome == "failed":
        raise Unreachable(
            f"The training of {due.pipeline} failed.", due.closed.body.sentence, "See the run in Prefect's UI."
        )


def _by_monitor(due: Due) -> bool:
    return bool({"drift", "performance"} & set(due.opened.body.kinds))


def _week(root: Root, decided: Row, due: Due | None) -> list[str]:
    body = decided.body
    auc = "" if body.champion_value is None else f"{body.champion_value:.3f}"
    baseline = "" if body.baseline_value is None else f"{body.baseline_value:.3f}"
    compared, outcome = "", "nothing due"
    if due is not None and due.closed is not None:
        outcome = due.closed.body.outcome
        judged = ledger.find(root, action="model.judged", digest=due.closed.body.model or "-")
        if judged and judged[-1].body.difference is not None:
            one = judged[-1].body
            compared = f"{one.difference:+.3f} ({one.low:+.3f} … {one.high:+.3f})"
    why = due.closed.body.sentence if due is not None and due.closed is not None else body.why
    return [body.window_end[:10], f"{len(body.drifted)} of {len(body.features)}", auc, baseline, compared, outcome, why]
