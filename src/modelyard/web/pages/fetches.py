"""The page of a team's fetches: how far each is, buttons to cancel them, and a form to ask for others.

An order is the value of a form that asks for one file: its source, and the hash and the name that are expected.
resolution.py makes the orders of a workflow.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from modelyard import errors, wire
from modelyard.domain import FILE_EXTENSIONS, Scope, Viewer, split_extension
from modelyard.fetches import Fetches
from modelyard.fetches.fetches import FetchRequest, describe_state
from modelyard.fetches.sources import Source, describe_source, parse_source
from modelyard.registry.models import writing_team
from modelyard.store.fetches import CANCELLED, OPEN, Fetch
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page, render_part
from modelyard.web.pages.templates import format_size, render
from modelyard.web.responses import Response

PATH = "/fetches"
# Files of one form: as many fetches as a team may have open by default.
ORDERS_MAX = 100
_PROBLEMS = (errors.InvalidRequest, errors.Conflict, errors.NotFound, errors.TooManyUploads)
_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Row:
    """A fetch in words. ``size_bytes`` is None until it is known; ``is_open``: it can be cancelled."""

    id: str
    source: str
    model_id: int | None
    state: str
    text: str
    received_bytes: int
    size_bytes: int | None
    is_open: bool


def make_order(source: Source, sha256: str = "", file_name: str = "") -> str:
    """Return the order of a file."""
    return urlencode({"source": str(source), "sha256": sha256, "file": file_name})


@dataclass(frozen=True, slots=True)
class FetchPages:
    """Answers the routes."""

    context: PageContext
    fetches: Fetches

    def show(self, page_request: PageRequest) -> Response:
        """Show the newest fetches of the team."""
        return self._render(page_request)

    def show_rows(self, page_request: PageRequest) -> Response:
        """Show the list alone, for the page's script."""
        rows = self._list_rows(page_request)
        return render_part(render("fetch_list.html", page_request=page_request, rows=rows))

    def add(self, page_request: PageRequest) -> Response:
        """Ask for the files of a form. Says which of them the server does not fetch, and why."""
        viewer = page_request.require_session(Scope.WRITE).viewer
        orders = _read_orders(page_request)
        problems: list[tuple[str, str]] = []
        status = 200
        for order in orders:
            try:
                self.fetches.add(_parse_order(viewer, order))
            except _PROBLEMS as problem:
                problems.append((describe_source(order.get("source", "")), problem.message))
                status = wire.render_error(problem).status
        if not problems:
            return redirect(PATH)
        return self._render(page_request, problems, status if len(problems) == len(orders) else 200)

    def cancel(self, page_request: PageRequest) -> Response:
        """Cancel a fetch of the team. One that has ended meanwhile stays as it is, and the list says so."""
        try:
            self.fetches.cancel(_team_of(page_request), page_request.request.path_parameters["upload"])
        except errors.UploadComplete:
            return redirect(PATH)
        return redirect(PATH)

    def _list_rows(self, page_request: PageRequest) -> list[Row]:
        return [_build_row(fetch) for fetch in self.fetches.list(_team_of(page_request))]

    def _render(
        self, page_request: PageRequest, problems: Iterable[tuple[str, str]] = (), status: int = 200
    ) -> Response:
        rows = self._list_rows(page_request)
        return render_page(page_request, "fetches.html", status=status, rows=rows, problems=problems)


def _team_of(page_request: PageRequest) -> str:
    team = page_request.require_session(Scope.WRITE).viewer.team
    if team is None:
        raise errors.MissingKey
    return team


def _read_orders(page_request: PageRequest) -> list[dict[str, str]]:
    """Return the orders of a form, and the source that somebody wrote. Raises InvalidValue if there is neither."""
    try:
        texts = dict.fromkeys(page_request.form.get("order", [])[:ORDERS_MAX])
        orders = [dict(parse_qsl(text, max_num_fields=3)) for text in texts]
    except ValueError:
        raise errors.InvalidValue("the form cannot be read") from None
    if text := page_request.read_field("source"):
        orders.append({"source": text})
    return orders or [{}]


def _parse_order(viewer: Viewer, order: dict[str, str]) -> FetchRequest:
    source = parse_source(order.get("source", ""))
    sha256, file_name = order.get("sha256", ""), order.get("file", "")
    metadata = {"filename": file_name} if split_extension(file_name)[1].lower() in FILE_EXTENSIONS else None
    is_sha256 = len(sha256) == 64 and _DIGITS.issuperset(sha256)
    return FetchRequest(
        source,
        writing_team(viewer),
        metadata,
        sha256=sha256 if is_sha256 else None,
        key_fingerprint=viewer.key_fingerprint,
    )


def _build_row(fetch: Fetch) -> Row:
    state = describe_state(fetch)
    model_id = None if fetch.state == CANCELLED else fetch.model_id
    text, is_open = _describe(fetch, state), fetch.state == OPEN
    source = describe_source(fetch.source)
    return Row(fetch.id, source, model_id, state, text, fetch.received_bytes, fetch.size_bytes, is_open)


def _describe(fetch: Fetch, state: str) -> str:
    problem = f": {fetch.problem}" if fetch.problem else ""
    if state == "receiving":
        size_bytes = fetch.size_bytes or 1
        percent = 100 * fetch.received_bytes // size_bytes
        return f"{percent} %, {format_size(fetch.received_bytes)} of {format_size(size_bytes)}{problem}."
    if state == "failed":
        return f"Failed: {fetch.problem}."
    texts = {"verifying": "The server checks the file.", "done": "Done.", "cancelled": "Cancelled."}
    return texts.get(state, f"Waiting{problem}.")
