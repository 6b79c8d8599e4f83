"""Routes, the router that is built from a list of them, and the handler of a route that reads.

Route("/v3/model", "GET", read_endpoint(list_models, gzip_cache), Scope.READ, Kind.KEY)
  GET, HEAD   read(request) → Response → [304] → [gzip] → sent
  OPTIONS     204 and the methods of the path
  others      405
"""

import asyncio
import enum
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

import starlette.routing
from starlette.types import Lifespan, Receive, Send
from starlette.types import Scope as ASGIScope

from modelyard import errors
from modelyard.domain import Scope
from modelyard.index import OverBudgetError, quick_budget
from modelyard.web.consistency import MIN_REVISION, RevisionWait
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.requests import Handler, Request, request_of
from modelyard.web.responses import GzipCache, Response, send_bytes, send_response

_HOST = re.compile(rb"[0-9A-Za-z!$&'()*+,;=\-._~:\[\]@%]*")
_SLASHES = re.compile("/{2,}")


class Kind(enum.Enum):
    """How a route identifies the caller."""

    KEY = "an API key, or the session of our own page's script"
    LINK = "a signed link, which is the permission"
    PAGE = "the session of a browser"
    OPEN = "no identification"


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the list of routes. ``methods`` are separated by spaces; ``GET`` includes ``HEAD``.

    ``scope`` is the scope that the caller needs; None if every caller of the kind may use the route.
    """

    path: str
    methods: str
    handler: Handler
    scope: Scope | None
    kind: Kind


class Router:
    """The ASGI application that calls the handler of a route.

    Raises RouteNotFound, MethodNotAllowed, InvalidRequest.
    """

    def __init__(
        self, table: Sequence[Route], lifespan: Lifespan[object], shapes: Mapping[str, "Shape"] | None = None
    ) -> None:
        """``shapes`` has, by prefix, how the paths below it are refused."""
        self.table = table
        by_path: dict[str, dict[str, Handler]] = {}
        for route in table:
            by_path.setdefault(route.path, {}).update(dict.fromkeys(route.methods.split(), route.handler))
        self._shapes = shapes or {}
        resources = {path: _Resource(path, by_method, self._shape_of(path)) for path, by_method in by_path.items()}
        # Starlette tries one route after the other, 0.4 µs each. Paths without parameters are looked up instead.
        self._exact = {path: resource for path, resource in resources.items() if "{" not in path}
        routes = [starlette.routing.Route(path, at) for path, at in resources.items() if path not in self._exact]
        for pattern in routes:
            # Starlette ends its expressions with `$`, which also matches before a line feed at the end of a path.
            pattern.path_regex = re.compile(pattern.path_regex.pattern.removesuffix("$") + r"\Z")
        self._router = starlette.routing.Router(
            routes, redirect_slashes=False, default=self._answer_unknown, lifespan=lifespan
        )

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Respond to one request, or run the lifespan of the server."""
        if scope["type"] == "http":
            if not _HOST.fullmatch(request_of(scope).headers.get(b"host", b"")):
                raise errors.InvalidRequest("Invalid host header")
            # Accept additional slashes.
            scope["path"] = "/" + _SLASHES.sub("/", scope["path"].strip("/"))
            if resource := self._exact.get(scope["path"]):
                await resource(scope, receive, send)
                return
            if shape := self._shape_of(scope["path"]):
                scope["path"] = shape.rewrite(scope["path"])
        await self._router(scope, receive, send)

    async def _answer_unknown(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        request = request_of(scope)
        if (shape := self._shape_of(scope["path"])) is None:
            raise errors.RouteNotFound(unquote(request.path))
        await shape.answer_unknown(request, receive, send)

    def _shape_of(self, path: str) -> "Shape | None":
        return next((shape for prefix, shape in self._shapes.items() if path.startswith(f"{prefix}/")), None)


@dataclass(frozen=True, slots=True)
class Shape:
    """How paths below a prefix are refused: ``answer_unknown`` handles those that no route has.

    ``in_shape`` returns a handler that answers the errors of another one. ``rewrite`` returns the path that is
    matched.
    """

    answer_unknown: Handler
    in_shape: Callable[[Handler], Handler]
    rewrite: Callable[[str], str] = str


class _Resource:
    """One path, as an ASGI application: calls the handler of a method, and knows ``HEAD``, ``OPTIONS`` and 405."""

    def __init__(self, path: str, by_method: dict[str, Handler], shape: Shape | None) -> None:
        if "GET" in by_method:
            by_method.setdefault("HEAD", by_method["GET"])
        self._by_method = by_method
        self._allowed = tuple(dict.fromkeys((*by_method, "OPTIONS")))
        self._template = starlette.routing.compile_path(path)[1]
        self._answer_refused = shape.in_shape(self._refuse) if shape else self._refuse

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        scope["path_template"] = self._template
        request = request_of(scope)
        handler = self._by_method.get(request.method)
        if handler is not None:
            await handler(request, receive, send)
        elif request.method == "OPTIONS":
            allow = ", ".join(self._allowed).encode()
            await send_bytes(request, send, 204, [(b"allow", allow), (b"access-control-allow-methods", allow)])
        else:
            await self._answer_refused(request, receive, send)

    async def _refuse(self, request: Request, _receive: Receive, _send: Send) -> None:
        raise errors.MethodNotAllowed(request.method, self._allowed)


class NotAtHandError(Exception):
    """The answer needs the database, or more time than the event loop has for it."""


def read_endpoint(
    read: Callable[[Request], Response],
    gzip_cache: GzipCache,
    revision_wait: RevisionWait | None = None,
    *,
    asks_database: bool = False,
    heavy_work: HeavyWork | None = None,
    read_at_hand: Callable[[Request], Response] | None = None,
) -> Handler:
    """Return a handler that sends the response of ``read``. ``read`` runs on the event loop, so it has to be fast.

    With ``asks_database``, ``read`` runs in a thread: a database that is cut off may not respond for seconds. With
    ``revision_wait``, a request may wait for a revision. With ``heavy_work``, a question to the index that turns out to
    be dear is asked again there. ``read_at_hand`` is tried first, on the event loop; it raises NotAtHandError.
    """

    async def handle(request: Request, _: Receive, send: Send) -> None:
        if revision_wait is not None and MIN_REVISION in request.headers:
            await revision_wait.wait(request)
        if heavy_work is not None:
            request.budget = quick_budget()
        try:
            response = None
            if read_at_hand is not None:
                with suppress(NotAtHandError):
                    response = read_at_hand(request)
            if response is None:
                response = await asyncio.to_thread(read, request) if asks_database else read(request)
        except OverBudgetError:
            assert heavy_work is not None, "only a request with a quick budget is over it"
            response = await heavy_work.run(request, partial(read, request))
        await send_response(response, request, send, gzip_cache)

    return handle
