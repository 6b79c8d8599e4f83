"""The tools: each is a request to the API with the caller's key, and a short answer.

What a caller may see and do is decided by the API, as for every other client.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import msgspec

from modelyard import errors
from modelyard.domain import Scope
from modelyard.web.mcp.texts import LIST_MAX, TEXT_CHARS_MAX, clean_line, clean_lines

ROWS_MAX = 20
WORKFLOW_CHARS_MAX = 2_000_000
Json = dict[str, Any]
_Rows = Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=200)]
_LongText = Annotated[str, msgspec.Meta(max_length=20_000)]
_Texts = Annotated[list[_Text], msgspec.Meta(max_length=100)]


class Search(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of a search."""

    query: Annotated[str, msgspec.Meta(max_length=200, description="words of titles, tags, creators or files")] = ""
    type: Annotated[str, msgspec.Meta(max_length=50, description="such as lora, checkpoint or vae")] = ""
    base_model: Annotated[str, msgspec.Meta(max_length=100, description="such as SDXL 1.0")] = ""
    limit: _Rows = 10


class Facets(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of a count."""

    query: _Text = ""


class OneModel(msgspec.Struct, forbid_unknown_fields=True):
    """One model."""

    id: _Id


class Workflow(msgspec.Struct, forbid_unknown_fields=True):
    """A workflow."""

    workflow: Annotated[
        str, msgspec.Meta(max_length=WORKFLOW_CHARS_MAX, description="the workflow of ComfyUI as JSON, or parameters")
    ]


class Update(msgspec.Struct, forbid_unknown_fields=True):
    """New values of a model's fields; a field that is absent stays as it is."""

    id: _Id
    name: _Text | msgspec.UnsetType = msgspec.UNSET
    title: _Text | msgspec.UnsetType = msgspec.UNSET
    description: _LongText | msgspec.UnsetType = msgspec.UNSET
    trigger_words: _Texts | msgspec.UnsetType = msgspec.UNSET
    tags: _Texts | msgspec.UnsetType = msgspec.UNSET
    base_model: _Text | msgspec.UnsetType = msgspec.UNSET
    is_nsfw: bool | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. ``scope`` is what the caller's key needs."""

    name: str
    description: str
    parameters: type[msgspec.Struct]
    run: Callable[[httpx2.AsyncClient, Any], Awaitable[Json]]
    scope: Scope = Scope.READ


async def search_models(api: httpx2.AsyncClient, parameters: Search) -> Json:
    """Return models that match, the best first."""
    filters = {
        "filter.search": parameters.query,
        "filter.types": parameters.type,
        "filter.base_model": parameters.base_model,
        "pagination.limit": str(parameters.limit),
    }
    page = await _ask(api, "GET", "/v3/model", params={name: value for name, value in filters.items() if value})
    return {"models": [_row(model) for model in page["models"]], "more": bool(page["pagination"]["next_cursor"])}


async def get_model(api: httpx2.AsyncClient, parameters: OneModel) -> Json:
    """Return what is known of a model."""
    details = await _ask(api, "GET", "/v3/model/details", params={"id": str(parameters.id)})
    licence = details.get("licence") or {}
    return {
        **_row(details["model"]),
        "title": clean_line(details["title"]),
        "creator": clean_line(details["creator"]),
        "description": clean_line(details["description"], TEXT_CHARS_MAX),
        "trigger_words": clean_lines(details["trigger_words"]),
        "licence": clean_line(licence.get("name") or licence.get("id")),
        "size_bytes": details["size_bytes"],
        "published_at": details["published_at"],
    }


async def resolve_workflow(api: httpx2.AsyncClient, parameters: Workflow) -> Json:
    """Return which models a workflow needs, and which of them are here."""
    answer = await _ask(api, "POST", "/v3/model/resolve", content=parameters.workflow.encode())
    needs = answer["wanted"][:ROWS_MAX]
    return {
        "found": answer["found"],
        "missing": answer["missing"],
        "wanted": [
            {
                "name": clean_line(need["name"]),
                "how": need["how"],
                "models": [_row(model) for model in need["models"][:1]],
            }
            for need in needs
        ],
        "more": len(answer["wanted"]) > len(needs),
    }


async def list_facets(api: httpx2.AsyncClient, parameters: Facets) -> Json:
    """Return how the models that match divide."""
    filters = {"filter.search": parameters.query} if parameters.query else {}
    answer = await _ask(api, "GET", "/v3/model/facets", params=filters)
    counts = {
        name: [{"name": clean_line(count["name"]), "count": count["count"]} for count in answer[name][:ROWS_MAX]]
        for name in ("types", "sources", "base_models", "tags")
    }
    return {"total": answer["total"], **counts}


async def download_link(api: httpx2.AsyncClient, parameters: OneModel) -> Json:
    """Return a link to a model's file."""
    model = await _find(api, parameters.id)
    link = model.get("download_url")
    if not link:
        raise errors.NotFound(f"the server has no file of model {parameters.id} for this key", model=parameters.id)
    return {
        "id": parameters.id,
        "file_name": clean_line(model["sd_name"]),
        "url": link,
        "valid_seconds": model["download_url_ttl"],
    }


async def update_model(api: httpx2.AsyncClient, parameters: Update) -> Json:
    """Change fields of a model of the key's team."""
    changes = {name: value for name, value in msgspec.to_builtins(parameters).items() if name != "id"}
    if not changes:
        raise errors.InvalidRequest("give at least one field besides id")
    return _row(await _ask(api, "PATCH", "/v3/model", params={"id": str(parameters.id)}, json=changes))


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("search_models", "Search models by words, type and base model.", Search, search_models),
        Tool("get_model", "Show what is known of one model.", OneModel, get_model),
        Tool(
            "resolve_workflow", "List the models that a workflow needs, and which are here.", Workflow, resolve_workflow
        ),
        Tool("list_facets", "Count models by type, source, base model and tag.", Facets, list_facets),
        Tool(
            "download_link", "Get a temporary link to a model's file. It works without a key.", OneModel, download_link
        ),
        Tool("update_model", "Change fields of a model of your team.", Update, update_model, Scope.WRITE),
    )
}


async def scopes_of(api: httpx2.AsyncClient) -> frozenset[Scope]:
    """Return what the caller's key allows."""
    scopes = frozenset(Scope(scope) for scope in (await _ask(api, "GET", "/v3/user")).get("scopes", ()))
    return frozenset(Scope) if Scope.ADMIN in scopes else scopes


async def _find(api: httpx2.AsyncClient, model_id: int) -> Json:
    page = await _ask(api, "GET", "/v3/model", params={"filter.model_version_id": str(model_id)})
    for model in page["models"]:
        result: Json = model
        return result
    raise errors.ModelNotFound(str(model_id))


def _row(model: Json) -> Json:
    return {
        "id": model["id"],
        "name": clean_line(model["name"]),
        "file_name": clean_line(model["sd_name"]),
        "type": clean_line(model["type"]["name"]),
        "base_model": clean_line(model["base_model"]),
        "tags": clean_lines(model["tags"][:LIST_MAX]),
        "visibility": model["visibility"],
        "is_available": model["status"] == 1,
    }


async def _ask(api: httpx2.AsyncClient, method: str, path: str, **options: Any) -> Json:
    """Return the body of an answer. Raises ModelyardError with the API's own message."""
    try:
        answer = await api.request(method, path, **options)
    except httpx2.TransportError as problem:
        raise errors.Unavailable(f"the server cannot be reached: {problem}") from problem
    try:
        body: Json = msgspec.json.decode(answer.content)
        if answer.status_code >= 300:
            raise errors.ModelyardError(clean_line(body["message"], TEXT_CHARS_MAX))
    except (msgspec.MsgspecError, KeyError, TypeError) as problem:
        raise errors.ModelyardError(f"the server answered {answer.status_code}, and not as Modelyard does") from problem
    return body
