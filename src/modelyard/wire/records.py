"""Models on the wire: the JSON of a model and of a page."""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from modelyard.domain import (
    COVERS,
    Model,
    Position,
)
from modelyard.wire.parameters import format_cursor

TTL_DEFAULT_SECONDS = 86_400


# Raised whenever ``render_record`` answers another text for the same model; rendered records of before are made anew.
RENDERING = 1


class TypeRecord(msgspec.Struct, frozen=True):
    """A model's type."""

    name: str
    display_name: str


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model as answered, keys in the document's order. No field is ever null; download_url may be absent."""

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


_encode = msgspec.json.Encoder().encode


# What stands beside a field in the documentation, where its name does not say it.
FIELD_MEANINGS: Mapping[str, str] = {
    "id": "the model version's id at Civitai; ours begin at 1 000 000 000 and stay below 2^31",
    "name": "the version's name",
    "hash_sha256": "the first ten digits of the file's SHA-256; empty if unknown",
    "sd_name": "the file's name, unique among what a caller can see",
    "type": "`name`, lower case, to filter by, and `display_name`",
    "categories": "",
    "status": "1: can be used; 0: not yet, or no longer",
    "download_url": "only where this server can hand the file out to this caller",
    "tags": "",
    "cover_url": "empty if there is none",
    "source": "`civitai`, `training` or `uploading`",
    "base_model": "as its source spells it",
    "base_model_type": "empty if unknown",
    "download_url_ttl": "how many seconds a download link is good for",
    "sd_name_in_api": "what generation calls take: without the extension for LoRAs and textual inversions",
    "is_sdxl": "of the SDXL architecture",
    "is_nsfw": "",
    "visibility": "`public` or `private`",
}


def render_record(model: Model, ttl_seconds: int = TTL_DEFAULT_SECONDS) -> bytes:
    """Return the model's JSON object, with a hole for the link where this server holds the file."""
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


def render_page(
    records: Sequence[bytes], following: Position | None, link_for: Callable[[str, str], str], base: str = ""
) -> bytes:
    """Return the answer's body. ``link_for(sha256, quoted label)`` gives a download link, or "" for none.

    ``base`` is what addresses of this server begin with; without it they are paths.
    """
    body = join_page(records, following)
    return fill_holes(body, link_for, base) if has_holes(body) else body


def join_page(records: Sequence[bytes], following: Position | None) -> bytes:
    """Return the answer's body with the holes that its records have."""
    cursor = format_cursor(following) if following else ""
    return b'{"models":[%b],"pagination":{"next_cursor":"%b"}}' % (b",".join(records), cursor.encode())


def has_holes(rendered: bytes) -> bool:
    """Whether something is left for a request to fill in."""
    return b"\x01" in rendered


_BASE_HOLE = b"\x01b\x02"


_HOLE = re.compile(rb"\x01d([0-9a-f]{64})/([^\x02]*)\x02")


def fill_holes(rendered: bytes, link_for: Callable[[str, str], str], base: str = "") -> bytes:
    """Replace every hole by what it stands for, or by nothing where there is no link for this caller."""

    def member(hole: re.Match[bytes]) -> bytes:
        link = link_for(hole[1].decode(), hole[2].decode())
        return b'"download_url":' + _encode(link) + b"," if link else b""

    # One byte is found fifty times as fast as three, and most bodies have neither hole.
    if has_holes(rendered):
        rendered = rendered.replace(_BASE_HOLE, _encode(base)[1:-1])
    return _HOLE.sub(member, rendered) if has_holes(rendered) else rendered
