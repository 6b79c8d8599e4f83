"""`modelyard signing-key`: the secret that download links are signed with."""

import click

from modelyard import signing
from modelyard.cli import home, options, output
from modelyard.store import signing_keys

# Servers read the secrets again every minute. This is twice as long.
_RELOAD_SECONDS = 120


@click.group("signing-key", epilog="Example: modelyard signing-key rotate")
@options.home_and_quiet_options
def signing_key() -> None:
    """Change the secret that download links are signed with."""


@signing_key.command(epilog="Example: modelyard signing-key rotate --overlap 7d")
@options.home_and_quiet_options
@click.option(
    "--overlap",
    type=options.Duration(),
    help="How long existing links stay valid; 0s ends them all.  [default: until each of them expires]",
)
@options.json_option
def rotate(overlap: int | None, as_json: bool) -> None:
    """Sign new download links with a new secret. A running server uses it within a minute."""
    config = home.load_settings()
    # A worker that has not read the new secret yet signs with the old one. Such a link must live as long as it says.
    lifetime_seconds = config.download_url_ttl_seconds + signing.ROUND_SECONDS + _RELOAD_SECONDS
    overlap = lifetime_seconds if overlap is None else overlap
    with home.open_store(config) as store, store.transaction() as transaction:
        ends_at = transaction.now + overlap
        connection = transaction.connection
        signing_keys.add_signing_key(connection, signing.fresh_secret(), transaction.now, others_end_at=ends_at)
        transaction.audit.note("signing_key.rotate", "", None)
        newest_id = max(key.id for key in signing_keys.signing_keys(connection))
    if as_json:
        output.write_json({"signing_key": newest_id, "others_end_at": ends_at})
        return
    output.remark(f"new links use key {newest_id}; older links end at {output.format_time(ends_at)} UTC")
