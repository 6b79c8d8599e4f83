"""What follows when files were added: their covers, hashes of those listed without, and matches with later imports."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event

from modelyard import errors
from modelyard.covers.finder import cover_files
from modelyard.library.probe import Look, look
from modelyard.library.reconcile import Owner, Settling
from modelyard.covers import Covers
from modelyard.domain import OWN_ID_MIN
from modelyard.library.walk import find_file
from modelyard.store import Store, files
from modelyard.store.files import KnownFile

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# One transaction's worth: each makes every index follow.
_BATCH_FILES, _BATCH_SECONDS = 200, 2.0


class _Ended(Exception):
    """Leaves a file that is half hashed."""


def follow(store: Store, kept: Covers, ended: Event, *, look_seconds: float = LOOK_SECONDS) -> None:
    """Find covers, hash what waits, join what matches, whenever the record has changed, until ``ended`` is set."""
    seen = -1
    while not ended.is_set():
        try:
            revision = store.revision_hint()
            if revision != seen:
                # Minutes for what takes hours to hash.
                cover_files(store, kept, ended.is_set)
                hash_pending(store, ended.is_set)
                join_later_matches(store)
                # What this changed itself is looked at once more, and then there is nothing to change.
                seen = revision
        except errors.ModelyardError as problem:
            log.warning("hashing waits: %s", problem.message)
        ended.wait(look_seconds)


def join_later_matches(store: Store) -> int:
    """Make one model of each two where an import brought the model of a file that was here first; return how many."""
    with store.reading() as connection:
        if not files.matched_later(connection, OWN_ID_MIN):
            return 0
    with store.writing() as writing:
        pairs = files.matched_later(writing.connection, OWN_ID_MIN)
        settling = Settling(writing, store)
        for own_id, outside_id in pairs.items():
            settling.merge(own_id, outside_id)
        settling.finish()
    return len(pairs)


def hash_pending(store: Store, is_ended: Callable[[], bool]) -> int:
    """Hash files that were listed without, until none is left or ``is_ended`` says so; return how many were done.

    A file that is not on this machine, or not what it was, is left to whoever looks for it next.
    """
    done = after = 0
    while not is_ended():
        with store.reading() as connection:
            waiting = files.pending(connection, _BATCH_FILES, after)
        if not waiting:
            break
        looks: list[Look] = []
        began = time.monotonic()
        for known in waiting:
            if is_ended() or time.monotonic() - began >= _BATCH_SECONDS:
                break
            assert known.id is not None, "it came from the store"
            after = known.id
            if (seen := _hashed(known, store.identity, is_ended)) is not None:
                looks.append(seen)
        if looks:
            with store.writing() as writing:
                settling = Settling(writing, store)
                # Whose they are is on record.
                settling.take(looks, Owner(), {})
                settling.finish()
        done += len(looks)
    return done


def _hashed(known: KnownFile, catalogue: str, is_ended: Callable[[], bool]) -> Look | None:
    def on_bytes(_: int) -> None:
        if is_ended():
            raise _Ended

    if not files.is_as_recorded(known) or (found := find_file(known.path)) is None:
        return None
    with suppress(_Ended):
        return look(found, with_hashes=True, catalogue=catalogue, on_bytes=on_bytes)
    return None
