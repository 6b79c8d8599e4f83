"""Named files in an S3-compatible store that machines share, apart from blobs: what one made, others fetch."""

import datetime
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.store import S3Store

from modelyard import errors
from modelyard.blobs.s3 import asked, bucket_of, fetch_file, put_file

# A connection to a store gives some 100 MB/s; several at once fill the network.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SharedFile:
    """One file as the store lists it."""

    name: str
    size_bytes: int
    changed_at: datetime.datetime


class SharedFiles:
    """The files below one prefix of a bucket. Names are paths with ``/``. Threads and machines may share it."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def read(self, name: str) -> bytes | None:
        """Return a small file, None where there is none."""
        try:
            return asked(lambda: obstore.get(self._store, name).bytes().to_bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put a small file; who reads sees the old one or the new one."""
        try:
            asked(lambda: obstore.put(self._store, name, content))
        except FileNotFoundError as problem:
            raise errors.Unavailable("the bucket is not there") from problem

    def send(self, names: Mapping[str, Path]) -> None:
        """Put local files under names, some at once. Raises Unavailable if not all are there at the end."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda item: put_file(self._store, item[1], item[0]), names.items()):
                pass

    def fetch(self, names: Mapping[str, Path]) -> None:
        """Copy files into local ones, some at once. Raises FileNotFoundError for what is not there."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda item: fetch_file(self._store, *item), names.items()):
                pass

    def all(self, prefix: str) -> Iterator[SharedFile]:
        """Yield what is below a prefix."""
        for listed in asked(lambda: list(obstore.list(self._store, prefix=prefix))):
            for found in listed:
                yield SharedFile(found["path"], found["size"], found["last_modified"])

    def remove(self, names: list[str]) -> None:
        """Remove files; without effect for those that are not there."""
        if names:
            asked(lambda: obstore.delete(self._store, names))


def open_shared(url: str, environ: Mapping[str, str]) -> SharedFiles | None:
    """Return what machines share beside the blobs of a URL; None where those are in a folder of one machine."""
    return SharedFiles(bucket_of(url, environ)) if url.startswith("s3://") else None
