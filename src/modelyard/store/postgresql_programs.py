"""Runs PostgreSQL's own programs ``pg_dump`` and ``pg_restore``, as only they follow its versions.

They must not be older than the server. Where several versions are installed, as Debian does it, the first that is new
enough is taken.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import reasons
from modelyard.store.dialect import Dialect

_PROBLEM_CHARS_MAX = 2_000
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_DEBIAN_FOLDERS = Path("/usr/lib/postgresql")
# Options of psycopg's own in a URL, which libpq does not know.
_DRIVER_OPTIONS = frozenset({"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"})


def run_program(name: str, dialect: Dialect, *arguments: str) -> None:
    """Run a program on a database. Raises ConfigurationError if it fails, or if none is new enough for the server."""
    server_version = _read_server_version(dialect)
    executable = _find_program(name, server_version)
    connection, environment = _connect_arguments(dialect)
    _run([str(executable), *connection, *arguments], environment)


def check_archive(path: Path, dialect: Dialect) -> None:
    """Raise ConfigurationError if a file is no backup that this machine's ``pg_restore`` can read."""
    executable = _find_program("pg_restore", _read_server_version(dialect))
    _run([str(executable), "--list", str(path)], dict(os.environ))


def restore_archive(path: Path, dialect: Dialect, statements: Sequence[str]) -> None:
    """Run statements and restore an archive in one transaction. Raises ConfigurationError; nothing has changed then.

    ``pg_restore`` writes the commands, and ``psql`` runs them: only it can run others in the same transaction.
    """
    server_version = _read_server_version(dialect)
    reader, writer = (_find_program(name, server_version) for name in ("pg_restore", "psql"))
    arguments, environment = _connect_arguments(dialect)
    quiet = ("--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--single-transaction")
    before = [word for statement in statements for word in ("--command", statement)]
    with (
        tempfile.TemporaryFile() as reader_problems,
        tempfile.TemporaryFile() as writer_problems,
        subprocess.Popen(
            [reader, "--clean", "--if-exists", "--no-owner", "--file=-", path],
            stdout=subprocess.PIPE,
            stderr=reader_problems,
        ) as reading,
        subprocess.Popen(
            [writer, *arguments, *quiet, *before, "--file=-"],
            env=environment,
            stdin=subprocess.PIPE,
            stderr=writer_problems,
        ) as writing,
    ):
        assert reading.stdout is not None, "it is a pipe"
        assert writing.stdin is not None, "it is a pipe"
        with suppress(BrokenPipeError):  # the writer has ended, and says why
            shutil.copyfileobj(reading.stdout, writing.stdin)
        reading.stdout.close()
        if reading.wait() and writing.poll() is None:
            # At the end of its input it would commit what has come so far.
            writing.kill()
        with suppress(BrokenPipeError):
            writing.stdin.close()
        for process, problems in ((writing, writer_problems), (reading, reader_problems)):
            if process.wait():
                problems.seek(0)
                raise _failure(str(process.args[0]), problems.read().decode(errors="replace"))  # type: ignore[index] # a list


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise _failure(command[0], done.stderr)


def _failure(program: str, problem: str) -> errors.ConfigurationError:
    is_newer = "unsupported version" in problem
    advice = "; the backup was written by a newer pg_dump: install its version" if is_newer else ""
    text = problem.strip()[:_PROBLEM_CHARS_MAX]
    return errors.ConfigurationError(f"{Path(program).name} failed: {text}{advice}")


def _connection_options(dialect: Dialect) -> dict[str, str]:
    """Return the options of a connection in libpq's words; a URL of ours may name several hosts with their ports."""
    _, options = dialect.engine.dialect.create_connect_args(dialect.engine.url)
    return {name: str(value) for name, value in options.items() if name not in _DRIVER_OPTIONS}


def _connect_arguments(dialect: Dialect) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment with which a program connects to the database."""
    options = _connection_options(dialect)
    environment = dict(os.environ)
    if password := options.pop("password", None):
        # Every user of the machine can list arguments, so the password goes into the environment.
        environment["PGPASSWORD"] = password
    database = " ".join(f"{option}={_quote(value)}" for option, value in options.items())
    return [f"--dbname={database}"], environment


def _quote(value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    return f"'{escaped}'"


def _read_server_version(dialect: Dialect) -> int:
    """Return the major version of the server."""
    try:
        with dialect.engine.connect() as connection:
            return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000
    except sa.exc.DBAPIError as problem:
        name, reason = dialect.engine.url.render_as_string(), reasons.detail_of(problem)
        raise errors.DatabaseUnavailable(f"{name} cannot be opened: {reason}") from problem


def _find_program(name: str, server_version: int) -> Path:
    versions = []
    for path in _installed(name):
        done = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
        version = _VERSION.search(done.stdout)
        if version and int(version[1]) >= server_version:
            return path
        versions += [version[1]] if version else []
    there = f"installed: {', '.join(versions)}" if versions else "it is not installed"
    raise errors.ConfigurationError(
        f"PostgreSQL's own program {name} {server_version} or newer is needed, as the server has version"
        f" {server_version}; {there}; on Debian: apt-get install postgresql-client-{server_version}"
    )


def _installed(name: str) -> Iterator[Path]:
    if found := shutil.which(name):
        yield Path(found)
    yield from sorted(_DEBIAN_FOLDERS.glob(f"[0-9]*/bin/{name}"), reverse=True)
