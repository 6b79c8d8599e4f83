"""``/images``: the example images of a version, of a model, or of the most popular models."""

from dataclasses import replace
from typing import Any

import msgspec

from modelyard import errors
from modelyard.catalog import Catalog
from modelyard.domain import ModelQuery, Offset, Viewer
from modelyard.index import Budget
from modelyard.store import version_groups
from modelyard.web.auth import ViewerOf
from modelyard.web.civitai.parameters import DIGITS_MAX, Parameters, is_digits, read_number, read_query, read_text
from modelyard.web.civitai.search import id_of
from modelyard.web.civitai.versions import Version, Versions, make_images, model_id_of
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.web.urls import BaseOf

LIMIT_MAX = 200
_LIMIT_DEFAULT = 100
# Versions of a page that names neither a model nor a version: most have several images.
_VERSIONS = 20
_encode = msgspec.json.Encoder().encode


class Images:
    """The handler of the route. It runs in a thread."""

    def __init__(self, catalog: Catalog, versions: Versions, viewer_of: ViewerOf, base_of: BaseOf) -> None:
        self._catalog = catalog
        self._versions = versions
        self._viewer_of = viewer_of
        self._base_of = base_of

    def get(self, request: Request) -> Response:
        """Return a page of images. The cursor is the number of versions and images before it."""
        viewer, parameters = self._viewer_of(request), read_query(request)
        limit = read_number(parameters, "limit", _LIMIT_DEFAULT, 0, LIMIT_MAX)
        versions_before, images_before = _read_cursor(parameters)
        names = [name for name in ("modelVersionId", "modelId") if read_text(parameters, name)]
        # Civitai's rating of 2023 is accepted besides a truth value.
        shows_nsfw = read_text(parameters, "nsfw").casefold() not in ("false", "none")
        if read_text(parameters, "imageId"):
            # Images have no ids here. Any other image would be taken for the one that was asked for.
            versions, has_more = [], False
        elif names:
            versions = self._of_model(viewer, names[0], read_number(parameters, names[0], 0, 0, 10**DIGITS_MAX))
            has_more = False
            versions = versions[versions_before:]
        else:
            versions, has_more = self._popular(viewer, versions_before, request.budget or Budget())
        items: list[dict[str, Any]] = []
        following = None
        base = self._base_of(request)
        for at, version in enumerate(versions):
            images = [image for image in _images_of(version, base) if shows_nsfw or not image["nsfw"]]
            first = images_before if at == 0 else 0
            room = limit - len(items)
            items += images[first : first + room]
            if len(images) - first > room:
                following = f"{versions_before + at}.{first + room}"
                break
        if following is None and has_more:
            following = f"{versions_before + len(versions)}.0"
        metadata = {"nextCursor": following, "pageSize": limit} if following else {"pageSize": limit}
        return Response(_encode({"items": items, "metadata": metadata}))

    def _of_model(self, viewer: Viewer, name: str, id_: int) -> list[Version]:
        ids = [id_]
        if name == "modelId":
            with self._catalog.store.reading() as connection:
                ids = version_groups.find_model(connection, id_, viewer.team)
        return self._versions.load(viewer, ids)

    def _popular(self, viewer: Viewer, before: int, budget: Budget) -> tuple[list[Version], bool]:
        query = replace(ModelQuery(), limit=_VERSIONS, start=Offset(before) if before else None)
        page = self._catalog.list_models(viewer, query, budget, is_grouped=False)
        ids = [id_of(listed.record) for listed in page.models]
        return self._versions.load(viewer, ids), page.following is not None


def _images_of(version: Version, base: str) -> list[dict[str, Any]]:
    """Return the images with the ids of their model and version. An image whose rating is unknown counts as NSFW."""
    model_id = model_id_of(version)
    return [
        {
            **image,
            "nsfw": image.get("nsfwLevel") != 1,
            "meta": image.get("meta") or None,
            "modelVersionIds": [version.model.id],
            "modelId": model_id,
            "baseModel": version.model.base_model or None,
        }
        for image in make_images(version, base)
    ]


def _read_cursor(parameters: Parameters) -> tuple[int, int]:
    text = read_text(parameters, "cursor")
    versions, _, images = (text or "0.0").partition(".")
    if not (is_digits(versions) and is_digits(images)):
        raise errors.InvalidParameter("cursor", text, "the nextCursor of an answer")
    return int(versions), int(images)
