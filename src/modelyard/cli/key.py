"""`modelyard key`: create, list and revoke API keys, and the access of people who sign in without one."""

import click
import msgspec

from modelyard import store
from modelyard.auth import Auth
from modelyard.cli import home, options, output
from modelyard.domain import Scope


@click.group(epilog="Example: modelyard key create --team alice")
@options.home_and_quiet_options
def key() -> None:
    """Create, list and revoke API keys.

    A key belongs to a team. The first key of a team creates the team. Modelyard stores only a digest of a key, so it
    shows the key once.
    """


@key.command(epilog="Example: modelyard key create --team alice --scope read,write --expires 90d")
@options.home_and_quiet_options
@click.option("--team", required=True, help="The team that the key belongs to.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=options.Scopes(),
    default=["read,write"],
    show_default=True,
    help="The key allows: to read the team's models, to write them, to manage its keys, or to download files only.",
)
@click.option("--name", default="", help="What people call the key, such as anna's laptop.")
@click.option("--purpose", default="", help="What the key is for, such as nightly backup.")
@click.option("--expires", type=options.Duration(), help="When the key expires, such as 90d or 12h.  [default: never]")
@options.json_option
def create(
    team: str, scopes: tuple[frozenset[Scope], ...], name: str, purpose: str, expires: int | None, as_json: bool
) -> None:
    """Create a key and write it on standard output."""
    if expires == 0:
        raise click.BadParameter("a key must be valid for a time; accepted: 1s or more", param_hint="--expires")
    with home.open_store(home.load_settings()) as database:
        secret, record = Auth(database).create_key(
            team, frozenset[Scope]().union(*scopes), expires, name=name, purpose=purpose
        )
    if as_json:
        output.write_json({"key": secret, **_key_json(record)})
        return
    expiry = f", expires {output.format_time(record.expires_at)} UTC" if record.expires_at else ""
    output.remark(
        f"key {record.id} of team {record.team}: {', '.join(sorted(record.scopes))}{expiry}. It is shown only once:"
    )
    click.echo(secret)


@key.command("list", epilog="Example: modelyard key list --team alice")
@options.home_and_quiet_options
@click.option("--team", help="Only the keys of this team.")
@options.json_option
def list_(team: str | None, as_json: bool) -> None:
    """List keys, also those that are revoked or expired."""
    with home.open_store(home.load_settings()) as database:
        records = Auth(database).list_keys(team)
    if as_json:
        output.write_json([_key_json(record) for record in records])
        return
    if not records:
        output.remark(f"there are no keys{f' of team {team}' if team else ''}; `modelyard key create` makes one")
        return
    headings = ("id", "key", "name", "team", "scopes", "created", "expires", "revoked", "last used")
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    output.write_table(
        headings,
        (
            (
                str(record.id),
                record.hint,
                record.name,
                record.team,
                " ".join(sorted(record.scopes)),
                *(output.format_time(getattr(record, time)) for time in times),
            )
            for record in records
        ),
        numeric=("id",),
    )


@key.command(epilog="Example: modelyard key revoke sk_abcd")
@options.home_and_quiet_options
@click.argument("key_or_id", metavar="KEY")
@options.json_option
def revoke(key_or_id: str, as_json: bool) -> None:
    """Revoke a key at once. KEY is its id, the beginning that `key list` shows (sk_a to sk_abcd), or all of it."""
    with home.open_store(home.load_settings()) as database:
        record = Auth(database).revoke_key(key_or_id)
    if as_json:
        output.write_json(_key_json(record))
        return
    output.remark(f"revoked key {record.id} ({record.hint}) of team {record.team}")


@key.command(epilog="Example: modelyard key rotate sk_abcd --overlap 24h")
@options.home_and_quiet_options
@click.argument("key_or_id", metavar="KEY")
@click.option(
    "--overlap",
    type=options.Duration(),
    default="24h",
    show_default=True,
    help="How long the old key stays valid; 0s ends it now.",
)
@options.json_option
def rotate(key_or_id: str, overlap: int, as_json: bool) -> None:
    """Create a key that takes the place of KEY, and write it on standard output.

    It has the team, scopes, name, purpose and length of life of KEY. Sessions and download links of KEY end with it.
    """
    with home.open_store(home.load_settings()) as database:
        secret, record, other = Auth(database).rotate_key(key_or_id, overlap)
    if as_json:
        output.write_json({"key": secret, **_key_json(record), "replaces": _key_json(other)})
        return
    output.remark(
        f"key {record.id} of team {record.team} takes the place of key {other.id} ({other.hint}), which ends "
        f"{output.format_time(other.expires_at)} UTC. It is shown only once:"
    )
    click.echo(secret)


@key.command(epilog="Example: modelyard key restore 12")
@options.home_and_quiet_options
@click.argument("person_id", metavar="ID", type=int)
@options.json_option
def restore(person_id: int, as_json: bool) -> None:
    """Let a person sign in again by the proxy or the provider, whose access was revoked. Keys stay revoked."""
    with home.open_store(home.load_settings()) as database:
        record = Auth(database).restore_person(person_id)
    if as_json:
        output.write_json(_key_json(record))
        return
    output.remark(f"{record.name} of team {record.team} may sign in again")


def _key_json(record: store.Key) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(record)
    return fields | {"scopes": sorted(record.scopes)}
