"""The system of record: models, their layers, teams and keys, in SQLite or PostgreSQL.

It knows the domain. It does not know who may see what, how the API spells things, or the index that follows it.
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
