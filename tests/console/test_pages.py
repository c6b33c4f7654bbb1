"""Each page, run by Streamlit's own test runner: on an empty root, on a full one, and with Prefect down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from console import actions
from console.pages.parts import frame
from flows.checks.check import Verdict
from store import blobs, clock, ledger
from store.actions import ReportDrawn
from store.layout import Root
from store.registry import dues, packages
from tests.console import ENVIRONMENT, OTHER, PIPELINE, START, proved, publish, story

APP = Path(__file__).parents[2] / "console" / "app.py"
PAGES = ("pages/overview.py", "pages/drift.py", "pages/retrain.py", "pages/proving.py")
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
        (PAGES[3], "flight_delay 1.0.0, which runs in production, was proved on"),
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


@pytest.fixture
def refused(tmp_path: Path) -> Root:
    """1.0.0 is old and has no certificate, 1.1.0 is proved, and the newest attempt was refused for K04 and a fault that survived."""
    root = Root.open(tmp_path / "refused")
    clock.move(root, START)
    publish(root, PIPELINE)
    publish(root, PIPELINE, version="1.1.0", found=proved.proving(START))
    failed = proved.proving(START, verdicts={"K04": Verdict.FAIL}, survived=["F01"])
    proved.refuse(root, PIPELINE, "1.2.0", failed, START)
    return root


def test_what_was_refused_is_told_with_what_to_mend_and_the_commands(
    refused: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentence, part and command of each reason, and what to do after that."""
    found = said(opened(PAGES[3], refused.path, monkeypatch))
    assert "flight_delay 1.2.0 was refused on" in found
    assert "What to mend" in found
    for command in ("prove flight_delay --check K04", "prove flight_delay --fault F01", "integrate flight_delay"):
        assert f"assay {command}" in found
    assert "K04 asks: the evaluation rows decide nothing that is fitted or chosen." in found


def test_nothing_is_to_mend_where_the_newest_attempt_was_published(full: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page goes on from its verdict to its evidence; no action is asked for."""
    app = opened(PAGES[3], full.path, monkeypatch)
    assert not app.exception
    assert app.subheader[0].value == "Certificates side by side"


def test_the_url_chooses_check_fault_and_version_and_the_certificate_is_that_versions(
    refused: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any view can be sent; the file that is downloaded has the ledger's digest."""
    package = packages.get(refused, PIPELINE, "1.1.0")
    monkeypatch.setenv("ASSAY_ROOT", str(refused.path))
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    for name, value in {"check": "K04", "fault": "F04", "attempt": str(package.seq)}.items():
        app.query_params[name] = value
    app.switch_page(PAGES[3]).run()
    assert not app.exception
    assert (app.selectbox("check").value, app.selectbox("fault").value) == ("K04", "F04")
    assert "Certificate of 1.1.0" in said(app)
    assert package.body.certificate in said(app)
    assert f"assay certificate verify {PIPELINE} 1.1.0" in said(app)
    assert app.get("download_button")[0].proto.label == "Download the certificate as JSON"


def test_a_version_without_a_certificate_says_so(refused: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """And which command gives the next one its own."""
    app = opened(PAGES[3], refused.path, monkeypatch)
    app.selectbox("attempt").select(str(packages.get(refused, PIPELINE, "1.0.0").seq)).run()
    assert not app.exception
    assert "1.0.0 was published without one" in said(app)
    assert not app.get("download_button")


def test_a_pipeline_that_was_never_proved_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table, no chart: there is nothing to show."""
    root = Root.open(tmp_path)
    clock.move(root, START)
    publish(root, PIPELINE)
    app = opened(PAGES[3], root.path, monkeypatch)
    assert not app.exception
    assert "flight_delay 1.0.0 runs in production without a certificate" in said(app)
    assert f"assay prove {PIPELINE}" in said(app)


def test_a_changed_certificate_blanks_nothing(refused: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict says that it does not hold; what the others hold is still shown."""
    package = packages.get(refused, PIPELINE, "1.1.0")
    blobs.path(refused, package.body.certificate).write_bytes(b"{}")
    app = opened(PAGES[3], refused.path, monkeypatch)
    app.selectbox("attempt").select(str(package.seq)).run()
    assert not app.exception
    assert "its certificate does not hold" in said(app)
    assert "It cannot be read" in said(app)
    assert "Certificates side by side" in said(app)


def test_a_root_of_another_layout_is_told_in_sentences_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "FORMAT").write_text("99\n")
    app = opened(PAGES[0], tmp_path, monkeypatch)
    assert not app.exception
    assert "has layout &#x27;99&#x27;" in said(app)
