"""The OpenAPI document at ``/openapi.json``, made from the table that the parser reads.

Nothing of the API is spelled here a second time: parameters, record and errors come from
``modelyard.wire.parameters``. The
examples of errors are errors that were really rendered.
"""

from functools import cache

import msgspec

from modelyard import __version__, domain, errors, wire
from modelyard.web.api.account import Metadata, User
from modelyard.web.api.health import Health, Readiness
from modelyard.web.api.list_models import FacetsAnswer
from modelyard.web.openapi import transfers
from modelyard.web.openapi.pieces import Json, error_schema, open_operation, operation, responses
from modelyard.web.requests import Answer, Exchange

EXAMPLE_MODEL = domain.Model(
    id=1_000_000_001,
    name="v2.0",
    sd_name="harbourLights_v20_1000000001.safetensors",
    type=domain.MODEL_TYPES["lora"],
    source=domain.Source.UPLOADING,
    base_model="SDXL 1.0",
    base_model_type="Standard",
    is_sdxl=True,
    tags=("harbour", "night", "photography"),
    categories=("background",),
    rank=804_666,
    hashes=domain.Hashes(sha256="9C0F63A1D5" + 54 * "0"),
)
_UNAUTHENTICATED = (errors.MissingKey(), errors.InvalidKey())
_EVERYWHERE = (errors.Forbidden("read"), errors.RateLimited(2), errors.ModelyardError("", id="5f2c9a10b4000012"))
_TAKEN = (
    errors.InvalidParameter("filter.is_sdxl", "yes", "true, false"),
    errors.RequestTooLong(
        f"the query string has 9000 bytes; accepted: up to {wire.QUERY_STRING_BYTES_MAX}",
        limit_bytes=wire.QUERY_STRING_BYTES_MAX,
    ),
)
_NOT_HERE_YET = errors.Unavailable("this node is at revision 811, not at 812", revision=811, wanted=812)
# What a reader of the documentation may meet on each route that is asked with a key.
LISTING_ERRORS: tuple[errors.ModelyardError, ...] = (*_TAKEN, *_UNAUTHENTICATED, *_EVERYWHERE)
ACCOUNT_ERRORS: tuple[errors.ModelyardError, ...] = (*_UNAUTHENTICATED, *_EVERYWHERE)

STRICT_HEADER: Json = {
    "name": "Prefer",
    "in": "header",
    "description": "`handling=strict` makes a parameter that does not exist an error.",
    "schema": {"type": "string"},
    "example": "handling=strict",
}
REQUEST_HEADERS: tuple[Json, ...] = (
    {
        "name": "Prefer",
        "in": "header",
        "description": "`count=exact` returns how many models match in all, in the header "
        f"`{wire.TOTAL_HEADER}`. `handling=strict` makes a parameter that does not exist an error.",
        "schema": {"type": "string"},
        "example": "count=exact",
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of an answer you have; 304 without a body if it still holds.",
        "schema": {"type": "string"},
        "example": '"c1d1f3a6f0b64c8e9a7b5d0e2f4a68"',
    },
    {
        "name": wire.MIN_REVISION_HEADER,
        "in": "header",
        "description": "A `Modelyard-Revision` that was answered before: wait until it is here, at most a second, "
        "then 503.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 0,
    },
)
_ANSWER_HEADERS: Json = {
    "ETag": {"schema": {"type": "string"}, "description": "Identifies this very answer.", "required": True},
    wire.REVISION_HEADER: {
        "schema": {"type": "integer", "minimum": 0},
        "description": "The revision of the catalogue that this answer stands for.",
        "required": True,
    },
    wire.TOTAL_HEADER: {
        "schema": {"type": "integer", "minimum": 0},
        "description": "How many models match in all; only with `Prefer: count=exact`.",
    },
    wire.IGNORED_HEADER: {
        "schema": {"type": "string"},
        "description": "The names of parameters that mean nothing here, and so had no effect.",
    },
    wire.SUGGESTION_HEADER: {
        "schema": {"type": "string"},
        "description": "When `filter.query` matches nothing: the nearest spelling that does, percent-encoded.",
    },
    "Preference-Applied": {"schema": {"type": "string"}, "description": "The preferences that were honoured."},
}


def show_openapi(_: Exchange) -> Answer:
    """Answer the document."""
    return Answer(_rendered())


@cache
def _rendered() -> bytes:
    return msgspec.json.encode(document())


def document() -> Json:
    """Return the OpenAPI 3.1 document as plain values."""
    (page, facets, user, metadata, health, readiness, *sent), schemas = msgspec.json.schema_components(
        (wire.ModelPage, FacetsAnswer, User, Metadata, Health, Readiness, *transfers.TYPES),
        ref_template="#/components/schemas/{name}",
    )
    # Lists where Python has tuples, as JSON has.
    schemas = msgspec.json.decode(msgspec.json.encode(schemas))
    schemas["Error"] = error_schema()
    moved = transfers.paths(sent)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelyard",
            "version": __version__,
            "description": "A catalogue of generative-image models: one query over public and private ones.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": {
            **moved,
            "/v3/model": {"get": _listing(page), **moved["/v3/model"]},
            "/v3/model/facets": {"get": _facets(facets)},
            "/v3/user": {"get": operation("getUser", "Who the key belongs to", user, ACCOUNT_ERRORS)},
            "/v3/metadata": {"get": operation("getMetadata", "The catalogue's words", metadata, ACCOUNT_ERRORS)},
            "/healthz": {"get": open_operation("getHealth", "Whether the process is alive", health, ())},
            "/readyz": {
                "get": open_operation(
                    "getReadiness",
                    "Whether the process takes requests",
                    readiness,
                    (errors.Unavailable("starting or stopping"),),
                )
            },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "The key alone, as the vendor's JavaScript SDK sends it.",
                },
            },
        },
    }


def _listing(page: Json) -> Json:
    described = operation("getModels", "Get Model", page, LISTING_ERRORS)
    described["description"] = (
        "Returns models, the most popular first. All filters act together, and before paging: a page is short only "
        "when nothing is left. An empty value is the same as none. A parameter that does not exist is ignored, and "
        f"named in `{wire.IGNORED_HEADER}`."
    )
    described["parameters"] = [*map(_parameter, wire.PARAMETERS), *REQUEST_HEADERS]
    answer = described["responses"]["200"]
    answer["headers"] = _ANSWER_HEADERS
    answer["content"]["application/json"]["example"] = example_page()
    described["responses"] |= responses((_NOT_HERE_YET,))
    described["responses"]["304"] = {"description": "The answer with this `ETag` still holds."}
    return described


def _facets(schema: Json) -> Json:
    described = operation("getFacets", "Count models by their properties", schema, LISTING_ERRORS)
    described["description"] = (
        "Returns how many models match in all, by type, source and base model, and the most frequent tags. The same "
        "parameters filter; those of `pagination` have no effect."
    )
    described["parameters"] = [*map(_parameter, wire.PARAMETERS), STRICT_HEADER]
    return described


def example_page() -> Json:
    """Return a page of one model, as the server renders it."""
    body = wire.render_page([wire.render_record(EXAMPLE_MODEL)], None, lambda _sha256, _label: "")
    page: Json = msgspec.json.decode(body)
    page["pagination"]["next_cursor"] = wire.format_cursor(EXAMPLE_MODEL.position)
    return page


def _parameter(parameter: wire.Parameter) -> Json:
    described: Json = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.meaning,
        "required": False,
        "allowEmptyValue": True,
        "schema": dict(parameter.schema),
        "example": [parameter.example] if parameter.many else _typed(parameter),
    }
    if parameter.many:
        described |= {"style": "form", "explode": True}
    return described


def _typed(parameter: wire.Parameter) -> object:
    match parameter.schema["type"]:
        case "boolean":
            return parameter.example == "true"
        case "integer":
            return int(parameter.example)
        case _:
            return parameter.example
