"""File bytes by their SHA-256: in a folder, or in an S3-compatible store; and the bytes that are still arriving.

    incoming/<id>        bytes as they come, appended to, fsynced before they are acknowledged
      ↓ hashed, inspected (by others)
    ab/cd/<sha256>       kept: a name says what the bytes are, so the same bytes are kept once

It knows neither models nor teams. What is kept never changes; whether it is still needed is for others to say.
"""

from modelyard.blobs.bucket import SharedFile, SharedFiles, open_shared
from modelyard.blobs.copy import copy
from modelyard.blobs.folder import FolderBlobs
from modelyard.blobs.partial import IncomingFiles
from modelyard.blobs.s3 import S3Blobs
from modelyard.blobs.storage import Blobs, Storage, open_storage

__all__ = [
    "Blobs",
    "FolderBlobs",
    "IncomingFiles",
    "S3Blobs",
    "SharedFile",
    "SharedFiles",
    "Storage",
    "copy",
    "open_shared",
    "open_storage",
]
