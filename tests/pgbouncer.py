"""A real PgBouncer before a PostgreSQL server, which gives every transaction another connection."""

import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import requirements
from tests.process_servers import free_port
from tests.processes import wait_for


@dataclass(frozen=True)
class Bouncer:
    """A PgBouncer that runs: its port, its folder, and its process."""

    port: int
    folder: Path
    process: int
    connections: int

    def lead_to(self, server_port: int) -> None:
        """Lead to another server from now on, as RELOAD does; clients keep their connections. Returns when it does."""
        _configure(self.folder, self.port, server_port, self.connections)
        os.kill(self.process, signal.SIGHUP)
        assert wait_for(lambda: server_port == _server_behind(self.port), 240), (
            self.folder / "bouncer.log"
        ).read_text()


def _server_behind(port: int) -> int:
    """Return the port of the server that a PgBouncer leads to; 0 if it leads to none just now."""
    psycopg = requirements.module("psycopg")
    url = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=5"
    try:
        with psycopg.connect(url) as connection:
            return int(connection.execute("SELECT inet_server_port()").fetchone()[0])
    except psycopg.Error:
        return 0


def _configure(folder: Path, port: int, server_port: int, connections: int) -> None:
    """Write the file of settings; the two times are as docs/operate/scale.md says."""
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "bouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server_port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users.txt\n"
        f"pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 100\n"
        "query_wait_timeout = 10\nserver_login_retry = 1\n"
    )


@contextmanager
def running_bouncer(server_port: int, connections: int) -> Iterator[Bouncer]:
    """Give a PgBouncer before a server that answers, with so many connections to it."""
    program = requirements.program("pgbouncer")
    # Not below pytest's folders, which other users cannot enter: it reads its settings again as another one.
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        with _running(program, server_port, Path(folder), connections) as bouncer:
            yield bouncer


@contextmanager
def _running(program: str, server_port: int, folder: Path, connections: int) -> Iterator[Bouncer]:
    port = free_port()
    # It refuses to run as root.
    is_root = os.geteuid() == 0
    user = "nobody" if is_root else pwd.getpwuid(os.geteuid()).pw_name
    _configure(folder, port, server_port, connections)
    command = [program, *(["-u", user] if is_root else []), str(folder / "bouncer.ini")]
    with (folder / "bouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert wait_for(lambda: server_port == _server_behind(port), 240), (folder / "bouncer.log").read_text()
        yield Bouncer(port, folder, process.pid, connections)
    finally:
        process.terminate()
        process.wait(60)
