"""Hashes files that a scan listed without their hashes."""

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

# One transaction's worth: each makes every index follow.
_BATCH_FILES, _BATCH_SECONDS = 200, 2.0


def hash_pending(
    store: Store,
    is_ended: Callable[[], bool],
    *,
    seconds_max: float = math.inf,
    on_file: Callable[[int], object] = int,
) -> int:
    """Hash files that were listed without, until none is left or ``is_ended`` says so; return how many were hashed.

    No file is begun after ``seconds_max``; ``on_file`` is told the size of each that is. A file that is not on this
    machine, or not what it was, is left to the next scan.
    """
    done = after = 0
    end_at = time.monotonic() + seconds_max
    while not is_ended() and time.monotonic() < end_at:
        with store.reading() as connection:
            waiting = files.pending(connection, _BATCH_FILES, after)
        if not waiting:
            break
        looks: list[ProbeResult] = []
        began = time.monotonic()
        for known in waiting:
            if is_ended() or time.monotonic() - began >= _BATCH_SECONDS:
                break
            assert known.id is not None, "it came from the store"
            after = known.id
            on_file(known.size_bytes)
            if (seen := _hashed(known, store.identity, is_ended)) is not None:
                looks.append(seen)
        if looks:
            with store.transaction() as writing:
                settling = Reconciler(writing)
                # Whose they are is on record.
                settling.take(looks, Ownership(), {})
                settling.finish()
        done += len(looks)
    return done


def _hashed(known: FileRecord, catalogue: str, is_ended: Callable[[], bool]) -> ProbeResult | None:
    def on_bytes(_: int) -> None:
        if is_ended():
            raise errors.Interrupted

    if not files.is_as_recorded(known) or (found := find_file(known.path)) is None:
        return None
    with suppress(errors.Interrupted):
        return probe(found, with_hashes=True, catalogue=catalogue, on_bytes=on_bytes)
    return None
