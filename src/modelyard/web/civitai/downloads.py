"""``/api/download/models/{id}``: a redirect to the signed link of one of a version's files."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.web.api.files import Downloads
from modelyard.web.auth import ViewerOf
from modelyard.web.civitai.lookups import read_id
from modelyard.web.civitai.parameters import Parameters, read_query, read_text
from modelyard.web.civitai.versions import Version, Versions
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response
from modelyard.web.urls import LinksFor
from modelyard.wire.details import FileRecord

# A parameter, and the field of a file that it chooses by.
_CHOICES = {"type": "type", "format": "format", "size": "size_kind", "fp": "precision"}


@dataclass(frozen=True, slots=True)
class CivitaiDownloads:
    """The handler of the route. It runs in a thread, because it asks the database."""

    versions: Versions
    downloads: Downloads
    viewer_of: ViewerOf
    links_for: LinksFor

    def get(self, request: Request) -> Response:
        """Redirect to a file of the version. Raises ModelNotFound, NotFound, FileGone and SuspiciousFile."""
        viewer = self.viewer_of(request)
        version = self.versions.find(viewer, read_id(request))
        file = _choose(version, read_query(request))
        sha256 = file.hashes["sha256"].lower()
        label = quote(version.model.sd_name if sha256 == version.model.blob else file.name, safe="")
        self._check(viewer, sha256, label)
        location = self.links_for(request)(sha256, label)
        return Response(b"", headers=((b"location", location.encode()),), status=307, caching=UNSTORED)

    def _check(self, viewer: Viewer, sha256: str, label: str) -> None:
        """Raise the error now that the link would answer: clients show what this route says."""
        now = self.downloads.store.now()
        self.downloads.find(viewer, sha256, label, int(now) + 60, now)


def _choose(version: Version, parameters: Parameters) -> FileRecord:
    """Return the best file that is here and has what the query asks for. Raises NotFound, InvalidParameter."""
    here = [file for file in version.files if file.is_here and file.hashes.get("sha256")]
    if not here:
        raise errors.NotFound(f"this server has no file of {version.model.sd_name!r}", model=version.model.sd_name)
    for name, field in _CHOICES.items():
        if text := read_text(parameters, name):
            here = _narrow(here, name, field, text)
    return here[0]


def _narrow(here: Sequence[FileRecord], name: str, field: str, text: str) -> list[FileRecord]:
    matches = [file for file in here if str(getattr(file, field) or "").casefold() == text.casefold()]
    if not matches:
        values = sorted({str(getattr(file, field)) for file in here if getattr(file, field)})
        raise errors.InvalidParameter(name, text, values or "nothing: no file of this version says")
    return matches
