"""A line of the table of routes, the router that is built from it, and what HTTP makes of an answer that is read.

    Route("/v3/model", "GET", reading(list_models, squeeze), Scope.READ, Kind.KEY)
      GET, HEAD   read(exchange) → Answer → [304] → [gzip] → sent
      OPTIONS     204 and what is possible
      others      405

Costs, measured on one core of the reference machine with a page of 20 real models (10.3 KB): BLAKE3 4 µs (SHA-256 6.5,
BLAKE2b 18); gzip with isal at level 1 15 µs and 1,407 bytes, zlib at level 1 33 µs and 1,450 bytes, at level 6 65 µs
and 1,409 bytes.
"""

import asyncio
import enum
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import starlette.routing
from isal import isal_zlib
from starlette.types import Lifespan, Receive, Send
from starlette.types import Scope as ASGIScope

from modelyard import errors
from modelyard.domain import Scope
from modelyard.web.cache import Kept
from modelyard.web.consistency import MIN_REVISION, Freshness
from modelyard.web.requests import Answer, Exchange, Handler, Header, digest_of, exchange_of, send_response

# A body that fits one TCP segment is not worth compressing.
GZIP_BYTES_MIN = 1024
# Level 1 is isal's own middle way: level 0 is 1.7 times as fast and leaves a third more to send.
GZIP_LEVEL = 1
_GZIP_WINDOW_BITS = 31
KEPT_BYTES_MAX = 8 * 1024 * 1024
_ENTITY_TAG = re.compile(rb'"([^"]*)"')
_HOST = re.compile(rb"[0-9A-Za-z!$&'()*+,;=\-._~:\[\]@%]*")
_SLASHES = re.compile("/{2,}")
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


class Kind(enum.Enum):
    """How a route knows who is calling."""

    KEY = "an API key, or the session of our own page's script"
    LINK = "a signed link, which is the permission"
    PAGE = "the session of a browser"
    OPEN = "not at all"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. ``methods`` are divided by spaces; ``GET`` answers ``HEAD`` too.

    ``scope`` is what the caller has to be allowed; None where every caller of the kind is answered.
    """

    path: str
    methods: str
    handler: Handler
    scope: Scope | None
    kind: Kind


class Router:
    """The ASGI application that answers by a table of routes.

    Raises RouteNotFound, MethodNotAllowed, InvalidRequest.
    """

    def __init__(self, table: Sequence[Route], lifespan: Lifespan[object]) -> None:
        self.table = table
        by_path: dict[str, dict[str, Handler]] = {}
        for route in table:
            by_path.setdefault(route.path, {}).update(dict.fromkeys(route.methods.split(), route.handler))
        resources = {path: _Resource(path, by_method) for path, by_method in by_path.items()}
        # Starlette tries its routes one after the other, 0.4 µs each; most of ours have no parameter.
        self._exact = {path: resource for path, resource in resources.items() if "{" not in path}
        routes = [starlette.routing.Route(path, at) for path, at in resources.items() if path not in self._exact]
        for each in routes:
            # Starlette ends its expressions by `$`, which lets a path have an end of line more.
            each.path_regex = re.compile(each.path_regex.pattern.removesuffix("$") + r"\Z")
        self._router = starlette.routing.Router(routes, redirect_slashes=False, default=_nowhere, lifespan=lifespan)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request, or run from the start of the server to its end."""
        if scope["type"] == "http":
            if not _HOST.fullmatch(exchange_of(scope).headers.get(b"host", b"")):
                raise errors.InvalidRequest("Invalid host header")
            # A slash too many is forgiven.
            scope["path"] = "/" + _SLASHES.sub("/", scope["path"].strip("/"))
            if exact := self._exact.get(scope["path"]):
                await exact(scope, receive, send)
                return
        await self._router(scope, receive, send)


class _Resource:
    """What answers at one path, as an ASGI application: picks by method, and knows ``HEAD``, ``OPTIONS`` and 405."""

    def __init__(self, path: str, by_method: dict[str, Handler]) -> None:
        if "GET" in by_method:
            by_method.setdefault("HEAD", by_method["GET"])
        self._by_method = by_method
        self._allowed = tuple(dict.fromkeys((*by_method, "OPTIONS")))
        self._template = starlette.routing.compile_path(path)[1]

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        scope["path_template"] = self._template
        exchange = exchange_of(scope)
        handler = self._by_method.get(exchange.method)
        if handler is not None:
            await handler(exchange, receive, send)
        elif exchange.method == "OPTIONS":
            allow = ", ".join(self._allowed).encode()
            await send_response(exchange, send, 204, [(b"allow", allow), (b"access-control-allow-methods", allow)])
        else:
            raise errors.MethodNotAllowed(exchange.method, self._allowed)


async def _nowhere(scope: ASGIScope, _receive: Receive, _send: Send) -> None:
    raise errors.RouteNotFound(unquote(exchange_of(scope).path))


def reading(
    read: Callable[[Exchange], Answer],
    squeeze: Squeeze,
    freshness: Freshness | None = None,
    *,
    asks_database: bool = False,
) -> Handler:
    """Return what sends the answer of ``read``, which runs on the loop: microseconds only.

    What ``asks_database`` runs in a thread: a database that is cut off may take seconds to be known to be. With
    ``freshness``, a request may ask to wait for a revision.
    """

    async def answer(exchange: Exchange, _: Receive, send: Send) -> None:
        if freshness is not None and MIN_REVISION in exchange.headers:
            await freshness.wait(exchange)
        answered = await asyncio.to_thread(read, exchange) if asks_database else read(exchange)
        await send_answer(answered, exchange, send, squeeze)

    return answer


def send_answer(answer: Answer, exchange: Exchange, send: Send, squeeze: Squeeze | None = None) -> Awaitable[None]:
    """Send an answer; with ``squeeze`` as one that is read, by ETag and gzip, without as the outcome of a change."""
    return send_response(exchange, send, *represent(answer, exchange, squeeze))


def represent(answer: Answer, exchange: Exchange, squeeze: Squeeze | None) -> tuple[int, list[Header], bytes]:
    """Return status, headers and body of the representation this request gets.

    The ETag is strong, of the identity body; the gzip representation has its own, as strong tags must.
    """
    if answer.status != 200 or squeeze is None:
        headers = [
            (b"content-type", answer.media_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.caching,
            *answer.headers,
        ]
        return answer.status, headers, answer.body
    body = answer.body
    digest = answer.digest or digest_of(body)
    gzipped = len(body) >= GZIP_BYTES_MIN and prefers_gzip(exchange.headers.get(b"accept-encoding", b""))
    tag = digest.hex().encode() + (b"-gzip" if gzipped else b"")
    headers = [(b"etag", b'"' + tag + b'"'), *answer.caching, *answer.headers]
    if has_already(exchange, tag):
        return 304, headers, b""
    if gzipped:
        body = squeeze.gzip(digest, body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-type", answer.media_type))
    headers.append((b"content-length", b"%d" % len(body)))
    return 200, headers, body


def has_already(exchange: Exchange, tag: bytes) -> bool:
    """Whether the caller has what this entity tag, without its quotes, stands for: If-None-Match names it."""
    condition = exchange.headers.get(b"if-none-match")
    # Weak comparison, RFC 9110 13.1.2: `W/` before a tag is of no account. `*` names whatever there is.
    return condition is not None and (condition.strip() == b"*" or tag in _ENTITY_TAG.findall(condition))


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
