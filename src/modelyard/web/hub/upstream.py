"""Repositories of the hub behind this server, for callers who may read them.

    namespace "public", or of a team    the catalogue only: the hub is never asked
    no key                              the catalogue only: strangers neither use our token nor fill our disk
    public on the hub                   every key that may read
    gated or private on the hub         keys of the team that the token belongs to (setting ``hub_upstream_team``)

A question to the hub runs in threads of its own, so that a hub that stalls does not keep other requests waiting. Many
callers who ask for the same share one question.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast
from urllib.parse import unquote

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.store import Store, repository_names, upstream
from modelyard.upstream.client import PARTS_MAX, UpstreamClient
from modelyard.upstream.fetches import Fetches
from modelyard.upstream.files import LocalFiles
from modelyard.upstream.snapshots import GATED, PUBLIC, Snapshot, SnapshotFile, Snapshots, is_revision
from modelyard.web.auth import ViewerOf
from modelyard.web.heavy_work import FairTurns
from modelyard.web.hub.entries import FileEntry
from modelyard.web.hub.repositories import NO_NAMESPACE, is_valid_name, join_name
from modelyard.web.requests import Handler, Request
from modelyard.wire import hub

Result = TypeVar("Result")

_REPOSITORY, _VIEWER = "modelyard.upstream_repository", "modelyard.hub_viewer"
# Questions at the same time, and those that may wait: of one caller, and of all.
_AT_ONCE = 8
_WAITING_OF_CALLER_MAX, _WAITING_MAX = 32, 256
# How long a caller waits for a newer commit than the one that is here. Clients wait ten seconds for a header.
_NEWER_SECONDS_MAX = 3.0
_NO_COMMIT = "0" * 40
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


@dataclass(frozen=True, slots=True)
class UpstreamRepository:
    """A repository of the hub at a commit. ``id`` is the name that the caller used."""

    id: str
    snapshot: Snapshot

    @property
    def commit(self) -> str:
        """The commit of the snapshot."""
        return self.snapshot.commit

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """The files, by path."""
        return tuple(entry_of(file) for file in self.snapshot.files)

    @property
    def last_commit(self) -> hub.LastCommitRecord:
        """The commit of the snapshot, as the history has it."""
        date = str(self.snapshot.fields.get("lastModified", ""))
        return hub.LastCommitRecord(self.commit, self.id, date if _DATE.fullmatch(date) else hub.format_time(0))


def entry_of(file: SnapshotFile) -> FileEntry:
    """Return a file of the hub as a file of a repository."""
    return FileEntry(file.path, file.size_bytes, file.oid, file.sha256, label=file.path.rpartition("/")[2])


class FairThreads:
    """Threads for calls that the hub may keep waiting, one for each turn. Callers take turns.

    One caller has ``of_caller_max`` turns at the same time.
    """

    def __init__(self, name: str, at_once: int, of_caller_max: int) -> None:
        self._pool = ThreadPoolExecutor(at_once, name)
        self._turns = FairTurns(at_once)
        # Callers are teams, so there are few.
        self._of_caller = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(of_caller_max))

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block."""
        async with self._of_caller[caller], self._turns.turn(caller):
            yield

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return the result of a call, made in a thread. The caller has a turn."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)


class HubUpstream:
    """The hub behind this server. It belongs to one event loop."""

    def __init__(
        self, store: Store, client: UpstreamClient, snapshots: Snapshots, files: LocalFiles, fetches: Fetches, team: str
    ) -> None:
        self.client = client
        self.files = files
        self.fetches = fetches
        self._store = store
        self._snapshots = snapshots
        self._team = team
        self.part_threads = FairThreads("hub-parts", PARTS_MAX, PARTS_MAX // 2)
        self._threads = FairThreads("hub-questions", _AT_ONCE, _AT_ONCE)
        # By repository and revision, the question and who asked it first.
        self._questions: dict[tuple[str, str], tuple[asyncio.Task[Snapshot], str]] = {}
        # Those that somebody has waited for long enough.
        self._slow: set[tuple[str, str]] = set()

    async def find(self, viewer: Viewer, request: Request) -> UpstreamRepository | None:
        """Return the repository of the hub that a request names, None if the request is about the catalogue.

        Raises what the hub answers, RepositoryNotFound for a private one, and RepositoryGated for a gated one.
        """
        names = request.path_parameters
        namespace, name = names["namespace"], names["name"]
        is_ours = namespace in (repository_names.PUBLIC, viewer.team)
        is_name = is_valid_name(name) and (is_valid_name(namespace) or namespace == NO_NAMESPACE)
        if viewer.team is None or is_ours or not is_name:
            return None
        repository, revision = join_name(namespace, name), _revision_of(request)
        if await asyncio.to_thread(self._is_team, namespace):
            return None
        if not is_revision(revision):
            raise errors.RevisionNotFound(revision, _NO_COMMIT)
        snapshot = await self._find_snapshot(viewer.team, repository, revision)
        self._check_access(viewer, snapshot)
        return UpstreamRepository(repository, snapshot)

    def expire(self, request: Request, repository: UpstreamRepository) -> None:
        """Ask again for the commit of a branch, because the hub does not have the one that it had."""
        self._snapshots.expire(repository.id, _revision_of(request))

    def _is_team(self, namespace: str) -> bool:
        with self._store.reading() as connection:
            return upstream.is_team(connection, namespace)

    async def _find_snapshot(self, caller: str, repository: str, revision: str) -> Snapshot:
        snapshot, is_fresh = await asyncio.to_thread(self._snapshots.find_stored, repository, revision)
        if snapshot is not None and is_fresh:
            return snapshot
        if snapshot is None:
            return await asyncio.shield(self._ask(caller, repository, revision))
        key = repository, revision
        with suppress(errors.Unavailable, errors.RateLimited, errors.UpstreamFailed):
            question = self._ask(caller, repository, revision)
            done, _ = await asyncio.wait([question], timeout=0 if key in self._slow else _NEWER_SECONDS_MAX)
            if done:
                return question.result()
            # The question goes on, and its answer is for later callers.
            self._slow.add(key)
        return snapshot

    def _ask(self, caller: str, repository: str, revision: str) -> "asyncio.Task[Snapshot]":
        """Return the question to the hub, begun now or by another caller. Raises RateLimited if there are too many."""
        key = repository, revision
        question = self._questions.get(key)
        if question is None:
            by_caller = Counter(asker for _, asker in self._questions.values())
            if len(self._questions) >= _WAITING_MAX or by_caller[caller] >= _WAITING_OF_CALLER_MAX:
                raise errors.RateLimited(5)
            task = asyncio.create_task(self._ask_in_turn(caller, repository, revision))
            question = self._questions[key] = task, caller
            task.add_done_callback(partial(self._end_question, key))
        return question[0]

    def _end_question(self, key: tuple[str, str], task: "asyncio.Task[Snapshot]") -> None:
        del self._questions[key]
        self._slow.discard(key)
        if not task.cancelled():
            task.exception()  # whoever still waits raises it

    async def _ask_in_turn(self, caller: str, repository: str, revision: str) -> Snapshot:
        async with self._threads.turn(caller):
            return await self._threads.run(lambda: self._snapshots.ask(repository, revision))

    def _check_access(self, viewer: Viewer, snapshot: Snapshot) -> None:
        if snapshot.access == PUBLIC or viewer.team == self._team:
            return
        if snapshot.access == GATED:
            raise errors.RepositoryGated(
                snapshot.repository, "it is gated on the hub; here the team of hub_upstream_team reads it"
            )
        raise errors.RepositoryNotFound(snapshot.repository)


def _revision_of(request: Request) -> str:
    revision = unquote(request.path_parameters.get("revision", "main"))
    return "main" if revision == "HEAD" else revision


def identify_once(viewer_of: ViewerOf) -> ViewerOf:
    """Return a function that identifies the caller of a request the first time, so that it counts once."""

    def find_viewer(request: Request) -> Viewer:
        viewer = request.scope.get(_VIEWER)
        if viewer is None:
            viewer = request.scope[_VIEWER] = viewer_of(request)
        return cast("Viewer", viewer)

    return find_viewer


def with_upstream(
    hub_upstream: HubUpstream | None, viewer_of: ViewerOf, handle: Handler, handle_upstream: Handler | None = None
) -> Handler:
    """Return a handler that finds the repository on the hub first, where the catalogue cannot have it.

    ``handle_upstream`` responds then; by default ``handle`` does, by ``repository_of``.
    """
    if hub_upstream is None:
        return handle

    async def find_and_handle(request: Request, receive: Receive, send: Send) -> None:
        repository = await hub_upstream.find(viewer_of(request), request)
        request.scope[_REPOSITORY] = repository
        await (handle if repository is None or handle_upstream is None else handle_upstream)(request, receive, send)

    return find_and_handle


def repository_of(request: Request) -> UpstreamRepository | None:
    """Return the repository of the hub that a request is about; None for one of the catalogue."""
    return cast("UpstreamRepository | None", request.scope.get(_REPOSITORY))
