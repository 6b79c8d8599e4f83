"""The write side: ``POST /v3/model/uploader`` and its PUT, ``POST``, ``PATCH`` and ``DELETE /v3/model``, the details.

The forms are the vendor's, as its console sends them; what it does not have is ours. Everything here runs in threads:
it asks the database.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import COVERS, Entry, Facts, Layer, Scope, Status, Viewer, model_type
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
from modelyard.signing import Signature, Signer
from modelyard.uploads.uploads import Uploads
from modelyard.web.bodies import Disconnected, append_body, content_length, decoded
from modelyard.web.requests import Answer, Exchange, send_response

PUT_PREFIX = "/v3/model/uploader/"
PURPOSE = "put"
_encode = msgspec.json.Encoder().encode
CallerOf = Callable[[Exchange], Viewer]
LinkFor = Callable[[str, str], str]
BaseOf = Callable[[Exchange], str]


class Announcement(msgspec.Struct, frozen=True):
    """A file that is about to be put."""

    model_name: str
    file_extension: str
    file_sha256: str = ""


class UploadUrl(msgspec.Struct, frozen=True):
    """Where to put it."""

    upload_url: str


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
    """What of a model shall be different; what is not given stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    tags: list[str] | msgspec.UnsetType = msgspec.UNSET
    categories: list[str] | msgspec.UnsetType = msgspec.UNSET
    category_id: int | str | msgspec.UnsetType = msgspec.UNSET
    type_name: str | msgspec.UnsetType = msgspec.UNSET
    base_model: str | msgspec.UnsetType = msgspec.UNSET
    base_model_type: str | msgspec.UnsetType = msgspec.UNSET
    cover_url: str | msgspec.UnsetType = msgspec.UNSET
    visibility: str | msgspec.UnsetType = msgspec.UNSET
    is_nsfw: bool | msgspec.UnsetType = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Registering:
    """What the routes need."""

    uploading: Uploads
    models: Models
    catalog: Catalog
    signer: Signer
    caller_of: CallerOf
    base_of: BaseOf
    links_for: Callable[[Exchange], LinkFor]
    ttl_seconds: int

    def announce(self, exchange: Exchange, body: bytes) -> Answer:
        """Answer where to put the bytes of a model's file."""
        viewer = self.caller_of(exchange)
        said = decoded(body, Announcement)
        sha256 = _sha256_of("file_sha256", said.file_sha256) if said.file_sha256 else None
        declared = {"name": checked_name(said.model_name), "file_extension": said.file_extension}
        upload = self.uploading.create(viewer, "put", declared, announced_sha256=sha256)
        expires_in = self.uploading.limits.expires_in_seconds
        url = self.uploading.blobs.upload_link(upload.id, expires_in)
        if url is None:
            query = self.signer.query(PURPOSE, upload.id, "", upload.expires_at)
            url = f"{self.base_of(exchange)}{PUT_PREFIX}{upload.id}?{query}"
        return Answer(_encode(UploadUrl(url)), caching=_UNSTORED)

    async def put(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Take the bytes of an announced file. The link is the permission: no key is sent here."""
        upload_id = exchange.path_parameters["upload"]
        asked = parse_qs(exchange.query_string[:1024].decode("latin-1"))
        self.signer.check(
            PURPOSE, upload_id, "", Signature(*(asked.get(name, [""])[0] for name in ("key", "expires", "signature")))
        )
        length_bytes = content_length(exchange)
        if length_bytes is None:
            raise errors.InvalidValue("content-length: the length of the file has to be said", field="content-length")
        announced = exchange.headers.get(b"x-amz-checksum-sha256", b"").decode("latin-1")
        await asyncio.to_thread(self._expect, upload_id, length_bytes)
        sha256 = await _take(self.uploading, upload_id, length_bytes, receive)
        upload = await asyncio.to_thread(self.uploading.find, None, upload_id)
        for expected in (
            _sha256_of("x-amz-checksum-sha256", announced) if announced else None,
            upload.announced_sha256,
        ):
            if expected is not None and expected != sha256:
                raise errors.HashMismatch(expected, sha256)
        await asyncio.to_thread(self.uploading.complete, upload_id, length_bytes)
        headers = [(b"content-length", b"0"), (b"etag", b'"%s"' % sha256.encode()), *_UNSTORED]
        await send_response(exchange, send, 200, headers)

    def register(self, exchange: Exchange, body: bytes) -> Answer:
        """Make a model of an announced file, and answer it: status 0 until its file is checked."""
        viewer = self.caller_of(exchange)
        said = decoded(body, NewModel)
        words = {name: str(getattr(said, name)) for name in NewModel.__struct_fields__ if name != "tags"}
        words["is_nsfw"] = "1" if said.is_nsfw else "0"
        words["tags"] = ",".join(said.tags)
        sha256 = _sha256_of("file_sha256", said.file_sha256) if said.file_sha256 else None
        entry = self.models.register(viewer, words, sha256)
        return self.answer_with(exchange, entry)

    def change(self, exchange: Exchange, body: bytes) -> Answer:
        """Change a model of the caller's team, and answer it as it is now."""
        viewer = self.caller_of(exchange)
        said = decoded(body, Change)
        base = self.base_of(exchange)
        if said.cover_url is not msgspec.UNSET and said.cover_url.startswith(base + COVERS):
            # A model that was read, and is sent back with the cover it has.
            said = msgspec.structs.replace(said, cover_url=said.cover_url.removeprefix(base))
        entry = self.models.edit(viewer, id_of(exchange), _edit_of(said))
        return self.answer_with(exchange, entry)

    def remove(self, exchange: Exchange, _: bytes) -> Answer:
        """Remove a model of the caller's team."""
        self.models.remove(self.caller_of(exchange), id_of(exchange))
        return Answer(b"{}", caching=_UNSTORED)

    def details(self, exchange: Exchange) -> Answer:
        """Answer a model with what was declared, what was found, and, to its owner, why it is not available."""
        viewer = self.caller_of(exchange)
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        entry = self.catalog.get(viewer, id_of(exchange))
        is_own = viewer.team is not None and viewer.team == entry.model.team
        found = entry.layers.get(Layer.HEADER)
        checked: dict[str, object] | None = None
        if is_own:
            verdict, _, reason = (
                found.evidence[0] if found and found.evidence else "waiting: not checked yet"
            ).partition(": ")
            checked = {"verdict": verdict, "reason": reason}
        body = {
            "model": msgspec.Raw(self._record(exchange, entry)),
            "check": checked,
            "declared": _shown(entry.layers.get(Layer.USER)),
            "found": _shown(found),
        }
        return Answer(_encode(body))

    def answer_with(self, exchange: Exchange, entry: Entry) -> Answer:
        """Return the answer that is one model."""
        return Answer(self._record(exchange, entry), caching=_UNSTORED)

    def _record(self, exchange: Exchange, entry: Entry) -> bytes:
        rendered = wire.render_record(entry.model, self.ttl_seconds)
        return wire.fill_holes(rendered, self.links_for(exchange), self.base_of(exchange))

    def _expect(self, upload_id: str, length_bytes: int) -> None:
        self.uploading.set_length(self.uploading.find(None, upload_id), length_bytes)


_UNSTORED = ((b"cache-control", b"no-store"),)


async def _take(uploading: Uploads, upload_id: str, length_bytes: int, receive: Receive) -> str:
    """Write a whole body to an upload's file, and return its SHA-256. All or nothing: a PUT does not resume."""
    appending = await asyncio.to_thread(uploading.incoming.open, upload_id)
    try:
        appending.restart()
        try:
            await append_body(appending, receive, lambda _: None)
            if appending.size_bytes != length_bytes:
                raise Disconnected
        except BaseException:
            appending.restart()
            raise
        await asyncio.to_thread(appending.sync)
    finally:
        appending.close()
    sha256 = uploading.incoming.sha256(upload_id, length_bytes)
    assert sha256 is not None, "a body that was written whole was hashed whole"
    return sha256


def _edit_of(change: Change) -> Edit:
    given = {name: value for name in Change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    if not given:
        raise errors.InvalidValue(
            f"nothing to change; accepted: {', '.join(Change.__struct_fields__)}", allowed=[*Change.__struct_fields__]
        )
    status = given.get("status")
    if status not in (None, 0, 1):
        raise errors.InvalidValue(f"status: {status} is not accepted; accepted: 0, 1", field="status", given=status)
    categories = given.get("categories")
    if "category_id" in given:
        categories = [*read_category(str(given["category_id"])), *(categories or [])]
    facts = Facts(
        name=checked_name(given["name"]) if "name" in given else None,
        type=model_type(checked_word("type_name", given["type_name"])) if given.get("type_name") else None,
        base_model=checked_word("base_model", given["base_model"]) if "base_model" in given else None,
        base_model_type=checked_word("base_model_type", given["base_model_type"])
        if "base_model_type" in given
        else None,
        is_nsfw=given.get("is_nsfw"),
        tags=read_tags(given["tags"]) if "tags" in given else None,
        categories=checked_categories(categories) if categories is not None else None,
        cover_url=checked_cover(given["cover_url"]) if "cover_url" in given else None,
    )
    return Edit(
        facts,
        read_visibility(given["visibility"]) if "visibility" in given else None,
        None if status is None else Status(status),
    )


def id_of(exchange: Exchange) -> int:
    """Return the model's id that a query string names. Raises InvalidParameter."""
    given = parse_qs(exchange.query_string[:1024].decode("latin-1")).get("id", [""])
    if len(given) != 1 or not (given[0].isascii() and given[0].isdigit() and len(given[0]) <= 18):
        raise errors.InvalidParameter("id", ",".join(given), "a model's id, decimal digits")
    return int(given[0])


def _sha256_of(field: str, text: str) -> str:
    """Return the lower-case digits of 32 bytes in base64, as S3 and the vendor spell a hash."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise errors.InvalidValue(f"{field}: not the base64 of a SHA-256's 32 bytes", field=field, given=text[:64])
    return digest.hex()


def _shown(facts: Facts | None) -> dict[str, object]:
    if facts is None:
        return {}
    shown: dict[str, object] = msgspec.to_builtins(facts)
    return {name: value for name, value in shown.items() if value is not None}
