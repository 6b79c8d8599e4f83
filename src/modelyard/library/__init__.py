"""Model files where they lie → models: what changed since the last time is looked at, the rest costs one stat a file.

    places      scanned (``ingest.folders``) and compared with what is known → a plan
    looking     each file that is new or changed: inspected, hashed, its side-cars read; in processes of its own
    settling    what was seen becomes models, in one transaction a batch: matched by hash, merged, named
    watching    the same again whenever something changes

Nothing is moved, copied or written beside the files, and nothing outside the given places is opened. Whatever is
interrupted goes on when it is done again: a batch that was settled is not looked at twice.
"""

from modelyard.library.matching import merge_matching_models
from modelyard.library.pending_hashes import hash_pending
from modelyard.library.probe import tune_gc
from modelyard.library.reconcile import Ownership
from modelyard.library.scanner import Scanner, ScanProgress, ScanReport, duplicates_json
from modelyard.library.watcher import RESCAN_SECONDS, watch_once

__all__ = [
    "RESCAN_SECONDS",
    "Ownership",
    "ScanProgress",
    "ScanReport",
    "Scanner",
    "duplicates_json",
    "hash_pending",
    "merge_matching_models",
    "tune_gc",
    "watch_once",
]
