"""What webhooks are told: what their teams may see, uploads that were verified, filters; and nodes that die."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.domain import MODEL_TYPES, Visibility
from modelyard.jobs import tasks
from modelyard.store import jobs, webhooks
from modelyard.webhooks.planner import PENDING_MAX
from tests.app_fixture import App, a_model, a_private, open_app
from tests.transfers import checking, dangerous_bytes, lora_bytes, upload
from tests.upstream import Upstream
from tests.webhook_fixture import SETTINGS, Webhooking

PUT, REMOVED = "model.put", "model.removed"


def test_a_team_is_told_what_it_may_see_only(yard: App, webhooking: Webhooking) -> None:
    red, blue = webhooking.receive("/red"), webhooking.receive("/blue")
    webhooking.create("/red")
    webhooking.create("/blue", "blue")

    yard.put(a_model(1))
    yard.put(a_private(2, "red"))
    yard.put(a_private(3, "blue"))
    webhooking.run()
    yard.put(a_private(1, "red"))  # public so far
    yard.remove(2)
    webhooking.run()

    assert [(PUT, 1), (PUT, 2), (PUT, 1), (REMOVED, 2)] == red.told
    assert [(PUT, 1), (PUT, 3), (REMOVED, 1)] == blue.told


def test_a_webhook_is_told_the_events_that_it_chose(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create(events=["model.removed"])

    yard.put(a_model(1))
    webhooking.run()
    yard.remove(1)
    webhooking.run()

    assert [(REMOVED, 1)] == receiver.told


def test_a_filter_chooses_models(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create(filter="filter.base_model=Pony", events=["model.put"])

    yard.put(a_model(1), a_model(2, base_model="Pony"))
    webhooking.run()

    assert [(PUT, 2)] == receiver.told


def test_with_a_filter_a_model_that_does_not_match_reads_as_removed(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create(filter="filter.types=locon")

    yard.put(a_model(1, type=MODEL_TYPES["locon"]))
    webhooking.run()
    yard.put(a_model(1))
    webhooking.run()

    assert [(PUT, 1), (REMOVED, 1)] == receiver.told


def test_a_model_that_changes_often_is_told_once_with_its_last_change(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create()

    for rank in range(5):
        yard.put(a_model(1, rank=rank))
    webhooking.run()

    assert [{"id": 1, "revision": 5, "change": "put"}] == [message["data"] for message in receiver.messages]


def test_many_changes_of_one_revision_are_all_told(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhooking.create()

    yard.put(*(a_model(id_) for id_ in range(1, PENDING_MAX + 151)))
    webhooking.run()

    assert [(PUT, id_) for id_ in range(1, PENDING_MAX + 151)] == receiver.told


def test_a_webhook_whose_receiver_fails_has_so_many_rows(yard: App, webhooking: Webhooking) -> None:
    webhooking.receive(statuses=[500])
    webhook = webhooking.create()
    yard.put(*(a_model(id_) for id_ in range(1, 3 * PENDING_MAX)))

    webhooking.plan()
    is_wanted = webhooking.planner.is_wanted()

    with yard.store.reading() as connection:
        assert PENDING_MAX == len(webhooks.pending_deliveries(connection, webhook["id"], 10_000))
    assert not is_wanted


def test_many_webhooks_are_not_planned_in_one_transaction(yard: App, webhooking: Webhooking) -> None:
    ids = [webhooking.create(team=team)["id"] for team in ("red", "blue") for _ in range(8)]
    yard.put(a_model(1))
    commits: list[sa.Connection] = []

    note = commits.append
    sa.event.listen(sa.Engine, "commit", note)
    try:
        webhooking.planner.plan()
    finally:
        sa.event.remove(sa.Engine, "commit", note)

    with yard.store.reading() as connection:
        planned = sum(len(webhooks.pending_deliveries(connection, id_, 10)) for id_ in ids)
    assert (2, 16) == (len(commits), planned)


def test_a_catalogue_that_does_not_change_needs_no_planning(yard: App, webhooking: Webhooking) -> None:
    webhooking.receive()
    webhooking.create(team="blue")
    yard.put(a_private(1, "red"))

    before = webhooking.planner.is_wanted()
    webhooking.plan()

    assert (True, False) == (before, webhooking.planner.is_wanted())


# --- A process that dies


def test_a_node_that_dies_before_it_records_a_message_sends_it_again(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhook = webhooking.create()
    yard.put(a_model(1))
    webhooking.plan()

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        webhooking.sender.deliver(webhook["id"], die)
    webhooking.run()

    assert [(PUT, 1)] * 2 == receiver.told
    assert 1 == len(set(receiver.ids))
    assert ["delivered"] == [delivery["state"] for delivery in webhooking.deliveries(webhook)]


@pytest.fixture
def nodes(tmp_path: Path, url: str, upstream: Upstream) -> Iterator[tuple[Webhooking, Webhooking]]:
    """Two processes of one machine: one home, one database, a store and a worker each."""
    with (
        open_app(tmp_path, database_url=url, **SETTINGS) as first,
        open_app(tmp_path, database_url=url, **SETTINGS) as second,
    ):
        yield Webhooking(first, upstream), Webhooking(second, upstream)


def test_another_node_goes_on_after_the_lease_of_one_that_died(nodes: tuple[Webhooking, Webhooking]) -> None:
    first, second = nodes
    receiver = first.receive()
    webhook = first.create()
    first.yard.put(a_model(1))
    first.yard.remove(1)
    first.yard.put(a_model(2))
    first.plan()

    with first.yard.store.transaction() as transaction:
        # The first node takes the work, and dies.
        job = jobs.take(transaction.connection, jobs.WEBHOOK, "first", transaction.now, 0)
    second.run()

    assert job is not None
    assert job.subject == webhook["id"]
    assert [(REMOVED, 1), (PUT, 2)] == receiver.told


def test_two_nodes_tell_a_change_once(nodes: tuple[Webhooking, Webhooking]) -> None:
    first, second = nodes
    receiver = first.receive()
    first.create()
    first.yard.put(a_model(1))

    first.plan()
    second.plan()
    second.run()
    first.run()

    assert [(PUT, 1)] == receiver.told


# --- Uploads


def test_a_webhook_is_told_of_files_that_were_verified(yard: App, webhooking: Webhooking, tmp_path: Path) -> None:
    receiver, others = webhooking.receive(), webhooking.receive("/blue")
    webhook = webhooking.create(events=["model.checked", "model.rejected"])
    webhooking.create("/blue", "blue")
    verification = checking(yard, tmp_path)

    sound = upload(yard, "a", lora_bytes())["id"]
    verification.verify_next()
    bad = upload(yard, "b", dangerous_bytes(), file_extension="pt")["id"]
    verification.verify_next()
    webhooking.run()

    assert [("model.checked", sound), ("model.rejected", bad)] == receiver.told
    assert [] == others.told
    with yard.store.reading() as connection:
        assert [] == webhooks.upload_events(connection, "red", 0, 1 << 60)
    assert 2 == len(webhooking.deliveries(webhook))


# --- Teams take turns


def test_slow_receivers_of_a_team_do_not_take_all_turns(yard: App, webhooking: Webhooking) -> None:
    webhooking.receive()
    for _ in range(5):
        webhooking.create()
    blue = webhooking.create(team="blue")
    yard.put(a_model(1))
    webhooking.plan()
    (kind,) = tasks.kinds_of(tasks.WEBHOOK_SENDER)

    with yard.store.transaction() as transaction:
        taken = [
            jobs.take(
                transaction.connection,
                jobs.WEBHOOK,
                "me",
                transaction.now,
                15,
                turns={},
                team_running_max=kind.team_running_max,
            )
            for _ in range(6)
        ]

    teams = [job.team for job in taken if job is not None]
    assert {"red": kind.team_running_max, "blue": 1} == {team: teams.count(team) for team in sorted(set(teams))}
    assert blue["id"] in {job.subject for job in taken if job is not None}


def test_old_deliveries_are_deleted(yard: App, webhooking: Webhooking) -> None:
    receiver = webhooking.receive()
    webhook = webhooking.create()
    yard.put(*(a_model(id_) for id_ in range(1, 6)))
    webhooking.run()
    yard.put(a_model(6, visibility=Visibility.PUBLIC))
    webhooking.plan()

    with yard.store.transaction() as transaction:
        webhooks.drop_old_deliveries(transaction.connection, 0, 2)
    kept = webhooking.deliveries(webhook)
    with yard.store.transaction() as transaction:
        webhooks.drop_old_deliveries(transaction.connection, transaction.now + 1, 2)

    assert [4, 5, 6] == [delivery["model_id"] for delivery in kept]
    assert [6] == [delivery["model_id"] for delivery in webhooking.deliveries(webhook)]
    assert 5 == len(receiver.bodies)
