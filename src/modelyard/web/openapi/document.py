"""The OpenAPI document at ``/openapi.json``: ``document.yaml``, and the parts that the code knows.

The code adds the version, the filters, the schemas of requests and responses, and the examples of errors and of a page.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from modelyard import __version__, domain, errors, wire
from modelyard.registry.changes import Change
from modelyard.web.api.account import Metadata, User
from modelyard.web.api.edit_models import NewModel
from modelyard.web.api.fetches import FetchList, NewFetch
from modelyard.web.api.health import Health, Readiness
from modelyard.web.api.presigned_uploads import Announcement, UploadUrl
from modelyard.web.api.sends import NewSend, SendList
from modelyard.web.api.webhooks import DeliveryList, NewWebhookBody, WebhookList
from modelyard.web.comfyui.channel import ChannelAnswer
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.wire.audit import AuditPage
from modelyard.wire.details import DetailsRecord

Json = dict[str, Any]

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
_TYPES = (
    wire.ModelPage,
    wire.FacetsAnswer,
    wire.HashMatches,
    wire.NeedsAnswer,
    ChannelAnswer,
    DetailsRecord,
    User,
    Metadata,
    Health,
    Readiness,
    wire.ModelRecord,
    Announcement,
    UploadUrl,
    NewModel,
    NewFetch,
    FetchList,
    NewSend,
    SendList,
    Change,
    NewWebhookBody,
    WebhookList,
    DeliveryList,
    AuditPage,
)


def get_openapi(_: Request) -> Response:
    """Return the document."""
    return Response(_rendered())


@cache
def _rendered() -> bytes:
    return msgspec.json.encode(document())


@cache
def _source() -> Json:
    text = (files("modelyard.web.openapi") / "document.yaml").read_text(encoding="utf-8")
    source: Json = yaml.safe_load(text)
    return source


def document() -> Json:
    """Return the OpenAPI 3.1 document as plain values."""
    result = {name: value for name, value in deepcopy(_source()).items() if not name.startswith("x-")}
    result["info"]["version"] = __version__
    for operation in (operation for methods in result["paths"].values() for operation in methods.values()):
        operation["responses"] = operation["responses"] | _error_responses(_errors(operation.pop("x-errors", ())))
    models, facets = (result["paths"][path]["get"] for path in ("/v3/model", "/v3/model/facets"))
    for operation in (models, facets):
        operation["parameters"] = [*map(_parameter, wire.PARAMETERS), *operation["parameters"]]
    models["responses"]["200"]["content"]["application/json"]["example"] = example_page()
    schemas = result["components"]["schemas"]
    _, generated = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    # Lists where Python has tuples, as JSON has.
    result["components"]["schemas"] = msgspec.json.decode(msgspec.json.encode(generated)) | schemas
    reasons = dict.fromkeys(reason for _, reason in wire.ERROR_ANSWERS.values())
    schemas["Error"]["properties"]["reason"]["enum"] = list(reasons)
    return result


def listing_errors() -> list[errors.ModelyardError]:
    """Return the errors that a request for models may be answered by."""
    return list(_errors(["listing"]))


def request_headers() -> list[Json]:
    """Return the headers that a request for models may have."""
    headers: list[Json] = _source()["paths"]["/v3/model"]["get"]["parameters"]
    return headers


def example_page() -> Json:
    """Return a page of one model, as the server renders it."""
    body = wire.render_page([wire.render_record(EXAMPLE_MODEL)], None, lambda _sha256, _label: "")
    page: Json = msgspec.json.decode(body)
    page["pagination"]["next_cursor"] = wire.format_cursor(EXAMPLE_MODEL.position)
    return page


def _errors(names: Iterable[str]) -> Iterator[errors.ModelyardError]:
    """Yield the errors of these names; the name of a group stands for the errors of the group."""
    source = _source()
    for name in names:
        if name in source["x-error-groups"]:
            yield from _errors(source["x-error-groups"][name])
            continue
        class_name, *arguments = source["x-errors"][name]
        facts = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        error: errors.ModelyardError = getattr(errors, class_name)(*arguments, **facts)
        yield error


def _error_responses(examples: Iterable[errors.ModelyardError]) -> Json:
    """Return the responses for errors, by status, each with an error as the server renders it."""
    responses: dict[str, Json] = {}
    for error in examples:
        rendered = wire.render_error(error)
        body = msgspec.json.decode(rendered.body)
        content: Json = {"schema": {"$ref": "#/components/schemas/Error"}, "examples": {}}
        response = responses.setdefault(str(rendered.status), {"content": {"application/json": content}})
        if rendered.headers:
            response["headers"] = {name: {"schema": {"type": "string"}} for name, _ in rendered.headers}
        by_reason = response["content"]["application/json"]["examples"]
        by_reason[body["reason"]] = {"value": body}
        response["description"] = ", ".join(f"`{reason}`" for reason in by_reason)
    return responses


def _parameter(parameter: wire.Parameter) -> Json:
    result: Json = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.meaning,
        "required": False,
        "allowEmptyValue": True,
        "schema": dict(parameter.schema),
        "example": [parameter.example] if parameter.many else _typed(parameter),
    }
    if parameter.many:
        result |= {"style": "form", "explode": True}
    return result


def _typed(parameter: wire.Parameter) -> object:
    match parameter.schema["type"]:
        case "boolean":
            return parameter.example == "true"
        case "integer":
            return int(parameter.example)
        case _:
            return parameter.example
