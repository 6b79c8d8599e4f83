"""What Litestar finds wrong, and what its handlers raise, in the one error shape."""

from collections.abc import Callable
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from modelyard import errors, wire
from modelyard.web.requests import UNCACHED

# Bodies that Litestar reads are JSON of a few hundred bytes; files do not come this way.
BODY_BYTES_MAX = 1 << 20
AnyRequest = Request[Any, Any, Any]


def translate(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Say what Litestar found wrong in our own words."""
    match error.status_code:
        case 404:
            return answer(request, errors.RouteNotFound(request.scope["path"]))
        case 405:
            methods = request.app.route_handler_method_map.get(request.scope["path"], {})
            return answer(request, errors.MethodNotAllowed(request.method, sorted(methods)))
        case 413:
            return answer(request, errors.TooLarge("the request's body", BODY_BYTES_MAX))
        case 400 if "route_handler" in request.scope:
            # Past routing, what Litestar reads is the body; what it says of it names fields, not our code.
            return answer(request, errors.InvalidValue("the request's body cannot be used", problems=error.extra or []))
        case status if status < 500:
            return _response(wire.error_answer(status, "INVALID_ARGUMENT", error.detail, {}))
        case _:
            raise error


def answer(_: AnyRequest, error: errors.ModelyardError) -> Response[bytes]:
    """Render one of our own errors."""
    return _response(wire.render_error(error))


def pass_on(_: AnyRequest, error: Exception) -> Response[bytes]:
    """Leave it to the edge, which logs it and answers 500."""
    raise error


HANDLERS: dict[int | type[Exception], Callable[[AnyRequest, Any], Response[Any]]] = {
    HTTPException: translate,
    errors.ModelyardError: answer,
    Exception: pass_on,
}


def _response(rendered: wire.ErrorAnswer) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in UNCACHED} | dict(rendered.headers)
    return Response(rendered.body, status_code=rendered.status, headers=headers, media_type="application/json")
