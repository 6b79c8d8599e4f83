"""What a workflow needs, and which of the caller's models it is."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import MODEL_TYPES, Hashes
from tests.app_fixture import App, Reply, a_model, a_private, open_app
from tests.transfers import checking, lora_bytes, path_of, upload

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


def test_the_workflow_itself_says_where_its_models_are(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        verification = checking(yard, tmp_path)
        for name, seed in (("glow", 1), ("dusk", 2)):
            upload(yard, name, lora_bytes(seed=seed))
        while verification.verify_next():
            pass
        glow, dusk = (next(m for m in yard.ask("/v3/model").json["models"] if m["name"] == n) for n in ("glow", "dusk"))
        old = {"name": glow["sd_name"], "directory": "loras", "url": "https://gone.example/x"}
        graph = {
            "nodes": [
                {
                    "id": 1,
                    "type": "LoraLoader",
                    "widgets_values": [glow["sd_name"], 1],
                    "properties": {"models": [old, {"name": "other"}]},
                },
                {"id": 5, "type": "inner"},
                {"id": 6, "type": "LoraLoader", "widgets_values": ["nowhere.safetensors"]},
            ],
            "definitions": {
                "subgraphs": [
                    {"id": "inner", "nodes": [{"id": 8, "type": "LoraLoader", "widgets_values": [dusk["sd_name"]]}]}
                ]
            },
            "extra": {"kept": True},
        }

        reply = yard.ask("/v3/model/resolve?format=workflow", "red", method="POST", body=json.dumps(graph).encode())
        links = [
            yard.ask(path_of(model["url"]), None) for model in (_declared(reply.json, 0)[-1], _inner(reply.json)[0])
        ]

    assert [lora_bytes(seed=1), lora_bytes(seed=2)] == [link.body for link in links]
    digest = hashlib.sha256(lora_bytes(seed=2)).hexdigest()
    (inner,) = _inner(reply.json)
    assert {**inner, "url": ""} == {
        "name": dusk["sd_name"],
        "url": "",
        "hash": digest,
        "hash_type": "SHA256",
        "directory": "loras",
    }
    assert [{"name": "other"}, glow["sd_name"]] == [_declared(reply.json, 0)[0], _declared(reply.json, 0)[1]["name"]]
    without = reply.json
    for node in (*without["nodes"], *without["definitions"]["subgraphs"][0]["nodes"]):
        node.pop("properties", None)
    graph["nodes"][0].pop("properties")
    assert graph == without


def _declared(graph: dict[str, Any], number: int) -> list[dict[str, Any]]:
    return list(graph["nodes"][number]["properties"]["models"])


def _inner(graph: dict[str, Any]) -> list[dict[str, Any]]:
    return list(graph["definitions"]["subgraphs"][0]["nodes"][0]["properties"]["models"])


@pytest.mark.parametrize(
    ("target", "body", "message"),
    [
        ("format=workflow", b'{"models":[]}', "format=workflow needs a workflow as ComfyUI's page saves it"),
        ("format=workflow", b'{"1":{"class_type":"LoraLoader"}}', "format=workflow needs a workflow"),
        ("format=png", b'{"nodes":[]}', "format: 'png' is not accepted; accepted: needs, workflow"),
    ],
)
def test_only_a_workflow_of_the_page_is_filled_in(yard: App, target: str, body: bytes, message: str) -> None:
    reply = yard.ask(f"/v3/model/resolve?{target}", "red", method="POST", body=body)

    assert reply.status in (400, 415)
    assert message in reply.json["message"]


def test_odd_parts_of_a_workflow_stay_as_they_are(yard: App) -> None:
    yard.put(a_model(7, file_names=("glow.safetensors",), type=LORA))
    graph = {
        "nodes": [
            {"id": 1, "type": "LoraLoader", "widgets_values": ["glow.safetensors"], "properties": "none"},
            "no node",
            {"id": {}, "type": 5},
        ],
        "definitions": {"subgraphs": [3, {"id": [], "nodes": "none"}]},
    }
    reply = yard.ask("/v3/model/resolve?format=workflow", "red", method="POST", body=json.dumps(graph).encode())

    assert graph == reply.json


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


def test_a_popular_name_is_answered_with_the_best_models_that_the_caller_sees(yard: App) -> None:
    """Three hundred models of another team, and as many of another type, have the same file name."""
    name = "model.safetensors"
    hidden = [a_private(10**9 + n, "blue", rank=10_000 - n, type=LORA, file_names=(name,)) for n in range(300)]
    others = [a_model(1_000 + n, rank=5_000 - n, type=CHECKPOINT, file_names=(name,)) for n in range(200)]
    yard.put(*hidden, *others, *(a_model(n, rank=n, type=LORA, file_names=(name,)) for n in range(1, 8)))

    assert [("file_name", [7, 6, 5, 4, 3])] == wants(yard, {"name": name, "directory": "loras"})
    assert [("file_name", [1000, 1001, 1002, 1003, 1004])] == wants(yard, {"name": name})


def test_ten_needs_are_searched_for_by_words(yard: App) -> None:
    yard.put(a_model(1, title="Night Valley"))
    needs = [{"name": "night-valley.safetensors", "directory": f"folder{n}"} for n in range(12)]

    assert [*10 * ["words"], "none", "none"] == [how for how, _ in wants(yard, *needs)]


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


@pytest.mark.parametrize(
    ("directory", "types"),
    [
        ("checkpoints", "checkpoint"),
        ("controlnet", "controlnet t2iadapter"),
        ("diffusion_models", "checkpoint unet"),
        ("embeddings", "textualinversion"),
        ("hypernetworks", "hypernetwork"),
        ("loras", "dora locon lora"),
        ("text_encoders", "clip textencoder"),
        ("upscale_models", "upscaler"),
        ("vae", "vae"),
    ],
)
def test_models_of_the_types_that_a_folder_is_for_are_the_only_matches(yard: App, directory: str, types: str) -> None:
    names = sorted(MODEL_TYPES)
    yard.put(
        *(
            a_model(n, type=MODEL_TYPES[name], file_names=("x.pt",), sd_name=f"m{n}.pt")
            for n, name in enumerate(names, 1)
        )
    )
    ((how, ids),) = wants(yard, {"name": "x.pt", "directory": directory})

    assert ("file_name", types.split()) == (how, sorted(names[number - 1] for number in ids))
