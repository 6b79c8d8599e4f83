"""Asks the hub behind this server. Its address and its token come from the settings, never from a caller.

The token goes to the hub itself and to no server that it redirects to; ``outbound`` checks every address on the way.
"""

import http.client
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from modelyard import errors
from modelyard.outbound import AddressPolicy, Answer, HostTurns, Limits, Outbound, TemporaryFailure, origin_of
from modelyard.upstream.snapshots import Snapshot, parse_snapshot

log = logging.getLogger(__name__)

DESCRIPTION_BYTES_MAX = 16 * 2**20
# Whole files, and parts of files, that one process asks the hub for at the same time.
FETCHES_MAX, PARTS_MAX = 64, 16
_DESCRIPTION_LIMITS = Limits(seconds_max=30.0, header_seconds=8.0, idle_seconds=8.0, connect_seconds=4.0)
_FILE_LIMITS = Limits(seconds_max=None, header_seconds=15.0, idle_seconds=20.0, connect_seconds=5.0)
# After two failures without an answer between them, the hub is not asked for this long: what is here is answered at
# once. One failure may be that of one repository.
_FAILURES_MAX = 2
_PAUSE_SECONDS = 10.0
_PAUSE_SECONDS_MAX = 300.0
_TEMPORARY_STATUSES = frozenset({408, 425, 500, 502, 503, 504})
_NO_COMMIT = "0" * 40


class UpstreamClient:
    """The hub at one address. Threads may share it."""

    def __init__(
        self, address: str, token: str, policy: AddressPolicy, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        tokens = {origin_of(address): token} if token else {}
        self.address = address
        self._clock = clock
        # Downloads of large files must not keep descriptions waiting, so each has turns of its own.
        self._descriptions = Outbound(policy, tokens, HostTurns(8))
        # Whole files and parts have limits by caller, so that nobody waits for a turn that another caller has.
        self._files = Outbound(policy, tokens, HostTurns(FETCHES_MAX + PARTS_MAX))
        self._failures = 0
        self._pause: tuple[float, errors.ModelyardError] = (float("-inf"), errors.Unavailable("not asked yet"))

    def describe(self, repository: str, revision: str) -> Snapshot:
        """Return a repository at a revision.

        Raises RepositoryNotFound, RevisionNotFound or RepositoryGated as the hub says it, RateLimited or Unavailable
        for failures that pass, and UpstreamFailed for answers that cannot be used.
        """
        url = f"{self.address}/api/models/{quote(repository)}/revision/{quote(revision, safe='')}?blobs=true"
        with _translate_failures(), self._pausing(), self._descriptions.open(url, limits=_DESCRIPTION_LIMITS) as answer:
            if answer.status != 200:
                raise _refusal(answer, repository, revision=revision)
            return parse_snapshot(answer.read_json(DESCRIPTION_BYTES_MAX), repository)

    def open_file(self, repository: str, commit: str, path: str, first: int = 0, last: int | None = None) -> Answer:
        """Return the answer with a file, or with the bytes from ``first`` to ``last``. The caller closes it."""
        url = f"{self.address}/{quote(repository)}/resolve/{commit}/{quote(path)}"
        is_range = first > 0 or last is not None
        headers = {"Range": f"bytes={first}-{'' if last is None else last}"} if is_range else {}
        with _translate_failures(), self._pausing_when_limited():
            answer = self._files.open(url, headers=headers, limits=_FILE_LIMITS)
            if answer.status == 200 or (is_range and answer.status == 206):
                return answer
            with answer:
                raise _refusal(answer, repository, path=path, commit=commit)

    @contextmanager
    def _pausing(self) -> Iterator[None]:
        """Leave the hub alone for a while when it does not answer, so that what is here is served at once."""
        until, problem = self._pause
        if self._clock() < until:
            raise problem
        try:
            with self._pausing_when_limited():
                yield
        except TemporaryFailure as problem:
            self._failures += 1
            if self._failures >= _FAILURES_MAX:
                self._pause = self._clock() + _PAUSE_SECONDS, problem
            log.warning("the hub does not answer, what is here is served: %s", problem.message)
            raise
        except errors.ModelyardError:
            self._failures = 0
            raise
        self._failures = 0

    @contextmanager
    def _pausing_when_limited(self) -> Iterator[None]:
        """Leave the hub alone for as long as it asks for."""
        try:
            yield
        except errors.RateLimited as problem:
            self._pause = self._clock() + min(problem.retry_after_seconds, _PAUSE_SECONDS_MAX), problem
            log.warning("the hub limits our requests, not asked for %d seconds", problem.retry_after_seconds)
            raise


@contextmanager
def _translate_failures() -> Iterator[None]:
    try:
        yield
    except TemporaryFailure as problem:
        raise errors.Unavailable(f"the hub behind this server does not answer: {problem.message}") from None
    except (errors.DownloadFailed, errors.TooLarge) as problem:
        log.warning("the hub answers with something that cannot be used: %s", problem.message)
        raise errors.UpstreamFailed(f"the hub behind this server cannot be used: {problem.message}") from None


def _refusal(
    answer: Answer, repository: str, *, revision: str = "main", path: str | None = None, commit: str = _NO_COMMIT
) -> errors.ModelyardError:
    """Return our error for a refusal of the hub. Its own words are a stranger's: no caller gets them."""
    status, code = answer.status, answer.headers.get("X-Error-Code", "")
    if status == http.client.TOO_MANY_REQUESTS:
        return errors.RateLimited(max(1, round(answer.retry_after_seconds or 30)))
    if status in _TEMPORARY_STATUSES:
        return errors.Unavailable(f"the hub behind this server answers with status {status}")
    if status == 401 and "Invalid credentials" in answer.headers.get("X-Error-Message", ""):
        log.error("the hub refuses the token of this server; set HF_TOKEN to a valid one")
        return errors.UpstreamFailed("the hub behind this server refuses this server's token")
    if code == "GatedRepo" or status in (403, 451):
        return errors.RepositoryGated(repository, "the hub gives it only to those who accepted its terms")
    if code == "RevisionNotFound":
        return errors.RevisionNotFound(revision, commit)
    if path is not None and (code == "EntryNotFound" or status == 404):
        return errors.EntryNotFound(path, commit)
    if status in (401, 404, 410):
        return errors.RepositoryNotFound(repository)
    return errors.UpstreamFailed(f"the hub behind this server answers with status {status}")
