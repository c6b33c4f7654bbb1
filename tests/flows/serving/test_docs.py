"""What the service says of itself can be read, tried, and fetches nothing."""

import json
import re
import shlex
from html import unescape


def test_the_page_for_people_has_every_operation_and_its_commands_are_answered(client):
    """Each example is a command whose body the service answers as it stands."""
    page = client("GET", "/docs")
    assert page.status_code == 200
    text = unescape(page.text)
    for operation in ("POST /v1/tiny/predict", "POST /v1/tiny/outcomes", "GET /v1/tiny", "GET /health"):
        assert operation in text
    commands = [shlex.split(one) for one in re.findall(r"<pre>(curl.*?)</pre>", text, re.DOTALL)]
    assert commands
    for command in commands:
        url = next(word for word in command if word.startswith("http://"))
        answer = client("POST", "/v1/" + url.partition("/v1/")[2], json=json.loads(command[-1]))
        assert answer.status_code == 200


def test_the_page_asks_nothing_of_another_host(client):
    """No script, no style sheet, no font from elsewhere."""
    assert not re.search(r"<(script|link|img|iframe)|url\(|@import", client("GET", "/docs").text)


def test_what_is_not_there_is_said_with_the_way_to_what_is(client):
    """A path or method the router does not know."""
    assert client("GET", "/nope").json()["error"]["message"] == "There is no /nope here. Look at /docs."
    refused = client("DELETE", "/health")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert refused.json()["error"]["message"] == "DELETE is not for /health. Look at /docs."
