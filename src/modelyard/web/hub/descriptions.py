"""The description of a repository, its branch and its history; and who the caller is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from modelyard import errors
from modelyard.domain import Scope, Visibility
from modelyard.web.auth import ViewerOf
from modelyard.web.hub.endpoint import with_commit
from modelyard.web.hub.entries import FileEntry
from modelyard.web.hub.repositories import Repositories, Repository
from modelyard.web.hub.requests import find_repository, is_true, read_query
from modelyard.web.hub.upstream import UpstreamRepository
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.wire import hub, hub_tags

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Descriptions:
    """The handlers of the routes. They run in threads."""

    repositories: Repositories
    viewer_of: ViewerOf

    def whoami(self, request: Request) -> Response:
        """Return the caller's team as the user. Raises MissingKey for a caller without a key."""
        viewer = self.viewer_of(request)
        if viewer.team is None:
            raise errors.MissingKey
        role = "write" if viewer.may(Scope.WRITE) else "read"
        token = hub.AccessTokenRecord(display_name=viewer.key_fingerprint, role=role)
        return Response(
            _encode(hub.WhoamiRecord(viewer.team, viewer.team, viewer.team, hub.AuthRecord(access_token=token)))
        )

    def describe(self, request: Request) -> Response:
        """Return the description of a repository, of its one revision if the request names it."""
        repository = find_repository(self.repositories, self.viewer_of(request), request)
        query = read_query(request)
        expanded = frozenset(query.get("expand", ()))
        has_sizes = is_true(query, "blobs")
        if isinstance(repository, UpstreamRepository):
            fields = _describe_upstream(repository, has_sizes=has_sizes)
        else:
            fields = describe(repository, has_sizes=has_sizes)
        if expanded:
            fields = {name: value for name, value in fields.items() if name in expanded or name in ("_id", "id")}
        elif is_true(query, "securityStatus"):
            expanded = frozenset({"securityRepoStatus"})
        if "securityRepoStatus" in expanded:
            fields["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
        return with_commit(Response(_encode(fields)), repository.commit)

    def list_refs(self, request: Request) -> Response:
        """Return the one branch."""
        repository = find_repository(self.repositories, self.viewer_of(request), request)
        refs = hub.RefsRecord((hub.RefRecord(target_commit=repository.commit),))
        return with_commit(Response(_encode(refs)), repository.commit)

    def list_commits(self, request: Request) -> Response:
        """Return the history: the present state is the only one that the catalogue has."""
        repository = find_repository(self.repositories, self.viewer_of(request), request)
        commit = last_commit(repository)
        return with_commit(
            Response(_encode([hub.CommitRecord(commit.id, commit.title, commit.date)])), repository.commit
        )

    def check_access(self, request: Request) -> Response:
        """Return an empty object to a caller who may read the repository."""
        repository = find_repository(self.repositories, self.viewer_of(request), request)
        return with_commit(Response(b"{}"), repository.commit)


def last_commit(repository: Repository | UpstreamRepository) -> hub.LastCommitRecord:
    """Return the commit of a repository."""
    if isinstance(repository, UpstreamRepository):
        return repository.last_commit
    date = hub.format_time(_changed_at(repository))
    return hub.LastCommitRecord(repository.commit, f"{repository.model.sd_name or repository.id}", date)


def describe(repository: Repository, *, has_sizes: bool = False) -> dict[str, Any]:
    """Return the description of a repository, with the sizes and hashes of its files if ``has_sizes``."""
    model, make = repository.model, _sibling_maker(has_sizes=has_sizes)
    return {
        "_id": f"{model.id:024x}",
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.partition("/")[0],
        "sha": repository.commit,
        "lastModified": hub.format_time(_changed_at(repository)),
        "createdAt": hub.format_time(model.added_at or 0),
        "private": model.visibility is Visibility.PRIVATE,
        "gated": False,
        "disabled": False,
        "downloads": repository.downloads,
        "likes": 0,
        "tags": repository.tags,
        "pipeline_tag": hub_tags.PIPELINE_TAG,
        "library_name": hub_tags.library_of(model.type.name),
        "cardData": repository.card,
        "siblings": [make(entry) for entry in repository.files],
        "usedStorage": sum(entry.size_bytes for entry in repository.weights),
    }


def _describe_upstream(repository: UpstreamRepository, *, has_sizes: bool) -> dict[str, Any]:
    """Return the hub's own description, with the name that the caller used and the files of the snapshot."""
    make = _sibling_maker(has_sizes=has_sizes)
    return {
        **repository.snapshot.fields,
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.rpartition("/")[0] or repository.snapshot.fields.get("author"),
        "sha": repository.commit,
        "siblings": [make(entry) for entry in repository.files],
    }


def _changed_at(repository: Repository) -> int:
    return max(repository.model.updated_at or 0, repository.model.added_at or 0)


def _sibling_maker(*, has_sizes: bool) -> Callable[[FileEntry], hub.SiblingRecord]:
    return _sized_sibling if has_sizes else _sibling


def _sibling(entry: FileEntry) -> hub.SiblingRecord:
    return hub.SiblingRecord(entry.path)


def _sized_sibling(entry: FileEntry) -> hub.SiblingRecord:
    if entry.sha256 is None:
        return hub.SiblingRecord(entry.path, entry.size_bytes, entry.oid)
    lfs = hub.SiblingLfsRecord(entry.sha256, entry.size_bytes, entry.pointer_size)
    return hub.SiblingRecord(entry.path, entry.size_bytes, entry.oid, lfs)
