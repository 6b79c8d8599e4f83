"""Statements are compiled once for all databases of a run.

SQLAlchemy keeps the text of a statement with the engine that compiled it. Most tests open an engine of their own, so
all together compiled the same statements some thousand times: a third of what a short test took.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache


@contextmanager
def shared() -> Iterator[None]:
    """Let all engines that are made meanwhile share what they compile, if their dialects spell it alike."""
    compiled: LRUCache[Any, Any] = LRUCache(5_000)
    create_engine = sa.create_engine

    def create_sharing(*arguments: Any, **options: Any) -> sa.Engine:
        engine = create_engine(*arguments, **options)
        engine._compiled_cache = compiled  # there is no public name for a cache that several engines have
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sa, "create_engine", create_sharing)
        # The dialect is a part of the key.
        patch.setattr(DefaultDialect, "__hash__", lambda dialect: hash(_spelling(dialect)))
        patch.setattr(DefaultDialect, "__eq__", lambda one, other: _spelling(one) == _spelling(other))
        yield


def _spelling(dialect: object) -> tuple[object, ...]:
    return type(dialect), getattr(dialect, "paramstyle", "")
