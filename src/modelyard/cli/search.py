"""`modelyard search`: the API's question and answer, on the terminal."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import click
import msgspec

from modelyard import library, wire
from modelyard.cli import context, duplicates, options, output
from modelyard.domain import ANONYMOUS, Viewer, Visibility
from modelyard.index import Facets
from modelyard.store import files

QUERY = "filter.query"


def _flag(parameter: wire.Parameter) -> str:
    return "--" + parameter.name.partition(".")[2].replace("_", "-")


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each of the API's parameters, from the table that the API itself reads."""
    for parameter in reversed(wire.PARAMETERS):
        if parameter.name != QUERY:
            command = click.option(
                _flag(parameter),
                parameter.name.replace(".", "_"),
                multiple=parameter.many,
                help=parameter.meaning.replace("`", ""),
            )(command)
    return command


@click.command(epilog="Example: modelyard search --types lora --base-model 'SD 1.5' --limit 5 pastel")
@options.home_option
@click.argument("terms", nargs=-1)
@_filters
@click.option("--team", help="Search as this team: its private models too.")
@click.option(
    "--duplicates",
    "of_duplicates",
    is_flag=True,
    help="List added files that are the same, in all bytes or in their tensors.",
)
@click.option("--facets", "with_facets", is_flag=True, help="Count the matches by type, source, base model and tag.")
@options.json_option
def search(
    terms: tuple[str, ...], team: str | None, of_duplicates: bool, with_facets: bool, as_json: bool, **given: Any
) -> None:
    """Search the catalogue, most popular models first. Each term must occur in a model's names or tags."""
    if of_duplicates:
        _write_duplicates(team, as_json)
        return
    pairs = [(QUERY, " ".join(terms))]
    for parameter in wire.PARAMETERS:
        value = given.get(parameter.name.replace(".", "_")) or ()
        pairs.extend((parameter.name, text) for text in ((value,) if isinstance(value, str) else value))
    viewer = Viewer(team) if team else ANONYMOUS
    read = options.read_settings()
    with context.opened_catalog(read) as searched:
        searched.load(context.indexing)
        asked = wire.parse_query(urlencode(pairs).encode(), lambda: searched.known_types(viewer))
        if asked.query.visibility is Visibility.PRIVATE and not team:
            raise click.UsageError("--visibility private needs --team: private models are a team's own")
        if with_facets:
            _write_facets(searched.facets(viewer, asked.query), as_json)
            return
        page = searched.search(viewer, asked.query)
    # The link is made by the server that hands the file out; there is none to be had from here.
    answer = wire.render_page(page.records, page.following, lambda *_: "")
    if as_json:
        click.echo(msgspec.json.format(answer, indent=2))
        return
    models = msgspec.json.decode(answer)["models"]
    output.write_table(
        ("id", "name in API", "type", "base model", "version", "tags"),
        (
            (
                str(model["id"]),
                model["sd_name_in_api"],
                model["type"]["display_name"],
                model["base_model"],
                model["name"],
                ", ".join(model["tags"][:6]),
            )
            for model in models
        ),
        numeric=("id",),
    )
    if page.following:
        output.remark(f"more: --cursor {wire.format_cursor(page.following)}")
    elif not models:
        output.remark("no model matches")


def _write_duplicates(team: str | None, as_json: bool) -> None:
    with options.opened_store(options.read_settings()) as opened, opened.reading() as connection:
        groups = files.duplicates(connection, team)
    if as_json:
        output.write_json([library.duplicates_json(group) for group in groups])
    elif groups:
        duplicates.write(groups)
    else:
        output.remark("no file is there twice")


def _write_facets(found: Facets, as_json: bool) -> None:
    fields = {"types": found.types, "sources": found.sources, "base_models": found.base_models, "tags": found.tags}
    if as_json:
        counts = {field: [{"name": name, "count": n} for name, n in values] for field, values in fields.items()}
        output.write_json({"total": found.total, **counts})
        return
    rows = [(field, name, f"{n:,}") for field, values in fields.items() for name, n in values]
    output.write_table(("field", "value", "models"), [("all", "", f"{found.total:,}"), *rows], numeric=("models",))
