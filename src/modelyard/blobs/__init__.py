"""Stores files by their SHA-256, in a folder or in an S3-compatible store, and the incomplete files of uploads.

    incoming/<id>        an upload: the server appends bytes and fsyncs them before it acknowledges them
      ↓ ``uploads`` hashes and inspects the file
    ab/cd/<sha256>       a blob: its name is the hash of its bytes, so the same bytes are stored once

This package knows neither models nor teams. A blob never changes; other packages decide when to remove it.
"""

from modelyard.blobs.bucket import SharedFile, SharedFiles, open_shared
from modelyard.blobs.copy import copy
from modelyard.blobs.folder import FolderBlobs
from modelyard.blobs.partial import IncomingFiles
from modelyard.blobs.s3 import S3Blobs
from modelyard.blobs.storage import Blobs, Storage, local_folder, open_storage

__all__ = [
    "Blobs",
    "FolderBlobs",
    "IncomingFiles",
    "S3Blobs",
    "SharedFile",
    "SharedFiles",
    "Storage",
    "copy",
    "local_folder",
    "open_shared",
    "open_storage",
]
