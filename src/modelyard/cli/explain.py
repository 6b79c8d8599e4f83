"""`modelyard inspect --why`: every fact of a model, who said it, and what others said."""

from typing import Any

import click
import msgspec

from modelyard import errors
from modelyard.cli import options, output
from modelyard.domain import FACT_NAMES, Entry, Facts, Hashes, Layer, ModelType, resolve
from modelyard.paths import display_path
from modelyard.store import files, lookup
from modelyard.store.files import FileRecord

# As a person calls them.
_LAYERS = {
    Layer.USER: "user",
    Layer.SIDECAR: "side-car",
    Layer.UPSTREAM: "upstream",
    Layer.HEADER: "header",
    Layer.GUESS: "guess",
}
_LINE_CHARS, _SHOWN_CHARS_MAX, _LINES_MAX = 30, 300, 8


def write_why(wanted: str, *, as_json: bool) -> None:
    """Write the layers of the models that an id, a name or a hash names. Raises ModelNotFound."""
    with options.opened_store(options.read_settings()) as opened:
        with opened.reading() as connection:
            ids = lookup.model_ids(connection, wanted)
            of_models = files.of_models(connection, ids)
        entries = [entry for id_ in ids if (entry := opened.entry(id_)) is not None]
    if not entries:
        raise errors.ModelNotFound(wanted)
    if as_json:
        told = [_json_of(entry, of_models.get(entry.model.id, [])) for entry in entries]
        output.write_json(told[0] if len(told) == 1 else told)
        return
    for entry in entries:
        _write(entry, of_models.get(entry.model.id, []))
    if len(entries) > 1:
        output.remark(f"{len(entries)} models are called {wanted!r}; an id names one")


def _write(entry: Entry, known: list[FileRecord]) -> None:
    model = entry.model
    owner = f"team {model.team}" if model.team else "everybody's"
    click.echo(
        output.printable(f"{model.id}  {model.sd_name}  {model.visibility}, {owner}, status {model.status.value}")
    )
    rows = []
    for name in FACT_NAMES:
        said = _said(entry, name)
        for number, (layer, value) in enumerate(said):
            for line, text in enumerate(_texts(value)):
                is_first = number == line == 0
                rows.append((name if is_first else "", text, layer, "outvoted" if number else ""))
    output.write_table(("fact", "value", "said by", ""), rows)
    for file in known:
        click.echo(output.printable(f"file: {display_path(file.path)} ({file.state}{_reason(file)})"))
    click.echo()


def _said(entry: Entry, name: str) -> list[tuple[str, Any]]:
    """Return who says what of a fact, the strongest first."""
    return [
        (text, value)
        for layer, text in _LAYERS.items()
        if layer in entry.layers and (value := getattr(entry.layers[layer], name)) is not None
    ]


def _reason(file: FileRecord) -> str:
    return f": {file.reason}" if file.reason else ", not hashed yet" if file.hashes_pending else ""


def _texts(value: Any) -> list[str]:
    """Return a value as a person reads it, a line each where lines are long."""
    if isinstance(value, ModelType):
        return [value.display_name]
    if isinstance(value, Hashes):
        return [f"{name} {getattr(value, name)}" for name in Hashes.__slots__ if getattr(value, name)]
    if isinstance(value, tuple):
        return list(value) if any(len(each) > _LINE_CHARS for each in value) else [", ".join(value)]
    lines = str(value).splitlines() or [""]
    return [line[:_SHOWN_CHARS_MAX] for line in lines[:_LINES_MAX]]


def _json_of(entry: Entry, known: list[FileRecord]) -> dict[str, Any]:
    model = entry.model
    return {
        "id": model.id,
        "name": model.name,
        "sd_name": model.sd_name,
        "status": model.status.value,
        "facts": {
            name: {"value": value, "layer": _said(entry, name)[0][0]}
            for name, value in _object(resolve(entry.layers)).items()
        },
        "layers": {text: _object(entry.layers[layer]) for layer, text in _LAYERS.items() if layer in entry.layers},
        "files": [
            {"path": display_path(file.path), "state": file.state.value, "reason": file.reason, "sha256": file.sha256}
            for file in known
        ],
    }


def _object(facts: Facts) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(facts)
    return {name: value for name, value in told.items() if value is not None}
