"""Civitai's live list of models → pages of records, with one request at a time.

A run reads ``GET /api/v1/models``, newest first: models that are published meanwhile come before the checkpoint, and
move nothing behind it. Cursors are Civitai's own and opaque; a later run needs nothing else to continue.
This module knows nothing of the catalogue: its caller registers a page's records, and then saves ``following``.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import httpx2
import msgspec

from modelyard import __version__, errors, json_text
from modelyard.civitai import records
from modelyard.domain import Skipped
from modelyard.facts import Record
from modelyard.retry import Retry, RetryPolicy, parse_retry_after

ADDRESS = "https://civitai.com/api/v1"
UNREADABLE_PAGE = "models of a page that cannot be read"
# Civitai's own maximum, and its documented default.
PAGE_MODELS_MAX = 100
# Ten times the largest page of recorded answers (3 MB of 100 models); counted after decompression.
BODY_BYTES_MAX = 32 * 2**20
# All attempts together take about three minutes. If Civitai asks to wait for more than 15 minutes, the import gives up:
# the user can run the command again.
RETRY_POLICY = RetryPolicy(attempts_max=8, wait_seconds_first=1.0, wait_seconds_max=60.0, retry_after_seconds_max=900.0)
_TIMEOUT = httpx2.Timeout(60.0, connect=15.0)
_REDIRECTS_MAX = 5


@dataclass(frozen=True, slots=True)
class CivitaiQuery:
    """Which models to list, as Civitai spells types and base models. ``limit`` is in models, None for all.

    ``nsfw`` is always sent, because Civitai's own default has changed over the years.
    """

    types: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    query: str = ""
    limit: int | None = None
    nsfw: bool = False

    def parameters(self) -> list[tuple[str, str]]:
        """Return the query's parameters, without cursor and page size."""
        parameters = [("types", kind) for kind in self.types] + [("baseModels", base) for base in self.base_models]
        if self.query:
            parameters.append(("query", self.query))
        return [*parameters, ("nsfw", str(self.nsfw).lower()), ("sort", "Newest")]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a run has come: Civitai's cursor, None at the beginning, and the number of models before it."""

    cursor: str | None = None
    models: int = 0


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """The answer of one request. ``following`` is where the next one starts, None after the last."""

    models: int
    outcomes: Sequence[Record | Skipped]
    following: Checkpoint | None


def open_client(address: str = ADDRESS, token: str | None = None) -> httpx2.Client:
    """Return a client for Civitai's API; close it after use.

    The token is sent only in the Authorization header, so no address contains it, and only to this host: the client
    drops the header when it is redirected to another host.
    """
    headers = {"Accept": "application/json", "User-Agent": f"modelyard/{__version__}"}
    if token:
        if not (token.isascii() and token.isprintable()):
            raise errors.ConfigurationError("CIVITAI_TOKEN holds characters that no token has")
        headers["Authorization"] = f"Bearer {token.strip()}"
    try:
        return httpx2.Client(
            base_url=address, headers=headers, timeout=_TIMEOUT, follow_redirects=True, max_redirects=_REDIRECTS_MAX
        )
    except httpx2.InvalidURL as problem:
        raise errors.ConfigurationError(f"{address} is not a URL: {problem}") from None


def pages(
    client: httpx2.Client,
    query: CivitaiQuery,
    start: Checkpoint | None = None,
    *,
    policy: RetryPolicy = RETRY_POLICY,
    on_retry: Callable[[str], object] = lambda _text: None,
) -> Iterator[FetchedPage]:
    """Yield page after page from ``start`` on, to the end or to ``query.limit`` models.

    ``on_retry`` gets a line of text before each wait. Raises Unavailable when Civitai fails ``policy.attempts_max``
    times in a row, and UpstreamRefused when it refuses the query. A page that cannot be read twice is skipped with its
    place, except for the models in it that can be read.
    """
    checkpoint: Checkpoint | None = start or Checkpoint()
    while checkpoint is not None:
        count = PAGE_MODELS_MAX if query.limit is None else min(PAGE_MODELS_MAX, query.limit - checkpoint.models)
        if count <= 0:
            return
        parameters = [*query.parameters(), ("limit", str(count))]
        if checkpoint.cursor is not None:
            parameters.append(("cursor", checkpoint.cursor))
        answer = _ask_with_retries(partial(_ask, client, parameters), policy, on_retry)
        page = _page(answer, checkpoint, query.limit)
        yield page
        if page.following is not None and page.following.cursor == checkpoint.cursor:
            raise errors.Unavailable("Civitai answers with the same page again and again")
        checkpoint = page.following


class _Answer(msgspec.Struct):
    items: list[object]
    metadata: dict[str, object] = {}
    # What could not be read of a damaged page.
    problem: str = ""


def _page(answer: _Answer, start: Checkpoint, limit: int | None) -> FetchedPage:
    outcomes = [outcome for item in answer.items for outcome in records.convert(item)]
    if answer.problem:
        where = f"the page at cursor {start.cursor}" if start.cursor else "the first page"
        outcomes.append(Skipped(where, UNREADABLE_PAGE, answer.problem))
    count = start.models + len(answer.items)
    cursor = answer.metadata.get("nextCursor")
    is_last = cursor in (None, "") or (limit is not None and count >= limit)
    return FetchedPage(len(answer.items), outcomes, None if is_last else Checkpoint(str(cursor), count))


# --- One request -----------------------------------------------------------------------------------------------------


class _TryAgainError(Exception):
    """A temporary failure. ``retry_after`` is the header of the answer; ``body`` is an answer that cannot be read."""

    def __init__(self, problem: str, retry_after: str | None = None, body: bytes = b"") -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        self.body = body


def _ask(client: httpx2.Client, parameters: Sequence[tuple[str, str]]) -> _Answer:
    """Ask once. Raises _TryAgainError for temporary failures, else UpstreamRefused or ConfigurationError."""
    try:
        with client.stream("GET", "/models", params=list(parameters)) as response:
            body = _read(response)
    except httpx2.TooManyRedirects:
        raise errors.UpstreamRefused(f"{client.base_url} redirects without end") from None
    except httpx2.UnsupportedProtocol as problem:
        raise errors.ConfigurationError(f"{client.base_url} cannot be used: {problem}") from None
    except httpx2.RequestError as problem:
        # Refused, unreachable, too slow, cut off, garbled.
        reached = "cannot be reached: " if isinstance(problem, httpx2.ConnectError | httpx2.ConnectTimeout) else ""
        text = f"{client.base_url.host} {reached}{type(problem).__name__}: {problem}"
        raise _TryAgainError(text.rstrip(": ")) from problem
    _raise_for_status(response, body)
    try:
        answer: _Answer = json_text.decode(body, _Answer)
    except (msgspec.DecodeError, RecursionError) as problem:
        # For example the page of a proxy or a robot check, with status 200.
        kind = "HTML" if body.lstrip()[:1] == b"<" else str(problem)
        raise _TryAgainError(f"the answer is not a page of models ({kind})", body=body) from None
    return answer


_CURSOR = re.compile(rb'"nextCursor"\s*:\s*("(?:[^"\\]|\\.)*"|\d+)')
_MODEL = re.compile(r'\{\s*"id"\s*:\s*\d')
_SALVAGE_ATTEMPTS_MAX = 10_000


def _salvage(body: bytes) -> _Answer | None:
    """Return the models that can be read of a page that stays damaged, and where the next page starts.

    Returns None if the page does not say where the next one starts: it may be the answer of another program.
    """
    cursors = _CURSOR.findall(body)
    if not cursors:
        return None
    text = json_text.mend(body).decode()
    decoder, items, position = json.JSONDecoder(), [], 0
    for _ in range(_SALVAGE_ATTEMPTS_MAX):
        match = _MODEL.search(text, position)
        if match is None:
            break
        position = match.start() + 1
        with suppress(ValueError, RecursionError):
            item, end = decoder.raw_decode(text, match.start())
            if "modelVersions" in item:
                items.append(item)
                position = end
    problem = f"{len(items)} of its models could be read"
    return _Answer(items, {"nextCursor": msgspec.json.decode(cursors[-1])}, problem)


def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _TryAgainError(f"the answer is larger than {BODY_BYTES_MAX:,} bytes")
    return bytes(body)


def _raise_for_status(response: httpx2.Response, body: bytes) -> None:
    status = response.status_code
    if status == 200:
        return
    problem = f"status {status}"
    if status in (408, 425, 429) or status >= 500:
        raise _TryAgainError(problem, response.headers.get("Retry-After"))
    if status in (401, 403):
        raise errors.UpstreamRefused(f"Civitai refuses the request ({problem}); is CIVITAI_TOKEN right?")
    raise errors.UpstreamRefused(f"Civitai refuses the query ({problem}): {_shorten(body)}")


def _shorten(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())


# --- Retries ---------------------------------------------------------------------------------------------------------


def _ask_with_retries(ask: Callable[[], _Answer], policy: RetryPolicy, on_retry: Callable[[str], object]) -> _Answer:
    retry = Retry(policy)
    while True:
        try:
            return ask()
        except _TryAgainError as problem:
            text = str(problem)
            # The same damage twice is no accident of the network.
            if retry.failures and (answer := _salvage(problem.body)) is not None:
                return answer
            wait_seconds = parse_retry_after(problem.retry_after, policy.now)
            if wait_seconds is not None and wait_seconds > policy.retry_after_seconds_max:
                raise errors.Unavailable(f"Civitai asks to come back in {wait_seconds:,.0f} seconds") from problem

            def report(seconds: float, text: str = text) -> None:
                on_retry(f"{text}; trying again in {seconds:.0f} s ({retry.failures} of {policy.attempts_max - 1})")

            if not retry.wait(wait_seconds, report):
                raise errors.Unavailable(
                    f"Civitai failed {retry.failures} times in a row, at last: {text}"
                ) from problem


# --- Checkpoints as text ---------------------------------------------------------------------------------------------


class _SavedCheckpoint(msgspec.Struct):
    cursor: str
    models: int


def checkpoint_name(address: str, query: CivitaiQuery) -> str:
    """Return the name under which the checkpoint of a query is saved."""
    parameters = [*sorted(query.parameters()), *([("models", str(query.limit))] if query.limit else [])]
    return f"fetch {address} " + "&".join(f"{name}={value}" for name, value in parameters)


def parse_checkpoint(text: str | None) -> Checkpoint | None:
    """Return the checkpoint that the text holds, None if there is no text or it is damaged."""
    if text is None:
        return None
    try:
        checkpoint = msgspec.json.decode(text, type=_SavedCheckpoint)
    except msgspec.DecodeError:
        return None
    return Checkpoint(checkpoint.cursor, checkpoint.models)


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text to save a checkpoint as."""
    return msgspec.json.encode({"cursor": checkpoint.cursor, "models": checkpoint.models}).decode()
