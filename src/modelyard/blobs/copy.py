"""Blobs from one place to another: what is there is not copied again, and what is copied is compared by its hash."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from modelyard import errors

_BLOCK_BYTES = 1 << 20


class Keeper(Protocol):
    """What of a place of blobs is asked here."""

    def keep(self, path: Path, sha256: str) -> None:
        """Keep the file's bytes, and take the file away."""

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the bytes into a local file."""

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of everything that is kept."""


def copy(
    source: Keeper,
    target: Keeper,
    scratch: Path,
    on_bytes: Callable[[int], object] = int,
) -> tuple[int, int]:
    """Copy what the target lacks, by way of files in ``scratch``; return how many blobs there are, and were copied.

    Raises HashMismatch for bytes that are not what their name says; they are not copied.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    there = dict(target.all())
    count = copied = 0
    for sha256, size_bytes in source.all():
        count += 1
        if there.get(sha256) != size_bytes:
            path = scratch / f"copying-{sha256}"
            try:
                source.fetch(sha256, path)
                if (found := _sha256(path)) != sha256:
                    raise errors.HashMismatch(sha256, found)
                target.keep(path, sha256)
            finally:
                path.unlink(missing_ok=True)
            copied += 1
        on_bytes(size_bytes)
    return count, copied


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
