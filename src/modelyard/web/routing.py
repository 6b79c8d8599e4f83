"""What HTTP makes of an answer that is read: ETag and 304, gzip, HEAD, OPTIONS, 405.

    route("/v3/model", GET=reading(list_models, squeeze))
      GET, HEAD   read(exchange) → Answer → [304] → [gzip] → sent
      OPTIONS     204 and what is possible
      others      405

Costs, measured on one core of the reference machine with a page of 20 real models (10.3 KB): BLAKE3 4 µs (SHA-256 6.5,
BLAKE2b 18); gzip with isal at level 1 15 µs and 1,407 bytes, zlib at level 1 33 µs and 1,450 bytes, at level 6 65 µs
and 1,409 bytes.
"""

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache

from isal import isal_zlib
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Send
from litestar.types.asgi_types import HTTPScope

from modelyard import errors, wire
from modelyard.web.cache import Kept
from modelyard.web.consistency import MIN_REVISION, Freshness
from modelyard.web.requests import Answer, Exchange, Header, Method, digest_of, exchange_of, send_error

# A body that fits one TCP segment is not worth compressing.
GZIP_BYTES_MIN = 1024
# Level 1 is isal's own middle way: level 0 is 1.7 times as fast and leaves a third more to send.
GZIP_LEVEL = 1
_GZIP_WINDOW_BITS = 31
KEPT_BYTES_MAX = 8 * 1024 * 1024
_ENTITY_TAG = re.compile(rb'"([^"]*)"')
_QUALITY = re.compile(rb"\s*([a-z0-9*_-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*", re.IGNORECASE)


class Squeeze:
    """Compresses bodies and keeps the recent ones: popular pages are asked for again and again."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: Kept[bytes, bytes] = Kept(KEPT_BYTES_MAX)

    def gzip(self, digest: bytes, body: bytes) -> bytes:
        """Return ``body`` compressed; ``digest`` identifies it."""
        squeezed = self._kept.get(digest)
        if squeezed is None:
            squeezed = isal_zlib.compress(body, GZIP_LEVEL, _GZIP_WINDOW_BITS)
            self._kept.put(digest, squeezed, len(squeezed))
        return squeezed


def route(path: str, **by_method: Method) -> ASGIRouteHandler:
    """Return a Litestar route that picks the callable of the request's method.

    ``GET`` answers ``HEAD`` too; ``OPTIONS`` says what is possible; anything else is 405.
    """
    if "GET" in by_method:
        by_method.setdefault("HEAD", by_method["GET"])
    allowed = (*by_method, "OPTIONS")
    allow = ", ".join(allowed).encode()

    async def pick(scope: HTTPScope, receive: Receive, send: Send) -> None:
        method = by_method.get(scope["method"])
        if method is not None:
            await method(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            headers = [(b"allow", allow), (b"access-control-allow-methods", allow)]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await send_error(wire.render_error(errors.MethodNotAllowed(scope["method"], allowed)), scope, send)

    # The scope is ours to write to, and copying it is what an eighth of a request costs.
    return asgi(path, copy_scope=False)(pick)


def reading(
    read: Callable[[Exchange], Answer],
    squeeze: Squeeze,
    freshness: Freshness | None = None,
    *,
    asks_database: bool = False,
) -> Method:
    """Return the ASGI callable that sends what ``read`` answers. ``read`` runs on the loop: microseconds only.

    What ``asks_database`` runs in a thread: a database that is cut off may take seconds to be known to be. With
    ``freshness``, a request may ask to wait for a revision.
    """

    async def answer(scope: HTTPScope, _: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        try:
            if freshness is not None and MIN_REVISION in exchange.headers:
                await freshness.wait(exchange)
            answered = await asyncio.to_thread(read, exchange) if asks_database else read(exchange)
        except errors.ModelyardError as error:
            await send_error(wire.render_error(error), scope, send)
            return
        status, headers, body = represent(answered, exchange, squeeze)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["method"] == "HEAD":
            body = b""
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


def represent(answer: Answer, exchange: Exchange, squeeze: Squeeze) -> tuple[int, list[Header], bytes]:
    """Return status, headers and body of the representation this request gets.

    The ETag is strong, of the identity body; the gzip representation has its own, as strong tags must.
    """
    if answer.status != 200:
        headers = [
            (b"content-type", answer.media_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.caching,
            *answer.headers,
        ]
        return answer.status, headers, answer.body
    asked = exchange.headers
    body = answer.body
    digest = answer.digest or digest_of(body)
    gzipped = len(body) >= GZIP_BYTES_MIN and prefers_gzip(asked.get(b"accept-encoding", b""))
    tag = digest.hex().encode() + (b"-gzip" if gzipped else b"")
    headers = [(b"etag", b'"' + tag + b'"'), *answer.caching, *answer.headers]
    condition = asked.get(b"if-none-match")
    if condition is not None and _names(condition, tag):
        return 304, headers, b""
    if gzipped:
        body = squeeze.gzip(digest, body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-type", answer.media_type))
    headers.append((b"content-length", b"%d" % len(body)))
    return 200, headers, body


def _names(condition: bytes, tag: bytes) -> bool:
    # Weak comparison, RFC 9110 13.1.2: `W/` before a tag is of no account. `*` names whatever there is.
    return condition.strip() == b"*" or tag in _ENTITY_TAG.findall(condition)


@lru_cache(maxsize=256)
def prefers_gzip(accept_encoding: bytes) -> bool:
    """Whether the header takes gzip, and likes it no less than the plain body.

    What cannot be parsed is not asked for. Browsers and libraries send a handful of values, so the cache always hits.
    """
    qualities: dict[bytes, float] = {}
    for part in accept_encoding[:1024].split(b","):
        if found := _QUALITY.fullmatch(part):
            qualities[found[1].lower()] = float(found[2] or 1)
    gzip = qualities.get(b"gzip", qualities.get(b"x-gzip", qualities.get(b"*", 0.0)))
    return gzip > 0 and gzip >= qualities.get(b"identity", 0.0)
