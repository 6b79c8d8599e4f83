"""Templates: everything that is not our own markup is escaped, and what a template lacks is an error."""

import re
from functools import cache

import jinja2
from markupsafe import Markup, escape

from modelyard import wire
from modelyard.web.requests import Header
from modelyard.web.static_files import static_address

# Covers are ours, or not shown: a page asks no other host for anything. No inline script, no inline style.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    # Not "no-referrer": with it browsers hide the origin of our own forms, which is what tells them from others'.
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
HTML = b"text/html; charset=utf-8"


@cache
def environment() -> jinja2.Environment:
    """Return what templates are found and compiled by."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("modelyard.web.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # The package's files do not change under a running server.
        auto_reload=False,
    )
    made.globals["static"] = static_address
    made.globals["names"] = wire.NAMES
    made.filters["compact"] = compact
    made.filters["size"] = size
    made.filters["breakable"] = breakable
    return made


def render(name: str, /, **values: object) -> str:
    """Return a template's text with these values in it."""
    return _template(name).render(values)


@cache
def _template(name: str) -> jinja2.Template:
    return environment().get_template(name)


def compact(number: int) -> str:
    """Return a number as it is read at a glance: 950, 8.1k, 805k, 1.2M."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(number) >= unit * 0.9995:
            scaled = number / unit
            return f"{scaled:.1f}".removesuffix(".0") + letter if abs(scaled) < 9.95 else f"{scaled:.0f}{letter}"
    return str(number)


def size(number: int) -> str:
    """Return a number of bytes as people say it, in decimal units as download links do."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}".replace(".0 ", " ")
    return f"{number} bytes"


_SEAM = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[_.\-])(?=\w)")


def breakable(name: str) -> Markup:
    """Return a name, escaped, that may be broken where its parts meet: jib|Mix|Realistic|XL."""
    # A seam is never inside what escaping makes: no capital, and none of _ . - follows a letter there.
    return Markup(_SEAM.sub("<wbr>", str(escape(name))))  # noqa: S704 # escaped just before
