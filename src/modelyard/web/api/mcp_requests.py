"""``POST /mcp``: the Model Context Protocol, for callers with a key."""

import importlib

from starlette.types import ASGIApp, Receive, Send

from modelyard import errors
from modelyard.web.auth import ViewerOf
from modelyard.web.requests import Request

MISSING = "the Model Context Protocol is not installed here; install it with: pip install 'modelyard[mcp]'"
_BODY_TYPE = b"application/json"


class McpEndpoint:
    """Passes requests to the protocol's server, which the first one imports. ``application`` is set once it exists."""

    def __init__(self, viewer_of: ViewerOf) -> None:
        self._viewer_of = viewer_of
        self.application: ASGIApp | None = None

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer one request. Raises NotFound if the extra is not installed, and UnsupportedMediaType."""
        self._viewer_of(request)
        try:
            server = importlib.import_module("modelyard.web.mcp.server")
        except ModuleNotFoundError as problem:
            raise errors.NotFound(MISSING) from problem
        if not request.headers.get(b"content-type", b"").lower().startswith(_BODY_TYPE):
            raise errors.UnsupportedMediaType(_BODY_TYPE.decode())
        assert self.application is not None, "it is set before the server listens"
        await server.handle_http(self.application, request, receive, send)
