"""``POST /v3/model`` with a source, and ``GET`` and ``DELETE /v3/model/fetches``: files that the server fetches.

Everything here runs in threads, because it asks the database. A caller sees the fetches of its team only.
"""

import contextlib
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.facts import format_date
from modelyard.fetches import Fetches
from modelyard.fetches.fetches import FetchRequest, describe_state
from modelyard.fetches.sources import (
    Source,
    VersionSource,
    describe_source,
    parse_air_source,
    parse_hub_source,
    parse_url_source,
)
from modelyard.outbound import AddressPolicy
from modelyard.registry.models import writing_team
from modelyard.store import Store
from modelyard.store.fetches import Fetch
from modelyard.uploads.uploads import Uploads
from modelyard.web.api.edit_models import ModelEndpoints
from modelyard.web.api.presigned_uploads import sha256_of
from modelyard.web.bodies import decode_json
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response

PATH = "/v3/model/fetches"
SOURCES = ("source_url", "air", "hub", "version_id")
_PRIORITY_MAX = 9
_UPLOAD_ID = re.compile("[0-9a-f]{32}")
_encode = msgspec.json.Encoder().encode


class _Sources(msgspec.Struct, frozen=True):
    source_url: Any = None
    air: Any = None
    hub: Any = None
    version_id: Any = None


class NewFetch(msgspec.Struct, frozen=True):
    """A model whose file the server fetches, from one of four sources. All other fields are optional."""

    source_url: str = ""
    air: str = ""
    hub: str = ""
    version_id: Annotated[int, msgspec.Meta(ge=1, lt=10**15)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=_PRIORITY_MAX)] = 0
    name: str = ""
    file_extension: str = ""
    title: str = ""
    description: str = ""
    trigger_words: tuple[str, ...] = ()
    type_name: str = ""
    category_id: int | str = ""
    base_model: str = ""
    base_model_type: str = ""
    is_nsfw: bool | None = None
    visibility: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    cover_url: str = ""
    file_sha256: str = ""


class FetchRecord(msgspec.Struct, frozen=True):
    """A fetch. ``state`` is waiting, receiving, verifying, done, failed or cancelled."""

    id: str
    source: str
    model_id: int
    state: str
    problem: str
    received_bytes: int
    size_bytes: int | None
    created_at: str
    finished_at: str | None


class FetchList(msgspec.Struct, frozen=True):
    """The fetches of a team, the newest first."""

    fetches: list[FetchRecord]


@dataclass(frozen=True, slots=True)
class FetchEndpoints:
    """The handlers of the routes."""

    models: ModelEndpoints
    fetches: Fetches

    def register(self, request: Request, body: bytes) -> Response:
        """Ask for the file of a model, if the body names a source; else make the model of an announced file."""
        sources = _Sources()
        with contextlib.suppress(errors.InvalidValue):  # the model's own reader says what is wrong
            sources = decode_json(body, _Sources)
        if all(getattr(sources, name) is None for name in SOURCES):
            return self.models.register(request, body)
        viewer = self.models.caller_of(request)
        fetch, entry = self.fetches.add(_parse_request(viewer, decode_json(body, NewFetch)))
        response = self.models.response_with(request, entry)
        location = (b"location", f"{PATH}?id={fetch.id}".encode())
        return replace(response, status=202, headers=(*response.headers, location))

    def get(self, request: Request) -> Response:
        """Return the fetches of the caller's team, or the one that the query names."""
        team = writing_team(self.models.caller_of(request))
        fetch_id = _read_id(request)
        fetches = self.fetches.list(team) if fetch_id is None else [self.fetches.get(team, fetch_id)]
        return Response(_encode(FetchList([make_record(fetch) for fetch in fetches])), caching=UNSTORED)

    def cancel(self, request: Request, _: bytes) -> Response:
        """Cancel a fetch of the caller's team."""
        fetch_id = _read_id(request)
        if fetch_id is None:
            raise errors.InvalidParameter("id", "", "the id of a fetch")
        self.fetches.cancel(writing_team(self.models.caller_of(request)), fetch_id)
        return Response(b"{}", caching=UNSTORED)


def open_fetches(store: Store, models: ModelEndpoints, uploads: Uploads, policy: AddressPolicy) -> FetchEndpoints:
    """Return the handlers over an open store."""
    open_max = uploads.limits.team_open_uploads_max
    return FetchEndpoints(models, Fetches(store, uploads.blobs, uploads.incoming, policy, open_max=open_max))


def make_record(fetch: Fetch) -> FetchRecord:
    """Return a fetch as the API says it. No source shows the query of its URL, which may be secret."""
    return FetchRecord(
        fetch.id,
        describe_source(fetch.source),
        fetch.model_id,
        describe_state(fetch),
        fetch.problem,
        fetch.received_bytes,
        fetch.size_bytes,
        format_date(fetch.created_at),
        None if fetch.finished_at is None else format_date(fetch.finished_at),
    )


def _parse_request(viewer: Viewer, new: NewFetch) -> FetchRequest:
    team = writing_team(viewer)
    names = (name for name in NewFetch.__struct_fields__ if name not in SOURCES and getattr(new, name))
    metadata = {name: str(getattr(new, name)) for name in names}
    if new.is_nsfw is not None:
        metadata["is_nsfw"] = "1" if new.is_nsfw else "0"
    metadata |= {"tags": ",".join(new.tags), "trigger_words": "".join(f"{word}\n" for word in new.trigger_words)}
    sha256 = sha256_of("file_sha256", new.file_sha256) if new.file_sha256 else None
    source = _parse_source(new)
    return FetchRequest(
        source,
        team,
        metadata,
        new.version_id is not None,
        new.priority,
        sha256=sha256,
        key_fingerprint=viewer.key_fingerprint,
    )


def _parse_source(new: NewFetch) -> Source:
    names = [name for name in SOURCES if getattr(new, name)]
    if len(names) != 1:
        raise errors.InvalidValue(f"accepted: one of {', '.join(SOURCES)} in a request", field=(names or SOURCES)[0])
    if new.version_id is not None:
        return VersionSource(new.version_id)
    if new.air:
        return parse_air_source(new.air)
    return parse_hub_source(new.hub) if new.hub else parse_url_source(new.source_url)


def _read_id(request: Request) -> str | None:
    values = parse_qs(request.query_string[:1024].decode("latin-1")).get("id", [])
    if len(values) > 1 or not all(map(_UPLOAD_ID.fullmatch, values)):
        raise errors.InvalidParameter("id", ",".join(values), "the id of a fetch")
    return values[0] if values else None
