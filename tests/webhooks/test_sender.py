"""Messages to receivers that refuse, hang, redirect, answer 410 and flap: none is lost, and the order stays."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from modelyard import settings
from modelyard.outbound import AddressPolicy, Limits, origin_of
from modelyard.store import webhooks
from modelyard.webhooks.sender import LIMITS
from tests.app_fixture import App, a_model, open_app
from tests.process_commands import environment
from tests.upstream import Upstream
from tests.webhook_fixture import SETTINGS, Webhooking, ask

PUT, REMOVED = "model.put", "model.removed"


def test_a_change_becomes_a_signed_message(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run()

    (headers,), (body,), (message,) = receiver.headers, receiver.bodies, receiver.messages
    assert {"id": 1, "revision": 1, "change": "put"} == message["data"]
    assert PUT == message["type"]
    assert message == Webhook(webhook["secret"]).verify(body, headers)
    assert "application/json" == headers["content-type"]
    (delivery,) = webhooking.deliveries(webhook)
    assert ("delivered", 1, 204) == (delivery["state"], delivery["attempts"], delivery["status"])


def test_another_secret_does_not_verify_the_message(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create()
    other = webhooking.create("/other")

    yard.put(a_model(1))
    webhooking.run()

    with pytest.raises(WebhookVerificationError):
        Webhook(other["secret"]).verify(receiver.bodies[0], receiver.headers[0])


def test_messages_come_in_the_order_of_revisions(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create()

    for id_ in range(1, 70):
        yard.put(a_model(id_))
    yard.remove(3)
    webhooking.run()

    expected = [(PUT, id_) for id_ in range(1, 70) if id_ != 3] + [(REMOVED, 3)]
    assert expected == receiver.told
    revisions = [message["data"]["revision"] for message in receiver.messages]
    assert sorted(revisions) == revisions


def test_a_webhook_is_told_nothing_from_before_it(yard: App, webhooking: Webhooking) -> None:
    yard.put(a_model(1))
    receiver = webhooking.receive()
    webhooking.create()

    yard.put(a_model(2))
    webhooking.run()

    assert [(PUT, 2)] == receiver.told


def test_a_receiver_that_fails_for_a_while_gets_everything_in_order(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive(statuses=[500, 404, 204, 503, 204])
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run_once()
    between = webhooking.state(webhook)
    yard.put(a_model(2))
    webhooking.run()

    assert [1, 1, 1, 2, 2] == [id_ for _, id_ in receiver.told]
    assert 2 == len(set(receiver.ids))
    assert ("active", 1, "status 500: the receiver refuses the message") == (
        between["state"],
        between["failures"],
        between["problem"],
    )
    after = webhooking.state(webhook)
    assert ("active", 0, "", None) == (after["state"], after["failures"], after["problem"], after["retry_at"])


def test_a_receiver_that_always_fails_is_disabled_and_goes_on_where_it_stopped(
    yard: App, webhooking: Webhooking
) -> None:
    receiver = webhooking.receive(statuses=[500] * 4)
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run()
    disabled = webhooking.state(webhook)
    yard.put(a_model(2))
    webhooking.run()
    attempts = len(receiver.bodies)
    ask(yard, f"/v3/webhooks/{webhook['id']}/enable", method="POST")
    webhooking.run()

    assert ("disabled", "4 attempts failed; status 500: the receiver refuses the message") == (
        disabled["state"],
        disabled["problem"],
    )
    assert 4 == attempts
    assert [1, 2] == [id_ for _, id_ in receiver.told[4:]]


def test_410_disables_at_once(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive(statuses=[410])
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run()

    state = webhooking.state(webhook)
    assert ("disabled", "the receiver answers 410: it is gone") == (state["state"], state["problem"])
    assert 1 == len(receiver.bodies)


def test_a_redirect_is_not_followed(yard: App, webhooking: Webhooking) -> None:
    elsewhere = webhooking.receive("/elsewhere")
    webhooking.receive(statuses=[307], answer_headers={"location": "/elsewhere"})
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run_once()

    assert [] == elsewhere.bodies
    assert "status 307: redirects are not followed" == webhooking.state(webhook)["problem"]


def test_a_receiver_that_hangs_ends_with_its_time(yard: App, upstream: Upstream) -> None:
    limits = Limits(seconds_max=0.2, header_seconds=0.2, idle_seconds=30, connect_seconds=30)
    webhooking = Webhooking(yard, upstream, limits=limits)
    released = threading.Event()
    webhooking.receive(before_answer=lambda: released.wait(30))
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run_once()
    released.set()

    (delivery,) = webhooking.deliveries(webhook)
    assert ("waiting", 1, None) == (delivery["state"], delivery["attempts"], delivery["status"])
    assert "127.0.0.1 took longer than 0 seconds" == delivery["problem"]


def test_the_guard_refuses_addresses_that_are_not_public(yard: App, upstream: Upstream) -> None:
    webhooking = Webhooking(yard, upstream, policy=AddressPolicy(allow_http=True))
    receiver = webhooking.receive()
    webhook = webhooking.create()

    yard.put(a_model(1))
    webhooking.run_once()

    assert [] == receiver.bodies
    assert "'127.0.0.1' leads to 127.0.0.1, which is no public address" == webhooking.state(webhook)["problem"]


def test_the_lookup_of_a_name_ends_with_its_time(yard: App, upstream: Upstream) -> None:
    released = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        released.wait(30)
        return []

    limits = Limits(lookup_seconds=0.05)
    webhooking = Webhooking(yard, upstream, limits=limits, policy=AddressPolicy(resolve=resolve))
    reply = ask(yard, "/v3/webhooks", method="POST", body={"url": "https://slow.example/hook"})

    yard.put(a_model(1))
    webhooking.run_once()
    released.set()

    problem = webhooking.state(reply.json)["problem"]
    assert "the address of 'slow.example' is not known after 0 seconds" == problem
    assert 10 >= LIMITS.lookup_seconds + LIMITS.connect_seconds + (LIMITS.seconds_max or 99)


def test_a_receiver_that_refuses_connections_gets_the_message_when_it_is_back(yard: App, upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    webhooking = Webhooking(yard, upstream, policy=AddressPolicy(origins={url, upstream.url}))
    receiver = webhooking.receive()
    webhook = webhooking.create()
    with yard.store.transaction() as transaction:
        webhooks.update(transaction.connection, webhook["id"], url=f"{url}/hook")

    yard.put(a_model(1))
    webhooking.run_once()
    refused = webhooking.state(webhook)["problem"]
    with yard.store.transaction() as transaction:
        webhooks.update(transaction.connection, webhook["id"], url=f"{upstream.url}/hook")
    webhooking.run_once()

    assert "refused" in refused
    assert [("model.put", 1)] == receiver.told


KILLED = """
import os, signal, sys
from modelyard.facts import Entry
from modelyard.outbound import AddressPolicy, Outbound
from modelyard.store import open_store
from modelyard.webhooks.planner import WebhookPlanner
from modelyard.webhooks.sender import WebhookSender
from tests.app_fixture import a_model

url, origin, webhook_id, stage = sys.argv[1:]
store = open_store(url)
with store.transaction() as transaction:
    transaction.put([Entry(a_model(1), {})])
if stage != "committed":
    WebhookPlanner(store).plan()
if stage == "sending":
    WebhookSender(store, Outbound(AddressPolicy(origins={origin}))).deliver(webhook_id)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("stage", "times"), [("committed", 1), ("planned", 1), ("sending", 2)])
def test_a_process_that_is_killed_between_commit_and_delivery_loses_nothing(
    tmp_path: Path, upstream: Upstream, stage: str, times: int
) -> None:
    with open_app(tmp_path, **SETTINGS) as yard:
        webhooking = Webhooking(yard, upstream)
        children: list[subprocess.Popen[bytes]] = []
        is_started = threading.Event()

        def kill() -> None:
            # The message is here, and its sender does not live to note it.
            is_started.wait(30)
            if children[0].poll() is None:
                children[0].kill()
                children[0].wait()

        receiver = webhooking.receive(before_answer=kill)
        webhook = webhooking.create()
        database = settings.load(tmp_path, {}).database_url
        arguments = [database, origin_of(upstream.url), webhook["id"], stage]
        python_path = {**environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", KILLED, *arguments], env=python_path) as child:
            children.append(child)
            is_started.set()
            assert -signal.SIGKILL == child.wait(60)
        webhooking.run_once()

    assert [("model.put", 1)] * times == receiver.told
    assert 1 == len(set(receiver.ids))
