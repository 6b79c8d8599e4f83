"""A node opens no more connections than documented, answers while there is none, and leaves one for its operator."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelyard import settings
from modelyard.cli.serve import count_connections
from tests import requirements
from tests.process_commands import PROGRAM, Served, environment, serving
from tests.process_servers import PostgresServer, postgres_server
from tests.processes import wait_for

ACCEPTED = 40
LONG_SECONDS = 240.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    options = f"max_connections={ACCEPTED}", "superuser_reserved_connections=0"
    with postgres_server(tmp_path_factory.mktemp("server"), *options) as running:
        yield running


def connect(server: PostgresServer):  # type: ignore[no-untyped-def] # the driver may be missing
    return requirements.module("psycopg").connect(server.url().replace("+psycopg", ""), autocommit=True)


def ask(served: Served, path: str) -> tuple[int, str | None, bytes]:
    """Return the status of an answer, its Retry-After, and its body; 0 if there is no answer."""
    with contextlib.closing(served.connect()) as connection, contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Retry-After"], answer.read()
    return 0, None, b""


def take_all(server: PostgresServer, stack: ExitStack, connections: list[object]) -> int:
    """Take every connection that is free; return how many are taken."""
    with contextlib.suppress(requirements.module("psycopg").OperationalError):
        while True:
            connections.append(stack.enter_context(connect(server)))
    return len(connections)


def find_worker(served: Served) -> int:
    with contextlib.closing(served.connect()) as connection:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        worker = served.holder(connection)
    assert worker is not None
    return worker


def test_a_node_without_a_connection_answers_503_and_recovers(server: PostgresServer, tmp_path: Path) -> None:
    url = server.make_database()
    with serving(tmp_path, 1, "", MODELYARD_DATABASE_URL=url) as served:
        assert wait_for(lambda: ask(served, "/readyz")[0] == 200, LONG_SECONDS)
        worker = find_worker(served)
        with ExitStack() as stack:
            taken: list[object] = []
            before = take_all(server, stack, taken)
            # No worker takes its place while its connections, one that listens among them, are taken.
            os.kill(served.parent, signal.SIGSTOP)
            stack.callback(os.kill, served.parent, signal.SIGCONT)
            os.kill(worker, signal.SIGKILL)
            assert wait_for(lambda: take_all(server, stack, taken) >= before + 2, LONG_SECONDS)
            os.kill(served.parent, signal.SIGCONT)
            assert wait_for(lambda: ask(served, "/readyz")[0] == 503, LONG_SECONDS)
            status, retry_after, body = ask(served, "/v3/model")
            assert (503, "2") == (status, retry_after)
            assert json.loads(body)["message"].startswith("the database server has no free connection")
            assert 200 == ask(served, "/healthz")[0]
        assert wait_for(lambda: ask(served, "/readyz")[0] == 200, LONG_SECONDS)
        assert server.count_connections(url) <= count_connections(settings.load(tmp_path, {}))


def test_a_key_is_revoked_beside_a_node_and_a_node_that_never_fits_is_refused(
    server: PostgresServer, tmp_path: Path
) -> None:
    url = server.make_database()
    variables = {"MODELYARD_DATABASE_URL": url}
    key = json.loads(run("key", "create", "--team", "red", "--json", home=tmp_path, **variables).stdout)
    with serving(tmp_path, 2, "", MODELYARD_DATABASE_URL=url, MODELYARD_VERIFIERS="1") as served, ExitStack() as stack:
        assert wait_for(lambda: ask(served, "/readyz")[0] == 200, LONG_SECONDS)
        # Others have all connections but one.
        while server.count_connections() < ACCEPTED - 1:
            stack.enter_context(connect(server))
        revoked = run("key", "revoke", str(key["id"]), home=tmp_path, **variables)
        assert 0 == revoked.returncode, revoked.stderr

    refused = run("serve", "--port", "0", "--workers", "9", home=tmp_path, **variables)
    assert 1 == refused.returncode
    assert f"and the database server accepts {ACCEPTED}; raise max_connections" in refused.stderr


def run(*words: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words, "--home", str(home)],
        env={**environment(), **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
