"""``GET /v3/user`` and ``GET /v3/metadata``: who the caller is, and the values of the catalogue's fields."""

import msgspec

from modelyard.catalog import Catalog
from modelyard.domain import (
    BASE_MODEL_TYPES,
    CATEGORIES,
    DOCUMENTED_TYPES,
    FILE_EXTENSIONS,
    model_type,
)
from modelyard.web.auth import ViewerOf
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.wire import TypeRecord

_encode = msgspec.json.Encoder().encode


class User(msgspec.Struct, frozen=True):
    """The key's team and scopes; ``team`` is null for a caller without a key, where those are let in."""

    team: str | None
    scopes: list[str]


class Category(msgspec.Struct, frozen=True):
    """A category that an upload may name."""

    id: int
    name: str


class Metadata(msgspec.Struct, frozen=True):
    """The words that describe models here."""

    model_types: list[TypeRecord]
    model_categories: list[Category]
    base_models: list[str]
    base_model_types: list[str]
    supported_file_extensions: list[str]


def get_user(viewer_of: ViewerOf, request: Request) -> Response:
    """Return who the caller is: a cheap way to test an API key."""
    viewer = viewer_of(request)
    return Response(_encode(User(viewer.team, sorted(viewer.scopes))))


def get_metadata(catalog: Catalog, viewer_of: ViewerOf, request: Request) -> Response:
    """Return the values that the caller may use. Types of models that it cannot see are not among them."""
    viewer = viewer_of(request)
    others = sorted(catalog.known_types(viewer) - set(DOCUMENTED_TYPES))
    types = [model_type(name) for name in (*DOCUMENTED_TYPES, *others)]
    metadata = Metadata(
        model_types=[TypeRecord(kind.name, kind.display_name) for kind in types],
        model_categories=[Category(number, name) for number, name in CATEGORIES.items()],
        base_models=catalog.base_models(viewer),
        base_model_types=list(BASE_MODEL_TYPES),
        supported_file_extensions=list(FILE_EXTENSIONS),
    )
    return Response(_encode(metadata))
