"""Jinja templates. All values are escaped, and an undefined variable is an error."""

import re
from functools import cache

import jinja2
from markupsafe import Markup, escape

from modelyard import wire
from modelyard.signatures import format_signature
from modelyard.web.pages.labels import get_type_label
from modelyard.web.requests import Header
from modelyard.web.static_files import static_address

# A page loads nothing from another host, covers included. Inline scripts and styles are forbidden.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    # Not "no-referrer": browsers would then hide the origin of our own forms, which the check for forged forms needs.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
HTML = b"text/html; charset=utf-8"


@cache
def environment() -> jinja2.Environment:
    """Return the environment that loads and compiles templates."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("modelyard.web.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # The package's files do not change while the server runs.
        auto_reload=False,
    )
    templates.globals["static"] = static_address
    templates.globals["names"] = wire.NAMES
    templates.filters["compact"] = format_count
    templates.filters["size"] = format_size
    templates.filters["breakable"] = mark_breaks
    templates.filters["signature"] = format_signature
    templates.filters["type_label"] = get_type_label
    return templates


def render(name: str, /, **values: object) -> str:
    """Render a template with these values."""
    return _get_template(name).render(values)


@cache
def _get_template(name: str) -> jinja2.Template:
    return environment().get_template(name)


def format_count(number: int) -> str:
    """Return a short form of a number: 950, 8.1k, 805k, 1.2M."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(number) >= unit * 0.9995:
            quotient = number / unit
            return f"{quotient:.1f}".removesuffix(".0") + letter if abs(quotient) < 9.95 else f"{quotient:.0f}{letter}"
    return str(number)


def format_size(number: int) -> str:
    """Return a number of bytes in a decimal unit: 228 MB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}".replace(".0 ", " ")
    return f"{number} bytes"


_SEAM = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[_.\-])(?=\w)")


def mark_breaks(name: str) -> Markup:
    """Return a name, escaped, with a possible line break between its parts: jib|Mix|Realistic|XL."""
    # No HTML entity contains a seam: entities have no capital or _ . - after a letter.
    return Markup(_SEAM.sub("<wbr>", str(escape(name))))  # noqa: S704 # escaped just before
