"""``/tags``, ``/creators``, ``/enums`` and ``/me``: the words of the catalogue, and who the caller is."""

import threading
import time
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from modelyard import errors
from modelyard.catalog import Catalog
from modelyard.civitai.answers import spell_type
from modelyard.domain import BASE_MODEL_TYPES, ModelQuery, Viewer, fold, model_type
from modelyard.store import version_groups
from modelyard.web.auth import ViewerOf
from modelyard.web.civitai.endpoint import PREFIX
from modelyard.web.civitai.parameters import Parameters, read_number, read_query, read_text
from modelyard.web.civitai.search import PERIODS, SORTS
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.web.urls import BaseOf

_LIMIT_DEFAULT, _LIMIT_MAX = 20, 200
# The most frequent tags that pages show; the index counts from the most frequent one on.
TAGS_MAX = 2_000
# Counting the creators reads all models, so it is done once in a while.
CREATORS_SECONDS = 300
_TEAMS_MAX = 64
# Civitai's words for the files of a version.
_FILE_TYPES = ("Model", "Pruned Model", "Negative", "Training Data", "VAE", "Config", "Archive")
_encode = msgspec.json.Encoder().encode


class Vocabularies:
    """The handlers of the routes. They run in threads."""

    def __init__(self, catalog: Catalog, viewer_of: ViewerOf, base_of: BaseOf) -> None:
        self._catalog = catalog
        self._viewer_of = viewer_of
        self._base_of = base_of
        self._lock = threading.Lock()
        self._creators: dict[str | None, tuple[float, list[tuple[str, int]]]] = {}

    def list_tags(self, request: Request) -> Response:
        """Return the most frequent tags with the number of versions that have each, or those with a text in them."""
        viewer, parameters = self._viewer_of(request), read_query(request)
        text = fold(read_text(parameters, "query"))
        if text:
            tags = self._catalog.find_tags(viewer, ModelQuery(), text, TAGS_MAX)
        else:
            tags = self._catalog.facets(viewer, ModelQuery(), TAGS_MAX, budget=request.budget).tags
        return self._page(request, parameters, tags, "name", "tag")

    def list_creators(self, request: Request) -> Response:
        """Return the creators with the number of their models, or those with a text in their name."""
        viewer, parameters = self._viewer_of(request), read_query(request)
        text = fold(read_text(parameters, "query"))
        creators = [item for item in self._count_creators(viewer) if text in fold(item[0])]
        return self._page(request, parameters, creators, "username", "username")

    def get_enums(self, request: Request) -> Response:
        """Return the words that filters accept."""
        viewer = self._viewer_of(request)
        base_models = self._catalog.base_models(viewer)
        values = {
            "ModelType": [spell_type(model_type(name)) for name in sorted(self._catalog.known_types(viewer))],
            "ModelFileType": list(_FILE_TYPES),
            "ActiveBaseModel": base_models,
            "BaseModel": base_models,
            "BaseModelType": list(BASE_MODEL_TYPES),
            "ModelSort": list(SORTS),
            "MetricTimeframe": list(PERIODS),
        }
        return Response(_encode(values))

    def get_me(self, request: Request) -> Response:
        """Return the team of the key. Raises MissingKey for a caller without one."""
        viewer = self._viewer_of(request)
        if viewer.team is None:
            raise errors.MissingKey
        return Response(_encode({"username": viewer.team, "scopes": sorted(viewer.scopes)}))

    def _count_creators(self, viewer: Viewer) -> list[tuple[str, int]]:
        # One thread counts, and the others wait for its result.
        with self._lock:
            counted_at, creators = self._creators.get(viewer.team, (-float("inf"), []))
            if time.monotonic() - counted_at > CREATORS_SECONDS:
                with self._catalog.store.reading() as connection:
                    creators = version_groups.count_creators(connection, viewer.team)
                while len(self._creators) >= _TEAMS_MAX:
                    self._creators.pop(next(iter(self._creators)))
                self._creators[viewer.team] = time.monotonic(), creators
            return creators

    def _page(
        self,
        request: Request,
        parameters: Parameters,
        items: Sequence[tuple[str, int]],
        name: str,
        filter_name: str,
    ) -> Response:
        limit = read_number(parameters, "limit", _LIMIT_DEFAULT, 0, _LIMIT_MAX)
        page = read_number(parameters, "page", 1, 1, 10**9)
        link = f"{self._base_of(request)}{PREFIX}/models?"
        part = items[(page - 1) * limit : page * limit]
        answer = {
            "items": [
                {name: word, "modelCount": count, "link": link + urlencode({filter_name: word})} for word, count in part
            ],
            "metadata": {
                "totalItems": len(items),
                "currentPage": page,
                "pageSize": limit,
                "totalPages": -(-len(items) // limit) if limit else 0,
            },
        }
        return Response(_encode(answer))
