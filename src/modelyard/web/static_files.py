"""Style sheets, scripts and drawings of the pages: ours, from this server, under addresses that change with them."""

import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from blake3 import blake3

from modelyard.web.requests import Answer, Exchange, Header

_PUBLIC: tuple[Header, ...] = ((b"cache-control", b"public, no-cache"), (b"vary", b"Accept-Encoding"))
# The address holds the content's digest, so what it names never changes.
_FOR_EVER: tuple[Header, ...] = (
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"vary", b"Accept-Encoding"),
)


@dataclass(frozen=True, slots=True)
class _StaticFile:
    body: bytes
    media_type: bytes
    version: str


def show_static(exchange: Exchange) -> Answer:
    """Answer one of our own style sheets, scripts and images."""
    found = _static_files()[exchange.path_parameters["name"]]
    is_versioned = exchange.query_string == b"v=" + found.version.encode()
    return Answer(
        found.body,
        found.media_type,
        ((b"x-content-type-options", b"nosniff"),),
        caching=_FOR_EVER if is_versioned else _PUBLIC,
    )


@cache
def _static_files() -> dict[str, _StaticFile]:
    found = {}
    for file in (files("modelyard.web") / "static").iterdir():
        body = file.read_bytes()
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if media_type.startswith("text/"):
            media_type += "; charset=utf-8"
        found[file.name] = _StaticFile(body, media_type.encode(), blake3(body).hexdigest(8))
    return found


def static_names() -> list[str]:
    """Return the names of the static files there are."""
    return sorted(_static_files())


def static_address(name: str) -> str:
    """Return the address of a static file that changes with its content."""
    return f"/static/{name}?v={_static_files()[name].version}"
