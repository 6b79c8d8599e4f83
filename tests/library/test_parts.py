"""How names in a folder become parts of one model, and what the records of the parts say of it: no file is opened.

Not covered here: scans of real folders (test_folder_models.py).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from modelyard.domain import Hashes, Source, Status, Visibility
from modelyard.facts import Facts, ModelFile
from modelyard.fingerprint import Fingerprint
from modelyard.inspection.folders import parse_index
from modelyard.library.folder_models import Part, group_pipeline, group_shards, list_files, summarize
from modelyard.store.files import FileRecord, FileState

FOLDER = b"/models/night"


def shards_of(names: Collection[bytes], documents: Mapping[bytes, object] | None = None) -> dict[bytes, Part]:
    models = {name for name in names if not name.endswith(b".json")}
    return group_shards(FOLDER, names, models, lambda name: (documents or {})[name])


def pipeline_of(present: Collection[bytes], **index: object) -> dict[bytes, Part]:
    return group_pipeline(FOLDER, {"_class_name": "FluxPipeline", **index}, present, lambda _: None)


# --- Shards ---


def test_two_shards_are_the_parts_of_one_model() -> None:
    first, second = b"m-00001-of-00002.safetensors", b"m-00002-of-00002.safetensors"

    parts = shards_of([second, first])

    files = ((first.decode(), "shard 1 of 2"), (second.decode(), "shard 2 of 2"))
    paths = (FOLDER + b"/" + first, FOLDER + b"/" + second)
    folder = FOLDER + b"/m.safetensors"
    assert parts == {
        first: Part(folder, first.decode(), "shard 1 of 2", "night", files, paths),
        second: Part(folder, second.decode(), "shard 2 of 2", "night", files),
    }


def test_a_shard_that_is_missing_is_among_the_files_and_not_among_the_headers() -> None:
    parts = shards_of([b"m-2-of-3.gguf", b"other.gguf"])

    files = (("m-1-of-3.gguf", "shard 1 of 3"), ("m-2-of-3.gguf", "shard 2 of 3"), ("m-3-of-3.gguf", "shard 3 of 3"))
    part = Part(FOLDER + b"/m.gguf", "m-2-of-3.gguf", "shard 2 of 3", "m", files, (FOLDER + b"/m-2-of-3.gguf",))
    assert {b"m-2-of-3.gguf": part} == parts


@pytest.mark.parametrize(
    ("name", "is_shard"),
    [
        (b"m-1-of-2.pt", True),
        (b"m-2-of-2.pt", True),
        (b"m-00001-of-01000.pt", True),
        (b"m-00001-of-01001.pt", False),
        (b"m-1-of-1.pt", False),
        (b"m-0-of-2.pt", False),
        (b"m-3-of-2.pt", False),
        (b"m-000001-of-2.pt", False),
        (b"-1-of-2.pt", False),
        (b"m-1-of-2", False),
    ],
)
def test_a_name_is_that_of_a_shard_if_its_numbers_fit(name: bytes, is_shard: bool) -> None:
    assert ({name} if is_shard else set()) == shards_of([name]).keys()


INDEX = b"m.safetensors.index.json"


def listed(*names: object) -> dict[bytes, object]:
    return {INDEX: {"weight_map": {str(number): name for number, name in enumerate(names)}}}


@pytest.mark.parametrize(
    ("documents", "names"),
    [
        (listed("m-1-of-2.safetensors", "m-1-of-2.safetensors", 5), ["m-1-of-2.safetensors"]),
        (listed("m-1-of-2.safetensors", "x-2-of-2.safetensors"), ["m-1-of-2.safetensors", "m-2-of-2.safetensors"]),
        (listed("m-1-of-2.safetensors", "m-2-of-2.pt"), ["m-1-of-2.safetensors", "m-2-of-2.safetensors"]),
        (listed("m-1-of-2.safetensors", "../m.safetensors"), ["m-1-of-2.safetensors", "m-2-of-2.safetensors"]),
        (listed(), ["m-1-of-2.safetensors", "m-2-of-2.safetensors"]),
        ({INDEX: {"weight_map": []}}, ["m-1-of-2.safetensors", "m-2-of-2.safetensors"]),
        ({INDEX: []}, ["m-1-of-2.safetensors", "m-2-of-2.safetensors"]),
    ],
)
def test_an_index_lists_the_shards_if_all_its_names_are_theirs(
    documents: dict[bytes, object], names: list[str]
) -> None:
    parts = shards_of([b"m-1-of-2.safetensors", INDEX], documents)

    assert names == [name for name, _ in parts[b"m-1-of-2.safetensors"].files]


def test_an_index_of_a_variant_is_named_by_it_and_lists_up_to_a_thousand_shards() -> None:
    for count, expected in ((1000, 1000), (1001, 2)):
        names = ["m-1-of-2.fp16.pt", *(f"m-{number:05}-of-02000.fp16.pt" for number in range(1, count))]
        documents: dict[bytes, object] = {b"m.pt.index.fp16.json": {"weight_map": {name: name for name in names}}}
        parts = shards_of([b"m-1-of-2.fp16.pt", *documents], documents)

        assert expected == len(parts[b"m-1-of-2.fp16.pt"].files)


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        (b"/models/night", "night"),
        (b"/models/night/", "night"),
        (b"/models/checkpoints", "m"),
        (b"/", "model"),
        (b"/hub/models--org--night/snapshots/abc", "night"),
        (b"/hub/models--night/snapshots/abc", "night"),
        (b"/hub/night/snapshots/abc", "abc"),
        (b"/hub/models--night/other/abc", "abc"),
    ],
)
def test_shards_alone_are_called_by_their_folder(folder: bytes, label: str) -> None:
    parts = group_shards(folder, [b"m-1-of-2.pt"], [b"m-1-of-2.pt"], lambda _: None)

    assert label == parts[b"m-1-of-2.pt"].label


# --- Pipelines ---

UNET = b"unet/diffusion_pytorch_model.safetensors"
VAE = b"vae/diffusion_pytorch_model.safetensors"


def test_a_pipeline_is_one_model_of_its_components_and_the_main_one_identifies_it() -> None:
    parts = pipeline_of([VAE, UNET], vae=["diffusers", "AutoencoderKL"])

    files = ((UNET.decode(), "unet"), (VAE.decode(), "vae"))
    assert parts == {
        UNET: Part(FOLDER, UNET.decode(), "unet", "night", files, (FOLDER + b"/" + UNET,), "FluxPipeline"),
        VAE: Part(FOLDER, VAE.decode(), "vae", "night", files, (), "FluxPipeline"),
    }


def test_the_first_file_has_the_headers_of_the_main_component() -> None:
    parts = pipeline_of([b"a/model.bin", b"transformer/model.pt", UNET])

    assert {(FOLDER + b"/transformer/model.pt",)} == {part.headers for part in parts.values() if part.headers}
    assert parts[b"a/model.bin"].headers


@pytest.mark.parametrize("main", [b"transformer", b"unet", b"prior", b"decoder"])
def test_the_main_component_is_the_diffusion_model(main: bytes) -> None:
    parts = pipeline_of([b"a/model.bin", main + b"/model.bin"])

    assert (FOLDER + b"/" + main + b"/model.bin",) == parts[b"a/model.bin"].headers


def test_without_a_main_component_the_first_identifies_the_model() -> None:
    parts = pipeline_of([b"b/model.bin", b"a/model.bin"])

    assert [(FOLDER + b"/a/model.bin",), ()] == [parts[path].headers for path in sorted(parts)]


def test_of_several_alternatives_the_headers_are_those_of_the_safe_and_short_one() -> None:
    names = [b"model.bin", b"model.fp16.safetensors", b"model-1-of-2.safetensors", b"model-2-of-2.safetensors"]
    parts = pipeline_of([b"unet/" + name for name in names])

    headers = next(part.headers for part in parts.values() if part.headers)
    assert tuple(FOLDER + b"/unet/" + name for name in names[2:]) == headers


@pytest.mark.parametrize(
    ("components", "missing"),
    [
        ({"vae": ["diffusers", "AutoencoderKL"]}, ["vae/"]),
        ({"vae": ["diffusers", "AutoencoderKL"], "text_encoder_2": ["t", "T5"]}, ["text_encoder_2/", "vae/"]),
        ({"vae": [None, "AutoencoderKL"]}, []),
        ({"vae": ["diffusers", None]}, []),
        ({"vae": ["AutoencoderKL"]}, []),
        ({"vae": ["a", "AutoencoderKL", "c"]}, []),
        ({"vae": "AutoencoderKL"}, []),
        ({"../vae": ["diffusers", "AutoencoderKL"]}, []),
        ({101 * "v": ["diffusers", "AutoencoderKL"]}, []),
        ({"a": ["t", "CLIPTokenizer"], "b": ["t", "T5TokenizerFast"], "c": ["d", "EulerScheduler"]}, []),
        ({"a": ["t", "CLIPFeatureExtractor"], "b": ["t", "SiglipProcessor"], "c": ["t", "VaeProcessorFast"]}, []),
        ({"a": ["t", "TokenizerModel"]}, ["a/"]),
        ({f"c{number:03}": ["d", "Model"] for number in range(101)}, [f"c{number:03}/" for number in range(100)]),
    ],
)
def test_a_component_with_weights_is_missing_where_the_index_lists_it(
    components: dict[str, object], missing: list[str]
) -> None:
    parts = pipeline_of([UNET], **components)

    assert missing == [name for name, _ in parts[UNET].files if name.endswith("/")]


@pytest.mark.parametrize(
    ("name", "is_part"),
    [
        (b"model.bin", True),
        (b"pytorch_model.bin", True),
        (b"flax_model.msgpack", True),
        (b"diffusion_pytorch_model.fp16.bin", True),
        (b"adapter_model.bin", True),
        (b"pytorch_lora_weights.bin", True),
        (b"any.SAFETENSORS", True),
        (b"any.gguf", True),
        (b"any.sft", True),
        (b"training_args.bin", False),
        (b"optimizer.pt", False),
        (b"deep/model.bin", True),
    ],
)
def test_a_file_of_a_component_is_a_part_if_it_has_weights(name: bytes, is_part: bool) -> None:
    assert is_part == (b"unet/" + name in pipeline_of([b"unet/" + name]))


def test_files_beside_the_components_are_no_parts() -> None:
    assert {UNET} == pipeline_of([UNET, b"model.safetensors"]).keys()


@pytest.mark.parametrize("index", [None, [], {}, {"_class_name": 5}])
def test_what_names_no_class_is_no_pipeline(index: object) -> None:
    assert {} == group_pipeline(FOLDER, index, [UNET], lambda _: None)


def test_the_class_of_a_pipeline_has_100_characters() -> None:
    assert 100 * "x" == pipeline_of([UNET], _class_name=101 * "x")[UNET].pipeline


def test_a_component_lacks_shards_only_if_no_alternative_is_whole() -> None:
    def files_of(*names: bytes) -> list[str]:
        parts = pipeline_of([b"unet/" + name for name in names])
        return [name.removeprefix("unet/") for name, _ in next(iter(parts.values())).files]

    one, two = "model-1-of-2.pt", "model-2-of-2.pt"
    assert [one, two] == files_of(one.encode())
    assert [one, "model.bin"] == files_of(one.encode(), b"model.bin")
    assert [one, two, "x/model.bin"] == files_of(one.encode(), two.encode(), b"x/model.bin")
    assert [one, "x/model-1-of-2.pt", "x/model-2-of-2.pt"] == files_of(
        one.encode(), b"x/model-1-of-2.pt", b"x/model-2-of-2.pt"
    )


@pytest.mark.parametrize("raw", [b"", b"{", 100_000 * b"[", b"\xff"])
def test_what_is_no_json_says_nothing(raw: bytes) -> None:
    assert parse_index(raw) is None
    assert {"a": 1} == parse_index(json.dumps({"a": 1}).encode())


# --- The model of the parts ---


def record(part: str, **values: object) -> FileRecord:
    made = FileRecord(
        path=b"/m/" + part.encode(),
        fingerprint=Fingerprint(7, 1, 1, 1),
        device=1,
        state=FileState.PRESENT,
        source=Source.UPLOADING,
        visibility=Visibility.PUBLIC,
        verdict="clean",
        part=part,
        sha256=(part * 64)[:64],
    )
    return replace(made, **values)  # type: ignore[arg-type] # fields of a record


HEADER = Facts(
    name="night",
    hashes=Hashes(sha256="F" * 64),
    files=(ModelFile("a", role="unet"), ModelFile("b", role="vae")),
    evidence=("old verdict", "type: a tensor"),
)
A = ModelFile("a", role="unet", size_bytes=7, hashes=Hashes(sha256="A" * 64, autov2="A" * 10))
B = ModelFile("b", role="vae", size_bytes=7, hashes=Hashes(sha256="B" * 64, autov2="B" * 10))


def test_a_model_whose_files_are_all_there_and_sound_is_available() -> None:
    facts, status = summarize(HEADER, [record("b"), record("a")])

    assert Status.AVAILABLE is status
    evidence = ("clean: all 2 files are there and sound", "type: a tensor")
    assert replace(HEADER, files=(A, B), hashes=None, size_bytes=14, evidence=evidence) == facts


@pytest.mark.parametrize(
    ("changes", "verdict", "is_available"),
    [
        ({"verdict": "suspicious", "reason": "imports x"}, "suspicious: b: imports x", True),
        ({"state": FileState.BROKEN, "verdict": "error", "reason": "cut"}, "error: b: cut", False),
        ({"state": FileState.BROKEN, "verdict": "", "reason": ""}, "error: b: it changed while it was read", False),
        ({"state": FileState.MISSING}, "error: 1 of 2 files is missing: b", False),
        ({"hashes_pending": True, "sha256": None}, "waiting: 1 of 2 files are not hashed yet", False),
    ],
)
def test_a_model_is_as_its_worst_file(changes: dict[str, object], verdict: str, is_available: bool) -> None:
    facts, status = summarize(HEADER, [record("a"), record("b", **changes)])

    assert (verdict, is_available) == ((facts.evidence or ("",))[0], status is Status.AVAILABLE)


def test_of_two_unsound_files_the_dangerous_one_is_named() -> None:
    broken = record("a", state=FileState.BROKEN, verdict="error", reason="cut")
    dangerous = record("b", state=FileState.BROKEN, verdict="dangerous", reason="imports os.system")

    facts, _ = summarize(HEADER, [broken, dangerous])

    assert "dangerous: b: imports os.system" == (facts.evidence or ("",))[0]


def test_five_missing_files_are_named_and_all_are_counted() -> None:
    header = replace(HEADER, files=tuple(ModelFile(name) for name in "abcdefg"))

    facts, _ = summarize(header, [record("a")])

    assert "error: 6 of 7 files are missing: b, c, d, e, f, …" == (facts.evidence or ("",))[0]


def test_a_file_without_a_hash_has_none_and_one_that_is_missing_keeps_that_of_its_header() -> None:
    known = Hashes(sha256="A" * 64, blake3="D" * 64)
    header = replace(HEADER, files=tuple(ModelFile(name, size_bytes=1, hashes=known) for name in "abc"))

    facts, _ = summarize(header, [record("a"), record("b", sha256=None)])

    assert (
        ModelFile("a", size_bytes=7, hashes=known),
        ModelFile("b", size_bytes=7),
        ModelFile("c", hashes=known),
    ) == facts.files


def test_the_files_of_a_model_keep_the_hashes_that_are_known() -> None:
    part = Part(FOLDER, "a", "unet", "night", (("a", "unet"), ("b", "vae"), ("c", "vae")))
    known, new = Hashes(sha256="1" * 64), Hashes(sha256="2" * 64)
    before = Facts(files=(ModelFile("a", hashes=known), ModelFile("b", hashes=known)))

    assert (
        ModelFile("a", role="unet", hashes=new),
        ModelFile("b", role="vae", hashes=known),
        ModelFile("c", role="vae"),
    ) == list_files(part, before, new)
    assert known == list_files(part, before, None)[0].hashes
    assert [None, None, None] == [file.hashes for file in list_files(part, None, None)]
