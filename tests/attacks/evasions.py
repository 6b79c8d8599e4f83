"""Files in which one reader finds a command and another does not: a header that is also a pickle, an archive with two
directories, and archives that cost more to check than they may."""

import io
import json
import pickle
import struct
import tarfile
import zipfile

from tests.attacks.attack import attack
from tests.attacks.pickles import COMMAND, system, weights, zipped
from tests.inspection.made_files import frame, gguf

UNKNOWN_IMPORT = b"c_osx_support\n_read_output\n" + pickle.SHORT_BINUNICODE + bytes([len(COMMAND)]) + COMMAND.encode()


def document(shape: int, filler: str) -> str:
    tensor = {"dtype": "U8", "shape": [shape], "data_offsets": [0, shape]}
    return json.dumps({"__metadata__": {"a": filler}, "t": tensor}, separators=(",", ":"))


def stepping_frame(body: bytes) -> bytes:
    """A sound safetensors file whose header steps over itself when it is unpickled, to ``body``.

    The header's length is LONG1, which steps over 60 bytes, into the metadata. There SHORT_BINSTRING steps over 126
    bytes to the next one, and so on; the last one steps over the rest of the header.
    """
    steps = 60
    length = 0x8A | steps << 8
    links, rest = divmod(length + 8 - (2 + steps), 128)
    begin = 2 + steps - 8 - len('{"__metadata__":{"a":"')
    chain = "x" * begin + ("U~" + "x" * 126) * links + "U" + chr(rest - 2)
    return frame(document(len(body), chain).encode().ljust(length), body)


def line_frame(first: bytes, length: int, body: bytes) -> bytes:
    """A sound safetensors file whose header is a line when it is unpickled: a newline is white space in JSON."""
    assert length.to_bytes(8, "little").startswith(first)
    filler = "x" * (length - 1 - len(document(len(body), "")))
    return frame(document(len(body), filler)[:-1].encode() + b"\n}", body)


@attack("dangerous", "posix.system")
def safetensors_that_steps_over_its_header() -> bytes:
    return stepping_frame(system(2))


@attack("dangerous", "posix.system")
def safetensors_with_a_command_behind_ten_thousand_opcodes() -> bytes:
    return stepping_frame(b"N0" * 5_500 + system(2))


@attack("dangerous", "posix.system", large=True)
def safetensors_with_a_command_behind_a_megabyte() -> bytes:
    text = pickle.BINUNICODE + struct.pack("<I", 600_000) + b"x" * 600_000 + pickle.POP
    return stepping_frame(text * 2 + system(2))


@attack("dangerous", "_osx_support._read_output")
def safetensors_with_an_import_that_is_on_no_list() -> bytes:
    return stepping_frame(UNKNOWN_IMPORT + pickle.TUPLE1 + pickle.REDUCE + pickle.STOP)


@attack("suspicious", "it imports names")
def safetensors_with_an_import_that_weights_need() -> bytes:
    return stepping_frame(b"ccollections\nOrderedDict\n)R.")


@attack("dangerous", "posix.system")
def safetensors_with_a_command_in_its_second_pickle() -> bytes:
    return stepping_frame(b"." + system(2))


@attack("suspicious", "more than 64 pickles")
def safetensors_with_a_command_in_its_65th_pickle() -> bytes:
    return stepping_frame(b"." + b"N." * 64 + system(2))


@attack("suspicious", "extension")
def safetensors_with_an_import_by_extension_code() -> bytes:
    return stepping_frame(b"\x80\x02\x82\x01)R.")


@attack("dangerous", "posix.system")
def safetensors_whose_header_is_a_number() -> bytes:
    """INT, "5", and NULs: readers in C take what stands before the first NUL."""
    return line_frame(b"I5\0", 0x3549, system(2))


@attack("dangerous", "posix.system", large=True)
def safetensors_whose_header_is_a_text_of_seventy_kilobytes() -> bytes:
    return line_frame(b"V", 0x11156, system(2))


@attack("dangerous", "posix.system", name="model.gguf", large=True)
def gguf_whose_count_is_a_text() -> bytes:
    """The magic is BINFLOAT, the second byte of the tensors' count UNICODE: its line ends in the metadata."""
    tensors = {f"t{number}": (24, [1], 1) for number in range(0x5600)}  # 8-bit integers
    return gguf(tensors, {"a": "\n" + system(0).decode()})


@attack("clean", "chat templates in it are not looked at", name="model.gguf")
def gguf_with_a_chat_template() -> bytes:
    return gguf({"a": (0, [2, 4], 32)}, {"tokenizer.chat_template": "{{ cycler.__init__.__globals__.os }}"})


@attack("clean", "not looked into", name="model.onnx")
def onnx_with_a_producer() -> bytes:
    return b"\x08\x07\x12\x07pytorch" + bytes(64)


# --- archives ---


def v7_header(name: bytes, size_bytes: int) -> bytes:
    """A tar header as Unix version 7 wrote it: without a magic."""
    fields = [
        name.ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size_bytes,
        b"00000000000\0",
    ]
    block = b"".join(fields) + b" " * 8
    block = block.ljust(tarfile.BLOCKSIZE, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def v7_tar(first_name: bytes) -> bytes:
    content = system(2)
    member = v7_header(b"pickle", len(content)) + content.ljust(tarfile.BLOCKSIZE, b"\0")
    return v7_header(first_name, 0) + member + bytes(2 * tarfile.BLOCKSIZE)


@attack("error", "the kind tar", name="model.pt")
def tar_whose_first_name_is_a_pickle() -> bytes:
    return v7_tar(b"\x80\x02}.")


@attack("error", "the kind tar", name="model.pt")
def tar_without_a_magic() -> bytes:
    return v7_tar(b"sys_info")


@attack("suspicious", "a tar archive")
def safetensors_that_is_a_tar() -> bytes:
    header = document(1_024, "x" * 350).encode().ljust(504)
    block = bytearray(frame(header)[:512])
    at = block.index(b"x" * 300)
    # The checksum's field, and the numbers before it, lie in the metadata.
    block[100:156] = b"0000644 0000000 0000000 00000000000 00000000000 ".ljust(48) + b" " * 8
    assert at < 100
    block[329:345] = b" " * 16
    block[148:156] = b"%06o  " % sum(block)
    return bytes(block) + bytes(1_024)


def parts(archive: bytes) -> tuple[bytes, bytes]:
    """A zip's members, and its directory."""
    at = archive.index(b"PK\x01\x02")
    return archive[:at], archive[at : archive.index(b"PK\x05\x06")]


def moved(directory: bytes, offset: int) -> bytes:
    """A directory of one member that lies elsewhere."""
    return directory[:42] + struct.pack("<I", offset) + directory[46:]


def end_record(directory: bytes, offset: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), offset, 0)


GOOD, BAD = parts(zipped({"a/data.pkl": weights()})), parts(zipped({"a/data.pkl": system(2)}))


@attack("suspicious", "readers may see other members", name="model.pt")
def zip_with_two_directories() -> bytes:
    """zipfile reads the directory before the end record, torch's reader the one at the offset that is written."""
    (good, good_directory), (bad, bad_directory) = GOOD, BAD
    start = bad.ljust(len(good))
    end = end_record(bad_directory, len(start))
    return start + bad_directory + good + moved(good_directory, len(start) - len(good)) + end


@attack("suspicious", "zip64 locator points elsewhere", name="model.pt")
def zip_whose_zip64_locator_points_elsewhere() -> bytes:
    """zipfile looks for the record before the locator, torch's reader where the locator says. The locator is also the
    comment of the only entry."""
    (good, good_directory), (bad, bad_directory) = GOOD, BAD
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(bad_directory), len(bad))
    start = bad + bad_directory + record
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(bad + bad_directory), 1)
    entry = moved(good_directory, len(start))
    entry = entry[:32] + struct.pack("<H", len(locator)) + entry[34:] + locator
    return start + good + entry + end_record(entry, len(start) + len(good))


@attack("suspicious", "two end records", name="model.pt")
def zip_with_an_end_record_in_its_comment() -> bytes:
    content = zipped({"a/data.pkl": weights()})
    other = end_record(b"", 0)
    return content[:-2] + struct.pack("<H", len(other)) + other


@attack("suspicious", "bytes lie between its members", name="model.pt")
def zip_with_a_member_that_is_in_no_directory() -> bytes:
    (good, good_directory), (bad, _) = GOOD, BAD
    start = bad + good
    return start + moved(good_directory, len(bad)) + end_record(good_directory, len(start))


@attack("suspicious", "overlap", name="model.pt")
def zip_with_members_that_overlap() -> bytes:
    good, directory = GOOD
    count = struct.pack("<HHHHIIH", 0, 0, 2, 2, 2 * len(directory), len(good), 0)
    return good + directory * 2 + b"PK\x05\x06" + count


# --- what costs more than it may ---


def nested(archives: int, inner: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(archives):
            archive.writestr(f"{number}.zip", inner)
    return out.getvalue()


@attack("suspicious", "has more than 1,000,000 opcodes", name="model.pt", large=True)
def five_hundred_zips_of_a_hundred_thousand_opcodes() -> bytes:
    return nested(500, zipped({"data.pkl": b"N0" * 50_000 + b"N."}, zipfile.ZIP_DEFLATED))
