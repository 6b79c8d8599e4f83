"""The name of a repository → its model, its files and its commit, as a viewer sees them.

A repository is a model: ``public/<id>`` if everybody may see it, else ``<team>/<id>``. The name of its file without the
extension is another name of it. Unknown repositories and those of other teams are the same error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import sqlalchemy as sa

from modelyard import errors
from modelyard.catalog import Catalog, may_see
from modelyard.domain import Model, Source, Status, Verdict, Viewer, Visibility, model_type
from modelyard.facts import Entry, Facts, resolve
from modelyard.store import blobs, download_counts, files, model_texts, repositories, repository_names
from modelyard.store.files import FileRecord
from modelyard.store.repositories import RepositoryFile
from modelyard.web.api.model_details import list_files
from modelyard.web.cache import RevisionCache
from modelyard.web.hub import cards, entries
from modelyard.web.hub.entries import README, FileEntry
from modelyard.wire import details, hub_tags

# The client's own rule.
_PART = re.compile(r"(?![-.])[A-Za-z0-9_.-]{1,96}(?<![-.])")
_NOT_IN_PARTS = ("--", "..")
# In the place of the namespace of a repository that has none, such as ``gpt2``. The catalogue has none of these.
NO_NAMESPACE = "@"
REVISIONS = ("main", "HEAD")
CACHE_BYTES_MAX = 8 * 1024 * 1024
# What a repository takes in memory besides its README: measured with small models, and rounded up.
_REPOSITORY_BYTES, _ENTRY_BYTES = 8_192, 512


@dataclass(frozen=True, slots=True)
class Repository:
    """A model as a repository. ``id`` is the name that the caller used; ``files`` begin with the README.md.

    ``commit`` is a hash of everything that answers have, but for the download count.
    """

    id: str
    model: Model
    tags: tuple[str, ...]
    card: cards.CardFields
    files: tuple[FileEntry, ...]
    commit: str
    downloads: int

    @property
    def weights(self) -> tuple[FileEntry, ...]:
        """The files of the model, without the README.md that is made here."""
        return tuple(entry for entry in self.files if entry.sha256)

    def check_revision(self, revision: str) -> None:
        """Raise RevisionNotFound unless it is the one revision of the repository."""
        if revision not in REVISIONS and revision != self.commit:
            raise errors.RevisionNotFound(revision, self.commit)

    def find_file(self, path: str) -> FileEntry:
        """Return the file at a path. Raises EntryNotFound."""
        for entry in self.files:
            if entry.path == path:
                return entry
        raise errors.EntryNotFound(path, self.commit)


def repository_id(model: Model) -> str:
    """Return the name of a model's repository."""
    is_public = model.visibility is Visibility.PUBLIC
    return f"{repository_names.PUBLIC if is_public else model.team}/{model.id}"


def join_name(namespace: str, name: str) -> str:
    """Return the name of a repository as clients write it."""
    return name if namespace == NO_NAMESPACE else f"{namespace}/{name}"


def is_valid_name(part: str) -> bool:
    """Whether clients accept a namespace or a name."""
    return _PART.fullmatch(part) is not None and not any(text in part for text in _NOT_IN_PARTS)


class Repositories:
    """The repositories of a catalogue. Threads may share it. Call it in a thread, because it asks the database.

    It caches what it makes until the catalogue changes.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._cache: RevisionCache[tuple[str | None, int], Repository] = RevisionCache(
            CACHE_BYTES_MAX, lambda: catalog.revision, lambda _, repository: _size_of(repository)
        )

    def find(self, viewer: Viewer, namespace: str, name: str) -> Repository:
        """Return a repository. Raises RepositoryNotFound, also for one that the viewer may not see."""
        name_as_asked = join_name(namespace, name)
        model_id = empty = None
        if is_valid_name(namespace) and is_valid_name(name):
            with self._catalog.store.reading() as connection:
                model_id = repository_names.find(connection, namespace, name, viewer.team)
                if model_id is None and namespace == viewer.team:
                    empty = _find_empty(connection, namespace, name)
        if empty is not None:
            return replace(empty, id=name_as_asked)
        if model_id is None:
            raise errors.RepositoryNotFound(name_as_asked)
        return replace(self.of_model(viewer, model_id), id=name_as_asked)

    def of_model(self, viewer: Viewer, model_id: int) -> Repository:
        """Return the repository of a model under its own name. Raises RepositoryNotFound."""
        revision = self._catalog.refresh()
        return self._cache.get_or_make((viewer.team, model_id), revision, lambda: self._make(viewer, model_id))

    def _make(self, viewer: Viewer, model_id: int) -> Repository:
        try:
            entry = self._catalog.get(viewer, model_id)
        except errors.ModelNotFound:
            raise errors.RepositoryNotFound(str(model_id)) from None
        with self._catalog.store.reading() as connection:
            local_files = files.of_models(connection, [model_id]).get(model_id, [])
            stored = blobs.find(connection, entry.model.blob) if entry.model.blob else None
            downloads = download_counts.counts(connection, [model_id]).get(model_id, 0)
            committed = repositories.files_of_model(connection, model_id)
            small_files = model_texts.find(connection, model_id)
        visible = [file for file in local_files if may_see(viewer, file)]
        weights, texts = _split_committed(entry.model, committed)
        texts = texts or [
            entries.text_entry(path, content)
            for path, content in small_files.items()
            if path == entries.safe_path(path)
        ]
        return _assemble(entry, weights or _weights(entry, visible, stored), downloads, texts)


def _find_empty(connection: sa.Connection, team: str, name: str) -> Repository | None:
    """Return a repository without weights: there is no model of it yet. None if the team has none of this name."""
    row = repositories.find(connection, team, name)
    if row is None or row.model_id is not None:
        return None
    model = Model(
        id=0,
        name=name,
        sd_name=name,
        type=model_type("unknown"),
        source=Source.UPLOADING,
        visibility=Visibility(row.visibility),
        team=team,
        status=Status.UNAVAILABLE,
        added_at=row.created_at,
    )
    _, texts = _split_committed(model, repositories.files(connection, row.id))
    return _assemble(Entry(model, {}), (), 0, texts)


def _split_committed(model: Model, committed: Sequence[RepositoryFile]) -> tuple[list[FileEntry], list[FileEntry]]:
    """Return the weights and the texts that came by commits, the model's own file first."""
    weights = [
        entries.weights_entry(
            file.path, file.sha256, file.size_bytes, model.sd_name if file.sha256 == model.blob else file.path
        )
        for file in committed
        if file.sha256
    ]
    texts = [entries.text_entry(file.path, file.content) for file in committed if file.content is not None]
    return sorted(weights, key=lambda entry: entry.sha256 != model.blob), texts


def _assemble(
    entry: Entry, weights: Sequence[FileEntry], downloads: int, texts: Sequence[FileEntry] = ()
) -> Repository:
    model, facts = entry.model, resolve(entry.layers) if entry.layers else Facts()
    model_tags = hub_tags.tags_of(model, facts.upstream_model_id)
    card, own_id = cards.card_fields(model, model_tags), repository_id(model)
    # A README.md of a commit is a text until the repository has weights: then it becomes details of the model.
    readme = next((text for text in texts if text.path == README), None)
    readme = readme or entries.text_entry(README, cards.make_card(own_id, model, facts, card, weights))
    all_files = (readme, *weights, *(text for text in texts if text.path != README))
    answered = (
        own_id,
        model_tags,
        model.added_at,
        model.updated_at,
        model.visibility.value,
        int(model.status),
        [(file.path, file.oid, file.size_bytes) for file in all_files],
    )
    commit = entries.commit_oid(msgspec.json.encode(answered))
    return Repository(own_id, model, tuple(model_tags), card, all_files, commit, downloads)


def _weights(entry: Entry, local_files: Sequence[FileRecord], stored: blobs.Blob | None) -> list[FileEntry]:
    """Return the files of a model that are here, or the files of a model that is not available yet, the best first."""
    sizes = {file.sha256: file.size_bytes for file in local_files if file.sha256}
    if stored is not None:
        sizes[stored.sha256] = stored.size_bytes
    is_available = entry.model.status is Status.AVAILABLE
    by_path: dict[str, FileEntry] = {}
    for sha256, file in list_files(entry, local_files, stored):
        if not sha256 or not (file.is_here or not is_available) or (file.scan and not Verdict(file.scan).is_sound):
            continue
        label = entry.model.sd_name if sha256 == entry.model.blob else file.name
        path = _free_path(file, sha256, by_path)
        by_path[path] = entries.weights_entry(path, sha256, sizes.get(sha256, file.size_bytes or 0), label)
    return list(by_path.values())


def _free_path(file: details.FileRecord, sha256: str, taken: dict[str, FileEntry]) -> str:
    """Return the path of a file. Sources give two files one name, and clients cannot: the second gets its hash."""
    path = entries.safe_path(file.name) or f"{sha256[:10]}.bin"
    return f"{sha256[:10]}/{path}" if path in taken or path.casefold() == README.casefold() else path


def _size_of(repository: Repository) -> int:
    texts = sum(len(entry.text or b"") for entry in repository.files)
    return _REPOSITORY_BYTES + texts * 2 + _ENTRY_BYTES * len(repository.files)
