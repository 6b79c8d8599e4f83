"""The files of `modelyard pull --workflow`: what a workflow needs, under the names that it uses."""

import base64
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from modelyard import errors
from modelyard.cli import output
from modelyard.cli.server import explain
from modelyard.client import Client, FetchSource, Model, Need
from modelyard.domain import FILE_EXTENSIONS, OWN_ID_MIN, split_extension

_FOUND_BY_WORDS = ("none", "words")


class WorkflowFiles:
    """The files that a workflow needs and the server has or can fetch, each by the name that the workflow uses."""

    def __init__(self, url: str, key: str, file: str, *, is_fetching: bool = False) -> None:
        """Ask the server. ``file`` is a path, or - for standard input. Says what is missing."""
        self._needs: dict[str, Need] = {}
        self._models: dict[str, Model] = {}
        self._sources: dict[str, FetchSource] = {}
        self._is_fetching = is_fetching
        try:
            content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        except OSError as problem:
            raise click.UsageError(f"--workflow: {file}: {problem.strerror}") from None
        try:
            with Client(url, key) as client:
                answer = client.resolve(content)
        except errors.UnsupportedFile as problem:
            raise errors.UnsupportedFile(f"{file}: {problem.message}") from None
        except errors.ModelyardError as problem:
            raise errors.Unavailable(explain(problem, url)) from problem
        self.missing_count = sum(not self._add(need) for need in answer.needs)
        fetches = f", {len(self._sources):,} can be fetched" if is_fetching else ""
        models = output.count(len(answer.needs), "model")
        verb = "is" if len(self._models) == 1 else "are"
        output.remark(f"{file} needs {models}, {len(self._models):,} {verb} on the server{fetches}")

    @property
    def names(self) -> list[str]:
        """The names of the files, in the order of the workflow."""
        return [*self._needs]

    def _add(self, need: Need) -> bool:
        """Choose the best model for a need, or a source of its file, or say why there is none."""
        folder = f" ({need.directory})" if need.directory else ""
        is_found = need.how not in _FOUND_BY_WORDS
        model = next((model for model in need.models if model.download_url), None) if is_found else None
        source = _find_source(need) if model is None and self._is_fetching else None
        if not is_found and source is None:
            offers = ", ".join(model.sd_name_in_api for model in need.models[:3])
            output.warn(f"missing: {need.name}{folder}" + (f"; similar: {offers}" if offers else ""))
            return False
        try:
            if model is None and source is None:
                raise ValueError("the server has no file of it")
            _path_of(need.name, model)
        except ValueError as reason:
            output.warn(f"missing: {need.name}{folder}: {reason}")
            return False
        name = need.name if need.name not in self._needs else f"{need.directory}/{need.name}"
        self._needs[name] = need
        if model is not None:
            self._models[name] = model
        elif source is not None:
            self._sources[name] = source
        return True

    def get_model(self, client: Client, name: str, on_bytes: Callable[[int, int], None]) -> Model:
        """Return the model of a need. If its file is not on the server, wait until the server has fetched it."""
        model = self._models.get(name)
        return client.fetch(on_bytes, **self._sources[name]) if model is None else model

    def target_of(self, name: str, model: Model, own_folder: Path, models_folder: Path | None) -> tuple[Path, str]:
        """Return the folder and the name for the file of a need.

        With ``models_folder`` the loader's folder in it is used, else ``own_folder``. Raises NotFound if the file is of
        another kind than the name says.
        """
        need = self._needs[name]
        try:
            path = _path_of(need.name, model)
        except ValueError as reason:
            raise errors.NotFound(f"{reason}") from None
        directory = need.directory or ""
        is_plain = directory.replace("_", "").replace("-", "").isalnum()
        folder = models_folder / directory if models_folder is not None and is_plain else own_folder
        return folder / path.parent, path.name


def _find_source(need: Need) -> FetchSource | None:
    """Return where the server can get the file of a need: the listed version that was found, else the address."""
    if need.how not in _FOUND_BY_WORDS and need.models[0].id < OWN_ID_MIN:
        return {"version_id": need.models[0].id}
    if not need.url:
        return None
    if re.fullmatch(r"[0-9a-fA-F]{64}", need.hash or ""):
        sha256 = base64.b64encode(bytes.fromhex(need.hash or "")).decode()
        return {"source_url": need.url, "file_sha256": sha256}
    return {"source_url": need.url}


def _path_of(name: str, model: Model | None) -> PurePosixPath:
    """Return the relative path of a need. The name comes from a workflow: it must not lead out of the folder.

    Raises ValueError with the reason, also if the file is of another kind than the name says. A model that is not
    here yet is None.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    stem, extension = split_extension(path.name)
    own_extension = split_extension(model.sd_name)[1] if model is not None else extension
    if extension.lower() not in FILE_EXTENSIONS:
        stem, extension = path.name, own_extension
    parts = (*path.parts[:-1], f"{stem}.{extension}" if extension else stem)
    if path.is_absolute() or any(part.startswith(".") or ":" in part for part in parts):
        raise ValueError("the name leads out of the folder, or is hidden")
    if extension.lower() != own_extension.lower():
        raise ValueError(f"its file on the server is a .{own_extension} file")
    return PurePosixPath(*parts)
