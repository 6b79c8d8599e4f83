"""One HTTP request, as every handler gets it.

This module must not know routes. It has to be fast: each request makes a ``Request``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from starlette.types import Receive, Scope, Send

from modelyard.domain import ANONYMOUS, Viewer
from modelyard.index import Budget
from modelyard.store.audit import BY_KEY, Actor

Header = tuple[bytes, bytes]

_METHOD_CHARS_MAX = 16
# The key of the request in the ASGI scope.
_KEY = "modelyard.request"
# The key of the address that the connection comes from, where the client's stands in its place.
PEER = "modelyard.peer"


@dataclass(slots=True)
class Request:
    """A request, and values for the log and the metrics. ``viewer``, ``is_identified`` and ``status`` are set later.

    ``status`` is that of the response's head, ``is_answered`` becomes true with the end of its body.

    ``budget`` limits the work of a question to the index; None is no limit.
    """

    scope: Scope
    headers: Mapping[bytes, bytes]
    id: str
    started_ns: int
    viewer: Viewer = ANONYMOUS
    is_identified: bool = False
    status: int = 0
    is_answered: bool = False
    # Who ended a response before it was whole: "client" or "server".
    cut_off_by: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0
    budget: Budget | None = None

    @property
    def method(self) -> str:
        """The HTTP method, upper case."""
        return cast("str", self.scope["method"])

    @property
    def path(self) -> str:
        """The path as the client spelled it, percent-encoded."""
        return cast("bytes", self.scope["raw_path"]).partition(b"?")[0].decode("latin-1")

    @property
    def query_string(self) -> bytes:
        """The part of the URL after the question mark."""
        return cast("bytes", self.scope["query_string"])

    @property
    def path_parameters(self) -> Mapping[str, str]:
        """The values of the parameters of the route."""
        return cast("Mapping[str, str]", self.scope.get("path_params", {}))

    def actor(self) -> Actor:
        """Return who changes something by this request, for the audit."""
        via = f"{self.method[:_METHOD_CHARS_MAX]} {self.scope.get('path_template', '')}"
        viewer = self.viewer
        return Actor(BY_KEY, via, viewer.team, viewer.key_fingerprint, viewer.user, self.caller_address, self.id)

    @property
    def caller_address(self) -> str:
        """The IP address of the client; empty for a Unix socket."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def peer_address(self) -> str:
        """The IP address at the other end of the connection: that of the nearest proxy, if there is one."""
        return cast("str", self.scope.get(PEER) or self.caller_address)


# Responds to a request: it sends by a function of ``responses``, or raises an error of ``errors``.
Handler = Callable[[Request, Receive, Send], Awaitable[None]]


def open_request(scope: Scope, request_id: str, started_ns: int) -> Request:
    """Make the request of an ASGI scope, and store it in the scope for the handler."""
    pairs = list(scope["headers"])
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = _join_repeated(pairs)
    request = Request(scope, headers, request_id, started_ns)
    scope[_KEY] = request
    return request


def request_of(scope: Scope) -> Request:
    """Return the request that ``open_request`` stored."""
    return cast("Request", scope[_KEY])


def _join_repeated(pairs: list[Header]) -> dict[bytes, bytes]:
    # RFC 9110, 5.3: the values of a repeated field are joined by commas. Two API keys make one that is not valid.
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers
