"""Offers: where the file of a source is, its hash and size, and what its server says of the model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urljoin

from modelyard import errors
from modelyard.civitai import records
from modelyard.facts import Entry, Facts, Layer, ModelFile, Record, complete_files, resolve
from modelyard.fetches.sources import HubSource, Source, UrlSource, VersionSource
from modelyard.outbound import Answer, Outbound, TemporaryFailure, origin_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REDIRECTS = (301, 302, 303, 307, 308)
# How many times a renamed repository may lead to another one.
_RENAMES_MAX = 3


@dataclass(frozen=True, slots=True)
class Hosts:
    """The servers of the sources that are no addresses."""

    civitai_url: str = "https://civitai.com"
    hub_url: str = "https://huggingface.co"

    @property
    def token_names(self) -> Mapping[str, str]:
        """The name of the token for each server, by origin."""
        return {origin_of(self.civitai_url): "CIVITAI_TOKEN", origin_of(self.hub_url): "HF_TOKEN"}


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that another server offers.

    ``sha256`` is in lower case; it may be the first ten digits only, and is empty if nobody says it. ``page`` is the
    address where people read of the model. ``facts`` are what the server says of it.
    """

    url: str
    sha256: str = ""
    size_bytes: int | None = None
    page: str = ""
    facts: Facts | None = None


def find_offer(source: Source, entry: Entry | None, hosts: Hosts, outbound: Outbound) -> tuple[Offer, Answer | None]:
    """Return the offer of a source, and the answer in which its server refuses it. The caller closes the answer.

    ``entry`` is the listed version, if there is one: then nobody is asked. Raises TemporaryFailure, DownloadFailed.
    """
    match source:
        case UrlSource(url):
            return Offer(url), None
        case HubSource():
            return _ask_hub(source, hosts, outbound)
        case VersionSource() if entry is not None and entry.layers:
            return _offer_of_version(source, resolve(entry.layers), hosts), None
        case VersionSource():
            return _ask_civitai(source, hosts, outbound)


def _offer_of_version(source: VersionSource, facts: Facts, hosts: Hosts) -> Offer:
    file = next(iter(complete_files(facts)), None)
    hashes = (file.hashes if file else None) or facts.hashes
    sha256 = (hashes.sha256 or hashes.short or "").lower() if hashes else ""
    model = source.model_id or facts.upstream_model_id
    page = f"{hosts.civitai_url}/models/{model}?modelVersionId={source.version_id}" if model else ""
    size_bytes = file.size_bytes if file else facts.size_bytes
    url = f"{hosts.civitai_url}/api/download/models/{source.version_id}{_query_of_file(file)}"
    return Offer(url, sha256, size_bytes, page, facts)


def _query_of_file(file: ModelFile | None) -> str:
    """Return what selects a file of a version that is not its primary one."""
    if file is None or file.is_primary:
        return ""
    parts = {"type": file.type, "format": file.format, "size": file.size_kind, "fp": file.precision}
    query = urlencode({name: value for name, value in parts.items() if value})
    return f"?{query}" if query else ""


def _ask_civitai(source: VersionSource, hosts: Hosts, outbound: Outbound) -> tuple[Offer, Answer | None]:
    url = f"{hosts.civitai_url}/api/v1/model-versions/{source.version_id}"
    answer = outbound.open(url, headers={"Accept": "application/json"})
    if answer.status in (401, 403, 404):
        return Offer(url), answer
    with answer:
        answer.refuse_status(200)
        outcomes = [*records.convert(answer.read_json())]
    record = next((item for item in outcomes if isinstance(item, Record) and item.layer is Layer.UPSTREAM), None)
    if record is None:
        raise errors.DownloadFailed(f"{answer.host} says of {source} nothing that has a model file")
    if source.model_id not in (None, record.facts.upstream_model_id):
        raise errors.DownloadFailed(
            f"version {source.version_id} is one of model {record.facts.upstream_model_id}, not of {source.model_id}"
        )
    return _offer_of_version(source, record.facts, hosts), None


def _ask_hub(source: HubSource, hosts: Hosts, outbound: Outbound) -> tuple[Offer, Answer | None]:
    """Ask for the hash and the size of a file. The hub says them before it redirects to its store."""
    path, revision = quote(source.path), quote(source.revision, safe="")
    url = f"{hosts.hub_url}/{source.repository}/resolve/{revision}/{path}"
    page = f"{hosts.hub_url}/{source.repository}"
    for _ in range(_RENAMES_MAX):
        answer = outbound.open(url, method="HEAD", redirects_max=0)
        following = urljoin(url, answer.headers.get("Location") or "")
        has_linked = answer.headers.get("X-Linked-Etag") is not None
        if answer.status in _REDIRECTS and not has_linked and origin_of(following) == origin_of(url):
            answer.close()
            url = following
            continue
        if answer.status not in (200, *_REDIRECTS):
            return Offer(url, page=page), answer
        with answer:
            etag = (answer.headers.get("X-Linked-Etag") or answer.headers.get("ETag") or "").strip().strip('"').lower()
            size = answer.headers.get("X-Linked-Size") or ("" if answer.status != 200 else _length_of(answer))
        sha256 = etag if _SHA256.fullmatch(etag) else ""
        return Offer(url, sha256, int(size) if size.isascii() and size.isdigit() else None, page), None
    raise TemporaryFailure(f"{source.repository} leads from one name to another without end")


def _length_of(answer: Answer) -> str:
    return answer.headers.get("Content-Length") or ""
