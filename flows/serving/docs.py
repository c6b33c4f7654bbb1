"""What the service says of itself: ``/openapi.json``, and ``/docs``, the same for people.

FastAPI's own page would fetch its scripts from another host; this one is a single file that fetches nothing.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from flows.serving import schema
from flows.serving.service import Service

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid var(--line); padding: .5rem 0 1rem; }
h2 code { font-size: 1.1rem; } th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; vertical-align: top; }
pre { background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
"""


def documented(found: dict[str, Any], service: Service) -> dict[str, Any]:
    """FastAPI's document, with the contract's own examples: FastAPI would leave out what is null in them."""
    content = found["paths"]["/v1/{pipeline}/predict"]["post"]["requestBody"]["content"]["application/json"]
    content["examples"] = {
        example["application"]: {"value": {"rows": [example["request"]], "dry_run": True}}
        for example in service.manifest["examples"]
    }
    return found


def predict(service: Service) -> dict[str, Any]:
    """What a prediction is asked with, and what comes back."""
    fields = {name: schema.json_schema(dtype) for name, dtype in service.schema.request.items()}
    given = _object({name: {"type": ["number", "string", "boolean", "null"]} for name in service.schema.features})
    row = _object(fields | {"features": given}) | {"required": list(fields)}
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": schema.MAX_ROWS}
    body = _object({"rows": rows, "row": row, "dry_run": {"type": "boolean", "default": False}})
    body["oneOf"] = [{"required": ["rows"]}, {"required": ["row"]}]
    prediction = _object({"id": {"type": "string"}, "prediction": {"type": "number"}})
    named = {name: {"type": "string"} for name in ("pipeline", "environment", "model", "package")}
    answer = _object(named | {"predictions": {"type": "array", "items": prediction}})
    return _operation(service, body) | {"responses": _responses("200", "One prediction a row, in order.", answer)}


def outcomes(service: Service) -> dict[str, Any]:
    """What is told of an outcome."""
    fields = {name: schema.json_schema(dtype) for name, dtype in service.schema.outcome.items()}
    outcome = _object({"prediction_id": {"type": ["string", "null"]}} | fields)
    many = {"type": "array", "items": outcome, "minItems": 1, "maxItems": schema.MAX_ROWS}
    body = _object({"outcomes": many}) | {"required": ["outcomes"]}
    named = {name: {"type": "string"} for name in ("pipeline", "environment")}
    answer = _object(named | {"accepted": {"type": "array", "items": {"type": "string"}}})
    return _operation(service, body) | {"responses": _responses("202", "On disk.", answer)}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _operation(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    path = {"name": "pipeline", "in": "path", "required": True, "schema": {"type": "string", "enum": [service.name]}}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}, "parameters": [path]}


def _responses(status: str, description: str, answer: dict[str, Any]) -> dict[str, Any]:
    refusals = {
        "400": "Not JSON, or JSON that can be read in two ways.", "404": "Another pipeline.", "413": "Too large.",
        "415": "Not application/json.", "422": "A field is wrong; it is named.", "429": "Busy: come again.",
        "503": "No model, features or disk at the moment: come again.",
    }  # fmt: skip
    good = {"description": description, "content": {"application/json": {"schema": answer}}}
    return {status: good} | {code: {"description": text} for code, text in refusals.items()}


def page(document: dict[str, Any], address: str) -> str:
    """The document as one HTML page: every operation with its fields, answers and examples as commands to try at ``address``."""
    about = document["info"]
    pipeline = about["title"].partition(" ")[0]
    operations = [
        _section(address, path.replace("{pipeline}", pipeline), method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    intro = (
        f"<h1>{escape(about['title'])}</h1><p>{escape(about['description'])} Package {escape(about['version'])}.</p>"
    )
    other = '<p>For programs: <a href="/openapi.json">/openapi.json</a></p>'
    title = f"<title>{escape(about['title'])}</title>"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{_STYLE}</style>'
    return f"{head}{intro}{other}{''.join(operations)}</html>"


def _section(address: str, path: str, method: str, operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = "".join(
        f"<tr><td><code>{code}</code></td><td>{escape(answer['description'])}</td></tr>"
        for code, answer in operation["responses"].items()
        if "HTTPValidationError" not in json.dumps(answer)
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
        f"{_fields(content.get('schema', {}))}<table>{answers}</table>{_examples(address + path, content.get('examples', {}))}</section>"
    )


def _fields(body: dict[str, Any]) -> str:
    """The fields of a row, with their types; every row is one element of the body's list."""
    for name, many in body.get("properties", {}).items():
        if many.get("type") == "array":
            fields = many["items"]["properties"]
            needed = set(many["items"].get("required", ()))
            lines = "".join(
                f"<tr><td><code>{escape(field)}</code></td><td>{escape(_kind(one))}</td>"
                f"<td>{'needed' if field in needed else 'may be left out'}</td></tr>"
                for field, one in fields.items()
            )
            return f"<p>Each of <code>{escape(name)}</code>:</p><table>{lines}</table>"
    return ""


def _kind(one: dict[str, Any]) -> str:
    kind = one.get("type", "")
    said = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{said}, {one['format']}" if "format" in one else said


def _examples(url: str, examples: dict[str, Any]) -> str:
    """The applications' examples as commands; ``dry_run`` keeps them out of the records."""
    return "".join(
        f"<p>{escape(name)}</p><pre>{escape(_command(url, one['value']))}</pre>" for name, one in examples.items()
    )


def _command(url: str, body: dict[str, Any]) -> str:
    text = json.dumps(body, indent=2, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -H 'content-type: application/json' \\\n  {url} -d '{text}'"
