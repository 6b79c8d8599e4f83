"""Paths under ``/hf`` that no route has: what clients ask for that the catalogue does not have."""

import asyncio
import re
from urllib.parse import unquote

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.endpoint import NO_COMMIT, PREFIX, hub_endpoint
from modelyard.web.hub.repositories import Repositories
from modelyard.web.requests import Handler, Request

# Data sets and spaces are repositories too; there are none here.
_OTHER_REPOSITORY = re.compile(r"(?:api/)?((?:datasets|spaces)/.+)", re.DOTALL)
_IN_REPOSITORY = re.compile(r"(?:api/models/|models/|(?!api/))([^/]+)/([^/]+?)(?:\.git)?(/.*)?", re.DOTALL)


def unknown_paths(context: HubContext) -> Handler:
    """Return the handler. It names a repository, or a file of one, because clients know no other error of a path."""

    async def refuse(request: Request, _receive: Receive, _send: Send) -> None:
        viewer = context.viewer_of(request)
        path = unquote(request.path).removeprefix(f"{PREFIX}/")
        raise await asyncio.to_thread(_find_error, context.repositories, viewer, path)

    return hub_endpoint(refuse, context.rate_limit)


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
