"""tus 1.0 at ``/v3/uploads``: an interrupted upload continues where it stopped.

Core, creation, creation-with-upload, termination, checksum, expiration, concatenation (https://tus.io/protocols/
resumable-upload). An upload belongs to the team of the API key that created it; other teams get 404. As in tusd's file
locker, a request that wants to write asks the one that writes already to release the upload.
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
from modelyard.auth import Auth
from modelyard.blobs.partial import PartialFile
from modelyard.domain import Viewer
from modelyard.registry.models import writing_team
from modelyard.store.uploads import Upload
from modelyard.uploads.uploads import HUB, XORB, Uploads
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import append_body, content_length
from modelyard.web.requests import Header, Request
from modelyard.web.responses import error_response, send_bytes, send_response
from modelyard.web.urls import BaseOf

PATH = "/v3/uploads"
# The id of the model that an upload became. This header is not part of tus.
MODEL_HEADER = wire.MODEL_HEADER.lower().encode()
VERSION = b"1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,checksum,expiration,concatenation"
_ALGORITHMS = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}
_BODY_TYPE = b"application/offset+octet-stream"
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_METADATA_BYTES_MAX = 8192
_PARTS_MAX = 1000
# How long a request waits for the lock of an upload. A client that resumes has lost its connection, and the server may
# not have noticed that yet.
_LOCK_SECONDS_MAX = 3.0
_LOCK_POLL_SECONDS = 0.02
# How often a writer checks whether another worker requests its upload: one stat.
_RELEASE_POLL_SECONDS = 0.2
_METADATA_NAMES = frozenset(
    {
        "filename", "name", "title", "description", "trigger_words", "type_name", "base_model", "base_model_type",
        "visibility", "source", "tags", "is_nsfw",
    }
)  # fmt: skip # one table


@dataclass(frozen=True, slots=True)
class TusHandler:
    """The handler of the routes of tus. ``writers`` are the requests of this process that write, by upload id."""

    uploads: Uploads
    auth: Auth
    caller_of: ViewerOf
    base_of: BaseOf
    writers: dict[str, "_Writer"] = field(default_factory=dict)

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Respond to a request of tus. A wrong checksum has a status that only tus has."""
        method = request.headers.get(b"x-http-method-override", request.method.encode()).decode("latin-1")
        try:
            if method != "OPTIONS" and request.headers.get(b"tus-resumable") != VERSION:
                await send_response(error_response(_UNSUPPORTED_VERSION), request, send)
            else:
                status, headers = await self._dispatch(method, request, receive)
                headers = [(b"tus-resumable", VERSION), (b"cache-control", b"no-store"), *headers]
                await send_bytes(request, send, status, headers)
        except ChecksumMismatch:
            await send_response(error_response(_WRONG_CHECKSUM), request, send)

    async def _dispatch(self, method: str, request: Request, receive: Receive) -> tuple[int, list[Header]]:
        if method == "OPTIONS":
            return 204, self.options()
        upload_id = request.path_parameters.get("upload", "")
        viewer = self.caller_of(request)
        writing_team(viewer)
        match method, bool(upload_id):
            case "POST", False:
                return 201, [*await self.create(viewer, request, receive), (b"content-length", b"0")]
            case "HEAD", True:
                return 200, await self.head(viewer, upload_id)
            case "PATCH", True:
                return 204, await self.patch(viewer, request, upload_id, receive)
            case "DELETE", True:
                await asyncio.to_thread(self.uploads.cancel, viewer, upload_id)
                return 204, []
            case _:
                raise errors.MethodNotAllowed(
                    method[:16], ("HEAD", "PATCH", "DELETE", "OPTIONS") if upload_id else ("POST", "OPTIONS")
                )

    def options(self) -> list[Header]:
        """Return the headers that describe the server."""
        return [
            (b"tus-version", VERSION),
            (b"tus-extension", EXTENSIONS.encode()),
            (b"tus-checksum-algorithm", ",".join(_ALGORITHMS).encode()),
            (b"tus-max-size", b"%d" % self.uploads.limits.upload_bytes_max),
            (b"access-control-allow-methods", b"POST, HEAD, PATCH, DELETE, OPTIONS"),
        ]

    async def create(self, viewer: Viewer, request: Request, receive: Receive) -> list[Header]:
        """Create an upload, with the bytes of its body if there is one, and return its headers."""
        declared = read_metadata(request.headers.get(b"upload-metadata", b""))
        concat = request.headers.get(b"upload-concat", b"").decode("latin-1").strip()
        if concat.startswith("final;"):
            part_ids = _part_ids(concat.removeprefix("final;"))
            upload = await asyncio.to_thread(self.uploads.concatenate, viewer, part_ids, declared)
            return [(b"location", self._location(request, upload)), *_expiry(upload)]
        if concat not in ("", "partial"):
            raise errors.InvalidValue(
                "Upload-Concat: accepted: partial, or final;… with the parts", field="Upload-Concat"
            )
        length_bytes = _number(request, b"upload-length")
        kind = "part" if concat else "tus"
        sha256 = _read_sha256(declared.pop("sha256")) if "sha256" in declared else None
        upload = await asyncio.to_thread(
            lambda: self.uploads.create(viewer, kind, declared, length_bytes=length_bytes, announced_sha256=sha256)
        )
        headers = [(b"location", self._location(request, upload)), *_expiry(upload)]
        if request.headers.get(b"content-type") == _BODY_TYPE:
            headers.append((b"upload-offset", b"%d" % await self._append(upload, 0, request, receive)))
        elif not length_bytes:
            await asyncio.to_thread(self.uploads.complete, upload, 0)
        return headers

    async def head(self, viewer: Viewer, upload_id: str) -> list[Header]:
        """Return the headers that describe an upload."""
        upload = await asyncio.to_thread(self.uploads.find, viewer.team or "", upload_id)
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
        """Return the offset of an upload. Complete it if a process died after its last byte."""
        if upload.received_at is not None:
            return upload.length_bytes or 0
        size_bytes = self.uploads.incoming.size_anywhere(upload.id)
        if size_bytes == upload.length_bytes:
            # A request that still writes may remove its bytes again; a process that died may not have flushed them.
            with suppress(errors.UploadLocked), self.uploads.incoming.open_anywhere(upload.id) as partial:
                partial.sync()
                if partial.size_bytes == size_bytes:
                    self.uploads.complete(upload, size_bytes)
        return size_bytes

    async def patch(self, viewer: Viewer, request: Request, upload_id: str, receive: Receive) -> list[Header]:
        """Append a body to an upload, and return the headers with the new offset."""
        if request.headers.get(b"content-type") != _BODY_TYPE:
            raise errors.UnsupportedMediaType(_BODY_TYPE.decode())
        start = _number(request, b"upload-offset")
        upload = await asyncio.to_thread(self.uploads.find, viewer.team or "", upload_id)
        if upload.kind == "final":
            raise errors.FinalUpload(upload_id)
        if upload.kind in ("put", HUB, XORB):
            raise errors.UploadNotFound(upload_id)
        if upload.received_at is not None:
            offset = upload.length_bytes or 0
            if start != offset or content_length(request):
                raise errors.OffsetConflict(start, offset)
        else:
            offset = await self._append(upload, start, request, receive)
        return [(b"upload-offset", b"%d" % offset), *_expiry(upload)]

    async def _append(self, upload: Upload, offset: int, request: Request, receive: Receive) -> int:
        """Append a body at ``offset``, which has to be the end of the upload, and return the new end."""
        limit = upload.length_bytes or 0
        if (content_length(request) or 0) > limit - offset:
            raise errors.TooLarge("the upload", limit)
        checksum = _checksum_of(request)

        def refuse_revoked() -> None:
            self.auth.find(request.viewer.key_fingerprint)

        partial = await self.lock(upload.id)
        self.writers[upload.id] = writer = _Writer(_this_task(), asyncio.Event(), asyncio.Event())
        release_watch = asyncio.create_task(self.watch_release(upload.id, writer))
        try:
            if partial.size_bytes != offset:
                raise errors.OffsetConflict(offset, partial.size_bytes)
            try:
                await _append_body(partial, limit, checksum, receive, refuse_revoked)
            except asyncio.CancelledError:
                if not writer.is_stopped.is_set():
                    raise
                # The server does not stop: the client resumed the upload on another connection.
                writer.task.uncancel()
                raise errors.UploadLocked(upload.id) from None
            finally:
                # From here on the request ends soon; stopping it would only lose its response.
                writer.is_ending.set()
                await asyncio.to_thread(partial.sync)
            end = partial.size_bytes
            if end < limit:
                await asyncio.to_thread(self.uploads.incoming.share, upload.id, end)
        finally:
            release_watch.cancel()
            del self.writers[upload.id]
            partial.close()
        if end == limit:
            await asyncio.to_thread(self.uploads.complete, upload, end)
        return end

    async def lock(self, upload_id: str) -> PartialFile:
        """Open an upload to append. A request of any worker that writes to it already is asked to stop first."""
        incoming = self.uploads.incoming
        deadline = asyncio.get_running_loop().time() + _LOCK_SECONDS_MAX
        has_requested = False
        try:
            while True:
                try:
                    return await asyncio.to_thread(incoming.open_anywhere, upload_id)
                except errors.UploadLocked:
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                if writer := self.writers.get(upload_id):
                    writer.stop()
                else:
                    # Request it each time: a writer only reacts to requests that are newer than its own start.
                    await asyncio.to_thread(incoming.request_release, upload_id)
                    has_requested = True
                await asyncio.sleep(_LOCK_POLL_SECONDS)
        finally:
            if has_requested:
                incoming.withdraw_request(upload_id)

    async def watch_release(self, upload_id: str, writer: "_Writer") -> None:
        """Stop a writer when another worker requests its upload."""
        since_ns = time.time_ns()
        while not self.uploads.incoming.is_release_requested(upload_id, since_ns):  # noqa: ASYNC110 # requested by other processes
            await asyncio.sleep(_RELEASE_POLL_SECONDS)
        writer.stop()

    def _location(self, request: Request, upload: Upload) -> bytes:
        return f"{self.base_of(request)}{PATH}/{upload.id}".encode()


@dataclass(frozen=True, slots=True)
class _Writer:
    """A request that writes to an upload."""

    task: "asyncio.Task[object]"
    is_stopped: asyncio.Event
    is_ending: asyncio.Event

    def stop(self) -> None:
        """Stop the request, unless it is ending already."""
        if not (self.is_stopped.is_set() or self.is_ending.is_set()):
            self.is_stopped.set()
            self.task.cancel()


def _this_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None, "a request runs in a task"
    return task


@dataclass(frozen=True, slots=True)
class _Checksum:
    """The checksum that the client sent with a body."""

    algorithm: str
    digest: bytes


async def _append_body(
    partial: PartialFile,
    limit: int,
    checksum: _Checksum | None,
    receive: Receive,
    refuse_revoked: Callable[[], None],
) -> None:
    """Append a body as it arrives. Bytes before an interruption stay, unless the body has a checksum.

    ``refuse_revoked`` raises an error if the caller's key was revoked while the body arrived.
    """
    digest = _ALGORITHMS[checksum.algorithm]() if checksum else None
    size_bytes = partial.size_bytes

    def check(chunks: list[bytes]) -> None:
        nonlocal size_bytes
        refuse_revoked()
        if digest is not None:
            for chunk in chunks:
                digest.update(chunk)
        size_bytes += sum(map(len, chunks))
        if size_bytes > limit:
            raise errors.TooLarge("the upload", limit)

    try:
        await append_body(partial, receive, check)
    except BaseException:
        if checksum is not None:
            partial.truncate_to_start()
        raise
    if checksum is not None and digest is not None and digest.digest() != checksum.digest:
        partial.truncate_to_start()
        raise ChecksumMismatch


class ChecksumMismatch(Exception):
    """A body does not have its ``Upload-Checksum``. tus has its own status for this."""


_UNSUPPORTED_VERSION = wire.error_answer(
    412, "INVALID_REQUEST_BODY", "Tus-Resumable: accepted: 1.0.0", {}, (("Tus-Version", "1.0.0"),)
)
_WRONG_CHECKSUM = wire.error_answer(460, "HASH_MISMATCH", "the body does not have the Upload-Checksum it came with", {})


def read_metadata(header: bytes) -> dict[str, str]:
    """Read ``Upload-Metadata``: names, each with a value in base64, separated by commas. Unknown names are ignored."""
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
        if name in _METADATA_NAMES or name == "sha256":
            declared[name] = value
    return declared


def write_metadata(declared: Mapping[str, str]) -> bytes:
    """Return metadata in the format of ``Upload-Metadata``."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in declared.items()).encode()


def _checksum_of(request: Request) -> _Checksum | None:
    header = request.headers.get(b"upload-checksum")
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


def _read_sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise errors.InvalidValue("sha256: not 64 hexadecimal digits", field="sha256", given=text[:64])
    return text.lower()


def _part_ids(addresses: str) -> list[str]:
    part_ids = [address.rstrip("/").rpartition("/")[2] for address in addresses.split()]
    if not part_ids or len(part_ids) > _PARTS_MAX or not all(map(_UPLOAD_ID.fullmatch, part_ids)):
        raise errors.InvalidValue(
            f"Upload-Concat: accepted: up to {_PARTS_MAX} parts' addresses", field="Upload-Concat"
        )
    return part_ids


def _number(request: Request, name: bytes) -> int:
    text = request.headers.get(name, b"")
    if not (text.isdigit() and len(text) <= 18):
        header = name.decode()
        raise errors.InvalidValue(
            f"{header}: a whole number is needed", field=header, given=text[:32].decode("latin-1")
        )
    return int(text)


def _expiry(upload: Upload) -> list[Header]:
    return [(b"upload-expires", formatdate(upload.expires_at, usegmt=True).encode())]
