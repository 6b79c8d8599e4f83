"""The rule of every handler in Civitai's shape: errors as ``{"error": …}``, and the key in ``?token=`` too."""

import msgspec
from starlette.types import Receive, Send

from modelyard import errors, wire
from modelyard.web.civitai.parameters import read_query, read_text
from modelyard.web.requests import Handler, Request
from modelyard.web.responses import Response, error_response, send_response
from modelyard.web.routing import Shape

PREFIX = "/api/v1"
DOWNLOADS = "/api/download/models/"
_encode = msgspec.json.Encoder().encode


def civitai_endpoint(handle: Handler) -> Handler:
    """Return a handler that also accepts the key in the query, and answers errors as Civitai does."""

    async def guarded(request: Request, receive: Receive, send: Send) -> None:
        _take_token(request)
        try:
            await handle(request, receive, send)
        except errors.ModelyardError as error:
            if request.status:
                raise
            await send_response(render(error), request, send)

    return guarded


def refusals() -> Shape:
    """Return how the paths and methods of Civitai that this server does not have are refused."""

    async def refuse(request: Request, _receive: Receive, _send: Send) -> None:
        raise errors.RouteNotFound(request.path)

    return Shape(civitai_endpoint(refuse), civitai_endpoint)


def render(error: errors.ModelyardError) -> Response:
    """Return the response for an error."""
    answer = wire.render_error(error)
    message = "Model not found" if isinstance(error, errors.ModelNotFound) else str(_decode(answer.body)["message"])
    return Response(_encode({"error": message}), headers=error_response(answer).headers, status=answer.status)


def _decode(body: bytes) -> dict[str, object]:
    values: dict[str, object] = msgspec.json.decode(body)
    return values


def _take_token(request: Request) -> None:
    """Use the key of the query if the request has no header with one."""
    if b"authorization" in request.headers or b"token=" not in request.query_string:
        return
    token = read_text(read_query(request), "token")
    if token:
        # The header of a key has no characters beyond Latin-1; no valid key has them.
        value = f"Bearer {token}".encode("latin-1", "replace")
        request.headers = {**request.headers, b"authorization": value}
