"""``GET /v3/model/details``: everything that is known of one model, by its id, a hash or an AIR."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, quote

import msgspec

from modelyard import errors, wire
from modelyard.catalog import Catalog, may_see
from modelyard.domain import Hashes, Scope, Verdict, Viewer
from modelyard.facts import Entry, Facts, Layer, ModelFile, complete_files, resolve
from modelyard.paths import display_path
from modelyard.registry.signatures import find_check
from modelyard.signatures import NO_POLICY, SignatureCheck, SignaturePolicy
from modelyard.store import Store, blobs, files, version_groups
from modelyard.store.files import FileRecord
from modelyard.web.auth import ViewerOf
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.web.urls import BaseOf, LinksFor
from modelyard.wire import air, details
from modelyard.wire.parameters import parse_hash

_encode = msgspec.json.Encoder().encode
_QUERY_BYTES_MAX = 4096
_ID_DIGITS_MAX = 18
_ID_ALLOWED = "a model's id, decimal digits"
_HASH_ALLOWED = "a hash of 8, 10, 12 or 64 hexadecimal digits"
_FILE_ALLOWED = "the SHA-256 of a file of this model that is here"


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """The handler of the route. It runs in a thread, because it asks the database."""

    catalog: Catalog
    caller_of: ViewerOf
    base_of: BaseOf
    links_for: LinksFor
    ttl_seconds: int
    signatures: SignaturePolicy = NO_POLICY

    def get(self, request: Request) -> Response:
        """Return a model with its facts, files and versions.

        Its owner also gets the result of the verification, and every caller does if the file is suspicious.
        """
        viewer = self.caller_of(request)
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)
        parameters = parse_qs(request.query_string[:_QUERY_BYTES_MAX].decode("latin-1"), keep_blank_values=True)
        entry = self._find(viewer, parameters)
        with self.catalog.store.reading() as connection:
            local_files = files.of_models(connection, [entry.model.id]).get(entry.model.id, [])
            stored = blobs.find(connection, entry.model.blob) if entry.model.blob else None
            signature = find_check(connection, entry.model, self.signatures)
        local_files = [file for file in local_files if may_see(viewer, file)]
        versions = self.catalog.versions(viewer, entry.model)
        records = list_files(entry, local_files, stored)
        record = self._render(request, entry, _select_file(entry, records, parameters.get("file")))
        body = details.make_details(entry, [file for _, file in records], versions)
        older = {"model": msgspec.Raw(record), **_read_check(viewer, entry), **name_signature(signature)}
        return Response(b",".join((record[:-1], _encode(body)[1:-1], _encode(older)[1:])))

    def _find(self, viewer: Viewer, parameters: dict[str, list[str]]) -> Entry:
        keys = [name for name in ("id", "hash", "air") if name in parameters]
        if len(keys) > 1:
            raise errors.InvalidParameter(keys[1], parameters[keys[1]][0], "one of id, hash and air in a request")
        name = keys[0] if keys else "id"
        values = parameters.get(name, [""])
        if name == "hash":
            return self._find_by_hash(viewer, values)
        if name == "air":
            return self._find_by_air(viewer, values)
        value = values[0]
        if len(values) != 1 or not (value.isascii() and value.isdigit() and len(value) <= _ID_DIGITS_MAX):
            raise errors.InvalidParameter("id", ",".join(values), _ID_ALLOWED)
        return self.catalog.get(viewer, int(value))

    def _find_by_hash(self, viewer: Viewer, values: list[str]) -> Entry:
        try:
            (digits,) = map(parse_hash, values)
        except ValueError:
            raise errors.InvalidParameter("hash", ",".join(values), _HASH_ALLOWED) from None
        ids = self.catalog.find_by_hash(viewer, [digits])[0].get(digits)
        if not ids:
            raise errors.ModelNotFound(values[0])
        return self.catalog.get(viewer, ids[0])

    def _find_by_air(self, viewer: Viewer, values: list[str]) -> Entry:
        try:
            (name,) = map(air.parse_air, values)
        except ValueError:
            raise errors.InvalidParameter("air", ",".join(values), air.ALLOWED) from None
        try:
            entry = self.catalog.get(viewer, name.version_id)
        except errors.ModelNotFound:
            raise errors.ModelNotFound(values[0]) from None
        if resolve(entry.layers).upstream_model_id != name.model_id or air.air_of(entry.model, name.model_id) is None:
            raise errors.ModelNotFound(values[0])
        return entry

    def _render(self, request: Request, entry: Entry, file: tuple[str, str] | None) -> bytes:
        """Return the model as in the list, with a link to one of its files."""
        link_for = self.links_for(request)
        model = entry.model
        if file is None:
            rendered = wire.render_record(model, self.ttl_seconds)
            return wire.fill_holes(rendered, link_for, self.base_of(request))
        sha256, name = file
        rendered = wire.render_record(replace(model, blob=sha256), self.ttl_seconds)
        return wire.fill_holes(
            rendered, lambda sha256, _label: link_for(sha256, quote(name, safe="")), self.base_of(request)
        )


def _read_check(viewer: Viewer, entry: Entry) -> dict[str, object]:
    is_own = viewer.team is not None and viewer.team == entry.model.team
    detected = entry.layers.get(Layer.HEADER)
    evidence = detected.evidence[0] if detected and detected.evidence else "waiting: not checked yet"
    verdict, _, reason = evidence.partition(": ")
    has_check = is_own or verdict == Verdict.SUSPICIOUS
    declared = details.known_facts(entry.layers.get(Layer.USER))
    # The server notes the date of an edit; nobody declares it.
    declared.pop("updated_at", None)
    return {
        "check": {"verdict": verdict, "reason": reason} if has_check else None,
        "declared": declared,
        "found": details.known_facts(detected),
    }


def name_signature(check: SignatureCheck | None) -> dict[str, object]:
    """Return the fields of a model's signature; none if there is nothing to say."""
    return {"signature": {"verdict": check.verdict, "reason": check.reason, "key": check.key}} if check else {}


def list_files(
    entry: Entry, local_files: Sequence[FileRecord], stored: blobs.Blob | None
) -> list[tuple[str, details.FileRecord]]:
    """Return the files of a model, the best first, each with its SHA-256 in lower case, empty if unknown."""
    facts = resolve(entry.layers) if entry.layers else Facts()
    verdicts = {file.sha256: Verdict(file.verdict) for file in local_files if file.sha256 and file.verdict}
    here = {file.sha256 for file in local_files if file.is_servable}
    if stored is not None:
        verdicts[stored.sha256] = Verdict(stored.verdict)
        here |= {stored.sha256} if stored.is_sound else set()
    own = ModelFile(
        facts.file_name or entry.model.sd_name, None, "Model", facts.size_bytes, is_primary=True, hashes=facts.hashes
    )
    model_files = [*(complete_files(facts) or (own,))]
    hashes = {_sha256_of(file) for file in model_files}
    for local in local_files:
        # A file that a person linked to the version has other hashes.
        if local.sha256 and local.sha256 not in hashes and local.part is None:
            hashes.add(local.sha256)
            local_hashes = Hashes(sha256=local.sha256.upper(), autov3=(local.autov3 or "").upper() or None)
            name = display_path(local.path.rpartition(b"/")[2])
            model_files.append(ModelFile(name, size_bytes=local.size_bytes, hashes=local_hashes))
    return [
        (sha256, details.make_file(file, verdicts.get(sha256), is_here=sha256 in here))
        for file in model_files
        for sha256 in [_sha256_of(file)]
    ]


def _sha256_of(file: ModelFile) -> str:
    return (file.hashes.sha256 or "").lower() if file.hashes else ""


def _select_file(
    entry: Entry, records: list[tuple[str, details.FileRecord]], values: list[str] | None
) -> tuple[str, str] | None:
    """Return SHA-256 and name of the file to link to: the given one, or the best that is here; None: as in the list."""
    here = {sha256: file.name for sha256, file in records if file.is_here}
    if values is not None:
        sha256 = values[0].strip().lower()
        if len(values) != 1 or sha256 not in here:
            raise errors.InvalidParameter("file", ",".join(values), _FILE_ALLOWED)
    else:
        sha256 = next(iter(here), "")
    if not sha256 or sha256 == entry.model.blob:
        return None
    return sha256, here[sha256]


def describe(store: Store, entry: Entry) -> details.DetailsRecord:
    """Return the details of a model as its own team sees them: for the commands of this machine."""
    group = entry.model.version_group
    with store.reading() as connection:
        local_files = files.of_models(connection, [entry.model.id]).get(entry.model.id, [])
        stored = blobs.find(connection, entry.model.blob) if entry.model.blob else None
        versions = version_groups.versions(connection, group, entry.model.team) if group else []
    return details.make_details(entry, [file for _, file in list_files(entry, local_files, stored)], versions)
