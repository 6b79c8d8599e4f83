"""A response, its representation by ETag and gzip, and the functions that send it.

Costs, measured on one core of the reference machine with a page of 20 real models (10.3 KB): BLAKE3 4 µs (SHA-256 6.5,
BLAKE2b 18); gzip with isal at level 1 15 µs and 1,407 bytes, zlib at level 1 33 µs and 1,450 bytes, at level 6 65 µs
and 1,409 bytes.
"""

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from blake3 import blake3
from isal import isal_zlib
from starlette.types import Send

from modelyard import wire
from modelyard.web.cache import CacheUse, LRUCache
from modelyard.web.requests import Header, Request

# Each team gets another response from the same URL, so shared caches must not store it.
UNCACHED: tuple[Header, ...] = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding"),
)
# A browser must not take the type of an answer from its bytes, which may be a stranger's.
NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
UNSTORED: tuple[Header, ...] = ((b"cache-control", b"no-store"),)
# Compressing a body that fits one TCP segment gains nothing.
GZIP_BYTES_MIN = 1024
# Level 1 is isal's default trade-off. For a page of 10 KB, level 0 takes 9 µs instead of 18, and 550 bytes more; both
# leave the server in the first flight of packets. For a page of 52 KB it saves a sixth, and adds 2 KB (2026-11).
GZIP_LEVEL, SMALL_GZIP_LEVEL = 1, 0
SMALL_BYTES_MAX = 16 * 1024
_GZIP_WINDOW_BITS = 31
# No name, no time, and an unknown system: RFC 1952.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
CACHE_BYTES_MAX = 8 * 1024 * 1024
_ENTITY_TAG = re.compile(rb'"([^"]*)"')
_QUALITY = re.compile(rb"\s*([a-z0-9*_-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A response with its body as it is before compression, and without the headers that depend on the request."""

    body: bytes
    media_type: bytes = b"application/json"
    headers: tuple[Header, ...] = ()
    status: int = 200
    caching: tuple[Header, ...] = UNCACHED
    # The digest of the body, if it is known already.
    digest: bytes | None = None
    # The digest of the beginning that other bodies have too, and its size. It is compressed once for all of them.
    shared_digest: bytes = b""
    shared_bytes: int = 0


class GzipCache:
    """Compresses bodies, and caches the compressed ones: clients request popular pages again and again."""

    __slots__ = ("_cache", "use")

    def __init__(self) -> None:
        self._cache: LRUCache[bytes, bytes] = LRUCache(CACHE_BYTES_MAX)
        self.use = CacheUse()

    def gzip(self, digest: bytes, body: bytes) -> bytes:
        """Return ``body`` compressed. ``digest`` is the digest of the body."""
        compressed = self._find(digest)
        if compressed is None:
            compressed = isal_zlib.compress(
                body, SMALL_GZIP_LEVEL if len(body) <= SMALL_BYTES_MAX else GZIP_LEVEL, _GZIP_WINDOW_BITS
            )
            self._cache.put(digest, compressed, len(compressed))
        return compressed

    def gzip_in_parts(self, digest: bytes, response: Response) -> bytes:
        """Return the body of a response compressed, with the beginning that it shares from the cache."""
        compressed = self._find(digest)
        if compressed is None:
            compressed = self._join_parts(response)
            self._cache.put(digest, compressed, len(compressed))
        return compressed

    def _find(self, digest: bytes) -> bytes | None:
        compressed = self._cache.get(digest)
        if compressed is None:
            self.use.misses += 1
        else:
            self.use.hits += 1
        return compressed

    def _join_parts(self, response: Response) -> bytes:
        body, shared_bytes = response.body, response.shared_bytes
        # The end of the key: a whole body has a digest without it.
        key = response.shared_digest + b"+"
        beginning = self._cache.get(key)
        if beginning is None:
            compressor = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, -15)
            beginning = compressor.compress(body[:shared_bytes]) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
            self._cache.put(key, beginning, len(beginning))
        end = isal_zlib.compress(body[shared_bytes:], GZIP_LEVEL, -15)
        check = isal_zlib.crc32(body).to_bytes(4, "little") + (len(body) & 0xFFFFFFFF).to_bytes(4, "little")
        return b"".join((_GZIP_HEADER, beginning, end, check))


def digest_of(body: bytes) -> bytes:
    """Return the digest of a body: 120 bits, so that two bodies never have the same ETag."""
    return blake3(body).digest(15)


def error_response(error: wire.ErrorAnswer) -> Response:
    """Return the response for an error."""
    headers = tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers)
    return Response(error.body, headers=headers, status=error.status)


def send_response(
    response: Response, request: Request, send: Send, gzip_cache: GzipCache | None = None
) -> Awaitable[None]:
    """Send a response. With ``gzip_cache`` it gets an ETag, and is compressed; the result of a change needs neither."""
    return send_bytes(request, send, *represent(response, request, gzip_cache))


async def send_bytes(request: Request, send: Send, status: int, headers: Sequence[Header], body: bytes = b"") -> None:
    """Send status, headers and body. ``HEAD`` gets the same headers and no body."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if request.scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": body, "more_body": False})


def represent(response: Response, request: Request, gzip_cache: GzipCache | None) -> tuple[int, list[Header], bytes]:
    """Return status, headers and body for this request.

    ETags are strong, so the compressed body has another one than the body itself.
    """
    if response.status != 200 or gzip_cache is None:
        headers = [
            (b"content-type", response.media_type),
            (b"content-length", b"%d" % len(response.body)),
            *response.caching,
            *response.headers,
        ]
        return response.status, headers, response.body
    body = response.body
    digest = response.digest or digest_of(body)
    gzipped = len(body) >= GZIP_BYTES_MIN and prefers_gzip(request.headers.get(b"accept-encoding", b""))
    tag = digest.hex().encode() + (b"-gzip" if gzipped else b"")
    headers = [(b"etag", b'"' + tag + b'"'), *response.caching, *response.headers]
    if matches_if_none_match(request, tag):
        return 304, headers, b""
    if gzipped:
        body = gzip_cache.gzip_in_parts(digest, response) if response.shared_bytes else gzip_cache.gzip(digest, body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-type", response.media_type))
    headers.append((b"content-length", b"%d" % len(body)))
    return 200, headers, body


def matches_if_none_match(request: Request, tag: bytes) -> bool:
    """Whether If-None-Match has this entity tag (without its quotes): the client has the body already."""
    condition = request.headers.get(b"if-none-match")
    # Weak comparison, RFC 9110 13.1.2: `W/` before a tag does not matter. `*` matches every tag.
    return condition is not None and (condition.strip() == b"*" or tag in _ENTITY_TAG.findall(condition))


@lru_cache(maxsize=256)
def prefers_gzip(accept_encoding: bytes) -> bool:
    """Whether the header accepts gzip, with at least the quality of the uncompressed body.

    Parts that cannot be parsed are ignored. Browsers and libraries send few different values, so the cache nearly
    always has the result.
    """
    qualities: dict[bytes, float] = {}
    for part in accept_encoding[:1024].split(b","):
        if match := _QUALITY.fullmatch(part):
            qualities[match[1].lower()] = float(match[2] or 1)
    gzip = qualities.get(b"gzip", qualities.get(b"x-gzip", qualities.get(b"*", 0.0)))
    return gzip > 0 and gzip >= qualities.get(b"identity", 0.0)
