"""``/files/<sha256>/<label>``: a signed link hands a file out, whole or in ranges, to whoever has the link.

The link is checked in memory. What it names is looked up once a request: a model that was removed, hidden or found
dangerous since is not there any more. Bytes come from the page cache without leaving the loop, and from the disk in
a thread; at most two blocks a download are in memory, and small ones for a client that reads slowly.
"""

import asyncio
import base64
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, quote, unquote

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.blobs import Blobs
from modelyard.fingerprint import Fingerprint
from modelyard.library import served_files
from modelyard.registry import models
from modelyard.signing import Signature, Signer
from modelyard.store import Store, blobs
from modelyard.web.range_header import ByteRange, read_ranges
from modelyard.web.requests import Exchange, Header, send_response, send_stream
from modelyard.web.routing import has_already

PREFIX = "/files/"
PURPOSE = "get"
# Measured (docs/decide/benchmarks.md): blocks of 1 MiB are four times as fast as blocks of 64 KiB. What a slow client
# has not taken yet waits in memory, so blocks begin small and grow while they go out quickly.
_BLOCK_BYTES_MIN, _BLOCK_BYTES_MAX = 64 * 1024, 1024 * 1024
_QUICK_SECONDS = 0.05
_UNSTORED: tuple[Header, ...] = ((b"cache-control", b"private, no-store"),)


@dataclass(frozen=True, slots=True)
class File:
    """What a link names, found: the bytes here, or an address that has them."""

    sha256: str
    label: str
    size_bytes: int
    model_ids: tuple[int, ...]
    path: Path | None
    address: str | None = None
    # Of a file that stays where it is, and is not ours: whether it still is what was hashed.
    fingerprint: Fingerprint | None = None

    def is_still(self, descriptor: int) -> bool:
        """Whether the open file is what was hashed."""
        now = Fingerprint.of(descriptor)
        return now == self.fingerprint if self.fingerprint else now.size_bytes == self.size_bytes


@dataclass(frozen=True, slots=True)
class Downloads:
    """What hands files out. ``accel_prefix`` is what nginx calls the blobs' folder, empty where there is no nginx."""

    store: Store
    kept: Blobs
    signer: Signer
    accel_prefix: str = ""
    counted: Counter[int] = field(default_factory=Counter)

    def link(self, base: str, sha256: str, label: str, ttl_seconds: int) -> str:
        """Return a link to a blob under a percent-encoded label."""
        query = self.signer.query(PURPOSE, sha256, label, self.signer.expiry(ttl_seconds))
        return f"{base}{PREFIX}{sha256}/{label}?{query}"

    def find(self, sha256: str, label: str, expires_at: int, now: float) -> File:
        """Return what a checked link names. Raises ModelNotFound, or FileGone, where it is not to be had any more."""
        name = unquote(label)
        with self.store.reading() as connection:
            blob = blobs.find(connection, sha256)
            is_refused = blob is not None and not blob.is_sound
            model_ids = () if is_refused else tuple(blobs.models_named(connection, sha256, name))
        if not model_ids:
            raise errors.ModelNotFound(name)
        if blob is not None:
            address = self.kept.link(sha256, content_disposition(name).decode(), max(int(expires_at - now), 1))
            path = None if address else self.kept.path(sha256)
            # Who is sent elsewhere is not sent to a store that is away.
            if path or (address and self.kept.has(sha256)):
                return File(sha256, name, blob.size_bytes, model_ids, path, address)
        found = served_files.find(self.store, sha256)
        if found is not None:
            return File(sha256, name, found[1].size_bytes, model_ids, found[0], fingerprint=found[1])
        if blob is not None:
            raise errors.Unavailable("the file is not where it was kept")
        served_files.mark_missing(self.store, sha256)
        raise errors.FileGone(name)

    def flush(self) -> None:
        """Write down how often models were fetched since the last time; that moves their rank."""
        counted = dict(self.counted)
        self.counted.clear()
        if not counted:
            return
        try:
            with self.store.transaction() as writing:
                models.add_downloads(writing, counted)
        except errors.Unavailable:
            self.counted.update(counted)
            raise

    async def answer(self, exchange: Exchange, _: Receive, send: Send) -> None:
        """Answer GET or HEAD of a link. Raises InvalidSignature, LinkExpired, ModelNotFound, RangeNotSatisfiable."""
        sha256, label, given = _parsed(exchange)
        expires_at = self.signer.check(PURPOSE, sha256, label, given)
        file = await asyncio.to_thread(self.find, sha256, label, expires_at, time.time())
        is_get = exchange.method == "GET"
        headers = _headers(file)
        if has_already(exchange, sha256.encode()):
            await send_response(exchange, send, 304, headers)
            return
        asked = exchange.headers.get(b"range")
        ranges = read_ranges(asked, file.size_bytes) if asked and _may_range(exchange, sha256) else []
        if is_get and (not ranges or ranges[0].first == 0):
            self.counted.update(file.model_ids)
        if file.address is not None:
            await send_response(exchange, send, 307, [(b"location", file.address.encode()), *_UNSTORED])
            return
        if self.accel_prefix and file.fingerprint is None:
            place = f"{self.accel_prefix.rstrip('/')}/{sha256[:2]}/{sha256[2:4]}/{sha256}"
            await send_response(exchange, send, 200, [(b"x-accel-redirect", place.encode()), *headers])
            return
        await _send_file(send, file, ranges, headers, is_get=is_get)


def content_disposition(label: str) -> bytes:
    """Return the header that names a download (RFC 6266): plain ASCII for old clients, UTF-8 for the others."""
    safe = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in label)[:255] or "model"
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    if plain == safe:
        return f'attachment; filename="{plain}"'.encode()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}".encode()


def _parsed(exchange: Exchange) -> tuple[str, str, Signature]:
    """Return blob, label and signature of a link; the label as it is spelled, for so it was signed."""
    sha256 = exchange.path_parameters["sha256"]
    label = exchange.path.removeprefix(f"{PREFIX}{sha256}/")
    if not label or "/" in label:
        raise errors.RouteNotFound(exchange.path)
    asked = parse_qs(exchange.query_string[:1024].decode("latin-1"))
    given = [asked.get(name, [""])[0] for name in ("key", "expires", "signature")]
    return sha256, label, Signature(*given)


def _headers(file: File) -> list[Header]:
    digest = base64.b64encode(bytes.fromhex(file.sha256))
    return [
        (b"etag", b'"%s"' % file.sha256.encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-disposition", content_disposition(file.label)),
        (b"repr-digest", b"sha-256=:%s:" % digest),
        (b"digest", b"sha-256=" + digest),
        (b"x-content-type-options", b"nosniff"),
        *_UNSTORED,
    ]


def _may_range(exchange: Exchange, sha256: str) -> bool:
    """Whether a range may be answered: If-Range names our file, strongly, or is not there. A date never does."""
    condition = exchange.headers.get(b"if-range")
    return condition is None or condition.strip() == b'"%s"' % sha256.encode()


async def _send_file(send: Send, file: File, ranges: list[ByteRange], headers: list[Header], *, is_get: bool) -> None:
    assert file.path is not None, "a file without a path has an address"
    descriptor = await asyncio.to_thread(os.open, file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not file.is_still(descriptor):
            raise errors.Unavailable("the file is not what was kept")
        whole = ByteRange(0, file.size_bytes - 1)
        # Each range with what goes before it.
        pieces: list[tuple[bytes, ByteRange]] = [(b"", each) for each in ranges or [whole]]
        media_type, end = b"application/octet-stream", b""
        if len(ranges) == 1:
            headers.append((b"content-range", _content_range(ranges[0], file)))
        elif ranges:
            boundary = os.urandom(12).hex().encode()
            pieces = [(_part_head(boundary, each, file), each) for each in ranges]
            media_type, end = b"multipart/byteranges; boundary=" + boundary, b"\r\n--%s--\r\n" % boundary
        length = sum(len(head) + each.size_bytes for head, each in pieces) + len(end)
        headers += [(b"content-type", media_type), (b"content-length", b"%d" % length)]
        body = _body(descriptor, file, pieces if is_get else (), end if is_get else b"")
        await send_stream(send, 206 if ranges else 200, headers, body)
    finally:
        os.close(descriptor)


async def _body(
    descriptor: int, file: File, pieces: Sequence[tuple[bytes, ByteRange]], end: bytes
) -> AsyncIterator[bytes]:
    for head, part in pieces:
        if head:
            yield head
        async for block in _blocks(descriptor, part):
            yield block
    if end:
        yield end
    if not file.is_still(descriptor):
        # Somebody wrote to it meanwhile: better a broken answer than a whole one of two halves.
        raise errors.Unavailable("the file changed while it was sent")


def _content_range(part: ByteRange, file: File) -> bytes:
    return b"bytes %d-%d/%d" % (part.first, part.last, file.size_bytes)


def _part_head(boundary: bytes, part: ByteRange, file: File) -> bytes:
    return b"\r\n--%s\r\ncontent-type: application/octet-stream\r\ncontent-range: %s\r\n\r\n" % (
        boundary,
        _content_range(part, file),
    )


async def _blocks(descriptor: int, part: ByteRange) -> AsyncIterator[bytes]:
    """Yield a range in blocks that are as large as the client takes them quickly."""
    at, block_bytes = part.first, _BLOCK_BYTES_MIN
    while at <= part.last:
        block = await _read(descriptor, at, min(block_bytes, part.last - at + 1))
        if not block:
            raise errors.Unavailable("the file became shorter while it was sent")
        at += len(block)
        began = time.monotonic()
        yield block
        is_quick = time.monotonic() - began < _QUICK_SECONDS
        block_bytes = min(block_bytes * 2, _BLOCK_BYTES_MAX) if is_quick else _BLOCK_BYTES_MIN


async def _read(descriptor: int, at: int, size_bytes: int) -> bytes:
    """Read what the page cache has without leaving the loop; what it has not, in a thread."""
    block = bytearray(size_bytes)
    with suppress(BlockingIOError, OSError):
        # OSError: a file system that cannot say what is cached.
        if os.preadv(descriptor, [block], at, os.RWF_NOWAIT) == size_bytes:
            return cast("bytes", block)  # never changed again, and ASGI servers take any buffer
    return await asyncio.to_thread(os.pread, descriptor, size_bytes, at)
