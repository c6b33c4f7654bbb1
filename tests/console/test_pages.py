"""Each page, run by Streamlit's own test runner: on an empty root, on a full one, and with Prefect down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from console import actions
from console.pages.parts import frame
from store import blobs, clock, ledger
from store.actions import ReportDrawn
from store.layout import Root
from store.registry import dues
from tests.console import ENVIRONMENT, OTHER, PIPELINE, START, story

APP = Path(__file__).parents[2] / "console" / "app.py"
PAGES = ("pages/overview.py", "pages/drift.py", "pages/retrain.py")
DOWN = actions.OutOfReach("http://127.0.0.1:4200/api", "The server at http://127.0.0.1:4200/api does not answer.")
FORM = actions.Deployment(
    "train",
    "",
    tuple(
        actions.Field(name, name.capitalize(), "string", None, False, "")
        for name in ("pipeline", "environment", "due", "reason")
    ),
    paused=False,
    ready=True,
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return story(tmp_path_factory.mktemp("pages"))


@pytest.fixture(autouse=True)
def down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect is down, and is not imported either."""
    for name in ("recent", "deployment", "start", "run"):
        monkeypatch.setattr(actions, name, lambda *_: DOWN)
    monkeypatch.setattr(actions, "warm", lambda: None)
    monkeypatch.setattr(frame, "INSIDE", frame.INSIDE)


def opened(page: str, root: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    """The page as a browser would see it, with this root and URL."""
    monkeypatch.setenv("ASSAY_ROOT", str(root))
    app = AppTest.from_file(str(APP), default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    return app if page == PAGES[0] else app.switch_page(page).run()


def press_start(app: AppTest, *, reason: str) -> None:
    """Answer the dialog. A browser reruns only the dialog; the test runner reruns the page, so its opening button is pressed again."""
    app.button("ask").click()
    app.text_area("reason").input(reason)
    app.button("start").click()
    app.run()


def said(app: AppTest) -> str:
    """Everything a person can read on it."""
    return "\n".join(
        [
            *(one.value for one in app.markdown),
            *(one.value for one in app.caption),
            *(one.value for one in app.subheader),
            *(one.value for one in app.code),
        ]
    )


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_root_is_explained_with_the_command_that_mends_it(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(page, tmp_path, monkeypatch)
    assert not app.exception
    assert "Nothing has been built in this root yet" in said(app)
    assert "assay integrate flight_delay" in said(app)


@pytest.mark.parametrize(
    ("page", "verdict"),
    [
        (PAGES[0], "1 of 2 pipelines in production asks for a look: flight_delay drifts"),
        (PAGES[1], "flight_delay drifts: 1 of 3 features above its threshold for 2 weeks"),
        (PAGES[2], "No retraining of flight_delay is due; the monitor is cooling down until"),
    ],
)
def test_a_full_root_gets_its_verdict_though_prefect_is_down(
    page: str, verdict: str, full: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(page, full.path, monkeypatch)
    assert not app.exception
    assert verdict in said(app)


@pytest.mark.parametrize(
    ("page", "named"), [(PAGES[0], "Prefect is out of reach"), (PAGES[2], "so no retraining can be started from here")]
)
def test_what_is_out_of_reach_is_named(page: str, named: str, full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(page, full.path, monkeypatch)
    assert named in said(app)
    assert DOWN.why in said(app)


def test_the_url_chooses_pipeline_feature_and_week(full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    week = "2013-04-22T00:00:00+00:00"
    monkeypatch.setenv("ASSAY_ROOT", str(full.path))
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    for name, value in {"pipeline": PIPELINE, "feature": "carrier", "week": week}.items():
        app.query_params[name] = value
    app.switch_page(PAGES[1]).run()
    assert not app.exception
    assert app.selectbox("feature").value == "carrier"
    assert app.selectbox("week").value == week


def test_what_is_chosen_stands_in_the_url(full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(PAGES[1], full.path, monkeypatch)
    app.selectbox("feature").select("carrier").run()
    assert app.query_params["feature"] == "carrier"
    assert app.query_params["environment"] == ENVIRONMENT


def test_a_pipeline_without_a_champion_is_told_what_to_do(full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(PAGES[1], full.path, monkeypatch)
    app.selectbox("pipeline").select(OTHER).run()
    assert not app.exception
    assert f"assay train {OTHER}" in said(app)


def test_a_report_that_was_drawn_is_shown_and_one_that_was_not_has_a_button(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = story(tmp_path / "root", weeks=3)
    app = opened(PAGES[1], root.path, monkeypatch)
    assert app.button("draw").label == "Draw the report of 2013-04-15 … 2013-04-22"
    body = ReportDrawn("drift", "2013-04-15T00:00:00+00:00", "2013-04-22T00:00:00+00:00", 900, 900, ["temp_f"])
    digest = blobs.put(root, b"<html><body>Evidently</body></html>")
    ledger.append(
        root,
        "report.drawn",
        body,
        subject=PIPELINE,
        digest=digest,
        environment=ENVIRONMENT,
        actor="ana",
        now=clock.now(root),
    )
    app.run()
    assert not app.exception
    assert "Drawn from 900 sampled rows of 900" in said(app)


def test_the_report_is_drawn_through_its_deployment_for_the_chosen_week(
    full: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(actions, "start", lambda *words: asked.append(words) or DOWN)
    app = opened(PAGES[1], full.path, monkeypatch)
    app.button("draw").click().run()
    wanted = {"pipeline": PIPELINE, "environment": ENVIRONMENT, "window_end": "2013-04-29T00:00:00+00:00"}
    assert [words[:2] for words in asked] == [("report", wanted)]
    assert f"assay report {PIPELINE}" in said(app)


def test_the_button_says_what_it_will_do_and_asks_once_with_what_will_be_written(
    full: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "deployment", lambda _: FORM)
    app = opened(PAGES[2], full.path, monkeypatch)
    assert app.button("ask").label == "Retrain on 2013-01-01 … 2013-04-29"
    app.button("ask").click().run()
    assert not app.exception
    assert "a due is opened by hand, with your reason" in said(app)


def test_nothing_starts_without_a_reason(full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(actions, "deployment", lambda _: FORM)
    monkeypatch.setattr(actions, "start", lambda *words: started.append(words) or DOWN)
    app = opened(PAGES[2], full.path, monkeypatch)
    app.button("ask").click().run()
    press_start(app, reason="  ")
    assert [one.value for one in app.error] == ["A reason is needed."]
    assert started == []


def test_with_a_reason_the_deployment_is_started_for_the_open_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, due, started = story(tmp_path / "root", weeks=1), "d" * 64, list[Any]()
    now = clock.now(root)
    dues.open_due(
        root,
        due,
        pipeline=PIPELINE,
        environment=ENVIRONMENT,
        kinds=["drift"],
        reasons=["temp_f drifted."],
        window_end=now,
        champion=None,
        actor="ana",
        now=now,
    )
    monkeypatch.setattr(actions, "deployment", lambda _: FORM)
    monkeypatch.setattr(actions, "start", lambda *words: started.append(words) or DOWN)
    app = opened(PAGES[2], root.path, monkeypatch)
    assert app.button("ask").label == "Train the open due on 2013-01-01 … 2013-04-08"
    app.button("ask").click().run()
    press_start(app, reason="it drifts")
    wanted = {"pipeline": PIPELINE, "environment": ENVIRONMENT, "due": due, "reason": "it drifts"}
    assert [words[:2] for words in started] == [("train", wanted)]
    assert "It may not have started." in app.error[0].value


def test_a_run_in_the_url_is_followed_through_the_ledger(full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_ROOT", str(full.path))
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    app.query_params["run"] = f"run-{START:%Y%m%d}"
    app.switch_page(PAGES[2]).run()
    assert not app.exception
    assert "Retraining of flight_delay ended: promoted" in said(app)


def test_a_root_of_another_layout_is_told_in_sentences_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "FORMAT").write_text("99\n")
    app = opened(PAGES[0], tmp_path, monkeypatch)
    assert not app.exception
    assert "has layout &#x27;99&#x27;" in said(app)
