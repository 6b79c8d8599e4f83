"""Writes to repositories in the shape of the Hugging Face Hub: create, preupload, commit, delete.

A commit is answered when its files are verified. All of its changes are made, or none; the answer to a dangerous file
is the reason.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import FILE_EXTENSIONS, Viewer, Visibility
from modelyard.registry.models import writing_team
from modelyard.registry.readme import README
from modelyard.registry.repositories import Commit, Committed, OwnedRepositories
from modelyard.store.repositories import Repository
from modelyard.uploads.commits import CommitUploads, Result
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json, read_up_to
from modelyard.web.hub.repositories import REVISIONS, is_valid_name
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response, send_response
from modelyard.web.urls import BaseOf

_NAME_ALLOWED = "up to 96 of A-Z a-z 0-9 _ . -, not - or . at an end, no -- or .."
_PATH_CHARS_MAX, _PATH_PARTS_MAX = 500, 12
_TEXT_BYTES_MAX = 4 << 20
_BODY_BYTES_MAX = 32 << 20
_PREUPLOAD_BYTES_MAX = 4 << 20
_CHANGES_MAX = 1000
# How often a commit looks for the results of verification, at first and later.
_POLL_SECONDS_MIN, _POLL_SECONDS_MAX = 0.02, 0.5
_VERIFY_SECONDS_MAX = 600.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_encode = msgspec.json.Encoder().encode


class NewRepository(msgspec.Struct, frozen=True):
    """The request for a repository."""

    name: str
    organization: str | None = None
    visibility: str | None = None
    type: str | None = None


class PreuploadFile(msgspec.Struct, frozen=True):
    """A file that a client is about to send."""

    path: str
    size: int = 0


class Preupload(msgspec.Struct, frozen=True):
    """The files that a client is about to send."""

    files: list[PreuploadFile]


class CommitLine(msgspec.Struct, frozen=True):
    """One line of a commit."""

    key: str
    value: dict[str, object]


@dataclass(frozen=True, slots=True)
class CommitBody:
    """The lines of a commit: the SHA-256 of weights, the bytes of texts, and removals, by path."""

    weights: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class CommitHandler:
    """The handlers of the requests. ``commit_of`` returns the id of a repository's state."""

    repositories: OwnedRepositories
    commit_uploads: CommitUploads
    caller_of: ViewerOf
    base_of: BaseOf
    commit_of: Callable[[Viewer, Repository], str]

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
        visibility = Visibility.PUBLIC if wish.visibility == "public" else Visibility.PRIVATE
        answer = {"url": self._url(request, team, name), "name": f"{team}/{name}", "id": f"{team}/{name}"}
        try:
            self.repositories.create(viewer, name, visibility)
        except errors.ModelExists as problem:
            return Response(_encode(answer | {"error": problem.message}), status=409, caching=UNSTORED)
        return Response(_encode(answer), caching=UNSTORED)

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
        answer = {
            "files": [_describe(file) for file in wish.files[:_CHANGES_MAX]],
            "commitOid": await asyncio.to_thread(self.commit_of, viewer, repository),
        }
        await send_response(Response(_encode(answer), caching=UNSTORED), request, send)

    async def commit(self, request: Request, receive: Receive, send: Send) -> None:
        """Change a repository."""
        viewer = self.caller_of(request)
        writing_team(viewer)
        repository = await asyncio.to_thread(self._find, request, viewer)
        body = parse_commit(await read_up_to(_BODY_BYTES_MAX, request, receive, "the commit"))
        results = await self._verified(viewer, body.weights)
        await asyncio.to_thread(self._refuse_unsound, body.weights, results)
        change = Commit(
            {path: verified for path, sha256 in body.weights.items() if (verified := results[sha256].verified)},
            body.texts,
            body.removed,
            [result.upload.id for result in results.values()],
        )
        done = await asyncio.to_thread(self.repositories.commit, viewer, repository, change)
        oid = await asyncio.to_thread(self.commit_of, viewer, done.repository)
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
            raise errors.RevisionNotFound(parameters["revision"], self.commit_of(viewer, repository))
        return repository

    async def _verified(self, viewer: Viewer, weights: Mapping[str, str]) -> dict[str, Result]:
        """Return the results of verification by SHA-256; wait for them."""
        seconds = _POLL_SECONDS_MIN
        now = asyncio.get_running_loop().time
        deadline = now() + _VERIFY_SECONDS_MAX
        while True:
            results = await asyncio.to_thread(self.commit_uploads.results, viewer, set(weights.values()))
            if all(result.verified for result in results.values()):
                return results
            if now() > deadline:
                raise errors.Unavailable("the files are still being verified; send the commit again later")
            await asyncio.sleep(seconds)
            seconds = min(seconds * 1.5, _POLL_SECONDS_MAX)

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


def parse_commit(body: bytes) -> CommitBody:
    """Return the changes of a commit. Raises InvalidValue, which names the line and what it accepts."""
    commit = CommitBody()
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > _CHANGES_MAX + 1:
        raise errors.InvalidValue(f"the commit has {len(lines)} lines; accepted: up to {_CHANGES_MAX} changes")
    for number, text in enumerate(lines, 1):
        try:
            line = msgspec.json.decode(text, type=CommitLine)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise errors.InvalidValue(f"line {number} of the commit cannot be used: {problem}") from None
        except RecursionError:
            raise errors.InvalidValue(f"line {number} of the commit cannot be used: it is nested too deeply") from None
        _take_line(commit, number, line)
    if not (commit.weights or commit.texts or commit.removed):
        raise errors.InvalidValue("the commit changes nothing; accepted: at least one file")
    return commit


def _take_line(commit: CommitBody, number: int, line: CommitLine) -> None:
    if line.key == "header":
        return
    path = checked_path(line.value.get("path"))
    match line.key:
        case "file":
            commit.texts[path] = _text_of(path, line.value)
        case "lfsFile":
            commit.weights[path] = _sha256_of(path, line.value)
        case "deletedFile":
            commit.removed.add(path)
        case _:
            raise errors.InvalidValue(
                f"line {number} of the commit: {line.key[:32]!r} is not accepted;"
                " accepted: header, file, lfsFile, deletedFile"
            )


def checked_path(value: object) -> str:
    """Return the path of a file in a repository. Raises InvalidValue."""
    path = value if isinstance(value, str) else ""
    parts = path.split("/")
    is_plain = path.isprintable() and "\\" not in path and len(path) <= _PATH_CHARS_MAX
    # Clients download into folders of people. `.git` there would be the settings and hooks of another repository.
    if not is_plain or len(parts) > _PATH_PARTS_MAX or any(part.lower() in ("", ".", "..", ".git") for part in parts):
        raise errors.InvalidValue(
            f"path: {path[:64]!r} is not accepted; accepted: a relative path of up to {_PATH_CHARS_MAX} characters,"
            " without .git",
            field="path",
        )
    return path


def _is_weights(path: str) -> bool:
    return path.rpartition(".")[2].lower() in FILE_EXTENSIONS


def _sha256_of(path: str, value: Mapping[str, object]) -> str:
    oid = value.get("oid")
    if value.get("algo", "sha256") != "sha256" or not isinstance(oid, str) or not _SHA256.fullmatch(oid):
        raise errors.InvalidValue(f"{path}: accepted: the algo sha256, and an oid of 64 hexadecimal digits")
    if not _is_weights(path):
        raise errors.UnsupportedFile(
            f"{path}: not a kind of file that is accepted; accepted: {', '.join(FILE_EXTENSIONS)}, and texts of up to"
            f" {_TEXT_BYTES_MAX:,} bytes"
        )
    return oid


def _text_of(path: str, value: Mapping[str, object]) -> bytes:
    content = value.get("content", "")
    try:
        if not isinstance(content, str):
            raise TypeError
        raw = base64.b64decode(content, validate=True) if value.get("encoding", "base64") == "base64" else b"\0"
        is_text = "\0" not in raw.decode("utf-8")
    except (binascii.Error, ValueError, TypeError):
        is_text, raw = False, b""
    if _is_weights(path) or not is_text or len(raw) > _TEXT_BYTES_MAX:
        raise errors.UnsupportedFile(
            f"{path}: accepted in a commit: texts in UTF-8 of up to {_TEXT_BYTES_MAX:,} bytes, in base64;"
            " weights are uploaded before the commit"
        )
    return raw


def _describe(file: PreuploadFile) -> dict[str, object]:
    is_text = not _is_weights(file.path) and file.size <= _TEXT_BYTES_MAX and not _is_picture(file.path)
    return {
        "path": file.path,
        "uploadMode": "lfs" if _is_weights(file.path) else "regular",
        "shouldIgnore": not (is_text or _is_weights(file.path)),
        "oid": None,
    }


def _is_picture(path: str) -> bool:
    return path.rpartition(".")[2].lower() in ("png", "jpg", "jpeg", "webp", "gif", "mp4", "zip", "gz", "pkl", "pickle")


def _notes_of(body: CommitBody, done: Committed) -> list[str]:
    """Return what the client prints or logs: what became of the README.md."""
    notes = []
    if done.readme is not None and README in body.texts:
        if done.readme.used:
            notes.append(f"README.md: taken over: {', '.join(done.readme.used)}")
        if done.readme.ignored:
            notes.append(f"README.md: not taken over: {', '.join(done.readme.ignored)}")
    return notes
