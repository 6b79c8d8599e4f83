"""Untrusted bytes in, facts out: hashes, format, safety, and what kind of model it is, with evidence.

Pure synchronous functions over a path. Only the given path is opened, nothing is written, and nothing in a file is
ever run: pickles are read opcode by opcode (``picklewalk``), not unpickled. Knows nothing of the catalogue, the
store or the network.

    formats       which format, by the first and last bytes
    safetensors   one format's frame: limit, parse, validate
    gguf          the same for GGUF
    pickles       the verdict on pickles, alone and in zips; picklewalk and statedict read their tensors' names
    identify      a header's meaning, by the tables in rules, and by adapters and notes
    hashing       six hashes in one pass
"""

from modelyard.domain import Verdict
from modelyard.inspection.findings import NONE, UNKNOWN, Evidence, Finding
from modelyard.inspection.formats import FileFormat
from modelyard.inspection.hashing import FileChanged, FileHashes, Hasher, hash_file
from modelyard.inspection.header import Header, Tensor
from modelyard.inspection.identify import Identity, identify
from modelyard.inspection.inspect import THUMBNAIL, Inspection, inspect_file, thumbnail_of
from modelyard.inspection.safetensors import HEADER_LIMIT_BYTES

__all__ = [
    "HEADER_LIMIT_BYTES",
    "NONE",
    "THUMBNAIL",
    "UNKNOWN",
    "Evidence",
    "FileChanged",
    "FileFormat",
    "FileHashes",
    "Finding",
    "Hasher",
    "Header",
    "Identity",
    "Inspection",
    "Tensor",
    "Verdict",
    "hash_file",
    "identify",
    "inspect_file",
    "thumbnail_of",
]
