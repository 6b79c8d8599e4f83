"""A process opens few connections, waits for a free one, and closes what a burst left."""

import threading

import pytest
import sqlalchemy as sa

from modelyard import errors
from modelyard.store import open_store
from modelyard.store.postgresql_pool import Pool
from tests.process_servers import PostgresServer
from tests.processes import wait_for

READERS = 12


def test_a_burst_of_readers_shares_few_connections(postgres: PostgresServer) -> None:
    url = postgres.make_database()
    store = open_store(url, connections=3)
    most, failures = [0], []

    def read() -> None:
        try:
            for _ in range(5):
                with store.reading() as connection:
                    connection.execute(sa.text("SELECT pg_sleep(0.01)"))
        except errors.Unavailable as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most.append(postgres.count_connections(url))
    store.close()

    assert [] == failures
    assert 3 >= max(most) > 0


def test_after_a_burst_one_connection_is_left_and_more_are_opened_again(postgres: PostgresServer) -> None:
    url = postgres.make_database()
    pool = Pool(sa.make_url(url), 4, rest_seconds=0.0)

    def open_all() -> int:
        connections = [pool.engine.connect() for _ in range(4)]
        count = postgres.count_connections(url)
        for connection in connections:
            connection.close()
        return count

    for _ in range(2):
        assert 4 == open_all()
        pool.rest()
        # The server notices a moment later.
        assert wait_for(lambda: postgres.count_connections(url) <= 1)
    pool.engine.dispose()


def test_a_busy_pool_keeps_its_connections(postgres: PostgresServer) -> None:
    url = postgres.make_database()
    pool = Pool(sa.make_url(url), 4, rest_seconds=3_600.0)
    connections = [pool.engine.connect() for _ in range(3)]
    for connection in connections:
        connection.close()

    pool.rest()

    assert 3 == pool.engine.pool.checkedin()  # type: ignore[attr-defined] # a pool with a queue
    pool.engine.dispose()


def test_the_server_says_how_many_connections_it_accepts(postgres: PostgresServer) -> None:
    store = open_store(postgres.make_database())
    slots = store.connection_slots()
    store.close()

    assert slots is not None
    accepted, in_use = slots
    assert 97 == accepted
    assert in_use >= 1


def test_who_waits_too_long_for_a_connection_is_told(postgres: PostgresServer) -> None:
    store = open_store(postgres.make_database(), connections=2)
    with store.reading(), store.reading(), pytest.raises(errors.Unavailable) as raised:
        store.revision()
    store.close()

    assert "all database connections of this process are in use" == raised.value.message
