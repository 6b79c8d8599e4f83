"""Paths and methods under ``/hf`` that no route has: what clients ask for that the catalogue does not have.

A few of them name what only another hub has: a repository without a namespace, and a revision with slashes.
"""

import asyncio
import re
from functools import partial
from urllib.parse import unquote

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.endpoint import NO_COMMIT, PREFIX, hub_endpoint
from modelyard.web.hub.repositories import NO_NAMESPACE, Repositories
from modelyard.web.requests import Request
from modelyard.web.routing import Shape

# Data sets and spaces are repositories too; there are none here.
_OTHER_REPOSITORY = re.compile(r"(?:api/)?((?:datasets|spaces)/.+)", re.DOTALL)
_IN_REPOSITORY = re.compile(r"(?:api/models/|models/|(?!api/))([^/]+)/([^/]+?)(?:\.git)?(/.*)?", re.DOTALL)
# ``gpt2``. A path that is also one of a repository with a namespace is that one.
_ONE_PART = re.compile(
    rf"{PREFIX}/(?:(api/models/)([^/]+)(?:/(?:revision|tree|paths-info|commits)/(?!(?:refs|auth-check)\Z).+)?"
    r"|(?!api/|lfs/|cas/)([^/]+)/(?:resolve|raw)/(?!(?:resolve|raw)/).+)",
    re.DOTALL,
)
_TWO_PARTS = re.compile(rf"{PREFIX}/api/models/[^/]+/[^/]+/(?:revision|tree|paths-info|commits|resolve)/", re.DOTALL)
_REFERENCE = re.compile(r"(?<=/)refs/(pr|convert)/([^/]+)")


def refusals(context: HubContext) -> Shape:
    """Return how paths and methods are refused.

    The error of a path names a repository, or a file of one, because clients know no other one.
    """

    async def refuse(request: Request, _receive: Receive, _send: Send) -> None:
        viewer = context.viewer_of(request)
        path = unquote(request.path).removeprefix(f"{PREFIX}/")
        raise await asyncio.to_thread(_find_error, context.repositories, viewer, path)

    in_shape = partial(hub_endpoint, rate_limit=context.rate_limit)
    return Shape(in_shape(refuse), in_shape, rewrite_path)


def rewrite_path(path: str) -> str:
    """Return a path with ``NO_NAMESPACE`` before a name without one, and without slashes in ``refs/pr/1``."""
    path = _REFERENCE.sub(r"refs%2F\1%2F\2", path)
    if (match := _ONE_PART.fullmatch(path)) and not _TWO_PARTS.match(path):
        start = match.start(2) if match[2] else match.start(3)
        return f"{path[:start]}{NO_NAMESPACE}/{path[start:]}"
    return path


def _find_error(repositories: Repositories, viewer: Viewer, path: str) -> errors.ModelyardError:
    if other := _OTHER_REPOSITORY.fullmatch(path):
        return errors.RepositoryNotFound(other[1])
    inside = _IN_REPOSITORY.fullmatch(path)
    if inside is None:
        return errors.EntryNotFound(path, NO_COMMIT)
    try:
        commit = repositories.find(viewer, inside[1], inside[2]).commit
    except errors.RepositoryNotFound as problem:
        return problem
    return errors.EntryNotFound((inside[3] or "").strip("/"), commit)
