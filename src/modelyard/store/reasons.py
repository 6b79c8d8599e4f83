"""Says in plain words why a database does not work, from the errors of its driver.

The sentences are safe to show to every caller: they name no host, no user and no statement. What the driver says goes
to the log and to commands.
"""

import sqlalchemy as sa

from modelyard.store.dialect import BUSY_SECONDS

_DETAIL_CHARS_MAX = 400
NO_SLOT = "the database server has no free connection; raise its max_connections, or run fewer processes"
_REFUSED = "the database refuses the user or the password"
_STARTING = "the database server is starting or stopping"
_READ_ONLY = "the database takes no writes: it is a standby, or read-only"
_DISK_FULL = "the disk of the database is full; free some space and try again"
_TIMEOUT = "the database does not answer in time"
_LOCKED = f"other writers held the database for more than {BUSY_SECONDS} s"
_NO_DATABASE = "the database server has no such database"
# SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_STATE = {
    "25006": _READ_ONLY,
    "28000": _REFUSED,
    "28P01": _REFUSED,
    "3D000": _NO_DATABASE,
    "42501": "the database user lacks a right that Modelyard needs",
    "53100": _DISK_FULL,
    "53200": "the database server is out of memory",
    "53300": NO_SLOT,
    "55P03": _LOCKED,
    "57014": _TIMEOUT,
    "57P01": _STARTING,
    "57P02": _STARTING,
    "57P03": _STARTING,
}
_BY_SQLITE_NAME = {
    "SQLITE_FULL": _DISK_FULL,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_READONLY": "the database file is read-only for this user",
    "SQLITE_CANTOPEN": "the database file cannot be opened",
    "SQLITE_IOERR": "the disk of the database fails",
}
# A refused connection has no SQLSTATE (psycopg 3.2): only libpq's text, in the server's language after "FATAL:".
_BY_TEXT = (
    ("too many clients", NO_SLOT),
    ("connection slots are reserved", NO_SLOT),
    ("too many connections", NO_SLOT),
    ("no more connections allowed", NO_SLOT),  # PgBouncer, max_client_conn
    ("query_wait_timeout", "the connection pooler has no free connection"),
    ("password authentication failed", _REFUSED),
    ("no password supplied", _REFUSED),
    ("authentication failed", _REFUSED),
    ("no pg_hba.conf entry", "the database server does not accept this user from this address"),
    ("starting up", _STARTING),
    ("shutting down", _STARTING),
    ("server closed the connection", "the database server ended its connections"),
    ("session is read-only", _READ_ONLY),
    ("timeout expired", _TIMEOUT),
    ("timed out", _TIMEOUT),
    ("connection refused", "the database server cannot be reached: nothing listens at its address"),
    ("resolve host", "the database server cannot be reached: its host name is unknown"),
    ("could not translate host name", "the database server cannot be reached: its host name is unknown"),
)
# The texts about a role and a database, which may have any name.
_BY_TWO_TEXTS = (("role", "does not exist", _REFUSED), ("database", "does not exist", _NO_DATABASE))
UNKNOWN = "the database is away or busy"
_POOL_IN_USE = "all database connections of this process are in use"


def describe(problem: BaseException | None) -> str:
    """Return the reason for an error of SQLAlchemy or a driver, as a sentence without details."""
    if isinstance(problem, sa.exc.TimeoutError):
        return _POOL_IN_USE
    reason = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
    name = getattr(reason, "sqlite_errorname", None) or ""
    for prefix, sentence in _BY_SQLITE_NAME.items():
        if name.startswith(prefix):
            return sentence
    if sentence := _BY_STATE.get(getattr(reason, "sqlstate", None) or "", ""):
        return sentence
    # A URL with several hosts has a line for each; the last one may be a standby, so the order of the table decides.
    text = str(reason).lower()
    for part, sentence in _BY_TEXT:
        if part in text:
            return sentence
    return next((sentence for one, two, sentence in _BY_TWO_TEXTS if one in text and two in text), UNKNOWN)


def detail_of(problem: BaseException | None) -> str:
    """Return what the driver says, in one line, for the log and for commands."""
    reason = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
    return " ".join(str(reason).split())[:_DETAIL_CHARS_MAX]
