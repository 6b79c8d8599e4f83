"""What background processes do, kind by kind."""

import logging
from threading import Event

from modelyard import errors
from modelyard.covers import Covers
from modelyard.covers.finder import cover_files
from modelyard.library.matching import merge_matching_models
from modelyard.library.pending_hashes import hash_pending
from modelyard.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


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
                merge_matching_models(store)
                # What this changed itself is looked at once more, and then there is nothing to change.
                seen = revision
        except errors.ModelyardError as problem:
            log.warning("hashing waits: %s", problem.message)
        ended.wait(look_seconds)
