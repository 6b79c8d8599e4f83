"""``POST``, ``PATCH`` and ``DELETE /v3/model``.

The requests have the shape of the vendor's console. Fields that the vendor does not have are ours. Everything here runs
in threads, because it asks the database.
"""

from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import msgspec

from modelyard import errors, wire
from modelyard.domain import COVERS
from modelyard.facts import Entry
from modelyard.registry.changes import Change, edit_of
from modelyard.registry.models import Models
from modelyard.registry.names import fallback_name
from modelyard.web.api.presigned_uploads import sha256_of
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response
from modelyard.web.urls import BaseOf, LinksFor


class NewModel(msgspec.Struct, frozen=True):
    """A model whose file was announced. ``category_id`` may be a number or its digits, as consoles send both."""

    name: str
    file_extension: str
    title: str = ""
    description: str = ""
    trigger_words: tuple[str, ...] = ()
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


@dataclass(frozen=True, slots=True)
class ModelEndpoints:
    """The handlers of the routes."""

    models: Models
    caller_of: ViewerOf
    base_of: BaseOf
    links_for: LinksFor
    ttl_seconds: int

    def register(self, request: Request, body: bytes) -> Response:
        """Make a model of an announced file, and return it. Its status is 0 until its file is verified."""
        viewer = self.caller_of(request)
        model = decode_json(body, NewModel)
        declared = {name: str(getattr(model, name)) for name in NewModel.__struct_fields__}
        declared["is_nsfw"] = "1" if model.is_nsfw else "0"
        declared["tags"] = ",".join(model.tags)
        # A trigger word may have commas.
        declared["trigger_words"] = "".join(word.replace("\n", "\r") + "\n" for word in model.trigger_words)
        sha256 = sha256_of("file_sha256", model.file_sha256) if model.file_sha256 else None
        entry = self.models.register(viewer, declared, sha256)
        return self._named_response(request, entry, model.name)

    def change(self, request: Request, body: bytes) -> Response:
        """Change a model of the caller's team, and return the changed model."""
        viewer = self.caller_of(request)
        change = decode_json(body, Change)
        base = self.base_of(request)
        if isinstance(change.cover_url, str) and change.cover_url.startswith(base + COVERS):
            # The client sends back the cover URL that it got from this server.
            change = msgspec.structs.replace(change, cover_url=change.cover_url.removeprefix(base))
        entry = self.models.edit(viewer, id_of(request), edit_of(change))
        return self._named_response(request, entry, change.name)

    def remove(self, request: Request, _: bytes) -> Response:
        """Remove a model of the caller's team."""
        self.models.remove(self.caller_of(request), id_of(request))
        return Response(b"{}", caching=UNSTORED)

    def _named_response(self, request: Request, entry: Entry, name: object) -> Response:
        """Return the response with one model, and say if its name is not the one that was sent."""
        response = self.response_with(request, entry)
        if not isinstance(name, str) or name == entry.model.name:
            return response
        value = b"fallback" if entry.model.name == fallback_name(entry.model.id) else b"transliterated"
        return replace(response, headers=(*response.headers, (wire.NAME_HEADER.lower().encode(), value)))

    def response_with(self, request: Request, entry: Entry) -> Response:
        """Return the response with one model."""
        return Response(self._record(request, entry), caching=UNSTORED)

    def _record(self, request: Request, entry: Entry) -> bytes:
        rendered = wire.render_record(entry.model, self.ttl_seconds)
        return wire.fill_holes(rendered, self.links_for(request), self.base_of(request))


def id_of(request: Request) -> int:
    """Return the id of the model in the query string. Raises InvalidParameter."""
    ids = parse_qs(request.query_string[:1024].decode("latin-1")).get("id", [""])
    if len(ids) != 1 or not (ids[0].isascii() and ids[0].isdigit() and len(ids[0]) <= 18):
        raise errors.InvalidParameter("id", ",".join(ids), "a model's id, decimal digits")
    return int(ids[0])
