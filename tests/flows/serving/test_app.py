"""What an application can rely on over HTTP."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta

import anyio
import httpx
import orjson
import pytest

from flows.serving import app, log
from store import clock, ledger
from store.traffic import collect, outcomes, predictions, spool
from tests.flows.serving.world import NOW, row


def spooled(world):
    return [record for path in spool.segments(world.root, "production", "tiny") for record in spool.read(path)[0]]


def post(client, body, path="/v1/tiny/predict", kind="application/json"):
    return client("POST", path, content=body, headers={"content-type": kind})


def problem(response):
    error = response.json()["error"]
    return response.status_code, error["type"], [field["field"] for field in error["fields"]]


def test_predictions_come_back_in_order_signed_and_on_disk(world, service, client):
    clock.move(world.root, NOW + timedelta(hours=9))
    answer = client.predict(row(1), row(2))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["pipeline"], body["environment"]) == ("tiny", "production")
    assert (body["model"], body["package"]) == (service.watch.current.digest, service.package.digest)
    written = spooled(world)
    assert [(one["id"], one["prediction"]) for one in body["predictions"]] == [
        (record["prediction_id"], record["prediction"]) for record in written
    ]
    assert written[0]["received_at"] == "2013-04-01T09:00:00+00:00"
    assert written[0]["request"]["departs"] == "2013-04-01T10:00:00+00:00"


def test_features_are_looked_up_by_key_at_the_time_of_the_question(world, client):
    client.predict(row(), row(city="nowhere"), row(departs="2013-04-01T00:30:00Z"))
    assert [record["served"] for record in spooled(world)] == [
        {"city": "BOS", "miles": 101.0, "hour": 10.0, "clouds": 0.5, "kind": "clear"},
        {"city": "nowhere", "miles": 101.0, "hour": 10.0, "clouds": None, "kind": None},
        {"city": "BOS", "miles": 101.0, "hour": 0.0, "clouds": None, "kind": None},
    ]


def test_features_that_are_given_take_precedence(world, client):
    client.predict(row(features={"clouds": 7}), row(features={"clouds": None, "kind": "fog"}))
    served = [(record["served"]["clouds"], record["served"]["kind"]) for record in spooled(world)]
    assert served == [(7.0, "clear"), (None, "fog")]


def test_a_dry_run_answers_the_same_and_records_nothing(world, client):
    tried, done = client.predict(row(), dry_run=True).json(), client.predict(row()).json()
    assert tried["predictions"] == [{"prediction": done["predictions"][0]["prediction"]}]
    assert len(spooled(world)) == 1


def test_a_single_row_is_answered_as_one(client):
    one = client("POST", "/v1/tiny/predict", json={"row": row(), "dry_run": True})
    assert one.json()["predictions"] == client.predict(row(), dry_run=True).json()["predictions"]


def test_many_rows_are_answered_too(client):
    answer = client.predict(*[row(city="b", day=None, departs="2013-04-01T10:00Z")] * 5000)
    assert len({one["id"] for one in answer.json()["predictions"]}) == 5000


def test_what_was_answered_and_told_ends_in_the_tables(world, service, client):
    first = client.predict(row()).json()["predictions"][0]["id"]
    told = [{"prediction_id": first, "late": True}, {"flight": "UA9", "minutes": 12}]
    answer = client("POST", "/v1/tiny/outcomes", json={"outcomes": told})
    assert answer.status_code == 202
    collect.drain(world.root, "production", "tiny", service.manifest)
    stored = predictions.read(world.root, "production", "tiny")
    assert stored["prediction_id"].to_list() == [first]
    assert stored["x_kind"].to_list() == ["clear"]
    late = outcomes.read(world.root, "production", "tiny").sort("minutes", nulls_last=False)
    assert late.select("prediction_id", "flight", "late", "minutes").rows() == [
        (first, None, True, None), (None, "UA9", None, 12.0),
    ]  # fmt: skip
    assert set(late["outcome_id"]) == set(answer.json()["accepted"])


WRONG = {
    "missing": (lambda r: r.pop("miles"), "rows[1].miles"),
    "misspelt": (lambda r: r.update(mile=3), "rows[1].mile"),
    "text for number": (lambda r: r.update(miles="3"), "rows[1].miles"),
    "fraction": (lambda r: r.update(miles=3.5), "rows[1].miles"),
    "truth for number": (lambda r: r.update(miles=True), "rows[1].miles"),
    "too large": (lambda r: r.update(miles=2**63), "rows[1].miles"),
    "number for text": (lambda r: r.update(city=3), "rows[1].city"),
    "list for text": (lambda r: r.update(city=["BOS"]), "rows[1].city"),
    "null key": (lambda r: r.update(flight=None), "rows[1].flight"),
    "naive": (lambda r: r.update(departs="2013-04-01T10:00:00"), "rows[1].departs"),
    "no time": (lambda r: r.update(departs="soon"), "rows[1].departs"),
    "year 1": (lambda r: r.update(departs="0001-01-01T00:00:00+14:00"), "rows[1].departs"),
    "null time": (lambda r: r.update(departs=None), "rows[1]"),
    "no date": (lambda r: r.update(day="2013-02-30"), "rows[1].day"),
    "unknown feature": (lambda r: r.update(features={"clods": 1}), "rows[1].features.clods"),
    "nested feature": (lambda r: r.update(features={"clouds": {}}), "rows[1].features.clouds"),
    "features list": (lambda r: r.update(features=[]), "rows[1].features"),
    "text feature": (lambda r: r.update(features={"clouds": "many"}), "features.clouds"),
    "number for text feature": (lambda r: r.update(features={"kind": 3}), "features.kind"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_field_is_named_with_its_path(client, world, name):
    change, field = WRONG[name]
    wrong = row()
    change(wrong)
    assert problem(client.predict(row(), wrong)) == (422, "invalid", [field])
    assert spooled(world) == []


@pytest.mark.parametrize("rows", [[3], [None], ["x"], [[]]])
def test_a_row_that_is_no_object_is_named(client, rows):
    status, _, fields = problem(client.predict(*rows))
    assert (status, fields) == (422, ["rows[0]"])


def test_no_rows_or_both_kinds_or_too_many_are_refused(client):
    assert problem(client.predict())[0] == 422
    assert problem(client("POST", "/v1/tiny/predict", json={}))[0] == 422
    assert problem(client("POST", "/v1/tiny/predict", json={"rows": [row()], "row": row()}))[0] == 422
    assert problem(client.predict(*[{}] * 10_001))[0] == 413
    assert problem(client.predict(row(), dry_run="yes"))[2] == ["dry_run"]


NONSENSE = {
    "nothing": b"",
    "garbage": b"\x00\xff",
    "a list": b"[]",
    "a number": b"3",
    "NaN": b'{"rows": [{"miles": NaN}]}',
    "Infinity": b'{"rows": [{"miles": -Infinity}]}',
    "beyond Float64": b'{"rows": [{"miles": 1e400}]}',
    "five thousand digits": b'{"rows": [{"miles": ' + b"1" * 5000 + b"}]}",
    "half a pair": b'{"rows": [{"city": "\\ud800"}]}',
    "deep": b'{"rows": ' + b"[" * 100_000,
    "deep and closed": b'{"rows": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "twice": b'{"rows": [], "rows": []}',
    "twice inside": b'{"rows": [{"miles": 1, "miles" : 2}]}',
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_as_malformed(client, name):
    assert problem(post(client, NONSENSE[name]))[:2] == (400, "malformed")
    assert problem(post(client, NONSENSE[name], "/v1/tiny/outcomes"))[:2] == (400, "malformed")


def test_nesting_within_the_parsers_limit_is_refused_by_field(client):
    assert problem(post(client, b'{"rows": ' + b"[" * 900 + b"]" * 900 + b"}"))[:2] == (422, "invalid")


def test_a_colon_in_a_text_is_no_second_key(client):
    assert client.predict(row(city='a": "b'), dry_run=True).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_another_content_type_is_refused(client, kind):
    assert problem(post(client, b"{}", kind=kind))[:2] == (415, "unsupported_media_type")
    assert client("POST", "/v1/tiny/predict", content=b"{}").status_code == 415


def test_a_charset_is_no_other_content_type(client):
    body = orjson.dumps({"rows": [row()]})
    assert post(client, body, kind="application/json; charset=utf-8").status_code == 200


def test_a_large_body_is_refused_declared_or_in_chunks(client):
    async def chunks():
        for _ in range(40):
            yield b" " * 50_000

    assert problem(post(client, b" " * 2_000_000))[:2] == (413, "too_large")
    assert problem(post(client, chunks()))[:2] == (413, "too_large")


def test_another_pipeline_is_not_found_and_this_one_is_named(client):
    for method, path in (("POST", "/v1/other/predict"), ("POST", "/v1/other/outcomes"), ("GET", "/v1/other")):
        answer = client(method, path, json={})
        assert answer.status_code == 404
        assert "this service serves tiny" in answer.json()["error"]["message"]
    assert problem(client("GET", "/nothing"))[:2] == (404, "not_found")
    assert problem(client("GET", "/v1/tiny/predict"))[:2] == (405, "method_not_allowed")


def test_a_prediction_that_is_not_finite_never_leaves(client, world):
    status, kind, fields = problem(client.predict(row(), row(miles=-1)))
    assert (status, kind, fields) == (422, "invalid", ["rows"])
    assert spooled(world) == []


OUTCOMES = {
    "nothing": ([], "outcomes"),
    "no object": ([3], "outcomes[0]"),
    "no key": ([{"late": True}], "outcomes[0]"),
    "nothing said": ([{"flight": "UA1"}], "outcomes[0]"),
    "foreign id": ([{"prediction_id": "x", "late": True}], "outcomes[0].prediction_id"),
    "wrong": ([{"flight": "UA1", "late": 1}], "outcomes[0].late"),
    "unknown": ([{"flight": "UA1", "late": True, "mood": "bad"}], "outcomes[0].mood"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_wrong_outcome_is_named_with_its_path(client, name):
    told, field = OUTCOMES[name]
    assert problem(client("POST", "/v1/tiny/outcomes", json={"outcomes": told})) == (422, "invalid", [field])


def test_the_pipeline_says_who_serves_and_what_may_be_sent(client, service):
    found = client("GET", "/v1/tiny").json()
    assert found["model"]["digest"] == service.watch.current.digest
    assert found["model"]["since"] == NOW.isoformat()
    assert found["model"]["metric"] == {"name": "roc_auc", "value": 0.7, "low": 0.6, "high": 0.8}
    assert found["package"] == {"version": "1.0.0", "digest": service.package.digest}
    assert found["request"]["miles"] == "Int64"
    assert found["features"] == ["clouds", "kind"]


def test_health_says_what_serves_and_what_waits(client, service):
    found = client("GET", "/health")
    assert (found.status_code, found.json()["status"]) == (200, "ready")
    assert found.json()["spool"] == {"queued": 0, "lag_bytes": 0}
    client.predict(row())
    assert client("GET", "/health").json()["spool"]["lag_bytes"] > 100


def test_while_draining_it_answers_and_asks_to_be_left(client, service):
    service.draining = True
    found = client("GET", "/health")
    assert (found.status_code, found.json()["status"]) == (503, "draining")
    answer = client.predict(row())
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_without_a_model_it_says_what_to_run(client, service):
    service.watch.current = None
    for answer in (client.predict(row()), client("GET", "/health")):
        assert answer.status_code == 503
    answer = client.predict(row())
    assert answer.headers["retry-after"]
    assert "Run `assay train tiny --environment production`" in answer.json()["error"]["message"]


def test_features_that_nobody_materialised_are_a_reason_to_come_again(world, client):
    for path in world.root.online("sky").glob("*.json"):
        path.unlink()
    answer = client.predict(row())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert client.predict(row(features={"clouds": 1, "kind": "fog"})).status_code == 200


def test_a_full_queue_is_a_reason_to_come_again(client, service, monkeypatch):
    monkeypatch.setattr(service.log, "_queued", log.LIMIT)
    answer = client.predict(row())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_what_the_disk_does_not_take_is_not_answered(client, service, monkeypatch):
    def full(records):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service.log._writer, "append", full)
    answer = client.predict(row())
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "unrecorded")


def test_one_fsync_serves_many_requests(service, monkeypatch):
    held, batches, append = threading.Event(), [], service.log._writer.append

    def slow(records):
        batches.append(len(records))
        held.wait(30)
        append(records)

    monkeypatch.setattr(service.log._writer, "append", slow)

    async def many():
        transport = httpx.ASGITransport(app.create(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            calls = [asyncio.create_task(client.post("/v1/tiny/predict", json={"row": row(n)})) for n in range(20)]
            while service.log.queued < 20:
                await asyncio.sleep(0.01)
            held.set()
            return await asyncio.gather(*calls)

    answers = asyncio.run(asyncio.wait_for(many(), 30))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(batches) == 20
    assert len(batches) <= 3


def test_openapi_has_the_contracts_own_examples_and_fields(client):
    found = client("GET", "/openapi.json").json()
    body = found["paths"]["/v1/{pipeline}/predict"]["post"]["requestBody"]["content"]["application/json"]
    example = body["examples"]["boards"]["value"]
    assert client("POST", "/v1/tiny/predict", json=example).status_code == 200
    assert body["schema"]["properties"]["row"]["properties"]["miles"]["type"] == ["integer", "null"]
    assert json.dumps(found)


def test_the_time_of_receipt_is_store_time_and_of_recording_the_walls(world, client):
    clock.move(world.root, NOW)
    client.predict(row())
    (record,) = spooled(world)
    assert datetime.fromisoformat(record["received_at"]) == NOW
    assert datetime.fromisoformat(record["recorded_at"]) > datetime(2020, 1, 1, tzinfo=UTC)


def test_serving_is_in_the_ledger(world, service):
    (served,) = ledger.find(world.root, action="model.served")
    assert (served.digest, served.body.package) == (service.watch.current.digest, service.package.digest)


def test_the_lifespan_ends_the_service(service):
    async def live():
        application = app.create(service)
        async with application.router.lifespan_context(application):
            pass

    anyio.run(live)
    assert not service.log._thread.is_alive()
