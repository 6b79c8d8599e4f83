"""The verbs that change repositories: models that teams send in the shape of the Hugging Face Hub.

    create           an empty repository: a name of the team
    commit           texts, verified weights and removals, all or none of them, in one transaction
    remove           the repository and its model

A repository is one model. Its largest weights are the model's file; the others are listed as further files of it.
A README.md becomes facts of the owner, and waits as a text while the repository has no weights.
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import sqlalchemy as sa

from modelyard import errors
from modelyard.blobs import Blobs
from modelyard.domain import Hashes, Status, Verdict, Viewer, Visibility
from modelyard.facts import Entry, Facts, Layer, ModelFile, format_date
from modelyard.inspection import folders
from modelyard.registry import inspections, models
from modelyard.registry.fields import parse_upload_metadata
from modelyard.registry.models import Models, writing_team
from modelyard.registry.readme import README, Readme, parse_readme
from modelyard.registry.shards import ShardSet, find_shards, identify_shards, judge_shards
from modelyard.registry.signatures import refuse_unsigned
from modelyard.registry.writer import ModelWriter, merge_layer, state_of
from modelyard.signatures import FILE_NAME
from modelyard.store import Store, WriteTransaction, blobs, covers, repositories, uploaders, uploads
from modelyard.store.repositories import Repository, RepositoryFile

_MODELS_MAX_ID_DIGITS = 18


class VerifiedFile(msgspec.Struct, frozen=True):
    """The result of verifying a file. A commit refuses one that is not sound. ``cover`` was in its header."""

    sha256: str
    size_bytes: int
    facts: Facts
    is_sound: bool = False
    is_servable: bool = False
    extension: str = ""
    cover: str | None = None

    def to_json(self) -> str:
        """Return the form in which the row of an upload holds it."""
        return msgspec.json.encode(self).decode()

    @property
    def verdict(self) -> str:
        """The verdict and its reason."""
        return (self.facts.evidence or ("",))[0]


def decode_verified(text: str) -> VerifiedFile:
    """Return a verified file as ``to_json`` wrote it."""
    return msgspec.json.decode(text, type=VerifiedFile)


@dataclass(frozen=True, slots=True)
class Commit:
    """The changes of a commit, by path. ``upload_ids`` are the uploads of its weights, which end with it.

    ``check`` is called in the transaction before any change, and raises an error if the repository may not change.
    """

    weights: Mapping[str, VerifiedFile] = field(default_factory=dict)
    texts: Mapping[str, bytes] = field(default_factory=dict)
    removed: Collection[str] = ()
    removed_folders: Collection[str] = ()
    upload_ids: Sequence[str] = ()
    check: Callable[[], object] = bool

    @property
    def removes_files(self) -> bool:
        """Whether files are removed."""
        return bool(self.removed or self.removed_folders)

    def removes(self, path: str) -> bool:
        """Whether it removes a file; it may add it again."""
        return path in self.removed or path.startswith(tuple(f"{folder}/" for folder in self.removed_folders))


@dataclass(frozen=True, slots=True)
class Committed:
    """A repository after a commit; ``readme`` is what became of its README.md, if it had one.

    ``missing`` says which shards of the model's file are missing, if the commit changed them.
    """

    repository: Repository
    readme: Readme | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class _Merged:
    """The shards of a model's file, and their facts together; None if their headers cannot be merged."""

    shards: ShardSet
    facts: Facts | None


class OwnedRepositories:
    """The repositories of one store. Threads may share it."""

    def __init__(self, store: Store, storage: Blobs, owned_models: Models, team_quota_bytes: int) -> None:
        self._store = store
        self._storage = storage
        self._models = owned_models
        self._quota_bytes = team_quota_bytes

    def create(self, viewer: Viewer, name: str, visibility: Visibility) -> Repository:
        """Make an empty repository of the viewer's team. Raises ModelExists if the team has one of this name."""
        team = writing_team(viewer)
        if _is_model_id(name):
            raise errors.InvalidValue(f"name: {name} is the name of a model by its id; accepted: one with a letter")
        with self._store.transaction() as transaction:
            if self._find(transaction.connection, team, name) is not None:
                raise errors.ModelExists(f"the repository {team}/{name} exists", name=name)
            repository = Repository(secrets.token_hex(16), team, name, visibility.value, transaction.now)
            repositories.put(transaction.connection, repository)
            transaction.audit.note("repository.create", name, team)
        return repository

    def find(self, viewer: Viewer, team: str, name: str) -> Repository:
        """Return a repository of the viewer's team, or one of its models by id. Raises RepositoryNotFound."""
        if writing_team(viewer) == team:
            with self._store.reading() as connection:
                repository = self._find(connection, team, name)
            if repository is not None:
                return repository
        raise errors.RepositoryNotFound(f"{team}/{name}")

    def _find(self, connection: sa.Connection, team: str, name: str) -> Repository | None:
        repository = repositories.find(connection, team, name)
        if repository is not None or not _is_model_id(name):
            return repository
        entry = self._store.entry(int(name))
        if entry is None or entry.model.team != team:
            return None
        model = entry.model
        return repositories.of_model(connection, model.id) or Repository(
            secrets.token_hex(16), team, name, model.visibility.value, model.added_at or 0, model.id
        )

    def remove(self, viewer: Viewer, repository: Repository) -> None:
        """Remove a repository and its model. The name is free after this; a restored model gets both back."""
        if repository.model_id is not None:
            self._models.remove(viewer, repository.model_id)
        with self._store.transaction() as transaction:
            repositories.remove(transaction.connection, repository.id)
            if repository.model_id is None:
                transaction.audit.note("repository.delete", repository.name, repository.team)

    def commit(self, viewer: Viewer, repository: Repository, commit: Commit) -> Committed:
        """Change a repository by a commit of verified files. Raises QuotaExceeded, Conflict or InvalidValue."""
        team = writing_team(viewer)
        merged = self._merge_shards(team, repository, commit)
        with self._store.transaction() as transaction:
            commit.check()
            connection = transaction.connection
            current = self._find(connection, team, repository.name)
            if current is None:
                raise errors.RepositoryNotFound(f"{team}/{repository.name}")
            repositories.put(connection, current)
            if current.model_id is not None and (commit.weights or commit.removes_files):
                _list_own_file(transaction, current, current.model_id)
            before = repositories.files(connection, current.id)
            self._put_files(connection, current, commit)
            for upload_id in commit.upload_ids:
                uploads.remove(connection, upload_id)
            is_new = current.model_id is None
            current, readme = _update_model(transaction, current, commit, before, merged)
            repositories.put(connection, current)
            if current.model_id is not None and self._models.signatures.is_required:
                self._require_signature(transaction, current.model_id, commit)
            if is_new and current.model_id is not None:
                uploaders.put(connection, current.model_id, viewer.key_fingerprint)
            if current.model_id is None:  # a change of a model has a row of its own
                transaction.audit.note("repository.commit", current.name, team)
            self._refuse_over_quota(connection, team)
        return Committed(current, readme, merged.shards.describe_missing() if merged else "")

    def _merge_shards(self, team: str, repository: Repository, commit: Commit) -> _Merged | None:
        """Read the headers of the shards that a commit changes; None if it changes none of the model's file."""
        is_of_index = any(path.endswith(".json") for path in commit.texts)
        if not (commit.weights or commit.removes_files or is_of_index):
            return None
        with self._store.reading() as connection:
            current = self._find(connection, team, repository.name)
            before = repositories.files(connection, current.id) if current else []
        entry = self._store.entry(current.model_id) if current and current.model_id is not None else None
        changed = {
            path: RepositoryFile(repository.id, path, len(text), content=text) for path, text in commit.texts.items()
        }
        for path, weights in commit.weights.items():
            changed[path] = RepositoryFile(repository.id, path, weights.size_bytes, weights.sha256)
        remaining = {file.path: file for file in before if not commit.removes(file.path)}
        # In the order of the store: two paths may have the same bytes.
        after = sorted((remaining | changed).values(), key=lambda file: file.path.encode())
        shards = _find_changed_shards(before, after, entry.model.blob if entry else None, commit)
        if shards is None:
            return None
        try:
            return _Merged(shards, identify_shards(self._storage, repository.name, shards))
        except FileNotFoundError:
            raise errors.Conflict("the bytes of a shard were removed meanwhile; upload the file again") from None

    def _require_signature(self, transaction: WriteTransaction, model_id: int, commit: Commit) -> None:
        """Raise UnsupportedFile for a model that is not signed. A signature makes one that waits for it available."""
        model = transaction.entries([model_id])[model_id].model
        if model.status is Status.AVAILABLE or FILE_NAME in commit.texts:
            refuse_unsigned(transaction.connection, model, self._models.signatures)
        blob = blobs.find(transaction.connection, model.blob) if model.blob else None
        if FILE_NAME in commit.texts and blob is not None and blob.verdict == Verdict.CLEAN:
            files = repositories.files_of_model(transaction.connection, model_id)
            main = next((file for file in files if file.sha256 == blob.sha256), None)
            shards = find_shards(files, main) if main else None
            if shards is None or not shards.missing:
                models.make_available(transaction, model_id)

    def _put_files(self, connection: sa.Connection, repository: Repository, commit: Commit) -> None:
        for file in repositories.files(connection, repository.id):
            if commit.removes(file.path):
                repositories.remove_file(connection, repository.id, file.path)
        rows = [RepositoryFile(repository.id, path, len(text), content=text) for path, text in commit.texts.items()]
        for path, weights in commit.weights.items():
            if blobs.find(connection, weights.sha256) is None:
                raise errors.Conflict(f"{path}: its bytes were removed meanwhile; upload the file again")
            rows.append(RepositoryFile(repository.id, path, weights.size_bytes, weights.sha256))
        repositories.put_files(connection, rows)
        _refuse_files_as_folders({README, *(file.path for file in repositories.files(connection, repository.id))})

    def _refuse_over_quota(self, connection: sa.Connection, team: str) -> None:
        used = blobs.bytes_of_team(connection, team)
        if self._quota_bytes and used > self._quota_bytes:
            raise errors.QuotaExceeded(self._quota_bytes, used, 0)


def _refuse_files_as_folders(paths: Collection[str]) -> None:
    """Raise Conflict if a path is a file and the folder of another file: no disk, and no git, can have both."""
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder:
            if folder in paths:
                raise errors.Conflict(
                    f"{folder} would be a file and the folder of {path}; remove or rename one of them"
                )
            folder = folder.rpartition("/")[0]


def _list_own_file(transaction: WriteTransaction, repository: Repository, model_id: int) -> None:
    """List the file of a model that came another way, before a commit adds files to it."""
    entry = transaction.entries([model_id]).get(model_id)
    files = repositories.files(transaction.connection, repository.id)
    if entry is None or any(file.sha256 for file in files):
        return
    if (entry.layers.get(Layer.HEADER) or Facts()).has_parts:
        raise errors.Conflict(f"the files of the model {model_id} lie in a folder of the server; change them there")
    model = entry.model
    if model.blob is not None:
        own = RepositoryFile(repository.id, model.sd_name, model.size_bytes or 0, model.blob)
        repositories.put_files(transaction.connection, [own])


def _is_model_id(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= _MODELS_MAX_ID_DIGITS


def _update_model(
    transaction: WriteTransaction,
    repository: Repository,
    commit: Commit,
    before: Sequence[RepositoryFile],
    merged: _Merged | None,
) -> tuple[Repository, Readme | None]:
    """Make the model of a repository agree with its files, and return both after it."""
    files = repositories.files(transaction.connection, repository.id)
    weights = [file for file in files if file.sha256 is not None]
    entry = _entry_of(transaction, repository)
    blob = entry.model.blob if entry else None
    shards = _find_changed_shards(before, files, blob, commit)
    if (shards.key if shards else None) != (merged.shards.key if merged else None):
        raise errors.Conflict("another commit changed the shards meanwhile; send the commit again")
    if weights and blob not in {file.sha256 for file in weights}:
        repository = _give_main(transaction, repository, commit, _choose_main(weights, commit), merged)
    elif entry is not None and blob is not None and not weights and commit.removes_files:
        model_id = entry.model.id
        raise errors.Conflict(f"the commit removes the file of the model {model_id}; delete the repository instead")
    elif entry is not None and merged is not None:
        _update_shards(transaction, entry, commit, merged)
    readme = None
    text = next((file.content for file in files if file.path == README), None)
    if repository.model_id is not None:
        if text is not None:
            readme = parse_readme(text)
            repositories.remove_file(transaction.connection, repository.id, README)
        _describe(transaction, repository.model_id, weights, readme)
    return repository, readme


def _choose_main(weights: Sequence[RepositoryFile], commit: Commit) -> RepositoryFile:
    """Return the file that becomes the model's: the largest of the commit, of a pipeline the largest of its network.

    A text encoder is often larger than the network.
    """
    return max(
        weights,
        key=lambda file: (file.path in commit.weights, folders.is_of_network(file.path), file.size_bytes, file.path),
    )


def _find_changed_shards(
    before: Sequence[RepositoryFile], after: Sequence[RepositoryFile], blob: str | None, commit: Commit
) -> ShardSet | None:
    """Return the shards of the model's file after a commit; None if it is no shard, or the commit changes none."""
    weights = [file for file in after if file.sha256 is not None]
    if not weights:
        return None
    main = next((file for file in weights if file.sha256 == blob), None)
    is_new = main is None
    main = main or _choose_main(weights, commit)
    shards = find_shards(after, main)
    is_sent = shards is not None and any(file.path in commit.weights for file in shards.files)
    return shards if is_new or is_sent or shards != find_shards(before, main) else None


def _identify(main: RepositoryFile, commit: Commit) -> Facts:
    """Return the facts of a model's file; of a shard with the identity from the shard that says most.

    Shards whose headers can be merged say more: see ``_merge_facts``.
    """
    facts = commit.weights[main.path].facts
    shards = {path: file.facts for path, file in commit.weights.items() if folders.is_shard_of(path, main.path)}
    best = max((facts, *shards.values()), key=lambda one: (one.base_model is not None, one.type is not None))
    if best is facts or (facts.type is not None and facts.base_model is not None):
        return facts
    evidence = (*(facts.evidence or ())[:1], *(best.evidence or ())[1:])
    return replace(best, hashes=facts.hashes, size_bytes=facts.size_bytes, evidence=evidence)


def _merge_facts(transaction: WriteTransaction, facts: Facts, merged: _Merged) -> Facts:
    """Return the facts of a model in shards, with the hashes and the size of its own file from ``facts``."""
    verdict, reason = judge_shards(transaction.connection, merged.shards)
    identity = facts if merged.facts is None else merged.facts
    lines = (facts.evidence or ())[1:] if merged.facts is None else merged.facts.evidence or ()
    return replace(
        identity,
        hashes=facts.hashes,
        size_bytes=facts.size_bytes,
        files=facts.files,
        evidence=(f"{verdict}: {reason}", *lines),
    )


def _are_servable(transaction: WriteTransaction, commit: Commit, shards: ShardSet) -> bool:
    """Whether all shards are there and may be served. Those of earlier commits may if they are clean."""
    for file in shards.files:
        verified = commit.weights.get(file.path)
        blob = blobs.find(transaction.connection, file.sha256) if file.sha256 else None
        if not (verified.is_servable if verified else blob is not None and blob.verdict == Verdict.CLEAN):
            return False
    return not shards.missing


def _update_shards(transaction: WriteTransaction, entry: Entry, commit: Commit, merged: _Merged) -> None:
    """Give a model whose file is a shard the facts of all its shards, after a commit that changed others of them."""
    inspections.apply_inspection(
        transaction,
        entry.model.id,
        _merge_facts(transaction, entry.layers.get(Layer.HEADER) or Facts(), merged),
        sha256=entry.model.blob,
        is_available=_are_servable(transaction, commit, merged.shards),
    )


def _entry_of(transaction: WriteTransaction, repository: Repository) -> Entry | None:
    if repository.model_id is None:
        return None
    return transaction.entries([repository.model_id]).get(repository.model_id)


def _give_main(
    transaction: WriteTransaction,
    repository: Repository,
    commit: Commit,
    main: RepositoryFile,
    merged: _Merged | None,
) -> Repository:
    """Give the repository's model its file; make the model, if there is none."""
    verified = commit.weights.get(main.path)
    if verified is None:
        raise errors.Conflict(f"the commit removes the model's file; send {main.path} again in the same commit")
    model_id = repository.model_id
    if model_id is None:
        label = main.path.rpartition("/")[2]
        metadata = parse_upload_metadata(
            {"filename": label, "name": repository.name, "visibility": repository.visibility}
        )
        model_id = models.create(transaction, repository.team, metadata).model.id
    facts = _identify(main, commit)
    is_servable = verified.is_servable
    if merged is not None:
        facts = _merge_facts(transaction, facts, merged)
        is_servable = _are_servable(transaction, commit, merged.shards)
    has_cover = verified.cover and covers.exists(transaction.connection, verified.cover)
    inspections.apply_inspection(
        transaction,
        model_id,
        facts,
        sha256=verified.sha256,
        is_available=is_servable,
        extension=verified.extension,
        cover=verified.cover if has_cover else None,
    )
    return replace(repository, model_id=model_id)


def _describe(
    transaction: WriteTransaction, model_id: int, weights: Sequence[RepositoryFile], readme: Readme | None
) -> None:
    """List the weights of a model as its files, and give it the facts of its README.md."""
    writer = ModelWriter(transaction)
    writer.load([model_id])
    entry = writer.entry(model_id)
    if entry is None:
        raise errors.ModelNotFound(str(model_id))
    layers = dict(entry.layers)
    if len(weights) > 1:
        header = layers.get(Layer.HEADER) or Facts()
        layers[Layer.HEADER] = replace(header, files=_list_files(weights, entry.model.blob))
    if readme is not None and readme.used:
        facts = replace(readme.facts, updated_at=format_date(transaction.now))
        layers[Layer.USER] = merge_layer(Layer.USER, facts, layers.get(Layer.USER))
    changed = writer.set(model_id, layers, state_of(entry.model))
    writer.put()
    # A change of the files alone is a new revision too: answers are cached by it.
    transaction.put([changed])


def _list_files(weights: Sequence[RepositoryFile], blob: str | None) -> tuple[ModelFile, ...]:
    """Return the files of a model, its own first."""
    ordered = sorted(weights, key=lambda file: (file.sha256 != blob, file.path))
    return tuple(
        ModelFile(
            file.path,
            size_bytes=file.size_bytes,
            is_primary=file.sha256 == blob,
            hashes=Hashes(sha256=file.sha256.upper(), autov2=file.sha256[:10].upper()) if file.sha256 else None,
        )
        for file in ordered
    )
