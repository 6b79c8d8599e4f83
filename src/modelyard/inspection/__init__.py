"""Inspects untrusted files: hashes, format, safety, and the kind of model with its evidence.

Its functions are pure and synchronous. They open only the path that they get, write nothing, and never run anything in
a file: ``pickle_opcodes`` reads pickles opcode by opcode and does not unpickle them. This package does not use the
catalogue, the store or the network.

    formats          recognises the format by the first and last bytes
    safetensors      limits, parses and validates the header of safetensors
    gguf             does the same for GGUF
    budget           limits the cost of checking one file
    pickle_scan      judges pickles, alone and in zips, by the names that they import (pickle_imports)
    pickle_opcodes   walks the opcodes of a pickle, with the stack machine of pickle_vm
    zip_directory    finds zips that two readers could read differently
    state_dict       reads the tensors' names and shapes from a walked pickle
    identify         identifies the model by its header, with rules, adapters and header_metadata
    precision        counts the numbers of quantised weights, and says how they are packed
    folders          says by names which files are parts of one model: shards, and components of a pipeline
    folder_inspection  inspects models of several files
    hashing          computes six hashes in one pass
"""

from modelyard.domain import Verdict
from modelyard.inspection.findings import NONE, UNKNOWN, Evidence, Finding
from modelyard.inspection.folder_inspection import ModelFiles, inspect_model, list_models
from modelyard.inspection.formats import FileFormat
from modelyard.inspection.hashing import FileChanged, FileHashes, Hasher, hash_file
from modelyard.inspection.header import Header, Tensor
from modelyard.inspection.identify import CHOSEN, NOT_FOLLOWED, Identity, identify
from modelyard.inspection.inspect import (
    THUMBNAIL,
    Inspection,
    identify_files,
    identify_readers,
    inspect_file,
    thumbnail_of,
)
from modelyard.inspection.safetensors import HEADER_LIMIT_BYTES

__all__ = [
    "CHOSEN",
    "HEADER_LIMIT_BYTES",
    "NONE",
    "NOT_FOLLOWED",
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
    "ModelFiles",
    "Tensor",
    "Verdict",
    "hash_file",
    "identify",
    "identify_files",
    "identify_readers",
    "inspect_file",
    "inspect_model",
    "list_models",
    "thumbnail_of",
]
