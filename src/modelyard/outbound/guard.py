"""The guard: every request is checked, also after each redirect, and every token goes to its own server only."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import TypeVar
from urllib.parse import urljoin

from modelyard import __version__, errors
from modelyard.outbound import connection
from modelyard.outbound.addresses import AddressPolicy, UnknownHost, origin_of, parse_url
from modelyard.outbound.connection import Answer, Limits, TemporaryFailure
from modelyard.outbound.turns import HostTurns
from modelyard.retry import Retry, RetryPolicy

REDIRECTS_MAX = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Headers that may carry a secret of the caller; another server does not get them.
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outbound:
    """Makes requests to other servers. Threads may share it. No proxy and no cookie is used.

    ``tokens`` are secrets by origin, as ``origin_of`` spells it. A server gets its own token, and no other server does,
    whatever redirects to it.
    """

    policy: AddressPolicy = field(default_factory=AddressPolicy)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    turns: HostTurns = field(default_factory=HostTurns)

    def has_token(self, url: str) -> bool:
        """Whether the server of a URL gets a token."""
        return origin_of(url) in self.tokens

    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limits: Limits | None = None,
        redirects_max: int = REDIRECTS_MAX,
    ) -> Answer:
        """Make a request, follow redirects, and return the answer, whatever its status is. The caller closes it.

        With ``redirects_max=0`` a redirect is an answer too. A request with a body is never repeated elsewhere.
        Raises TemporaryFailure for failures that may pass, AddressRefused or DownloadFailed for others.
        """
        headers = dict(headers or {})
        for _ in range(redirects_max + 1):
            answer = self._ask(method, url, headers, body, limits or Limits())
            if answer.status not in _REDIRECTS or redirects_max == 0:
                return answer
            with answer:
                following = _join(url, answer.headers.get("Location") or "about:blank")
            if body is not None:
                raise errors.DownloadFailed(f"{answer.host} redirects a {method} request; the address has to be exact")
            if url.startswith("https:") and not following.startswith("https:"):
                raise errors.AddressRefused("the address redirects from https to something less")
            if origin_of(following) != origin_of(url):
                headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
            url = following
        raise errors.DownloadFailed(f"the address redirects more than {redirects_max} times")

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, limits: Limits) -> Answer:
        parsed = self.policy.check_url(url)
        with ExitStack() as resources:
            resources.enter_context(self.turns.turn(parsed.hostname or ""))
            addresses = self._find_addresses(url, limits.lookup_seconds)
            answer = connection.request(method, url, addresses, self._headers(url, headers), body, limits)
            answer.on_close(resources.pop_all().close)
            return answer

    def _find_addresses(self, url: str, seconds: float) -> list[str]:
        """Return the addresses of a host. The system's resolver has no limit of its own, so a thread asks it."""
        lookup: Future[list[str]] = Future()

        def look_up() -> None:
            try:
                lookup.set_result(self.policy.find_addresses(url))
            except Exception as problem:
                lookup.set_exception(problem)

        Thread(target=look_up, daemon=True).start()
        try:
            return lookup.result(seconds)
        except UnknownHost as problem:
            raise TemporaryFailure(problem.message) from None
        except TimeoutError:
            host = parse_url(url).hostname or ""
            raise TemporaryFailure(f"the address of {host[:100]!r} is not known after {seconds:.0f} seconds") from None

    def _headers(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        own = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": f"modelyard/{__version__}",
            "Connection": "close",
        }
        token = self.tokens.get(origin_of(url))
        if token is not None:
            own["Authorization"] = f"Bearer {token}"
        return own | dict(headers)


def _join(url: str, location: str) -> str:
    """Return the URL that a redirect leads to; one that nobody accepts if it is no URL."""
    try:
        return urljoin(url, location)
    except ValueError:  # a bracket that is not closed
        return "about:blank"


def with_retries(
    attempt: Callable[[], Result],
    policy: RetryPolicy,
    on_wait: Callable[[TemporaryFailure, float], object] = lambda _problem, _seconds: None,
) -> Result:
    """Return the result of an attempt; after a TemporaryFailure wait and try again, as often as the policy says."""
    retry = Retry(policy)
    while True:
        try:
            return attempt()
        except TemporaryFailure as problem:
            if not retry.wait(problem.after_seconds, partial(on_wait, problem)):
                raise
