"""PostgreSQL as it is run by those who cannot lose a write: a primary, and two replicas of which one has every commit.

``synchronous_standby_names = 'ANY 1 (…)'``: a commit is acknowledged when one replica has it. Failing over takes the
replica that has received more; whoever follows finds the new primary by ``target_session_attrs``.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.process_servers import PostgresServer, as_nobody_special, free_port, postgres_programs

LONG_SECONDS = 300.0
# More than three nodes and the clients of a test open together.
_MAX_CONNECTIONS = 120
_OPTIONS = (
    f"max_connections={_MAX_CONNECTIONS}",
    "wal_keep_size=512MB",
    "wal_receiver_timeout=5s",
    "wal_retrieve_retry_interval=200ms",
)


@dataclass
class Databases:
    """The servers; ``primary`` is the number of the one that takes writes."""

    servers: list[PostgresServer]
    primary: int = 0
    # They are called with the number of a new primary.
    followers: list[Callable[[int], None]] = field(default_factory=list)

    @property
    def ports(self) -> list[int]:
        """The ports of all, whatever they are at the moment."""
        return [server.port for server in self.servers]

    def replicas(self) -> list[int]:
        """The numbers of the servers that follow."""
        return [number for number in range(len(self.servers)) if number != self.primary]

    def fail_over(self) -> None:
        """Kill the primary, promote the replica that has more, and make a replica of what was the primary."""
        self.wait_until_followed()
        self.servers[self.primary].kill()
        followers = self.replicas()
        received = {number: self._received(number) for number in followers}
        chosen = max(followers, key=lambda number: received[number])
        before = self.primary
        self.promote(chosen)
        self._follow(before)

    def switch_over(self) -> None:
        """End the primary in an orderly way, promote a replica, and rewind what was the primary, so that it follows."""
        self.wait_until_followed()
        before = self.primary
        old = self.servers[before]
        old.end()
        received = {number: self._received(number) for number in self.replicas()}
        self.promote(max(received, key=lambda number: received[number]))
        self.rewind(before)

    def rewind(self, number: int) -> None:
        """Make a server that ended in an orderly way a replica of the primary, by the commands of the documentation."""
        server, primary = self.servers[number], self.servers[self.primary]
        source = f"--source-server=host=127.0.0.1 port={primary.port} user=postgres dbname=postgres"
        command = [*as_nobody_special(), str(server.programs / "pg_rewind"), f"--target-pgdata={server.folder}", source]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        (server.folder / "standby.signal").touch()
        server.start()

    @contextmanager
    def without_slots(self) -> Iterator[None]:
        """Have every connection that the primary still accepts, while entered."""
        url = self.servers[self.primary].url().replace("+psycopg", "")
        with ExitStack() as stack:
            with suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(url, autocommit=True))
            yield
        wait(self._has_free_slots, "connections are never free again")

    def _has_free_slots(self) -> bool:
        return self.servers[self.primary].count_connections() < _MAX_CONNECTIONS - 20

    def replace_unfenced(self, seconds: float) -> None:
        """Promote a replica while the primary runs on for so many seconds, followed by nobody; then it follows too."""
        self.wait_until_followed()
        old = self.primary
        received = {number: self._received(number) for number in self.replicas()}
        chosen = max(received, key=lambda number: received[number])
        for number in self.replicas():
            if number != chosen:
                # It would follow the old primary on, and acknowledge its writes.
                self.servers[number].kill()
        self.promote(chosen)
        time.sleep(seconds)
        for number in [old, *(number for number in self.replicas() if number != old)]:
            self._follow(number)

    def promote(self, number: int) -> None:
        """Make a replica the primary; what was the primary stays as it is."""
        with self._connected(number) as connection:
            # A query that waits may be cancelled, as it can need rows that the recovery removes.
            connection.execute("SELECT pg_promote(false)")
            wait(lambda: not self._is_replica(connection), "a replica is not promoted")
        self.primary = number
        for follower in self.followers:
            follower(number)

    @staticmethod
    def _is_replica(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)

    def wait_until_received(self) -> None:
        """Wait until the replicas have what the primary has."""
        with self._connected(self.primary) as connection:
            row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
        assert row is not None
        position = int(row[0])
        wait(lambda: all(self._received(number) >= position for number in self.replicas()), "replicas stay behind")

    def wait_until_followed(self) -> None:
        """Wait until every replica streams."""
        wait(lambda: self._streaming() == len(self.servers) - 1, "replicas do not follow")

    def revision(self) -> int:
        """The last revision that is committed."""
        with self._connected(self.primary) as connection:
            row = connection.execute("SELECT value FROM counters WHERE name = 'model_revision'").fetchone()
        assert row is not None
        return int(row[0])

    def _streaming(self) -> int:
        with self._connected(self.primary) as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").fetchone()
        assert row is not None
        return int(row[0])

    def _received(self, number: int) -> int:
        with self._connected(number) as connection:
            row = connection.execute(
                "SELECT pg_wal_lsn_diff(GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _follow(self, number: int) -> None:
        """Make a server a replica of the primary, from nothing."""
        server, primary = self.servers[number], self.servers[self.primary]
        server.kill()
        # Children of the one that was killed may still be writing into its folder.
        server.folder = server.folder.with_name(f"{server.folder.name}+")
        copied = ["--host=127.0.0.1", f"--port={primary.port}", "--username=postgres", "--checkpoint=fast", "--no-sync"]
        command = [*as_nobody_special(), str(server.programs / "pg_basebackup"), *copied, "-D", str(server.folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        (server.folder / "standby.signal").touch()
        server.start()

    def _connected(self, number: int) -> "psycopg.Connection[tuple[object, ...]]":
        port = self.servers[number].port
        return psycopg.connect(
            f"host=127.0.0.1 port={port} user=postgres dbname=modelyard connect_timeout=5", autocommit=True
        )


@contextmanager
def running_databases(folder: Path, count: int = 3, *, is_synchronous: bool = True) -> Iterator[Databases]:
    """Give a primary with its replicas, and an empty database ``modelyard`` in it.

    Unless ``is_synchronous``, a commit waits for no replica.
    """
    ports = [free_port() for _ in range(count)]
    hosts = f"host={','.join(['127.0.0.1'] * count)} port={','.join(map(str, ports))}"
    names = ", ".join(f"s{number}" for number in range(count))
    servers = []
    for number, port in enumerate(ports):
        conninfo = f"{hosts} user=postgres application_name=s{number} target_session_attrs=read-write connect_timeout=3"
        # pg_rewind needs full pages.
        options = (*_OPTIONS, f"primary_conninfo={conninfo}", "full_page_writes=on")
        if is_synchronous:
            options = (*options, f"synchronous_standby_names=ANY 1 ({names})")
        servers.append(PostgresServer(postgres_programs(), folder / f"postgres{number}", port, options))
    databases = Databases(servers)
    try:
        servers[0].make()
        # Nobody follows yet whose word a commit could wait for.
        with_replicas, servers[0].options = servers[0].options, _OPTIONS
        servers[0].start()
        servers[0].make_database(name="modelyard")
        servers[0].options = with_replicas
        servers[0].kill()
        servers[0].start()
        for number in databases.replicas():
            databases._follow(number)
        databases.wait_until_followed()
        yield databases
    finally:
        for server in servers:
            server.kill()
            server.stop()


def wait(condition: Callable[[], bool], problem: str, seconds: float = LONG_SECONDS) -> None:
    """Wait for a condition; what cannot be asked just now is not true yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (OSError, psycopg.Error):
            pass
        assert time.monotonic() < deadline, problem
        time.sleep(0.05)
