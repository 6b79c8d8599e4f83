"""Webhooks: how many messages a second one server sends, how late they are, and whether each of them arrives once.

One process plans and sends as the fetcher's process of a server does, with the threads of the default setting. A second
process receives: it answers 204 to each request, over a new connection, as the sender makes it. Models are put one by
one, at the pace at which all webhooks together get ``--rate`` messages a second.

    late    from the commit of a model to the message at the receiver
    CPU     of the process that plans, sends and puts the models, per message

    python -m benchmarks.webhooks                            200 messages a second, 50 webhooks of 10 teams, 30 seconds
    python -m benchmarks.webhooks --rate 0 --models 200      as fast as it can: all models are put before

Last figures: docs/decide/benchmarks.md
"""

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.search import machine
from modelyard.facts import Entry
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.outbound import AddressPolicy, HostTurns, Outbound, origin_of
from modelyard.store import Store, open_store
from modelyard.webhooks.planner import WebhookPlanner
from modelyard.webhooks.sender import WebhookSender
from modelyard.webhooks.webhooks import NewWebhook, Webhooks
from tests.app_fixture import a_model

SENDERS = 16
_WAIT_SECONDS = 60.0
Message = tuple[str, str, int, float]


def receive(connection: Connection) -> None:
    """Answer requests until the other end asks for the messages: the path, webhook-id, revision and time of each."""
    messages: list[Message] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        messages.append((head.split()[1], headers["webhook-id"], body["data"]["revision"], time.time()))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        connection.send(server.sockets[0].getsockname()[1])
        while True:
            wanted = await asyncio.to_thread(connection.recv)
            connection.send(messages if wanted == "messages" else len(messages))

    asyncio.run(serve())


def start_work(store: Store, url: str, stop: threading.Event) -> None:
    """Plan and send in threads until ``stop`` is set."""
    outbound = Outbound(AddressPolicy(origins={origin_of(url)}), turns=HostTurns(SENDERS))
    resources = Resources(store, webhook_planner=WebhookPlanner(store), webhook_sender=WebhookSender(store, outbound))
    for process in [tasks.WEBHOOK_PLANNER, *[tasks.WEBHOOK_SENDER] * SENDERS]:
        worker = Worker(resources, tasks.kinds_of(process), ThreadExecutor(resources), node="here")
        threading.Thread(target=worker.run, args=(stop,), daemon=True).start()


def put_models(store: Store, count: int, pause_seconds: float) -> dict[int, float]:
    """Put models one by one, and return when each revision was committed."""
    committed_at = {}
    next_at = time.monotonic()
    for id_ in range(1, count + 1):
        with store.transaction() as transaction:
            revision = transaction.revision
            transaction.put([Entry(a_model(id_), {})])
        committed_at[revision] = time.time()
        next_at += pause_seconds
        time.sleep(max(0.0, next_at - time.monotonic()))
    return committed_at


def report(messages: list[Message], committed_at: dict[int, float], webhooks: int, cpu_seconds: float) -> None:
    """Print the figures."""
    expected = webhooks * len(committed_at)
    unique = {message[:3] for message in messages}
    late = sorted(1000 * (at - committed_at[revision]) for _, _, revision, at in messages)
    seconds = max(at for *_, at in messages) - min(committed_at.values())
    in_order = 0
    for path in {message[0] for message in messages}:
        revisions = [revision for own, _, revision, _ in messages if own == path]
        in_order += revisions == sorted(revisions)
    print(f"expected {expected:,}, received {len(messages):,}: lost {expected - len(unique)}, repeated", end=" ")
    print(f"{len(messages) - len(unique)}, webhooks in order {in_order} of {webhooks}")
    print(f"{len(messages) / seconds:,.0f} messages a second for {seconds:.0f} s")
    print(
        f"late: median {late[len(late) // 2]:.0f} ms, p99 {late[len(late) * 99 // 100]:.0f} ms, last {late[-1]:.0f} ms"
    )
    print(f"CPU: {1000 * cpu_seconds / len(messages):.1f} ms a message")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--webhooks", type=int, default=50)
    parser.add_argument("--models", type=int, default=120)
    options = parser.parse_args()
    print(machine())
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=receive, args=(theirs,), daemon=True)
    receiver.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder)}/modelyard.sqlite")
        service = Webhooks(store, AddressPolicy(origins={origin_of(url)}))
        for number in range(options.webhooks):
            service.create(f"team{number % 10}", NewWebhook(f"{url}/{number}"))
        pause_seconds = options.webhooks / options.rate if options.rate else 0.0
        committed_at = {} if pause_seconds else put_models(store, options.models, 0.0)
        if not pause_seconds:
            committed_at = dict.fromkeys(committed_at, time.time())
        cpu_seconds = time.process_time()
        start_work(store, url, stop)
        if pause_seconds:
            committed_at = put_models(store, options.models, pause_seconds)
        give_up_at = time.monotonic() + _WAIT_SECONDS
        received = 0
        while received < options.webhooks * options.models and time.monotonic() < give_up_at:
            time.sleep(0.1)
            ours.send("count")
            received = ours.recv()
        cpu_seconds = time.process_time() - cpu_seconds
        time.sleep(1.0)  # for messages that come twice
        ours.send("messages")
        report(ours.recv(), committed_at, options.webhooks, cpu_seconds)
        stop.set()
        time.sleep(1.0)
        store.close()
    receiver.kill()


if __name__ == "__main__":
    main()
