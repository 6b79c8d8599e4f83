"""Downloads of covers from the addresses that models have: four at a time, each address once.

Every result is in the store before it is yielded. If an import is interrupted, the next one skips what the store has.
It tries an address that failed for good again after a month.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial

from modelyard import errors
from modelyard.covers.covers import Covers
from modelyard.covers.download import fetch
from modelyard.covers.renderer import Rendered, render
from modelyard.outbound import Outbound, TemporaryFailure, with_retries
from modelyard.registry import models
from modelyard.retry import RetryPolicy
from modelyard.store import Store, covers

# Most catalogues have their pictures on one host. A browser opens six connections to a host.
AT_ONCE = 4
# Downloads that wait for their transaction, in memory.
_RESULTS_MAX = 4 * AT_ONCE
_RETRY_POLICY = RetryPolicy(attempts_max=3, wait_seconds_first=2.0, wait_seconds_max=60.0, retry_after_seconds_max=60.0)
# An address that failed for good is not tried again for this long.
FAILED_SECONDS = 30 * 86_400
# Covers per transaction. Every commit makes every node refresh its index, so this is not small.
_BATCH, _BATCH_SECONDS = 50, 2.0


@dataclass(frozen=True, slots=True)
class CoverResult:
    """The result for one address. ``problem`` is empty if its models show the picture now."""

    address: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Download:
    address: str
    rendered: Rendered | None = None
    problem: str = ""
    is_temporary: bool = False


def missing_covers(store: Store, model_ids: Collection[int]) -> dict[str, list[int]]:
    """Return the addresses of these models' covers that are not downloaded yet, with the models of each."""
    with store.reading() as connection:
        return covers.missing_covers(connection, model_ids, int(store.now()) - FAILED_SECONDS)


def import_covers(
    store: Store,
    pictures: Covers,
    outbound: Outbound,
    ids_by_address: dict[str, list[int]],
    sleep: Callable[[float], object] = time.sleep,
) -> Generator[CoverResult]:
    """Download the covers, show them with their models, and yield each result once it is in the store."""
    policy = dataclasses.replace(_RETRY_POLICY, sleep=sleep)
    batch: list[_Download] = []
    started_at = time.monotonic()
    with closing(_download_all(outbound, list(ids_by_address), policy)) as results:
        for download in results:
            batch.append(download)
            if len(batch) >= _BATCH or time.monotonic() - started_at >= _BATCH_SECONDS:
                yield from _record_batch(store, pictures, batch, ids_by_address)
                batch, started_at = [], time.monotonic()
    yield from _record_batch(store, pictures, batch, ids_by_address)


def _download_all(outbound: Outbound, addresses: Sequence[str], policy: RetryPolicy) -> Generator[_Download]:
    """Download the covers, some at the same time, and yield the results as they come.

    The threads are daemons: a command that is interrupted does not wait for slow hosts.
    """
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for address in addresses:
        todo.put(address)
    results: queue.Queue[_Download | BaseException] = queue.Queue(_RESULTS_MAX)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                address = todo.get_nowait()
                try:
                    result: _Download | BaseException = _download_cover(outbound, address, policy)
                except BaseException as problem:  # raised where the results are read
                    result = problem
                results.put(result)

    for _ in range(min(AT_ONCE, len(addresses))):
        threading.Thread(target=work, name="modelyard-covers", daemon=True).start()
    try:
        for _ in addresses:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        # Without addresses and with room for their results, the threads end.
        for items in (todo, results):
            with suppress(queue.Empty):
                while True:
                    items.get_nowait()


def _download_cover(outbound: Outbound, address: str, policy: RetryPolicy) -> _Download:
    try:
        return _Download(address, render(with_retries(partial(fetch, address, outbound), policy)))
    except TemporaryFailure as problem:
        return _Download(address, problem=problem.message, is_temporary=True)
    except (errors.DownloadFailed, errors.UnsupportedFile, errors.TooLarge) as problem:
        return _Download(address, problem=problem.message)


def _record_batch(
    store: Store, pictures: Covers, batch: Sequence[_Download], ids_by_address: dict[str, list[int]]
) -> list[CoverResult]:
    if not batch:
        return []
    names = {item.address: pictures.keep(item.rendered) for item in batch if item.rendered is not None}
    with store.transaction() as transaction:
        for item in batch:
            if not item.is_temporary:
                name = names.get(item.address)
                covers.note_address(transaction.connection, item.address, name, item.problem, transaction.now)
        models.refresh(transaction, [model_id for address in names for model_id in ids_by_address[address]])
    return [CoverResult(item.address, item.problem) for item in batch]
