"""The pickle walk finds what unpickling would import and build, and the state dict is read from it.

Not covered here: hostile pickles (tests/attacks).
"""

import collections
import io
import pickle
import pickletools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.inspection import inspect_file, picklewalk, statedict
from modelyard.inspection.picklemachine import Global, Limits
from modelyard.inspection.pickles import Verdict, judge_global
from tests.inspection.made_files import legacy_torch, state_dict_pickle, write_torch_zip

SHAPES = {"layer.weight": ("F16", [4, 3, 1, 1]), "layer.bias": ("F32", [4]), "steps": ("I64", [])}


def walked(content: bytes) -> picklewalk.Walk:
    return picklewalk.walk(io.BytesIO(content))


def test_every_opcode_of_this_python_has_a_step() -> None:
    """A new protocol's opcodes would end a walk early, so they must be noticed."""
    assert set() == {opcode.name for opcode in pickletools.opcodes} - set(picklewalk._NAMED)


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

    assert {"collections.OrderedDict", "_io.BytesIO", "pathlib.PosixPath"} == {
        str(each) for each in walked(content).globals
    }


@pytest.mark.parametrize("wrapper", ["", "state_dict", "params_ema"])
def test_names_and_shapes_of_a_state_dict_are_read(wrapper: str, tmp_path: Path) -> None:
    content = state_dict_pickle(SHAPES, wrapper)
    old, torch_zip = tmp_path / "old.pt", write_torch_zip(tmp_path / "new.pt", content)
    old.write_bytes(legacy_torch(content))

    for path, kind in ((old, "torch legacy"), (torch_zip, "torch zip")):
        found = inspect_file(path)

        assert (kind, "clean") == (found.format, found.verdict)
        assert 4 * 3 + 4 + 1 == found.identity.parameters

    header = statedict.header_of(walked(content).value)
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

    header = statedict.header_of(walked(content).value)

    assert header is not None
    assert ("params_ema", (2,)) == (header.wrapper, header.tensors["a"].shape)


def test_a_walk_ends_at_its_limits_and_keeps_what_it_found() -> None:
    content = b"cos\nsystem\n0" + b"N0" * 1_000 + b"N."

    found = picklewalk.walk(io.BytesIO(content), Limits(opcodes=100))

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
