"""The outermost layer: every answer passes here, whoever made it.

It gives each request an id, adds the headers that all answers carry, counts and logs, and turns what nobody caught into
the error shape with an id that finds the cause in the log.
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard import errors, wire
from modelyard.web.access_log import Observations
from modelyard.web.bodies import Disconnected
from modelyard.web.consistency import revision_header
from modelyard.web.log import Log
from modelyard.web.requests import Exchange, Handler, Header, answer_of, open_exchange
from modelyard.web.routing import send_answer

_OUR_HEADERS = (
    f"ETag, {wire.TOTAL_HEADER}, {wire.IGNORED_HEADER}, {wire.SUGGESTION_HEADER}, "
    f"{wire.REVISION_HEADER}, "
    "Preference-Applied, Retry-After, X-Request-Id, "
    # What a resumable upload from a web page has to read (tus 1.0).
    "Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, "
    "Upload-Length, Upload-Expires, Upload-Metadata, Upload-Concat"
)
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class Edge:
    """The ASGI application that the server calls; ``app`` is what answers inside."""

    def __init__(
        self,
        app: ASGIApp,
        log: Log,
        observations: Observations,
        cors_allow_origins: str,
        short_ways: Mapping[tuple[str, str], Handler] | None = None,
        *,
        revision: Callable[[], int],
        staleness: Callable[[], tuple[Header, ...]],
    ) -> None:
        """Answer by ``app``, but for the (method, path) of ``short_ways``: those are answered without its routing.

        ``revision`` is the newest that this process wrote or heard of: a write that is acknowledged is in it.
        ``staleness`` gives the headers that say how old answers are while they cannot be brought up to date.

        Routing costs 2 µs (2026-11), which other routes do not notice.
        """
        self._app = app
        self._short_ways = short_ways or {}
        self._revision = revision
        self._staleness = staleness
        self._log = log
        self.observations = observations
        self._cors = Cors(cors_allow_origins)
        # Unique among processes, and cheap: a random start, then a number.
        self._id_prefix = os.urandom(5).hex()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan messages go straight through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            self.observations.settle()
            return
        started_ns = time.perf_counter_ns()
        exchange = open_exchange(scope, self._id_prefix + f"{next(self._numbers):06x}", started_ns)
        is_given = False
        if given := exchange.headers.get(b"x-request-id"):
            is_given = _GIVEN_ID.fullmatch(given) is not None
            exchange.id = given.decode() if is_given else exchange.id
        stamp = (*self._cors.headers(exchange), *self._staleness())

        async def send_stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = exchange.status = message["status"]
                # Who sent an id, or has an error to report, is told it; for others a header would cost a microsecond.
                told: tuple[Header, ...] = (
                    ((b"x-request-id", exchange.id.encode()),) if is_given or status >= 400 else ()
                )
                if status < 300 and exchange.method not in _READS:
                    told = (*told, revision_header(self._revision()))
                message["headers"] = [*message["headers"], *stamp, *told]
            await send(message)

        try:
            short_way = self._short_ways.get((scope["method"], scope["path"]))
            if short_way is None:
                await self._app(scope, receive, send_stamped)
            else:
                scope["path_template"] = scope["path"]
                await short_way(exchange, receive, send_stamped)
        except Exception as error:
            refusal = _refusal(error)
            if refusal is None or exchange.status:
                self.observations.settle()  # the log tells things in the order in which they happened
                self._log.events.error("failed", request_id=exchange.id, exc_info=error)
            if exchange.status:
                raise  # the answer has begun: all that is left is to break the connection, which the server does
            await send_answer(answer_of(refusal or internal_error(exchange)), exchange, send_stamped)
        finally:
            self.observations.add(exchange)


def _refusal(error: Exception) -> wire.ErrorAnswer | None:
    """Return what answers an error that is raised on purpose; None for our own mistakes."""
    if isinstance(error, errors.ModelyardError):
        return wire.render_error(error)
    if isinstance(error, Disconnected):
        # Nobody is there to be answered, but an answer is still owed to the server.
        return wire.error_answer(408, "INVALID_REQUEST_BODY", "the body ended early", {})
    return None


def internal_error(exchange: Exchange) -> wire.ErrorAnswer:
    """Return the answer to our own mistake: no detail, and the id under which the log has them."""
    return wire.render_error(errors.ModelyardError("internal error", id=exchange.id))


class Cors:
    """Which web pages may read the answers. ``origins`` is ``*`` or origins divided by commas."""

    def __init__(self, origins: str) -> None:
        self._origins = frozenset(origin.strip().encode() for origin in origins.split(",") if origin.strip())

    def headers(self, exchange: Exchange) -> tuple[Header, ...]:
        """Return the headers for an answer to this request, a preflight's included."""
        if exchange.scope["method"] == "OPTIONS":
            return (*self._allow_origin(exchange), *_PREFLIGHT)
        # A page's script sends its origin and may read these; others would pay for a header that says nothing to them.
        return (*self._allow_origin(exchange), *(_EXPOSED if b"origin" in exchange.headers else ()))

    def _allow_origin(self, exchange: Exchange) -> tuple[Header, ...]:
        if b"*" in self._origins:
            return _ANY_ORIGIN
        origin = exchange.headers.get(b"origin", b"")
        named = ((b"access-control-allow-origin", origin),) if origin in self._origins else ()
        return (*named, (b"vary", b"Origin"))


_EXPOSED: tuple[Header, ...] = ((b"access-control-expose-headers", _OUR_HEADERS.encode()),)
_ANY_ORIGIN: tuple[Header, ...] = ((b"access-control-allow-origin", b"*"),)
_PREFLIGHT: tuple[Header, ...] = (
    (
        b"access-control-allow-headers",
        (
            b"authorization, content-type, prefer, if-none-match, x-request-id, range, tus-resumable, upload-length, "
            b"modelyard-min-revision, "
            b"upload-offset, upload-metadata, upload-checksum, upload-concat, x-http-method-override"
        ),
    ),
    (b"access-control-max-age", b"86400"),
)
