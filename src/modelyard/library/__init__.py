"""Model files that stay in the user's folders become models of the catalogue.

    scanner      one scan, from the folders to a report; it calls the others in this order
      walk       lists the model files in the folders, with their sidecars and previews
        folder_models  which files are parts of one model: pipelines and shards
      changes    compares them with the records of earlier scans and makes a plan
      probe      inspects and hashes each new or changed file and reads its sidecars, in several processes
      reconcile  turns the results into models, one transaction a batch: matches by hash, merges, names
    watcher      scans again when something changes
    pending_hashes, matching    hash files that were added without hashes; merge them with models imported later
    links             a person says which version a file is
    served_files      which files may be sent to clients
    sidecar_export    writes sidecars for other programs
    names, folder_hints, trainers, sidecars    read facts from file names, folder names, headers and sidecars

A scan moves no file, writes nothing beside the files and opens nothing outside the given folders. An unchanged file
costs one stat. After an interruption, the next scan continues: it does not probe the files of a finished batch again.
"""

from modelyard.library.links import link, unlink
from modelyard.library.matches import count_matching_models, merge_matching_models
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
    "count_matching_models",
    "duplicates_json",
    "hash_pending",
    "link",
    "merge_matching_models",
    "tune_gc",
    "unlink",
    "watch_once",
]
