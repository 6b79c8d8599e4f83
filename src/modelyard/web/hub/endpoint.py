"""The rule of every handler under ``/hf``: errors in the client's words, and the headers that clients need.

X-Repo-Commit     on every answer; 40 zeros where there is no repository
X-Error-Code      RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo: clients make an exception of each
RateLimit         how many requests the caller has left, and the seconds until there are more
"""

from dataclasses import replace

import msgspec
from starlette.types import Message, Receive, Send

from modelyard import errors, wire
from modelyard.web.rate_limit import RateLimit, counter_of
from modelyard.web.requests import Handler, Header, Request
from modelyard.web.responses import Response, error_response, send_response
from modelyard.wire import hub

PREFIX = "/hf"
NO_COMMIT = "0" * 40
_COMMIT = hub.COMMIT_HEADER.lower().encode()
_EXPOSED: Header = (
    b"access-control-expose-headers",
    (
        b"X-Repo-Commit, X-Error-Code, X-Error-Message, X-Linked-Etag, X-Linked-Size, X-Request-Id, ETag, Link, "
        b"Accept-Ranges, Content-Range, Content-Length, Location, RateLimit, RateLimit-Policy, Retry-After"
    ),
)
_ERROR_CODES: tuple[tuple[type[errors.ModelyardError], str], ...] = (
    (errors.RepositoryNotFound, "RepoNotFound"),
    (errors.RevisionNotFound, "RevisionNotFound"),
    (errors.EntryNotFound, "EntryNotFound"),
    (errors.SuspiciousFile, "GatedRepo"),
    (errors.RepositoryGated, "GatedRepo"),
)
# With this sentence, clients say that the key is wrong. With another one, they say that the repository is unknown.
_INVALID_KEY = "Invalid credentials in Authorization header"
_MESSAGE_CHARS_MAX = 500


def hub_endpoint(handle: Handler, rate_limit: RateLimit) -> Handler:
    """Return a handler that adds the headers of the hub, and answers errors as the hub does."""

    async def guarded(request: Request, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_added_headers(request, message["headers"], rate_limit)]
            await send(message)

        try:
            await handle(request, receive, send_with_headers)
        except errors.ModelyardError as error:
            if request.status:
                raise
            await send_response(render(error), request, send_with_headers)

    return guarded


def with_commit(response: Response, commit: str) -> Response:
    """Return a response with the commit of its repository."""
    return replace(response, headers=(*response.headers, (_COMMIT, commit.encode())))


def render(error: errors.ModelyardError) -> Response:
    """Return the response for an error."""
    answer = wire.render_error(error)
    message = _INVALID_KEY if isinstance(error, errors.InvalidKey) else _message_of(answer)
    code = next((code for kind, code in _ERROR_CODES if isinstance(error, kind)), None)
    headers = [
        *((name, value) for name, value in error_response(answer).headers),
        (hub.ERROR_MESSAGE_HEADER.lower().encode(), _header_text(message)),
        (_COMMIT, str(error.facts.get("commit", NO_COMMIT)).encode()),
    ]
    if code:
        headers.append((hub.ERROR_CODE_HEADER.lower().encode(), code.encode()))
    return Response(msgspec.json.encode(hub.ErrorRecord(message)), headers=tuple(headers), status=answer.status)


def _message_of(answer: wire.ErrorAnswer) -> str:
    return str(msgspec.json.decode(answer.body)["message"])


def _header_text(message: str) -> bytes:
    text = " ".join(message.split())[:_MESSAGE_CHARS_MAX]
    return text.encode("ascii", "replace")


def _added_headers(request: Request, headers: list[Header], rate_limit: RateLimit) -> list[Header]:
    names = {name for name, _ in headers}
    added = [_EXPOSED]
    if _COMMIT not in names:
        added.append((_COMMIT, NO_COMMIT.encode()))
    if allowance := rate_limit.allowance(counter_of(request)):
        per_minute, remaining, seconds = allowance
        added.append((b"ratelimit", b'"api";r=%d;t=%d' % (remaining, seconds)))
        added.append((b"ratelimit-policy", b'"fixed window";"api";q=%d;w=60' % per_minute))
    return added
