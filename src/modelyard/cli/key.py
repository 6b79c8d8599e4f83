"""`modelyard key`: make, list and revoke API keys, and the secret that links are signed with."""

import click
import msgspec

from modelyard import signing, store
from modelyard.auth import Auth
from modelyard.cli import options, output
from modelyard.domain import Scope
from modelyard.store import signing_keys

# How often servers read the secrets again, with some to spare.
_TAKEN_UP_SECONDS = 120


@click.group(epilog="Example: modelyard key create --team alice")
@options.home_option
def key() -> None:
    """Make, list and revoke API keys.

    A key belongs to a team, and a team is made with its first key. Only a key's digest is kept: it is shown once.
    """


@key.command(epilog="Example: modelyard key create --team alice --scope read,write --expires 90d")
@options.home_option
@click.option("--team", required=True, help="The team that the key speaks for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=options.Scopes(),
    default=["read,write"],
    show_default=True,
    help="What the key allows: a team's models to be read, to be written, its keys to be managed.",
)
@click.option(
    "--expires", type=options.Duration(), help="How long it is good for, such as 90d or 12h; always, if not given."
)
@options.json_option
def create(team: str, scopes: tuple[frozenset[Scope], ...], expires: int | None, as_json: bool) -> None:
    """Make a key and write it on standard output."""
    with options.opened_store(options.read_settings()) as opened:
        secret, record = Auth(opened).create_key(team, frozenset[Scope]().union(*scopes), expires)
    if as_json:
        output.write_json({"key": secret, **_shown(record)})
        return
    until = f", until {output.shown_time(record.expires_at)} UTC" if record.expires_at else ""
    output.remark(
        f"key {record.id} of team {record.team}: {', '.join(sorted(record.scopes))}{until}. It is shown only now:"
    )
    click.echo(secret)


@key.command("list", epilog="Example: modelyard key list --team alice")
@options.home_option
@click.option("--team", help="Only the keys of this team.")
@options.json_option
def list_(team: str | None, as_json: bool) -> None:
    """List keys, those that no longer work included."""
    with options.opened_store(options.read_settings()) as opened:
        records = Auth(opened).list_keys(team)
    if as_json:
        output.write_json([_shown(record) for record in records])
        return
    headings = ("id", "key", "team", "scopes", "created", "expires", "revoked", "last used")
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    output.write_table(
        headings,
        (
            (
                str(record.id),
                record.hint,
                record.team,
                " ".join(sorted(record.scopes)),
                *(output.shown_time(getattr(record, time)) for time in times),
            )
            for record in records
        ),
        numeric=("id",),
    )


@key.command(epilog="Example: modelyard key revoke sk_abcd")
@options.home_option
@click.argument("key_or_id", metavar="KEY")
@options.json_option
def revoke(key_or_id: str, as_json: bool) -> None:
    """Revoke a key, named by its id, its first characters or the whole of it. It stops with the next request."""
    with options.opened_store(options.read_settings()) as opened:
        record = Auth(opened).revoke_key(key_or_id)
    if as_json:
        output.write_json(_shown(record))
        return
    output.remark(f"key {record.id} ({record.hint}) of team {record.team} is revoked")


@key.command("rotate-signing", epilog="Example: modelyard key rotate-signing --overlap 7d")
@options.home_option
@click.option(
    "--overlap",
    type=options.Duration(),
    help="How long links signed until now stay good; as long as a link is good for, if not given. 0s ends them all.",
)
@options.json_option
def rotate_signing(overlap: int | None, as_json: bool) -> None:
    """Sign download links with a fresh secret from now on. A server that runs takes it up within a minute."""
    read = options.read_settings()
    # Until every worker has read it, links are signed with the old one: they are to live as long as they say.
    longest_seconds = read.download_url_ttl_seconds + signing.ROUND_SECONDS + _TAKEN_UP_SECONDS
    overlap = longest_seconds if overlap is None else overlap
    with options.opened_store(read) as opened, opened.transaction() as writing:
        ends_at = writing.now + overlap
        signing_keys.add_signing_key(writing.connection, signing.fresh_secret(), writing.now, others_end_at=ends_at)
        newest = max(key.id for key in signing_keys.signing_keys(writing.connection))
    if as_json:
        output.write_json({"signing_key": newest, "others_end_at": ends_at})
        return
    output.remark(f"links are signed by key {newest}; older ones end at {output.shown_time(ends_at)} UTC")


def _shown(record: store.Key) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(record)
    return shown | {"scopes": sorted(record.scopes)}
