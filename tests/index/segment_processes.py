"""Processes that answer from a home's segments, or keep them up: what a server starts, without the server."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from modelyard import indexer, wire
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.index import segment
from modelyard.store import open_store
from tests.indexing import run_indexer

SPAWNED = multiprocessing.get_context("spawn")


def opened(home: Path) -> Catalog:
    segment.TIER_FIRST = 4
    return open_catalog(open_store(f"sqlite:///{home}/modelyard.sqlite"), home)


def answer_on(connection: Connection, home: Path) -> None:
    """Answer questions as they come on a connection, until there is none."""
    catalog = opened(home)
    while (query := connection.recv()) is not None:
        page = catalog.search(ANONYMOUS, query)
        connection.send(wire.render_page(page.records, page.following, lambda *_: ""))
    catalog.close()


def keep_up_until(connection: Connection, home: Path) -> None:
    """Keep segments up without the usual patience, until told to end."""
    indexer.APPEND_MODELS_MIN, indexer.APPEND_SECONDS = 8, 0.05
    catalog = opened(home)
    ended = threading.Event()
    working = threading.Thread(target=run_indexer, args=(catalog, ended))
    working.start()
    connection.recv()
    ended.set()
    working.join()
    catalog.close()


@contextmanager
def answering(home: Path) -> Iterator[Callable[[ModelQuery], bytes]]:
    """Give a function that puts a question to a process of its own."""
    ours, theirs = SPAWNED.Pipe()
    process = SPAWNED.Process(target=answer_on, args=(theirs, home))
    process.start()
    theirs.close()

    def ask(query: ModelQuery) -> bytes:
        ours.send(query)
        body: bytes = ours.recv()
        return body

    try:
        yield ask
    finally:
        ours.send(None)
        process.join(20)
        assert process.exitcode == 0


@contextmanager
def keeping_up(home: Path) -> Iterator[None]:
    """Keep the segments of a home up in a process of its own."""
    ours, theirs = SPAWNED.Pipe()
    process = SPAWNED.Process(target=keep_up_until, args=(theirs, home))
    process.start()
    theirs.close()
    try:
        yield
    finally:
        ours.send(None)
        process.join(20)
        assert process.exitcode == 0
