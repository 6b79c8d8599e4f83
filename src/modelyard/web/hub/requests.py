"""What a request under ``/hf`` names: a repository and its revision, and parameters that are true or not."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from modelyard.domain import Viewer
from modelyard.web.hub.repositories import Repositories, Repository
from modelyard.web.requests import Request

_QUERY_BYTES_MAX = 8192


def find_repository(repositories: Repositories, viewer: Viewer, request: Request) -> Repository:
    """Return the repository that the path names. Raises RepositoryNotFound, and RevisionNotFound if it names one."""
    names = request.path_parameters
    repository = repositories.find(viewer, names["namespace"], names["name"])
    if "revision" in names:
        repository.check_revision(names["revision"])
    return repository


def read_query(request: Request) -> dict[str, list[str]]:
    """Return the values of the query's parameters."""
    return parse_qs(request.query_string[:_QUERY_BYTES_MAX].decode("latin-1"))


def is_true(query: Mapping[str, list[str]], name: str) -> bool:
    """Whether a parameter is true, as clients in Python and JavaScript spell it."""
    return query.get(name, [""])[0].lower() in ("1", "true")
