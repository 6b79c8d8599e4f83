"""What only PostgreSQL does: being away and coming back, notifications, standing by.

The contract it shares with SQLite is in test_store.py. Replicas and networks that drop packets are not covered here.
"""

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard import errors
from modelyard.catalog import open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery, Scope
from modelyard.facts import Entry, Facts, Layer
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Kind, Resources, Trigger
from modelyard.jobs.worker import Worker
from modelyard.store import Store, jobs, open_store, postgresql
from tests.app_fixture import a_private, open_app
from tests.databases import Open
from tests.process_servers import PostgresServer, postgres_server
from tests.processes import entry, wait_for
from tests.transfers import checking, lora_bytes


def put(store: Store, *ids: int) -> None:
    with store.transaction() as writing:
        writing.put([entry(id_) for id_ in ids])


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    with postgres_server(tmp_path) as server:
        yield server


@pytest.fixture
def own_store(own_server: PostgresServer) -> Iterator[Store]:
    store = open_store(own_server.url())
    yield store
    store.close()


def test_while_the_server_is_away_the_store_says_so_and_what_is_known_stays(
    own_server: PostgresServer, own_store: Store
) -> None:
    put(own_store, 1, 2)
    assert 1 == own_store.revision_hint()

    own_server.kill()

    for _ in range(3):
        with pytest.raises(errors.Unavailable):
            own_store.entry(1)
        with pytest.raises(errors.Unavailable):
            put(own_store, 3)
        with pytest.raises(errors.Unavailable):
            own_store.revision()
        assert 1 == own_store.revision_hint()


def test_it_heals_by_itself_when_the_server_is_back(own_server: PostgresServer, own_store: Store) -> None:
    follower = open_store(own_server.url())
    put(own_store, 1, 2)
    assert wait_for(lambda: follower.revision_hint() == 1)

    own_server.kill()
    with pytest.raises(errors.Unavailable):
        own_store.revision()
    own_server.start()
    put(own_store, 3)

    assert wait_for(lambda: follower.revision_hint() == 2)
    assert {3} == {model.id for model in follower.changes(1).models}
    follower.close()


def test_a_transaction_that_the_server_did_not_survive_is_not_there(
    own_server: PostgresServer, own_store: Store
) -> None:
    def put_while_it_dies() -> None:
        with own_store.transaction() as writing:
            writing.put([entry(id_) for id_ in range(100)])
            own_server.kill()

    put(own_store, 1_000)
    with pytest.raises(errors.Unavailable):
        put_while_it_dies()
    own_server.start()

    with own_store.snapshot() as snapshot:
        assert [1_000] == [model.id for model in snapshot.models()]
    assert (1, 1) == (own_store.revision(), own_store.revision_hint())


def test_a_server_that_is_not_there_is_refused_by_its_address(own_server: PostgresServer) -> None:
    own_server.kill()

    with pytest.raises(errors.ConfigurationError, match=rf"127\.0\.0\.1:{own_server.port}/postgres cannot be opened"):
        open_store(own_server.url())


def test_a_database_that_is_not_there_is_refused_by_its_name(postgres: PostgresServer) -> None:
    with pytest.raises(errors.ConfigurationError, match='database "nowhere" does not exist'):
        open_store(postgres.url("nowhere"))


def test_the_scheme_may_be_spelled_as_postgresqls_own_programs_do(postgres: PostgresServer, open_at: Open) -> None:
    url = postgres.make_database()
    put(open_at(url), 1)

    for scheme in ("postgresql", "postgres"):
        assert 1 == open_at(url.replace("postgresql+psycopg", scheme)).revision()


def test_a_commit_is_heard_of_much_sooner_than_a_poll_would_tell(postgres: PostgresServer, open_at: Open) -> None:
    """The fastest of ten: the machine may be busy, and a poll can be no faster than its interval nine times of ten."""
    url = postgres.make_database()
    writer, follower = open_at(url), open_at(url)
    follower.revision_hint()
    waits = []
    for revision in range(1, 11):
        put(writer, revision)
        begin = time.monotonic()
        assert wait_for(lambda wanted=revision: follower.revision_hint() == wanted)  # type: ignore[misc] # mypy cannot infer a lambda with a default
        waits.append(time.monotonic() - begin)

    assert sorted(waits)[2] < 0.1


def test_a_lost_notification_is_a_short_delay(postgres: PostgresServer, open_at: Open) -> None:
    url = postgres.make_database()
    follower = open_at(url)
    assert 0 == follower.revision_hint()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE counters SET value = 7 WHERE name = 'model_revision'"))
    engine.dispose()

    assert wait_for(lambda: follower.revision_hint() == 7)


def test_a_standby_is_read_and_takes_writes_once_it_is_promoted(own_server: PostgresServer, own_store: Store) -> None:
    put(own_store, 1)
    own_server.kill()
    (own_server.folder / "standby.signal").touch()
    own_server.start()

    assert entry(1) == own_store.entry(1)
    with pytest.raises(errors.Unavailable):
        put(own_store, 2)
    engine = sa.create_engine(own_server.url())
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT pg_promote()")).scalar() is True
    engine.dispose()
    put(own_store, 3)

    assert wait_for(lambda: own_store.revision_hint() == 2)
    with own_store.snapshot() as snapshot:
        assert {1, 3} == {model.id for model in snapshot.models()}


def test_a_put_by_copy_that_fails_leaves_the_transaction_undone(postgres: PostgresServer, open_at: Open) -> None:
    store = open_at(postgres.make_database())
    put(store, 1)

    def put_and_fail() -> None:
        with store.transaction() as writing:
            writing.put([entry(id_) for id_ in range(200)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()
    put(store, *range(300))

    assert 2 == store.revision()
    with store.snapshot() as snapshot:
        assert 300 == snapshot.count


def make_logged_database(server: PostgresServer) -> str:
    """Make a database whose statements are in the server's log."""
    url = server.make_database()
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {sa.make_url(url).database} SET log_statement = 'all'")
    engine.dispose()
    return url


def test_a_change_of_one_model_is_seven_statements(own_server: PostgresServer, tmp_path: Path) -> None:
    """All of them: what begins and ends the transaction, and what brings this process's index up to date."""
    (tmp_path / "home").mkdir()
    url = make_logged_database(own_server)
    with open_app(tmp_path / "home", database_url=url) as yard:
        with yard.store.transaction() as writing:
            facts = Facts(name="night", sd_name="night.safetensors")
            writing.put([Entry(a_private(1_000_000_001, "red"), {Layer.USER: facts})])
        key = yard.key("red", Scope.READ, Scope.WRITE)
        yard.access.load()
        yard.catalog.load()
        assert wait_for(lambda: yard.store.news_hint() is not None)  # it listens

        def rename(name: str) -> int:
            body = json.dumps({"name": name}).encode()
            reply = yard.ask("/v3/model?id=1000000001", method="PATCH", body=body, authorization=f"Bearer {key}")
            return reply.status

        assert 200 == rename("dawn")  # the first one opens a connection
        assert wait_for(lambda: yard.catalog.refresh() == 2)
        offset = own_server.log.stat().st_size
        assert 200 == rename("noon")
        assert wait_for(lambda: yard.catalog.refresh() == 3 and "COMMIT" in read_log(own_server, offset))
        statements = statements_after(own_server, offset)

    assert 7 == len(statements), statements


def test_an_upload_is_at_most_thirty_statements(own_server: PostgresServer, tmp_path: Path) -> None:
    """By one request of tus, with its verification."""
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home", database_url=make_logged_database(own_server)) as yard:
        key = yard.key("red", Scope.READ, Scope.WRITE)
        yard.access.load()
        yard.catalog.load()
        assert wait_for(lambda: yard.store.news_hint() is not None)  # it listens
        verification = checking(yard, tmp_path / "home")

        def send(seed: int) -> None:
            content, name = lora_bytes(seed=seed), base64.b64encode(b"night.safetensors").decode()
            headers = {
                "tus_resumable": "1.0.0",
                "upload_length": str(len(content)),
                "upload_metadata": f"filename {name}",
                "content_type": "application/offset+octet-stream",
                "authorization": f"Bearer {key}",
            }
            assert 201 == yard.ask("/v3/uploads", method="POST", body=content, **headers).status
            assert verification.verify_next()

        send(1)  # the first one opens connections
        offset = own_server.log.stat().st_size
        send(2)
        assert wait_for(lambda: "DELETE FROM jobs" in read_log(own_server, offset))
        statements = statements_after(own_server, offset)

    assert len(statements) <= 30, "\n".join(statements)


def test_a_worker_that_waits_asks_nothing_until_another_process_commits_a_job(
    own_server: PostgresServer, open_at: Open
) -> None:
    url = make_logged_database(own_server)
    waiting, other = open_at(url), open_at(url)
    done: list[str] = []
    kind = Kind("errand", "errands", "errands", lambda _, run: done.append(run.job.subject), Trigger.ROWS)
    resources = Resources(waiting)
    worker = Worker(resources, [replace(kind, poll_seconds=0.0)], ThreadExecutor(resources), node="test")
    assert wait_for(lambda: waiting.news_hint() is not None)
    assert not worker.run_next()
    offset = own_server.log.stat().st_size
    assert not any(worker.run_next() for _ in range(100))
    asked = [line for line in read_log(own_server, offset).splitlines() if "FROM jobs" in line]

    with other.transaction() as transaction:
        jobs.add(transaction.connection, "errand", "to the post office", transaction.now)

    assert wait_for(worker.run_next)
    assert ["to the post office"] == done
    assert [] == asked


def statements_after(server: PostgresServer, offset: int) -> list[str]:
    """Return the statements that a server logged after an offset, without those beside a request.

    The connection that listens begins to, and asks now and then whether it lasts, in its own time. One that was idle
    for a second, as on a busy machine, is asked for an answer first: ";".
    """
    listeners = set(re.findall(r"(\[\d+\]) LOG:  statement: LISTEN ", read_log(server, 0)))
    statements = re.findall(r".*LOG:  (?:statement:|execute).*", read_log(server, offset))
    beside = re.compile(r"statement: (SELECT name, value FROM counters|;$)")
    return [one for one in statements if not beside.search(one) and not listeners & set(one.split())]


def read_log(server: PostgresServer, offset: int) -> str:
    return server.log.read_bytes()[offset:].decode()


def test_a_setting_in_the_url_goes_before_ours(postgres: PostgresServer) -> None:
    url = sa.make_url(postgres.url()).update_query_dict({"application_name": "theirs"})
    engine = postgresql.dialect(url).engine

    with engine.connect() as connection:
        name = connection.exec_driver_sql("SHOW application_name").scalar()
    engine.dispose()

    assert "theirs" == name


def test_a_url_may_name_several_servers_and_the_one_that_answers_is_taken(
    postgres: PostgresServer, open_at: Open
) -> None:
    url = postgres.make_database()
    put(open_at(url), 1)
    database = sa.make_url(url).database
    hosts = f"host=127.0.0.1:1&host=127.0.0.1:{postgres.port}"

    store = open_at(f"postgresql://postgres@/{database}?{hosts}&target_session_attrs=read-write")

    assert 1 == store.revision()


def test_what_is_followed_is_read_from_a_replica_and_never_goes_back(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    """The replica is a database that is as another one was: it stays behind for ever, and says less than is known."""
    url = own_server.make_database()
    writer = open_store(url)
    put(writer, 1)
    put(writer, 2)
    writer.close()
    behind = own_server.make_database(like=sa.make_url(url).database or "")
    store = open_store(url, replicas=behind)
    writer = open_store(url)
    put(writer, 3)
    writer.close()

    assert (3, {1, 2, 3}) == (store.changes(0).revision, {model.id for model in store.changes(0).models})
    assert (2, {1, 2}) == (store.changes_since(0).revision, {model.id for model in store.changes_since(0).models})
    assert (3, []) == (store.changes_since(3).revision, store.changes_since(3).models)
    with store.snapshot() as snapshot:
        assert (2, 2) == (snapshot.revision, snapshot.count)
    catalog = open_catalog(store)
    assert 2 == catalog.count(ANONYMOUS, ModelQuery())
    assert 2 == catalog.revision
    store.close()


def test_without_its_replicas_a_node_follows_the_database_itself(postgres: PostgresServer) -> None:
    store = open_store(postgres.make_database(), replicas="postgresql://postgres@127.0.0.1:1/away")
    put(store, 1)

    assert (1, 1) == (store.changes_since(0).revision, len(store.changes_since(0).models))
    with store.snapshot() as snapshot:
        assert 1 == snapshot.count
    store.close()


@pytest.mark.parametrize("replicas", ["sqlite:///x.sqlite", "mysql://db/x", "nothing"])
def test_what_cannot_be_a_replica_is_refused(postgres: PostgresServer, replicas: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="database"):
        open_store(postgres.make_database(), replicas=replicas)
