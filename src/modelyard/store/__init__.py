"""The system of record: models, their layers, teams and keys, in SQLite or PostgreSQL.

The store depends on the domain, facts and licences only. Other packages decide who may see a model, how the API spells
values, and how the index follows the store.
"""

from modelyard.store.api_keys import Key, KeyRing
from modelyard.store.database import open_store
from modelyard.store.renewal import ProgressFactory, no_progress
from modelyard.store.rows import refuse_team_name, refuse_unstorable
from modelyard.store.store import Snapshot, Store
from modelyard.store.transaction import Changes, WriteTransaction

__all__ = [
    "Changes",
    "Key",
    "KeyRing",
    "ProgressFactory",
    "Snapshot",
    "Store",
    "WriteTransaction",
    "no_progress",
    "open_store",
    "refuse_team_name",
    "refuse_unstorable",
]
