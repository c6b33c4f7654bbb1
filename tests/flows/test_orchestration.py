"""Steps, events and sentences without Prefect: plain calls, and nothing waits for a server."""

from __future__ import annotations

import inspect
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from flows import orchestration
from store.errors import GateFailed


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What of Prefect was called."""
    calls: list[str] = []
    for name in (
        "create_markdown_artifact",
        "create_table_artifact",
        "create_link_artifact",
        "emit_event",
        "get_run_logger",
    ):
        monkeypatch.setattr(orchestration, name, lambda *args, name=name, **kwargs: calls.append(name))
    return calls


def server(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.setattr(orchestration, "get_current_settings", lambda: SimpleNamespace(api=SimpleNamespace(url=url)))


def test_a_step_is_a_plain_call_without_a_flow_run() -> None:
    """Same arguments, same result, same error, in the same thread, with its name and docstring."""
    frames: list[Any] = []

    def _add_up(first: int, *, second: int = 1) -> int:
        """Adds up."""
        frames.append(inspect.currentframe())
        if second < 0:
            raise ValueError(second)
        return first + second

    step = orchestration.step(_add_up)
    assert (step(1), step(1, second=2)) == (2, 3)
    assert (step.__name__, step.__doc__) == ("_add_up", "Adds up.")
    with pytest.raises(ValueError, match="-1"):
        step(1, second=-1)
    assert [frame.f_back.f_code.co_name for frame in frames] == ["call"] * 3


def test_a_step_is_a_task_of_the_run_under_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named after its function, without cache, and with nothing persisted: the store is what remembers."""
    made: list[dict[str, Any]] = []

    def task(**options: Any) -> Any:
        made.append(options)
        return lambda function: lambda *args, **kwargs: ("task", function(*args, **kwargs))

    monkeypatch.setattr(orchestration, "task", task)
    step = orchestration.step(lambda: None)
    assert made == [{"name": "<lambda>", "cache_policy": orchestration.NO_CACHE, "persist_result": False}]
    monkeypatch.setattr(orchestration, "running", lambda: True)
    assert step() == ("task", None)

    @orchestration.step
    def _take_inbox() -> None:
        """Nothing."""

    assert made[-1]["name"] == "take-inbox"


def test_without_a_run_nothing_runs_and_a_person_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who acts is whoever is logged in; a machine without accounts has an actor too."""
    monkeypatch.setenv("LOGNAME", "marie")
    assert (orchestration.running(), orchestration.run_id(), orchestration.started_by()) == (False, None, "call")
    assert orchestration.actor() == "marie"

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(orchestration.getpass, "getuser", nobody)
    assert orchestration.actor() == "unknown"


def test_artifacts_outside_a_run_are_nothing(called: list[str]) -> None:
    """The caller prints, or does not."""
    orchestration.markdown("key", "text")
    orchestration.table("key", [{"a": 1}])
    orchestration.link("bakery", "test", "drift", "text")
    assert called == []


def test_a_link_leads_to_a_page_of_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this pipeline and environment, wherever the console is served."""
    made: list[Any] = []
    monkeypatch.setattr(orchestration, "running", lambda: True)
    monkeypatch.setattr(orchestration, "create_link_artifact", lambda *args, **kwargs: made.append((args, kwargs)))
    monkeypatch.setenv("ASSAY_CONSOLE_URL", "http://ops:80")
    orchestration.link("late_trains", "test", "drift", "text")
    url = "http://ops:80/drift?pipeline=late_trains&environment=test"
    assert made == [((url, "text"), {"key": "late-trains-drift"})]


def test_progress_fills_as_steps_begin_and_never_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Outside a run steps are said; in one, an artifact of the run goes to 100 percent, however many steps there are."""
    filled: list[tuple[str, float]] = []
    monkeypatch.setattr(orchestration, "create_progress_artifact", lambda *args, key, **kwargs: f"bar of {key}")
    monkeypatch.setattr(orchestration, "update_progress_artifact", lambda bar, percent: filled.append((bar, percent)))
    with caplog.at_level(logging.INFO, logger="assay"):
        orchestration.progress("training", 2)("fitting")
    assert ([record.getMessage() for record in caplog.records], filled) == (["fitting"], [])
    monkeypatch.setattr(orchestration, "running", lambda: True)
    monkeypatch.setattr(orchestration, "get_run_logger", lambda: logging.getLogger("assay"))
    say = orchestration.progress("training", 2)
    for step in ("tuning", "fitting", "more"):
        say(step)
    assert filled == [("bar of training", 50.0), ("bar of training", 100.0), ("bar of training", 100.0)]


def test_progress_outside_a_run_is_logged_as_it_is(caplog: pytest.LogCaptureFixture, called: list[str]) -> None:
    """Brackets of a pipeline's own words are nobody's markup."""
    with caplog.at_level(logging.INFO, logger="assay"):
        orchestration.say("fitting [/no] tag")
    assert [record.getMessage() for record in caplog.records] == ["fitting [/no] tag"]
    assert called == []


def test_an_event_without_a_server_is_nothing(monkeypatch: pytest.MonkeyPatch, called: list[str]) -> None:
    """Nothing is sent, and nothing waits."""
    server(monkeypatch, None)
    orchestration.emit("assay.model.promoted", "bakery", {})
    assert called == []


def test_an_event_is_about_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its resource is what automations match on; its payload is passed as it is."""
    sent: list[Any] = []
    server(monkeypatch, "http://localhost:4200/api")
    monkeypatch.setattr(orchestration, "emit_event", lambda *args, **kwargs: sent.append((args, kwargs)))
    orchestration.emit("assay.retraining.due", "bakery", {"due": "d1"})
    resource = {"prefect.resource.id": "assay.pipeline.bakery"}
    assert sent == [(("assay.retraining.due",), {"resource": resource, "payload": {"due": "d1"}})]


def test_a_sentence_is_one_line() -> None:
    """For a ledger row: three sentences and a traceback in one line of at most 500 characters."""
    error = GateFailed("It ended with code 1.", "Its last words:\n  Traceback\n\n\tline 1", "Mend it.")
    assert orchestration.sentence(error) == "It ended with code 1. Its last words: Traceback line 1 Mend it."
    assert len(orchestration.sentence(GateFailed("word " * 500))) <= 500
