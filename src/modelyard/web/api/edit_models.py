"""``POST``, ``PATCH`` and ``DELETE /v3/model``, and ``GET /v3/model/details``.

The requests have the shape of the vendor's console. Fields that the vendor does not have are ours. Everything here runs
in threads, because it asks the database.
"""

from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import COVERS, Scope, Status, Verdict, model_type
from modelyard.facts import Entry, Facts, Layer
from modelyard.registry.fields import (
    checked_categories,
    checked_cover,
    checked_name,
    checked_word,
    read_category,
    read_tags,
    read_visibility,
)
from modelyard.registry.models import Edit, Models
from modelyard.web.api.presigned_uploads import sha256_of
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response
from modelyard.web.urls import BaseOf, LinksFor

_encode = msgspec.json.Encoder().encode


class NewModel(msgspec.Struct, frozen=True):
    """A model whose file was announced. ``category_id`` may be a number or its digits, as consoles send both."""

    name: str
    file_extension: str
    type_name: str = ""
    category_id: int | str = ""
    base_model: str = ""
    base_model_type: str = ""
    is_nsfw: bool = False
    visibility: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    cover_url: str = ""
    file_sha256: str = ""


class Change(msgspec.Struct, frozen=True):
    """The fields of a model that change. An absent field stays.

    A field that is null loses the value of its owner: the value of the file, or of an import, counts again.
    """

    name: str | msgspec.UnsetType | None = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    categories: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    category_id: int | str | msgspec.UnsetType = msgspec.UNSET
    type_name: str | msgspec.UnsetType | None = msgspec.UNSET
    base_model: str | msgspec.UnsetType | None = msgspec.UNSET
    base_model_type: str | msgspec.UnsetType | None = msgspec.UNSET
    cover_url: str | msgspec.UnsetType | None = msgspec.UNSET
    visibility: str | msgspec.UnsetType = msgspec.UNSET
    is_nsfw: bool | msgspec.UnsetType | None = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class ModelEndpoints:
    """The handlers of the routes."""

    models: Models
    catalog: Catalog
    caller_of: ViewerOf
    base_of: BaseOf
    links_for: LinksFor
    ttl_seconds: int

    def register(self, request: Request, body: bytes) -> Response:
        """Make a model of an announced file, and return it. Its status is 0 until its file is verified."""
        viewer = self.caller_of(request)
        model = decode_json(body, NewModel)
        declared = {name: str(getattr(model, name)) for name in NewModel.__struct_fields__ if name != "tags"}
        declared["is_nsfw"] = "1" if model.is_nsfw else "0"
        declared["tags"] = ",".join(model.tags)
        sha256 = sha256_of("file_sha256", model.file_sha256) if model.file_sha256 else None
        entry = self.models.register(viewer, declared, sha256)
        return self.response_with(request, entry)

    def change(self, request: Request, body: bytes) -> Response:
        """Change a model of the caller's team, and return the changed model."""
        viewer = self.caller_of(request)
        change = decode_json(body, Change)
        base = self.base_of(request)
        if isinstance(change.cover_url, str) and change.cover_url.startswith(base + COVERS):
            # The client sends back the cover URL that it got from this server.
            change = msgspec.structs.replace(change, cover_url=change.cover_url.removeprefix(base))
        entry = self.models.edit(viewer, id_of(request), _edit_of(change))
        return self.response_with(request, entry)

    def remove(self, request: Request, _: bytes) -> Response:
        """Remove a model of the caller's team."""
        self.models.remove(self.caller_of(request), id_of(request))
        return Response(b"{}", caching=UNSTORED)

    def details(self, request: Request) -> Response:
        """Return a model with its declared and detected fields.

        Its owner also gets the result of the verification, and every caller does if the file is suspicious.
        """
        viewer = self.caller_of(request)
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        entry = self.catalog.get(viewer, id_of(request))
        is_own = viewer.team is not None and viewer.team == entry.model.team
        detected = entry.layers.get(Layer.HEADER)
        evidence = detected.evidence[0] if detected and detected.evidence else "waiting: not checked yet"
        verdict, _, reason = evidence.partition(": ")
        has_check = is_own or verdict == Verdict.SUSPICIOUS
        check = {"verdict": verdict, "reason": reason} if has_check else None
        body = {
            "model": msgspec.Raw(self._record(request, entry)),
            "check": check,
            "declared": _fields_of(entry.layers.get(Layer.USER)),
            "found": _fields_of(detected),
        }
        return Response(_encode(body))

    def response_with(self, request: Request, entry: Entry) -> Response:
        """Return the response with one model."""
        return Response(self._record(request, entry), caching=UNSTORED)

    def _record(self, request: Request, entry: Entry) -> bytes:
        rendered = wire.render_record(entry.model, self.ttl_seconds)
        return wire.fill_holes(rendered, self.links_for(request), self.base_of(request))


def _edit_of(change: Change) -> Edit:
    values = {name: value for name in Change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    if not values:
        raise errors.InvalidValue(
            f"nothing to change; accepted: {', '.join(Change.__struct_fields__)}", allowed=[*Change.__struct_fields__]
        )
    resets = ["type" if name == "type_name" else name for name, value in values.items() if value is None]
    values = {name: value for name, value in values.items() if value is not None}
    status = values.get("status")
    if status not in (None, 0, 1):
        raise errors.InvalidValue(f"status: {status} is not accepted; accepted: 0, 1", field="status", given=status)
    categories = values.get("categories")
    if "category_id" in values:
        categories = [*read_category(str(values["category_id"])), *(categories or [])]
    facts = Facts(
        name=checked_name(values["name"]) if "name" in values else None,
        type=model_type(checked_word("type_name", values["type_name"])) if values.get("type_name") else None,
        base_model=checked_word("base_model", values["base_model"]) if "base_model" in values else None,
        base_model_type=checked_word("base_model_type", values["base_model_type"])
        if "base_model_type" in values
        else None,
        is_nsfw=values.get("is_nsfw"),
        tags=read_tags(values["tags"]) if "tags" in values else None,
        categories=checked_categories(categories) if categories is not None else None,
        cover_url=checked_cover(values["cover_url"]) if "cover_url" in values else None,
    )
    return Edit(
        facts,
        read_visibility(values["visibility"]) if "visibility" in values else None,
        None if status is None else Status(status),
        resets,
    )


def id_of(request: Request) -> int:
    """Return the id of the model in the query string. Raises InvalidParameter."""
    ids = parse_qs(request.query_string[:1024].decode("latin-1")).get("id", [""])
    if len(ids) != 1 or not (ids[0].isascii() and ids[0].isdigit() and len(ids[0]) <= 18):
        raise errors.InvalidParameter("id", ",".join(ids), "a model's id, decimal digits")
    return int(ids[0])


def _fields_of(facts: Facts | None) -> dict[str, object]:
    if facts is None:
        return {}
    fields: dict[str, object] = msgspec.to_builtins(facts)
    return {name: value for name, value in fields.items() if value is not None}
