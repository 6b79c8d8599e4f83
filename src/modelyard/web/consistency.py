"""The revision of a response, and the wait for one: a client can read through any node what it wrote through another.

response  Modelyard-Revision: 812        the response includes all changes up to 812; a write became part of 812
request   Modelyard-Min-Revision: 812    wait for revision 812, at most a second, then respond with 503
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.web.requests import Header, Request
from modelyard.web.responses import Response

WAIT_SECONDS_MAX = 1.0
_POLL_SECONDS = 0.005
_REVISION = wire.REVISION_HEADER.lower().encode()
MIN_REVISION = wire.MIN_REVISION_HEADER.lower().encode()
# Revisions are 64-bit integers in every database.
_DIGITS_MAX = 18


def revision_header(revision: int) -> Header:
    """Return the header with the revision of a response."""
    return _REVISION, b"%d" % revision


def staleness(catalog: Catalog) -> tuple[Header, ...]:
    """Return the warning header for the time in which the database is unreachable; it says for how long that is."""
    unreachable_seconds = catalog.unreachable_seconds()
    if unreachable_seconds is None:
        return ()
    # RFC 7234, 5.5: 110 is "Response is Stale".
    return (
        (b"warning", b'110 modelyard "the database is away, answers may be %d s old"' % math.ceil(unreachable_seconds)),
    )


def with_revision(catalog: Catalog, read: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Return ``read`` with the revision in its responses. That is the one before reading: it may change meanwhile."""

    def read_with_revision(request: Request) -> Response:
        revision = catalog.refresh()
        response = read(request)
        return replace(response, headers=(*response.headers, revision_header(revision)))

    return read_with_revision


@dataclass(frozen=True, slots=True)
class RevisionWait:
    """Waits until a catalogue has the revision that a request needs."""

    catalog: Catalog
    wait_seconds_max: float = WAIT_SECONDS_MAX

    async def wait(self, request: Request) -> None:
        """Return as soon as the revision is here. Raises Unavailable if it does not arrive in time."""
        minimum = _read_revision(request.headers[MIN_REVISION])
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.wait_seconds_max
        while (revision := self.catalog.refresh()) < minimum:
            if loop.time() >= deadline:
                raise errors.Unavailable(
                    f"this node is at revision {revision}, not at {minimum}", revision=revision, wanted=minimum
                )
            await asyncio.sleep(_POLL_SECONDS)


def _read_revision(header: bytes) -> int:
    if header.isdigit() and len(header) <= _DIGITS_MAX:
        return int(header)
    raise errors.InvalidParameter(wire.MIN_REVISION_HEADER, header.decode("latin-1"), "a revision, decimal digits")
