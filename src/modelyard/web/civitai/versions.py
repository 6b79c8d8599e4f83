"""Models and their versions as Civitai's JSON.

What is not known is left out, but for the fields that clients need. A version lists those of them that hold a guess or
a substitute in ``modelyard.unknown``, and an import by another catalogue ignores them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from modelyard import errors
from modelyard.catalog import Catalog, may_see
from modelyard.civitai.answers import drop_missing, make_cover, make_file, make_image, make_permissions, spell_type
from modelyard.civitai.markup import html_of_text
from modelyard.domain import COVERS, OWN_ID_MIN, Hashes, Model, Verdict, Viewer, Visibility
from modelyard.facts import Entry, Facts, Layer, ModelFile, Recommended, format_date, resolve
from modelyard.store import blobs, civitai_models, files, origins, version_groups
from modelyard.web.api.model_details import list_files
from modelyard.web.cache import LRUCache
from modelyard.web.civitai.endpoint import DOWNLOADS
from modelyard.wire import details
from modelyard.wire.air import air_of

CACHE_BYTES_MAX = 32 * 1024 * 1024
_ENTRY_BYTES = 512
# Versions that are in memory at the same time, but for one model with more.
_VERSIONS_AT_ONCE = 200
# Increase it when another body is rendered for a model: stored bodies are then rendered again.
RENDERING = 1
# A page has up to 100 of them.
STORED_BYTES_MAX = 256 * 1024
# The address of the server in a stored body. The encoder leaves no such byte in a text, and an author's text with the
# character begins no address.
_BASE, _STORED_BASE, _ENCODED_BASE = b"\x01", "\x01", b"\\u0001"
_ENCODED_BASES = (b'"url":"' + _ENCODED_BASE, b'"downloadUrl":"' + _ENCODED_BASE)
_encode = msgspec.json.Encoder().encode
_SCANS = {Verdict.CLEAN: "Success", Verdict.ERROR: "Error"}


@dataclass(frozen=True, slots=True)
class Version:
    """A version with what its JSON needs: the resolved facts, and the files with whether they are here."""

    entry: Entry
    facts: Facts
    files: Sequence[details.FileRecord]
    # The name among all catalogues of a model that is not Civitai's.
    origin: str | None = None

    @property
    def model(self) -> Model:
        """The row of the version."""
        return self.entry.model


class Versions:
    """Loads and renders versions. Threads may share it. Call it in a thread, because it asks the database."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # The JSON of models: by their versions, and, without asking the database, by the revision of the catalogue.
        self._cache: LRUCache[tuple[object, ...], bytes] = LRUCache(CACHE_BYTES_MAX)
        self._bodies: LRUCache[tuple[object, ...], bytes] = LRUCache(CACHE_BYTES_MAX)
        # Whether somebody asked for a list: until then there is nothing to render before.
        self.is_used = False

    def find(self, viewer: Viewer, version_id: int) -> Version:
        """Return a version. Raises ModelNotFound, also for what the viewer may not see."""
        (version,) = self.load(viewer, [self._catalog.get(viewer, version_id).model.id]) or (None,)
        if version is None:
            raise errors.ModelNotFound(str(version_id))
        return version

    def load(self, viewer: Viewer, ids: Sequence[int]) -> list[Version]:
        """Return those of the versions that exist and that the viewer may see, in the order of the ids."""
        entries = self._catalog.store.entries(ids)
        with self._catalog.store.reading() as connection:
            local_files = files.of_models(connection, [*entries])
            own_ids = [id_ for id_ in entries if id_ >= OWN_ID_MIN]
            catalogue = origins.read_catalogue(connection) if own_ids else ""
            origin_of = origins.find_origins(connection, own_ids)
            stored = blobs.find_many(connection, {entry.model.blob for entry in entries.values() if entry.model.blob})
        versions = []
        for id_ in ids:
            entry = entries.get(id_)
            if entry is None or not may_see(viewer, entry.model):
                continue
            visible = [file for file in local_files.get(id_, []) if may_see(viewer, file)]
            records = [record for _, record in list_files(entry, visible, stored.get(entry.model.blob or ""))]
            origin = origin_of.get(id_, f"{catalogue}/{id_}") if id_ >= OWN_ID_MIN else None
            versions.append(Version(entry, resolve(entry.layers) if entry.layers else Facts(), records, origin))
        return versions

    def render_models(
        self, viewer: Viewer, lead_ids: Sequence[int], base: str, *, primary_only: bool = False
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the id and the JSON of the model of each version that exists, with the versions that the viewer may
        see."""
        # Read before the database: what is cached is never older than its revision.
        shape = self._catalog.revision, viewer.team, base, primary_only
        bodies = self.find_bodies(viewer, lead_ids, base, primary_only=primary_only)
        missing = [lead for lead, body in zip(lead_ids, bodies, strict=True) if body is None]
        if missing and not primary_only:
            self.is_used = True
            stored = self._find_stored(missing, base)
            bodies = [stored.get(lead, body) for lead, body in zip(lead_ids, bodies, strict=True)]
            missing = [lead for lead in missing if lead not in stored]
            for lead, rendered in stored.items():
                self._bodies.put((*shape, lead), rendered, len(rendered) + _ENTRY_BYTES)
        rest = self._render_groups(viewer, missing, base, primary_only)
        upcoming = next(rest, None)
        for lead, body in zip(lead_ids, bodies, strict=True):
            if body is not None:
                yield lead, body
            elif upcoming is not None and upcoming[0] == lead:
                yield upcoming
                self._bodies.put((*shape, lead), upcoming[1], len(upcoming[1]) + _ENTRY_BYTES)
                upcoming = next(rest, None)

    def find_bodies(
        self, viewer: Viewer, lead_ids: Sequence[int], base: str, *, primary_only: bool = False
    ) -> list[bytes | None]:
        """Return the JSON of the model of each version, None for those that are not in memory."""
        shape = self._catalog.revision, viewer.team, base, primary_only
        return self._bodies.get_many([(*shape, lead) for lead in lead_ids])

    def _find_stored(self, lead_ids: Sequence[int], base: str) -> dict[int, bytes]:
        """Return the bodies that were rendered before anybody asked, by the version that stands for the model."""
        with self._catalog.store.reading() as connection:
            stored = civitai_models.find(connection, lead_ids, RENDERING)
        address = _encode(base)[1:-1]
        return {lead: body.replace(_BASE, address) for lead, body in stored.items()}

    def render_to_store(self, groups: Sequence[civitai_models.Group]) -> Iterator[tuple[civitai_models.Group, bytes]]:
        """Yield the bodies of groups that everyone may see, as they are stored; some are too large, and left out."""
        by_lead = {group.lead_id: group for group in groups}
        for lead, body in self._render_groups(Viewer(None), [*by_lead], _STORED_BASE, primary_only=False):
            stored = body
            for encoded in _ENCODED_BASES:
                stored = stored.replace(encoded, encoded.removesuffix(_ENCODED_BASE) + _BASE)
            if len(stored) <= STORED_BYTES_MAX and _ENCODED_BASE not in stored:
                yield by_lead[lead], stored

    def _render_groups(
        self, viewer: Viewer, lead_ids: Sequence[int], base: str, primary_only: bool
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the id and the JSON of each model, which is kept until one of its versions changes."""
        if not lead_ids:
            return
        with self._catalog.store.reading() as connection:
            groups = version_groups.list_groups(connection, lead_ids, viewer.team)
        leads = [lead for lead in lead_ids if lead in groups]
        for some in _split(leads, groups):
            keys = {lead: (viewer.team, base, primary_only, *groups[lead]) for lead in some}
            bodies = {lead: self._cache.get(key) for lead, key in keys.items()}
            ids = [id_ for lead in some if bodies[lead] is None for id_, _ in groups[lead]]
            versions = {version.model.id: version for version in self.load(viewer, ids)} if ids else {}
            for lead in some:
                body = bodies[lead]
                members = [versions[id_] for id_, _ in groups[lead] if id_ in versions]
                if body is None and members:
                    body = _encode(make_model(members, base, primary_only=primary_only))
                    self._cache.put(keys[lead], body, len(body) + _ENTRY_BYTES)
                if body is not None:
                    yield lead, body


def _split(leads: Sequence[int], groups: Mapping[int, Sequence[object]]) -> Iterator[list[int]]:
    """Yield the leads in lists whose groups have so many versions together as may be in memory, or one lead."""
    some: list[int] = []
    count = 0
    for lead in leads:
        if count >= _VERSIONS_AT_ONCE:
            yield some
            some, count = [], 0
        some.append(lead)
        count += len(groups[lead])
    if some:
        yield some


def model_id_of(version: Version, members: Iterable[Version] = ()) -> int:
    """Return the id of a version's model: Civitai's, or the least id of an own model's versions."""
    if version.facts.upstream_model_id is not None and version.model.id < OWN_ID_MIN:
        return version.facts.upstream_model_id
    return min([version.model.id, *(member.model.id for member in members)])


def make_model(versions: Sequence[Version], base: str, *, primary_only: bool = False) -> dict[str, Any]:
    """Return a model with its versions, the newest first."""
    newest = versions[0]
    model_id = model_id_of(newest, versions)
    shared, own = _split_descriptions([version.facts.description or "" for version in versions])
    return {
        "id": model_id,
        **_make_head(versions),
        "description": html_of_text(shared) if shared else "",
        "tags": list(dict.fromkeys(tag for version in versions for tag in version.model.tags)),
        "stats": _make_stats(sum(version.model.rank for version in versions)),
        "modelVersions": [
            make_version(version, model_id, base, text, primary_only=primary_only)
            for version, text in zip(versions, own, strict=True)
        ],
    }


def make_version_alone(version: Version, base: str) -> dict[str, Any]:
    """Return a version as it is answered without its model: with the model's name, type and permissions."""
    model_id = model_id_of(version)
    head = _make_head([version])
    creator = head.pop("creator", None)
    answer = make_version(version, model_id, base, version.facts.description or "")
    return {**answer, "model": head, **({"creator": creator} if creator else {})}


def make_version(
    version: Version, model_id: int, base: str, description: str, *, primary_only: bool = False
) -> dict[str, Any]:
    """Return a version as it is answered inside of its model."""
    model, facts = version.model, version.facts
    download_url = f"{base}{DOWNLOADS}{model.id}"
    records = version.files
    if primary_only:
        records = [file for file in records if file.is_primary] or records[:1]
    air = air_of(model, facts.upstream_model_id)
    added = format_date(model.added_at or 0)
    answer = {
        "id": model.id,
        "modelId": model_id,
        "name": model.name,
        "baseModel": model.base_model or "Other",
        "baseModelType": model.base_model_type or None,
        "createdAt": facts.published_at or added,
        "publishedAt": facts.published_at or added,
        "updatedAt": facts.updated_at,
        "status": "Published",
        "trainedWords": list(facts.trigger_words or ()),
        "description": html_of_text(description) if description else None,
        "air": str(air) if air else None,
        **_make_settings(facts.recommended),
        "stats": _make_stats(model.rank),
        "files": [_make_file(file, model, download_url) for file in records],
        "images": make_images(version, base),
        "downloadUrl": download_url if any(file.is_here for file in version.files) else None,
        "modelyard": {
            "source": model.source.value,
            **_make_origin(version, model_id),
            "is_private": model.visibility is Visibility.PRIVATE,
            "unknown": _list_unknown(version.entry),
        },
    }
    return drop_missing(answer)


def _make_origin(version: Version, model_id: int) -> dict[str, str]:
    """Return the names of an own model and of its group among all catalogues. They name no team."""
    if version.origin is None:
        return {}
    names = {"origin": version.origin}
    if version.model.version_group:
        is_imported = version.model.team is None
        own = f"{version.origin.partition('/')[0]}/{model_id}"
        names["group"] = (version.facts.version_group if is_imported else None) or own
    return names


def _list_unknown(entry: Entry) -> list[str]:
    """Return the fields of a version that hold a guess or a substitute, because no source has a value."""
    layers: dict[Layer, Facts] = {layer: facts for layer, facts in entry.layers.items() if layer != Layer.GUESS}
    facts = resolve(layers) if layers else Facts()
    values = {
        "name": facts.name,
        "type": facts.type,
        "nsfw": facts.is_nsfw is not None,
        "baseModel": facts.base_model,
        "baseModelType": facts.base_model_type or not entry.model.base_model_type,
        "createdAt": facts.published_at,
        "publishedAt": facts.published_at,
    }
    return [name for name, value in values.items() if not value]


def _make_head(versions: Sequence[Version]) -> dict[str, Any]:
    """Return the fields of a model that its versions share."""
    newest = versions[0]
    creator = newest.facts.creator
    return {
        "name": newest.facts.title or newest.model.name,
        "type": spell_type(newest.model.type),
        "nsfw": any(version.model.is_nsfw for version in versions),
        "poi": False,
        **make_permissions(newest.facts.licence),
        **({"creator": {"username": creator, "image": None}} if creator else {}),
    }


def _split_descriptions(texts: Sequence[str]) -> tuple[str, list[str]]:
    """Return the paragraphs with which all texts begin, and the rest of each. Together they are the texts again."""
    paragraphs = [text.split("\n\n") for text in texts]
    count = 0
    while all(len(parts) > count and parts[count] == paragraphs[0][count] for parts in paragraphs):
        count += 1
    return "\n\n".join(paragraphs[0][:count]), ["\n\n".join(parts[count:]) for parts in paragraphs]


def _make_stats(downloads: int) -> dict[str, int]:
    return {"downloadCount": max(downloads, 0), "thumbsUpCount": 0}


def _make_settings(values: Recommended | None) -> dict[str, Any]:
    if values is None:
        return {}
    settings = {"strength": values.weight, "minStrength": values.weight_min, "maxStrength": values.weight_max}
    return {"settings": drop_missing(settings) or None, "clipSkip": values.clip_skip}


def _make_file(file: details.FileRecord, model: Model, download_url: str) -> dict[str, Any]:
    """Return a file. Clients need an id and a size: a file without them has the version's id, and 0."""
    spelled = make_file(_file_of(file, Hashes(**file.hashes)))
    query = {"type": file.type, "format": file.format, "size": file.size_kind, "fp": file.precision}
    address = f"{download_url}?{urlencode(drop_missing(query))}".rstrip("?")
    return {
        "sizeKB": 0,
        "type": "Model",
        **spelled,
        "id": model.id if file.id is None else file.id,
        "pickleScanResult": "Pending" if file.scan is None else _SCANS.get(file.scan, "Danger"),
        **({"downloadUrl": address} if file.is_here else {}),
    }


def _file_of(file: details.FileRecord, hashes: Hashes) -> ModelFile:
    return ModelFile(
        file.name,
        file.id,
        file.type,
        file.size_bytes,
        file.format,
        file.precision,
        file.size_kind,
        file.is_primary,
        hashes,
    )


def make_images(version: Version, base: str) -> list[dict[str, Any]]:
    """Return the images of a version, its cover first. A picture that is not here has its source's address."""
    cover = version.model.cover_url
    covers = [f"{base}{cover}" if cover.startswith(COVERS) else cover] if cover else []
    images = [make_image(image) for image in version.facts.images or ()]
    addresses = {image["url"] for image in images}
    return [*(make_cover(address) for address in covers if address not in addresses), *images]
