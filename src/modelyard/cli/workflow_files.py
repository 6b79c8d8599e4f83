"""The files of `modelyard pull --workflow`: what a workflow needs, under the names that it uses."""

import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from modelyard import errors
from modelyard.cli import output
from modelyard.cli.server import explain
from modelyard.client import Client, Model, Need
from modelyard.domain import FILE_EXTENSIONS, split_extension

_FOUND_BY_WORDS = ("none", "words")


class WorkflowFiles:
    """The models that a server has for a workflow, each by the name that the workflow uses."""

    def __init__(self, url: str, key: str, file: str) -> None:
        """Ask the server. ``file`` is a path, or - for standard input. Says what is missing."""
        self.models: dict[str, Model] = {}
        self._paths: dict[str, tuple[str, PurePosixPath]] = {}
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
        output.remark(f"{file} needs {len(answer.needs):,} models, {len(self.models):,} are on the server")

    def _add(self, need: Need) -> bool:
        """Choose the best model for a need, or say why there is none."""
        folder = f" ({need.directory})" if need.directory else ""
        if need.how in _FOUND_BY_WORDS:
            offers = ", ".join(model.sd_name_in_api for model in need.models[:3])
            output.warn(f"missing: {need.name}{folder}" + (f"; similar: {offers}" if offers else ""))
            return False
        model = next((model for model in need.models if model.download_url), None)
        try:
            if model is None:
                raise ValueError("the server has no file of it")
            path = _path_of(need.name, model)
        except ValueError as reason:
            output.warn(f"missing: {need.name}{folder}: {reason}")
            return False
        name = need.name if need.name not in self.models else f"{need.directory}/{need.name}"
        self.models[name] = model
        self._paths[name] = (need.directory or "", path)
        return True

    def target_of(self, name: str, folder_of: Callable[[Model], Path], models_folder: Path | None) -> tuple[Path, str]:
        """Return the folder and the name for the file of a need.

        With ``models_folder`` the loader's folder in it is used, else the folder that ``folder_of`` chooses.
        """
        directory, path = self._paths[name]
        is_plain = directory.replace("_", "").replace("-", "").isalnum()
        folder = models_folder / directory if models_folder is not None and is_plain else folder_of(self.models[name])
        return folder / path.parent, path.name


def _path_of(name: str, model: Model) -> PurePosixPath:
    """Return the relative path of a need. The name comes from a workflow: it must not lead out of the folder.

    Raises ValueError with the reason, also if the file is of another kind than the name says.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    stem, extension = split_extension(path.name)
    wanted = split_extension(model.sd_name)[1]
    if extension.lower() not in FILE_EXTENSIONS:
        stem, extension = path.name, wanted
    parts = (*path.parts[:-1], f"{stem}.{extension}" if extension else stem)
    if path.is_absolute() or any(part.startswith(".") or ":" in part for part in parts):
        raise ValueError("the name leads out of the folder, or is hidden")
    if extension.lower() != wanted.lower():
        raise ValueError(f"its file on the server is a .{wanted} file")
    return PurePosixPath(*parts)
