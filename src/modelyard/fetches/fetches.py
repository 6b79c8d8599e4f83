"""The fetches of a store: asked for, listed, cancelled. The fetcher does them."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.domain import OWN_ID_MIN, Visibility
from modelyard.facts import Entry
from modelyard.fetches.sources import Source, UrlSource, VersionSource, label_of
from modelyard.outbound import AddressPolicy
from modelyard.registry import models
from modelyard.registry.fields import parse_upload_metadata
from modelyard.store import Store, WriteTransaction, fetches, jobs, uploaders, uploads
from modelyard.store.fetches import CANCELLED, OPEN, Fetch
from modelyard.store.uploads import FETCH_UPLOAD, Upload

# Longer than any download that goes on; a fetch with a job does not expire.
_EXPIRES_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What is asked for. ``team`` is empty if the operator fetches for everyone.

    ``is_listed_only``: the version has to be in the catalogue. Jobs of a greater ``priority`` go first.
    """

    source: Source
    team: str = ""
    metadata: Mapping[str, str] | None = None
    is_listed_only: bool = False
    priority: int = 0
    kind: str = jobs.FETCH
    # The SHA-256 that the file has to have, lower case.
    sha256: str | None = None
    # Of the key of whoever asks; empty if the operator does.
    key_fingerprint: str = ""


class Fetches:
    """The fetches of one store. Threads may share it."""

    def __init__(
        self,
        store: Store,
        storage: Blobs,
        incoming: IncomingFiles,
        policy: AddressPolicy,
        *,
        open_max: int = 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``policy`` says which addresses may be asked for; ``open_max``, how many uploads and fetches a team may have.

        0 is no limit.
        """
        self._store = store
        self._blobs = storage
        self._incoming = incoming
        self._policy = policy
        self._open_max = open_max
        self._clock = clock or store.now

    def check(self, source: Source) -> None:
        """Raise InvalidValue if this server may not request the address that a source is."""
        if isinstance(source, UrlSource):
            try:
                self._policy.check_url(source.url)
            except errors.AddressRefused as problem:
                raise errors.InvalidValue(f"source_url: {problem.message}", field="source_url") from None

    def add(self, request: FetchRequest) -> tuple[Fetch, Entry]:
        """Ask for a file; return the fetch and its model. The same request, while it is open, is one fetch.

        Raises ModelExists if the file is here, ModelNotFound for a version that is not listed and has to be, and
        InvalidValue for an address that may not be requested.
        """
        self.check(request.source)
        metadata = dict(request.metadata or {})
        label = label_of(request.source)
        if label and "filename" not in metadata:
            metadata["filename"] = label
        parsed = parse_upload_metadata(metadata)
        if not metadata.get("name") and not metadata.get("filename"):
            # The server that has the file may say a name.
            parsed = replace(parsed, facts=replace(parsed.facts, name=None))
        with self._store.transaction() as transaction:
            connection = transaction.connection
            fetch = fetches.open_of_source(connection, request.team, str(request.source))
            if fetch is not None and (entry := transaction.entries([fetch.model_id]).get(fetch.model_id)):
                return fetch, entry
            _refuse_present(transaction, request)
            if request.team and 0 < self._open_max <= uploads.open_count(connection, request.team):
                raise errors.TooManyUploads(self._open_max, 60)
            entry = _find_listed(transaction, request.source)
            if entry is None and request.is_listed_only:
                raise errors.ModelNotFound(str(request.source))
            if entry is None:
                entry = models.create(transaction, request.team or None, parsed)
                uploaders.put(connection, entry.model.id, request.key_fingerprint)
            return self._put(transaction, request, metadata, entry), entry

    def _put(
        self, transaction: WriteTransaction, request: FetchRequest, metadata: dict[str, str], entry: Entry
    ) -> Fetch:
        now, connection = transaction.now, transaction.connection
        fetch = Fetch(secrets.token_hex(16), request.team, str(request.source), entry.model.id, now)
        upload = Upload(
            fetch.id,
            request.team,
            FETCH_UPLOAD,
            metadata,
            now,
            now + _EXPIRES_SECONDS,
            announced_sha256=request.sha256,
            model_id=entry.model.id,
        )
        uploads.put(connection, upload)
        fetches.add(connection, fetch)
        jobs.add(connection, request.kind, fetch.id, now, team=request.team, priority=request.priority)
        transaction.audit.note("fetch.create", fetch.id, request.team or None)
        return fetch

    def get(self, team: str, fetch_id: str) -> Fetch:
        """Return a fetch of a team. Raises UploadNotFound."""
        with self._store.reading() as connection:
            fetch = fetches.find(connection, fetch_id)
        if fetch is None or fetch.team != team:
            raise errors.UploadNotFound(fetch_id)
        return fetch

    def list(self, team: str, limit: int = 100) -> list[Fetch]:
        """Return the fetches of a team, the newest first."""
        with self._store.reading() as connection:
            return [*fetches.of_team(connection, team, limit)]

    def cancel(self, team: str, fetch_id: str) -> None:
        """End an open fetch of a team, and remove its bytes and the model that was made for it.

        Raises UploadNotFound, UploadComplete for a fetch that has ended.
        """
        fetch = self.get(team, fetch_id)
        with self._store.transaction() as transaction:
            connection = transaction.connection
            if not fetches.close(connection, fetch_id, CANCELLED, transaction.now, problem="cancelled"):
                raise errors.UploadComplete("this fetch has ended", upload=fetch_id)
            for kind in (jobs.FETCH, jobs.MIRROR, jobs.CHECK):
                jobs.drop(connection, kind, fetch_id)
            uploads.remove(connection, fetch_id)
            if fetch.model_id >= OWN_ID_MIN:
                models.remove_model(transaction, fetch.model_id)
            transaction.audit.note("fetch.cancel", fetch_id, team or None)
        self._incoming.remove(fetch_id)
        self._blobs.forget_uploaded(fetch_id)


def describe_state(fetch: Fetch) -> str:
    """Return waiting, receiving or verifying for an open fetch, otherwise its state."""
    if fetch.state != OPEN:
        return fetch.state
    if fetch.size_bytes is not None and fetch.received_bytes == fetch.size_bytes:
        return "verifying"
    return "receiving" if fetch.size_bytes is not None else "waiting"


def _find_listed(transaction: WriteTransaction, source: Source) -> Entry | None:
    """Return the version of a source if it is listed for everyone."""
    if not isinstance(source, VersionSource):
        return None
    entry = transaction.entries([source.version_id]).get(source.version_id)
    if entry is None or entry.model.visibility is not Visibility.PUBLIC or entry.model.team is not None:
        return None
    return entry


def _refuse_present(transaction: WriteTransaction, request: FetchRequest) -> None:
    """Raise ModelExists if the file of a request is here, as far as the team may know."""
    entry = _find_listed(transaction, request.source)
    if entry is None:
        # Two URLs that differ in their query only may be two files.
        source = str(request.source)
        done = None if "?" in source else fetches.done_of_source(transaction.connection, request.team, source)
        entry = transaction.entries([done.model_id]).get(done.model_id) if done else None
    if entry is not None and entry.model.blob is not None:
        raise errors.ModelExists(f"the file is here, as {entry.model.sd_name!r}", model=entry.model.id)
