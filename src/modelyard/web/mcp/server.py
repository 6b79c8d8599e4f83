"""The protocol: lists and calls the tools, by the official SDK.

HTTP    one request, one server object, one JSON answer: nothing is kept between requests
stdio   the program that runs the command is the client; the API is asked at a server's address
"""

from typing import Any

import httpx2
import msgspec
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations
from starlette.types import ASGIApp, Receive, Send

from modelyard import __version__, errors
from modelyard.domain import Scope
from modelyard.web.mcp.texts import NOTICE, quote_value
from modelyard.web.mcp.tools import TOOLS, scopes_of
from modelyard.web.requests import Request

_INSTRUCTIONS = f"A catalogue of image-generation models. {NOTICE}"
_TIMEOUT_SECONDS = 60.0
# Not the cookie: a page of another site could send it.
_FORWARDED = (b"authorization", b"host")


async def handle_http(application: ASGIApp, request: Request, receive: Receive, send: Send) -> None:
    """Answer one request of a client; its tools ask ``application`` with the headers of the caller."""
    headers = {name.decode(): value.decode("latin-1") for name, value in request.headers.items() if name in _FORWARDED}
    transport = httpx2.ASGITransport(application, client=(request.caller_address, 0))
    # The name of the host is forwarded as a header only: a client may send text that is no host.
    base = f"{request.scope['scheme']}://localhost"
    async with httpx2.AsyncClient(transport=transport, base_url=base, headers=headers) as api:
        manager = StreamableHTTPSessionManager(create_server(api), json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(request.scope, receive, send)


async def serve_stdio(url: str, key: str) -> None:
    """Answer a client on standard input and output until it ends; the tools ask the server at ``url``."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS) as api:
        server = create_server(api)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())


def create_server(api: httpx2.AsyncClient) -> Server[Any]:
    """Return a server whose tools ask ``api``."""

    async def list_tools(_context: object, _parameters: object) -> ListToolsResult:
        scopes = await scopes_of(api)
        return ListToolsResult(tools=[_describe(name) for name, tool in TOOLS.items() if tool.scope in scopes])

    async def call_tool(_context: object, call: CallToolRequestParams) -> CallToolResult:
        try:
            result = await _run(api, call.name, call.arguments or {})
        except errors.ModelyardError as problem:
            return _make_result(problem.message, is_error=True)
        except msgspec.ValidationError as problem:
            return _make_result(f"the arguments are not accepted: {problem}", is_error=True)
        return _make_result(quote_value(result), result)

    return Server(
        "modelyard",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _run(api: httpx2.AsyncClient, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    tool = TOOLS.get(name)
    if tool is None:
        raise errors.NotFound(f"there is no tool {name[:64]!r}; accepted: {', '.join(TOOLS)}")
    return await tool.run(api, msgspec.convert(arguments, tool.parameters))


def _describe(name: str) -> Tool:
    tool = TOOLS[name]
    _, components = msgspec.json.schema_components([tool.parameters], ref_template="#/$defs/{name}")
    schema = components[tool.parameters.__name__]
    is_reading = tool.scope is Scope.READ
    return Tool(
        name=tool.name,
        description=tool.description,
        input_schema={name: value for name, value in schema.items() if name not in ("title", "description")},
        output_schema={"type": "object"},
        annotations=ToolAnnotations(read_only_hint=is_reading, destructive_hint=not is_reading, open_world_hint=False),
    )


def _make_result(text: str, result: dict[str, Any] | None = None, *, is_error: bool = False) -> CallToolResult:
    content: list[Any] = [TextContent(type="text", text=text)]
    structured = None if result is None else {"notice": NOTICE, **result}
    return CallToolResult(content=content, structured_content=structured, is_error=is_error)
