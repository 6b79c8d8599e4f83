"""The CORS headers (https://fetch.spec.whatwg.org): which web pages may read the responses."""

from modelyard import wire
from modelyard.web.requests import Header, Request

_RESPONSE_HEADERS = (
    f"ETag, {wire.TOTAL_HEADER}, {wire.IGNORED_HEADER}, {wire.SUGGESTION_HEADER}, {wire.FILTER_SUGGESTION_HEADER}, "
    f"{wire.REVISION_HEADER}, {wire.NAME_HEADER}, "
    "Preference-Applied, Retry-After, X-Request-Id, "
    # Read by a web page that uploads by tus 1.0.
    "Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, "
    "Upload-Length, Upload-Expires, Upload-Metadata, Upload-Concat"
)
_EXPOSED: tuple[Header, ...] = ((b"access-control-expose-headers", _RESPONSE_HEADERS.encode()),)
_ANY_ORIGIN: tuple[Header, ...] = ((b"access-control-allow-origin", b"*"),)
_PREFLIGHT: tuple[Header, ...] = (
    (
        b"access-control-allow-headers",
        (
            b"authorization, content-type, prefer, if-none-match, x-request-id, range, tus-resumable, upload-length, "
            b"modelyard-min-revision, "
            b"upload-offset, upload-metadata, upload-checksum, upload-concat, x-http-method-override"
        ),
    ),
    (b"access-control-max-age", b"86400"),
)


class Cors:
    """Which web pages may read the responses. ``origins`` is ``*``, or origins separated by commas."""

    def __init__(self, origins: str) -> None:
        self._origins = frozenset(origin.strip().encode() for origin in origins.split(",") if origin.strip())

    def headers(self, request: Request) -> tuple[Header, ...]:
        """Return the headers of the response to this request, which may be a preflight."""
        if request.scope["method"] == "OPTIONS":
            return (*self._allow_origin(request), *_PREFLIGHT)
        # Only the script of a web page sends its origin, and needs to know which headers it may read.
        return (*self._allow_origin(request), *(_EXPOSED if b"origin" in request.headers else ()))

    def _allow_origin(self, request: Request) -> tuple[Header, ...]:
        if b"*" in self._origins:
            return _ANY_ORIGIN
        origin = request.headers.get(b"origin", b"")
        allowed = ((b"access-control-allow-origin", origin),) if origin in self._origins else ()
        return (*allowed, (b"vary", b"Origin"))
