"""tus 1.0 at ``/v3/uploads``: uploads that go on where they ended, however often they are interrupted.

Core, creation, creation-with-upload, termination, checksum, expiration, concatenation (https://tus.io/protocols/
resumable-upload). An upload belongs to the team of the key that began it; to every other team it does not exist.
"""

import asyncio
import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate

from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.blobs.partial import PartialFile
from modelyard.domain import Scope, Viewer
from modelyard.store.uploads import Upload
from modelyard.uploads.uploads import Uploads
from modelyard.web.bodies import append_body, content_length
from modelyard.web.requests import Exchange, Header, answer_of, send_response
from modelyard.web.routing import send_answer

PATH = "/v3/uploads"
# Which model an upload became; ours, beside the protocol.
MODEL_HEADER = wire.MODEL_HEADER.lower().encode()
VERSION = b"1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,checksum,expiration,concatenation"
_ALGORITHMS = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}
_BODY_TYPE = b"application/offset+octet-stream"
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_METADATA_BYTES_MAX = 8192
_PARTS_MAX = 1000
# How long a request that wants to write waits for one that seems dead: a client that resumes does so because its
# connection is gone, and the server may not have noticed.
_TAKE_OVER_SECONDS = 3.0
_LOOK_SECONDS = 0.02
# How often a writer looks whether another worker asks for its upload: one stat.
_LISTEN_SECONDS = 0.2
_WORDS = frozenset(
    {"filename", "name", "type_name", "base_model", "base_model_type", "visibility", "source", "tags", "is_nsfw"}
)


@dataclass(frozen=True, slots=True)
class Resumable:
    """What the routes need. ``writers`` are the requests of this process that write, by upload."""

    uploading: Uploads
    caller_of: Callable[[Exchange], Viewer]
    base_of: Callable[[Exchange], str]
    writers: dict[str, "_Writer"] = field(default_factory=dict)

    async def answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Answer whatever is asked under ``/v3/uploads``, with tus' own status for a checksum that does not fit."""
        method = exchange.headers.get(b"x-http-method-override", exchange.method.encode()).decode("latin-1")
        try:
            if method != "OPTIONS" and exchange.headers.get(b"tus-resumable") != VERSION:
                await send_answer(answer_of(_OTHER_VERSION), exchange, send)
            else:
                status, headers = await self._answer(method, exchange, receive)
                headers = [(b"tus-resumable", VERSION), (b"cache-control", b"no-store"), *headers]
                await send_response(exchange, send, status, headers)
        except ChecksumMismatch:
            await send_answer(answer_of(_OTHER_CHECKSUM), exchange, send)

    async def _answer(self, method: str, exchange: Exchange, receive: Receive) -> tuple[int, list[Header]]:
        if method == "OPTIONS":
            return 204, self._options()
        upload_id = exchange.path_parameters.get("upload", "")
        viewer = self.caller_of(exchange)
        if viewer.team is None:
            raise errors.MissingKey
        if not viewer.may(Scope.WRITE):
            raise errors.Forbidden(Scope.WRITE)
        match method, bool(upload_id):
            case "POST", False:
                return 201, [*await self._create(viewer, exchange, receive), (b"content-length", b"0")]
            case "HEAD", True:
                return 200, await self._tell(viewer, upload_id)
            case "PATCH", True:
                return 204, await self._append(viewer, exchange, upload_id, receive)
            case "DELETE", True:
                await asyncio.to_thread(self.uploading.cancel, viewer, upload_id)
                return 204, []
            case _:
                raise errors.MethodNotAllowed(
                    method[:16], ("HEAD", "PATCH", "DELETE", "OPTIONS") if upload_id else ("POST", "OPTIONS")
                )

    def _options(self) -> list[Header]:
        return [
            (b"tus-version", VERSION),
            (b"tus-extension", EXTENSIONS.encode()),
            (b"tus-checksum-algorithm", ",".join(_ALGORITHMS).encode()),
            (b"tus-max-size", b"%d" % self.uploading.limits.upload_bytes_max),
            (b"access-control-allow-methods", b"POST, HEAD, PATCH, DELETE, OPTIONS"),
        ]

    async def _create(self, viewer: Viewer, exchange: Exchange, receive: Receive) -> list[Header]:
        declared = read_metadata(exchange.headers.get(b"upload-metadata", b""))
        concat = exchange.headers.get(b"upload-concat", b"").decode("latin-1").strip()
        if concat.startswith("final;"):
            part_ids = _part_ids(concat.removeprefix("final;"))
            upload = await asyncio.to_thread(self.uploading.concatenate, viewer, part_ids, declared)
            return [(b"location", self._location(exchange, upload)), *_expiry(upload)]
        if concat not in ("", "partial"):
            raise errors.InvalidValue(
                "Upload-Concat: accepted: partial, or final;… with the parts", field="Upload-Concat"
            )
        length_bytes = _number(exchange, b"upload-length")
        kind = "part" if concat else "tus"
        sha256 = _digest_of(declared.pop("sha256")) if "sha256" in declared else None
        upload = await asyncio.to_thread(
            lambda: self.uploading.create(viewer, kind, declared, length_bytes=length_bytes, announced_sha256=sha256)
        )
        headers = [(b"location", self._location(exchange, upload)), *_expiry(upload)]
        if exchange.headers.get(b"content-type") == _BODY_TYPE:
            headers.append((b"upload-offset", b"%d" % await self._take(upload, 0, exchange, receive)))
        elif not length_bytes:
            await asyncio.to_thread(self.uploading.complete, upload.id, 0)
        return headers

    async def _tell(self, viewer: Viewer, upload_id: str) -> list[Header]:
        upload = await asyncio.to_thread(self.uploading.find, viewer.team or "", upload_id)
        offset = await asyncio.to_thread(self._offset, upload)
        headers = [(b"upload-offset", b"%d" % offset), (b"upload-length", b"%d" % (upload.length_bytes or 0))]
        if upload.declared:
            headers.append((b"upload-metadata", write_metadata(upload.declared)))
        if upload.model_id is not None:
            headers.append((MODEL_HEADER, b"%d" % upload.model_id))
        if upload.kind in ("part", "final"):
            headers.append((b"upload-concat", b"partial" if upload.kind == "part" else b"final"))
        return [*headers, *_expiry(upload)]

    def _offset(self, upload: Upload) -> int:
        """Return where an upload goes on. One whose last byte was written by a process that died then is done now."""
        if upload.received_at is not None:
            return upload.length_bytes or 0
        size_bytes = self.uploading.incoming.size(upload.id)
        if size_bytes is None:
            raise errors.UploadNotFound(upload.id)
        if size_bytes == upload.length_bytes:
            # Whoever still writes to it may take its bytes back; whoever died may not have had them flushed.
            with suppress(errors.UploadLocked), self.uploading.incoming.open(upload.id) as appending:
                appending.sync()
                if appending.size_bytes == size_bytes:
                    self.uploading.complete(upload.id, size_bytes)
        return size_bytes

    async def _append(self, viewer: Viewer, exchange: Exchange, upload_id: str, receive: Receive) -> list[Header]:
        if exchange.headers.get(b"content-type") != _BODY_TYPE:
            raise errors.UnsupportedMediaType(_BODY_TYPE.decode())
        given = _number(exchange, b"upload-offset")
        upload = await asyncio.to_thread(self.uploading.find, viewer.team or "", upload_id)
        if upload.kind == "final":
            raise errors.FinalUpload(upload_id)
        if upload.kind == "put":
            raise errors.UploadNotFound(upload_id)
        if upload.received_at is not None:
            offset = upload.length_bytes or 0
            if given != offset or content_length(exchange):
                raise errors.OffsetConflict(given, offset)
        else:
            offset = await self._take(upload, given, exchange, receive)
        return [(b"upload-offset", b"%d" % offset), *_expiry(upload)]

    async def _take(self, upload: Upload, given: int, exchange: Exchange, receive: Receive) -> int:
        """Append a body at ``given``, which has to be the end, and return where the upload ends then."""
        limit = upload.length_bytes or 0
        if (content_length(exchange) or 0) > limit - given:
            raise errors.TooLarge("the upload", limit)
        checksum = _checksum_of(exchange)
        appending = await self._opened(upload.id)
        self.writers[upload.id] = writer = _Writer(_this_task(), asyncio.Event(), asyncio.Event())
        listening = asyncio.create_task(self._listen(upload.id, writer))
        try:
            if appending.size_bytes != given:
                raise errors.OffsetConflict(given, appending.size_bytes)
            try:
                await _append_body(appending, limit, checksum, receive)
            except asyncio.CancelledError:
                if not writer.shall_stop.is_set():
                    raise
                # Not the server's end, but a client that has come back on another connection.
                writer.task.uncancel()
                raise errors.UploadLocked(upload.id) from None
            finally:
                # From here on it ends by itself, and soon: cutting it short would only lose the answer.
                writer.is_ending.set()
                await asyncio.to_thread(appending.sync)
            offset = appending.size_bytes
        finally:
            listening.cancel()
            del self.writers[upload.id]
            appending.close()
        if offset == limit:
            await asyncio.to_thread(self.uploading.complete, upload.id, offset)
        return offset

    async def _opened(self, upload_id: str) -> PartialFile:
        """Open an upload to append; another request that writes to it, on any worker, is told to stop first."""
        incoming = self.uploading.incoming
        deadline = asyncio.get_running_loop().time() + _TAKE_OVER_SECONDS
        has_asked = False
        try:
            while True:
                try:
                    return await asyncio.to_thread(incoming.open, upload_id)
                except errors.UploadLocked:
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                if writer := self.writers.get(upload_id):
                    writer.stop()
                else:
                    # Again each time: whoever began to write meanwhile heeds only what is asked after that.
                    await asyncio.to_thread(incoming.request_release, upload_id)
                    has_asked = True
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if has_asked:
                incoming.withdraw_request(upload_id)

    async def _listen(self, upload_id: str, writer: "_Writer") -> None:
        """Stop a writer when another worker asks for its upload."""
        since_ns = time.time_ns()
        while not self.uploading.incoming.is_release_requested(upload_id, since_ns):  # noqa: ASYNC110 # asked by other processes
            await asyncio.sleep(_LISTEN_SECONDS)
        writer.stop()

    def _location(self, exchange: Exchange, upload: Upload) -> bytes:
        return f"{self.base_of(exchange)}{PATH}/{upload.id}".encode()


@dataclass(frozen=True, slots=True)
class _Writer:
    """A request that is writing, and how to have it stop."""

    task: "asyncio.Task[object]"
    shall_stop: asyncio.Event
    is_ending: asyncio.Event

    def stop(self) -> None:
        """Have it stop, unless it ends by itself already."""
        if not (self.shall_stop.is_set() or self.is_ending.is_set()):
            self.shall_stop.set()
            self.task.cancel()


def _this_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None, "a request runs in a task"
    return task


@dataclass(frozen=True, slots=True)
class _Checksum:
    """What a body was announced to hash to."""

    algorithm: str
    digest: bytes


async def _append_body(appending: PartialFile, limit: int, checksum: _Checksum | None, receive: Receive) -> None:
    """Append a body as it comes. What came before an interruption stays, unless its checksum cannot be had."""
    hashed = _ALGORITHMS[checksum.algorithm]() if checksum else None
    expected_bytes = appending.size_bytes

    def look(gathered: list[bytes]) -> None:
        nonlocal expected_bytes
        if hashed is not None:
            for chunk in gathered:
                hashed.update(chunk)
        expected_bytes += sum(map(len, gathered))
        if expected_bytes > limit:
            raise errors.TooLarge("the upload", limit)

    try:
        await append_body(appending, receive, look)
    except BaseException:
        if checksum is not None:
            appending.truncate_to_start()
        raise
    if checksum is not None and hashed is not None and hashed.digest() != checksum.digest:
        appending.truncate_to_start()
        raise ChecksumMismatch


class ChecksumMismatch(Exception):
    """A body is not what its ``Upload-Checksum`` says; tus has a status of its own for it."""


_OTHER_VERSION = wire.error_answer(
    412, "INVALID_REQUEST_BODY", "Tus-Resumable: accepted: 1.0.0", {}, (("Tus-Version", "1.0.0"),)
)
_OTHER_CHECKSUM = wire.error_answer(460, "HASH_MISMATCH", "the body does not have the Upload-Checksum it came with", {})


def read_metadata(header: bytes) -> dict[str, str]:
    """Read ``Upload-Metadata``: names, each with a value in base64, divided by commas. Unknown names are left out."""
    if len(header) > _METADATA_BYTES_MAX:
        raise errors.TooLarge("Upload-Metadata", _METADATA_BYTES_MAX)
    declared: dict[str, str] = {}
    for pair in header.decode("latin-1").split(","):
        name, _, encoded = pair.strip().partition(" ")
        try:
            value = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            raise errors.InvalidValue(
                f"Upload-Metadata: {name[:32]!r} is not base64 of UTF-8", field=name[:32]
            ) from None
        if name in _WORDS or name == "sha256":
            declared[name] = value
    return declared


def write_metadata(declared: Mapping[str, str]) -> bytes:
    """Return metadata as ``Upload-Metadata`` spells it."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in declared.items()).encode()


def _checksum_of(exchange: Exchange) -> _Checksum | None:
    header = exchange.headers.get(b"upload-checksum")
    if header is None:
        return None
    algorithm, _, encoded = header.decode("latin-1").partition(" ")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if algorithm not in _ALGORITHMS or not digest:
        raise errors.InvalidValue(
            f"Upload-Checksum: accepted: {', '.join(_ALGORITHMS)} and the digest in base64", field="Upload-Checksum"
        )
    return _Checksum(algorithm, digest)


def _digest_of(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise errors.InvalidValue("sha256: not 64 hexadecimal digits", field="sha256", given=text[:64])
    return text.lower()


def _part_ids(listed: str) -> list[str]:
    part_ids = [address.rstrip("/").rpartition("/")[2] for address in listed.split()]
    if not part_ids or len(part_ids) > _PARTS_MAX or not all(map(_UPLOAD_ID.fullmatch, part_ids)):
        raise errors.InvalidValue(
            f"Upload-Concat: accepted: up to {_PARTS_MAX} parts' addresses", field="Upload-Concat"
        )
    return part_ids


def _number(exchange: Exchange, name: bytes) -> int:
    text = exchange.headers.get(name, b"")
    if not (text.isdigit() and len(text) <= 18):
        shown = name.decode()
        raise errors.InvalidValue(f"{shown}: a whole number is needed", field=shown, given=text[:32].decode("latin-1"))
    return int(text)


def _expiry(upload: Upload) -> list[Header]:
    return [(b"upload-expires", formatdate(upload.expires_at, usegmt=True).encode())]
