"""A store behind PgBouncer, which gives every transaction another connection; the listener goes to PostgreSQL."""

import threading
from collections.abc import Iterator

import pytest

from modelyard.catalog import open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.store import Store, open_store
from tests.pgbouncer import running_bouncer
from tests.process_servers import PostgresServer
from tests.processes import entry, wait_for

# Fewer than the threads that share them.
SERVER_CONNECTIONS = 3


@pytest.fixture
def urls(postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """The URL of a new database behind a PgBouncer, and that of PostgreSQL itself."""
    url = postgres.make_database()
    with running_bouncer(postgres.port, SERVER_CONNECTIONS) as bouncer:
        yield url.replace(str(postgres.port), str(bouncer.port)), url


def write_many(store: Store, first_id: int) -> None:
    for id_ in range(first_id, first_id + 10):
        with store.transaction() as transaction:
            transaction.put([entry(id_)])


def test_writers_and_readers_share_the_connections_of_a_pooler_of_transactions(urls: tuple[str, str]) -> None:
    url, listen_url = urls
    stores = [open_store(url, listen_url=listen_url) for _ in range(3)]
    # An import, whose rows go by COPY.
    with stores[0].transaction() as transaction:
        transaction.put([entry(id_) for id_ in range(1_000, 1_100)])

    threads = [
        threading.Thread(target=write_many, args=(store, 10 * number + 1)) for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {31} == {store.revision() for store in stores}
    with stores[1].snapshot() as snapshot:
        assert 130 == snapshot.count
    assert stores[2].connection_slots() is None
    for store in stores:
        store.close()


def test_what_another_node_writes_is_heard_of_by_the_listener_on_its_own_address(urls: tuple[str, str]) -> None:
    url, listen_url = urls
    writer = open_store(url, listen_url=listen_url)
    catalog = open_catalog(open_store(url, listen_url=listen_url))
    catalog.search(ANONYMOUS, ModelQuery(limit=1))

    for id_ in range(1, 6):
        with writer.transaction() as transaction:
            transaction.put([entry(id_)])
        assert wait_for(lambda: catalog.store.revision_hint() == writer.revision())

    assert catalog.store.unreachable_seconds() is None
    assert catalog.store.problem() is None
    catalog.close()
    writer.close()
