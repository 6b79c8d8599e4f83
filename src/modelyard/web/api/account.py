"""``GET /v3/user`` and ``GET /v3/metadata``: who the caller is, and the words the catalogue speaks."""

import msgspec

from modelyard.catalog import Catalog
from modelyard.domain import (
    BASE_MODEL_TYPES,
    CATEGORIES,
    DOCUMENTED_TYPES,
    FILE_EXTENSIONS,
    model_type,
)
from modelyard.web.api.list_models import ViewerOf
from modelyard.web.requests import Answer, Exchange
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


def show_user(viewer_of: ViewerOf, exchange: Exchange) -> Answer:
    """Answer who the caller is: the cheap way to try a key."""
    viewer = viewer_of(exchange)
    return Answer(_encode(User(viewer.team, sorted(viewer.scopes))))


def show_metadata(catalog: Catalog, viewer_of: ViewerOf, exchange: Exchange) -> Answer:
    """Answer the words this caller may use: types of models it cannot see are not told."""
    viewer = viewer_of(exchange)
    others = sorted(catalog.known_types(viewer) - set(DOCUMENTED_TYPES))
    types = [model_type(name) for name in (*DOCUMENTED_TYPES, *others)]
    metadata = Metadata(
        model_types=[TypeRecord(kind.name, kind.display_name) for kind in types],
        model_categories=[Category(number, name) for number, name in CATEGORIES.items()],
        base_models=catalog.base_models(viewer),
        base_model_types=list(BASE_MODEL_TYPES),
        supported_file_extensions=list(FILE_EXTENSIONS),
    )
    return Answer(_encode(metadata))
