"""The last name, hash, address and place that is taken, and the first that is not; how needs of one name are joined."""

import json
import struct
from typing import Any

import pytest
from PIL import Image

from modelyard import errors
from modelyard.workflows import Need, document, graphs, needs, pictures, prompts, read_needs
from modelyard.workflows.needs import NeedCollector
from tests.workflows.test_graphs import needs_of, node, page
from tests.workflows.test_pictures import GRAPH, MAKE, PNG, chunk, png

FROM_GRAPH = [Need("a.pt", "vae", nodes=("1",))]


# --- names, addresses, hashes


SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".onnx", ".pkl")


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        *((f"a{suffix}", True) for suffix in SUFFIXES),
        ("A.PT", True),
        ("x" * 257 + ".pt", True),
        ("x" * 258 + ".pt", False),
        ("a\n.pt", False),
        ("a.png", False),
    ],
)
def test_the_name_of_a_file_of_weights(text: str, is_name: bool) -> None:
    assert is_name is needs.is_file_name(text)


@pytest.mark.parametrize(
    ("value", "is_address"),
    [
        ("https://a/b", True),
        ("http://a", True),
        ("https://" + "x" * 2_040, True),
        ("https://" + "x" * 2_041, False),
        ("ftp://a", False),
        ("https://a b", False),
        ("https://a\n", False),
        (7, False),
    ],
)
def test_an_address(value: object, is_address: bool) -> None:
    assert (value if is_address else None) == needs.address_of(value)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://a/b/c.pt?d/e.pt#f", "c.pt"),
        ("https://a/c.pt#f?g", "c.pt"),
        ("https://a/b/c.pt//", "c.pt"),
        ("https://a", "a"),
    ],
)
def test_the_name_in_an_address(address: str, name: str) -> None:
    assert name == needs.name_in_address(address)


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("AB" * 4, "ab" * 4),
        (" sha256:0x" + "AB" * 32 + " ", "ab" * 32),
        ("a" * 7, None),
        ("a" * 65, None),
        ("g" * 8, None),
        (" " * 16 + "a" * 64, "a" * 64),
        (" " * 17 + "a" * 64, None),
        (12345678, None),
    ],
)
def test_the_digits_of_a_hash(value: object, digits: str | None) -> None:
    assert digits == needs.digits_of(value)


def test_the_kinds_of_hashes() -> None:
    kinds = ("SHA-256", "auto_v2", "AutoV3", "BLAKE3", None)

    assert ["sha256", "autov2", "autov3", None, None] == [needs.hash_type_of(kind) for kind in kinds]


# --- needs of one name


def test_needs_of_one_name_and_folder_are_joined() -> None:
    collector = NeedCollector()
    collector.add(Need("A/b.pt", "vae", ("1",), nodes=("1",)))
    collector.add(Need("a\\B.pt/", "vae", ("1", "2", "3", "4", "5"), "autov2", "u", "air", 0, nodes=("1", "2")))
    collector.add(Need("a/b.pt", None, ("6",), "autov3", "w", "other", 7, nodes=("3",)))

    assert (Need("A/b.pt", "vae", ("1", "2", "3", "4"), "autov2", "u", "air", 0, ("1", "2", "3")),) == (
        collector.collect().needs
    )


def test_a_name_without_a_folder_is_joined_with_each_folder_of_it() -> None:
    collector = NeedCollector()
    for directory in ("vae", None, "loras"):
        collector.add(Need("b.pt", directory, nodes=(str(directory),)))
    collector.add(Need("c.pt", None))

    assert [("b.pt", "vae", ("vae", "None")), ("b.pt", "loras", ("loras", "None")), ("c.pt", None, ())] == [
        (need.name, need.directory, need.nodes) for need in collector.collect()
    ]


def test_fifty_nodes_of_a_need_are_listed() -> None:
    collector = NeedCollector()
    collector.add(Need("a.pt", nodes=tuple(map(str, range(51)))))
    collector.add(Need("b.pt", nodes=tuple(map(str, range(30)))))
    collector.add(Need("b.pt", nodes=tuple(map(str, range(60, 90)))))

    assert [50, 50] == [len(need.nodes) for need in collector.collect()]
    assert not collector.collect().is_truncated


def test_a_hundred_unknown_classes_are_named() -> None:
    graph = page(*(node(n, f"Loader{n}", "a.pt") for n in range(100)), node(100, "Loader0", "a.pt"))
    more = page(*(node(n, f"Loader{n}" + "x" * 300, "a.pt") for n in range(101)))
    first, second = (read_needs(json.dumps(document).encode()) for document in (graph, more))

    assert (100, False, 100, True) == (
        len(first.unknown_nodes),
        first.is_truncated,
        len(second.unknown_nodes),
        second.is_truncated,
    )
    assert {260} == {len(name) for name in second.unknown_nodes}


# --- graphs


def test_widgets_have_their_names_from_the_inputs_of_a_node_or_from_a_table_of_values() -> None:
    inputs = [{"name": "model"}, {"widget": {"name": "vae_name"}}, {"widget": {"name": "ckpt_name"}}, {"widget": 7}]
    named = node(1, "Efficient Loader", "a.pt", "b.pt", inputs=inputs)
    other_count = node(2, "Efficient Loader", "c.pt", "d.pt", "e.pt", inputs=inputs)
    as_table = node(3, "Efficient Loader") | {"widgets_values": {"lora_name": "f.pt"}}
    by_name = node(4, "Efficient Loader", "g.pt", widgets_values_named={"vae_name": "h.pt"})

    assert [
        ("a.pt", "vae"),
        ("b.pt", "checkpoints"),
        ("c.pt", "checkpoints"),
        ("d.pt", "vae"),
        ("e.pt", "loras"),
        ("f.pt", "loras"),
        ("h.pt", "vae"),
    ] == [(need.name, need.directory) for need in needs_of(page(named, other_count, as_table, by_name))]


def instance_of(loader: dict[str, Any], values: dict[str, Any], slot: object = 0, **link: Any) -> list[tuple[str, Any]]:
    """The needs of an instance that sets ``values`` inside a subgraph of one loader."""
    links = [{"id": 7, "target_id": loader["id"], "target_slot": slot, **link}]
    inputs = [{"name": name, "linkIds": [7]} for name in values]
    subgraph = {"id": "sub", "nodes": [loader], "inputs": inputs, "links": links}
    graph = page(node(1, "sub", widgets_values_named=values), definitions={"subgraphs": [subgraph]})
    return [(need.name, need.directory) for need in needs_of(graph)]


def test_what_an_instance_sets_reaches_a_widget_with_a_name_and_without() -> None:
    slots = [{"name": "vae_name", "widget": {"name": "vae_name"}}]
    named = node(9, "VAELoader", "inner.pt", inputs=slots)
    unnamed = node(9, "VAELoader", 5, "inner.pt", inputs=[{"name": "vae_name"}])
    table = node(9, "VAELoader", inputs=slots) | {"widgets_values": {"vae_name": "inner.pt"}}
    empty = {"id": 9, "type": "VAELoader", "inputs": slots}

    for loader in (named, unnamed, table, empty):
        assert [("outer.pt", "vae")] == instance_of(loader, {"vae": "outer.pt"}), loader


def test_what_an_instance_sets_that_is_no_file_replaces_none_without_names() -> None:
    unnamed = node(9, "VAELoader", 5, "inner.pt", inputs=[{"name": "vae_name"}])

    for value in (7, "fixed", None):
        assert [("inner.pt", "vae")] == instance_of(unnamed, {"vae": value}), value


@pytest.mark.parametrize(
    ("slot", "link"),
    [(1, {}), (-1, {}), ("0", {}), (None, {}), (0, {"target_id": 8}), (0, {"target_id": [9]}), (0, {"id": 8})],
)
def test_a_link_to_no_widget_sets_nothing(slot: object, link: dict[str, Any]) -> None:
    slots = [{"name": "vae_name", "widget": {"name": "vae_name"}}]

    assert [("inner.pt", "vae"), ("outer.pt", None)] != instance_of(
        node(9, "VAELoader", "inner.pt", inputs=slots), {"vae": "outer.pt"}, slot, **link
    )
    assert [("inner.pt", "vae")] == instance_of(
        node(9, "VAELoader", "inner.pt", inputs=slots), {"vae": "outer.pt"}, slot, **link
    )


def test_subgraphs_are_followed_to_a_depth_and_no_further() -> None:
    def nested(depth: int) -> Any:
        levels = [{"id": f"s{n}", "nodes": [node(1, f"s{n + 1}")]} for n in range(depth)]
        levels.append({"id": f"s{depth}", "nodes": [node(1, "VAELoader", "a.pt")]})
        return read_needs(json.dumps(page(node(1, "s0"), definitions={"subgraphs": levels})).encode())

    deepest, deeper = nested(graphs.DEPTH_MAX - 1), nested(graphs.DEPTH_MAX)

    assert (32, 1, False) == (graphs.DEPTH_MAX, len(deepest.needs), deepest.is_truncated)
    assert (0, True) == (len(deeper.needs), deeper.is_truncated)


@pytest.mark.parametrize("count", [3, 4])
def test_nodes_up_to_the_limit_are_read(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(graphs, "NODES_MAX", 3)
    loaders = [node(n, "VAELoader", f"{n}.pt") for n in range(count)]
    api = {str(n): {"class_type": "VAELoader", "inputs": {"vae_name": f"{n}.pt"}} for n in range(count)}

    for graph in (page(*loaders), api):
        found = read_needs(json.dumps(graph).encode())
        assert (3, count > 3) == (len(found.needs), found.is_truncated)


def test_ids_of_nodes_are_cut() -> None:
    api = {"x" * 65: {"class_type": "VAELoader", "inputs": {"vae_name": "a.pt"}}}

    assert [("x" * 64,)] == [need.nodes for need in needs_of(api)]
    assert [("y" * 32,)] == [need.nodes for need in needs_of(page(node(1, "VAELoader", "a.pt") | {"id": "y" * 33}))]


@pytest.mark.parametrize("name", [["a.pt"], {"a.pt": 1}, 1.5, None])
def test_a_declaration_whose_name_is_no_text_declares_nothing(name: object) -> None:
    declared = {"properties": {"models": [{"name": name, "url": "https://a.example/a.pt", "directory": "loras"}]}}

    assert [(None, None)] == [
        (need.directory, need.url) for need in needs_of(page(node(1, "SomeNode", "a.pt") | declared))
    ]


@pytest.mark.parametrize("key", ["on", "active", "enabled"])
def test_each_switch_of_an_entry(key: str) -> None:
    rows = [{key: state, "lora": f"{state}.pt"} for state in (True, False, None, 0)]

    assert ["True.pt", "None.pt", "0.pt"] == [
        need.name for need in needs_of(page(node(1, "Power Lora Loader (rgthree)", *rows)))
    ]


@pytest.mark.parametrize("key", ["lora", "name", "content", "model", "lora_name"])
def test_each_name_of_an_entry(key: str) -> None:
    assert ["a.pt"] == [need.name for need in needs_of(page(node(1, "LoraLoader", {key: "a.pt"})))]
    assert ["a.pt"] == [need.name for need in needs_of(page(node(1, "LoraLoader", [{key: "a.pt"}, 7])))]


def test_a_switch_of_another_input_turns_nothing_off() -> None:
    inputs = {"switch_2": "Off", "lora_name_1": "a.pt", "lora_name_2": "b.pt", "switch_": "Off", "other": "c.pt"}
    upscaling = {"tiling": "Off", "model_name": "d.pt"}

    assert ["a.pt", "c.pt"] == [
        need.name for need in needs_of({"1": {"class_type": "CR LoRA Stack", "inputs": inputs}})
    ]
    assert ["d.pt"] == [
        need.name for need in needs_of({"1": {"class_type": "UpscaleModelLoader", "inputs": upscaling}})
    ]


@pytest.mark.parametrize(
    ("directory", "is_taken"),
    [
        *((directory, True) for directory in ("loras", "a/b/c/d", "x" * 64)),
        *((directory, False) for directory in ("a/b/c/d/e", "a/.b", "x" * 65, "", "/a", "a/", "ä", 7)),
    ],
)
def test_a_folder_that_a_document_declares(directory: object, is_taken: bool) -> None:
    (need,) = needs_of({"models": [{"name": "a.pt", "directory": directory}]})

    assert (directory if is_taken else None) == need.directory


def test_what_a_list_of_models_declares() -> None:
    models = [
        {"name": "x" * 260, "hash": "no", "hash_type": "SHA256", "air": "y" * 260},
        {"name": "x" * 261},
        {"name": " ", "air": "z" * 261},
        {"name": "b.pt", "air": "z" * 261},
    ]

    assert [Need("x" * 260, air="y" * 260), Need("b.pt")] == needs_of({"models": models})


def test_the_first_kind_of_document_that_fits_is_read() -> None:
    loader = {"class_type": "VAELoader", "inputs": {"vae_name": "b.pt"}}
    both = {**page(node(1, "VAELoader", "a.pt")), "2": loader}

    assert ["a.pt"] == [need.name for need in needs_of(both)]
    assert ["b.pt"] == [need.name for need in needs_of({"1": loader, "prompt": {"1": {"class_type": "X"}}})]
    assert ["b.pt"] == [need.name for need in needs_of({"prompt": {"1": loader}, "models": [{"name": "c.pt"}]})]
    with pytest.raises(errors.UnsupportedFile):
        needs_of({"prompt": {"1": 5}, "models": 5})


def test_a_body_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "BODY_BYTES_MAX", len(GRAPH))

    assert FROM_GRAPH == [*read_needs(GRAPH.encode())]
    with pytest.raises(errors.UnsupportedFile, match="the file has more than 0 MiB"):
        read_needs(GRAPH.encode() + b" ")


# --- prompts


def test_two_hundred_references_of_a_prompt_are_read() -> None:
    for text in ("<lora:{}:1>", "embedding:{} "):
        for count, is_truncated in ((prompts.REFERENCES_MAX, False), (prompts.REFERENCES_MAX + 1, True)):
            prompt = "".join(text.format(number) for number in range(count))
            found = read_needs(json.dumps(page(node(1, "CLIPTextEncode", prompt))).encode())
            assert (200, is_truncated) == (len(found.needs), found.is_truncated)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("<lora:a>", ["a"]),
        ("<lyco:a:0.5:1>", ["a"]),
        ("<lora: a :1>", ["a"]),
        ("<lora: >", []),
        ("<lora:a\x00b>", []),
        (f"<lora:{'x' * 260}>", ["x" * 260]),
        (f"<lora:{'x' * 261}>", []),
        (f"<lora:a:{'1' * 80}>", ["a"]),
        (f"<lora:a:{'1' * 81}>", []),
        ("embedding: a,embedding:b)", ["a", "b"]),
        ("myembedding:a", []),
        ("embedding:  a", []),
    ],
)
def test_the_references_of_a_prompt(prompt: str, names: list[str]) -> None:
    assert names == [need.name for need in needs_of(page(node(1, "CLIPTextEncode", prompt)))]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ('Model: "a, \\"b\\""', [Need('a, "b"', "checkpoints")]),
        ("Model: a [0123456789]", [Need("a", "checkpoints", ("0123456789",))]),
        ("Model hash: 0123456789, Model: a [0123456789]", [Need("a", "checkpoints", ("0123456789",))]),
        ("Model: a, Model: b", [Need("a", "checkpoints")]),
        ('ControlNet 0: "Module: x, Model: None"', []),
        ('Other: "Model: b"', []),
        ('Lora hashes: "a: 0123456789"', [Need("a", "loras", ("0123456789",))]),
        ("Model: Latent", []),
        ("VAE: lanczos 3", []),
        ("VAE: default", []),
        ("VAE: nearest-exact", [Need("nearest-exact", "vae")]),
        ('Hashes: {"model": "0123456789", "vae": 7}', [Need("0123456789", "checkpoints", ("0123456789",))]),
        ('Hashes: {"lyco:a": "0123456789"}', [Need("a", "loras", ("0123456789",))]),
        ('Civitai resources: [{"modelVersionId": 0}]', []),
        ('Civitai resources: [{"modelVersionId": 1, "type": 7}]', [Need("version 1", version_id=1)]),
        ('Civitai resources: [{"modelVersionId": 9007199254740992, "modelName": "a"}]', [Need("a")]),
        ('Civitai resources: [{"modelName": "a\\nb", "modelVersionId": 1}]', []),
    ],
)
def test_a_setting(setting: str, expected: list[Need]) -> None:
    assert expected == [*read_needs(f"x\nSteps: 1, {setting}".encode())]


def test_settings_stand_at_the_end_of_the_text() -> None:
    assert [Need("a", "checkpoints")] == [*read_needs(b"Steps: 1, Size: 1x1,\nModel: a\n \n")]
    for text in ("Steps: 1, Model: a\n\nmore", "steps: 1, Model: a", "Steps: x, Model: a", "y Steps: 1, Model: a"):
        with pytest.raises(errors.UnsupportedFile):
            read_needs(text.encode())


# --- pictures


def test_the_texts_of_a_png_are_taken_up_to_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    text = chunk(b"tEXt", b"workflow\0" + GRAPH.encode())
    monkeypatch.setattr(pictures, "TEXT_BYTES_MAX", len(GRAPH))
    assert FROM_GRAPH == [*read_needs(PNG + text)]
    assert FROM_GRAPH == [*read_needs(png({"workflow": GRAPH}, packed=True))]
    for packed in (False, True):
        with pytest.raises(errors.UnsupportedFile, match="the picture holds more than 0 MiB of text"):
            read_needs(png({"workflow": GRAPH + " "}, packed=packed))

    many = [chunk(b"tEXt", b"%d\0" % number) for number in range(pictures.TEXTS_MAX - 1)]
    assert FROM_GRAPH == [*read_needs(PNG + b"".join(many) + text)]
    with pytest.raises(errors.UnsupportedFile):
        read_needs(PNG + b"".join(many) + chunk(b"tEXt", b"x\0") + text)


def test_a_png_is_read_to_its_end_and_the_first_text_of_a_name_counts() -> None:
    text = chunk(b"tEXt", b"workflow\0" + GRAPH.encode())
    other = chunk(b"tEXt", b"workflow\0" + GRAPH.replace("a.pt", "b.pt").encode())
    damaged = chunk(b"zTXt", b"workflow\0\0no zlib") + chunk(b"iTXt", b"workflow\0\0")

    assert FROM_GRAPH == [*read_needs(PNG + damaged + text + other)]
    for refused in (chunk(b"IEND", b"") + text, text[:-1], chunk(b"tEXt", b"work\0x")):
        with pytest.raises(errors.UnsupportedFile):
            read_needs(PNG + refused)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_of_a_png_are_utf8_or_else_latin1(encoding: str) -> None:
    text = "x\nSteps: 1, Model: é".encode(encoding)

    assert [Need("é", "checkpoints")] == [*read_needs(PNG + chunk(b"tEXt", b"parameters\0" + text))]


def test_each_name_of_a_text_is_read() -> None:
    swarm = json.dumps({"sui_image_params": {"vae": "a.pt"}})
    invoke = json.dumps({"vae": {"name": "a.pt", "type": "vae"}})
    texts = {"workflow": GRAPH, "prompt": GRAPH, "sui_image_params": swarm, "invokeai_metadata": invoke}

    for name, text in {**texts, "parameters": swarm}.items():
        assert ["a.pt"] == [need.name for need in read_needs(png({name: text}))], name
    for name, text in (("other", GRAPH), ("workflow", "Steps: 1, Model: a"), ("invokeai_metadata", "[]")):
        with pytest.raises(errors.UnsupportedFile):
            read_needs(png({name: text}))


def box(kind: bytes, content: bytes, *, is_wide: bool = False) -> bytes:
    if is_wide:
        return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
    return struct.pack(">I4s", len(content) + 8, kind) + content


def avif(iloc_version: int, infe_version: int, *, base: int = 0, index_bytes: int = 0, is_wide: bool = False) -> bytes:
    """An AVIF of three items, of which the second one, 7, is EXIF with a workflow."""
    exif = Image.Exif()
    exif[MAKE] = f"workflow:{GRAPH}"
    tiff = b"\0\0\0\x06" + exif.tobytes()
    wide_id = ">I" if iloc_version == 2 else ">H"
    infe_id = ">I" if infe_version == 3 else ">H"

    def infe(number: int, kind: bytes) -> bytes:
        return box(b"infe", bytes([infe_version, 0, 0, 0]) + struct.pack(infe_id, number) + b"\0\0" + kind + b"\0")

    def iloc(number: int, begin: int, size: int) -> bytes:
        extent = bytes(index_bytes) + struct.pack(">II", begin - base, size)
        method = b"\0\0" if iloc_version else b""
        location = struct.pack(wide_id, number) + method + b"\0\0" + base.to_bytes(4 if base else 0, "big")
        return location + struct.pack(">H", 1) + extent

    def file(begin: int) -> bytes:
        items = [infe(3, b"av01"), infe(7, b"Exif"), infe(9, b"mime")]
        iinf = b"\0\0\0\0" + struct.pack(">H", 3) + b"".join(items)
        sizes = bytes([0x44, (4 if base else 0) << 4 | index_bytes])
        locations = iloc(3, begin, 1) + iloc(7, begin, len(tiff)) + iloc(9, begin, 2)
        located = bytes([iloc_version, 0, 0, 0]) + sizes + struct.pack(wide_id, 3) + locations
        meta = b"\0\0\0\0" + box(b"iinf", iinf) + box(b"iloc", located)
        return box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", meta, is_wide=is_wide) + box(b"mdat", tiff)

    return file(len(file(base)) - len(tiff))


@pytest.mark.parametrize("iloc_version", [0, 1, 2])
@pytest.mark.parametrize("infe_version", [2, 3])
@pytest.mark.parametrize(("base", "is_wide"), [(0, False), (50, True)])
def test_an_avif_of_each_version_has_its_workflow(
    iloc_version: int, infe_version: int, base: int, is_wide: bool
) -> None:
    index_bytes = 4 if iloc_version else 0

    assert FROM_GRAPH == [
        *read_needs(avif(iloc_version, infe_version, base=base, index_bytes=index_bytes, is_wide=is_wide))
    ]
    assert FROM_GRAPH == [*read_needs(avif(iloc_version, infe_version, base=base, is_wide=is_wide))]
