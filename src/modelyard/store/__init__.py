"""The system of record: models, their layers, teams and keys, in SQLite or PostgreSQL.

The store depends on the domain only. Other packages decide who may see a model, how the API spells values, and how the
index follows the store.
"""

from modelyard.store.api_keys import Key, KeyRing
from modelyard.store.rows import refuse_team_name, refuse_unstorable
from modelyard.store.store import Changes, Snapshot, Store, open_store
from modelyard.store.transaction import WriteTransaction

__all__ = [
    "Changes",
    "Key",
    "KeyRing",
    "Snapshot",
    "Store",
    "WriteTransaction",
    "open_store",
    "refuse_team_name",
    "refuse_unstorable",
]
