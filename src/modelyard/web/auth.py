"""Checks the API key of a request, and counts the request against the rate limit."""

from collections.abc import Callable

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Viewer
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Request

# Returns the viewer who sends a request, or raises an error.
ViewerOf = Callable[[Request], Viewer]


def authenticate(auth: Auth, rate_limit: RateLimit, request: Request) -> Viewer:
    """Return the viewer of the request's API key, whatever its scopes are.

    Raises MissingKey, InvalidKey or RateLimited. Requests without a valid key are counted by IP address, so that
    guessing keys is limited too.
    """
    try:
        authorization = request.headers.get(b"authorization")
        viewer = auth.viewer_of(authorization.decode("latin-1") if authorization else None)
    except errors.Unauthenticated:
        rate_limit.take("address " + request.caller_address)
        raise
    if viewer.team is None:
        rate_limit.take("address " + request.caller_address)
    else:
        request.viewer = viewer
        rate_limit.take(viewer.team)
    return viewer
