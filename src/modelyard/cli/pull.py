"""`modelyard pull`: download models' files from a server."""

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import click

from modelyard import errors
from modelyard.cli import options, output
from modelyard.cli.base_models import complete_base_model
from modelyard.cli.progress import Progress
from modelyard.cli.server import explain, server_options
from modelyard.cli.transfer import OnBytes, Result, Transfers, limit_rate_option
from modelyard.cli.workflow_files import WorkflowFiles
from modelyard.client import Client, Details, Model
from modelyard.domain import FILE_EXTENSIONS, MODEL_TYPES, split_extension
from modelyard.layouts import LAYOUTS

# More models than this are not downloaded without a question.
_UNASKED_MAX = 10
_LIMIT = 20


@click.command(
    epilog="Examples: modelyard pull --layout comfyui --root ~/ComfyUI nightHarbour_1000000001;  "
    "modelyard pull --search 'night harbour' --types lora --limit 5;  modelyard pull --from names.txt --yes;  "
    "modelyard pull --workflow picture.png --layout comfyui --root ~/ComfyUI"
)
@options.home_and_quiet_options
@click.argument("names", nargs=-1, metavar="[NAME|TITLE|ID|HASH]…")
@click.option("--search", "terms", help="Models that this search finds, the most popular first.")
@click.option(
    "--types", multiple=True, type=click.Choice([*MODEL_TYPES]), help="With --search: only this type; may be repeated."
)
@click.option(
    "--base-model",
    "base_models",
    multiple=True,
    shell_complete=complete_base_model,
    help="With --search: only this base model; may be repeated.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), help=f"With --search: at most this many models.  [default: {_LIMIT}]"
)
@click.option(
    "--from",
    "name_list",
    type=click.File("r", errors="replace"),
    help="Models whose names are in this file, one on a line; - reads standard input.",
)
@click.option(
    "--workflow",
    metavar="FILE",
    help="What this workflow or picture needs, under the names that it uses; - reads standard input.",
)
@click.option(
    "--fetch",
    "is_fetching",
    is_flag=True,
    help="With --workflow: the server fetches what is missing and has an address or a listed version.",
)
@click.option(
    "--layout",
    type=click.Choice([*LAYOUTS]),
    help="Put each file into the folder where this program looks for its type.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder for the files; with --layout, the program's own folder.  [default: the current folder]",
)
@click.option(
    "--original-names",
    "with_original_names",
    is_flag=True,
    help="Give each file the name that its author gave it. A file that is there with this name stays.",
)
@click.option("--yes", "-y", is_flag=True, help=f"Download more than {_UNASKED_MAX} models without asking.")
@limit_rate_option
@server_options
@options.json_option
def pull(
    names: tuple[str, ...],
    terms: str | None,
    types: tuple[str, ...],
    base_models: tuple[str, ...],
    limit: int | None,
    name_list: TextIO | None,
    workflow: str | None,
    is_fetching: bool,
    layout: str | None,
    root: Path,
    with_original_names: bool,
    yes: bool,
    rate: int | None,
    url: str,
    key: str,
    as_json: bool,
) -> int:
    """Download models' files, four at a time, and verify each.

    A file that is there already is not downloaded again; another file of its name is replaced. If you interrupt the
    command, the next pull continues.

    With --search or --from the command says first how many models there are and how many bytes they have.
    """
    if terms is None and (types or base_models or limit is not None):
        raise click.UsageError("--types, --base-model and --limit need --search")
    if not names and terms is None and name_list is None and workflow is None:
        raise click.UsageError("name models, or give --search, --from or --workflow")
    if is_fetching and workflow is None:
        raise click.UsageError("--fetch needs --workflow")
    if workflow is not None:
        if names or terms is not None or name_list is not None or with_original_names:
            raise click.UsageError("--workflow names the models and the files, so nothing else may name them")
        return _pull_workflow(
            WorkflowFiles(url, key, workflow, is_fetching=is_fetching),
            layout,
            root,
            Transfers(url, key, rate=rate, as_json=as_json),
        )
    selection = _Selection(url, key)
    if terms is not None:
        selection.search(terms, types, base_models, limit or _LIMIT)
    if name_list is not None:
        selection.look_up(_read_names(name_list))
    if (terms is not None or name_list is not None) and not _confirm(selection, yes):
        return 1
    folder = _Folder(root, layout, with_original_names)

    def download(client: Client, name: str, on_bytes: OnBytes) -> Result:
        model = selection.models.get(name) or client.find(name)
        path = folder.download(client, model, on_bytes)
        return Result(f"{path}", {"model": model.id, "path": str(path)})

    chosen = [*dict.fromkeys((*selection.models, *names))]
    code = Transfers(url, key, rate=rate, as_json=as_json).run(chosen, download)
    return code or (1 if selection.missing_count else 0)


def _pull_workflow(files: WorkflowFiles, layout: str | None, root: Path, transfers: Transfers) -> int:
    """Download what a workflow needs. ComfyUI's folders are those that the loaders read."""
    models_folder = root / "models" if layout == "comfyui" else None

    def download(client: Client, name: str, on_bytes: OnBytes) -> Result:
        model = files.get_model(client, name, on_bytes)
        own_folder = _choose_folder(model, layout, root)
        folder, file_name = files.target_of(name, model, own_folder, models_folder)
        path = client.download(model, folder, on_bytes, name=file_name, replace=False)
        return Result(f"{path}", {"model": model.id, "path": str(path)})

    code = transfers.run(files.names, download)
    return code or (1 if files.missing_count else 0)


def _read_names(lines: Iterable[str]) -> Iterator[str]:
    """Yield the names of a list: one on a line, without empty lines and comments."""
    for line in lines:
        name = line.strip()
        if name and not name.startswith("#"):
            yield name


def _confirm(selection: "_Selection", yes: bool) -> bool:
    """Say what would be downloaded, and ask before many models."""
    count = len(selection.models)
    size = output.format_size(selection.size_bytes)
    unknown = f" and {selection.unsized_count} of unknown size" if selection.unsized_count else ""
    summary = f"{count:,} {'model' if count == 1 else 'models'}, {size}{unknown}"
    if yes or count <= _UNASKED_MAX:
        output.remark(summary)
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{summary}: nobody can answer the question here; download without asking with --yes")
    if click.confirm(f"Download {summary}?", err=True):
        return True
    output.warn("nothing was downloaded")
    return False


class _Selection:
    """The models that a search or a list of names chooses, by the name to show for each."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self.models: dict[str, Model] = {}
        self.size_bytes = 0
        self.unsized_count = 0
        self.missing_count = 0

    def search(self, terms: str, types: Sequence[str], base_models: Sequence[str], limit: int) -> None:
        """Choose what a search finds, without models that have no file on the server."""
        try:
            with Client(self._url, self._key) as client:
                matches = client.models(search=terms, types=[*types], base_model=[*base_models])
                for model in islice((model for model in matches if model.download_url), limit):
                    self._add(client, model)
        except errors.InvalidRequest as problem:
            raise click.UsageError(f"{self._url}: {problem.message.replace('filter.', '--')}") from problem
        except errors.ModelyardError as problem:
            raise errors.Unavailable(explain(problem, self._url)) from problem
        if not self.models:
            raise errors.NotFound(f"{self._url}: no model with a file matches {terms[:128]!r}")

    def look_up(self, names: Iterable[str]) -> None:
        """Choose the models of these names. Say which names there are not."""
        lines = [*dict.fromkeys(names)]
        with Progress() as progress, Client(self._url, self._key) as client:
            bar = progress.add_bar("looking up", len(lines), "names")
            for name in lines:
                try:
                    self._add(client, client.find(name))
                except (errors.Unavailable, errors.Unauthenticated) as problem:
                    raise errors.Unavailable(explain(problem, self._url)) from problem
                except errors.ModelyardError as problem:
                    self.missing_count += 1
                    progress.warn(f"{name}: {explain(problem, self._url)}")
                bar.advance(1)

    def _add(self, client: Client, model: Model) -> None:
        name = model.sd_name if model.sd_name not in self.models else str(model.id)
        if model.id in {other.id for other in self.models.values()}:
            return
        self.models[name] = model
        size_bytes = client.details(model.id).size_bytes
        self.size_bytes += size_bytes or 0
        self.unsized_count += size_bytes is None


class _Folder:
    """Where files go, and how they are called."""

    def __init__(self, root: Path, layout: str | None, with_original_names: bool) -> None:
        self._root, self._layout = root, layout
        self._with_original_names = with_original_names
        self._lock = threading.Lock()
        self._id_by_path: dict[Path, int] = {}

    def download(self, client: Client, model: Model, on_bytes: OnBytes) -> Path:
        """Download the file of a model, and return its path."""
        folder = _choose_folder(model, self._layout, self._root)
        if not self._with_original_names:
            return client.download(model, folder, on_bytes)
        name = _find_original_name(client.details(model.id))
        if name and self._is_free(folder / name, model.id):
            return client.download(model, folder, on_bytes, name=name, replace=False)
        if self._is_free(folder / model.sd_name, model.id):
            return client.download(model, folder, on_bytes)
        # Another model of this command has this name as its original one.
        stem, extension = split_extension(model.sd_name)
        return client.download(model, folder, on_bytes, name=f"{stem}_{model.id}.{extension}")

    def _is_free(self, path: Path, model_id: int) -> bool:
        """Whether no other model of this command has the path. Authors call many files the same."""
        with self._lock:
            return self._id_by_path.setdefault(path, model_id) == model_id


def _find_original_name(details: Details) -> str:
    """Return the name that the file of a model had; empty if it is not known or is no name of a model file."""
    digest = details.model.hash_sha256.upper()
    files = sorted(details.files, key=lambda file: not file.is_primary)
    same = [file for file in files if digest and file.hashes.get("sha256", "").upper().startswith(digest)]
    for file in [*same, *files][:1]:
        # The name comes from a server: it must not lead out of the folder, or be hidden.
        name = Path(file.name).name
        if name == file.name and split_extension(name)[1].lower() in FILE_EXTENSIONS and not name.startswith("."):
            return name
    return ""


def _choose_folder(model: Model, layout: str | None, root: Path) -> Path:
    if layout is None:
        return root
    folder = LAYOUTS[layout].get(model.type.name)
    # The name of a type comes from a server: it must not lead out of the folder.
    return root / folder if folder else root / "models" / "".join(c for c in model.type.name if c.isalnum())
