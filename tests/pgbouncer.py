"""A real PgBouncer before a PostgreSQL server, which gives every transaction another connection."""

import os
import pwd
import signal
import subprocess
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
        """Lead to another server from now on, as RELOAD does; clients keep their connections."""
        _configure(self.folder, self.port, server_port, self.connections)
        os.kill(self.process, signal.SIGHUP)


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
def running_bouncer(server_port: int, folder: Path, connections: int) -> Iterator[Bouncer]:
    """Give a PgBouncer before a server that answers, with so many connections to it."""
    program = requirements.program("pgbouncer")
    port = free_port()
    # It refuses to run as root.
    is_root = os.geteuid() == 0
    user = "nobody" if is_root else pwd.getpwuid(os.geteuid()).pw_name
    _configure(folder, port, server_port, connections)
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
        yield Bouncer(port, folder, process.pid, connections)
    finally:
        process.terminate()
        process.wait(60)
