"""Named files other than blobs that machines share in an S3-compatible store: one machine writes, others fetch."""

import datetime
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.store import S3Store

from modelyard.blobs.s3 import bucket_of, fetch_file, put_file
from modelyard.blobs.s3_errors import call_store, no_bucket

# A connection to a store gives some 100 MB/s; several at once fill the network.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file in the listing of the store."""

    name: str
    size_bytes: int
    changed_at: datetime.datetime


class SharedFiles:
    """The files below one prefix of a bucket. Names are paths with ``/``. Threads and machines may share it."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""
        try:
            return call_store(lambda: obstore.get(self._store, name).bytes().to_bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put a small file; a reader gets the old content or the new one."""
        try:
            call_store(lambda: obstore.put(self._store, name, content))
        except FileNotFoundError as problem:
            raise no_bucket(problem) from problem

    def send(self, names: Mapping[str, Path]) -> None:
        """Put local files under names, several at once. Raises Unavailable if the store lacks one at the end."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda item: put_file(self._store, item[1], item[0]), names.items()):
                pass

    def fetch(self, names: Mapping[str, Path]) -> None:
        """Copy files into local ones, several at once. Raises FileNotFoundError if the store lacks one."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda item: fetch_file(self._store, *item), names.items()):
                pass

    def all(self, prefix: str) -> Iterator[SharedFile]:
        """Yield the files below a prefix."""
        for entries in call_store(lambda: list(obstore.list(self._store, prefix=prefix))):
            for entry in entries:
                yield SharedFile(entry["path"], entry["size"], entry["last_modified"])

    def remove(self, names: list[str]) -> None:
        """Remove files; names without a file have no effect."""
        if names:
            call_store(lambda: obstore.delete(self._store, names))


def open_shared(url: str, environ: Mapping[str, str]) -> SharedFiles | None:
    """Return the shared files beside the blobs of a URL; None if the blobs are in a folder."""
    return SharedFiles(bucket_of(url, environ)) if url.startswith("s3://") else None
