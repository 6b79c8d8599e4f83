"""The members of an archive that no weights need: programs, and packed files that nobody looks into.

A loader of weights leaves them alone, but other programs run them: ``python FILE`` runs the ``__main__.py`` of a zip,
and torch loads the library of a compiled package.
"""

import lzma
import re
import zipfile
import zlib

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


def find_problem(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Return why a member is nothing that weights need; empty if it may be. Reads its first 8 bytes at most."""
    name = member.filename.lower()
    if name.endswith(_PROGRAMS):
        return "a program, which weights do not need"
    if name.endswith(_PACKED):
        return "a packed file, which is not looked into"
    if _TENSOR.fullmatch(name):
        return ""
    try:
        with archive.open(member) as stream:
            start = stream.read(8)
    except (zipfile.BadZipFile, RuntimeError, OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
        return ""  # the scan of the member says so
    if start.startswith(_PROGRAM_STARTS):
        return "a program, which weights do not need"
    return "a packed file, which is not looked into" if start.startswith(_PACKED_STARTS) else ""
