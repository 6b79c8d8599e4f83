"""The pickle walk finds what unpickling would import and build, and the state dict is read from it.

Not covered here: hostile pickles (tests/attacks).
"""

import bz2
import collections
import gzip
import io
import lzma
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import Verdict
from modelyard.inspection import inspect_file, pickle_opcodes, state_dict
from modelyard.inspection.budget import Budget, Limits
from modelyard.inspection.header import Tensor
from modelyard.inspection.pickle_imports import judge_global
from modelyard.inspection.pickle_scan import find_hidden_pickle, scan_pickle, scan_zip
from modelyard.inspection.pickle_vm import OPAQUE, Global, ReducedObject, Storage
from tests.attacks.pickles import zipped
from tests.inspection.made_files import legacy_torch, state_dict_pickle, write_torch_zip
from tests.inspection.test_zip_directory import central, end, local

SHAPES = {"layer.weight": ("F16", [4, 3, 1, 1]), "layer.bias": ("F32", [4]), "steps": ("I64", [])}


def walked(content: bytes) -> pickle_opcodes.PickleTrace:
    return pickle_opcodes.walk(io.BytesIO(content))


def test_every_opcode_of_this_python_has_a_step() -> None:
    """A new protocol's opcodes would end a walk early, so they must be noticed."""
    assert set() == {opcode.name for opcode in pickletools.opcodes} - set(pickle_opcodes._NAMED)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(value=plain, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_what_python_pickles_is_walked_to_its_end(value: object, protocol: int) -> None:
    content = pickle.dumps(value, protocol)

    found = walked(content)

    assert ("", len(content)) == (found.problem, found.end)
    assert set() == {str(each) for each in found.globals if judge_global(each) is not Verdict.CLEAN}


keyed = st.dictionaries(st.text(max_size=6), st.integers(0, 1 << 60) | st.text(max_size=8), max_size=6)


@settings(max_examples=100, deadline=None)
@given(value=keyed, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_dicts_of_numbers_and_texts_come_out_as_they_went_in(value: dict[str, object], protocol: int) -> None:
    assert value == walked(pickle.dumps(value, protocol)).value
    assert value == walked(pickle.dumps(collections.OrderedDict(value), max(protocol, 2))).value


def test_globals_are_found_as_pickletools_names_them() -> None:
    content = pickle.dumps([collections.OrderedDict, io.BytesIO, Path("a")], 4)
    path = f"{type(Path()).__module__}.PosixPath"  # another module in Python 3.13

    assert {"collections.OrderedDict", "_io.BytesIO", path} == {str(each) for each in walked(content).globals}


@pytest.mark.parametrize("wrapper", ["", "state_dict", "params_ema"])
def test_names_and_shapes_of_a_state_dict_are_read(wrapper: str, tmp_path: Path) -> None:
    content = state_dict_pickle(SHAPES, wrapper)
    old, torch_zip = tmp_path / "old.pt", write_torch_zip(tmp_path / "new.pt", content)
    old.write_bytes(legacy_torch(content))

    for path, kind in ((old, "torch legacy"), (torch_zip, "torch zip")):
        found = inspect_file(path)

        assert (kind, "clean") == (found.format, found.verdict)
        assert 4 * 3 + 4 + 1 == found.identity.parameters

    header = state_dict.header_of(walked(content).value)
    assert header is not None
    assert wrapper == header.wrapper
    assert {name: tuple(shape) for name, (_, shape) in SHAPES.items()} == {
        name: tensor.shape for name, tensor in header.tensors.items()
    }


def test_an_embedding_of_a1111_is_known_by_its_pickle(tmp_path: Path) -> None:
    inner = state_dict_pickle({"*": ("F32", [8, 768])})[2:-1]
    text = b"X\x04\x00\x00\x00nameX\x04\x00\x00\x00hero"
    content = b"\x80\x02}(" + text + b"X\x0f\x00\x00\x00string_to_param" + inner + b"u."
    path = write_torch_zip(tmp_path / "hero.pt", content)

    found = inspect_file(path)

    assert ("textualinversion", "SD 1.5") == (found.identity.type.value, found.identity.base_model.value)
    assert {"name": "hero"} == found.metadata


def test_averaged_weights_are_preferred_to_the_plain_ones() -> None:
    plain_weights, averaged = state_dict_pickle({"a": ("F32", [1])})[2:-1], state_dict_pickle({"a": ("F32", [2])})[2:-1]
    content = b"\x80\x02}(X\x06\x00\x00\x00params" + plain_weights + b"X\x0a\x00\x00\x00params_ema" + averaged + b"u."

    header = state_dict.header_of(walked(content).value)

    assert header is not None
    assert ("params_ema", (2,)) == (header.wrapper, header.tensors["a"].shape)


def test_a_walk_ends_at_its_limits_and_keeps_what_it_found() -> None:
    content = b"cos\nsystem\n0" + b"N0" * 1_000 + b"N."

    found = pickle_opcodes.walk(io.BytesIO(content), Budget(Limits(opcodes=100)))

    assert found.over_limit
    assert {Global("os", "system")} == found.globals


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("torch._utils._rebuild_tensor_v2", Verdict.CLEAN),
        ("collections.OrderedDict", Verdict.CLEAN),
        ("torch.nn.modules.linear.Linear", Verdict.SUSPICIOUS),
        ("ultralytics.nn.tasks.DetectionModel", Verdict.SUSPICIOUS),
        ("os.system", Verdict.DANGEROUS),
        ("os.path.join", Verdict.DANGEROUS),
        ("builtins.eval", Verdict.DANGEROUS),
        ("numpy.testing._private.utils.runstring", Verdict.DANGEROUS),
        ("torch.hub.load", Verdict.DANGEROUS),
        ("?.?", Verdict.DANGEROUS),
    ],
)
def test_imports_are_clean_by_list_dangerous_by_list_and_else_suspicious(name: str, verdict: Verdict) -> None:
    assert verdict == judge_global(Global(*name.rsplit(".", 1)))


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def names_of(value: object) -> dict[str, tuple[int, ...]]:
    header = state_dict.header_of(value)
    return {name: tensor.shape for name, tensor in header.tensors.items()} if header else {}


TENSOR = Tensor("F16", (2,))


def test_tensors_are_named_by_where_they_lie() -> None:
    layers = ReducedObject(
        None, None, {"_modules": {"conv": ReducedObject(None, None, {"_parameters": {"weight": TENSOR}})}}
    )
    plain = ReducedObject(None, None, {"weight": TENSOR})
    array = ReducedObject(Tensor("F32", (3,)), None)

    assert {"a.b": (2,), "c.0": (2,), "c.1.d": (2,), "7": (2,)} == names_of(
        {"a": {"b": TENSOR}, "c": [TENSOR, {"d": TENSOR}, ({},)], 7: TENSOR}
    )
    assert {"net.conv.weight": (2,)} == names_of({"net": layers})
    assert {"net.weight": (2,), "array": (3,)} == names_of({"net": plain, "array": array})


def test_a_wrapper_without_tensors_is_none() -> None:
    assert {"weight": (2,)} == names_of({"state_dict": {}, "params_ema": {"step": 1}, "weight": TENSOR})
    assert {"model": (2,), "weight": (2,)} == names_of({"model": TENSOR, "weight": TENSOR})
    assert {"params.0": (2,), "weight": (2,)} == names_of({"params": [TENSOR], "weight": TENSOR})


def test_the_first_of_two_tensors_of_one_name_counts() -> None:
    assert {"1": (2,)} == names_of({1: TENSOR, "1": Tensor("F16", (9,))})


def test_a_state_dict_is_walked_to_a_depth_and_so_many_tensors() -> None:
    def nested(depth: int) -> object:
        value: object = TENSOR
        for _ in range(depth):
            value = [value]
        return value

    assert 1 == len(names_of(nested(state_dict.DEPTH_MAX)))
    assert {} == names_of(nested(state_dict.DEPTH_MAX + 1))
    assert state_dict.TENSORS_MAX == len(names_of([TENSOR] * (state_dict.TENSORS_MAX + 1)))
    # A child counts when it is listed and when it is visited.
    assert {} == names_of([[{}] * (state_dict.VISITS_MAX * 2 // 3), TENSOR])


def test_texts_beside_the_weights_are_kept_short_and_few() -> None:
    header = state_dict.header_of({"w": TENSOR, "name": "n" * 600, "k" * 600: 1, "ok": True, "list": ["x"], 5: "five"})
    many = state_dict.header_of({"w": TENSOR} | {f"key {number}": number for number in range(65)})

    assert header is not None
    assert {"name": "n" * 512, "k" * 512: "1", "ok": "True"} == header.metadata
    assert many is not None
    assert 64 == len(many.metadata)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"I00\n.", False),
        (b"I01\n.", True),
        (b"I-12\n.", -12),
        (b"L12L\n.", 12),
        (b"L" + b"9" * 100 + b"\n.", 10**100 - 1),
        (b"L" + b"9" * 101 + b"\n.", OPAQUE),
        (b"\x8a\x40" + b"\xff" * 64 + b".", -1),
        (b"\x8a\x41" + b"\xff" * 65 + b".", OPAQUE),
        (b"J\xff\xff\xff\xff.", -1),
        (b"K\xff.", 255),
        (b"M\xff\xff.", 65_535),
        (b"S'a\\x41\\101\\n\\q'\n.", "aAA\n\\q"),
        (b'S"it\'s"\n.', "it's"),
        (b"S'a\"\n.", OPAQUE),
        (b"Sa\n.", OPAQUE),
        (b"S'\n.", OPAQUE),
        (b"V\\u0041\n.", "A"),
        (b"U\x01a.", "a"),
        (b"T\x01\0\0\0a.", "a"),
        (b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b".", "a" * (1 << 20)),
        (b"X" + struct.pack("<I", (1 << 20) + 1) + b"a" * ((1 << 20) + 1) + b".", OPAQUE),
        (b"(K\x01K\x02K\x03t.", (1, 2, 3)),
        (b"K\x01K\x02K\x03\x87.", (1, 2, 3)),
        (b"(K\x01K\x021K\x03.", 3),
        (b"K\x012\x86.", (1, 1)),
        (b"](K\x01K\x02e.", [1, 2]),
        (b"(X\x01\0\0\0aK\x01d.", {"a": 1}),
        (b"K\x05q\x070h\x07.", 5),
        (b"K\x05\x94K\x06\x9400h\x01.", 6),
        (b"Np0\n0g0\n.", None),
        (b"ccollections\nOrderedDict\n)}\x92.", {}),
    ],
)
def test_a_value_is_what_unpickling_would_make_or_opaque_where_it_is_long(content: bytes, value: object) -> None:
    found = walked(content)

    assert ("", value, len(content)) == (found.problem, found.value, found.end)
    assert type(value) is type(found.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "ends at byte 0 without STOP"),
        (b"N", "ends at byte 1 without STOP"),
        (b"\xffN.", "byte 0 is no opcode: 0xff"),
        (b"0.", "takes from an empty stack"),
        (b"2.", "looks at an empty stack"),
        (b"q\0.", "looks at an empty stack"),
        (b"p0\n.", "looks at an empty stack"),
        (b"p" + b"1" * (70 << 10), "looks at an empty stack"),
        (b"Np-1\n.", "numbers a memo entry with no number"),
        (b"Np" + b"1" * 101 + b"\n.", "numbers a memo entry with no number"),
        (b"Ng" + b"1" * 101 + b"\n.", "asks for a memo entry with no number"),
        (b"I01\n0I01\np01\n.", "numbers a memo entry with no number"),
        (b"t.", "looks for a mark that is not there"),
        (b"h\0.", "asks for memo 0, which is not there"),
        (b"(o.", "makes an object of nothing"),
        (b"Ix\n.", "for a number"),
        (b"I1", "does not end"),
        (b"X\x05\0\0\0abc", "ends at byte 8 without STOP"),
        (b"\x8e" + struct.pack("<Q", 1 << 62), "announces"),
        (b"\x8e" + struct.pack("<Q", (1 << 62) - 1), "without STOP"),
        (b"X" + struct.pack("<I", 2 << 20) + b"a" * ((2 << 20) - 1), "without STOP"),
    ],
)
def test_a_pickle_that_is_not_whole_ends_the_walk_with_what_is_wrong(content: bytes, problem: str) -> None:
    found = walked(content)

    assert problem in found.problem
    assert not found.over_limit


@pytest.mark.parametrize(
    ("content", "limits", "problem"),
    [
        (b"N0N0N.", Limits(opcodes=5), "has more than 5 opcodes"),
        (b"X\x03\0\0\0abc.", Limits(bytes=8), "is longer than 8 bytes"),
        (b"cabc\ndef\n.", Limits(bytes=9), "is longer than 9 bytes"),
        (b"](K\x01K\x02e.", Limits(work=2), "moves more items"),
        (b"]q\0(NNNe0ccollections\nOrderedDict\nh\0\x85R.", Limits(work=6), "moves more items"),
    ],
)
def test_a_walk_may_cost_what_its_limits_say_and_no_more(content: bytes, limits: Limits, problem: str) -> None:
    over = pickle_opcodes.walk(io.BytesIO(content), Budget(limits))
    wider = Limits(limits.opcodes + 1, limits.bytes + 1, limits.work + 1)

    assert (True, True) == (problem in over.problem, over.over_limit)
    assert "" == pickle_opcodes.walk(io.BytesIO(content), Budget(wider)).problem


def test_a_line_is_not_read_over_the_limit_of_bytes() -> None:
    reader = io.BytesIO(b"c" + b"a" * 10_000 + b"\nb\n.")

    found = pickle_opcodes.walk(reader, Budget(Limits(bytes=100)))

    assert "does not end" in found.problem
    assert 100 == reader.tell()


def test_only_what_can_be_a_shape_makes_a_tensor() -> None:
    def shape_of(sizes: bytes) -> object:
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ"
        value = walked(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + sizes + b"tR.").value
        return value.shape if isinstance(value, Tensor) else None

    assert () == shape_of(b")")
    assert (2, 3) == shape_of(b"K\x02K\x03\x86")
    assert ((1 << 48) - 1,) == shape_of(b"\x8a\x07" + b"\xff" * 6 + b"\0\x85")
    assert (1,) * 16 == shape_of(b"(" + b"K\x01" * 16 + b"t")
    for other in (b"(" + b"K\x01" * 17 + b"t", b"\x88\x85", b"J\xff\xff\xff\xff\x85", b"N\x85", b"]"):
        assert shape_of(other) is None
    assert shape_of(b"\x8a\x07" + bytes(6) + b"\x01\x85") is None


@pytest.mark.parametrize(
    ("storage", "dtype"),
    [
        ("DoubleStorage", "F64"),
        ("FloatStorage", "F32"),
        ("HalfStorage", "F16"),
        ("BFloat16Storage", "BF16"),
        ("LongStorage", "I64"),
        ("IntStorage", "I32"),
        ("ShortStorage", "I16"),
        ("CharStorage", "I8"),
        ("ByteStorage", "U8"),
        ("BoolStorage", "BOOL"),
        ("QInt8Storage", "unknown"),
    ],
)
def test_a_tensors_type_is_its_storages(storage: str, dtype: str) -> None:
    kept = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text("0") + text("cpu") + b"K\x01tQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + kept + b"K\0K\x02\x85tR"
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + rebuilt + b"\x88N\x87R"
    derived = (
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nN(" + kept + b"K\0K\x02\x85ttR"
    )

    assert Tensor(dtype, (2,)) == walked(rebuilt + b".").value
    assert Tensor(dtype, (2,)) == walked(parameter.replace(b"parameter\n(", b"parameter\n") + b".").value
    assert Tensor(dtype, (2,)) == walked(derived + b".").value


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "b1"])
def test_a_numpy_arrays_type_and_shape_are_read(kind: str) -> None:
    names = {"f": "F", "i": "I", "u": "U"}
    expected = "BOOL" if kind == "b1" else f"{names[kind[0]]}{int(kind[1]) * 8}"
    value = walked(pickle.dumps({"a": np.zeros((2, 3), kind)}, 2)).value

    assert Tensor(expected, (2, 3)) == (header.tensors["a"] if (header := state_dict.header_of(value)) else None)


def test_a_mapping_with_a_factory_keeps_its_items() -> None:
    pairs = b"ccollections\ndefaultdict\nN](" + text("a") + b"K\x01\x86e\x86R."

    assert {"a": 1} == walked(pickle.dumps(collections.defaultdict(int, {"a": 1}), 2)).value
    assert {"a": 1} == walked(pairs).value


def test_a_persistent_id_is_a_storage_where_it_says_so() -> None:
    kept = b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ."

    assert Storage("F32", 1) == walked(b"(" + text("storage") + kept).value
    assert OPAQUE is walked(b"(" + text("module") + kept).value
    assert OPAQUE is walked(b"N" + b"Q.").value


@pytest.mark.parametrize("start", [b"\x80\x02", b"\x80\x05", b"", b"(0", b"]0", b"}0"])
def test_a_command_in_a_member_of_any_name_is_found_however_it_begins(start: bytes, tmp_path: Path) -> None:
    members = {"archive/data.pkl": state_dict_pickle(SHAPES), "archive/data/0": start + b"cposix\nsystem\n."}
    (tmp_path / "model.pt").write_bytes(zipped(members))

    assert "dangerous" == inspect_file(tmp_path / "model.pt").verdict


def test_a_command_by_inst_in_a_member_of_any_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(zipped({"archive/data/0": b"(iposix\nsystem\n."}))

    assert "dangerous" == inspect_file(tmp_path / "model.pt").verdict


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".PKL"])
def test_a_member_that_is_named_as_a_pickle_is_looked_at_whatever_it_begins_with(suffix: str, tmp_path: Path) -> None:
    command = b"N0cposix\nsystem\n."
    (tmp_path / "named.zip").write_bytes(zipped({f"a/model{suffix}": command}))
    (tmp_path / "other.zip").write_bytes(zipped({"a/model.txt": command}))

    assert ("dangerous", "a zip that holds no weights") == (
        inspect_file(tmp_path / "named.zip").verdict,
        inspect_file(tmp_path / "other.zip").reason,
    )


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"N." * 63 + b"cposix\nsystem\n.", "dangerous"),
        (b"N." * 64, "clean"),
        (b"N." * 64 + b"cposix\nsystem\n.", "suspicious"),
    ],
)
def test_so_many_pickles_after_each_other_are_looked_at(content: bytes, verdict: str) -> None:
    assert verdict == scan_pickle(io.BytesIO(content), len(content)).verdict


def test_the_opcodes_of_all_pickles_of_a_series_have_one_limit() -> None:
    """Also where the later ones have imported nothing yet: torch loads all pickles of its old form."""
    content = b"N0N." * 3 + b"N0N0cposix\nsystem\n."
    scans = [scan_pickle(io.BytesIO(content), len(content), Budget(Limits(opcodes=count))) for count in (18, 15, 12, 7)]

    assert ["dangerous", "suspicious", "suspicious", "suspicious"] == [scan.verdict for scan in scans]


def test_of_torchs_old_form_the_five_pickles_are_looked_at_and_no_tensor() -> None:
    start = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {}, {}))
    command = b"cposix\nsystem\n."

    for content, verdict in ((start + command, "dangerous"), (start + b"N." + command, "clean")):
        assert verdict == scan_pickle(io.BytesIO(content), len(content)).verdict


def test_a_reason_names_so_many_imports() -> None:
    content = b"".join(f"cmodels.yolo\nModel{number}\n0".encode() for number in range(20)) + b"N."

    scan = scan_pickle(io.BytesIO(content), len(content))

    assert (20, 16) == (len(scan.globals), scan.reason.count("imports "))


def test_a_name_that_is_computed_is_said_to_be_and_not_shown() -> None:
    scan = scan_pickle(io.BytesIO(b"NN\x93."), 4)

    assert ("dangerous", ("?.?",)) == (scan.verdict, scan.globals)
    assert scan.reason.startswith("imports a name that it computes; ")


@pytest.mark.parametrize("name", [b"os\na b", b"os\n", b"os\n1", b"\0\0{\nModel"])
def test_a_walk_of_another_format_ends_at_a_name_that_no_loader_finds(name: bytes) -> None:
    content = b"c" + name + b"\ncposix\nsystem\n."

    assert find_hidden_pickle(io.BytesIO(content), Budget()) is None


def test_a_headers_length_that_begins_as_an_import_is_not_followed_through_the_tensors() -> None:
    """0x634e is NONE and GLOBAL, and the rest of the length are NULs, which no name of a module has."""
    content = struct.pack("<Q", 0x634E) + b"{" + bytes(200_000)

    assert find_hidden_pickle(io.BytesIO(content), Budget(Limits(bytes=100_000))) is None


@pytest.mark.parametrize("content", [b"Pid\ncposix\nsystem\n.", b"NQcposix\nsystem\n."])
def test_a_walk_of_another_format_ends_at_a_persistent_id(content: bytes) -> None:
    assert find_hidden_pickle(io.BytesIO(content), Budget()) is None


def test_a_walk_of_another_format_that_the_budget_ends_is_a_finding() -> None:
    scan = find_hidden_pickle(io.BytesIO(b"N0" * 600 + b"cposix\nsystem\n."), Budget(Limits(opcodes=1_000)))

    assert scan is not None
    assert (Verdict.SUSPICIOUS, True) == (scan.verdict, "more than 1,000 opcodes" in scan.reason)


@pytest.mark.parametrize(("name", "verdict"), [("a/data.pkl", "suspicious"), ("a/data/0", "error")])
def test_a_member_that_cannot_be_unpacked_is_suspicious_where_it_is_named_as_a_pickle(
    name: str, verdict: str, tmp_path: Path
) -> None:
    content = bytearray(zipped({name: b"N."}))
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + at] = 97  # a method of compression that nobody here knows
    (tmp_path / "model.pt").write_bytes(content)
    found = inspect_file(tmp_path / "model.pt")

    assert (verdict, True) == (found.verdict, "cannot be looked into" in found.reason)


def damaged(method: int, *changes: tuple[int, int]) -> bytes:
    """A zip of one member, with bytes of its packed content changed."""
    content = bytearray(zipped({"a/data.pkl": bytes(range(256)) * 4}, method))
    start = 30 + len("a/data.pkl")
    for at, byte in changes:
        content[start + at] = byte
    return bytes(content)


def beyond(offset: int) -> bytes:
    """A zip whose directory says that its member lies at an offset of 64 bits."""
    member = local(b"N.", name=b"a.pkl")
    extra = struct.pack("<2HQ", 1, 8, offset)
    directory = central((1 << 32) - 1, name=b"a.pkl", compressed=2, size=2, extra=extra)
    return member + directory + end(len(member), len(directory))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (local(name=b"a.pkl") + central(1, name=b"a.pkl") + end(36, 51), "Bad magic number for file header"),
        (damaged(zipfile.ZIP_DEFLATED, (0, 255)), "while decompressing data"),
        (damaged(zipfile.ZIP_LZMA, (9, 255)), "Corrupt input data"),
        (damaged(zipfile.ZIP_BZIP2, (0, 0)), "Invalid data stream"),
        (beyond((1 << 64) - 1), "cannot fit 'int' into an offset-sized integer"),
        (beyond((1 << 63) - 1), "Invalid argument"),
        (zipped({"in.pkl": beyond((1 << 64) - 1)}), "too large to convert"),
    ],
    ids=range(7),
)
def test_a_damaged_member_is_suspicious_and_the_scan_goes_on(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(content)

    found = inspect_file(tmp_path / "model.pt")

    assert ("suspicious", True, True) == (
        found.verdict,
        "cannot be looked into: " in found.reason,
        problem in found.reason,
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (local() + central(needs=99) + end(32, 47), "zip file version 9.9"),
        (
            local(name=b"\xff", flags=1 << 11) + central(name=b"\xff", flags=1 << 11) + end(32, 47),
            "codec can't decode byte 0xff",
        ),
        (local() + b"?" * 47 + end(32, 47), "Bad magic number for central directory"),
    ],
    ids=range(3),
)
def test_a_zip_whose_directory_no_reader_follows_is_an_error(content: bytes, problem: str) -> None:
    scan = scan_zip(io.BytesIO(content), len(content))

    assert ("error", True, True) == (scan.verdict, "the zip cannot be read: " in scan.reason, problem in scan.reason)


def test_a_harmless_member_that_is_marked_as_encrypted_is_suspicious(tmp_path: Path) -> None:
    content = bytearray(zipped({"a/data.pkl": b"N."}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "model.pt").write_bytes(content)

    found = inspect_file(tmp_path / "model.pt")

    assert "suspicious" == found.verdict
    assert "a/data.pkl: is marked as encrypted" in found.reason


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("__main__.py", b"print()", "a program"),
        ("a/data/model/c.so", b"x", "a program"),
        ("a/data/model/wrapper", b"\x7fELF\x02\x01", "a program"),
        ("a/run", b"#!/bin/sh\n", "a program"),
        ("a/inner.tar.gz", b"x", "a packed file"),
        ("a/inner", gzip.compress(b"x", mtime=0), "a packed file"),
        ("a/inner", bz2.compress(b"x"), "a packed file"),
        ("a/inner", lzma.compress(b"x"), "a packed file"),
        ("a/inner", b"7z\xbc\xaf\x27\x1c", "a packed file"),
    ],
)
def test_weights_with_a_program_or_a_packed_file_beside_them_are_suspicious(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    weights = {
        "a/data.pkl": pickle.dumps({}),
        "a/data/0": b"\x7fELF",
        "a/data/1": gzip.compress(b"x"),
        "a/version": b"3",
    }
    (tmp_path / "plain.pt").write_bytes(zipped(weights))
    (tmp_path / "more.pt").write_bytes(zipped({**weights, name: content}))

    plain, more = (inspect_file(tmp_path / file) for file in ("plain.pt", "more.pt"))

    assert ("clean", "suspicious") == (plain.verdict, more.verdict)
    assert problem in more.reason


def test_a_command_in_a_member_of_any_name_is_found_though_it_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(zipped({"a/data/0": b"cposix\nsystem\n(X\xff"}))
    (tmp_path / "chance.pt").write_bytes(zipped({"a/data/0": b"(X\xff"}))

    assert ("dangerous", "a zip that holds no weights") == (
        inspect_file(tmp_path / "model.pt").verdict,
        inspect_file(tmp_path / "chance.pt").reason,
    )


@pytest.mark.parametrize(
    ("version", "descr", "verdict"),
    [
        (1, "'<f4'", "clean"),
        (2, "'<f4'", "clean"),
        (1, "'|O'", "dangerous"),
        (2, "'|O'", "dangerous"),
        (3, "'|O'", "dangerous"),
        (1, "'object'", "dangerous"),
        (1, r"'\x4f'", "dangerous"),
    ],
)
def test_a_numpy_array_is_a_pickle_where_its_type_may_be_objects(
    version: int, descr: str, verdict: str, tmp_path: Path
) -> None:
    literal = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(literal))
    content = b"\x93NUMPY" + bytes([version, 0]) + length + literal + b"cposix\nsystem\n."
    (tmp_path / "model.npy").write_bytes(content)
    (tmp_path / "cut.npy").write_bytes(content[: content.index(b"}")])

    assert (verdict, "error") == (
        inspect_file(tmp_path / "model.npy").verdict,
        inspect_file(tmp_path / "cut.npy").verdict,
    )
