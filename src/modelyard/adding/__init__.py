"""Model files where they lie → models: what changed since the last time is looked at, the rest costs one stat a file.

    places      scanned (``ingest.folders``) and compared with what is known → a plan
    looking     each file that is new or changed: inspected, hashed, its side-cars read; in processes of its own
    settling    what was seen becomes models, in one transaction a batch: matched by hash, merged, named
    watching    the same again whenever something changes
    following   hashes of what was listed without, and matches with what imports bring later

Nothing is moved, copied or written beside the files, and nothing outside the given places is opened. Whatever is
interrupted goes on when it is done again: a batch that was settled is not looked at twice.
"""

from modelyard.library.scanner import Adding, BrokenOff, Report, Told, duplicates_json
from modelyard.library.pending_hashes import follow, hash_pending, join_later_matches
from modelyard.library.probe import look_for_cycles_seldom
from modelyard.library.reconcile import Owner
from modelyard.library.watcher import RESCAN_SECONDS, watch

__all__ = [
    "RESCAN_SECONDS",
    "Adding",
    "BrokenOff",
    "Owner",
    "Report",
    "Told",
    "duplicates_json",
    "follow",
    "hash_pending",
    "join_later_matches",
    "look_for_cycles_seldom",
    "watch",
]
