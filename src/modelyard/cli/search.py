"""`modelyard search`: search the catalogue from the terminal, with the parameters of the API."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import msgspec

from modelyard import library, wire
from modelyard.cli import context, home, options, output
from modelyard.cli.base_models import complete_base_model
from modelyard.cli.duplicates import write_duplicates
from modelyard.domain import ANONYMOUS, MODEL_TYPES, Model, Viewer, Visibility
from modelyard.index import Facets, Page
from modelyard.store import Store, files, refuse_team_name

# The parameter of TERMS, and the one whose option may have many values.
TERMS = "filter.search"
HASH = "filter.hash"
_HASHES_MAX = 100_000
_HASH_HELP = (
    "Only models with a file that has this hash. If repeated, or with the name of a file that lists hashes, or - for"
    " standard input, list the models of each hash."
)


_HEADINGS = ("id", "name in API", "type", "base model", "version", "size", "downloads", "status")
_NUMERIC = ("id", "size", "downloads")


def _option_name(parameter: wire.Parameter) -> str:
    return "--" + re.sub("[_.]", "-", parameter.name.partition(".")[2] or parameter.name)


def _complete(parameter: wire.Parameter) -> Callable[..., list[str]]:
    """Return a function for click that completes the values of a parameter, if there is a list of them."""
    if parameter.name == wire.NAMES["base_models"]:
        return complete_base_model
    schema: Mapping[str, Any] = parameter.schema
    values = ("true", "false") if schema.get("type") == "boolean" else schema.get("items", schema).get("enum", ())
    names = (*MODEL_TYPES,) if parameter.name == wire.NAMES["types"] else tuple(map(str, values))
    return lambda _context, _parameter, incomplete: [name for name in names if name.startswith(incomplete)]


def _help_of(parameter: wire.Parameter) -> str:
    if parameter.name == HASH:
        return _HASH_HELP
    values = parameter.schema.get("items", parameter.schema)
    enum = values.get("enum", ()) if isinstance(values, Mapping) else ()
    names = [name for name in map(str, enum) if name[:1] not in ("!", "-")]
    accepted = f" Accepted: {', '.join(names)}." if names and parameter.name != wire.NAMES["types"] else ""
    return parameter.meaning.replace("`", "") + accepted


def _add_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each parameter of the API."""
    for parameter in reversed(wire.PARAMETERS):
        if parameter.name != TERMS:
            command = click.option(
                _option_name(parameter),
                parameter.name.replace(".", "_"),
                multiple=parameter.many or parameter.name == HASH,
                shell_complete=_complete(parameter),
                help=_help_of(parameter),
            )(command)
    return command


@click.command(epilog="Example: modelyard search --types lora --base-model 'SD 1.5' --limit 5 pastel")
@options.home_and_quiet_options
@click.argument("terms", nargs=-1)
@_add_filters
@click.option("--team", help="Search as this team, which also sees its private models.")
@click.option(
    "--duplicates",
    "with_duplicates",
    is_flag=True,
    help="List added files that are the same: all bytes, or all tensors.",
)
@click.option("--facets", "with_facets", is_flag=True, help="Count the matches by type, source, base model and tag.")
@options.json_option
def search(
    terms: tuple[str, ...],
    team: str | None,
    with_duplicates: bool,
    with_facets: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Search the catalogue, most popular models first.

    Each of TERMS must occur in a model's title, names, tags, trigger words, creator or file names, or be a hash.
    """
    if team is not None:
        refuse_team_name(team)
    if with_duplicates:
        _list_duplicates(team, as_json)
        return
    hashes = _read_hashes(filters["filter_hash"])
    if hashes != filters["filter_hash"] or len(hashes) > 1:
        others = [name for name, value in filters.items() if value and name != "filter_hash"]
        if terms or others or with_facets:
            raise click.UsageError("a list of hashes is looked up as it is; it accepts --team and --json only")
        _list_matches(hashes, Viewer(team) if team else ANONYMOUS, as_json)
        return
    pairs = [(TERMS, " ".join(terms))]
    for parameter in wire.PARAMETERS:
        value = filters.get(parameter.name.replace(".", "_")) or ()
        pairs.extend((parameter.name, text) for text in ((value,) if isinstance(value, str) else value))
    viewer = Viewer(team) if team else ANONYMOUS
    with context.open_catalog(home.load_settings()) as catalog:
        catalog.load(context.show_indexing)
        query = wire.parse_query(urlencode(pairs).encode(), lambda: catalog.known_types(viewer)).query
        if query.visibility is Visibility.PRIVATE and not team:
            raise click.UsageError("--visibility private needs --team: private models belong to a team")
        if with_facets:
            _write_facets(catalog.facets(viewer, query), as_json)
            return
        page = catalog.search(viewer, query)
        if page.records or as_json:
            _write_page(catalog.store, page, as_json)
            return
        suggestion = catalog.suggestion(viewer, query)
        output.remark("no model matches" + (f"; did you mean {suggestion!r}?" if suggestion else ""))


def _write_page(store: Store, page: Page, as_json: bool) -> None:
    # Only a server signs download links, so the answer has none.
    answer = wire.render_page(page.records, page.following, lambda *_: "")
    if as_json:
        click.echo(msgspec.json.format(answer, indent=2))
        return
    models = [*_read_models(store, (model["id"] for model in msgspec.json.decode(answer)["models"]))]
    output.write_table(
        (*_HEADINGS, "tags"),
        ((*_list_cells(model), ", ".join(model.tags[:6])) for model in models),
        numeric=_NUMERIC,
        prose=("tags",),
    )
    if page.following:
        output.remark(f"more: --cursor {wire.format_cursor(page.following)}")


def _read_models(store: Store, ids: Iterable[int]) -> Iterator[Model]:
    """Yield the models of ids, without those that were removed meanwhile."""
    for id_ in ids:
        if entry := store.entry(id_):
            yield entry.model


def _list_cells(model: Model) -> tuple[str, ...]:
    """Return the cells of a model below ``_HEADINGS``."""
    return (
        str(model.id),
        model.sd_name_in_api,
        model.type.display_name,
        model.base_model,
        model.name,
        output.format_size(model.size_bytes),
        f"{model.rank:,}",
        "available" if model.status else "unavailable",
    )


def _read_hashes(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the hashes of the values: hashes, names of files that list hashes, and ``-`` for standard input."""
    hashes: list[str] = []
    for value in values:
        if value == "-":
            hashes += sys.stdin.read().split()
        elif Path(value).is_file():
            hashes += Path(value).read_text(encoding="utf-8", errors="replace").split()
        else:
            hashes.append(value)
    if len(hashes) > _HASHES_MAX:
        raise click.UsageError(f"{len(hashes):,} hashes are too many; accepted: up to {_HASHES_MAX:,}")
    return tuple(hashes)


def _list_matches(hashes: tuple[str, ...], viewer: Viewer, as_json: bool) -> None:
    """List the models of each hash."""
    digits_by_text = {}
    for text in hashes:
        try:
            digits_by_text[text] = wire.parse_hash(text)
        except ValueError:
            raise click.UsageError(f"{text[:80]!r} is no hash; accepted: {wire.HASH_ALLOWED}") from None
    with context.open_catalog(home.load_settings()) as catalog:
        catalog.load(context.show_indexing)
        ids, records = catalog.find_by_hash(viewer, dict.fromkeys(digits_by_text.values()))
        matching_ids = {id_ for matches in ids.values() for id_ in matches}
        models = {model.id: model for model in _read_models(catalog.store, matching_ids)}
    by_text = {text: ids[digits] for text, digits in digits_by_text.items()}
    answer = wire.join_matches(by_text, [*records.values()])
    answer = wire.fill_holes(answer, lambda *_: "", "")
    if as_json:
        click.echo(msgspec.json.format(answer, indent=2))
        return
    decoded = msgspec.json.decode(answer)
    rows = [
        (text, *_list_cells(models[id_]))
        for text, matches in decoded["matches"].items()
        for id_ in matches
        if id_ in models
    ]
    output.write_table(("hash", *_HEADINGS), rows, numeric=_NUMERIC)
    misses = [text for text, found in decoded["matches"].items() if not found]
    if misses:
        shown = ", ".join(misses[:10]) + (" …" if len(misses) > 10 else "")
        output.remark(f"{len(misses):,} of {len(digits_by_text):,} hashes match no model: {shown}")


def _list_duplicates(team: str | None, as_json: bool) -> None:
    with home.open_store(home.load_settings()) as store, store.reading() as connection:
        groups = files.duplicates(connection, team)
    if as_json:
        output.write_json([library.duplicates_json(group) for group in groups])
    elif groups:
        write_duplicates(groups)
    else:
        output.remark("there are no duplicates")


def _write_facets(facets: Facets, as_json: bool) -> None:
    fields = {"types": facets.types, "sources": facets.sources, "base_models": facets.base_models, "tags": facets.tags}
    if as_json:
        counts = {field: [{"name": name, "count": n} for name, n in values] for field, values in fields.items()}
        output.write_json({"total": facets.total, **counts})
        return
    rows = [(field, name, f"{n:,}") for field, values in fields.items() for name, n in values]
    output.write_table(("field", "value", "models"), [("all", "", f"{facets.total:,}"), *rows], numeric=("models",))
