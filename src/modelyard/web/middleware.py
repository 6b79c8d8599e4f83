"""The outermost layer, which every request and every response passes.

It gives each request an id, adds the headers that all responses have, counts and logs requests, and turns exceptions
into error responses. The id in such a response finds the exception in the log.
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard import errors, wire
from modelyard.store import audit
from modelyard.web.access_log import RequestLog
from modelyard.web.bodies import Disconnected
from modelyard.web.client_address import TrustedProxies
from modelyard.web.consistency import revision_header
from modelyard.web.cors import Cors
from modelyard.web.log import Log
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import PEER, Handler, Header, Request, open_request
from modelyard.web.responses import NOSNIFF, Response, error_response, send_response

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOG_AGAIN_SECONDS = 10.0
_REASONS_MAX = 100
_CLIENT_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class EdgeMiddleware:
    """The ASGI application that the server calls, around ``app``."""

    def __init__(
        self,
        app: ASGIApp,
        log: Log,
        request_log: RequestLog,
        cors_allow_origins: str,
        hot_routes: Mapping[tuple[str, str], Handler] | None = None,
        *,
        revision: Callable[[], int],
        staleness: Callable[[], tuple[Header, ...]],
        error_page: Callable[[Request, errors.ModelyardError], Response],
        proxies: TrustedProxies,
        rate_limit: RateLimit,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Wrap ``app``. The handlers of ``hot_routes``, by method and path, are called without routing.

        Routing costs 2 µs of the 28 µs of a request for models (2026-11). Other routes cost much more than it.

        ``revision`` returns the newest revision that this process knows; every acknowledged write is part of it.
        ``staleness`` returns headers that say how old responses are while the database is unreachable. ``proxies`` say
        who the client is, ``rate_limit`` what a key has left. ``error_page`` returns the page that a browser gets for
        an error. ``stop`` ends the answers that have no end of their own; the server calls it when it stops.
        """
        self._error_page = error_page
        self.stop = stop
        self._app = app
        self._hot_routes = hot_routes or {}
        self._revision = revision
        self._staleness = staleness
        self._proxies = proxies
        # None if keys have no limit: testing that costs nothing.
        self._rate_limit = rate_limit or None
        self._log = log
        self.request_log = request_log
        self._cors = Cors(cors_allow_origins)
        # Unique among processes, and cheap: a random prefix, then a number.
        self._id_prefix = os.urandom(5).hex()
        self._numbers = itertools.count(1)
        # When each reason why a part does not work was logged last.
        self._logged_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request. Lifespan messages are passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            self.request_log.flush()
            return
        started_ns = time.perf_counter_ns()
        request = open_request(scope, self._id_prefix + f"{next(self._numbers):06x}", started_ns)
        if self._proxies:
            _apply_forwarded(request, self._proxies)
        has_client_id = False
        if client_id := request.headers.get(b"x-request-id"):
            has_client_id = _CLIENT_ID.fullmatch(client_id) is not None
            request.id = client_id.decode() if has_client_id else request.id
        common_headers = (NOSNIFF, *self._cors.headers(request), *self._staleness())

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = request.status = message["status"]
                # Only clients that sent an id, or may report an error, need it; the header costs a microsecond.
                extra: tuple[Header, ...] = (
                    ((b"x-request-id", request.id.encode()),) if has_client_id or status >= 400 else ()
                )
                if self._rate_limit and b"ratelimit" not in dict(message["headers"]):
                    extra = (*extra, *self._rate_limit.headers(request))
                if status < 300 and request.method not in _READS:
                    extra = (*extra, revision_header(self._revision()))
                message["headers"] = [*message["headers"], *common_headers, *extra]
            else:
                if body := message.get("body"):
                    request.sent_bytes += len(body)
                request.is_answered = not message.get("more_body")
            await send(message)

        try:
            hot_handler = self._hot_routes.get((scope["method"], scope["path"]))
            if hot_handler is None:
                audit.ACTOR.set(request.actor)
                await self._app(scope, _count_received(request, receive), send_with_headers)
            else:
                scope["path_template"] = scope["path"]
                await hot_handler(request, receive, send_with_headers)
        except Exception as error:
            if request.status and isinstance(error, Disconnected):
                request.cut_off_by = "client"
                return
            answer = _answer_to(error)
            if answer is None or request.status:
                self.request_log.flush()  # so that the lines of the log are in order
                self._log.events.error("failed", request_id=request.id, exc_info=error)
            elif isinstance(error, errors.Unavailable):
                self._log_unavailable(error, request)
            if request.status:
                raise  # part of the response is sent, so the server has to break the connection
            await send_response(self._respond_to(error, answer, request), request, send_with_headers)
        finally:
            if request.status and not request.is_answered:
                request.cut_off_by = request.cut_off_by or "server"
            self.request_log.add(request)

    def _log_unavailable(self, error: errors.Unavailable, request: Request) -> None:
        """Log why a part does not work: a line for each reason and some seconds, however many requests it fails."""
        now = time.monotonic()
        if now - self._logged_at.get(error.message, -_LOG_AGAIN_SECONDS) < _LOG_AGAIN_SECONDS:
            return
        if len(self._logged_at) >= _REASONS_MAX:
            self._logged_at.clear()
        self._logged_at[error.message] = now
        self.request_log.flush()
        self._log.events.warning("unavailable", reason=str(error), request_id=request.id)

    def _respond_to(self, error: Exception, answer: wire.ErrorAnswer | None, request: Request) -> Response:
        """Return the response for an error: a page for a browser, JSON for everybody else."""
        if b"text/html" in request.headers.get(b"accept", b"").lower() and not isinstance(error, Disconnected):
            raised = error if isinstance(error, errors.ModelyardError) else errors.ModelyardError("internal error")
            return self._error_page(request, raised)
        return error_response(answer or internal_error(request))


def _count_received(request: Request, receive: Receive) -> Receive:
    """Return a ``receive`` that counts the bytes of the body."""
    if request.method in _READS:
        return receive

    async def counting() -> Message:
        message = await receive()
        request.received_bytes += len(message.get("body", b""))
        return message

    return counting


def _apply_forwarded(request: Request, proxies: TrustedProxies) -> None:
    """Replace the address and the scheme of a trusted proxy by those of its client."""
    scope = request.scope
    if peer := scope.get("client"):
        scope["scheme"] = proxies.scheme_of(peer[0], request.headers, scope["scheme"])
        scope[PEER] = peer[0]
        scope["client"] = (proxies.client_of(peer[0], request.headers), peer[1])


def _answer_to(error: Exception) -> wire.ErrorAnswer | None:
    """Return the answer to an error that the code raises on purpose, and None for a bug."""
    if isinstance(error, errors.ModelyardError):
        return wire.render_error(error)
    if isinstance(error, Disconnected):
        # The client is gone, but the ASGI server still expects a response.
        return wire.error_answer(408, "INVALID_REQUEST_BODY", str(error), {})
    return None


def internal_error(request: Request) -> wire.ErrorAnswer:
    """Return the answer to a bug: no details, and the id that finds them in the log."""
    return wire.render_error(errors.ModelyardError("internal error", id=request.id))
