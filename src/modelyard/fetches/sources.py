"""Sources of files: what people write, parsed.

civitai:4476@5067 · civitai:5067 · urn:air:sdxl:lora:civitai:4476@5067 · a page of civitai.com
hub:owner/repository@revision:path · a page or file of huggingface.co
https://…
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from modelyard import errors
from modelyard.domain import FILE_EXTENSIONS, split_extension
from modelyard.outbound import parse_url
from modelyard.wire.air import parse_air

URL_CHARS_MAX = 4096
_USER = re.compile(r"^(\s*[A-Za-z][A-Za-z0-9+.-]*://)[^/]*@")
_CIVITAI = re.compile(r"civitai:(?:(?P<model>[0-9]{1,15})@)?(?P<version>[0-9]{1,15})", re.ASCII)
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
_HUB = re.compile(
    rf"(?:hub:|hf:)?(?P<repository>{_NAME}/{_NAME})(?:@(?P<revision>[A-Za-z0-9_./-]{{1,100}}))?:(?P<path>[^:?#]{{1,500}})",
    re.ASCII,
)
_HUB_PAGE = re.compile(
    rf"/(?P<repository>{_NAME}/{_NAME})/(?:blob|resolve)/(?P<revision>[^/]{{1,100}})/(?P<path>.{{1,500}})"
)
_CIVITAI_HOSTS = frozenset({"civitai.com", "www.civitai.com"})
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
AIR_ALLOWED = "urn:air:…:civitai:<model>@<version>, or civitai:<model>@<version>"
HUB_ALLOWED = "<owner>/<repository>[@<revision>]:<path of a file>"
_ALLOWED = f"{AIR_ALLOWED}; hub:{HUB_ALLOWED}; https://…"


@dataclass(frozen=True, slots=True)
class VersionSource:
    """A version of Civitai."""

    version_id: int
    model_id: int | None = None

    def __str__(self) -> str:
        return f"civitai:{self.version_id}" if self.model_id is None else f"civitai:{self.model_id}@{self.version_id}"

    @property
    def label(self) -> str:
        """A name for the file until a better one is here."""
        return ""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file of a repository on a hub."""

    repository: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hub:{self.repository}@{self.revision}:{self.path}"

    @property
    def label(self) -> str:
        """A name for the file until a better one is here."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class UrlSource:
    """An address."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def label(self) -> str:
        """A name for the file until a better one is here."""
        return unquote(PurePosixPath(urlsplit(self.url).path).name)


Source = VersionSource | HubSource | UrlSource


def parse_source(text: str) -> Source:
    """Return the source that a text names. Raises InvalidValue."""
    text = text.strip()
    if "://" in text:
        return parse_url_source(text)
    if text.lower().startswith(("civitai:", "urn:", "air:")):
        return parse_air_source(text)
    return parse_hub_source(text, "source", _ALLOWED)


def parse_air_source(text: str) -> VersionSource:
    """Return the version that an AIR, or its end, names. Raises InvalidValue."""
    match = _CIVITAI.fullmatch(text.strip().lower())
    if match is not None:
        return VersionSource(int(match["version"]), int(match["model"]) if match["model"] else None)
    try:
        air = parse_air(text)
    except ValueError:
        raise _refuse("air", text, AIR_ALLOWED) from None
    return VersionSource(air.version_id, air.model_id)


def parse_hub_source(text: str, field: str = "hub", allowed: str = HUB_ALLOWED) -> HubSource:
    """Return the file of a hub that a text names. Raises InvalidValue."""
    match = _HUB.fullmatch(text.strip())
    if match is None:
        raise _refuse(field, text, allowed)
    return _hub_source(match, field, text)


def parse_url_source(url: str) -> Source:
    """Return the source of a URL. A page of Civitai or of the Hugging Face Hub stands for its file."""
    if len(url) > URL_CHARS_MAX:
        raise errors.InvalidValue(
            f"source_url: {len(url):,} characters; accepted: up to {URL_CHARS_MAX:,}", field="source_url"
        )
    try:
        parsed = parse_url(url)
    except errors.AddressRefused as problem:
        raise errors.InvalidValue(f"source_url: {problem.message}", field="source_url") from None
    host, path, query = parsed.hostname, parsed.path, parse_qs(parsed.query)
    if host in _CIVITAI_HOSTS:
        version = re.fullmatch(r"/api/download/models/([0-9]{1,15})", path)
        if version is not None and not query.keys() - {"token"}:
            return VersionSource(int(version[1]))
        version_id = query.get("modelVersionId", [""])[0]
        if path.startswith("/models/") and re.fullmatch(r"[0-9]{1,15}", version_id):
            return VersionSource(int(version_id))
        if path.startswith("/models/"):
            raise errors.InvalidValue(
                "source_url: this page has several versions; accepted: a version, such as civitai:5067",
                field="source_url",
            )
    page = _HUB_PAGE.fullmatch(unquote(path)) if host in _HUB_HOSTS else None
    return UrlSource(url) if page is None else _hub_source(page, "source_url", url)


def describe_source(text: str) -> str:
    """Return a source without what may be secret: the user name, the password and the query of a URL."""
    return _USER.sub(r"\1", text.split("?", 1)[0].split("#", 1)[0])[:300]


def label_of(source: Source) -> str:
    """Return a file name for a source; empty if it names none that a model file may have."""
    label = source.label
    return label if split_extension(label)[1].lower() in FILE_EXTENSIONS else ""


def _hub_source(match: re.Match[str], field: str, text: str) -> HubSource:
    path = match["path"]
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or not path.isprintable() or any(part in ("..", ".") for part in parts):
        raise _refuse(field, text, HUB_ALLOWED)
    revision = match["revision"] or "main"
    if ".." in revision:
        raise _refuse(field, text, HUB_ALLOWED)
    return HubSource(match["repository"], revision, path)


def _refuse(field: str, text: str, allowed: str) -> errors.InvalidValue:
    short = describe_source(text)[:64]
    return errors.InvalidValue(
        f"{field}: {short!r} is not accepted; accepted: {allowed}", field=field, given=short, allowed=allowed
    )
