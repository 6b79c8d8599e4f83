"""The members of an archive that no weights need: programs, and packed files that nobody looks into.

A loader of weights leaves them alone, but other programs run them: ``python FILE`` runs the ``__main__.py`` of a zip,
and torch loads the library of a compiled package.
"""

import re

_PROGRAMS = (
    ".py",
    ".pyc",
    ".so",
    ".dll",
    ".dylib",
    ".exe",
    ".sh",
    ".bat",
    ".ps1",
    ".js",
    ".jar",
    ".class",
    ".whl",
    ".hta",
)
_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".lz4", ".7z", ".rar", ".tar")
_PROGRAM_STARTS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!/")
_PACKED_STARTS = (
    b"\x1f\x8b\x08",
    b"BZh9",
    b"\xfd7zXZ\x00",
    b"7z\xbc\xaf\x27\x1c",
    b"\x28\xb5\x2f\xfd",
    b"Rar!\x1a\x07",
)
# The numbers of a tensor begin with any bytes.
_TENSOR = re.compile(r"(.*/)?data/\d+")


def find_problem(file_name: str, start: bytes) -> str:
    """Return why a member with this name and these first 8 bytes is nothing that weights need; empty if it may be."""
    name = file_name.lower()
    if name.endswith(_PROGRAMS):
        return "a program, which weights do not need"
    if name.endswith(_PACKED):
        return "a packed file, which is not looked into"
    if _TENSOR.fullmatch(name):
        return ""
    if start.startswith(_PROGRAM_STARTS):
        return "a program, which weights do not need"
    return "a packed file, which is not looked into" if start.startswith(_PACKED_STARTS) else ""
