"""``/docs``: the API on one page, to read and to try, made from the table that the parser reads; and its static files.

The page works without JavaScript, loads nothing from another host and runs no inline script: its
Content-Security-Policy allows neither.
"""

import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import jinja2
import msgspec
from blake3 import blake3

from modelyard import wire
from modelyard.web.exchange import Answer, Exchange, Header
from modelyard.web.openapi import LISTING_ERRORS, REQUEST_HEADERS, example_page

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
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


def show_page(_: Exchange) -> Answer:
    """Answer the documentation page."""
    return Answer(_page(), b"text/html; charset=utf-8", PAGE_HEADERS, caching=_PUBLIC)


def show_static(name: str, exchange: Exchange) -> Answer:
    """Answer one of our own style sheets, scripts and images."""
    found = _static_files()[name]
    is_versioned = exchange.scope["query_string"] == b"v=" + found.version.encode()
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


@cache
def _page() -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("modelyard.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static_address
    example = msgspec.json.format(msgspec.json.encode(example_page()), indent=2).decode()
    failures = [(answer.status, msgspec.json.decode(answer.body)) for answer in map(wire.render_error, LISTING_ERRORS)]
    return (
        environment.get_template("docs.html")
        .render(
            parameters=wire.PARAMETERS,
            request_headers=REQUEST_HEADERS,
            example=example,
            failures=failures,
            ignored_header=wire.IGNORED_HEADER,
            total_header=wire.TOTAL_HEADER,
            suggestion_header=wire.SUGGESTION_HEADER,
        )
        .encode()
    )
