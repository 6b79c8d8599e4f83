"""Which revision an answer stands for, and waiting for one: what a client wrote through any node, it reads through any.

answer   Modelyard-Revision: 812        everything up to revision 812 is in it; of a write: it is in 812
request  Modelyard-Min-Revision: 812    answer when 812 is here: at most a second, then 503
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.web.requests import Answer, Exchange, Header

WAIT_SECONDS_MAX = 1.0
_LOOK_SECONDS = 0.005
_REVISION = wire.REVISION_HEADER.lower().encode()
MIN_REVISION = wire.MIN_REVISION_HEADER.lower().encode()
# Revisions are 64-bit integers in every database.
_DIGITS_MAX = 18


def revision_header(revision: int) -> Header:
    """Return the header that says which revision an answer stands for."""
    return _REVISION, b"%d" % revision


def staleness(catalog: Catalog) -> tuple[Header, ...]:
    """Return the warning that answers carry while the database is away, which says for how long it has been."""
    unreachable_seconds = catalog.unreachable_seconds()
    if unreachable_seconds is None:
        return ()
    # RFC 7234, 5.5: 110 is "Response is Stale".
    return (
        (b"warning", b'110 modelyard "the database is away, answers may be %d s old"' % math.ceil(unreachable_seconds)),
    )


def stamped(catalog: Catalog, read: Callable[[Exchange], Answer]) -> Callable[[Exchange], Answer]:
    """Return ``read`` with the revision on its answers: the one from before it was read, for it may have gone on."""

    def read_stamped(exchange: Exchange) -> Answer:
        revision = catalog.refresh()
        answer = read(exchange)
        return replace(answer, headers=(*answer.headers, revision_header(revision)))

    return read_stamped


@dataclass(frozen=True, slots=True)
class Freshness:
    """Waits for a catalogue to have the revision that a request asks for."""

    catalog: Catalog
    wait_seconds_max: float = WAIT_SECONDS_MAX

    async def wait(self, exchange: Exchange) -> None:
        """Return as soon as the revision is here. Raises Unavailable when it has not come in time."""
        wanted = _wanted(exchange.headers[MIN_REVISION])
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self.wait_seconds_max
        while (revision := self.catalog.refresh()) < wanted:
            if loop.time() >= ends_at:
                raise errors.Unavailable(
                    f"this node is at revision {revision}, not at {wanted}", revision=revision, wanted=wanted
                )
            await asyncio.sleep(_LOOK_SECONDS)


def _wanted(given: bytes) -> int:
    if given.isdigit() and len(given) <= _DIGITS_MAX:
        return int(given)
    raise errors.InvalidParameter(wire.MIN_REVISION_HEADER, given.decode("latin-1"), "a revision, decimal digits")
