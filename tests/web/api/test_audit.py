"""``GET /v3/audit`` and the page ``/audit``: every acknowledged write has one row, and teams see their own only."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import modelyard
from modelyard.domain import Scope
from modelyard.facts import Entry, Facts, Layer
from modelyard.store import audit
from modelyard.store.audit import Actor
from modelyard.wire.audit import VERBS
from tests.app_fixture import App, Reply, a_model, a_private, open_app
from tests.web.hub.bench import Bench, text
from tests.web.pages.test_pages import signed_in

OWN, OTHER = 1_000_000_001, 1_000_000_002
MODEL_FIELDS = ("verb", "model_id", "revision_before", "revision_after", "team", "actor", "via")


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as opened:
        layers = {Layer.USER: Facts(name="own", sd_name="own.pt")}
        with opened.store.transaction() as transaction:
            transaction.put([Entry(a_private(OWN, "red"), layers), Entry(a_private(OTHER, "blue"), layers)])
        yield opened


def ask_audit(yard: App, query: str = "", team: str = "red") -> Reply:
    authorization = f"Bearer {yard.key(team, Scope.ADMIN)}"
    return yard.ask(f"/v3/audit?{query}", None, authorization=authorization)


def rows(yard: App, query: str = "", team: str = "red") -> list[dict[str, Any]]:
    reply = ask_audit(yard, query, team)
    assert 200 == reply.status, reply.body
    return list(reply.json["audit"])


def change(yard: App, name: str, team: str = "red", model_id: int = OWN, **headers: str) -> Reply:
    authorization = f"Bearer {yard.key(team, Scope.READ, Scope.WRITE)}"
    body = json.dumps({"name": name}).encode()
    target = f"/v3/model?id={model_id}"
    return yard.ask(target, None, method="PATCH", body=body, authorization=authorization, **headers)


def test_an_acknowledged_edit_has_one_row_that_says_who_did_what(yard: App) -> None:
    yard.keys["redreadwrite"], key = yard.access.create_key("red", [Scope.READ, Scope.WRITE], name="nightly")
    revision = yard.store.revision()
    reply = change(yard, "night", x_request_id="request-0001")

    (row,) = rows(yard, f"filter.model={OWN}&pagination.limit=1")

    assert 200 == reply.status
    row.pop("time")
    row.pop("id")
    assert {
        "team": "red",
        "actor": "key",
        "via": "PATCH /v3/model",
        "verb": "model.edit",
        "model_id": OWN,
        "models": 1,
        "subject": "",
        "revision_before": revision,
        "revision_after": int(reply.headers["modelyard-revision"]),
        "key": {"fingerprint": yard.access.fingerprint_of(yard.keys["redreadwrite"]), "name": key.name},
        "person": "",
        "address": "127.0.0.1",
        "request_id": "request-0001",
    } == row


def test_the_rows_of_a_model_are_a_chain_of_revisions(yard: App) -> None:
    change(yard, "one")
    change(yard, "two")
    authorization = f"Bearer {yard.key('red', Scope.READ, Scope.WRITE)}"
    yard.ask(f"/v3/model?id={OWN}", None, method="DELETE", authorization=authorization)

    chain = [
        (row["verb"], row["revision_before"], row["revision_after"]) for row in rows(yard, f"filter.model={OWN}")[::-1]
    ]

    assert ["model.create", "model.edit", "model.edit", "model.delete"] == [verb for verb, _, _ in chain]
    assert [None, *(after for _, _, after in chain[:-1])] == [before for _, before, _ in chain]
    assert chain[-1][2] is None


def test_a_refused_write_has_no_row(yard: App) -> None:
    before = len(rows(yard))

    replies = [change(yard, "x" * 10_000), change(yard, "night", model_id=OTHER)]
    forbidden = yard.ask(f"/v3/model?id={OWN}", method="PATCH", body=b'{"name":"x"}')

    assert [400, 404, 403] == [reply.status for reply in (*replies, forbidden)]
    assert {"key.create"} == {row["verb"] for row in rows(yard)[: len(rows(yard)) - before]}


def test_a_team_sees_its_own_rows_only_and_operators_see_all(tmp_path: Path) -> None:
    with open_app(tmp_path, operator_team="ops") as yard:
        yard.put(a_model(1), a_private(OWN, "red"), a_private(OTHER, "blue"))
        for team in ("red", "blue", "ops"):
            yard.key(team, Scope.ADMIN)

        teams = {
            (team, query): {row["team"] for row in rows(yard, query, team)}
            for team in ("red", "blue", "ops")
            for query in ("", "filter.team=blue", f"filter.model={OTHER}", "filter.model=1")
        }

    assert {
        ("red", ""): {"red"},
        ("red", "filter.team=blue"): set(),
        ("red", f"filter.model={OTHER}"): set(),
        ("red", "filter.model=1"): set(),
        ("blue", ""): {"blue"},
        ("blue", "filter.team=blue"): {"blue"},
        ("blue", f"filter.model={OTHER}"): {"blue"},
        ("blue", "filter.model=1"): set(),
        ("ops", ""): {"red", "blue", "ops", None},
        ("ops", "filter.team=blue"): {"blue"},
        ("ops", f"filter.model={OTHER}"): {"blue"},
        ("ops", "filter.model=1"): {None},
    } == teams


def test_pages_of_rows_have_each_row_once(yard: App) -> None:
    for number in range(5):
        change(yard, f"n{number}")
    all_ids = [row["id"] for row in rows(yard)]

    ids, cursor = [], ""
    while True:
        reply = ask_audit(yard, f"pagination.limit=2&pagination.cursor={cursor}")
        ids += [row["id"] for row in reply.json["audit"]]
        if not (cursor := reply.json["pagination"]["next_cursor"]):
            break

    assert sorted(all_ids, reverse=True) == all_ids == ids


def test_filters_choose_by_time_verb_and_key(yard: App) -> None:
    change(yard, "night")
    fingerprint = yard.access.fingerprint_of(yard.key("red", Scope.READ, Scope.WRITE))

    assert {"model.edit"} == {row["verb"] for row in rows(yard, f"filter.key={fingerprint}")}
    assert {"key.create"} == {row["verb"] for row in rows(yard, "filter.verb=key")}
    assert {"model.edit"} == {row["verb"] for row in rows(yard, "filter.verb=model.edit")}
    assert [] == rows(yard, "filter.since=2999-01-01T00:00:00Z")
    assert [] == rows(yard, "filter.until=2001-01-01")
    assert rows(yard) == rows(yard, "filter.since=0&filter.until=253402300799")


@pytest.mark.parametrize(
    "query",
    [
        "filter.sinc=1",
        "filter.since=yesterday",
        "filter.since=" + "1" * 60,
        "filter.until=1795101231234",
        "filter.verb=nonsense",
        "filter.verb=model.nonsense",
        "filter.model=x",
        "filter.model=" + "9" * 19,
        "filter.model=1&filter.model=2",
        "filter.key=abc",
        "filter.verb=a%00b",
        "filter.verb=" + "a" * 65,
        "filter.team=%00",
        "pagination.limit=0",
        "pagination.limit=1001",
        "pagination.cursor=c_1",
        "pagination.cursor=a_" + "9" * 19,
        "filter.team=" + "a" * 65,
    ],
)
def test_bad_parameters_are_refused(yard: App, query: str) -> None:
    assert 400 == ask_audit(yard, query).status


def test_a_query_string_that_is_longer_than_any_is_refused(yard: App) -> None:
    assert 414 == ask_audit(yard, "filter.team=" + "a" * 3000).status


def test_many_models_of_one_transaction_have_one_row(yard: App) -> None:
    count = audit.MODEL_ROWS_MAX + 1
    before = yard.store.revision()
    yard.put(*(a_private(number, "red", sd_name=f"{number}.pt") for number in range(1, count + 1)))

    (row,) = rows(yard, "filter.verb=model.create&pagination.limit=1")

    assert (None, count, before, before + 1) == (
        row["model_id"],
        row["models"],
        row["revision_before"],
        row["revision_after"],
    )


def test_keys_and_sessions_have_rows(yard: App) -> None:
    _, key = yard.access.create_key("red", [Scope.READ], name="old")
    yard.access.revoke_key(str(key.id))
    sign_in(yard)

    verbs = [(row["verb"], row["subject"]) for row in rows(yard)]
    session, _, revocation, *_ = verbs

    assert ("session.start", 16) == (session[0], len(session[1]))
    assert ("key.revoke", f"{key.hint} old") == revocation
    assert 0 == sum(yard.key("red", Scope.ADMIN) in str(row) for row in rows(yard))


def sign_in(yard: App) -> str:
    form = urlencode({"key": yard.key("red", Scope.ADMIN)}).encode()
    cookie = yard.ask("/sign-in", None, method="POST", body=form).headers["set-cookie"]
    return cookie.partition(";")[0]


def test_the_page_shows_the_rows_and_says_what_is_wrong_with_a_filter(yard: App) -> None:
    change(yard, "night")
    cookie = sign_in(yard)

    page = yard.ask("/audit?filter.verb=model.edit&pagination.limit=1", None, cookie=cookie)
    wrong = yard.ask("/audit?filter.model=%3Cb%3E", None, cookie=cookie)

    assert (200, True, False) == (page.status, b"model.edit" in page.body, b"session.start" in page.body)
    assert (400, True, False) == (wrong.status, b"filter.model:" in wrong.body, b"<b>" in wrong.body)


def test_a_thread_of_a_request_acts_for_it_and_any_other_write_is_by_the_process(yard: App) -> None:
    yard.store.process = Actor(audit.BY_COMMAND, "modelyard edit")
    with yard.store.transaction() as transaction:
        transaction.put([transaction.entries([OWN])[OWN]])
    change(yard, "night")

    actors = [tuple(row[name] for name in ("actor", "via")) for row in rows(yard, f"filter.model={OWN}")]

    assert [("key", "PATCH /v3/model"), ("command", "modelyard edit")] == actors[:2]


def test_a_repository_without_a_model_has_rows_of_its_own(yard: App) -> None:
    bench = Bench(yard, None)
    bench.create("texts")
    bench.commit(text("a.txt", b"a"), name="texts")
    bench.batch(b"weights that no commit names", name="texts")
    body = {"name": "texts", "organization": "red"}
    assert 200 == bench.ask("/api/repos/delete", method="DELETE", body=body).status

    written = [(row["verb"], row["subject"]) for row in rows(yard, "filter.verb=repository")]
    assert [(f"repository.{verb}", "texts") for verb in ("delete", "commit", "create")] == written
    assert ["upload.create"] == [row["verb"] for row in rows(yard, "filter.verb=upload")]


def test_a_model_that_is_deleted_for_good_has_a_row(yard: App) -> None:
    browser = signed_in(yard)
    authorization = f"Bearer {yard.key('red', Scope.READ, Scope.WRITE)}"
    yard.ask(f"/v3/model?id={OWN}", None, method="DELETE", authorization=authorization)
    assert 303 == browser.post(f"/deleted/{OWN}/purge", fields={"confirm": "1"}).status

    (row,) = rows(yard, "filter.verb=model.purge")
    assert (str(OWN), "red", "POST /deleted/{id}/purge") == (row["subject"], row["team"], row["via"])


def test_an_upload_that_is_cancelled_before_it_has_a_model_has_rows(yard: App) -> None:
    authorization = f"Bearer {yard.key('red', Scope.WRITE)}"
    given = {"authorization": authorization, "tus_resumable": "1.0.0"}
    metadata = "filename " + base64.b64encode(b"a.safetensors").decode()
    reply = yard.ask("/v3/uploads", None, method="POST", upload_length="10", upload_metadata=metadata, **given)
    address = reply.headers["location"].removeprefix("http://127.0.0.1")
    cancelled = yard.ask(address, None, method="DELETE", **given)

    assert (201, 204) == (reply.status, cancelled.status)
    upload_id = address.rpartition("/")[2]
    written = [(row["verb"], row["subject"]) for row in rows(yard, "filter.verb=upload")]
    assert [("upload.cancel", upload_id), ("upload.create", upload_id)] == written


def test_a_test_message_of_a_webhook_has_a_row(yard: App) -> None:
    given = {"authorization": f"Bearer {yard.key('red', Scope.ADMIN)}"}
    body = json.dumps({"url": "https://hooks.example/x", "events": ["model.put"]}).encode()
    webhook = yard.ask("/v3/webhooks", None, method="POST", body=body, **given).json["id"]
    reply = yard.ask(f"/v3/webhooks/{webhook}/test", None, method="POST", **given)

    assert reply.status < 300
    assert ["webhook.test", "webhook.create"] == [row["verb"] for row in rows(yard, "filter.verb=webhook")]


def test_every_verb_of_the_code_is_one_that_a_filter_takes() -> None:
    sources = [path.read_text() for path in Path(modelyard.__file__).parent.rglob("*.py")]
    noted = {verb for text in sources for verb in re.findall(r'audit\.note\((?:f?)"([a-z_.]+)"', text)}
    noted |= {"person.create", "key.create", "person.revoke", "key.revoke"}
    noted |= {audit.CREATE, audit.EDIT, audit.DELETE, audit.COUNT}

    assert noted == set(VERBS)
