"""Copies blobs from one store to another. It skips blobs that the target has, and checks the hash of each copy."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from modelyard import errors

_BLOCK_BYTES = 1 << 20


class Keeper(Protocol):
    """The methods of a blob store that the copy needs."""

    def keep(self, path: Path, sha256: str) -> None:
        """Store the file's bytes, and remove the file."""

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the bytes into a local file."""

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of every blob."""


def copy(
    source: Keeper,
    target: Keeper,
    scratch: Path,
    on_bytes: Callable[[int], object] = int,
) -> tuple[int, int]:
    """Copy the blobs that the target lacks, through files in ``scratch``.

    Return how many blobs the source has, and how many were copied. Raises HashMismatch,
    without copying the blob, if its bytes do not have the hash of its name.
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
                if (actual := _sha256(path)) != sha256:
                    raise errors.HashMismatch(sha256, actual)
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
