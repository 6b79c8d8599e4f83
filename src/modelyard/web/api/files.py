"""``/files/<sha256>/<label>``: sends a file, or ranges of it, to everybody who has the signed link.

The signature is checked in memory. A link names its audience: the API key that it was made for, or the public. Each
request asks whether the key is still valid, and asks the database once whether its team may still see the model. So a
link to a model that was removed, hidden or found dangerous stops working, and so does a link of a revoked key.
"""

import asyncio
import base64
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.auth import Auth
from modelyard.blobs import Blobs
from modelyard.domain import Scope, Verdict, Viewer
from modelyard.fingerprint import Fingerprint
from modelyard.library import served_files
from modelyard.registry import models
from modelyard.signing import Signature, Signer
from modelyard.store import Store, blobs
from modelyard.web.file_stream import FileStream, send_piece
from modelyard.web.range_header import ByteRange, read_ranges
from modelyard.web.requests import Header, Request
from modelyard.web.responses import matches_if_none_match, send_bytes

PREFIX = "/files/"
PURPOSE = "get"
# The audience of a link that was made for a caller without an API key. Other links name the fingerprint of their key.
PUBLIC = "public"
# A store serves a presigned address whatever happened to the model since. Clients that resume ask us for a new one.
_STORE_LINK_SECONDS_MAX = 900
_UNSTORED: tuple[Header, ...] = ((b"cache-control", b"private, no-store"),)


def make_links(signer: Signer, base: str, key_fingerprint: str, ttl_seconds: int) -> Callable[[str, str], str]:
    """Return the function that makes links for a key, or for the public if the fingerprint is empty.

    It gets the SHA-256 of a blob and a percent-encoded label. It is called for each model of a page, so what is the
    same for all is found once.
    """
    audience, expires_at = key_fingerprint or PUBLIC, signer.expiry(ttl_seconds)
    sign = signer.query

    def link(sha256: str, label: str) -> str:
        query = sign(PURPOSE, f"{sha256} {audience}", label, expires_at)
        return f"{base}{PREFIX}{sha256}/{label}?for={audience}&{query}"

    return link


@dataclass(frozen=True, slots=True)
class File:
    """The file of a link: a path on this machine, or a URL of the file store."""

    sha256: str
    label: str
    size_bytes: int
    model_ids: tuple[int, ...]
    path: Path | None
    url: str | None = None
    # Only of a file that is served from its own folder: what it looked like when it was hashed.
    fingerprint: Fingerprint | None = None

    def is_unchanged(self, descriptor: int) -> bool:
        """Whether the open file is the one that was hashed."""
        now = Fingerprint.of(descriptor)
        return now.is_as_recorded(self.fingerprint) if self.fingerprint else now.size_bytes == self.size_bytes


@dataclass(frozen=True, slots=True)
class Downloads:
    """The handler of downloads. ``accel_prefix`` is nginx's location of the storage folder; empty without nginx.

    Files that are not proven safe are sent only if ``serves_suspicious``.
    """

    store: Store
    auth: Auth
    storage: Blobs
    signer: Signer
    accel_prefix: str = ""
    serves_suspicious: bool = False
    counts: Counter[int] = field(default_factory=Counter)
    stream: FileStream = field(default_factory=FileStream)

    def links_for(self, base: str, viewer: Viewer, ttl_seconds: int) -> Callable[[str, str], str]:
        """Return the function that makes links for the key that ``viewer`` showed, or for the public."""
        return make_links(self.signer, base, viewer.key_fingerprint, ttl_seconds)

    def find(self, viewer: Viewer, sha256: str, label: str, expires_at: int, now: float) -> File:
        """Return the file of a valid link.

        Raises ModelNotFound, FileGone if the file is not available any more, or SuspiciousFile.
        """
        name = unquote(label)
        with self.store.reading() as connection:
            blob = blobs.find(connection, sha256)
            is_refused = blob is not None and not blob.is_sound
            model_ids = () if is_refused else tuple(blobs.models_named(connection, sha256, name, viewer.team))
        if not model_ids:
            raise errors.ModelNotFound(name)
        if blob is not None:
            self._check_verdict(name, blob.verdict, blob.reason)
            seconds = min(max(int(expires_at - now), 1), _STORE_LINK_SECONDS_MAX)
            url = self.storage.link(sha256, content_disposition(name).decode(), seconds)
            path = None if url else self.storage.path(sha256)
            # Only redirect to the file store if it has the file.
            if path or (url and self.storage.has(sha256)):
                return File(sha256, name, blob.size_bytes, model_ids, path, url)
        record = served_files.find(self.store, sha256)
        if record is not None:
            self._check_verdict(name, record.verdict, record.reason)
            path = Path(os.fsdecode(record.path))
            return File(sha256, name, record.size_bytes, model_ids, path, fingerprint=record.fingerprint)
        if blob is not None:
            raise errors.Unavailable("the file is not where it was kept")
        if served_files.is_on_other_node(self.store, sha256):
            raise errors.Unavailable("the file lies on another node of this server; try again later")
        served_files.mark_missing(self.store, sha256)
        raise errors.FileGone(name)

    def _check_verdict(self, name: str, verdict: str, reason: str) -> None:
        if not Verdict(verdict).is_servable(serves_suspicious=self.serves_suspicious):
            raise errors.SuspiciousFile(name, reason)

    def flush(self) -> None:
        """Store how often models were downloaded since the last flush. That changes their rank."""
        counts = dict(self.counts)
        self.counts.clear()
        if not counts:
            return
        try:
            with self.store.transaction() as transaction:
                models.add_downloads(transaction, counts)
        except errors.Unavailable:
            self.counts.update(counts)
            raise

    async def get(self, request: Request, _: Receive, send: Send) -> None:
        """Respond to GET or HEAD.

        Raises InvalidSignature, LinkExpired, LinkRevoked, ModelNotFound, FileGone, SuspiciousFile and
        RangeNotSatisfiable.
        """
        sha256, label, audience, signature = _parse_link(request)
        expires_at = self.signer.check(PURPOSE, f"{sha256} {audience}", label, signature)
        request.viewer = viewer = self.auth.viewer_of_link("" if audience == PUBLIC else audience, Scope.DOWNLOAD)
        file = await asyncio.to_thread(self.find, viewer, sha256, label, expires_at, self.store.now())
        is_get = request.method == "GET"
        headers = _headers(file)
        if matches_if_none_match(request, sha256.encode()):
            await send_bytes(request, send, 304, headers)
            return
        ranges = requested_ranges(request, sha256, file.size_bytes)
        if is_get and (not ranges or ranges[0].first == 0):
            self.counts.update(file.model_ids)
        if file.url is not None:
            await send_bytes(request, send, 307, [(b"location", file.url.encode()), *_UNSTORED])
            return
        if self.accel_prefix and file.fingerprint is None:
            location = f"{self.accel_prefix.rstrip('/')}/{sha256[:2]}/{sha256[2:4]}/{sha256}"
            await send_bytes(request, send, 200, [(b"x-accel-redirect", location.encode()), *headers])
            return
        await send_file(send, self.stream, file, ranges, headers, is_get=is_get)


def content_disposition(label: str) -> bytes:
    """Return the header with the name of a download (RFC 6266): ASCII for old clients, UTF-8 for others.

    Some clients decode "%", and quotes end the name, so names with them need the second form too (RFC 6266, D).
    """
    safe = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in label)[:255] or "model"
    plain = re.sub(r'["%?]', "_", safe.encode("ascii", "replace").decode())
    if plain == safe:
        return f'attachment; filename="{plain}"'.encode()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}".encode()


def _parse_link(request: Request) -> tuple[str, str, str, Signature]:
    """Return digest, label, audience and signature of a link. The label stays percent-encoded, as it was signed."""
    sha256 = request.path_parameters["sha256"]
    label = request.path.removeprefix(f"{PREFIX}{sha256}/")
    if not label or "/" in label:
        raise errors.RouteNotFound(request.path)
    query = parse_qs(request.query_string[:1024].decode("latin-1"))
    audience, *values = [query.get(name, [""])[0] for name in ("for", "key", "expires", "signature")]
    return sha256, label, audience, Signature(*values)


def _headers(file: File) -> list[Header]:
    digest = base64.b64encode(bytes.fromhex(file.sha256))
    return [
        (b"etag", b'"%s"' % file.sha256.encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-disposition", content_disposition(file.label)),
        (b"repr-digest", b"sha-256=:%s:" % digest),
        (b"digest", b"sha-256=" + digest),
        *_UNSTORED,
    ]


def requested_ranges(request: Request, etag: str, size_bytes: int) -> list[ByteRange]:
    """Return the ranges that a request asks for; empty for the whole. Raises RangeNotSatisfiable."""
    range_header = request.headers.get(b"range")
    return read_ranges(range_header, size_bytes) if range_header and _may_range(request, etag) else []


def _may_range(request: Request, sha256: str) -> bool:
    """Whether the request may have a range: it has no If-Range, or the ETag of the file in it. A date never matches."""
    condition = request.headers.get(b"if-range")
    return condition is None or condition.strip() == b'"%s"' % sha256.encode()


async def send_file(
    send: Send, stream: FileStream, file: File, ranges: list[ByteRange], headers: list[Header], *, is_get: bool
) -> None:
    """Send a file of this machine, or ranges of it. Raises Unavailable if it is not the one that was hashed."""
    assert file.path is not None, "a file without a path has a URL"
    descriptor = await asyncio.to_thread(os.open, file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not file.is_unchanged(descriptor):
            raise errors.Unavailable("the file is not what was kept")
        # Each range with the bytes before it.
        pieces: list[tuple[bytes, ByteRange]] = [(b"", part) for part in ranges or [ByteRange(0, file.size_bytes - 1)]]
        media_type, end = b"application/octet-stream", b""
        if len(ranges) == 1:
            headers.append((b"content-range", _content_range(ranges[0], file)))
        elif ranges:
            boundary = os.urandom(12).hex().encode()
            pieces = [(_part_head(boundary, part, file), part) for part in ranges]
            media_type, end = b"multipart/byteranges; boundary=" + boundary, b"\r\n--%s--\r\n" % boundary
        length = sum(len(head) + part.size_bytes for head, part in pieces) + len(end)
        headers += [(b"content-type", media_type), (b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 206 if ranges else 200, "headers": headers})
        for head, part in pieces if is_get else ():
            if head:
                await send_piece(send, head)
            await stream.send(send, descriptor, part)
        if not file.is_unchanged(descriptor):
            # Somebody wrote to the file meanwhile: break the response, so that no client stores a mix of two files.
            raise errors.Unavailable("the file changed while it was sent")
        await send({"type": "http.response.body", "body": end if is_get else b"", "more_body": False})
    finally:
        os.close(descriptor)


def _content_range(part: ByteRange, file: File) -> bytes:
    return b"bytes %d-%d/%d" % (part.first, part.last, file.size_bytes)


def _part_head(boundary: bytes, part: ByteRange, file: File) -> bytes:
    return b"\r\n--%s\r\ncontent-type: application/octet-stream\r\ncontent-range: %s\r\n\r\n" % (
        boundary,
        _content_range(part, file),
    )
