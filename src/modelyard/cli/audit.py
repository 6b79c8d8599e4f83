"""`modelyard audit`: who changed what."""

import itertools
import time
from collections.abc import Iterator

import click
import msgspec

from modelyard.auth import Auth
from modelyard.cli import home, options, output
from modelyard.store import Store
from modelyard.store import audit as audit_store
from modelyard.store.audit import AuditQuery, AuditRow
from modelyard.wire.audit import VERB_ALLOWED, make_audit_record, parse_verb

# A table is in memory as a whole; lines of JSON are not.
_TABLE_ROWS_MAX = 1000
_BATCH_ROWS = 1000


def _read_verb(_: click.Context, __: click.Parameter, verb: str) -> str:
    try:
        return parse_verb(verb) if verb else ""
    except ValueError:
        raise click.BadParameter(f"{verb[:64]!r} is not accepted; accepted: {VERB_ALLOWED}") from None


@click.command(epilog="Example: modelyard audit --since 7d --json")
@options.home_and_quiet_options
@click.option("--since", type=options.Duration(), default="7d", show_default=True, help="How long ago changes began.")
@click.option("--team", help="Only changes of this team.")
@click.option(
    "--verb", default="", callback=_read_verb, help="Only this verb, such as model.edit, or a group such as model."
)
@click.option("--model", "model_id", type=click.IntRange(0, 2**63 - 1), help="Only changes of this model.")
@click.option("--key", "fingerprint", default="", help="Only changes by the key with this fingerprint.")
@options.json_option
def audit(since: int, team: str | None, verb: str, model_id: int | None, fingerprint: str, as_json: bool) -> None:
    """List who changed what, the newest first: models, uploads, fetches, keys, sessions, webhooks and jobs.

    With --json, each line is one change. Without it, the newest 1,000 changes are shown.
    """
    query = AuditQuery(team, max(0, int(time.time()) - since), None, verb, model_id, fingerprint)
    with home.open_store(home.load_settings()) as store:
        names = Auth(store).key_labels(store.teams())
        if as_json:
            for row in _read_rows(store, query):
                click.echo(msgspec.json.encode(make_audit_record(row, names)))
            return
        rows = [*itertools.islice(_read_rows(store, query), _TABLE_ROWS_MAX + 1)]
    headings = ("time", "team", "by", "verb", "what", "revision", "request")
    output.write_table(headings, (_cells(row, names) for row in rows[:_TABLE_ROWS_MAX]))
    if len(rows) > _TABLE_ROWS_MAX:
        output.remark(f"there are more than {_TABLE_ROWS_MAX:,} changes; --json writes all, --since fewer")


def _read_rows(store: Store, query: AuditQuery) -> Iterator[AuditRow]:
    """Yield all rows, a batch in memory at a time."""
    before = None
    while True:
        with store.reading() as connection:
            rows = audit_store.read_rows(connection, query, before, _BATCH_ROWS)
        yield from rows
        if len(rows) < _BATCH_ROWS:
            return
        before = rows[-1].number


def _cells(row: AuditRow, names: dict[str, str]) -> tuple[str, ...]:
    who = row.person or names.get(row.key_fingerprint, row.key_fingerprint)
    many = f"{row.models} models" if row.models else row.subject
    what = many if row.model_id is None else f"model {row.model_id}"
    before = "new" if row.revision_before is None else str(row.revision_before)
    after = "gone" if row.revision_after is None else str(row.revision_after)
    return (
        output.format_time(row.at),
        row.team or "",
        f"{who} {row.address} {row.via}".strip(),
        row.verb,
        what,
        f"{before} → {after}" if row.models else "",
        row.request_id,
    )
