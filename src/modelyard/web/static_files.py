"""The style sheets, scripts and images of the pages. A URL of one changes with its content."""

import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from blake3 import blake3

from modelyard.web.requests import Header, Request
from modelyard.web.responses import Response

_REVALIDATED: tuple[Header, ...] = ((b"cache-control", b"public, no-cache"), (b"vary", b"Accept-Encoding"))
# The URL has a digest of the content, so its content never changes.
_IMMUTABLE: tuple[Header, ...] = (
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"vary", b"Accept-Encoding"),
)


@dataclass(frozen=True, slots=True)
class _StaticFile:
    body: bytes
    media_type: bytes
    version: str


def get_static_file(request: Request) -> Response:
    """Return a style sheet, script or image."""
    file = _static_files()[request.path_parameters["name"]]
    is_versioned = request.query_string == b"v=" + file.version.encode()
    return Response(
        file.body,
        file.media_type,
        caching=_IMMUTABLE if is_versioned else _REVALIDATED,
    )


@cache
def _static_files() -> dict[str, _StaticFile]:
    result = {}
    for file in (files("modelyard.web") / "static").iterdir():
        body = file.read_bytes()
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if media_type.startswith("text/"):
            media_type += "; charset=utf-8"
        result[file.name] = _StaticFile(body, media_type.encode(), blake3(body).hexdigest(8))
    return result


def static_names() -> list[str]:
    """Return the names of all static files."""
    return sorted(_static_files())


def static_address(name: str) -> str:
    """Return the URL of a static file, which changes with its content."""
    return f"/static/{name}?v={_static_files()[name].version}"
