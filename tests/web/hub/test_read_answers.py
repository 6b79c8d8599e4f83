"""Whole answers about a repository: descriptions, trees, paths, and the card that is made from a model's details.

Not covered here: bytes (test_downloads.py), pages of models (test_search.py), whose is what (test_downloads.py).
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.domain import MODEL_TYPES, OWN_ID_MIN, Licence, Scope, Visibility
from modelyard.facts import Facts
from modelyard.web.hub import cards, entries, trees
from modelyard.web.hub.examples import make_examples
from modelyard.web.hub.repositories import is_valid_name
from modelyard.wire import hub_tags
from modelyard.wire.hub_base_models import hub_id_of, names_of
from tests.app_fixture import a_model, open_app
from tests.transfers import ask, checking
from tests.web.hub.stocked import Stocked
from tests.web.hub.test_writes import Bench, text

SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A repository "night" of texts in folders, and a public model 7 of Civitai."""
    home = tmp_path_factory.mktemp("hub")
    with open_app(home) as yard:
        opened = Bench(yard, checking(yard, home))
        opened.create()
        lines = [text(path, path.encode()) for path in ("b/c/2.txt", "b/c/1.txt", "b/3.txt", "bc.txt", "a.txt")]
        assert 200 == opened.commit(*lines).status
        yard.put(
            a_model(
                7,
                title="Sea",
                tags=("anime", "lora", "checkpoint"),
                added_at=1_700_000_000,
                updated_at=1_700_000_059,
                licence=Licence("mit"),
                is_nsfw=True,
                trigger_words=("wave", "sea"),
            )
        )
        yield opened


def get(bench: Bench, target: str, **headers: str) -> Any:
    reply = bench.ask(target, method="GET", **headers)
    assert 200 == reply.status, reply.body
    return reply.json


def test_the_description_of_a_model(bench: Bench) -> None:
    reply = bench.ask("/api/models/public/7", method="GET")
    own_tags = ["diffusers", "checkpoint", "anime", "lora"]
    described = {
        "_id": "000000000000000000000007",
        "id": "public/7",
        "modelId": "public/7",
        "author": "public",
        "sha": reply.headers["x-repo-commit"],
        "lastModified": "2023-11-14T22:14:19.000Z",
        "createdAt": "2023-11-14T22:13:20.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [
            *own_tags,
            "base_model:stable-diffusion-v1-5/stable-diffusion-v1-5",
            "license:mit",
            "not-for-all-audiences",
        ],
        "pipeline_tag": "text-to-image",
        "library_name": "diffusers",
        "cardData": {
            "license": "mit",
            "tags": [*own_tags, "not-for-all-audiences"],
            "base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "pipeline_tag": "text-to-image",
            "library_name": "diffusers",
            "instance_prompt": "wave, sea",
        },
        "siblings": [{"rfilename": "README.md"}],
        "usedStorage": 0,
    }

    assert described == reply.json
    assert described == get(bench, f"/api/models/public/7/revision/{described['sha']}")
    assert [described] == get(bench, "/api/models?full=true&author=public")
    summary = {
        name: value for name, value in described.items() if name not in ("sha", "siblings", "cardData", "usedStorage")
    }
    assert [summary] == get(bench, "/api/models?author=public")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("expand=private&expand=likes", {"private": False, "likes": 0}),
        ("expand=likes&securityStatus=true", {"likes": 0}),
        ("expand=securityRepoStatus", {"securityRepoStatus": {"scansDone": True, "filesWithIssues": []}}),
    ],
)
def test_a_description_of_some_fields(bench: Bench, query: str, fields: dict[str, Any]) -> None:
    expected = {"_id": "000000000000000000000007", "id": "public/7", **fields}

    assert expected == get(bench, f"/api/models/public/7?{query}")


def test_the_status_of_security_is_told_where_it_is_asked_for(bench: Bench) -> None:
    plain = get(bench, "/api/models/public/7")

    assert {**plain, "securityRepoStatus": {"scansDone": True, "filesWithIssues": []}} == get(
        bench, "/api/models/public/7?securityStatus=1"
    )


def test_sizes_are_told_where_they_are_asked_for(stock: Stocked) -> None:
    whole = stock.yard.ask(f"/hf/api/models/{stock.private}?blobs=true").json
    readme = stock.yard.ask(f"/hf/{stock.private}/resolve/main/README.md").body
    weights = stock.yard.ask(f"/hf/{stock.private}/resolve/main/night_{stock.night}.safetensors").body
    sha256 = hashlib.sha256(weights).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(weights)}\n".encode()

    assert [
        {"rfilename": "README.md", "size": len(readme), "blobId": git_hash(readme)},
        {
            "rfilename": f"night_{stock.night}.safetensors",
            "size": len(weights),
            "blobId": git_hash(pointer),
            "lfs": {"sha256": sha256, "size": len(weights), "pointerSize": len(pointer)},
        },
    ] == whole["siblings"]
    assert (len(weights), True) == (whole["usedStorage"], whole["private"])


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def test_the_branch_the_history_and_the_access(bench: Bench) -> None:
    commit = get(bench, "/api/models/public/7")["sha"]
    reply = bench.ask("/api/models/public/7/auth-check", method="GET")

    assert {
        "branches": [{"targetCommit": commit, "name": "main", "ref": "refs/heads/main"}],
        "converts": [],
        "tags": [],
    } == get(bench, "/api/models/public/7/refs")
    title = "model7_7.safetensors"
    assert [{"id": commit, "title": title, "date": "2023-11-14T22:14:19.000Z", "message": "", "authors": []}] == get(
        bench, "/api/models/public/7/commits/main"
    )
    assert (200, b"{}", commit) == (reply.status, reply.body, reply.headers["x-repo-commit"])


@pytest.mark.parametrize(("scopes", "role"), [((Scope.READ,), "read"), ((Scope.READ, Scope.WRITE), "write")])
def test_a_caller_is_the_team(bench: Bench, scopes: tuple[Scope, ...], role: str) -> None:
    key = bench.yard.key("red", *scopes)
    reply = bench.yard.ask("/hf/api/whoami-v2", None, authorization=f"Bearer {key}")
    fingerprint = bench.yard.access.viewer_of(key).key_fingerprint

    assert {
        "id": "red",
        "name": "red",
        "fullname": "red",
        "auth": {"accessToken": {"displayName": fingerprint, "role": role}, "type": "access_token"},
        "orgs": [],
        "type": "user",
    } == reply.json
    assert 401 == bench.yard.ask("/hf/api/whoami-v2", None).status


# --- trees


def file(path: str) -> dict[str, Any]:
    content = path.encode()
    return {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}


def listed(bench: Bench, target: str) -> list[Any]:
    """The entries without the README.md that is made, and the hashes of directories."""
    found = get(bench, f"/api/models/red/night/tree/main{target}")
    return [
        {**entry, "oid": "D"} if entry["type"] == "directory" else entry
        for entry in found
        if entry["path"] != "README.md"
    ]


def folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": "D"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("", [file("a.txt"), folder("b"), file("bc.txt")]),
        ("?recursive=false", [file("a.txt"), folder("b"), file("bc.txt")]),
        ("/b", [file("b/3.txt"), folder("b/c")]),
        ("/b/", [file("b/3.txt"), folder("b/c")]),
        ("/b/c", [file("b/c/1.txt"), file("b/c/2.txt")]),
        ("/b?recursive=1", [file("b/3.txt"), folder("b/c"), file("b/c/1.txt"), file("b/c/2.txt")]),
        (
            "?recursive=True",
            [
                file("a.txt"),
                folder("b"),
                file("b/3.txt"),
                folder("b/c"),
                file("b/c/1.txt"),
                file("b/c/2.txt"),
                file("bc.txt"),
            ],
        ),
    ],
)
def test_a_tree_has_the_files_and_folders_of_one_folder_or_of_all_below(
    bench: Bench, target: str, expected: list[Any]
) -> None:
    assert expected == listed(bench, target)


def test_pages_of_a_tree_follow_each_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = get(bench, "/api/models/red/night/tree/main?recursive=true")
    monkeypatch.setattr(trees, "_ENTRIES_A_PAGE", 4)
    first = bench.ask("/api/models/red/night/tree/main?recursive=true", method="GET")
    second = bench.ask("/api/models/red/night/tree/main?recursive=true&cursor=4", method="GET")
    url = "http://127.0.0.1/hf/api/models/red/night/tree/main?recursive=true&cursor=4"

    assert 8 == len(whole)
    assert f'<{url}>; rel="next"' == first.headers["link"]
    assert (whole, False) == (first.json + second.json, "link" in second.headers)
    assert [400, 400, 200] == [
        bench.ask(f"/api/models/red/night/tree/main?cursor={cursor}", method="GET").status
        for cursor in ("x", "1234567890", "123456789")
    ]


def test_folders_of_other_content_have_another_hash(bench: Bench) -> None:
    oids = [entry["oid"] for entry in get(bench, "/api/models/red/night/tree/main?recursive=1") if not entry["size"]]

    assert 2 == len(set(oids))


def ask_paths(bench: Bench, body: bytes, media_type: str) -> Any:
    reply = bench.ask("/api/models/red/night/paths-info/main", body=body, content_type=media_type)
    return reply.json if reply.status == 200 else (reply.status, reply.json["error"])


FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def test_the_entries_of_some_paths(bench: Bench) -> None:
    commit = get(bench, "/api/models/red/night")["sha"]
    last_commit = {"id": commit, "title": "night", "date": get(bench, "/api/models/red/night")["lastModified"]}
    twice = b'{"paths":["b/3.txt","nowhere","a.txt","b/3.txt"]}'

    assert [file("b/3.txt"), file("a.txt")] == ask_paths(bench, twice, JSON)
    assert [file("a.txt")] == ask_paths(bench, b'{"paths":"a.txt"}', JSON)
    assert [file("a.txt")] == ask_paths(bench, b"paths=a.txt", FORM)
    assert ["directory"] == [entry["type"] for entry in ask_paths(bench, b"paths=b", FORM)]
    expanded = [{**file("a.txt"), "lastCommit": last_commit}]
    assert expanded == ask_paths(bench, b"paths=a.txt&expand=True", FORM)
    assert expanded == ask_paths(bench, b'{"paths":["a.txt"],"expand":true}', JSON)
    assert [] == ask_paths(bench, b"", FORM)


def test_two_thousand_paths_are_asked_for_at_once_and_no_more(bench: Bench) -> None:
    def ask_for(count: int) -> tuple[Any, Any]:
        as_json = json.dumps({"paths": ["x"] * count}).encode()
        return ask_paths(bench, as_json, JSON), ask_paths(bench, b"&".join([b"paths=x"] * count), FORM)

    refused = (400, "paths: 2001 are not accepted; accepted: up to 2000")
    assert (([], []), (refused, refused)) == (ask_for(2_000), ask_for(2_001))
    broken = "the request's body cannot be used: it is no form of UTF-8"
    assert [(400, broken)] * 2 == [
        ask_paths(bench, body, FORM) for body in (b"paths=\xff", b"&".join([b"paths=x"] * 2_011))
    ]


# --- cards


def test_the_card_of_a_model_with_everything() -> None:
    model = a_model(
        7,
        name="v 1",
        title=" Sea\n& shore ",
        type=MODEL_TYPES["lora"],
        base_model="SDXL 1.0",
        trigger_words=("wave", "blue\nsea"),
        licence=Licence(None, "House\nrules", "https://rules.example"),
    )
    files = [
        entries.weights_entry("a b's.safetensors", SHA256, 5, "x"),
        entries.weights_entry("c.pt", "cd" * 32, 6, "y"),
    ]
    fields = cards.card_fields(model, hub_tags.tags_of(model, 3))
    card = cards.make_card("public/7", model, Facts(description="  A \x00wave.\x1b\n---\n"), fields, files).decode()

    assert (
        """\
---
license: "other"
license_name: "House\\nrules"
license_link: "https://rules.example"
tags: ["diffusers","lora","civitai:3@7"]
base_model: "stabilityai/stable-diffusion-xl-base-1.0"
pipeline_tag: "text-to-image"
library_name: "diffusers"
instance_prompt: "wave, blue\\nsea"
---

# Sea & shore

Version: v 1

A wave.
---

Trigger words: `wave`, `blue sea`

## Use

```sh
hf download public/7 'a b'\\''s.safetensors'
```

With diffusers:

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained('stabilityai/stable-diffusion-xl-base-1.0')
pipeline.load_lora_weights('public/7', weight_name="a b's.safetensors")
```

With ComfyUI: put the file into `models/loras`.

## Files

| File | Bytes | SHA-256 |
|---|---|---|
| `a b's.safetensors` | 5 | `"""
        + SHA256
        + """` |
| `c.pt` | 6 | `"""
        + "cd" * 32
        + """` |

## Licence

House rules; https://rules.example
"""
        == card
    )


def test_the_card_of_a_model_of_which_nothing_is_known() -> None:
    model = a_model(7, name="", base_model="", type=MODEL_TYPES["poses"])
    fields = cards.card_fields(model, hub_tags.tags_of(model, None))

    assert b'---\ntags: ["poses"]\npipeline_tag: "text-to-image"\n---\n\n# model7_7.safetensors\n' == cards.make_card(
        "public/7", model, Facts(), fields, []
    )


def code_of(type_name: str, **facts: Any) -> str:
    model = a_model(7, type=MODEL_TYPES[type_name], **facts)
    return cards.diffusers_code("public/7", model, [entries.weights_entry("a.pt", SHA256, 5, "x")])


def test_the_code_that_loads_each_type_with_diffusers() -> None:
    single = """\
from diffusers import {0}
from huggingface_hub import hf_hub_download

file = hf_hub_download('public/7', 'a.pt')
pipeline = {0}.from_single_file(file)"""
    adapted = """\
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained('{0}')
pipeline.{1}"""
    lora = "load_lora_weights('public/7', weight_name='a.pt')"
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"

    assert single.format("StableDiffusionPipeline") == code_of("checkpoint")
    assert single.format("StableDiffusionXLPipeline") == code_of("checkpoint", is_sdxl=True)
    assert [adapted.format(base, lora)] * 3 == [code_of(name) for name in ("lora", "locon", "dora")]
    assert adapted.format("…", lora) == code_of("lora", base_model="nobody's")
    assert adapted.format(base, "load_textual_inversion('public/7', weight_name='a.pt')") == code_of("textualinversion")
    assert [""] * 3 == [code_of(name) for name in ("vae", "controlnet", "poses")]
    assert "" == cards.diffusers_code("public/7", a_model(7), [])


def test_the_folder_and_the_library_of_each_type() -> None:
    def folder_of(name: str) -> str:
        model = a_model(7, type=MODEL_TYPES[name])
        card = cards.make_card("public/7", model, Facts(), {}, [entries.weights_entry("a.pt", SHA256, 5, "x")])
        return card.decode().partition("`models/")[2].partition("`")[0]

    expected = """
        checkpoint=checkpoints lora=loras locon=loras dora=loras vae=vae controlnet=controlnet upscaler=upscale_models
        textualinversion=embeddings hypernetwork=hypernetworks unet=diffusion_models textencoder=text_encoders
        clip=text_encoders clipvision=clip_vision
    """
    assert set(expected.split()) == {f"{name}={found}" for name in MODEL_TYPES if (found := folder_of(name))}
    library = "checkpoint lora locon dora vae controlnet textualinversion unet motionmodule ipadapter"
    assert set(library.split()) == {name for name in MODEL_TYPES if hub_tags.library_of(name) == "diffusers"}


def test_characters_that_yaml_refuses_are_left_out_of_a_card() -> None:
    allowed = "\t\x85\xa0\ud7ff\ue000\ufefe\uff00\ufffd\U00010000\U0010ffff~"
    refused = "\x00\x08\x0b\x0c\x0e\x1f\x7f\x84\x86\x9f\ufeff\ufffe\uffff"
    card = cards.make_card("public/7", a_model(7), Facts(description=f"<{allowed}{refused}>"), {}, [])

    assert f"<{allowed}>" in card.decode()


# --- tags and names


def test_tags_come_once_and_civitais_name_of_a_model_only_for_its_own_ids() -> None:
    model = a_model(7, tags=("lora", "checkpoint", "x"), licence=Licence(None, "House rules"))
    base = "base_model:stable-diffusion-v1-5/stable-diffusion-v1-5"

    assert ["diffusers", "checkpoint", "lora", "x", base, "license:other", "civitai:3@7"] == hub_tags.tags_of(model, 3)
    assert "license:other" == hub_tags.tags_of(model, None)[-1]
    assert [] == [tag for tag in hub_tags.tags_of(a_model(OWN_ID_MIN), 3) if "civitai" in tag]
    assert "civitai:3@999999999" == hub_tags.tags_of(a_model(OWN_ID_MIN - 1), 3)[-1]


def test_base_models_have_the_same_names_in_both_directions() -> None:
    assert "ByteDance/Hyper-SD" == hub_id_of("SDXL Hyper") == hub_id_of("SD 1.5 hyper")
    assert frozenset({"sdxl hyper", "sd 1.5 hyper"}) == names_of("bytedance/hyper-sd")
    assert (None, frozenset()) == (hub_id_of("nobody's"), names_of("nobody/nothing"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b.pt", "a/b.pt"),
        ("../../a.pt", "a.pt"),
        ("/etc/a.pt", "etc/a.pt"),
        ("a//./b", "a/b"),
        (r"C:\x\..\y.pt", "C_/x/y.pt"),
        ('\x00:*?"<>|\x7f\x1f', "_" * 10),
        (" a /  / b ", "a/b"),
        ("...", ""),
        ("x" * 600, "x" * 500),
        ("x/" + "y" * 499, "y" * 499),
        ("\ud800", "?"),
    ],
)
def test_a_path_never_leaves_the_folder(name: str, path: str) -> None:
    assert path == entries.safe_path(name)


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [("a", True), ("a" * 96, True), ("a" * 97, False), ("_a_", True), ("a.b-c", True)]
    + [(name, False) for name in ("", ".a", "a.", "-a", "a-", "a--b", "a..b", "a/b", "ä", "a\n", "a b")],
)
def test_a_name_that_clients_accept(name: str, is_valid: bool) -> None:
    assert is_valid is is_valid_name(name)


def test_the_examples_of_a_model() -> None:
    model = a_model(7, type=MODEL_TYPES["poses"], visibility=Visibility.PRIVATE, team="red", blob=SHA256)
    settings = "export HF_ENDPOINT=http://yard/hf\nexport HF_TOKEN=$KEY\n"
    script = (
        'import { downloadFile } from "@huggingface/hub";\n\n'
        'const accessToken = process.env.KEY.replace("sk_", "hf_");\n'
        'const file = await downloadFile({ repo: "red/7", path: "a/b\\".pt", hubUrl: "http://yard/hf", accessToken });'
    )

    assert [("hf", f"{settings}hf download red/7"), ("JavaScript", script.replace('b\\"', "b_"))] == list(
        make_examples("http://yard", model, 'a/b".pt')
    )
    assert [] == list(make_examples("http://yard", model, ".."))


def test_nobody_sees_texts_of_a_repository_that_is_another_teams(bench: Bench) -> None:
    targets = ("/hf/api/models/red/night/tree/main", "/hf/red/night/resolve/main/a.txt", "/hf/red/night/raw/main/a.txt")

    assert [200] * 3 == [ask(bench.yard, target).status for target in targets]
    assert [404] * 3 == [ask(bench.yard, target, "blue").status for target in targets]
