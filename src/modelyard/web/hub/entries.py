"""The files of a repository as git and LFS name them.

Small text has git's blob hash. Weights have their SHA-256, and the blob hash of the LFS pointer that git would store.
A path comes from sources that may be hostile, and clients write to it: it never leaves the folder of the repository.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

README = "README.md"
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
_NOT_IN_PATHS = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_PATH_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a repository. Weights have ``sha256`` (lower case), small text has ``text``.

    ``label`` is the name under which the catalogue sends the file.
    """

    path: str
    size_bytes: int
    oid: str
    sha256: str | None = None
    text: bytes | None = None
    label: str = ""

    @property
    def etag(self) -> str:
        """The hash that clients store the file under."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """The size of the LFS pointer."""
        return len(_POINTER.format(self.sha256, self.size_bytes))


def text_entry(path: str, text: bytes) -> FileEntry:
    """Return the entry of a small text."""
    return FileEntry(path, len(text), blob_oid(text), text=text)


def weights_entry(path: str, sha256: str, size_bytes: int, label: str) -> FileEntry:
    """Return the entry of a large file."""
    return FileEntry(path, size_bytes, blob_oid(_POINTER.format(sha256, size_bytes).encode()), sha256, label=label)


def blob_oid(content: bytes) -> str:
    """Return git's hash of a blob."""
    return _object_oid("blob", content)


def tree_oid(entries: Iterable[FileEntry]) -> str:
    """Return a hash of the entries of a directory."""
    return _object_oid("tree", "\n".join(f"{entry.oid} {entry.path}" for entry in entries).encode())


def commit_oid(content: bytes) -> str:
    """Return the commit of everything that a repository answers."""
    return _object_oid("commit", content)


def _object_oid(kind: str, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


def safe_path(name: str) -> str:
    """Return a relative path without parts that lead out of a folder; empty if nothing of the name is left."""
    parts = (_NOT_IN_PATHS.sub("_", part).strip() for part in name.replace("\\", "/").split("/"))
    path = "/".join(part for part in parts if part.strip("."))
    return path[-_PATH_CHARS_MAX:].encode(errors="replace").decode().lstrip("/")
