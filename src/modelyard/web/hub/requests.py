"""What a request under ``/hf`` names: a repository and its revision, and parameters that are true or not."""

from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

from modelyard.domain import Viewer
from modelyard.web.hub.repositories import Repositories, Repository
from modelyard.web.hub.upstream import UpstreamRepository, repository_of
from modelyard.web.requests import Request

_QUERY_BYTES_MAX = 8192


def find_repository(repositories: Repositories, viewer: Viewer, request: Request) -> Repository | UpstreamRepository:
    """Return the repository that the path names, of the catalogue or of the hub behind this server.

    Raises RepositoryNotFound, and RevisionNotFound if the path names a revision.
    """
    upstream_repository = repository_of(request)
    return upstream_repository or find_own_repository(repositories, viewer, request)


def find_own_repository(repositories: Repositories, viewer: Viewer, request: Request) -> Repository:
    """Return the repository of the catalogue that the path names."""
    names = request.path_parameters
    repository = repositories.find(viewer, names["namespace"], names["name"])
    if "revision" in names:
        repository.check_revision(unquote(names["revision"]))
    return repository


def read_query(request: Request) -> dict[str, list[str]]:
    """Return the values of the query's parameters."""
    return parse_qs(request.query_string[:_QUERY_BYTES_MAX].decode("latin-1"))


def is_true(query: Mapping[str, list[str]], name: str) -> bool:
    """Whether a parameter is true, as clients in Python and JavaScript spell it."""
    return query.get(name, [""])[0].lower() in ("1", "true")
