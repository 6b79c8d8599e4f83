"""Merges models of scanned files with models of a later import that have the same hash."""

from collections.abc import Iterable

from modelyard import errors
from modelyard.domain import OWN_ID_MIN
from modelyard.facts import Entry
from modelyard.library.reconcile import Reconciler
from modelyard.registry import models
from modelyard.store import Store, files


def merge_matching_models(store: Store) -> int:
    """Merge models of scanned files with imported models of the same hash; return the number of merged pairs."""
    with store.reading() as connection:
        if not files.matched_later(connection, OWN_ID_MIN):
            return 0
    with store.transaction() as transaction:
        pairs = files.matched_later(transaction.connection, OWN_ID_MIN)
        reconciler = Reconciler(transaction)
        for own_id, outside_id in pairs.items():
            reconciler.merge(own_id, outside_id)
        reconciler.finish()
    return len(pairs)


def count_matching_models(store: Store, entries: Iterable[Entry]) -> int:
    """Return how many pairs ``merge_matching_models`` would merge if the entries were stored. It changes nothing."""
    with store.reading() as connection:
        digests = files.unmatched_sha256s(connection, OWN_ID_MIN)
    if not digests:
        return 0
    short = {digest[:10] for digest in digests}
    with store.transaction() as transaction:
        models.put_rehearsed(transaction, [entry for entry in entries if entry.model.hashes.short in short])
        pairs = files.matched_later(transaction.connection, OWN_ID_MIN)
        raise errors.Rollback
    return len(pairs)
