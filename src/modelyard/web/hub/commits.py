"""Writes to repositories in the shape of the Hugging Face Hub: create, preupload, commit, delete.

A commit is answered when its files are verified. All of its changes are made, or none; the answer to a dangerous file
is the reason.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import Viewer, Visibility
from modelyard.registry.models import writing_team
from modelyard.registry.readme import README
from modelyard.registry.repositories import Commit, Committed, OwnedRepositories
from modelyard.store.repositories import Repository
from modelyard.uploads.commits import CommitUploads, Result
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json, read_up_to
from modelyard.web.hub.commit_bodies import (
    CHANGES_MAX,
    PICTURE_EXTENSIONS,
    TEXT_BYTES_MAX,
    CommitBody,
    extension_of,
    is_weights,
    parse_commit,
)
from modelyard.web.hub.repositories import REVISIONS, is_valid_name
from modelyard.web.hub.repositories import Repository as ReadableRepository
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response, send_response
from modelyard.web.urls import BaseOf
from modelyard.wire import hub

_NAME_ALLOWED = "up to 96 of A-Z a-z 0-9 _ . -, not - or . at an end, no -- or .."
_BODY_BYTES_MAX = 32 << 20
_PREUPLOAD_BYTES_MAX = 4 << 20
_PICTURES_BYTES_MAX = 16 << 20
_IGNORED_EXTENSIONS = ("mp4", "webm", "zip", "gz", "tar", "7z", "pkl", "pickle", "npz", "npy", "h5", "msgpack")
# How often a commit looks for the results of verification.
_POLL_SECONDS_MIN, _POLL_SECONDS_MAX, _POLL_PART = 0.02, 0.5, 0.05
_VERIFY_SECONDS_MAX = 600.0
# huggingface_hub 0.x sends `false` without being asked to, so it makes nothing public.
_PRIVATE_WARNING = 'the repository {} is private; to make a public one, send "visibility": "public"'
_encode = msgspec.json.Encoder().encode


class NewRepository(msgspec.Struct, frozen=True):
    """The request for a repository."""

    name: str
    organization: str | None = None
    visibility: str | None = None
    private: bool | None = None
    type: str | None = None


class PreuploadFile(msgspec.Struct, frozen=True):
    """A file that a client is about to send."""

    path: str
    size: int = 0


class Preupload(msgspec.Struct, frozen=True):
    """The files that a client is about to send."""

    files: list[PreuploadFile]


@dataclass(frozen=True, slots=True)
class CommitHandler:
    """The handlers of the requests. ``read`` returns a repository as clients read it."""

    repositories: OwnedRepositories
    commit_uploads: CommitUploads
    caller_of: ViewerOf
    base_of: BaseOf
    read: Callable[[Viewer, Repository], ReadableRepository]

    def create(self, request: Request, body: bytes) -> Response:
        """Make a repository. One that exists answers 409 with its address."""
        viewer = self.caller_of(request)
        team = writing_team(viewer)
        wish = decode_json(body, NewRepository)
        namespace, _, name = wish.name.rpartition("/")
        if {wish.organization or team, namespace or team} != {team}:
            raise errors.RepositoryNotFound(f"{wish.organization or namespace}/{name}")
        if wish.type not in (None, "model"):
            raise errors.InvalidValue(f"type: {wish.type[:32]!r} is not accepted; accepted: model", field="type")
        if not is_valid_name(name):
            raise errors.InvalidValue(f"name: {name[:96]!r} is not accepted; accepted: {_NAME_ALLOWED}", field="name")
        visibility = _read_visibility(wish)
        answer = {"url": self._url(request, team, name), "name": f"{team}/{name}", "id": f"{team}/{name}"}
        try:
            self.repositories.create(viewer, name, visibility)
        except errors.ModelExists as problem:
            return Response(_encode(answer | {"error": problem.message}), status=409, caching=UNSTORED)
        is_private = visibility is Visibility.PRIVATE
        warning = _PRIVATE_WARNING.format(answer["id"]) if is_private and wish.private is False else ""
        headers = ((hub.WARNING_HEADER.lower().encode(), b"visibility; " + warning.encode()),) if warning else ()
        body = _encode(answer | {"private": is_private} | ({"warning": warning} if warning else {}))
        return Response(body, headers=headers, caching=UNSTORED)

    def remove(self, request: Request, body: bytes) -> Response:
        """Remove a repository and its model."""
        viewer = self.caller_of(request)
        wish = decode_json(body, NewRepository)
        namespace, _, name = wish.name.rpartition("/")
        repository = self.repositories.find(viewer, wish.organization or namespace or writing_team(viewer), name)
        self.repositories.remove(viewer, repository)
        return Response(b"{}", caching=UNSTORED)

    def validate_yaml(self, request: Request, _: bytes) -> Response:
        """Answer that a README.md can be used: what it says that does not fit is named after the commit."""
        self.caller_of(request)
        return Response(b'{"errors":[],"warnings":[]}', caching=UNSTORED)

    async def preupload(self, request: Request, receive: Receive, send: Send) -> None:
        """Say of each file whether it goes into the commit, is uploaded before it, or is not taken."""
        viewer = self.caller_of(request)
        writing_team(viewer)
        body = await read_up_to(_PREUPLOAD_BYTES_MAX, request, receive, "the list of files")
        repository = await asyncio.to_thread(self._find, request, viewer)
        wish = decode_json(body, Preupload)
        if len(wish.files) > CHANGES_MAX:
            raise errors.InvalidValue(f"files: {len(wish.files):,} are not accepted; accepted: up to {CHANGES_MAX:,}")
        answer = {
            "files": _describe_many(wish.files),
            "commitOid": (await asyncio.to_thread(self.read, viewer, repository)).commit,
        }
        await send_response(Response(_encode(answer), caching=UNSTORED), request, send)

    async def commit(self, request: Request, receive: Receive, send: Send) -> None:
        """Change a repository."""
        viewer = self.caller_of(request)
        writing_team(viewer)
        repository = await asyncio.to_thread(self._find, request, viewer)
        body = parse_commit(await read_up_to(_BODY_BYTES_MAX, request, receive, "the commit"))
        await asyncio.to_thread(self._resolve, viewer, repository, body)
        results = await self._verified(viewer, body.weights)
        await asyncio.to_thread(self._refuse_unsound, body.weights, results)
        change = Commit(
            {path: verified for path, sha256 in body.weights.items() if (verified := results[sha256].verified)},
            body.texts,
            body.removed,
            body.removed_folders,
            [result.upload.id for result in results.values()],
            partial(self._refuse_changed, viewer, repository, body.parents),
        )
        done = await asyncio.to_thread(self.repositories.commit, viewer, repository, change)
        oid = (await asyncio.to_thread(self.read, viewer, done.repository)).commit
        answer = {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"{self._url(request, repository.team, repository.name)}/commit/{oid}",
            "hookOutput": "\n".join(_notes_of(body, done)),
            "pullRequestUrl": None,
        }
        await send_response(Response(_encode(answer), caching=UNSTORED), request, send)

    def _url(self, request: Request, team: str, name: str) -> str:
        # huggingface_hub 0.x takes the part before the team for the type, and refuses `hf`.
        return f"{self.base_of(request)}/hf/models/{team}/{name}"

    def _find(self, request: Request, viewer: Viewer) -> Repository:
        parameters = request.path_parameters
        repository = self.repositories.find(viewer, parameters["namespace"], parameters["name"])
        if parameters["revision"] not in REVISIONS:
            raise errors.RevisionNotFound(parameters["revision"], self.read(viewer, repository).commit)
        return repository

    def _resolve(self, viewer: Viewer, repository: Repository, body: CommitBody) -> None:
        """Refuse a commit for another state or of files that are not there, and find the files that it copies."""
        self._refuse_changed(viewer, repository, body.parents)
        files = self.read(viewer, repository)
        for path in body.removed:
            if path not in body.weights.keys() | body.texts.keys() | body.copies.keys():
                files.find_file(path)
        for folder in body.removed_folders:
            if not any(entry.path.startswith(f"{folder}/") for entry in files.files):
                raise errors.EntryNotFound(f"{folder}/", files.commit)
        for path, source in body.copies.items():
            entry = files.find_file(source)
            if is_weights(path) != (entry.sha256 is not None):
                raise errors.InvalidValue(f"{path}: accepted: a copy of {source} with its extension", field="path")
            if entry.sha256 is not None:
                body.weights[path] = entry.sha256
            else:
                body.texts[path] = entry.text or b""
        if sum(map(len, body.texts.values())) > _BODY_BYTES_MAX:
            raise errors.TooLarge("the commit with its copies", _BODY_BYTES_MAX)

    def _refuse_changed(self, viewer: Viewer, repository: Repository, parents: Collection[str]) -> None:
        if parents and (commit := self.read(viewer, repository).commit) not in parents:
            raise errors.RepositoryChanged(next(iter(parents)), commit)

    async def _verified(self, viewer: Viewer, weights: Mapping[str, str]) -> dict[str, Result]:
        """Return the results of verification by SHA-256; wait for them."""
        now = asyncio.get_running_loop().time
        began = now()
        while True:
            results = await asyncio.to_thread(self.commit_uploads.results, viewer, set(weights.values()))
            if all(result.verified for result in results.values()):
                return results
            waited_seconds = now() - began
            if waited_seconds > _VERIFY_SECONDS_MAX:
                raise errors.Unavailable("the files are still being verified; send the commit again later")
            await asyncio.sleep(poll_seconds(waited_seconds))

    def _refuse_unsound(self, weights: Mapping[str, str], results: Mapping[str, Result]) -> None:
        """Raise UnsupportedFile if a file is broken or dangerous. The next attempt sends it again."""
        unsound = [result for result in results.values() if result.verified and not result.verified.is_sound]
        self.commit_uploads.forget([result.upload.id for result in unsound])
        for path, sha256 in weights.items():
            verified = results[sha256].verified
            if verified is not None and not verified.is_sound:
                verdict, _, reason = verified.verdict.partition(": ")
                raise errors.UnsupportedFile(
                    f"the server refused {path}: {verdict}: {reason}", path=path, verdict=verdict, problem=reason
                )


def poll_seconds(waited_seconds: float) -> float:
    """Return how long a commit waits before it looks again: a small part of the time that it has waited already."""
    return min(max(waited_seconds * _POLL_PART, _POLL_SECONDS_MIN), _POLL_SECONDS_MAX)


def _read_visibility(wish: NewRepository) -> Visibility:
    """Return the visibility that a request asks for. Raises InvalidValue."""
    if wish.visibility is not None and wish.visibility not in tuple(Visibility):
        raise errors.InvalidValue(
            f"visibility: {wish.visibility[:32]!r} is not accepted; accepted: {', '.join(Visibility)}",
            field="visibility",
        )
    visibility = Visibility(wish.visibility or Visibility.PRIVATE)
    if wish.private and visibility is Visibility.PUBLIC:
        raise errors.InvalidValue("private: true contradicts the visibility public; send one of them", field="private")
    return visibility


def _describe_many(files: Sequence[PreuploadFile]) -> list[dict[str, object]]:
    """Say of each file how it comes. A folder full of pictures would be more than one commit can have."""
    described = []
    picture_bytes = 0
    for file in files:
        is_picture = extension_of(file.path) in PICTURE_EXTENSIONS
        picture_bytes += file.size if is_picture else 0
        is_small = file.size <= TEXT_BYTES_MAX and (not is_picture or picture_bytes <= _PICTURES_BYTES_MAX)
        is_taken = is_weights(file.path) or (is_small and extension_of(file.path) not in _IGNORED_EXTENSIONS)
        mode = "lfs" if is_weights(file.path) else "regular"
        described.append({"path": file.path, "uploadMode": mode, "shouldIgnore": not is_taken, "oid": None})
    return described


def _notes_of(body: CommitBody, done: Committed) -> list[str]:
    """Return what the client prints or logs: what became of the README.md."""
    notes = []
    if done.readme is not None and README in body.texts:
        if done.readme.used:
            notes.append(f"README.md: taken over: {', '.join(done.readme.used)}")
        if done.readme.ignored:
            notes.append(f"README.md: not taken over: {', '.join(done.readme.ignored)}")
    if done.missing:
        notes.append(f"the model is not available yet: {done.missing}")
    if README in body.removed and README not in body.texts:
        notes.append("README.md: made from the details of the model; edit these to change it")
    return notes
