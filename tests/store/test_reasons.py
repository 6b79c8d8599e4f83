"""Why a database does not work is told in plain words: by the store, when it is opened, and to whoever asks readiness.

The lock of other writers, which takes fifteen seconds, is not waited for here.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from modelyard import errors
from modelyard.store import Store, open_store
from tests import requirements
from tests.process_servers import PostgresServer, postgres_server
from tests.processes import entry, wait_for

SLOTS = 9


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server with few slots, which asks the user bob for a password."""
    folder = tmp_path_factory.mktemp("server")
    with postgres_server(folder, f"max_connections={SLOTS}", "superuser_reserved_connections=0") as running:
        with connect(running) as connection:
            connection.execute("CREATE ROLE bob LOGIN PASSWORD 'right'")
            hba = running.folder / "pg_hba.conf"
            hba.write_text("host all bob all scram-sha-256\n" + hba.read_text())
            connection.execute("SELECT pg_reload_conf()")
        yield running


def connect(server: PostgresServer):  # type: ignore[no-untyped-def] # the driver may be missing
    return requirements.module("psycopg").connect(server.url().replace("+psycopg", ""), autocommit=True)


def reason_of_opening(url: str) -> str:
    with pytest.raises(errors.DatabaseUnavailable) as raised:
        open_store(url)
    return raised.value.message


def test_what_an_operator_can_mend_is_said_when_the_database_is_opened(server: PostgresServer) -> None:
    url = server.url()
    refused = "; the database refuses the user or the password"

    assert reason_of_opening(url.replace("postgres@", "bob:wrong@")).endswith(refused)
    assert reason_of_opening(url.replace("postgres@", "bob@")).endswith(refused)
    assert reason_of_opening(url.replace("postgres@", "nobody_known@")).endswith(refused)
    assert reason_of_opening(server.url("nowhere")).endswith("; the database server has no such database")
    nobody_listens = reason_of_opening("postgresql://postgres@127.0.0.1:1/x")
    assert nobody_listens.endswith("; the database server cannot be reached: nothing listens at its address")


def test_a_server_without_a_free_slot_says_so(server: PostgresServer) -> None:
    url = server.make_database()
    store = open_store(url)
    store.close()
    with ExitStack() as stack:
        for _ in range(SLOTS):
            stack.enter_context(connect(server))

        assert "; the database server has no free connection" in reason_of_opening(url)
        # The store opens its connections again when it is used.
        with pytest.raises(errors.Unavailable) as raised:
            store.revision()

    assert raised.value.message.startswith("the database server has no free connection; raise its max_connections")
    assert "too many clients already" in raised.value.detail
    assert raised.value.message == store.problem()


def test_a_standby_and_a_lacking_right_are_named_and_forgotten_when_it_works_again(server: PostgresServer) -> None:
    url = server.make_database()
    store = open_store(url)
    with connect(server) as connection:
        name = url.rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        end_connections(connection, name)
        # A connection that was ended a moment ago may not have been told yet.
        assert wait_for(lambda: "takes no writes: it is a standby, or read-only" in reason_of_writing(store))
        assert "takes no writes" in (store.problem() or "")
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        end_connections(connection, name)
    assert wait_for(lambda: not reason_of_writing(store))
    assert store.problem() is None
    store.close()

    bobs = open_as_bob(url)
    assert "the database user lacks a right that Modelyard needs" == reason_of_writing(bobs)
    bobs.close()


def reason_of_writing(store: Store) -> str:
    """Return why a write does not work; "" if it does."""
    try:
        with store.transaction() as transaction:
            transaction.put([entry(1)])
    except errors.Unavailable as error:
        return error.message
    return ""


def end_connections(connection, database: str) -> None:  # type: ignore[no-untyped-def] # the driver may be missing
    others = "datname = %s AND pid <> pg_backend_pid()"
    connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}", (database,))


def open_as_bob(url: str) -> Store:
    with requirements.module("psycopg").connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO bob")
    return open_store(url.replace("postgres@", "bob:right@"))


def test_an_address_with_a_port_that_is_no_number_is_no_address() -> None:
    with pytest.raises(errors.ConfigurationError, match="not a database URL"):
        open_store("postgresql://host:port/x")
