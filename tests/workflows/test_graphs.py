"""Graphs of ComfyUI: which files they need, from which folder, and which nodes say so."""

import json
from typing import Any

import pytest

from modelyard import errors
from modelyard.workflows import Need, read_needs
from modelyard.workflows.needs import NEEDS_MAX


def node(number: int, kind: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "mode": 0, "widgets_values": [*values], **more}


def needs_of(document: object) -> list[Need]:
    return [*read_needs(json.dumps(document).encode())]


def page(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"nodes": [*nodes], "links": [], **more}


def test_a_page_graph_names_files_their_folders_and_nodes() -> None:
    graph = page(
        node(4, "CheckpointLoaderSimple", "SD1.5/x.safetensors"),
        node(5, "LoraLoader", "glow.safetensors", 0.8, 1.0),
        node(6, "LoraLoaderModelOnly", "glow.safetensors", 0.5),
        node(7, "DualCLIPLoader", "clip_l.safetensors", "t5xxl.safetensors", "flux"),
        node(8, "KSampler", 5, "fixed", 20, "euler"),
        node(9, "LoadImage", "photo.png", "image"),
    )

    assert needs_of(graph) == [
        Need("SD1.5/x.safetensors", "checkpoints", nodes=("4",)),
        Need("glow.safetensors", "loras", nodes=("5", "6")),
        Need("clip_l.safetensors", "text_encoders", nodes=("7",)),
        Need("t5xxl.safetensors", "text_encoders", nodes=("7",)),
    ]


def test_an_api_graph_names_files_by_the_inputs_of_nodes() -> None:
    graph = {
        "1": {
            "class_type": "LTXAVTextEncoderLoader",
            "inputs": {"ckpt_name": "a.safetensors", "text_encoder": "b.gguf"},
        },
        "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "seed": 3}},
        "3": {"class_type": "LoRA Stacker", "inputs": {"lora_name_1": "None", "lora_name_2": "c.pt"}},
    }

    for document in (graph, {"prompt": graph, "client_id": "x"}):
        assert needs_of(document) == [
            Need("a.safetensors", "checkpoints", nodes=("1",)),
            Need("b.gguf", "text_encoders", nodes=("1",)),
            Need("c.pt", "loras", nodes=("3",)),
        ]


@pytest.mark.parametrize("mode", [2, 4])
def test_muted_and_bypassed_nodes_need_nothing(mode: int) -> None:
    inner = {"id": "sub", "nodes": [node(1, "VAELoader", "inner.pt")]}
    graph = page(
        node(1, "VAELoader", "a.pt", mode=mode),
        node(2, "sub", mode=mode),
        node(3, "VAELoader", "b.pt"),
        definitions={"subgraphs": [inner]},
    )

    assert needs_of(graph) == [Need("b.pt", "vae", nodes=("3",))]


def test_subgraphs_are_read_where_they_are_used() -> None:
    used = {"id": "used", "nodes": [node(8, "nested"), node(9, "VAELoader", "a.pt")]}
    nested = {"id": "nested", "nodes": [node(1, "UNETLoader", "b.gguf", "default")]}
    unused = {"id": "unused", "nodes": [node(1, "UNETLoader", "c.gguf", "default")]}
    graph = page(node(5, "used"), definitions={"subgraphs": [used, nested, unused]})

    assert needs_of(graph) == [
        Need("b.gguf", "diffusion_models", nodes=("5:8:1",)),
        Need("a.pt", "vae", nodes=("5:9",)),
    ]


def test_an_instance_of_a_subgraph_sets_the_files_inside() -> None:
    loader = node(9, "VAELoader", "inner.pt", inputs=[{"name": "vae_name", "widget": {"name": "vae_name"}, "link": 7}])
    subgraph = {
        "id": "sub",
        "nodes": [loader],
        "inputs": [{"name": "vae", "linkIds": [7]}],
        "links": [{"id": 7, "origin_id": -10, "origin_slot": 0, "target_id": 9, "target_slot": 0}],
    }
    instances = [node(number, "sub", widgets_values_named={"vae": f"{number}.pt"}) for number in (1, 2)]
    graph = page(*instances, definitions={"subgraphs": [subgraph]})

    # The name beside the instance's own value is unknown, so it is joined with the one inside.
    assert needs_of(graph) == [Need("1.pt", "vae", nodes=("1:9",)), Need("2.pt", "vae", nodes=("2:9",))]


def test_what_a_node_declares_completes_the_file_that_it_uses() -> None:
    models = [
        {
            "name": "a.safetensors",
            "url": "https://hub.example/a.safetensors",
            "hash": "AB" * 32,
            "hash_type": "SHA256",
            "directory": "loras",
        },
        {"name": "unused.safetensors", "url": "https://hub.example/unused.safetensors", "directory": "loras"},
    ]
    graph = page(node(1, "LoraLoader", "a.safetensors", 1, properties={"models": models}))

    assert needs_of(graph) == [
        Need("a.safetensors", "loras", ("ab" * 32,), "sha256", "https://hub.example/a.safetensors", nodes=("1",))
    ]


def test_a_list_of_models_is_a_document() -> None:
    models = [
        {"name": "a.safetensors", "hash": "0x" + "ab" * 6, "hash_type": "AutoV3", "directory": "loras"},
        {"name": "", "url": "https://hub.example/folder/b.safetensors?download=true"},
        {"air": "urn:air:sdxl:lora:civitai:4476@5067"},
        {"name": "c.pt", "directory": "../../etc", "url": "file:///etc/passwd", "hash": "no"},
        {"name": 7},
        "nothing",
    ]

    assert needs_of({"models": models}) == [
        Need("a.safetensors", "loras", ("ab" * 6,), "autov3"),
        Need("b.safetensors", url="https://hub.example/folder/b.safetensors?download=true"),
        Need("urn:air:sdxl:lora:civitai:4476@5067", air="urn:air:sdxl:lora:civitai:4476@5067"),
        Need("c.pt"),
    ]


def test_lists_of_loras_have_a_switch_for_each() -> None:
    rows = [
        {"on": True, "lora": "a.safetensors", "strength": 1},
        {"on": False, "lora": "b.safetensors", "strength": 1},
        {"type": "PowerLoraLoaderHeaderWidget"},
    ]
    stack = ("On", "c.safetensors", 1, 1, "Off", "d.safetensors", 1, 1)
    graph = page(
        node(1, "Power Lora Loader (rgthree)", {}, *rows),
        node(2, "CR LoRA Stack", *stack),
        node(
            3,
            "Lora Loader (LoraManager)",
            "",
            [{"name": "e", "active": True}, {"name": "f.safetensors", "active": False}],
        ),
    )

    assert [need.name for need in needs_of(graph)] == ["a.safetensors", "c.safetensors"]
    api = {
        "1": {"class_type": "Power Lora Loader (rgthree)", "inputs": {"lora_1": rows[0], "lora_2": rows[1]}},
        "2": {
            "class_type": "CR LoRA Stack",
            "inputs": {"switch_1": "Off", "lora_name_1": "c.pt", "switch_2": "On", "lora_name_2": "d.pt"},
        },
    }
    assert [(need.name, need.directory) for need in needs_of(api)] == [("a.safetensors", "loras"), ("d.pt", "loras")]


def test_prompts_name_embeddings_and_loras_and_notes_name_nothing() -> None:
    graph = page(
        node(1, "CLIPTextEncode", "a cat, (embedding:style/easy:1.2), embedding:bad.pt <lora:glow:0.7>"),
        node(2, "Note", "use <lora:other:1> with embedding:more, or x.safetensors"),
        node(3, "MarkdownNote", "x.safetensors"),
    )

    assert needs_of(graph) == [
        Need("style/easy", "embeddings", nodes=("1",)),
        Need("bad.pt", "embeddings", nodes=("1",)),
        Need("glow", "loras", nodes=("1",)),
    ]


def test_unknown_loaders_are_named_and_their_files_need_no_folder() -> None:
    graph = page(
        node(1, "SomeLoader", "x.safetensors"),
        node(2, "VAELoader", "y.pt"),
        node(3, "PrimitiveNode", "y.pt", "fixed"),
        node(4, "Downloader", "https://hub.example/z.ckpt"),
    )

    needs = read_needs(json.dumps(graph).encode())

    assert [*needs] == [
        Need("x.safetensors", None, nodes=("1",)),
        Need("y.pt", "vae", nodes=("2", "3")),
        Need("z.ckpt", None, url="https://hub.example/z.ckpt", nodes=("4",)),
    ]
    assert needs.unknown_nodes == ("SomeLoader",)


def test_one_file_from_two_folders_is_needed_twice() -> None:
    graph = page(
        node(1, "LTXAVTextEncoderLoader", "a.gguf", "b.safetensors"), node(2, "UNETLoader", "b.safetensors", "x")
    )

    assert [(need.name, need.directory) for need in needs_of(graph)] == [
        ("a.gguf", "text_encoders"),
        ("b.safetensors", "checkpoints"),
        ("b.safetensors", "diffusion_models"),
    ]


# --- hostile graphs


def test_a_subgraph_that_holds_itself_ends() -> None:
    loops = [{"id": "a", "nodes": [node(1, "b")]}, {"id": "b", "nodes": [node(1, "a"), node(2, "VAELoader", "x.pt")]}]

    needs = read_needs(json.dumps(page(node(1, "a"), definitions={"subgraphs": loops})).encode())

    assert [*needs] == [Need("x.pt", "vae", nodes=("1:1:2",))]
    assert needs.is_truncated


def test_subgraphs_that_multiply_are_cut_off() -> None:
    # Ten instances in each of nine levels would be a thousand million nodes.
    levels = [{"id": f"s{level}", "nodes": [node(n, f"s{level + 1}") for n in range(10)]} for level in range(9)]

    assert read_needs(json.dumps(page(node(1, "s0"), definitions={"subgraphs": levels})).encode()).is_truncated


def test_many_instances_of_a_subgraph_with_many_links_are_cut_off() -> None:
    # Without a limit of what instances set inside, this would take as many steps as there are instances times links.
    loader = node(1, "VAELoader", "a.pt", inputs=[{"name": "vae_name"}])
    links = [{"id": number, "target_id": 1, "target_slot": 0} for number in range(20_000)]
    inputs = [{"name": "vae", "linkIds": [*range(20_000)]}]
    subgraph = {"id": "sub", "nodes": [loader], "inputs": inputs, "links": links}
    instances = [node(number, "sub", widgets_values_named={"vae": "b.pt"}) for number in range(5_000)]

    needs = read_needs(json.dumps(page(*instances, definitions={"subgraphs": [subgraph]})).encode())

    assert needs.is_truncated
    assert [("b.pt", "vae")] == [(need.name, need.directory) for need in needs]


def test_a_graph_of_too_many_values_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(errors.UnsupportedFile, match="more than 1,000,000 values"):
        read_needs(b'{"nodes":[' + b"{}," * 1_000_000 + b"{}]}")


def test_a_graph_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(errors.UnsupportedFile, match="nested too deeply"):
        read_needs(b'{"nodes":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_more_needs_than_the_limit_are_left_out() -> None:
    needs = read_needs(json.dumps(page(*(node(n, "VAELoader", f"{n}.pt") for n in range(NEEDS_MAX + 1)))).encode())

    assert len(needs.needs) == NEEDS_MAX
    assert needs.is_truncated


@pytest.mark.parametrize(
    "odd",
    [
        {"nodes": [None, 1, "x", [], {}]},
        {"nodes": [{"type": 5}, {"type": "VAELoader", "widgets_values": {"vae_name": None}}]},
        {"nodes": [node(1, "VAELoader", properties=[1], inputs="x")], "definitions": [1]},
        {"nodes": [{"type": "VAELoader", "id": {"a": 1}, "mode": "2", "widgets_values": "x.pt"}]},
        {
            "nodes": [node(1, "s")],
            "definitions": {"subgraphs": [{"id": "s", "nodes": [1], "links": [5], "inputs": [{}]}]},
        },
        {
            "1": {"class_type": "VAELoader", "inputs": [1]},
            "2": 5,
            "3": {"class_type": "VAELoader", "inputs": {"vae_name": 1}},
        },
        {"models": [None, {"name": "a\nb.pt"}, {"name": "x" * 300}]},
    ],
)
def test_odd_shapes_need_nothing(odd: object) -> None:
    assert needs_of(odd) == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"nodes": 1}', b"{broken", b"\0\1\2", b"hello", b'"x.safetensors"']
)
def test_what_is_no_workflow_is_refused(body: bytes) -> None:
    with pytest.raises(errors.UnsupportedFile, match="this is no workflow; accepted: a workflow of ComfyUI"):
        read_needs(body)
