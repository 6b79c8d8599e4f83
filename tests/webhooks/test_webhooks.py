"""Webhooks over the API: who may manage which, what is accepted, secrets, tests and replays."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from modelyard.domain import Scope
from modelyard.webhooks.sender import RETRIES
from modelyard.webhooks.webhooks import ROTATION_SECONDS, TEAM_WEBHOOKS_MAX
from tests import npm, requirements
from tests.app_fixture import App, a_model, open_app
from tests.upstream import Upstream
from tests.webhook_fixture import Webhooking, ask

JAVASCRIPT = "standardwebhooks@1.1.1"
VERIFY = """
const { Webhook } = require("standardwebhooks");
const { secret, body, headers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
"""


def post(yard: App, webhook: dict[str, object], action: str, team: str = "red") -> int:
    return ask(yard, f"/v3/webhooks/{webhook['id']}/{action}", team, method="POST").status


def test_the_secret_is_shown_once(yard: App, webhooking: Webhooking) -> None:
    webhook = webhooking.create()
    replies = [ask(yard, path).body for path in ("/v3/webhooks", f"/v3/webhooks/{webhook['id']}")]

    assert webhook["secret"].startswith("whsec_")
    assert [False, False] == [webhook["secret"].removeprefix("whsec_").encode() in body for body in replies]
    assert "whsec_" not in json.dumps(yard.lines())


def test_a_new_webhook_is_told_of_everything(webhooking: Webhooking) -> None:
    webhook = webhooking.create()

    assert {
        "url": f"{webhooking.upstream.url}/hook",
        "events": ["model.put", "model.removed", "model.checked", "model.rejected"],
        "filter": "",
        "state": "active",
        "problem": "",
        "failures": 0,
        "retry_at": None,
    } == {name: value for name, value in webhook.items() if name not in ("id", "created_at", "secret")}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"url": "ftp://example.org"}, "url: this is no address to fetch from"),
        ({"url": "https://name:secret@example.org"}, "url: this is no address to fetch from"),
        ({"url": "https://10.1.2.3/"}, "url: '10.1.2.3' leads to 10.1.2.3, which is no public address"),
        ({"url": "https://0xa.1/"}, "url: '0xa.1' leads to 10.0.0.1, which is no public address"),
        ({"url": "https://example.org/" + "x" * 2048}, "url: 2,068 characters; accepted: up to 2,048"),
        ({"url": "https://example.org", "events": ["model.gone"]}, "events: 'model.gone' is not accepted"),
        ({"url": "https://example.org", "events": []}, "events: none; accepted: some of model.put"),
        ({"url": "https://example.org", "filter": "x" * 2049}, "filter: 2,049 characters; accepted: up to 2,048"),
        ({"url": "https://example.org", "filter": "pagination.limit=3"}, "filter: 'pagination.limit' is not accepted"),
        ({"url": "https://example.org", "filter": "filter.nothing=3"}, "filter: 'filter.nothing' is not accepted"),
        ({"url": "https://example.org", "filter": "filter.is_sdxl=maybe"}, "filter: filter.is_sdxl: 'maybe'"),
        ({"url": "https://example.org", "filter": "filter.types=hologram"}, "filter: filter.types: 'hologram'"),
        ({"url": "https://example.org", "filter": "filter.search=\0"}, "filter: it has control characters"),
        ({"url": "https://example.org", "secret": "x"}, "the request's body cannot be used"),
    ],
)
def test_what_cannot_be_used_is_refused(yard: App, body: dict[str, object], problem: str) -> None:
    reply = ask(yard, "/v3/webhooks", method="POST", body=body)

    assert (400, problem) == (reply.status, reply.json["message"][: len(problem)])


def test_a_team_has_so_many_webhooks(yard: App, webhooking: Webhooking) -> None:
    for _ in range(TEAM_WEBHOOKS_MAX):
        webhooking.create()
    reply = ask(yard, "/v3/webhooks", method="POST", body={"url": "https://example.org"})

    assert (409, {"limit": TEAM_WEBHOOKS_MAX}) == (reply.status, reply.json["metadata"])
    assert webhooking.create(team="blue")["id"]


def test_a_team_does_not_see_the_webhooks_of_another(yard: App, webhooking: Webhooking) -> None:
    webhook = webhooking.create()
    path = f"/v3/webhooks/{webhook['id']}"
    replies = [
        *(ask(yard, path + rest, "blue") for rest in ("", "/deliveries")),
        *(ask(yard, f"{path}/{verb}", "blue", method="POST") for verb in ("test", "rotate", "enable")),
        ask(yard, path, "blue", method="DELETE"),
    ]

    assert {(404, "WEBHOOK_NOT_FOUND")} == {(reply.status, reply.json["reason"]) for reply in replies}
    assert [] == ask(yard, "/v3/webhooks", "blue").json["webhooks"]
    assert 1 == len(ask(yard, "/v3/webhooks").json["webhooks"])


def test_a_delivery_of_another_webhook_is_not_replayed(yard: App, webhooking: Webhooking) -> None:
    webhooking.receive()
    own, other = webhooking.create(), webhooking.create(team="blue")
    yard.put(a_model(1))
    webhooking.run()
    (delivery,) = webhooking.deliveries(own)

    assert 404 == post(yard, other, f"deliveries/{delivery['id']}/replay", "blue")


def test_a_text_that_no_database_takes_is_the_id_of_nothing(tmp_path: Path, url: str) -> None:
    with open_app(tmp_path, database_url=url) as yard:
        webhook = ask(yard, "/v3/webhooks", method="POST", body={"url": "https://example.org"}).json
        paths = ("%00", "%00/deliveries", "%00/test", f"{webhook['id']}/deliveries/%00/replay")
        methods = ("GET", "GET", "POST", "POST")

        replies = [
            ask(yard, f"/v3/webhooks/{path}", method=method) for path, method in zip(paths, methods, strict=True)
        ]
        replies.append(ask(yard, f"/v3/model/fetches?id={'%00' * 32}"))

    assert [404, 404, 404, 404, 400] == [reply.status for reply in replies]


def test_a_key_that_may_write_may_not_manage_webhooks(yard: App) -> None:
    reply = yard.ask("/v3/webhooks", None, authorization=f"Bearer {yard.key('red', Scope.READ, Scope.WRITE)}")

    assert (403, {"scope": "admin"}) == (reply.status, reply.json["metadata"])


def test_the_javascript_library_verifies_a_message(
    yard: App, webhooking: Webhooking, request: pytest.FixtureRequest
) -> None:
    node = requirements.program("node")
    folder = npm.installed(request.config, JAVASCRIPT)
    receiver = webhooking.receive()
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.run()
    content = {"secret": webhook["secret"], "body": receiver.bodies[0].decode(), "headers": receiver.headers[0]}

    run = subprocess.run(
        [node, "-e", VERIFY], cwd=folder, input=json.dumps(content), capture_output=True, text=True, check=True
    )

    assert receiver.messages[0] == json.loads(run.stdout)


def test_after_a_rotation_both_secrets_verify_for_a_day(yard: App, upstream: Upstream) -> None:
    now = time.time()
    clock = [now]
    webhooking = Webhooking(yard, upstream, clock=lambda: clock[0])
    receiver = webhooking.receive()
    old = webhooking.create()
    new = ask(yard, f"/v3/webhooks/{old['id']}/rotate", method="POST").json

    yard.put(a_model(1))
    webhooking.run()
    messages = [Webhook(secret["secret"]).verify(receiver.bodies[0], receiver.headers[0]) for secret in (old, new)]
    clock[0] = now + ROTATION_SECONDS + 1
    yard.put(a_model(2))
    webhooking.run()

    assert old["secret"] != new["secret"]
    assert [receiver.messages[0]] * 2 == messages
    assert [2, 1] == [len(headers["webhook-signature"].split()) for headers in receiver.headers]
    with pytest.raises(WebhookVerificationError, match="too new"):
        Webhook(new["secret"]).verify(receiver.bodies[1], receiver.headers[1])


def test_a_test_message_is_sent_once_and_changes_nothing_else(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive(statuses=[500])
    webhook = webhooking.create()

    status = post(yard, webhook, "test")
    webhooking.run()

    assert 202 == status
    assert [("webhook.test", 0)] == receiver.told
    (delivery,) = webhooking.deliveries(webhook)
    assert ("failed", 500) == (delivery["state"], delivery["status"])
    assert 0 == webhooking.state(webhook)["failures"]


def test_a_test_message_does_not_wait_for_the_next_attempt(yard: App, upstream: Upstream) -> None:
    webhooking = Webhooking(yard, upstream, retries=RETRIES)
    receiver = webhooking.receive(statuses=[500, 500])
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.run_once()

    post(yard, webhook, "test")
    webhooking.run_once()

    assert [("model.put", 1), ("webhook.test", 0)] == receiver.told
    assert 1 == webhooking.state(webhook)["failures"]


def test_a_webhook_that_is_disabled_takes_test_messages(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive(statuses=[410])
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.run()

    post(yard, webhook, "test")
    webhooking.run()

    assert [("model.put", 1), ("webhook.test", 0)] == receiver.told
    state = webhooking.state(webhook)
    assert ("disabled", "the receiver answers 410: it is gone") == (state["state"], state["problem"])


def test_a_replay_sends_the_same_message_with_the_same_id(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.run()
    (delivery,) = webhooking.deliveries(webhook)

    status = post(yard, webhook, f"deliveries/{delivery['id']}/replay")
    webhooking.run()

    assert 202 == status
    assert [(f"webhook.{verb}", webhook["id"], "red") for verb in ("create", "replay")] == yard.audited("webhook")
    assert [delivery["id"]] * 2 == receiver.ids
    assert receiver.bodies[0] == receiver.bodies[1]


def test_a_webhook_that_is_deleted_is_told_nothing_more(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.plan()

    reply = ask(yard, f"/v3/webhooks/{webhook['id']}", method="DELETE")
    yard.put(a_model(2))
    webhooking.run()

    assert (200, {}) == (reply.status, reply.json)
    assert [] == receiver.bodies
    assert 404 == ask(yard, f"/v3/webhooks/{webhook['id']}").status


def test_the_waits_between_attempts_grow_from_seconds_to_a_day() -> None:
    waits = [RETRIES.wait_seconds(failures) for failures in range(1, RETRIES.attempts_max)]

    assert 5.0 <= waits[0] <= 10.0
    assert 40_000 <= waits[-1] <= 86_400.0
    assert 86_400.0 <= sum(waits)


def test_a_receiver_says_when_it_wants_the_next_attempt(yard: App, upstream: Upstream) -> None:
    webhooking = Webhooking(yard, upstream, retries=RETRIES, clock=lambda: 1_800_000_000.0)
    webhooking.receive(statuses=[503], answer_headers={"retry-after": "3600"})
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.run_once()

    assert "2027-01-15T09:00:00Z" == webhooking.state(webhook)["retry_at"]
