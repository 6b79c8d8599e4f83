"""`modelyard explain`: every fact of a model, which source says it, and what the other sources say."""

from typing import Any

import click

from modelyard import errors
from modelyard.cli import home, options, output
from modelyard.domain import Hashes, Licence, ModelType
from modelyard.facts import FACT_NAMES, Entry, Image, ModelFile, Recommended
from modelyard.licences import format_licence
from modelyard.paths import display_path
from modelyard.store import files, lookup
from modelyard.store.files import FileRecord
from modelyard.wire.details import explain_facts, explain_layers, list_values

# A list with an item longer than this has one item on a line.
_ITEM_CHARS = 30
_LINE_CHARS_MAX, _LINES_MAX = 300, 8


@click.command(epilog="Example: modelyard explain 7A28BA3463")
@options.home_and_quiet_options
@click.argument("model")
@options.json_option
def explain(model: str, as_json: bool) -> None:
    """Show every fact of MODEL, which source says it, and what the other sources say.

    MODEL is an id, a name, a title or a hash. The sources are the user, sidecar files, the upstream catalogue, the
    file's header, and guesses from names.
    """
    with home.open_store(home.load_settings()) as store:
        with store.reading() as connection:
            ids = lookup.model_ids(connection, model)
            files_by_model = files.of_models(connection, ids)
        entries = [entry for id_ in ids if (entry := store.entry(id_)) is not None]
    if not entries:
        raise errors.ModelNotFound(model)
    if as_json:
        explanations = [_entry_json(entry, files_by_model.get(entry.model.id, [])) for entry in entries]
        output.write_json(explanations[0] if len(explanations) == 1 else explanations)
        return
    for entry in entries:
        _write_entry(entry, files_by_model.get(entry.model.id, []))
    if len(entries) > 1:
        output.remark(f"{len(entries)} models have the name {model!r}; use an id to select one")


def _write_entry(entry: Entry, records: list[FileRecord]) -> None:
    model = entry.model
    owner = f"team {model.team}" if model.team else "no team"
    click.echo(
        output.printable(
            f"{model.id}  {model.sd_name}  {model.visibility}, {owner}, {output.describe_status(model.status)}"
        )
    )
    rows = []
    for name in FACT_NAMES:
        for number, (layer, value) in enumerate(list_values(entry.layers, name)):
            for line, text in enumerate(_format_value(value)):
                is_first = number == line == 0
                rows.append((name if is_first else "", text, layer, "not used" if number else ""))
    output.write_table(("fact", "value", "said by", ""), rows, prose=("value",))
    for record in records:
        click.echo(output.printable(f"file: {display_path(record.path)} ({record.state}{_format_reason(record)})"))
    click.echo()


def _format_reason(record: FileRecord) -> str:
    return f": {record.reason}" if record.reason else ", not hashed yet" if record.hashes_pending else ""


def _format_file(file: ModelFile) -> str:
    size = f"{file.size_bytes:,} bytes" if file.size_bytes is not None else None
    short_hash = file.hashes.short if file.hashes else None
    return "  ".join(
        filter(None, (file.name, file.role, file.size_kind, file.precision, file.format, size, short_hash))
    )


def _format_image(image: Image) -> str:
    return "  ".join(filter(None, (image.url, image.prompt)))[:_LINE_CHARS_MAX]


def _format_value(value: Any) -> list[str]:
    """Return a value as lines of text."""
    if isinstance(value, ModelType):
        return [value.display_name]
    if isinstance(value, Hashes):
        return [f"{name} {getattr(value, name)}" for name in Hashes.__slots__ if getattr(value, name)]
    if isinstance(value, Licence):
        return [format_licence(value)]
    if isinstance(value, Recommended):
        return [
            ", ".join(f"{name} {item}" for name in Recommended.__slots__ if (item := getattr(value, name)) is not None)
        ]
    if isinstance(value, tuple) and value and isinstance(value[0], ModelFile):
        return [_format_file(file) for file in value]
    if isinstance(value, tuple) and value and isinstance(value[0], Image):
        return [_format_image(image) for image in value]
    if isinstance(value, tuple):
        return list(value) if any(len(item) > _ITEM_CHARS for item in value) else [", ".join(value)]
    lines = str(value).splitlines() or [""]
    return [line[:_LINE_CHARS_MAX] for line in lines[:_LINES_MAX]]


def _entry_json(entry: Entry, records: list[FileRecord]) -> dict[str, Any]:
    model = entry.model
    return {
        "id": model.id,
        "name": model.name,
        "sd_name": model.sd_name,
        "status": model.status.value,
        "facts": explain_facts(entry.layers),
        "layers": explain_layers(entry.layers),
        "files": [
            {
                "path": display_path(record.path),
                "state": record.state.value,
                "reason": record.reason,
                "sha256": record.sha256,
            }
            for record in records
        ],
    }
