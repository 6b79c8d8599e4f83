"""The details of a model: complete, found by id, hash and AIR, and only as the caller may see them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.civitai.records import convert
from modelyard.domain import Hashes, Scope, Source, Verdict, Visibility, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.fingerprint import Fingerprint
from modelyard.store import files
from modelyard.store.files import FileRecord, FileState
from tests.app_fixture import App, Reply, open_app

SHA, PRUNED, OTHER = (letter * 64 for letter in "ABC")
GROUP = "civitai:7"
ANSWER: dict[str, Any] = {
    "id": 7,
    "name": "Harbour Lights 灯",
    "description": "<p>Boats &amp; <b>lights</b></p><script>alert(1)</script>",
    "creator": {"username": "anna"},
    "type": "LORA",
    "nsfw": False,
    "tags": ["boats"],
    "allowCommercialUse": ["Image"],
    "allowNoCredit": False,
    "modelVersions": [
        {
            "id": 77,
            "name": "v2",
            "baseModel": "SDXL 1.0",
            "publishedAt": "2023-08-01T00:00:00.000Z",
            "updatedAt": "2023-08-02T00:00:00.000Z",
            "trainedWords": ["harbour", "at dusk"],
            "settings": {"strength": 0.8},
            "files": [
                {
                    "id": 1,
                    "name": "full.safetensors",
                    "type": "Model",
                    "sizeKB": 2,
                    "primary": True,
                    "metadata": {"format": "SafeTensor", "size": "full", "fp": "fp16"},
                    "hashes": {"SHA256": SHA, "AutoV3": "D" * 12, "CRC32": "E" * 8},
                },
                {
                    "id": 2,
                    "name": "pruned.safetensors",
                    "type": "Pruned Model",
                    "sizeKB": 1,
                    "hashes": {"SHA256": PRUNED},
                },
            ],
            "images": [
                {"url": "https://images.example/1.jpeg", "width": 512, "meta": {"prompt": "a boat", "steps": 20}}
            ],
        },
        {
            "id": 78,
            "name": "v1",
            "baseModel": "SD 1.5",
            "files": [{"id": 3, "name": "old.pt", "type": "Model", "sizeKB": 1, "hashes": {"SHA256": OTHER}}],
        },
    ],
}


def own(name: str, team: str, visibility: Visibility = Visibility.PRIVATE, **facts: Any) -> Record:
    values = Facts(name=name, sd_name=f"{name}.safetensors", type=model_type("lora"), **facts)
    return Record(None, Source.UPLOADING, Layer.USER, values, visibility, team)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, anonymous_access="public") as app:
        records = [record for record in convert(ANSWER) if isinstance(record, Record)]
        list(app.catalog.register_many(records))
        yield app


def details(yard: App, query: str, team: str | None = "red") -> Reply:
    return yard.ask(f"/v3/model/details?{query}", team)


def test_the_details_have_everything_that_is_known(yard: App) -> None:
    body = details(yard, "id=77").json
    listed = yard.ask("/v3/model?filter.model_version_id=77").json["models"][0]

    assert listed == {name: body[name] for name in listed} == body["model"]
    assert ("Harbour Lights 灯", "Boats & lights", "anna") == (body["title"], body["description"], body["creator"])
    assert (["harbour", "at dusk"], 2048) == (body["trigger_words"], body["size_bytes"])
    assert ("2023-08-01T00:00:00Z", "2023-08-02T00:00:00Z") == (body["published_at"], body["updated_at"])
    assert body["added_at"].startswith("20")
    assert "urn:air:sdxl:lora:civitai:7@77" == body["air"]
    assert (0.8, None) == (body["recommended"]["weight"], body["recommended"]["clip_skip"])
    assert body["licence"] == {
        "id": None,
        "name": None,
        "url": None,
        "allow_commercial": ["image"],
        "allow_no_credit": False,
        "allow_derivatives": None,
        "allow_different_licence": None,
    }
    (image,) = body["images"]
    assert ("https://images.example/1.jpeg", 512, None, "a boat", 20, []) == (
        image["url"],
        image["width"],
        image["height"],
        image["prompt"],
        image["steps"],
        image["resources"],
    )
    assert {"value": "anna", "layer": "upstream"} == body["facts"]["creator"]
    assert "anna" == body["layers"]["upstream"]["creator"]
    assert (None, {}, {}) == (body["check"], body["declared"], body["found"])


def test_all_files_of_a_version_are_listed_with_full_hashes(yard: App) -> None:
    full, pruned = details(yard, "id=77").json["files"]

    assert full == {
        "id": 1,
        "name": "full.safetensors",
        "type": "Model",
        "size_bytes": 2048,
        "format": "SafeTensor",
        "precision": "fp16",
        "size_kind": "full",
        "is_primary": True,
        "role": None,
        "hashes": {"autov2": SHA[:10], "autov3": "D" * 12, "sha256": SHA, "crc32": "E" * 8},
        "scan": None,
        "is_here": False,
    }
    assert ("pruned.safetensors", "pruned", PRUNED) == (pruned["name"], pruned["size_kind"], pruned["hashes"]["sha256"])
    (only,) = details(yard, "id=78").json["files"]
    assert ("old.pt", 3, OTHER) == (only["name"], only["id"], only["hashes"]["sha256"])


def test_versions_of_a_group_come_newest_first(yard: App) -> None:
    group = details(yard, "id=78", None).json["version_group"]

    assert GROUP == group["id"]
    assert [(77, "v2", "SDXL 1.0", 2048, 1), (78, "v1", "SD 1.5", 1024, 1)] == [
        (version["id"], version["name"], version["base_model"], version["size_bytes"], version["status"])
        for version in group["versions"]
    ]


@pytest.mark.parametrize(
    "query",
    [
        "id=77",
        f"hash={SHA}",
        f"hash={SHA[:10].lower()}",
        f"hash=sha256:{PRUNED}",
        "hash=DDDDDDDDDDDD",
        "air=urn:air:sdxl:lora:civitai:7@77",
        "air=URN:AIR:other:lora:civitai:7@77",
    ],
)
def test_a_model_is_found_by_id_hash_and_air(yard: App, query: str) -> None:
    assert 77 == details(yard, query, None).json["id"]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 400, "id: '' is not accepted; accepted: a model's id, decimal digits"),
        ("id=x", 400, "id: 'x'"),
        ("id=77&id=78", 400, "id: '77,78'"),
        ("hash=xyz", 400, "hash: 'xyz' is not accepted; accepted: a hash of 8, 10, 12 or 64 hexadecimal digits"),
        (f"hash={SHA}&hash={OTHER}", 400, "hash: "),
        (
            "air=urn:air:sdxl:lora:civitai:7",
            400,
            "accepted: urn:air:<ecosystem>:<type>:civitai:<model id>@<version id>",
        ),
        ("air=urn:air:sdxl:lora:huggingface:7@77", 400, "air: "),
        (f"id=77&hash={SHA}", 400, "accepted: one of id, hash and air in a request"),
        (
            "id=77&file=abc",
            400,
            "file: 'abc' is not accepted; accepted: the SHA-256 of a file of this model that is here",
        ),
        (f"id=77&file={SHA}", 400, "file: "),
        ("id=79", 404, "no model '79'"),
        (f"hash={'F' * 64}", 404, "no model"),
        ("air=urn:air:sdxl:lora:civitai:8@77", 404, "no model 'urn:air:sdxl:lora:civitai:8@77'"),
        ("air=urn:air:sdxl:lora:civitai:7@79", 404, "no model 'urn:air:sdxl:lora:civitai:7@79'"),
    ],
)
def test_what_is_not_accepted_or_unknown_is_a_clear_error(yard: App, query: str, status: int, message: str) -> None:
    reply = details(yard, query)

    assert status == reply.status
    assert message in reply.json["message"]


def test_another_teams_private_model_is_unknown_by_every_name_and_in_every_list(yard: App) -> None:
    secret = Hashes(sha256="9" * 64)
    records = [
        own("mine", "red", upstream_model_id=7, hashes=secret, version_group=None),
        own("grouped", "red", version_group="night"),
        own("other", "blue", version_group="night"),
        own("public", "blue", Visibility.PUBLIC, version_group="night"),
    ]
    mine, grouped, other, public = (outcome.id for outcome in yard.catalog.register_many(records))

    assert {200} == {details(yard, query).status for query in (f"id={mine}", f"hash={'9' * 64}")}
    for team in ("blue", None):
        unknown = details(yard, f"hash={'8' * 64}", team)
        for query in (f"id={mine}", f"hash={'9' * 64}"):
            reply = details(yard, query, team)
            assert (404, unknown.json["reason"]) == (reply.status, reply.json["reason"])
    versions = {
        team: [item["id"] for item in details(yard, "id=77", team).json["version_group"]["versions"]]
        for team in ("red", "blue", None)
    }
    assert {"red": [77, mine, 78], "blue": [77, 78], None: [77, 78]} == {
        team: sorted(ids, key=[77, mine, 78].index) for team, ids in versions.items()
    }
    groups = {
        id_: details(yard, f"id={id_}", team).json["version_group"] for id_, team in ((grouped, "red"), (other, "blue"))
    }
    assert ("red/night", [grouped]) == (groups[grouped]["id"], [item["id"] for item in groups[grouped]["versions"]])
    assert ("blue/night", {other, public}) == (groups[other]["id"], {item["id"] for item in groups[other]["versions"]})
    assert [public] == [item["id"] for item in details(yard, f"id={public}", "red").json["version_group"]["versions"]]


def test_the_name_of_a_group_may_be_sent_back_as_it_was_answered(yard: App) -> None:
    (outcome,) = yard.catalog.register_many([own("mine", "red", version_group="night")])
    key = yard.key("red", Scope.READ, Scope.WRITE)
    group = details(yard, f"id={outcome.id}").json["version_group"]["id"]

    body = json.dumps({"version_group": group}).encode()
    reply = yard.ask(f"/v3/model?id={outcome.id}", method="PATCH", body=body, authorization=f"Bearer {key}")

    assert 200 == reply.status
    assert group == "red/night" == details(yard, f"id={outcome.id}").json["version_group"]["id"]


def add_file(yard: App, folder: Path, visibility: Visibility = Visibility.PUBLIC, team: str | None = None) -> None:
    """Note a file in a folder that is the pruned file of version 77."""
    path = folder / "night.safetensors"
    path.write_bytes(b"pruned")
    fingerprint = Fingerprint.find(bytes(path))
    assert fingerprint is not None
    record = FileRecord(
        path=bytes(path),
        fingerprint=fingerprint,
        device=0,
        state=FileState.PRESENT,
        verdict=Verdict.CLEAN,
        reason="",
        sha256=PRUNED.lower(),
        model_id=77,
        source=Source.UPLOADING,
        team=team,
        visibility=visibility,
    )
    with yard.store.transaction() as transaction:
        files.put(transaction.connection, [(record, "{}")])


def test_a_file_in_another_teams_folder_is_not_here(yard: App, tmp_path: Path) -> None:
    add_file(yard, tmp_path, Visibility.PRIVATE, "red")

    link = details(yard, f"id=77&file={PRUNED}", "red").json["download_url"].removeprefix("http://127.0.0.1")

    assert {"red": [False, True], "blue": [False, False], None: [False, False]} == {
        team: [file["is_here"] for file in details(yard, "id=77", team).json["files"]] for team in ("red", "blue", None)
    }
    assert [400, 400] == [details(yard, f"id=77&file={PRUNED}", team).status for team in ("blue", None)]
    assert 200 == yard.ask(link, None).status


def test_a_file_that_is_here_has_a_link_and_its_verdict(yard: App, tmp_path: Path) -> None:
    add_file(yard, tmp_path)

    body = details(yard, "id=77", None).json
    by_file = details(yard, f"id=77&file={PRUNED}", None).json

    assert [(False, None), (True, "clean")] == [(file["is_here"], file["scan"]) for file in body["files"]]
    assert f"/files/{PRUNED.lower()}/pruned.safetensors?" in body["download_url"]
    assert body["download_url"].split("?")[0] == by_file["download_url"].split("?")[0]
    reply = yard.ask(body["download_url"].removeprefix("http://127.0.0.1"), None)
    assert (200, b"pruned") == (reply.status, reply.body)
    assert 400 == details(yard, f"id=77&file={SHA}", None).status


def test_the_owner_reads_what_was_declared_without_the_date_of_the_edit(yard: App) -> None:
    (outcome,) = yard.catalog.register_many([own("mine", "red")])
    key = yard.key("red", Scope.READ, Scope.WRITE)
    yard.ask(
        f"/v3/model?id={outcome.id}",
        method="PATCH",
        body=json.dumps({"tags": ["x"]}).encode(),
        authorization=f"Bearer {key}",
    )

    body = details(yard, f"id={outcome.id}").json

    assert ["x"] == body["declared"]["tags"]
    assert "updated_at" not in body["declared"]
    assert body["updated_at"] == body["layers"]["user"]["updated_at"]
    assert ("waiting", None) == (body["check"]["verdict"], body["air"])
    assert "mine.safetensors" == body["files"][0]["name"]
