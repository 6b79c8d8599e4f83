"""What a workflow needs, and which of the caller's models it is."""

import json
from typing import Any

import pytest

from modelyard.domain import MODEL_TYPES, Hashes
from tests.app_fixture import App, Reply, a_model, a_private

SHA, OTHER = 64 * "A", 64 * "B"
LORA, CHECKPOINT = MODEL_TYPES["lora"], MODEL_TYPES["checkpoint"]


def resolve(yard: App, document: object, team: str = "red") -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return yard.ask("/v3/model/resolve", team, method="POST", body=body, content_type="application/json")


def wants(yard: App, *models: dict[str, Any], team: str = "red") -> list[tuple[str, list[int]]]:
    reply = resolve(yard, {"models": [*models]}, team)
    assert 200 == reply.status, reply.text
    return [(want["how"], [model["id"] for model in want["models"]]) for want in reply.json["wanted"]]


def test_a_workflow_is_answered_with_the_models_that_it_needs(yard: App) -> None:
    yard.put(a_model(7, file_names=("glow_v1.safetensors",), type=LORA))
    graph = {
        "nodes": [
            {"id": 1, "type": "LoraLoader", "widgets_values": ["style/Glow_v1.safetensors", 1, 1]},
            {"id": 2, "type": "SomeLoader", "widgets_values": ["nowhere-at-all.pt"]},
        ]
    }

    reply = resolve(yard, graph)

    assert 200 == reply.status
    (model,) = yard.ask("/v3/model").json["models"]
    assert reply.json == {
        "wanted": [
            {
                "name": "style/Glow_v1.safetensors",
                "directory": "loras",
                "hash": None,
                "url": None,
                "nodes": ["1"],
                "how": "file_name",
                "models": [model],
            },
            {
                "name": "nowhere-at-all.pt",
                "directory": None,
                "hash": None,
                "url": None,
                "nodes": ["2"],
                "how": "none",
                "models": [],
            },
        ],
        "found": 1,
        "missing": 1,
        "unknown_nodes": ["SomeLoader"],
        "truncated": False,
    }


def test_a_model_is_matched_by_what_is_most_certain(yard: App) -> None:
    yard.put(
        a_model(1, hashes=Hashes(sha256=SHA), file_names=("a.safetensors",)),
        a_model(2, hashes=Hashes(autov3=OTHER), file_names=("b.safetensors",)),
        a_model(5067, file_names=("c.safetensors",)),
    )

    assert wants(
        yard,
        {"name": "c.safetensors", "hash": SHA},
        {"name": "c.ckpt", "hash": SHA[:10], "directory": "loras"},
        {"name": "x.safetensors", "hash": OTHER, "hash_type": "AutoV3"},
        {"name": "y.safetensors", "hash": OTHER[:12]},
        {"name": "z.safetensors", "hash": 64 * "C", "air": "urn:air:sdxl:lora:civitai:4476@5067"},
        {"name": "u.safetensors", "url": "https://civitai.com/api/download/models/5067?type=Model"},
        {"name": "v.safetensors", "url": "https://civitai.com/models/4476/glow?modelVersionId=5067"},
        {"name": "a.safetensors"},
    ) == [
        ("sha256", [1]),
        ("autov2", [1]),
        ("autov3", [2]),
        ("autov3", [2]),
        ("air", [5067]),
        ("url", [5067]),
        ("url", [5067]),
        ("file_name", [1]),
    ]


def test_names_match_without_folders_ids_and_upper_case(yard: App) -> None:
    yard.put(
        a_model(1, sd_name="Glow_v1_1.safetensors", file_names=("Glow v1.safetensors",)),
        a_model(2, sd_name="deep_2.ckpt", file_names=()),
    )

    assert wants(
        yard,
        {"name": "people\\GLOW V1.safetensors"},
        {"name": "glow v1"},
        {"name": "glow v1_123456.safetensors"},
        {"name": "Deep_2.ckpt"},
        {"name": "deep_2.safetensors"},
    ) == [("file_name", [1]), ("file_name", [1]), ("file_name", [1]), ("sd_name", [2]), ("words", [2])]


def test_words_are_offered_and_never_count_as_found(yard: App) -> None:
    yard.put(a_model(1, title="Night Valley", sd_name="nv.safetensors", name="v2"))

    reply = resolve(yard, {"models": [{"name": "night-valley.safetensors"}]}).json

    assert [("words", 0, 1)] == [(want["how"], reply["found"], reply["missing"]) for want in reply["wanted"]]
    assert [1] == [model["id"] for model in reply["wanted"][0]["models"]]


def test_models_of_the_folders_type_come_alone(yard: App) -> None:
    yard.put(
        a_model(1, rank=9, type=CHECKPOINT, file_names=("model.safetensors",)),
        a_model(2, rank=5, type=LORA, file_names=("model.safetensors",)),
        a_model(3, rank=3, type=LORA, file_names=("model.safetensors",)),
    )

    for directory, ids in (("loras", [2, 3]), ("vae", [1, 2, 3]), ("ipadapter", [1, 2, 3])):
        assert wants(yard, {"name": "model.safetensors", "directory": directory}) == [("file_name", ids)]
    assert wants(yard, {"name": "model.safetensors"}) == [("file_name", [1, 2, 3])]


def test_nothing_of_another_team_is_answered_counted_or_offered(yard: App) -> None:
    hidden = a_private(
        1_000_000_001, "red", hashes=Hashes(sha256=SHA), file_names=("secret-plan.safetensors",), title="secret plan"
    )
    yard.put(hidden)
    asked = (
        {"name": "x.safetensors", "hash": SHA},
        {"name": "secret-plan.safetensors"},
        {"name": "secret.safetensors"},
        {"name": "y.safetensors", "air": "urn:air:sdxl:lora:civitai:1@1000000001"},
    )

    assert ["sha256", "file_name", "words", "air"] == [how for how, _ in wants(yard, *asked)]
    assert 4 * [("none", [])] == wants(yard, *asked, team="blue")
    absent = resolve(yard, {"models": [{"name": "other-plan.safetensors"}]}, "blue").json
    present = resolve(yard, {"models": [{"name": "secret-plan.safetensors"}]}, "blue").json
    assert absent["wanted"][0] | {"name": ""} == present["wanted"][0] | {"name": ""}


def test_a_name_that_changed_is_found_and_the_old_one_is_not(yard: App) -> None:
    yard.put(a_model(1, file_names=("before-it.safetensors",)))
    yard.put(a_model(1, file_names=("after-it.safetensors",)))

    assert wants(yard, {"name": "before-it.safetensors"}, {"name": "after-it.safetensors"}) == [
        ("none", []),
        ("file_name", [1]),
    ]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is empty; accepted: a workflow of ComfyUI (JSON)"),
        (b"{}", 415, "this is no workflow; accepted: a workflow of ComfyUI (JSON)"),
        (b"\x89PNG\r\n\x1a\n", 415, "the picture has no workflow and no parameters"),
        (b'{"nodes":' + 10_000 * b"[" + 10_000 * b"]" + b"}", 415, "the workflow is nested too deeply"),
    ],
    ids=["empty", "other", "picture", "deep"],
)
def test_what_is_no_workflow_is_refused(yard: App, body: bytes, status: int, message: str) -> None:
    reply = resolve(yard, body)

    assert status == reply.status
    assert message in reply.json["message"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(yard: App) -> None:
    reply = yard.ask("/v3/model/resolve", "red", method="POST", content_length=str(33 * 2**20))

    assert 413 == reply.status
    assert "the file" in reply.json["message"]
