"""A store behind PgBouncer, which gives every transaction another connection; the listener goes to PostgreSQL."""

import os
import pwd
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelyard.catalog import open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.store import Store, open_store
from tests import requirements
from tests.process_servers import PostgresServer, free_port
from tests.processes import entry, wait_for

SERVER_CONNECTIONS = 3


@contextmanager
def running_bouncer(server: PostgresServer, folder: Path) -> Iterator[int]:
    """Give the port of a PgBouncer before a server, with few connections to it."""
    program = requirements.program("pgbouncer")
    port = free_port()
    # It refuses to run as root.
    is_root = os.geteuid() == 0
    user = "nobody" if is_root else pwd.getpwuid(os.geteuid()).pw_name
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "bouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users.txt\n"
        f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 100\n"
    )
    command = [program, *(["-u", user] if is_root else []), str(folder / "bouncer.ini")]
    for path in (folder, *folder.parents[:3]) if is_root else ():
        path.chmod(path.stat().st_mode | 0o055)
    with (folder / "bouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        psycopg = requirements.module("psycopg")

        def answers() -> bool:
            try:
                psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=5").close()
            except psycopg.Error:
                return False
            return True

        assert wait_for(answers), (folder / "bouncer.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def urls(postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a new database behind a PgBouncer, and that of PostgreSQL itself."""
    url = postgres.make_database()
    with running_bouncer(postgres, tmp_path) as port:
        yield url.replace(str(postgres.port), str(port)), url


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
