"""Hashes the files that a scan recorded without hashes."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress

from modelyard import errors
from modelyard.library.probe import ProbeResult, probe
from modelyard.library.reconcile import Ownership, Reconciler
from modelyard.library.walk import find_file
from modelyard.store import Store, files
from modelyard.store.files import FileRecord

log = logging.getLogger(__name__)

# Files and seconds per transaction. Every commit makes every node refresh its index.
_BATCH_FILES, _BATCH_SECONDS = 200, 2.0


def hash_pending(
    store: Store,
    is_ended: Callable[[], bool],
    *,
    seconds_max: float = math.inf,
    on_file: Callable[[int], object] = int,
) -> int:
    """Hash files without hashes until none is left or ``is_ended`` returns true; return the number of hashed files.

    It starts no file after ``seconds_max``, and calls ``on_file`` with the size of each file before it starts. The next
    scan handles files that are not on this machine, or that have changed.
    """
    done = after = 0
    end_at = time.monotonic() + seconds_max
    while not is_ended() and time.monotonic() < end_at:
        with store.reading() as connection:
            waiting = files.pending(connection, _BATCH_FILES, after)
        if not waiting:
            break
        results: list[ProbeResult] = []
        began = time.monotonic()
        for record in waiting:
            if is_ended() or time.monotonic() - began >= _BATCH_SECONDS:
                break
            assert record.id is not None, "it came from the store"
            after = record.id
            on_file(record.size_bytes)
            if (result := _hashed(record, store.identity, is_ended)) is not None:
                results.append(result)
        if results:
            with store.transaction() as transaction:
                reconciler = Reconciler(transaction)
                # The records hold the owners of the files.
                reconciler.take(results, Ownership(), {})
                reconciler.finish()
        done += len(results)
    return done


def _hashed(record: FileRecord, catalogue: str, is_ended: Callable[[], bool]) -> ProbeResult | None:
    def on_bytes(_: int) -> None:
        if is_ended():
            raise errors.Interrupted

    if not files.is_as_recorded(record) or (found_file := find_file(record.path)) is None:
        return None
    with suppress(errors.Interrupted):
        return probe(found_file, with_hashes=True, catalogue=catalogue, on_bytes=on_bytes)
    return None
