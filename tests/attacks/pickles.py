"""Pickles that would do something when they are loaded, or that cost more to look at than they should.

``TOUCHED`` is what the ones that run a command would create: test_attacks.py looks that it never exists.
"""

import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tests.attacks.attack import attack
from tests.inspection.made_files import frame, header_bytes, legacy_torch, state_dict_pickle

TOUCHED = "modelyard-attack-was-here"
COMMAND = f"touch {TOUCHED}"


class _System:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (COMMAND,)


def system(protocol: int) -> bytes:
    """A pickle that runs ``COMMAND`` through os.system."""
    return pickle.dumps(_System(), protocol)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def weights() -> bytes:
    return state_dict_pickle({"layer.weight": ("F16", [4, 4])})


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


@attack("clean", "not a promise", name="model.pt")
def weights_in_a_zip() -> bytes:
    return zipped({"archive/data.pkl": weights()})


@attack("clean", "not a promise", name="model.pt")
def weights_in_the_old_form() -> bytes:
    return legacy_torch(weights())


@attack("dangerous", "posix.system", name="model.ckpt")
def command_in_protocol_0() -> bytes:
    return system(0)


@attack("dangerous", "posix.system", name="model.ckpt")
def command_in_protocol_2() -> bytes:
    return system(2)


@attack("dangerous", "posix.system", name="model.ckpt")
def command_in_protocol_4() -> bytes:
    return system(4)


@attack("dangerous", "posix.system", name="model.safetensors")
def command_named_safetensors() -> bytes:
    return system(5)


@attack("dangerous", "posix.system", name="model.pt")
def command_in_a_torch_zip() -> bytes:
    return zipped({"archive/data.pkl": system(2), "archive/version": b"3\n"})


@attack("dangerous", "posix.system", name="model.pt")
def command_in_the_old_torch_form() -> bytes:
    return legacy_torch(system(2))


@attack("dangerous", "posix.system", name="model.pt")
def command_in_a_zip_in_a_zip() -> bytes:
    return zipped({"inner.pt": zipped({"deeper.zip": zipped({"archive/data.pkl": system(2)})})})


@attack("suspicious", "has more than 30,000 members", name="model.pt", large=True)
def zip_of_more_members_than_are_looked_at() -> bytes:
    one = zipped({"data.pkl": system(2)})
    at = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    directory = one[at:end] * 30_001
    counts = struct.pack("<HHHHIIH", 0, 0, 30_001, 30_001, len(directory), at, 0)
    return one[:at] + directory + b"PK\x05\x06" + counts


@attack("dangerous", "posix.system", name="model.pt")
def command_in_the_innermost_zip_that_is_looked_into() -> bytes:
    inner = zipped({"data.pkl": system(2)})
    for depth in range(3):
        inner = zipped({f"{depth}.zip": inner})
    return inner


@attack("suspicious", "nested deeper", name="model.pt")
def command_in_a_zip_nested_one_deeper() -> bytes:
    inner = zipped({"data.pkl": system(2)})
    for depth in range(4):
        inner = zipped({f"{depth}.zip": inner})
    return inner


@attack("suspicious", "nested deeper", name="model.pt")
def zips_nested_without_end() -> bytes:
    inner = zipped({"data.pkl": weights()})
    for depth in range(6):
        inner = zipped({f"{depth}.zip": inner})
    return inner


@attack("dangerous", "posix.system", name="model.pt")
def command_in_a_member_named_as_a_tensor() -> bytes:
    return zipped({"archive/data.pkl": weights(), "archive/data/0": system(2)})


@attack("dangerous", "posix.system", name="model.pt")
def command_in_the_second_of_two_equal_members() -> bytes:
    one = zipped({"archive/data.pkl": weights(), "archive/dat2.pkl": system(2)})
    return one.replace(b"archive/dat2.pkl", b"archive/data.pkl")


@attack("dangerous", "posix.system", name="model.pt")
def command_in_a_member_marked_as_encrypted() -> bytes:
    content = bytearray(zipped({"archive/data.pkl": system(2)}))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@attack("dangerous", "posix.system", name="model.pt")
def command_in_a_member_with_a_wrong_checksum() -> bytes:
    content = bytearray(zipped({"archive/data.pkl": system(2)}))
    at = content.rindex(b"PK\x01\x02") + 16
    content[at : at + 4] = struct.pack("<I", zlib.crc32(b"something else"))
    return bytes(content)


@attack("dangerous", "posix.system", name="model.pt")
def command_in_a_member_with_two_names() -> bytes:
    content = zipped({"archive/data.pkl": system(2)})
    return content.replace(b"archive/data.pkl", b"archive/read.txt", 1)


@attack("dangerous", "posix.system", name="model.npy")
def command_in_a_numpy_array() -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.array([_System()], dtype=object), allow_pickle=True)
    return out.getvalue()


@attack("dangerous", "posix.system", name="model.npz")
def command_in_a_numpy_archive() -> bytes:
    return zipped({"weights.npy": command_in_a_numpy_array()})  # type: ignore[call-arg,dict-item]  # it takes no path


@attack("dangerous", "posix.system", name="model.ckpt")
def command_after_harmless_pickles() -> bytes:
    return pickle.dumps({"a": 1}, 2) + pickle.dumps([1, 2], 4) + system(2)


@attack("dangerous", "builtins.exec", name="model.ckpt")
def command_in_a_pickle_that_breaks_off() -> bytes:
    return b"cbuiltins\nexec\n(X\x40\x00\x00\x00import os"


@attack("dangerous", "builtins.exec", name="model.ckpt")
def command_before_an_unknown_opcode() -> bytes:
    return b"cbuiltins\nexec\n(X\x02\x00\x00\x001+tR\xfe\xfe\xfe"


@attack("dangerous", "posix.system", name="model.ckpt")
def command_by_inst() -> bytes:
    return b"(X" + struct.pack("<I", len(COMMAND)) + COMMAND.encode() + b"iposix\nsystem\n."


@attack("dangerous", "posix.system", name="model.ckpt")
def command_by_names_from_the_memo() -> bytes:
    return (
        b"\x80\x04" + short("posix") + b"\x94" + short("system") + b"\x940h\x00h\x01\x93" + short(COMMAND) + b"\x85R."
    )


@attack("dangerous", "posix.system", name="model.ckpt")
def command_by_names_in_unicode_escapes() -> bytes:
    return b"V\\u0070osix\nV\\u0073ystem\n\x93" + short(COMMAND) + b"\x85R."


@attack("dangerous", "posix.system", name="model.ckpt")
def command_by_names_in_string_escapes() -> bytes:
    return b"S'\\x70osix'\nS'sys\\164em'\n\x93" + short(COMMAND) + b"\x85R."


@attack("dangerous", "computes", name="model.ckpt")
def command_by_a_computed_name() -> bytes:
    joined = b"cbuiltins\nstr\n" + short("posix") + b"\x85R"
    return b"\x80\x04" + joined + short("system") + b"\x93" + short(COMMAND) + b"\x85R."


@attack("dangerous", "computes", name="model.ckpt")
def command_by_a_computed_name_of_a_known_module() -> bytes:
    joined = b"cbuiltins\nstr\n" + short("system") + b"\x85R"
    return b"\x80\x04" + short("numpy") + joined + b"\x93" + short(COMMAND) + b"\x85R."


@attack("dangerous", "os.system", name="model.ckpt")
def command_through_another_module() -> bytes:
    return b"\x80\x04" + short("torch") + short("os.system") + b"\x93" + short(COMMAND) + b"\x85R."


@attack("dangerous", "builtins.getattr", name="model.ckpt")
def command_through_getattr() -> bytes:
    return b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(X\x02\x00\x00\x00ostRX\x06\x00\x00\x00systemtR."


@attack("suspicious", "extension code", name="model.ckpt")
def import_by_extension_code() -> bytes:
    return b"\x80\x02\x82\x01)R."


@attack("suspicious", "weights do not need", name="model.ckpt")
def import_that_weights_do_not_need() -> bytes:
    return b"\x80\x02cmodels.yolo\nModel\n)\x81}b."


@attack("dangerous", "torch.load, which runs code", name="model.ckpt")
def import_that_loads_another_pickle() -> bytes:
    """picklescan calls this one suspicious, so our own list decides."""
    return b"\x80\x02ctorch\nload\n" + b"X" + struct.pack("<I", 8) + b"other.pt" + b"\x85R."


@attack("dangerous", "run_cprofile, says picklescan", name="model.ckpt")
def import_that_only_picklescan_calls_dangerous() -> bytes:
    return b"\x80\x02ctorch.utils.bottleneck.__main__\nrun_cprofile\n" + b"X" + struct.pack("<I", 1) + b"1" + b"\x85R."


@attack("error", "picklescan cannot follow it", name="model.pt")
def import_that_picklescan_cannot_follow() -> bytes:
    return zipped({"a/data.pkl": short("numpy") + b"\x93."})


@attack("dangerous", "builtins.exec", name="model.ckpt")
def command_in_a_later_pickle_that_breaks_off() -> bytes:
    return pickle.dumps({"a": 1}, 2) + b"cbuiltins\nexec\n(X\x40\x00\x00\x00import os"


@attack("suspicious", "more than 64 pickles", name="model.ckpt")
def command_behind_more_pickles_than_are_looked_at() -> bytes:
    return b"N." * 64 + system(2)


@attack("suspicious", "two members that are data.pkl", name="model.pt")
def two_harmless_members_of_one_name() -> bytes:
    """Loaders may read different ones of the two."""
    other = state_dict_pickle({"other.weight": ("F16", [2, 2])})
    return zipped({"archive/data.pkl": weights(), "copy/data.pkl": other})


@attack("suspicious", "TorchScript", name="model.pt")
def program_in_torchscript() -> bytes:
    members = {"m/data.pkl": weights(), "m/constants.pkl": b"\x80\x02).", "m/code/__torch__.py": b"def forward(): pass"}
    return zipped(members)


@attack("error", "without STOP", name="model.ckpt")
def pickle_with_an_import_that_weights_do_not_need_cut_off() -> bytes:
    return b"\x80\x02cmodels.yolo\nModel\n)\x81}"


@attack("error", "does not end", name="model.ckpt")
def pickle_cut_off() -> bytes:
    return weights()[:-20]


@attack("error", "cannot be read", name="model.pt")
def zip_cut_off() -> bytes:
    return zipped({"archive/data.pkl": weights(), "archive/data/0": bytes(1_000)})[:-100]


@attack("error", "cannot be read", name="model.pt")
def zip_of_noise() -> bytes:
    return b"PK\x03\x04" + bytes(range(256)) * 20


@attack("error", "over the limit", name="model.pt", sparse=True)
def zip_with_a_directory_of_two_gigabytes(path: Path) -> None:
    size = 2_000_000_000
    with path.open("wb") as file:
        file.write(b"PK\x03\x04" + bytes(26))
        file.seek(30 + size)
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1_000, 1_000, size, 30, 0))


@attack("suspicious", "is larger than 64 MiB", name="model.pt", large=True)
def pickle_that_unpacks_to_70_megabytes() -> bytes:
    size = 70 << 20
    content = b"\x80\x02B" + struct.pack("<I", size) + bytes(size) + b"."
    return zipped({"archive/data.pkl": content}, zipfile.ZIP_DEFLATED)


@attack("suspicious", "opcodes", name="model.ckpt", large=True)
def pickle_of_three_million_opcodes() -> bytes:
    return b"\x80\x02" + b"N0" * 1_500_000 + b"N."


@attack("suspicious", "moves more items", name="model.ckpt", large=True)
def pickle_that_walks_a_list_for_ever() -> bytes:
    # Items that are no pairs: to step over them costs as much of the limit as to copy them, and less time.
    items = b"](" + b"N" * 200_000 + b"eq\x00"
    return b"\x80\x02" + items + b"ccollections\nOrderedDict\nh\x00\x85R0" * 5_000 + b"."


@attack("error", "without STOP", name="model.ckpt")
def pickle_that_announces_a_gigabyte() -> bytes:
    return b"\x80\x04\x8d" + struct.pack("<Q", 1 << 30) + b"abc"


@attack("error", "announces", name="model.ckpt")
def pickle_that_announces_an_exabyte() -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 1 << 63) + b"abc"


@attack("clean", name="model.ckpt", large=True)
def pickle_of_tuples_nested_two_hundred_thousand_deep() -> bytes:
    return b"\x80\x02)" + b"\x85" * 200_000 + b"."


@attack("clean", name="model.ckpt", large=True)
def pickle_with_a_deep_tuple_as_key() -> bytes:
    return b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."


@attack("clean", name="model.ckpt")
def pickle_of_a_billion_laughs() -> bytes:
    out = b"\x80\x02}X\x01\x00\x00\x00aK\x01sq\x00"
    for depth in range(200):
        out += (
            b"}(X\x01\x00\x00\x00ah"
            + bytes([depth])
            + b"X\x01\x00\x00\x00bh"
            + bytes([depth])
            + b"uq"
            + bytes([depth + 1])
        )
    return out + b"."


@attack("clean", name="model.ckpt")
def pickle_that_contains_itself() -> bytes:
    return b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."


@attack("error", "has a line", name="model.ckpt", large=True)
def pickle_with_a_name_without_end() -> bytes:
    return b"\x80\x02c" + b"a" * 200_000


# --- polyglots ---


@attack("dangerous", "posix.system")
def safetensors_with_a_zip_in_its_tensor() -> bytes:
    inner = zipped({"archive/data.pkl": system(2)})
    raw, _ = header_bytes({"a": ("U8", [len(inner)])})
    return frame(raw, inner)


@attack("error", "belong to none")
def safetensors_with_a_zip_behind_it() -> bytes:
    raw, body = header_bytes({"a": ("U8", [8])})
    return frame(raw, bytes(body)) + zipped({"archive/data.pkl": system(2)})


@attack("dangerous", "posix.system", name="model.ckpt")
def pickle_with_a_zip_behind_it() -> bytes:
    return weights() + zipped({"archive/data.pkl": system(2)})


@attack("dangerous", "runs code when it is unpickled", sparse=True)
def safetensors_that_is_a_pickle(path: Path) -> None:
    # The header's length is two opcodes' worth: LONG1, which steps over the next 40 bytes, to a "B" in the metadata.
    # That announces as many bytes as four spaces make a number, 538 MB, and steps over them into the tensor, where the
    # command lies.
    steps = 40
    length = 0x8A | steps << 8
    filler = "x" * (2 + steps - len('{"__metadata__":{"a":"') - 8)
    command_at = 8 + 2 + steps - 8 + 5 + int.from_bytes(b"    ", "little")
    body = command_at + 1_000 - 8 - length
    document = {
        "__metadata__": {"a": filler + "B    "},
        "t": {"dtype": "U8", "shape": [body], "data_offsets": [0, body]},
    }
    header = json.dumps(document, separators=(",", ":")).encode().ljust(length)
    assert header[2 + steps - 8 :][:5] == b"B    "
    with path.open("wb") as file:
        file.write(struct.pack("<Q", length) + header)
        file.truncate(8 + length + body)
        file.seek(command_at)
        file.write(b"00" + system(2))
