"""Hashes the files that a scan recorded without hashes."""

import logging
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from modelyard import errors
from modelyard.library.probe import ProbeResult, probe
from modelyard.library.reconcile import Ownership, Reconciler
from modelyard.library.walk import find_file
from modelyard.paths import display_path
from modelyard.store import Store, files
from modelyard.store.files import FileRecord

log = logging.getLogger(__name__)

# Files and seconds per transaction. Every commit makes every node refresh its index.
_BATCH_FILES, _BATCH_SECONDS = 200, 2.0
# Of the store, for each machine: the file that is hashed now.
_PROPERTY = f"hashing: {socket.gethostname()}"


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
    hung_id = _find_start(store)
    done, after, is_last_round = 0, hung_id, False
    end_at = time.monotonic() + seconds_max
    while not is_ended() and time.monotonic() < end_at:
        with store.reading() as connection:
            waiting = files.pending(connection, _BATCH_FILES, after)
        if not waiting:
            if is_last_round or after == 0:
                break
            after, is_last_round = 0, True
            continue
        results: list[ProbeResult] = []
        began = time.monotonic()
        for record in waiting:
            if is_ended() or time.monotonic() - began >= _BATCH_SECONDS:
                break
            assert record.id is not None, "it came from the store"
            if results and record.id == hung_id:
                break  # the others are stored before it may hang again
            after = record.id
            _note_start(store, record.id)
            on_file(record.size_bytes)
            if (result := _hashed(record, store.identity, is_ended)) is not None:
                results.append(result)
        if results:
            with store.transaction() as transaction:
                reconciler = Reconciler(transaction, store.node)
                # The records hold the owners of the files.
                reconciler.take(results, Ownership(), {})
                reconciler.finish()
        done += len(results)
    _note_start(store, None)
    return done


def _find_start(store: Store) -> int:
    """Return the id behind which to begin: the file in which the last run was killed goes to the end of the queue."""
    file_id = int(store.get_property(_PROPERTY) or 0)
    if file_id:
        with store.reading() as connection:
            hung = files.pending(connection, 1, file_id - 1)
        if hung and hung[0].id == file_id:
            log.warning("hashing of %s did not end; the other files go first", display_path(hung[0].path))
    return file_id


def _note_start(store: Store, file_id: int | None) -> None:
    """Note the file that is hashed now, None for none: a file that hangs cannot say so."""
    with store.transaction() as transaction:
        transaction.remember(_PROPERTY, str(file_id) if file_id else None)


def _hashed(record: FileRecord, catalogue: str, is_ended: Callable[[], bool]) -> ProbeResult | None:
    def on_bytes(_: int) -> None:
        if is_ended():
            raise errors.Interrupted

    if not files.is_as_recorded(record) or (found_file := find_file(record.path)) is None:
        return None
    with suppress(errors.Interrupted):
        return probe(found_file, with_hashes=True, catalogue=catalogue, on_bytes=on_bytes)
    return None
