"""Fetching the covers that models' addresses lead to: a few at once, gently, and never the same one twice.

What came of an address is on record as soon as it is told of. A run that is broken off goes on where it ended, because
what is done is not wanted any more; what failed for good is asked for again after a month.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from modelyard import errors
from modelyard.covers.covers import Covers
from modelyard.covers.download import AddressPolicy, TemporaryFailure, fetch
from modelyard.covers.thumbnails import Rendered, render
from modelyard.registry import models
from modelyard.store import Store, covers

# Most catalogues' pictures are on one host: this is what a browser opens to it, less some.
AT_ONCE = 4
_WAITING = 4 * AT_ONCE
_ATTEMPTS_MAX = 3
_WAIT_SECONDS_FIRST, _WAIT_SECONDS_MAX = 1.0, 60.0
_FAILED_SECONDS = 30 * 86_400
# One transaction's worth: each makes every index follow.
_BATCH, _BATCH_SECONDS = 50, 2.0


@dataclass(frozen=True, slots=True)
class CoverResult:
    """What came of one address. ``problem`` is empty where its picture is kept and shown now."""

    address: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Fetched:
    address: str
    rendered: Rendered | None = None
    problem: str = ""
    is_passing: bool = False


def wanted(store: Store, model_ids: Collection[int]) -> dict[str, list[int]]:
    """Return the addresses of covers that these models show and that are to be fetched, with the models of each."""
    with store.reading() as connection:
        return covers.wanted(connection, model_ids, int(time.time()) - _FAILED_SECONDS)


def import_covers(
    store: Store,
    kept: Covers,
    guard: AddressPolicy,
    ids_by_address: dict[str, list[int]],
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[CoverResult]:
    """Fetch the addresses, have their models show what came, and yield what came of each once that is on record."""
    batch: list[_Fetched] = []
    began = time.monotonic()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="modelyard-covers")
    try:
        for fetched in _in_order(pool, guard, list(ids_by_address), sleep):
            batch.append(fetched)
            if len(batch) >= _BATCH or time.monotonic() - began >= _BATCH_SECONDS:
                yield from _recorded(store, kept, batch, ids_by_address)
                batch, began = [], time.monotonic()
        yield from _recorded(store, kept, batch, ids_by_address)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, guard: AddressPolicy, addresses: Sequence[str], sleep: Callable[[float], object]
) -> Iterator[_Fetched]:
    waiting: deque[Future[_Fetched]] = deque()
    for address in addresses:
        waiting.append(pool.submit(_fetched, guard, address, sleep))
        if len(waiting) >= _WAITING:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _fetched(guard: AddressPolicy, address: str, sleep: Callable[[float], object]) -> _Fetched:
    for attempt in range(1, _ATTEMPTS_MAX + 1):
        try:
            return _Fetched(address, render(fetch(address, guard)))
        except TemporaryFailure as passing:
            if attempt == _ATTEMPTS_MAX:
                return _Fetched(address, problem=passing.message, is_passing=True)
            asked = passing.after_seconds
            sleep(min(asked if asked is not None else _WAIT_SECONDS_FIRST * 2.0**attempt, _WAIT_SECONDS_MAX))
        except (errors.DownloadFailed, errors.UnsupportedFile, errors.TooLarge) as lasting:
            return _Fetched(address, problem=lasting.message)
    raise AssertionError("the last attempt returns")


def _recorded(
    store: Store, kept: Covers, batch: Sequence[_Fetched], ids_by_address: dict[str, list[int]]
) -> list[CoverResult]:
    if not batch:
        return []
    names = {fetched.address: kept.keep(fetched.rendered) for fetched in batch if fetched.rendered is not None}
    with store.transaction() as writing:
        for fetched in batch:
            if not fetched.is_passing:
                name = names.get(fetched.address)
                covers.note_address(writing.connection, fetched.address, name, fetched.problem, writing.now)
        models.refresh(writing, [model_id for address in names for model_id in ids_by_address[address]])
    return [CoverResult(fetched.address, fetched.problem) for fetched in batch]
