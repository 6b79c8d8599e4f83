"""Merges models of scanned files with models of a later import that have the same hash."""

from modelyard.domain import OWN_ID_MIN
from modelyard.library.reconcile import Reconciler
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
