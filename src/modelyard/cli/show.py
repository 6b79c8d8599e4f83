"""`modelyard show`: everything that is known of a model, for a person or as JSON."""

from collections.abc import Iterator

import click
import msgspec

from modelyard import wire
from modelyard.cli import home, models, options, output
from modelyard.domain import Model
from modelyard.licences import format_licence
from modelyard.registry.signatures import find_check
from modelyard.signatures import format_signature, load_policy
from modelyard.web.api.model_details import describe, name_signature
from modelyard.wire.details import DetailsRecord

_DESCRIPTION_LINES_MAX = 40
_IMAGES_MAX = 5
_PROMPT_CHARS_MAX = 300


@click.command(epilog="Example: modelyard show 'Night Harbour'")
@options.home_and_quiet_options
@click.argument("name", metavar="MODEL")
@options.json_option
def show(name: str, as_json: bool) -> None:
    """Show everything that is known of MODEL, an id, a name, a title or a hash: files, versions, licence and images.

    `modelyard explain` shows which source says what.
    """
    config = home.load_settings()
    policy = load_policy(config.signature_keys, is_required=config.require_signature == "yes")
    with home.open_store(config) as store:
        entry = models.find_one(store, name)
        details = describe(store, entry)
        with store.reading() as connection:
            signature = find_check(connection, entry.model, policy)
    if as_json:
        # Only a server signs download links, so the record has none.
        record = msgspec.json.decode(wire.fill_holes(wire.render_record(entry.model), lambda *_: ""))
        output.write_json({**record, **msgspec.to_builtins(details), **name_signature(signature)})
        return
    _write(entry.model, details, format_signature(signature))


def _write(model: Model, details: DetailsRecord, signature: str) -> None:
    owner = f"team {model.team}" if model.team else "no team"
    click.echo(output.printable(details.title or model.name))
    click.echo(
        output.printable(
            f"{model.id}  {model.sd_name}  {model.visibility}, {owner}, {output.describe_status(model.status)}"
        )
    )
    click.echo()
    output.write_table(("fact", "value"), _list_facts(model, details, signature), prose=("value",))
    for line in details.description.splitlines()[:_DESCRIPTION_LINES_MAX]:
        click.echo(output.printable(line))
    _write_files(details)
    if details.version_group and len(details.version_group.versions) > 1:
        click.echo()
        output.write_table(
            ("version", "id", "base model", "published", "status"),
            [
                (
                    version.name,
                    str(version.id),
                    version.base_model,
                    _day(version.published_at),
                    output.describe_status(version.status),
                )
                for version in details.version_group.versions
            ],
            numeric=("id",),
        )
    for image in details.images[:_IMAGES_MAX]:
        click.echo()
        click.echo(output.printable(str(image["url"])))
        if prompt := image.get("prompt"):
            click.echo(output.printable(f"prompt: {' '.join(str(prompt).split())[:_PROMPT_CHARS_MAX]}"))


def _list_facts(model: Model, details: DetailsRecord, signature: str) -> Iterator[tuple[str, str]]:
    recommended = details.recommended or {}
    facts = {
        "version": model.name,
        "name in API": model.sd_name_in_api,
        "type": model.type.display_name,
        "base model": " ".join(filter(None, (model.base_model, model.base_model_type))),
        "creator": details.creator,
        "tags": ", ".join(model.tags),
        "trigger words": ", ".join(details.trigger_words),
        "recommended": ", ".join(f"{name} {value}" for name, value in recommended.items() if value is not None),
        "licence": format_licence(details.licence) if details.licence else "unknown",
        "published": _day(details.published_at),
        "updated": _day(details.updated_at),
        "added": _day(details.added_at),
        "downloads": f"{model.rank:,}",
        "AIR": details.air or "",
        "signature": signature,
        "not safe for work": "yes" if model.is_nsfw else "",
    }
    return ((name, text) for name, text in facts.items() if text)


def _write_files(details: DetailsRecord) -> None:
    click.echo()
    output.write_table(
        ("file", "kind", "size", "SHA-256", "checked", "here"),
        [
            (
                file.name,
                " ".join(filter(None, (file.role or file.size_kind, file.precision))),
                output.format_size(file.size_bytes),
                file.hashes.get("sha256", file.hashes.get("autov2", ""))[:10],
                str(file.scan or ""),
                "yes" if file.is_here else "no",
            )
            for file in details.files
        ],
        numeric=("size",),
    )


def _day(date: str | None) -> str:
    return (date or "")[:10]
