"""The page that says which models a picture or a workflow needs, and which of them are here."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from urllib.parse import quote_plus

import msgspec
from starlette.types import Receive

from modelyard import errors, resolution, wire
from modelyard.domain import LIMIT_MAX, ModelQuery, Viewer
from modelyard.fetches import Fetches
from modelyard.resolution import Match
from modelyard.web import sessions
from modelyard.web.bodies import JSON_BYTES_MAX
from modelyard.web.pages.cards import build_title
from modelyard.web.pages.fetches import ORDERS_MAX, make_order
from modelyard.web.pages.forms import is_multipart, parse_form
from modelyard.web.pages.page import PageContext, PageRequest, read_page_request, render_page
from modelyard.web.requests import Request
from modelyard.web.responses import Response
from modelyard.web.workflow_bodies import WorkflowBodies
from modelyard.workflows import BODY_BYTES_MAX, Needs, read_needs

_HOW = {
    "sha256": "by its SHA-256",
    "autov2": "by its AutoV2",
    "autov3": "by its AutoV3",
    "air": "by the id of its version",
    "url": "by its address on Civitai",
    "file_name": "by the name of its file",
    "sd_name": "by its name here",
    "words": "by words of its name",
}
_ACCEPTED_TYPES = ".png,.jpg,.jpeg,.webp,.avif,.json,.txt"
_FORM_BYTES_MAX = JSON_BYTES_MAX - 1024  # of orders; the rest of the form is small
_PROBLEMS = (errors.InvalidRequest, errors.UnsupportedFile, errors.TooLarge)

_decode = msgspec.json.Decoder(wire.ModelRecord).decode


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model of the catalogue that a need may mean. ``has_file``: this server has its file."""

    record: wire.ModelRecord
    title: str
    size_bytes: int | None
    has_file: bool

    @property
    def version(self) -> str:
        """The name of the version, if it says more than the title."""
        return self.record.name if self.record.name != self.title else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One need: its candidates, best first, and in words how they were found."""

    name: str
    directory: str
    url: str
    how: str
    candidates: tuple[Candidate, ...]
    order: str = ""  # the value of a form that has its file fetched; empty if that is not possible


@dataclass(frozen=True, slots=True)
class Sections:
    """The needs in five parts: with a file here, without one that can or cannot be fetched, offered, and missing."""

    here: list[Row]
    fetchable: list[Row]
    listed: list[Row]
    offered: list[Row]
    missing: list[Row]

    @property
    def count(self) -> int:
        """The number of all needs."""
        return sum(map(len, (self.here, self.fetchable, self.listed, self.offered, self.missing)))

    @property
    def orders(self) -> list[str]:
        """What "get all" asks for: each file once, as many as one form takes."""
        orders = list(dict.fromkeys(row.order for row in self.fetchable))[:ORDERS_MAX]
        sizes = accumulate(len(quote_plus(order)) + len("&order=") for order in orders)
        return [order for order, size in zip(orders, sizes, strict=True) if size < _FORM_BYTES_MAX]


class Resolution:
    """Shows the form, and the answer to a file."""

    def __init__(self, context: PageContext, bodies: WorkflowBodies, fetches: Fetches) -> None:
        self._context = context
        self._bodies = bodies
        self._fetches = fetches

    def show(self, page_request: PageRequest) -> Response:
        """Show the form."""
        _check_reader(page_request)
        return _render(page_request)

    async def answer(self, request: Request, receive: Receive) -> Response:
        """Show what the file of the form needs. Refuses visitors who may not read before it reads the body."""
        page_request = read_page_request(self._context, request)
        viewer = _check_reader(page_request)
        sessions.check_same_site(request)
        if not is_multipart(request.headers.get(b"content-type", b"")):
            return _render_problem(page_request, errors.InvalidValue("the form has no file"))
        try:
            async with self._bodies.read(request, receive, JSON_BYTES_MAX) as body:
                answer = partial(self._resolve, page_request, viewer, body)
                return await self._context.heavy_work.run(request, answer)
        except _PROBLEMS as problem:
            return _render_problem(page_request, problem)

    def _resolve(self, page_request: PageRequest, viewer: Viewer, body: bytes) -> Response:
        file = parse_form(page_request.request.headers[b"content-type"], body).file
        if not file:
            raise errors.InvalidValue("Choose a file first.")
        needs = read_needs(file)
        sections = self._sort(viewer, resolution.resolve(self._context.catalog, viewer, needs))
        ids = list(dict.fromkeys(row.candidates[0].record.id for row in sections.here))[:LIMIT_MAX]
        base = self._context.base_of(page_request.request)
        command = f"modelyard pull --url {base} {' '.join(map(str, ids))}" if ids else ""
        return _render(page_request, sections=sections, needs=needs, command=command)

    def _sort(self, viewer: Viewer, matches: Iterable[Match]) -> Sections:
        sections = Sections([], [], [], [], [])
        for match in matches:
            row = self._build_row(viewer, match)
            if match.is_found and row.candidates[0].has_file:
                sections.here.append(row)
            elif row.order:
                sections.fetchable.append(row)
            elif match.is_found:
                sections.listed.append(row)
            else:
                (sections.offered if row.candidates else sections.missing).append(row)
        return sections

    def _build_row(self, viewer: Viewer, match: Match) -> Row:
        """Return the row of a need. Models with a file here come first."""
        candidates = [self._build_candidate(viewer, record) for record in match.records]
        candidates.sort(key=lambda candidate: not candidate.has_file)
        need = match.need
        how, order = _HOW.get(match.how, ""), self._find_order(match)
        return Row(need.name, need.directory or "", need.url or "", how, tuple(candidates), order)

    def _find_order(self, match: Match) -> str:
        """Return the order of a file that this server may fetch, with all that the workflow says of it."""
        source, need = resolution.find_source(match), match.need
        if source is None:
            return ""
        try:
            self._fetches.check(source)
        except errors.InvalidValue:
            return ""
        is_sha256 = need.hash_type in (None, "sha256")
        sha256 = next((digits for digits in need.hashes if len(digits) == 64 and is_sha256), "")
        return make_order(source, sha256, need.name.replace("\\", "/").rpartition("/")[2])

    def _build_candidate(self, viewer: Viewer, body: bytes) -> Candidate:
        record = _decode(wire.fill_holes(body, lambda *_: "file"))
        listed = self._context.catalog.list_models(viewer, ModelQuery(id=record.id, limit=1), is_grouped=False).models
        title = (listed[0].title if listed else "") or build_title(record)
        has_file = record.download_url is not msgspec.UNSET
        return Candidate(record, title, listed[0].size_bytes if listed else None, has_file)


def _check_reader(page_request: PageRequest) -> Viewer:
    """Return the viewer, who may read models. Raises MissingKey or Forbidden."""
    return page_request.reader


def _render_problem(page_request: PageRequest, problem: errors.ModelyardError) -> Response:
    return _render(page_request, problem=problem.message, status=wire.render_error(problem).status)


def _render(
    page_request: PageRequest,
    *,
    sections: Sections | None = None,
    needs: Needs | None = None,
    command: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    return render_page(
        page_request,
        "resolution.html",
        status=status,
        changes_nothing=True,
        sections=sections,
        unknown_nodes=needs.unknown_nodes if needs else (),
        is_truncated=needs is not None and needs.is_truncated,
        command=command,
        problem=problem,
        accepted=_ACCEPTED_TYPES,
        bytes_max=BODY_BYTES_MAX,
    )
