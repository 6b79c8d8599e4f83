"""Models on the wire: the JSON of a model and of a page.

A rendered record is JSON with *holes*. A hole stands for a value that depends on the request: a signed link, or the
server's own address. It is written ``\\x01 key \\x02``. JSON text has no raw control characters, so no content looks
like a hole. The server sends a page without holes exactly as the index holds it, but for the parts that
``packed_records`` leaves out.

    {"id":1,…,"status":1,␁d<sha256>/<percent-encoded label>␂"tags":[…],"cover_url":"␁b␂/covers/…",…}
"""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from modelyard.domain import (
    COVERS,
    Model,
    Position,
    SortPosition,
)
from modelyard.wire.cursors import format_cursor
from modelyard.wire.packed_records import pack, unpack

TTL_DEFAULT_SECONDS = 86_400


# Increase it when ``render_record`` or ``render_summary`` returns another text for a model: stored texts are then
# rendered again.
RENDERING = 2


class TypeRecord(msgspec.Struct, frozen=True):
    """A model's type."""

    name: str
    display_name: str


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model of an answer, with the keys in the document's order. No field is null; download_url may be absent."""

    id: int
    name: str
    hash_sha256: str
    sd_name: str
    type: TypeRecord
    categories: Sequence[str]
    status: int
    download_url: str | msgspec.UnsetType = msgspec.UNSET
    tags: Sequence[str]
    cover_url: str
    source: str
    base_model: str
    base_model_type: str
    download_url_ttl: int
    sd_name_in_api: str
    is_sdxl: bool
    is_nsfw: bool
    visibility: str


class Pagination(msgspec.Struct, frozen=True):
    """Where the next page starts; empty at the end."""

    next_cursor: str


class ModelPage(msgspec.Struct, frozen=True):
    """The answer of ``GET /v3/model``."""

    models: Sequence[ModelRecord]
    pagination: Pagination


class HashMatches(msgspec.Struct, frozen=True):
    """The answer of ``POST /v3/model/by-hash``: the ids of the models that have each hash, and the models."""

    matches: dict[str, list[int]]
    models: Sequence[ModelRecord]


class Count(msgspec.Struct, frozen=True):
    """How many matches have a value."""

    name: str
    count: int


class FacetsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the matches divide, the most frequent value first; base models and tags as filters compare them.

    ``estimated`` is sent only if it is true: counting all takes too much work, and each number is a lower bound.
    """

    total: int
    types: list[Count]
    sources: list[Count]
    base_models: list[Count]
    tags: list[Count]
    estimated: bool = False


_encode = msgspec.json.Encoder().encode


# The documentation shows these beside the fields.
FIELD_MEANINGS: Mapping[str, str] = {
    "id": "the id of the model version at Civitai; ids of this server begin at 1 000 000 000 and stay below 2^31",
    "name": "the version's name",
    "hash_sha256": "the first ten digits of the file's SHA-256; empty if unknown",
    "sd_name": "the file's name; no two models that a caller can see share it",
    "type": "`name`, in lower case, is the value for filters; `display_name` is for people",
    "categories": "",
    "status": "1: the model can be used; 0: it cannot be used yet, or not any more",
    "download_url": "absent if this server cannot give the file to this caller",
    "tags": "",
    "cover_url": "empty if the model has no cover",
    "source": "`civitai`, `training` or `uploading`",
    "base_model": "in the spelling of the model's source",
    "base_model_type": "empty if unknown",
    "download_url_ttl": "how many seconds a download link is valid",
    "sd_name_in_api": "the name for generation calls; LoRAs and textual inversions have no extension here",
    "is_sdxl": "true for models of the SDXL architecture",
    "is_nsfw": "",
    "visibility": "`public` or `private`",
}


def render_record(model: Model, ttl_seconds: int = TTL_DEFAULT_SECONDS) -> bytes:
    """Return the model's JSON object, with a hole for the link if this server has the file."""
    record = _encode(
        ModelRecord(
            id=model.id,
            name=model.name,
            hash_sha256=model.hashes.short,
            sd_name=model.sd_name,
            type=TypeRecord(model.type.name, model.type.display_name),
            categories=model.categories,
            status=int(model.status),
            tags=model.tags,
            cover_url=model.cover_url,
            source=model.source.value,
            base_model=model.base_model,
            base_model_type=model.base_model_type,
            download_url_ttl=ttl_seconds,
            sd_name_in_api=model.sd_name_in_api,
            is_sdxl=model.is_sdxl,
            is_nsfw=model.is_nsfw,
            visibility=model.visibility.value,
        )
    )
    if model.cover_url.startswith(COVERS):
        # A quote inside a JSON string is escaped, so such a key cannot occur inside a value.
        record = record.replace(b'"cover_url":"', b'"cover_url":"' + _BASE_HOLE, 1)
    if model.blob is None or not model.status:
        return record
    hole = f"\x01d{model.blob}/{quote(model.sd_name, safe='')}\x02".encode()
    return record.replace(b'"tags":', hole + b'"tags":', 1)


def pack_record(model: Model, ttl_seconds: int = TTL_DEFAULT_SECONDS) -> bytes:
    """Return the model's JSON object as the index holds it. ``join_page`` and ``fill_holes`` put its parts back."""
    return pack(render_record(model, ttl_seconds))


def render_page(
    records: Sequence[bytes],
    following: Position | SortPosition | None,
    link_for: Callable[[str, str], str],
    base: str = "",
) -> bytes:
    """Return the answer's body. ``link_for(sha256, quoted label)`` returns a download link, or "" for none.

    Addresses of this server begin with ``base``; if it is empty, they are paths.
    """
    body = join_page(records, following)
    return fill_holes(body, link_for, base) if has_holes(body) else body


def join_page(records: Sequence[bytes], following: Position | SortPosition | None) -> bytes:
    """Return the answer's body, with the holes of its records."""
    cursor = format_cursor(following) if following else ""
    return b'{"models":[%b],"pagination":{"next_cursor":"%b"}}' % (unpack(b",".join(records)), cursor.encode())


def join_matches(ids_by_hash: Mapping[str, Sequence[int]], records: Sequence[bytes]) -> bytes:
    """Return the answer to a request for many hashes. ``fill_holes`` completes it, as an answer of ``join_needs``."""
    return b'{"matches":%b,"models":[%b]}' % (_encode(ids_by_hash), b",".join(records))


def has_holes(rendered: bytes) -> bool:
    """Whether the text has holes."""
    return b"\x01" in rendered


_BASE_HOLE = b"\x01b\x02"


_HOLE = re.compile(rb"\x01d([0-9a-f]{64})/([^\x02]*)\x02")


def fill_holes(rendered: bytes, link_for: Callable[[str, str], str], base: str = "") -> bytes:
    """Replace every hole by its value, or by nothing if this caller gets no link. Packed records get their parts."""

    def member(hole: re.Match[bytes]) -> bytes:
        link = link_for(hole[1].decode(), hole[2].decode())
        return b'"download_url":' + _encode(link) + b"," if link else b""

    rendered = unpack(rendered)
    # Searching for one byte is fifty times as fast as for three, and most bodies have no hole.
    if has_holes(rendered):
        rendered = rendered.replace(_BASE_HOLE, _encode(base)[1:-1])
    return _HOLE.sub(member, rendered) if has_holes(rendered) else rendered
