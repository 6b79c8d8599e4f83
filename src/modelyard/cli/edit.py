"""`modelyard edit`: change what the owner of a model says of it."""

import difflib
import re
import sys
from typing import Any

import click
import msgspec

from modelyard import errors
from modelyard.cli import context, home, models, options, output
from modelyard.cli.base_models import complete_base_model
from modelyard.domain import MODEL_TYPES
from modelyard.registry.changes import Change, edit_of
from modelyard.registry.models import Models

# The fields that an empty value cannot take back.
_NO_RESET = ("visibility", "status")
_NO_CHOICE = ("category_id", *_NO_RESET)
_RESET_NAMES = {"type_name": "type"}
_LISTS = ("tags", "trigger_words", "categories")


@click.command(
    epilog="Examples: modelyard edit 7A28BA3463 --title 'Night Harbour' --tags harbour,night;  "
    "modelyard edit nightHarbour --reset title"
)
@options.home_and_quiet_options
@click.argument("name", metavar="MODEL")
@click.option("--name", "api_name", help="The name for calls. A name in another script becomes the title as well.")
@click.option("--title", help="The title, in any script.")
@click.option("--description", help="The description, plain text; - reads it from standard input.")
@click.option("--tags", help="The tags, separated by commas.")
@click.option("--trigger-words", help="The trigger words, separated by commas.")
@click.option("--categories", help="The categories, separated by commas.")
@click.option("--type", "type_name", help="The type.")
@click.option("--base-model", shell_complete=complete_base_model, help="The base model.")
@click.option("--base-model-type", help="The variant of the base model, such as Inpainting.")
@click.option("--licence", help="The id of the licence, such as apache-2.0, or a JSON object as the API takes it.")
@click.option("--recommended", help='A JSON object, such as {"weight": 0.8, "clip_skip": 2}.')
@click.option("--version-group", help="The name that all versions of one model share.")
@click.option("--cover-url", help="The address of a picture.")
@click.option("--nsfw/--no-nsfw", "is_nsfw", default=None, help="Whether the model is not safe for work.")
@click.option("--visibility", type=click.Choice(["public", "private"]), help="Who may see the model.")
@click.option("--status", type=click.Choice(["0", "1"]), help="Whether the model can be used.")
@click.option(
    "--reset",
    "resets",
    multiple=True,
    type=click.Choice([_RESET_NAMES.get(name, name) for name in Change.__struct_fields__ if name not in _NO_CHOICE]),
    help="Take the owner's value of a field back: the value of the file or of an import counts again.",
)
@options.json_option
def edit(name: str, resets: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Change fields of MODEL, an id, a name, a title or a hash. Only the given fields change.

    The values are the owner's word, which is stronger than sidecars, imports and the file itself.
    """
    fields = {("name" if field == "api_name" else field): value for field, value in values.items() if value is not None}
    if both := fields.keys() & set(resets):
        names = ", ".join("--" + field.replace("_", "-") for field in sorted(both))
        raise click.UsageError(f"{names}: give a value or --reset, not both")
    if type_name := fields.get("type_name"):
        _refuse_unknown_type(type_name)
    resets = tuple("type_name" if field == "type" else field for field in resets)
    if not fields and not resets:
        raise click.UsageError("nothing to change; give a value, such as --title TEXT, or --reset FIELD")
    try:
        change = msgspec.convert({**_read_values(fields), **dict.fromkeys(resets)}, Change)
    except msgspec.ValidationError as problem:
        text, _, place = str(problem).partition(" - at `$.")
        option = "--" + re.split(r"[.\[`]", place)[0].replace("_", "-")
        raise click.UsageError(f"{option}: {text}" if place else text) from None
    edited = edit_of(change)
    config = home.load_settings()
    storage = context.open_storage(config)
    with home.open_store(config) as store:
        entry = models.find_one(store, name)
        after = Models(store, storage.kept, storage.incoming).edit_as_operator(entry.model.id, edited)
    if as_json:
        output.write_json({"id": after.model.id, "sd_name": after.model.sd_name})
        return
    output.remark(f"changed: {after.model.id}  {after.model.sd_name}")


def _refuse_unknown_type(name: str) -> None:
    """Refuse a type that Modelyard does not know: nobody would find the model by it."""
    names = [kind for kind in MODEL_TYPES if kind != "unknown"]
    if name.casefold() not in MODEL_TYPES:
        nearest = difflib.get_close_matches(name.casefold(), names, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise click.UsageError(f"--type: {name!r} is not accepted; accepted: {', '.join(names)}{hint}")


def _read_values(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the values as the API's JSON has them."""
    values = dict(fields)
    for field in _LISTS:
        if field in values:
            values[field] = values[field].split(",")
    if values.get("description") == "-":
        values["description"] = sys.stdin.read()
    if "status" in values:
        values["status"] = int(values["status"])
    for field in ("licence", "recommended"):
        text = values.get(field, "")
        if text.lstrip().startswith("{"):
            try:
                values[field] = msgspec.json.decode(text)
            except msgspec.DecodeError as problem:
                raise errors.InvalidValue(f"{field}: {problem}", field=field, given=text[:64]) from None
    return values
