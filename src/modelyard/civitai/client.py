"""Civitai's live list of models → pages of records: asked for politely, one request at a time, and resumably.

A walk is over ``GET /api/v1/models``, newest first: what is published meanwhile comes before the place already reached,
and moves nothing behind it. Cursors are Civitai's own and opaque; they are all that a later run needs to go on.
Knows nothing of the catalogue: whoever registers a page's records saves the page's ``following`` after that.
"""

import email.utils
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial

import httpx2
import msgspec

from modelyard import __version__, errors
from modelyard.civitai import records
from modelyard.domain import Record, Skipped

ADDRESS = "https://civitai.com/api/v1"
# Civitai's own maximum, and its documented default.
PAGE_MODELS_MAX = 100
# Ten times the largest page of recorded answers (3 MB of 100 models); counted after decompression.
BODY_BYTES_MAX = 32 * 2**20
ATTEMPTS_MAX = 8
# Waiting doubles from one second on; together the attempts last some three minutes.
_WAIT_SECONDS_FIRST = 1.0
_WAIT_SECONDS_MAX = 60.0
# Who is told to come back later than this is better told to run the command again.
_RETRY_AFTER_SECONDS_MAX = 900.0
_TIMEOUT = httpx2.Timeout(60.0, connect=15.0)
_REDIRECTS_MAX = 5


@dataclass(frozen=True, slots=True)
class CivitaiQuery:
    """Which models to walk over, as Civitai spells types and base models. ``limit`` is in models, None for all."""

    types: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    query: str = ""
    limit: int | None = None

    def parameters(self) -> list[tuple[str, str]]:
        """Return the query's parameters, without place and page size."""
        given = [("types", kind) for kind in self.types] + [("baseModels", base) for base in self.base_models]
        if self.query:
            given.append(("query", self.query))
        return [*given, ("sort", "Newest")]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a walk has come: Civitai's cursor, None at the beginning, and how many models lie before it."""

    cursor: str | None = None
    models: int = 0


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """What one request brought. ``following`` is where the next one begins, None after the last."""

    models: int
    outcomes: Sequence[Record | Skipped]
    following: Checkpoint | None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What waiting depends on, so that tests need not wait."""

    sleep: Callable[[float], object] = time.sleep
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    tell: Callable[[str], object] = field(default=str)


def open_client(address: str = ADDRESS, token: str | None = None) -> httpx2.Client:
    """Return a client for Civitai's API; close it after use.

    The token is sent in the Authorization header only, so that no address holds it, and only to this host: the client
    drops the header when it is redirected to another one.
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
        raise errors.ConfigurationError(f"{address} is no address: {problem}") from None


def pages(
    client: httpx2.Client, wanted: CivitaiQuery, start: Checkpoint | None = None, patience: RetryPolicy | None = None
) -> Iterator[FetchedPage]:
    """Yield page after page from ``start`` on, until there is no more or ``wanted.limit`` models are told of.

    Raises Unavailable when Civitai fails ATTEMPTS_MAX times in a row, and UpstreamRefused when it refuses the
    request.
    """
    place: Checkpoint | None = start or Checkpoint()
    patience = patience or RetryPolicy()
    while place is not None:
        left = PAGE_MODELS_MAX if wanted.limit is None else min(PAGE_MODELS_MAX, wanted.limit - place.models)
        if left <= 0:
            return
        parameters = [*wanted.parameters(), ("limit", str(left))]
        if place.cursor is not None:
            parameters.append(("cursor", place.cursor))
        answer = _patiently(partial(_ask, client, parameters), patience)
        page = _page(answer, place, wanted.limit)
        yield page
        if page.following is not None and page.following.cursor == place.cursor:
            raise errors.Unavailable("Civitai answers the same page again and again")
        place = page.following


class _Answer(msgspec.Struct):
    items: list[object]
    metadata: dict[str, object] = {}


def _page(answer: _Answer, place: Checkpoint, limit: int | None) -> FetchedPage:
    outcomes = [outcome for item in answer.items for outcome in records.convert(item)]
    reached = place.models + len(answer.items)
    cursor = answer.metadata.get("nextCursor")
    is_last = cursor in (None, "") or (limit is not None and reached >= limit)
    return FetchedPage(len(answer.items), outcomes, None if is_last else Checkpoint(str(cursor), reached))


# --- One request -----------------------------------------------------------------------------------------------------


class _TryAgainError(Exception):
    """A failure that may pass. ``after_seconds`` is what the server asked to wait, None if it did not say."""

    def __init__(self, problem: str, after: str | None = None) -> None:
        super().__init__(problem)
        self.after = after


def _ask(client: httpx2.Client, parameters: Sequence[tuple[str, str]]) -> _Answer:
    """Ask once. Raises _TryAgainError for a failure that may pass, else UpstreamRefused or ConfigurationError."""
    try:
        with client.stream("GET", "/models", params=list(parameters)) as response:
            body = _read(response)
    except httpx2.TooManyRedirects:
        raise errors.UpstreamRefused(f"{client.base_url} redirects without end") from None
    except httpx2.UnsupportedProtocol as problem:
        raise errors.ConfigurationError(f"{client.base_url} cannot be asked: {problem}") from None
    except httpx2.RequestError as problem:
        # Refused, unreachable, too slow, cut off in the middle, garbled on the way.
        raise _TryAgainError(f"{type(problem).__name__}: {problem}".rstrip(": ")) from problem
    _judge(response, body)
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        # Also the page of a proxy or a robot check, sent with status 200.
        kind = "HTML" if body.lstrip()[:1] == b"<" else str(problem)
        raise _TryAgainError(f"the answer is not a page of models ({kind})") from None


def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _TryAgainError(f"the answer is larger than {BODY_BYTES_MAX:,} bytes")
    return bytes(body)


def _judge(response: httpx2.Response, body: bytes) -> None:
    status = response.status_code
    if status == 200:
        return
    problem = f"status {status}"
    if status in (408, 425, 429) or status >= 500:
        raise _TryAgainError(problem, response.headers.get("Retry-After"))
    if status in (401, 403):
        raise errors.UpstreamRefused(f"Civitai refuses the request ({problem}); is CIVITAI_TOKEN right?")
    raise errors.UpstreamRefused(f"Civitai refuses the question ({problem}): {_shown(body)}")


def _shown(body: bytes) -> str:
    return " ".join(body[:300].decode(errors="replace").split())


# --- Patience --------------------------------------------------------------------------------------------------------


def _patiently(ask: Callable[[], _Answer], patience: RetryPolicy) -> _Answer:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return ask()
        except _TryAgainError as problem:
            if attempt == ATTEMPTS_MAX:
                raise errors.Unavailable(f"Civitai failed {attempt} times in a row, at last: {problem}") from problem
            wait_seconds = _wait_seconds(attempt, problem.after, patience)
            patience.tell(f"{problem}; trying again in {wait_seconds:.0f} s ({attempt} of {ATTEMPTS_MAX - 1})")
            patience.sleep(wait_seconds)
    raise AssertionError("the last attempt returns or raises")


def _wait_seconds(attempt: int, after: str | None, patience: RetryPolicy) -> float:
    """Return how long to wait: as the server asks, else doubling, with jitter so that no two walks stay in step."""
    asked_seconds = _retry_after_seconds(after, patience.now())
    if asked_seconds is not None:
        if asked_seconds > _RETRY_AFTER_SECONDS_MAX:
            raise errors.Unavailable(f"Civitai asks to come back in {asked_seconds:,.0f} seconds")
        return asked_seconds
    longest_seconds = min(_WAIT_SECONDS_MAX, _WAIT_SECONDS_FIRST * 2.0 ** (attempt - 1))
    return longest_seconds * (0.5 + 0.5 * patience.chance())


def _retry_after_seconds(text: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header means, as a number or a date; None for neither."""
    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)


# --- Places as text --------------------------------------------------------------------------------------------------


class _Saved(msgspec.Struct):
    cursor: str
    models: int


def note_name(address: str, wanted: CivitaiQuery) -> str:
    """Return the name under which a walk's place is saved: the same walk goes on, another one begins anew."""
    asked = [*sorted(wanted.parameters()), *([("models", str(wanted.limit))] if wanted.limit else [])]
    return f"fetch {address} " + "&".join(f"{name}={value}" for name, value in asked)


def saved_place(text: str | None) -> Checkpoint | None:
    """Return the place that was saved; None where there is none that can be read, which begins anew."""
    if text is None:
        return None
    try:
        saved = msgspec.json.decode(text, type=_Saved)
    except msgspec.DecodeError:
        return None
    return Checkpoint(saved.cursor, saved.models)


def place_text(place: Checkpoint) -> str:
    """Return the text to save a place as."""
    return msgspec.json.encode({"cursor": place.cursor, "models": place.models}).decode()
