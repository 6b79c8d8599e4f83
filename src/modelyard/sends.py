"""Sends: a generator of the setting ``targets`` fetches a model's file from here. A team asks, a job does it.

    asked for: a row and a job → the generator takes the file: its task → asked how far it is → done, or the reason

Each run of the job is one short step, so a send goes on after a restart and holds up no other. A generator that cannot
be reached is tried again; one that has the request and does not answer is not, because it may fetch the file already.
People see the name of a generator, and never its address or the link.
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from modelyard import errors, targets
from modelyard.catalog import may_see
from modelyard.domain import Scope, Verdict, Viewer
from modelyard.outbound import AddressPolicy, Outbound, TemporaryFailure, origin_of
from modelyard.registry.models import writing_team
from modelyard.retry import RetryPolicy
from modelyard.store import Store, WriteTransaction, blobs, jobs, sends
from modelyard.store.sends import DONE, FAILED, OPEN, Send
from modelyard.targets import Delivery, Shipment, State, Target

# How long a link is good: longer than any transfer. A send that is older has failed.
LINK_SECONDS = targets.LINK_SECONDS_MIN
# What one team may have open, and ask for at once.
OPEN_MAX = 500
_KEEP_SECONDS = 30 * 86_400
_POLL_SECONDS = 2.0
# Twenty minutes: a generator may restart meanwhile.
RETRY_POLICY = RetryPolicy(
    attempts_max=25, wait_seconds_first=2.0, wait_seconds_max=60.0, retry_after_seconds_max=300.0
)
_REFUSALS = (errors.UpstreamRefused, errors.DownloadFailed, errors.TooLarge)

# (address of this server, SHA-256, percent-encoded label, fingerprint of a key) → link
LinkFor = Callable[[str, str, str, str], str]

log = logging.getLogger(__name__)


class Sends:
    """The sends of one store. Threads may share it."""

    def __init__(self, store: Store, generators: Mapping[str, Target], *, serves_suspicious: bool = False) -> None:
        """Take the generators by their names."""
        self._store = store
        self._generators = generators
        self._serves_suspicious = serves_suspicious

    @property
    def target_names(self) -> list[str]:
        """The names of the generators that teams may send models to."""
        return [*self._generators]

    def add(self, viewer: Viewer, target: str, model_ids: Sequence[int], base: str) -> list[Send]:
        """Have a generator fetch the files of models from ``base``, the address of this server.

        A model that is on its way there is not sent twice. Raises ModelNotFound, ModelFileMissing, SuspiciousFile.
        """
        team = writing_team(viewer)
        if target not in self._generators:
            accepted = ", ".join(self._generators) or "none, because the setting targets is empty"
            raise errors.InvalidValue(f"target: {target[:64]!r} is not accepted; accepted: {accepted}", field="target")
        if not viewer.may(Scope.READ):
            raise errors.Forbidden(Scope.READ)  # the link is for this key
        with self._store.transaction() as transaction:
            connection = transaction.connection
            sends.remove_ended(connection, transaction.now - _KEEP_SECONDS)
            in_progress = sends.open_of_team(connection, team)
            answer = []
            for model_id in dict.fromkeys(model_ids):
                send = in_progress.get((model_id, target))
                if send is None:
                    self._check(transaction, viewer, model_id)
                    send = Send(
                        secrets.token_hex(16), team, model_id, target, base, viewer.key_fingerprint, transaction.now
                    )
                    sends.add(connection, send)
                    jobs.add(connection, jobs.SEND, send.id, transaction.now, team=team)
                    transaction.audit.note("send.create", f"{send.id} to {target}", team)
                    in_progress[model_id, target] = send
                answer.append(send)
            if len(in_progress) > OPEN_MAX:
                raise errors.InvalidValue(f"model_ids: a team may have {OPEN_MAX} sends at once", field="model_ids")
        return answer

    def _check(self, transaction: WriteTransaction, viewer: Viewer, model_id: int) -> None:
        entry = transaction.entries([model_id]).get(model_id)
        if entry is None or not may_see(viewer, entry.model):
            raise errors.ModelNotFound(str(model_id))
        if entry.model.blob is None or not entry.model.status:
            raise errors.ModelFileMissing(model_id)
        blob = blobs.find(transaction.connection, entry.model.blob)
        if blob and not Verdict(blob.verdict).is_servable(serves_suspicious=self._serves_suspicious):
            raise errors.SuspiciousFile(entry.model.sd_name, blob.reason)

    def list(self, viewer: Viewer, limit: int = 100) -> list[Send]:
        """Return the sends of the viewer's team, the newest first."""
        team = writing_team(viewer)
        with self._store.reading() as connection:
            return [*sends.of_team(connection, team, limit)]


def describe_send(send: Send) -> str:
    """Say in one word how far a send is: waiting, sending, done or failed."""
    if send.state != OPEN:
        return send.state
    return "waiting" if send.task is None else "sending"


class Sender:
    """Does the steps of sends."""

    def __init__(
        self,
        store: Store,
        generators: Mapping[str, Target],
        link_for: LinkFor,
        *,
        policy: RetryPolicy = RETRY_POLICY,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Only the servers of the generators are requested, whatever they answer."""
        origins = frozenset(origin_of(target.url) for target in generators.values())
        self._store = store
        self._generators = generators
        self._link_for = link_for
        self._policy = policy
        self._clock = clock or store.now
        self._outbound = Outbound(AddressPolicy(origins=origins, is_exclusive=True))

    def step(self, send_id: str) -> float | None:
        """Do one step of a send. Return the seconds until the next one, or None if the send has ended."""
        with self._store.reading() as connection:
            send = sends.find(connection, send_id)
        if send is None or send.state != OPEN:
            return None
        try:
            if self._clock() >= send.created_at + LINK_SECONDS:
                raise errors.UpstreamRefused(f"{send.target} did not finish before the link expired")
            target = self._generators.get(send.target)
            if target is None:
                raise errors.UpstreamRefused(f"the server has no generator {send.target} any more")
            return self._begin(send, target) if send.task is None else self._follow(send, target)
        except TemporaryFailure as problem:
            return self._wait(send, problem)
        except _REFUSALS as problem:
            self._end(send, problem)
            return None

    def _begin(self, send: Send, target: Target) -> float:
        """Ask the generator to fetch the file."""
        entry = self._store.entry(send.model_id)
        if entry is None or entry.model.blob is None:
            raise errors.UpstreamRefused("the model, or its file, is not here any more")
        model = entry.model
        targets.reach(self._outbound, target)
        label = quote(model.sd_name, safe="")
        link = self._link_for(send.base, entry.model.blob, label, send.key_fingerprint)
        try:
            delivery = targets.start(self._outbound, target, Shipment(link, model.sd_name, model.type.name))
        except TemporaryFailure:
            raise errors.UpstreamRefused(
                f"{target.label} took the request and did not answer; look there before you send the model again"
            ) from None
        self._update(send, task=delivery.job, problem="", failures=0)
        return 0.0

    def _follow(self, send: Send, target: Target) -> float | None:
        """Ask the generator how far it is."""
        progress = targets.poll(self._outbound, target, Delivery(target.program, send.task or ""))
        if progress.state is State.FAILED:
            raise errors.UpstreamRefused(f"{target.program} at {target.label} failed: {progress.reason}")
        sizes = {"done_bytes": progress.done_bytes, "total_bytes": progress.total_bytes}
        if progress.state is State.DONE:
            self._update(send, state=DONE, problem="", finished_at=int(self._clock()), **sizes)
            return None
        if (send.done_bytes, send.total_bytes, send.failures) != (progress.done_bytes, progress.total_bytes, 0):
            self._update(send, problem="", failures=0, **sizes)
        return _POLL_SECONDS

    def _wait(self, send: Send, problem: TemporaryFailure) -> float | None:
        failures = send.failures + 1
        log.warning("send of model %d to %s waits: %s", send.model_id, send.target, problem.message)
        if failures >= self._policy.attempts_max:
            self._end(send, errors.UpstreamRefused(f"{send.target} does not answer"))
            return None
        wait_seconds = self._policy.wait_seconds(failures, problem.after_seconds)
        self._update(
            send, failures=failures, problem=f"{send.target} does not answer; next attempt in {wait_seconds:.0f} s"
        )
        return wait_seconds

    def _end(self, send: Send, problem: errors.ModelyardError) -> None:
        log.warning("send of model %d to %s failed: %s", send.model_id, send.target, problem.message)
        # Only messages of our own: others may have the address of the generator.
        is_ours = isinstance(problem, errors.UpstreamRefused)
        reason = problem.message if is_ours else f"the answer of {send.target} cannot be used"
        self._update(send, state=FAILED, problem=reason, finished_at=int(self._clock()))

    def _update(self, send: Send, **values: Any) -> None:
        with self._store.transaction() as transaction:
            sends.update(transaction.connection, send.id, **values)
