"""Watches that nobody calls a file store, or another server, while they hold the lock of all writers.

A file store may take seconds to answer, and every write of every node would wait for it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from modelyard.blobs import FolderBlobs, S3Blobs
from modelyard.outbound import guard
from modelyard.store import Store

_CALLS: list[tuple[type, str]] = [
    *(
        (kind, name)
        for kind in (FolderBlobs, S3Blobs)
        for name in ("has", "keep", "read", "open", "fetch", "remove", "all")
    ),
    *((S3Blobs, name) for name in ("share_uploaded", "uploaded_size", "fetch_uploaded", "forget_uploaded")),
    (guard.Outbound, "open"),
]
_writers = threading.local()


@contextmanager
def watching() -> Iterator[None]:
    """Raise AssertionError in whoever does it."""
    with pytest.MonkeyPatch.context() as patch:
        original = Store._alone

        @contextmanager
        def alone(store: Store) -> Iterator[tuple[sa.Connection, dict[str, int]]]:
            with original(store) as writing:
                _writers.is_writing = True
                try:
                    yield writing
                finally:
                    _writers.is_writing = False

        patch.setattr(Store, "_alone", alone)
        for kind, name in _CALLS:
            patch.setattr(kind, name, _refusing(kind, name))
        yield


def _refusing(kind: type, name: str) -> Callable[..., Any]:
    original = getattr(kind, name)

    def call(*given: Any, **named: Any) -> Any:
        assert not getattr(_writers, "is_writing", False), f"{kind.__name__}.{name} while holding the writers' lock"
        return original(*given, **named)

    return call
