"""Sends: a generator fetches the file of a model from a running server, by the link that a job gives it.

The generator is a stand-in that answers what ComfyUI and InvokeAI answer.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from modelyard.domain import Scope, Verdict
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.retry import RetryPolicy
from modelyard.sends import LINK_SECONDS, OPEN_MAX, Sender
from modelyard.store import blobs, jobs, sends
from modelyard.store.sends import Send
from modelyard.targets import parse_targets
from modelyard.web.api.files import make_links
from modelyard.web.urls import open_signer
from tests.app_fixture import Address, App, a_model, listening, open_app
from tests.transfers import WRITER, checking, lora_bytes, upload
from tests.upstream import Upstream, serve_upstream

VERSION, DOWNLOAD, TASK, INSTALL = (
    "/api/v1/app/version",
    "/api/assets/download",
    "/api/tasks/t1",
    "/api/v2/models/install",
)
NO_WAIT = RetryPolicy(attempts_max=2, wait_seconds_first=0.0, wait_seconds_max=0.0, retry_after_seconds_max=0.0)


@dataclass
class Studio:
    """A generator, the files that it has fetched by their names, and the links that it got."""

    upstream: Upstream
    files: dict[str, bytes] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    def take(self, handler: Any) -> None:
        """Fetch the file of a request at once, where ComfyUI does it in a task."""
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.links.append(request["source_url"])
        with urllib.request.urlopen(request["source_url"]) as answer:
            self.files[request["filename"]] = answer.read()
        handler.reply(b'{"task_id":"t1","status":"created"}', 202)

    def says(self, path: str, answer: object, status: int = 200) -> None:
        self.upstream.put(path, lambda handler: handler.reply(json.dumps(answer).encode(), status))


@dataclass
class Yard:
    """A server that listens, with one model of the team red that has a file."""

    app: App
    address: Address
    targets: str
    model_id: int

    def call(self, body: object = None, team: str = "red", scopes: Iterable[Scope] = WRITER) -> Any:
        """Ask for sends, or list them; return the answer, also of an error."""
        headers = {"Authorization": f"Bearer {self.app.key(team, *scopes)}"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"{self.address.url}/v3/model/sends", data, headers)
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as problem:
            return json.load(problem)

    def send(self, target: str = "studio") -> Any:
        return self.call({"target": target, "model_ids": [self.model_id]})["sends"][0]

    def work(self, *, steps: int = 50, later_seconds: float = 0.0) -> None:
        """Do steps of sends until there is no more, without waiting for their time."""
        store, signer = self.app.store, open_signer(self.app.store)

        def link_for(base: str, sha256: str, label: str, fingerprint: str) -> str:
            return make_links(signer, base, fingerprint, LINK_SECONDS)(sha256, label)

        sender = Sender(
            store, parse_targets(self.targets), link_for, policy=NO_WAIT, clock=lambda: time.time() + later_seconds
        )
        resources = Resources(store, sender=sender)
        kinds = [kind for kind in tasks.KINDS if kind.name == jobs.SEND]
        worker = Worker(resources, kinds, ThreadExecutor(resources), node="test")
        for _ in range(steps):
            with store.transaction() as transaction:
                for job in jobs.listed(transaction.connection):
                    jobs.retry(transaction.connection, job.id, transaction.now)
            if not worker.run_next():
                return


@pytest.fixture
def studio() -> Iterator[Studio]:
    with serve_upstream() as upstream:
        studio = Studio(upstream)
        upstream.put(DOWNLOAD, studio.take)
        yield studio


@pytest.fixture
def yard(tmp_path: Path, studio: Studio) -> Iterator[Yard]:
    url = studio.upstream.url
    targets = f"studio comfyui {url},lab invokeai {url},gone comfyui http://127.0.0.1:1"
    with open_app(tmp_path, targets=targets) as app:
        verification = checking(app, tmp_path)
        model_id = upload(app, "night", lora_bytes())["id"]
        while verification.verify_next():
            pass
        with listening(app) as address:
            yield Yard(app, address, targets, model_id)


def test_a_generator_fetches_the_file_and_the_team_sees_how_far_it_is(yard: Yard, studio: Studio) -> None:
    seen = [yard.send()]
    studio.says(TASK, {"status": "running", "bytes_downloaded": 3, "bytes_total": 9})
    yard.work(steps=2)
    seen += yard.call()["sends"]
    studio.says(TASK, {"status": "completed", "bytes_downloaded": 9, "bytes_total": 9})
    yard.work()
    answer = yard.call()
    seen += answer["sends"]

    assert [("waiting", None), ("sending", 3), ("done", 9)] == [(row["state"], row["done_bytes"]) for row in seen]
    assert ["studio", "lab", "gone"] == answer["targets"]
    assert [lora_bytes()] == [*studio.files.values()]
    assert [] == yard.call(team="blue")["sends"]
    assert [("send.create", f"{seen[0]['id']} to studio", "red")] == yard.app.audited("send")


def test_the_link_begins_with_the_address_of_this_server_and_is_good_for_a_day(yard: Yard, studio: Studio) -> None:
    yard.send()
    yard.work(steps=1)
    (link,) = studio.links

    assert link.startswith(f"{yard.address.url}/files/")
    assert int(parse_qs(urlsplit(link).query)["expires"][0]) >= time.time() + LINK_SECONDS - 60


def test_a_forged_host_does_not_lead_a_generator_elsewhere(yard: Yard, studio: Studio) -> None:
    headers = {"Authorization": f"Bearer {yard.app.key('red', *WRITER)}", "Host": "attacker.example"}
    body = json.dumps({"target": "studio", "model_ids": [yard.model_id]}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{yard.address.url}/v3/model/sends", body, headers)).close()
    yard.work(steps=1)

    assert [yard.address.url] == [link.partition("/files/")[0] for link in studio.links]


def test_a_model_that_is_on_its_way_is_not_sent_twice(yard: Yard, studio: Studio) -> None:
    first, again = yard.send(), yard.send()
    studio.says(TASK, {"status": "completed"})
    yard.work()

    assert first["id"] == again["id"]
    assert 1 == len(studio.links)
    assert first["id"] != yard.send()["id"]


def test_invokeai_installs_the_file(yard: Yard, studio: Studio) -> None:
    studio.says(VERSION, {"version": "6.9.0"})
    studio.says(f"{INSTALL}/7", {"id": 7, "status": "completed"})
    requests: list[str] = []

    def install(handler: Any) -> None:
        requests.append(parse_qs(urlsplit(handler.path).query)["source"][0])
        handler.reply(b'{"id":7,"status":"waiting"}', 201)

    studio.upstream.answer_others(install)
    yard.send("lab")
    yard.work()

    assert ["done"] == [row["state"] for row in yard.call()["sends"]]
    assert [yard.address.url] == [link.partition("/files/")[0] for link in requests]


def test_comfyui_without_the_route_names_the_command_that_works(yard: Yard, studio: Studio) -> None:
    studio.says(DOWNLOAD, {}, 404)
    yard.send()
    yard.work()
    (row,) = yard.call()["sends"]

    assert "failed" == row["state"]
    assert "`modelyard pull --layout comfyui --root FOLDER`" in row["problem"]
    assert studio.upstream.url not in row["problem"]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"status": "failed", "error_message": "403 from http://10.0.0.7:8080/files/ab?signature=x"}, "403 from (addr"),
        ([1], "answers with a list"),
        ({"status": "cancelled"}, "failed: cancelled"),
    ],
)
def test_a_failure_is_shown_without_addresses_and_links(yard: Yard, studio: Studio, task: object, reason: str) -> None:
    studio.says(TASK, task)
    yard.send()
    yard.work()
    (row,) = yard.call()["sends"]

    assert "failed" == row["state"]
    assert reason in row["problem"]
    assert not [part for part in ("signature", "127.0.0.1", "10.0.0.7", "://") if part in row["problem"]]


def test_a_generator_that_is_away_is_tried_again_and_then_given_up(yard: Yard) -> None:
    yard.send("gone")
    yard.work(steps=1)
    waiting = yard.call()["sends"][0]
    yard.work()
    failed = yard.call()["sends"][0]

    assert ("waiting", "gone does not answer; next attempt in 0 s") == (waiting["state"], waiting["problem"])
    assert ("failed", "gone does not answer") == (failed["state"], failed["problem"])


def test_a_generator_that_has_the_request_and_breaks_off_is_not_asked_twice(yard: Yard, studio: Studio) -> None:
    asked: list[str] = []

    def break_off(handler: Any) -> None:
        asked.append(handler.path)
        handler.connection.close()

    studio.upstream.put(DOWNLOAD, break_off)
    yard.send()
    yard.work()

    assert [DOWNLOAD] == asked
    assert "look there before you send the model again" in yard.call()["sends"][0]["problem"]


def test_a_send_ends_when_its_link_has_expired(yard: Yard, studio: Studio) -> None:
    studio.says(TASK, {"status": "running"})
    yard.send()
    yard.work(steps=2)
    yard.work(steps=1, later_seconds=LINK_SECONDS + 1)

    assert "studio did not finish before the link expired" == yard.call()["sends"][0]["problem"]


def test_what_cannot_be_sent_is_refused_with_the_reason(yard: Yard) -> None:
    yard.app.put(a_model(5))
    model_id = yard.model_id
    refusals = [
        yard.call({"target": "nowhere", "model_ids": [model_id]}),
        yard.call({"target": "studio", "model_ids": [5]}),
        yard.call({"target": "studio", "model_ids": [model_id]}, team="blue"),
        yard.call({"target": "studio", "model_ids": []}),
    ]

    assert [400, 409, 404, 400] == [refusal["code"] for refusal in refusals]
    assert "target: 'nowhere' is not accepted; accepted: studio, lab, gone" == refusals[0]["message"]
    assert [] == yard.call()["sends"]


def test_the_link_is_for_the_key_so_the_key_must_be_allowed_to_read(yard: Yard) -> None:
    refusal = yard.call({"target": "studio", "model_ids": [yard.model_id]}, scopes=[Scope.WRITE])

    assert (403, True) == (refusal["code"], "read" in refusal["message"])
    assert [] == yard.call()["sends"]


def test_a_file_that_is_not_served_is_not_sent(yard: Yard) -> None:
    sha256 = yard.app.store.entry(yard.model_id).model.blob
    with yard.app.store.transaction() as transaction:
        blob = blobs.find(transaction.connection, sha256)
        suspicious = replace(blob, verdict=Verdict.SUSPICIOUS, reason="it imports what no model needs")
        blobs.put(transaction.connection, suspicious)
    refusal = yard.call({"target": "studio", "model_ids": [yard.model_id]})

    assert "it imports what no model needs" in refusal["message"]
    assert [] == yard.call()["sends"]


def test_a_team_may_have_so_many_sends_at_once(yard: Yard) -> None:
    with yard.app.store.transaction() as transaction:
        for number in range(OPEN_MAX):
            send = Send(f"{number:032x}", "red", number, "studio", "http://a.example", "", transaction.now)
            sends.add(transaction.connection, send)
    refusal = yard.call({"target": "studio", "model_ids": [yard.model_id]})

    assert (400, f"model_ids: a team may have {OPEN_MAX} sends at once") == (refusal["code"], refusal["message"])
    assert OPEN_MAX == len(open_sends(yard))


def open_sends(yard: Yard) -> Iterable[object]:
    with yard.app.store.reading() as connection:
        return sends.open_of_team(connection, "red")


def test_a_generator_that_was_taken_out_of_the_settings_gets_nothing(yard: Yard) -> None:
    yard.send("lab")
    yard.targets = yard.targets.replace(",lab ", ",other ")
    yard.work()

    assert "the server has no generator lab any more" == yard.call()["sends"][0]["problem"]


def test_a_model_that_was_deleted_meanwhile_is_not_sent(yard: Yard, studio: Studio) -> None:
    yard.send()
    with yard.app.store.transaction() as transaction:
        transaction.remove([yard.model_id])
    yard.work()

    assert "the model, or its file, is not here any more" == yard.call()["sends"][0]["problem"]
    assert [] == studio.links


def test_the_job_of_a_send_that_is_gone_ends(yard: Yard, studio: Studio) -> None:
    store = yard.app.catalog.store
    sender = Sender(store, parse_targets(yard.targets), lambda *_: "", policy=NO_WAIT)

    assert sender.step("0" * 32) is None
    assert [] == studio.links
