"""`modelyard resolve`: which models a workflow or a picture needs, and which of them the catalogue has."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec

from modelyard import errors, resolution, wire
from modelyard.cli import context, home, options, output
from modelyard.domain import ANONYMOUS, Viewer
from modelyard.store import refuse_team_name
from modelyard.workflows import BODY_BYTES_MAX, read_needs

_NAMES_MAX = 10


@click.command(epilog="Example: modelyard resolve picture.png")
@options.home_and_quiet_options
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--team", help="Also find private models of this team.")
@click.option("--missing", "only_missing", is_flag=True, help="List only what the catalogue does not have.")
@options.json_option
def resolve(file: Path, team: str | None, *, only_missing: bool, as_json: bool) -> None:
    """List the models that a workflow or a picture needs, and which of them the catalogue has.

    FILE is a workflow of ComfyUI (JSON), a picture with a workflow or parameters in it, or the text of its parameters;
    - is standard input.
    """
    if team is not None:
        refuse_team_name(team)
    needs = read_needs(_read(file))
    with context.open_catalog(home.load_settings()) as catalog:
        catalog.load(context.show_indexing)
        matches = resolution.resolve(catalog, Viewer(team) if team else ANONYMOUS, needs)
    total = len(matches)
    if only_missing:
        matches = [match for match in matches if not match.is_found]
    answer = wire.fill_holes(resolution.join_matches(matches, needs), lambda *_: "", "")
    if as_json:
        click.echo(msgspec.json.format(answer, indent=2))
        return
    decoded = msgspec.json.decode(answer, type=wire.NeedsAnswer)
    output.write_table(("needs", "folder", "found by", "id", "name in API"), _rows(decoded.needs), numeric=("id",))
    _remark(decoded, total)


def _read(file: Path) -> bytes:
    try:
        body = sys.stdin.buffer.read(BODY_BYTES_MAX + 1) if str(file) == "-" else _read_file(file)
    except OSError as problem:
        raise click.UsageError(f"{file}: {problem.strerror}") from None
    if not body:
        raise errors.UnsupportedFile(f"{file}: the file is empty")
    return body


def _read_file(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(BODY_BYTES_MAX + 1)


def _rows(needs: Iterable[wire.NeedAnswer]) -> Iterator[tuple[str, ...]]:
    for need in needs:
        how = {"none": "", "words": "only words"}.get(need.how, need.how)
        model = need.models[0] if need.models else None
        columns = (str(model.id), model.sd_name_in_api) if model is not None else ("", "")
        yield (need.name, need.directory or "", how, *columns)


def _remark(answer: wire.NeedsAnswer, total: int) -> None:
    if not total:
        output.remark("no model is needed")
        return
    missing = [need.name for need in answer.needs if need.how in ("none", "words")]
    names = ", ".join(missing[:_NAMES_MAX]) + (" …" if len(missing) > _NAMES_MAX else "")
    output.remark(f"{total - len(missing):,} of {total:,} are here" + (f"; missing: {names}" if missing else ""))
    if answer.unknown_nodes:
        output.remark(f"unknown loaders: {', '.join(answer.unknown_nodes)}")
    if answer.is_truncated:
        output.remark("the file names more than is listed")
