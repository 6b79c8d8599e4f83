"""Pieces of an OpenAPI document: an operation, the errors it answers, and their one schema."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from modelyard import errors, wire

Json = dict[str, Any]


def operation(name: str, summary: str, schema: Mapping[str, Any], failures: Iterable[errors.ModelyardError]) -> Json:
    """Return an operation that answers JSON of a schema, or one of the errors."""
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            **responses(failures),
        },
    }


def open_operation(
    name: str, summary: str, schema: Mapping[str, Any], failures: Iterable[errors.ModelyardError]
) -> Json:
    """Return an operation that takes no key."""
    return operation(name, summary, schema, failures) | {"security": []}


def responses(failures: Iterable[errors.ModelyardError]) -> Json:
    """Return the answers that errors are, by status, each with an error that was really rendered."""
    described: dict[str, Json] = {}
    for failure in failures:
        answer = wire.render_error(failure)
        body = msgspec.json.decode(answer.body)
        response = described.setdefault(
            str(answer.status),
            {
                "description": "",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "examples": {}},
                },
            },
        )
        if answer.headers:
            response["headers"] = {name: {"schema": {"type": "string"}} for name, _ in answer.headers}
        response["content"]["application/json"]["examples"][body["reason"]] = {"value": body}
        response["description"] = ", ".join(f"`{name}`" for name in response["content"]["application/json"]["examples"])
    return described


def error_schema() -> Json:
    """Return the schema of every error."""
    reasons = dict.fromkeys(reason for _, reason in wire.ERROR_ANSWERS.values())
    return {
        "title": "Error",
        "description": "Every error of every route.",
        "type": "object",
        "required": ["code", "reason", "message", "metadata"],
        "properties": {
            "code": {"type": "integer", "description": "The HTTP status."},
            "reason": {"type": "string", "enum": list(reasons)},
            "message": {"type": "string", "description": "What was wrong, where, and what is accepted."},
            "metadata": {"type": "object", "description": "The facts, such as parameter, given, allowed."},
        },
    }
