"""Three nodes, three PostgreSQL servers and a file store, under load and attack, while one part after another dies.

``MODELYARD_CHAOS_SECONDS`` says for how long (60 by itself, 600 in a full run), ``MODELYARD_CHAOS_SEED`` in which
order. Each node's clock may be wrong, the last node is behind PgBouncer, and an operator works meanwhile.
Only what must hold is asserted, whatever the timing: every acknowledged write is there, no answer is wrong or torn,
every request is answered, and all heals. How fast all that is, benchmarks/cluster.py measures.

Not covered: disks that fill, machines that lose their memory.
"""

import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import Store, audit, open_store, schema
from modelyard.store.audit import AuditQuery
from modelyard.store.migrate import dialect_of
from tests.cluster.adversary import Adversary
from tests.cluster.databases import wait
from tests.cluster.followers import Followers
from tests.cluster.load import Load, Oracle, number_of
from tests.cluster.network import Cut
from tests.cluster.nodes import Cluster, Node, running_cluster
from tests.cluster.operations import Operator
from tests.upstream import serve_upstream

SECONDS = float(os.environ.get("MODELYARD_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("MODELYARD_CHAOS_SEED", "7"))


def kill_node(cluster: Cluster, chance: random.Random) -> None:
    """End a node; it is started again by itself, with its clock ahead, behind or right."""
    node = chance.choice(cluster.nodes)
    node.wrong_seconds = chance.choice([0.0, 1.0, -1.0]) * chance.uniform(30.0, 600.0)
    node.kill()


def kill_primary(cluster: Cluster, chance: random.Random) -> None:
    """End the primary; a replica is promoted, and what was the primary follows it."""
    cluster.databases.fail_over()


def switch_primary(cluster: Cluster, chance: random.Random) -> None:
    """End the primary as for an upgrade; a replica is promoted, and what was the primary is rewound and follows it."""
    cluster.databases.switch_over()


def take_all_slots(cluster: Cluster, chance: random.Random) -> None:
    """Take all connections that the primary accepts for a while; sometimes a node starts meanwhile."""
    with cluster.databases.without_slots():
        if chance.random() < 0.5:
            kill_node(cluster, chance)
        time.sleep(chance.uniform(0.5, 3.0))


def kill_replica(cluster: Cluster, chance: random.Random) -> None:
    """End a replica for a while."""
    replica = cluster.databases.servers[chance.choice(cluster.databases.replicas())]
    replica.kill()
    time.sleep(chance.uniform(0.0, 2.0))
    replica.start()


def restart_primary(cluster: Cluster, chance: random.Random) -> None:
    """End the primary for a while; nobody takes its place, so writes wait or fail."""
    primary = cluster.databases.servers[cluster.databases.primary]
    primary.kill()
    time.sleep(chance.uniform(0.0, 3.0))
    primary.start()


def kill_file_store(cluster: Cluster, chance: random.Random) -> None:
    """End the file store for a while."""
    cluster.swift.kill()
    time.sleep(chance.uniform(0.0, 2.0))
    cluster.swift.start()


def cut_node_off(cluster: Cluster, chance: random.Random) -> None:
    """Reset all connections of a node to the databases, and refuse new ones for a while."""
    network = chance.choice(cluster.nodes).network
    network.cut(Cut.RESET)
    time.sleep(chance.uniform(0.0, 3.0))
    network.mend()


def cut_node_off_silently(cluster: Cluster, chance: random.Random) -> None:
    """Let nothing through between a node and the databases, telling neither, for a while."""
    network = chance.choice(cluster.nodes).network
    network.cut(Cut.SILENT)
    time.sleep(chance.uniform(0.5, 5.0))
    network.mend()


def lose_notification(cluster: Cluster, chance: random.Random) -> None:
    """Commit a change that nobody is notified of."""
    dialect = dialect_of(cluster.url)
    store = Store(replace(dialect, end_writing=lambda *_: None), time.time)
    with store.transaction() as writing:
        writing.remove([writing.connection.execute(sa.select(sa.func.max(schema.models.c.id))).scalar_one() + 1])
        writing.put_base_model(store.base_models()[0])
        writing.put([])
        counted = sa.update(schema.counters).where(schema.counters.c.name == schema.MODEL_REVISION)
        writing.connection.execute(counted.values(value=schema.counters.c.value + 1))
    store.close()


def bring_old_primary_back(cluster: Cluster, chance: random.Random) -> None:
    """Promote a replica while the primary runs on, as on a machine that nobody could reach to fence it.

    Nobody follows the old one, so it acknowledges no write. Then it is fenced, and follows.
    """
    cluster.databases.replace_unfenced(chance.uniform(0.5, 3.0))


EVENTS: tuple[Callable[[Cluster, random.Random], None], ...] = (
    kill_node,
    kill_primary,
    switch_primary,
    take_all_slots,
    kill_replica,
    restart_primary,
    kill_file_store,
    cut_node_off,
    cut_node_off_silently,
    lose_notification,
    bring_old_primary_back,
)


def a_key(cluster: Cluster, team: str, *scopes: Scope) -> str:
    store = open_store(cluster.url)
    key, _ = Auth(store).create_key(team, [Scope.READ, Scope.WRITE, *scopes])
    store.close()
    for node in cluster.nodes:
        wait(lambda node=node: node.ask("GET", "/v3/user", authorization=key).status == 200, "a key is never known")  # type: ignore[misc] # mypy cannot infer a lambda with a default
    return key


@pytest.mark.timeout(SECONDS + 1200)
def test_whatever_dies_nothing_acknowledged_is_lost_and_no_answer_is_wrong(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    oracle = Oracle()
    happened: Counter[str] = Counter()
    with running_cluster(tmp_path, has_bouncer=True) as cluster, serve_upstream() as upstream:
        load = Load(cluster, a_key(cluster, "red", Scope.ADMIN), oracle, SEED)
        adversary = Adversary(load, a_key(cluster, "blue"))
        operator = Operator(load)
        followers = Followers(load, upstream)
        followers.begin(load.key)
        with load.running(*adversary.works(), operator.collect_garbage, operator.copy_database):
            ends_at = time.monotonic() + SECONDS
            while time.monotonic() < ends_at and not oracle.problems:
                # Every kind once before any comes again; at the end the restore, which takes longest.
                for event in (*chance.sample(EVENTS, len(EVENTS)), operator.restore_backup):
                    if time.monotonic() < ends_at and not oracle.problems:
                        happened[event.__name__] += 1
                        event(cluster, chance)
                        time.sleep(chance.uniform(0.1, 0.6))
        cluster.mend()
        judge_the_end(cluster, load, oracle)
        judge_the_audit(cluster, load, oracle)
        judge_the_clocks(cluster)
        followers.judge()
        for path in adversary.dangerous:
            adversary.judge_dangerous(path, cluster.nodes[0])
    told = f"seed {SEED}, {dict(happened)}, {dict(oracle.counts)}, slowest {oracle.slowest_seconds:.1f} s"
    print(told)

    assert not oracle.problems, f"{told}\n" + "\n".join(oracle.problems[:20])
    assert oracle.counts["write 200"] > 0
    assert oracle.counts["read 200"] > 0


def judge_the_end(cluster: Cluster, load: Load, oracle: Oracle) -> None:
    """Every node has every acknowledged write, all of them the same; every upload became a model that can be used."""
    for model_id, least in oracle.models().items():
        shown = set()
        for node in cluster.nodes:
            reply = load.ask("end", node, "GET", f"/v3/model?filter.model_version_id={model_id}")
            assert reply is not None, "a healed node does not answer"
            (model,) = reply.json["models"]
            shown.add(model["name"])
            oracle.judge(model_id, number_of(model), least, "at the end")
        if len(shown) != 1:
            oracle.wrong(f"nodes differ on model {model_id}: {shown}")
    load.wait_until_checked()
    for number, (path, content) in enumerate(load.uploads.items()):
        judge_file(load, cluster.nodes[number % len(cluster.nodes)], path, content)


def judge_file(load: Load, node: Node, path: str, content: bytes) -> None:
    """The bytes of an acknowledged upload come from a node and the file store, whatever was collected."""
    model_id = load.model_of(path)

    def is_there() -> bool:
        reply = load.ask("end", node, "GET", f"/v3/model?filter.model_version_id={model_id}")
        if reply is None or reply.status != 200:
            return False
        link = urlsplit(reply.json["models"][0]["download_url"])
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}{link.path}?{link.query}", timeout=60) as answer:
            return bool(answer.read() == content)

    wait(is_there, f"the file of an upload is lost or another one: {path}")


def judge_the_clocks(cluster: Cluster) -> None:
    """A node says that its clock is wrong, and no other does."""

    def is_told(node: Node) -> bool:
        problems = node.ask("GET", "/readyz").json.get("problems", {})
        return ("clock" in problems) == (node.running_wrong_seconds != 0)

    for node in cluster.nodes:
        wait(partial(is_told, node), f"what a node says of its clock is untrue: {node.running_wrong_seconds:.0f} s")


def judge_the_audit(cluster: Cluster, load: Load, oracle: Oracle) -> None:
    """Every acknowledged change, and every acknowledged upload, has exactly one row."""
    store = open_store(cluster.url)
    with store.reading() as connection:
        for model_id, request_ids in oracle.request_ids().items():
            rows = audit.read_rows(connection, AuditQuery(model_id=model_id), None, 100_000)
            counts = Counter(row.request_id for row in rows)
            for request_id in request_ids:
                if counts[request_id] != 1:
                    oracle.wrong(f"the acknowledged request {request_id} has {counts[request_id]} audit rows")
        rows = audit.read_rows(connection, AuditQuery(verb="upload.create"), None, 100_000)
        created = Counter(row.subject for row in rows)
        for path in load.uploads:
            if created[path.rpartition("/")[2]] != 1:
                oracle.wrong(f"the acknowledged upload {path} has {created[path.rpartition('/')[2]]} audit rows")
    store.close()
