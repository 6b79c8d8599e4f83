"""What tests of webhooks share: a receiver that behaves as told, and the work of the planner and the sender."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelyard.domain import Scope
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.outbound import AddressPolicy, HostTurns, Limits, Outbound, origin_of
from modelyard.retry import RetryPolicy
from modelyard.store import Store, jobs
from modelyard.webhooks.planner import WebhookPlanner
from modelyard.webhooks.sender import LIMITS, WebhookSender
from tests.app_fixture import App, Reply
from tests.upstream import Upstream

NO_WAIT = RetryPolicy(attempts_max=4, wait_seconds_first=0.0, wait_seconds_max=0.0, retry_after_seconds_max=0.0)
ADMIN = (Scope.ADMIN,)
# A home of tests may request the servers of tests.
SETTINGS = {"outbound_networks": "127.0.0.0/8", "outbound_allow_http": "yes"}


@dataclass
class Receiver:
    """The server of a team. It answers with the next of ``statuses``, or 204 if there are no more."""

    statuses: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer_headers: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[], object] = lambda: None

    def __call__(self, on: Any) -> None:
        body = on.rfile.read(int(on.headers["Content-Length"]))
        self.headers.append({name.lower(): value for name, value in on.headers.items()})
        self.bodies.append(body)
        self.before_answer()
        on.reply(b"", self.statuses.pop(0) if self.statuses else 204, **self.answer_headers)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    @property
    def told(self) -> list[tuple[str, int]]:
        """The types of the messages, with the ids of their models."""
        return [(message["type"], message["data"]["id"]) for message in self.messages]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers in self.headers]


class Webhooking:
    """The webhooks of a home, planned and sent in this process when a test says so."""

    def __init__(
        self,
        yard: App,
        upstream: Upstream,
        *,
        retries: RetryPolicy = NO_WAIT,
        limits: Limits = LIMITS,
        policy: AddressPolicy | None = None,
        **more: Any,
    ) -> None:
        self.yard = yard
        self.upstream = upstream
        outbound = Outbound(policy or AddressPolicy(origins={origin_of(upstream.url)}), turns=HostTurns(8))
        self.planner = WebhookPlanner(yard.store)
        self.sender = WebhookSender(yard.store, outbound, retries, limits, **more)
        self._resources = Resources(yard.store, webhook_planner=self.planner, webhook_sender=self.sender)

    def receive(self, path: str = "/hook", **behaviour: Any) -> Receiver:
        """Make a receiver at a path."""
        receiver = Receiver(**behaviour)
        self.upstream.put(path, receiver)
        return receiver

    def create(self, path: str = "/hook", team: str = "red", **body: Any) -> dict[str, Any]:
        """Create a webhook of a team over the API."""
        reply = ask(self.yard, "/v3/webhooks", team, method="POST", body={"url": self.upstream.url + path, **body})
        assert 201 == reply.status, reply.body
        record: dict[str, Any] = reply.json
        return record

    def state(self, webhook: dict[str, Any], team: str = "red") -> dict[str, Any]:
        record: dict[str, Any] = ask(self.yard, f"/v3/webhooks/{webhook['id']}", team).json
        return record

    def deliveries(self, webhook: dict[str, Any], team: str = "red") -> list[dict[str, Any]]:
        """The deliveries, the oldest first."""
        reply = ask(self.yard, f"/v3/webhooks/{webhook['id']}/deliveries", team)
        return [*reversed(reply.json["deliveries"])]

    def worker(self, *names: str) -> Worker:
        kinds = [
            kind
            for kind in (*tasks.kinds_of(tasks.WEBHOOK_PLANNER), *tasks.kinds_of(tasks.WEBHOOK_SENDER))
            if not names or kind.name in names
        ]
        return Worker(self._resources, kinds, ThreadExecutor(self._resources), node="test")

    def plan(self) -> None:
        """Plan what is to be told."""
        while self.planner.plan() is not None:
            pass

    def run(self, times: int = 50) -> None:
        """Plan and send until there is no more to do, without waiting for its time."""
        for _ in range(times):
            make_due(self.yard.store)
            if not self.worker().run_next():
                return
        raise AssertionError("there is always more to do")

    def run_once(self) -> None:
        """Plan, and do one piece of sending."""
        self.plan()
        make_due(self.yard.store)
        assert self.worker(jobs.WEBHOOK).run_next()


def make_due(store: Store) -> None:
    """Have all jobs that wait run now."""
    with store.transaction() as transaction:
        for job in jobs.listed(transaction.connection):
            if job.state == "waiting":
                jobs.retry(transaction.connection, job.id, transaction.now)


def ask(yard: App, target: str, team: str = "red", *, method: str = "GET", body: Any = None) -> Reply:
    """Send a request with a key of the scope admin."""
    content = b"" if body is None else json.dumps(body).encode()
    return yard.ask(target, None, method=method, body=content, authorization=f"Bearer {yard.key(team, *ADMIN)}")
