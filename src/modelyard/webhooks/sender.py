"""Sends deliveries: signed requests to the server of a team, in order, until it fails.

    delivered       2xx: the next one
    tried again     any other answer, or none: after some seconds at first, after up to a day later
    disabled        410, or too many failures in a row: a person has to enable the webhook, and it goes on from there

The results of a run are written in one transaction. If the process ends before that, the messages are sent again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelyard import errors
from modelyard.outbound import Answer, Limits, Outbound, TemporaryFailure
from modelyard.retry import RetryPolicy
from modelyard.store import Store, webhooks
from modelyard.store.webhooks import ACTIVE, DELIVERED, DISABLED, FAILED, ONCE, WAITING, Delivery, Webhook
from modelyard.webhooks.messages import render
from modelyard.webhooks.signature import sign

# Ten seconds in all, with the lookup of the name. The answer's body is not read.
LIMITS = Limits(seconds_max=5.0, header_seconds=5.0, idle_seconds=5.0, connect_seconds=2.0, lookup_seconds=3.0)
# The waits double from some seconds to about a day; the last attempt is about two days after the first.
RETRIES = RetryPolicy(
    attempts_max=16, wait_seconds_first=10.0, wait_seconds_max=86_400.0, retry_after_seconds_max=86_400.0
)
_MESSAGES_MAX = 50
# After this time a run ends, and other webhooks have a turn.
_RUN_SECONDS = 2.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class _Result:
    """A delivery after an attempt. ``after_seconds`` is the wait that the receiver asks for."""

    delivery: Delivery
    after_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        return self.delivery.state == DELIVERED


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Sends the deliveries of one store. Threads may share it."""

    store: Store
    outbound: Outbound
    retries: RetryPolicy = RETRIES
    limits: Limits = LIMITS
    clock: Callable[[], float] = field(default=time.time)

    def deliver(
        self,
        webhook_id: str,
        finish: Callable[[Any], object] = lambda _connection: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Send what waits for a webhook. Return the seconds until the next attempt, or None if nothing waits.

        It calls ``finish`` in the transaction after which nothing waits.
        """
        with self.store.reading() as connection:
            webhook = webhooks.find(connection, webhook_id)
            pending = webhooks.pending_deliveries(connection, webhook_id, _MESSAGES_MAX)
        if webhook is None:
            return None
        results: list[_Result] = []
        stop_at = time.monotonic() + _RUN_SECONDS
        for delivery in pending:
            if delivery.state == WAITING and not self._is_due(webhook):
                break
            results.append(self._attempt(webhook, delivery))
            is_blocked = delivery.state == WAITING and not results[-1].is_success
            if is_blocked or is_stopping() or time.monotonic() >= stop_at:
                break
        return self._record(webhook_id, results, finish)

    def _is_due(self, webhook: Webhook) -> bool:
        return webhook.state == ACTIVE and (webhook.retry_at or 0) <= self.clock()

    def _attempt(self, webhook: Webhook, delivery: Delivery) -> _Result:
        """Send a message, and return the delivery with the result."""
        now = int(self.clock())
        attempted = replace(delivery, attempts=delivery.attempts + 1, attempted_at=now, status=None, problem="")
        try:
            with self._open(webhook, delivery, now) as answer:
                status, after_seconds = answer.status, answer.retry_after_seconds
        except (TemporaryFailure, errors.DownloadFailed) as problem:
            return _Result(replace(attempted, state=_failed_state(delivery), problem=problem.message))
        if 200 <= status < 300:
            return _Result(replace(attempted, state=DELIVERED, status=status))
        problem_text = "redirects are not followed" if 300 <= status < 400 else "the receiver refuses the message"
        failed = replace(attempted, state=_failed_state(delivery), status=status, problem=problem_text)
        return _Result(failed, after_seconds)

    def _open(self, webhook: Webhook, delivery: Delivery, now: int) -> Answer:
        body = render(delivery)
        secrets = [webhook.secret]
        if webhook.old_secret and (webhook.old_secret_ends_at or 0) > now:
            secrets.append(webhook.old_secret)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(secrets, delivery.id, now, body),
        }
        return self.outbound.open(
            webhook.url, method="POST", headers=headers, body=body, limits=self.limits, redirects_max=0
        )

    def _record(self, webhook_id: str, results: Sequence[_Result], finish: Callable[[Any], object]) -> float | None:
        """Write results, and what they mean for the webhook; return as ``deliver`` does."""
        with self.store.transaction() as transaction:
            connection = transaction.connection
            webhook = webhooks.find(connection, webhook_id)
            if webhook is None:
                return None
            webhooks.record_attempts(connection, [result.delivery for result in results])
            # Tests and replays tell nothing of what waits.
            waiting = [result for result in results if result.delivery.state == WAITING or result.is_success]
            if waiting and webhook.state == ACTIVE:
                values = self._judge(webhook, waiting[-1])
                webhooks.update(connection, webhook_id, **values)
                webhook = replace(webhook, **values)
            if not webhooks.has_pending(connection, webhook_id, is_active=webhook.state == ACTIVE):
                finish(connection)
                return None
            if webhooks.has_pending(connection, webhook_id, is_active=False):
                return 0.0
            return max(0.0, (webhook.retry_at or 0) - self.clock())

    def _judge(self, webhook: Webhook, last: _Result) -> dict[str, Any]:
        """Return what changes in a webhook after the last attempt of a run."""
        if last.is_success:
            return {"failures": 0, "problem": "", "retry_at": None}
        failures = webhook.failures + 1
        delivery = last.delivery
        problem = delivery.problem if delivery.status is None else f"status {delivery.status}: {delivery.problem}"
        if delivery.status == _GONE:
            return {"failures": failures, "state": DISABLED, "problem": "the receiver answers 410: it is gone"}
        if failures >= self.retries.attempts_max:
            return {"failures": failures, "state": DISABLED, "problem": f"{failures} attempts failed; {problem}"}
        seconds = self.retries.wait_seconds(failures, last.after_seconds)
        return {"failures": failures, "problem": problem, "retry_at": int(self.clock() + seconds)}


def _failed_state(delivery: Delivery) -> str:
    return FAILED if delivery.state == ONCE else WAITING
