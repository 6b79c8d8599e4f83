"""Merges models of scanned files with models that a later import brought, matched by hash."""

from modelyard.domain import OWN_ID_MIN
from modelyard.library.reconcile import Reconciler
from modelyard.store import Store, files


def merge_matching_models(store: Store) -> int:
    """Make one model of each two where an import brought the model of a file that was here first; return how many."""
    with store.reading() as connection:
        if not files.matched_later(connection, OWN_ID_MIN):
            return 0
    with store.transaction() as writing:
        pairs = files.matched_later(writing.connection, OWN_ID_MIN)
        settling = Reconciler(writing)
        for own_id, outside_id in pairs.items():
            settling.merge(own_id, outside_id)
        settling.finish()
    return len(pairs)
