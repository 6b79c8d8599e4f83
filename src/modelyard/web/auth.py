"""Checks the API key of a request, and counts the request against the rate limit."""

from collections.abc import Callable

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope, Viewer
from modelyard.web.rate_limit import RateLimit, counter_of
from modelyard.web.requests import Request

# Returns the viewer who sends a request, or raises an error.
ViewerOf = Callable[[Request], Viewer]


def require_scope(caller_of: ViewerOf, scope: Scope) -> ViewerOf:
    """Return a function that returns the caller of a request. It raises Forbidden if they lack the scope."""

    def find_viewer(request: Request) -> Viewer:
        viewer = caller_of(request)
        if not viewer.may(scope):
            raise errors.Forbidden(scope)
        return viewer

    return find_viewer


def authenticate(auth: Auth, rate_limit: RateLimit, request: Request, authorization: str | None = None) -> Viewer:
    """Return the viewer of the request's API key, whatever its scopes are.

    ``authorization`` takes the place of the header of that name.
    Raises MissingKey, InvalidKey or RateLimited. Requests without a valid key are counted by IP address, and wrong keys
    have a limit of their own.
    """
    try:
        header = request.headers.get(b"authorization")
        viewer = auth.viewer_of(authorization or (header.decode("latin-1") if header else None))
    except errors.InvalidKey:
        rate_limit.count_failure(request)
        rate_limit.take(counter_of(request))
        raise
    except errors.MissingKey:
        rate_limit.take(counter_of(request))
        raise
    if viewer.team is not None:
        request.viewer = viewer
    rate_limit.take(counter_of(request))
    return viewer
