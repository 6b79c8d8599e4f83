"""The change feed of a server: pages of changes, one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import httpx2
import msgspec

from modelyard.client.answers import decode
from modelyard.client.fields import Model

_PAGE_CHANGES = 100
# Below the client's own time limit, and below those of proxies.
_WAIT_SECONDS = 30

Ask = Callable[[Sequence[tuple[str, str]], Mapping[str, str]], httpx2.Response]


class ModelChange(msgspec.Struct, omit_defaults=True):
    """A model that is new or changed (``put``), or one that you do not see any more (``removed``).

    ``next`` is where to continue after this change; a change before it may come again.
    """

    revision: int
    id: int
    change: Literal["put", "removed"]
    model: Model | None = None
    next: int | str = 0


class _ChangePage(msgspec.Struct):
    changes: list[ModelChange]
    next: int | str
    more: bool


def iterate_changes(
    ask: Ask, since: str, parameters: Sequence[tuple[str, str]], *, waits: bool
) -> Iterator[ModelChange]:
    """Yield the changes since a position, over all pages; with ``waits`` also those that come."""
    headers = {"Prefer": "handling=strict" + (f", wait={_WAIT_SECONDS}" if waits else "")}
    position: int | str = since
    while True:
        page = decode(ask([*parameters, ("since", str(position)), ("limit", str(_PAGE_CHANGES))], headers), _ChangePage)
        for change, following in zip(page.changes, [*page.changes[1:], None], strict=True):
            if following is None:
                change.next = page.next
            else:
                # Only the last change of a revision is a place to continue at; before it, the page is.
                change.next = change.revision if following.revision > change.revision else position
            if change.next != position and isinstance(change.next, int):
                position = change.next
            yield change
        position = page.next
        if not page.more and not waits:
            return
