"""Judge pickles by the names they import, alone or in zips, and read their tensors' names and shapes. Never unpickle.

The scan joins two opinions. Ours is an allow-list. The few globals that weights need are clean. A global that runs
commands, opens files or finds other names is dangerous. Every other global is suspicious, because no list of bad names
is complete. picklescan has a deny-list that its authors keep current. The worse verdict counts. "Clean" means that the
scan found no known bad import. It does not mean that the file is safe to load.

    clean        only imports that weights need
    suspicious   imports that weights do not need, or something that cannot be looked into
    dangerous    an import that runs code, or one whose name is computed
    error        not a whole pickle, and nothing bad in the part that is there
"""

import io
import logging
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

from picklescan.relaxed_zipfile import RelaxedZipFile  # type: ignore[import-untyped]  # it ships no types
from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # type: ignore[import-untyped]  # it ships no types

from modelyard.domain import Verdict
from modelyard.inspection import pickle_opcodes, state_dict
from modelyard.inspection.header import Header
from modelyard.inspection.pickle_vm import DEFAULT_LIMITS, UNKNOWN_NAME, Global, Limits, PickleTrace

# picklescan reports through logging as well; its findings are in its result, so the log would say everything twice.
logging.getLogger("picklescan").addHandler(logging.NullHandler())

MEMBERS_MAX = 100_000
MEMBER_BYTES_MAX = 64 << 20
# zipfile makes an object of about 600 bytes for each 46 bytes of the directory.
DIRECTORY_BYTES_MAX = 16 << 20
NESTING_MAX = 3
_NPY_HEADER_MAX = 65_536
# A pickle file may hold several pickles after each other (torch's old format has five).
PICKLES_MAX = 64
_LEGACY_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_TORCH_PICKLES = 5


# What zipfile and the decompressors raise for members that are damaged, encrypted or packed by a method they lack.
_UNREADABLE_MEMBER = (
    zipfile.BadZipFile,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)


_BADNESS: Final = {verdict: level for level, verdict in enumerate(Verdict)}


def worse(one: Verdict, other: Verdict) -> Verdict:
    """Return the worse of two verdicts."""
    return max(one, other, key=_BADNESS.__getitem__)


@dataclass(frozen=True, slots=True)
class PickleScan:
    """The verdict with its reason, the imports, and the header of the state dict if there is one."""

    verdict: Verdict
    reason: str
    globals: tuple[str, ...] = ()
    header: Header | None = None
    kind: str = "pickle"


@dataclass(slots=True)
class _Findings:
    """The findings so far in a file and in everything inside it."""

    verdict: Verdict = Verdict.CLEAN
    reasons: list[str] = field(default_factory=list)
    globals: set[Global] = field(default_factory=set)
    pickles: int = 0

    def note(self, verdict: Verdict, reason: str) -> None:
        self.verdict = worse(self.verdict, verdict)
        if len(self.reasons) < 16 and reason not in self.reasons:
            self.reasons.append(reason)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What weights need: torch's storages and rebuild functions, numpy's arrays, containers. Anything callable here only
# makes a value of its arguments.
_TORCH_NAMES = _names(
    """
    Size device dtype float16 float32 float64 half float double bfloat16 int8 uint8 int16 int32
    int64 long int short bool complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz
    float8_e5m2fnuz qint8 quint8 qint32 strided per_tensor_affine per_channel_affine Tensor
    BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage
    DoubleStorage FloatStorage HalfStorage IntStorage LongStorage QInt32Storage QInt8Storage
    QUInt2x4Storage QUInt4x2Storage QUInt8Storage ShortStorage UntypedStorage
    """
)
_BUILTIN_NAMES = _names(
    """
    set frozenset dict list tuple int float complex bool bytes bytearray str slice range object
    """
)
_ARRAY_NAMES = frozenset({"_reconstruct", "scalar", "_frombuffer"})
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "torch": _TORCH_NAMES,
    "torch._utils": _names(
        """
    _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter
    _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor
    _rebuild_meta_tensor_no_storage
    """
    ),
    "torch._tensor": frozenset({"_rebuild_from_type_v2"}),
    "torch.nn.parameter": frozenset({"Parameter"}),
    "torch.nn.modules.container": frozenset({"ParameterDict", "ParameterList"}),
    "torch.storage": frozenset({"UntypedStorage", "TypedStorage"}),
    "torch.serialization": frozenset({"_get_layout"}),
    "torch.torch_version": frozenset({"TorchVersion"}),
    "collections": frozenset({"OrderedDict", "defaultdict", "Counter"}),
    "builtins": _BUILTIN_NAMES,
    "__builtin__": _BUILTIN_NAMES | {"unicode", "long"},
    "_codecs": frozenset({"encode"}),  # how protocol 2 writes bytes
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "numpy": frozenset({"dtype", "ndarray", "float64", "float32", "int64"}),
    "numpy.core.multiarray": _ARRAY_NAMES,
    "numpy._core.multiarray": _ARRAY_NAMES,
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    # The callbacks' class is a key in Stable Diffusion 1.x's own checkpoints; A1111's unpickler allows it too.
    "pytorch_lightning.callbacks": frozenset({"ModelCheckpoint"}),
    "pytorch_lightning.callbacks.model_checkpoint": frozenset({"ModelCheckpoint"}),
    "pathlib": frozenset({"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"}),
    "datetime": frozenset({"datetime", "date", "timedelta"}),
}

# Modules whose every name runs code, opens files or connections, or finds other names. picklescan's list is longer
# and changes; these are here so that the verdict does not hang on its version.
_DANGEROUS_MODULES = _names(
    """
    os posix nt subprocess sys shutil socket ssl pty commands popen2 runpy importlib imp pkgutil
    pickle _pickle cPickle dill cloudpickle joblib marshal shelve ctypes cffi code codeop bdb pdb
    cProfile profile trace timeit doctest pydoc webbrowser asyncio multiprocessing threading _thread
    concurrent signal platform getpass tempfile glob fileinput urllib http httplib requests httpx
    aiohttp ftplib smtplib imaplib poplib telnetlib xmlrpc nturl2path uuid ensurepip pip setuptools
    distutils venv site sysconfig zipimport zipfile tarfile operator _operator functools inspect
    types gc atexit weakref antigravity idlelib lib2to3 test unittest nose pytest IPython sqlite3
    """
)
_DANGEROUS_NAMES = _names(
    """
    eval exec execfile compile open input raw_input __import__ getattr setattr delattr vars globals
    locals breakpoint apply memoryview help exit quit classmethod staticmethod property super type
    map filter reduce __build_class__
    """
)
# Beside the names above, which are dangerous in every module.
_DANGEROUS_GLOBALS: Final[Mapping[str, frozenset[str]]] = {
    "torch": frozenset({"load", "hub"}),
    "torch.serialization": frozenset({"load", "_load"}),
    "torch.jit": frozenset({"load", "script"}),
    "numpy": frozenset({"load", "fromfile", "loadtxt", "genfromtxt", "memmap", "save"}),
    "logging": frozenset({"FileHandler"}),
    "logging.config": frozenset({"listen", "fileConfig", "dictConfig"}),
    "io": frozenset({"FileIO", "open_code"}),
    "_io": frozenset({"FileIO", "open_code"}),
}
_DANGEROUS_PREFIXES = (
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "torch.hub",
    "torch.utils.cpp_extension",
    "torch._inductor",
    "torch._dynamo",
    "torch.package",
    "torch.distributed",
    "torch.multiprocessing",
    "torch.utils.collect_env",
    "torch.utils.data.datapipes",
)


_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def judge_global(reference: Global) -> Verdict:
    """Return the verdict on importing one name."""
    if UNKNOWN_NAME in (reference.module, reference.name):
        return Verdict.DANGEROUS
    if reference.name in ALLOWED.get(reference.module, frozenset()):
        return Verdict.CLEAN
    if reference.name in _DANGEROUS_GLOBALS.get(reference.module, frozenset()):
        return Verdict.DANGEROUS
    root = reference.module.partition(".")[0]
    if root in _DANGEROUS_MODULES or reference.module.startswith(_DANGEROUS_PREFIXES):
        return Verdict.DANGEROUS
    # "module name.attribute" reaches whatever the module imports itself: os through torch.os, say.
    if any(part in _DANGEROUS_MODULES or part in _DANGEROUS_NAMES for part in reference.name.split(".")):
        return Verdict.DANGEROUS
    return Verdict.SUSPICIOUS


def dangerous_imports(walk: PickleTrace) -> tuple[str, ...]:
    """Return the dangerous imports of bytes that may be a pickle by chance: only names that can be imported count."""
    return tuple(
        sorted(
            str(reference)
            for reference in walk.globals
            if judge_global(reference) is Verdict.DANGEROUS and _NAME.fullmatch(f"{reference.module}.{reference.name}")
        )
    )


def scan_pickle(reader: BinaryIO, size_bytes: int, limits: Limits = DEFAULT_LIMITS) -> PickleScan:
    """Judge a file that is one or more pickles, torch's old format among them."""
    findings = _Findings()
    values = _scan_series(reader, size_bytes, findings, "", limits)
    legacy = bool(values) and values[0] == _LEGACY_TORCH_MAGIC
    value = values[3] if legacy and len(values) > 3 else values[0] if values else None
    return _result(findings, state_dict.header_of(value), "torch legacy" if legacy else "pickle")


def scan_zip(reader: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> PickleScan:
    """Judge every pickle in a zip, and in the zips inside it; torch's format is a zip with ``data.pkl``."""
    findings = _Findings()
    reader.seek(0)
    values, kind = _scan_members(reader, findings, "", NESTING_MAX, limits)
    header = None
    if kind == "torch zip":
        header = state_dict.header_of(values.get("data.pkl"))
    return _result(findings, header, kind)


def scan_npy(reader: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> PickleScan:
    """Judge a numpy array: one of Python objects is a pickle behind a header."""
    findings = _Findings()
    reader.seek(0)
    _scan_array(reader, findings, "", limits)
    return _result(findings, None, "npy")


def _result(findings: _Findings, header: Header | None, kind: str) -> PickleScan:
    names = tuple(sorted(str(reference) for reference in findings.globals))
    if findings.reasons:
        reason = "; ".join(findings.reasons)
    elif findings.pickles:
        reason = "no known bad import in the pickle; that is not a promise that loading it is safe"
    else:
        reason = "holds no pickle"
    return PickleScan(findings.verdict, reason, names, header, kind)


def _scan_series(reader: BinaryIO, size_bytes: int, findings: _Findings, where: str, limits: Limits) -> list[object]:
    """Judge pickles that follow each other; return their values. What follows the first bytes that are none is
    ignored, as loaders do; torch's old format has its tensors there."""
    values: list[object] = []
    opcodes_left = limits.opcodes
    at = 0
    while at < size_bytes:
        if len(values) == PICKLES_MAX:
            findings.note(Verdict.SUSPICIOUS, f"{where}more than {PICKLES_MAX} pickles, not all looked at")
            break
        reader.seek(at)
        walk = pickle_opcodes.walk(reader, replace(limits, opcodes=opcodes_left))
        opcodes_left -= walk.opcodes
        if at and walk.problem and not walk.globals and not walk.over_limit:
            break  # not a pickle any more
        _judge_walk(walk, findings, where)
        _ask_picklescan(reader, at, walk, findings, where)
        if walk.problem:
            break
        values.append(walk.value)
        if opcodes_left <= 0:
            findings.note(Verdict.SUSPICIOUS, f"{where}more opcodes than are looked at")
            break
        if values[0] == _LEGACY_TORCH_MAGIC and len(values) == _LEGACY_TORCH_PICKLES:
            break
        at = walk.end
    return values


def _judge_walk(walk: PickleTrace, findings: _Findings, where: str) -> None:
    findings.pickles += 1
    findings.globals |= walk.globals
    for reference in sorted(walk.globals, key=str):
        verdict = judge_global(reference)
        if verdict is Verdict.DANGEROUS and UNKNOWN_NAME in (reference.module, reference.name):
            findings.note(verdict, f"{where}imports a name that it computes")
        elif verdict is not Verdict.CLEAN:
            meaning = "which runs code" if verdict is Verdict.DANGEROUS else "which weights do not need"
            findings.note(verdict, f"{where}imports {_shown(str(reference))}, {meaning}")
    if walk.extensions:
        findings.note(
            Verdict.SUSPICIOUS, f"{where}imports by extension code, whose meaning only the loading program knows"
        )
    if walk.over_limit:
        findings.note(Verdict.SUSPICIOUS, f"{where}{walk.problem}: not looked at to its end")
    elif walk.problem:
        findings.note(Verdict.ERROR, f"{where}{walk.problem}")


def _ask_picklescan(reader: BinaryIO, begin: int, walk: PickleTrace, findings: _Findings, where: str) -> None:
    """The second opinion, on the bytes that the walk covered. picklescan keeps every opcode in memory, so it is not
    given what the walk found to be over the limits."""
    if walk.over_limit or walk.end - begin > MEMBER_BYTES_MAX:
        return
    reader.seek(begin)
    try:
        result = scan_pickle_bytes(io.BytesIO(reader.read(walk.end - begin)), "", multiple_pickles=False)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        # It is written for pickles that parse, and raises these for some that are built to confuse it.
        findings.note(Verdict.SUSPICIOUS, f"{where}picklescan cannot follow it: {_shown(str(error))}")
        return
    for reference in result.globals:
        if reference.safety is SafetyLevel.Dangerous:
            findings.note(
                Verdict.DANGEROUS, f"{where}imports {_shown(f'{reference.module}.{reference.name}')}, says picklescan"
            )


class _Guarded:
    """A reader that refuses to read more than ``read_max`` bytes at once: zipfile believes what sizes a zip says."""

    def __init__(self, reader: BinaryIO, read_max: int) -> None:
        self.read_max = read_max
        self.seek = reader.seek
        self.tell = reader.tell
        self.seekable = reader.seekable
        self._read = reader.read

    def read(self, count: int = -1) -> bytes:
        if count > self.read_max:
            raise zipfile.BadZipFile(f"says that {count:,} bytes are to be read, over the limit of {self.read_max:,}")
        # Without a count zipfile reads what is left of the file's last 64 KiB.
        return self._read(count if count >= 0 else self.read_max)


def _scan_members(
    reader: BinaryIO, findings: _Findings, where: str, nesting: int, limits: Limits
) -> tuple[dict[str, object], str]:
    """Judge a zip's members; return the values of its pickles by their name inside the archive's folder, and its
    kind."""
    values: dict[str, object] = {}
    guarded = _Guarded(reader, DIRECTORY_BYTES_MAX)
    try:
        archive = RelaxedZipFile(guarded)
        members = archive.infolist()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        OSError,
        OverflowError,
        IndexError,
        struct.error,
    ) as error:
        findings.note(Verdict.ERROR, f"{where}the zip cannot be read: {_shown(str(error))}")
        return values, "zip"
    guarded.read_max = MEMBER_BYTES_MAX
    with archive:
        if len(members) > MEMBERS_MAX:
            findings.note(Verdict.SUSPICIOUS, f"{where}the zip has {len(members):,} members, not looked at")
            return values, "zip"
        names = {_inner_name(member.filename) for member in members}
        for member in members:
            value = _scan_member(archive, member, findings, where, nesting, limits)
            if value is not None:
                inner = _inner_name(member.filename)
                if inner in values:
                    findings.note(Verdict.SUSPICIOUS, f"{where}has two members that are {_shown(inner)}")
                values.setdefault(inner, value)
    kind = "torch zip" if "data.pkl" in names else "zip"
    if kind == "torch zip" and "constants.pkl" in names:
        kind = "torchscript"
        findings.note(Verdict.SUSPICIOUS, f"{where}is a TorchScript program, which runs when it is loaded")
    return values, kind


def _scan_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, findings: _Findings, where: str, nesting: int, limits: Limits
) -> object:
    """Judge one member; return its first pickle's value."""
    here = f"{where}{_shown(member.filename)}: "
    if member.flag_bits & 1:
        # Read as plain bytes all the same: torch's reader ignores the flag, so it can hide a pickle from other
        # scanners.
        findings.note(Verdict.SUSPICIOUS, f"{here}is marked as encrypted")
    named_pickle = member.filename.lower().endswith((".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"))
    try:
        with archive.open(member) as stream:
            start = stream.read(8)
            if not (named_pickle or start.startswith((b"\x93NUMPY", b"PK\x03\x04")) or _starts_as_pickle(start)):
                return None
            content = start + stream.read(MEMBER_BYTES_MAX + 1 - len(start))
    except _UNREADABLE_MEMBER as error:
        verdict = Verdict.SUSPICIOUS if named_pickle else Verdict.ERROR
        findings.note(verdict, f"{here}cannot be looked into: {_shown(str(error))}")
        return None
    if len(content) > MEMBER_BYTES_MAX:
        if named_pickle:
            findings.note(Verdict.SUSPICIOUS, f"{here}is larger than {MEMBER_BYTES_MAX >> 20} MiB and not looked at")
        content = content[:MEMBER_BYTES_MAX]
    inner = io.BytesIO(content)
    if content.startswith(b"PK\x03\x04"):
        if nesting <= 0:
            findings.note(Verdict.SUSPICIOUS, f"{here}zips are nested deeper than {NESTING_MAX}")
        else:
            _scan_members(inner, findings, here, nesting - 1, limits)
        return None
    if content.startswith(b"\x93NUMPY"):
        _scan_array(inner, findings, here, limits)
        return None
    if not named_pickle:
        probe = pickle_opcodes.walk(inner, limits)
        if probe.problem and not probe.globals:
            return None  # a tensor's bytes that begin as a pickle does, by chance
    values = _scan_series(inner, len(content), findings, here, limits)
    return values[0] if values else None


def _starts_as_pickle(start: bytes) -> bool:
    """Whether bytes begin as any protocol's pickle of an object or an import may."""
    return (start[:1] == b"\x80" and start[1:2] <= b"\x05") or start[:1] in (b"c", b"(", b"]", b"}", b"i")


def _scan_array(reader: BinaryIO, findings: _Findings, where: str, limits: Limits) -> None:
    """A .npy file: magic, version, the length of a header that is a Python literal, then numbers or a pickle.

    The literal is not parsed: that takes Python's own parser, which was not made for hostile text. An array holds
    objects, and so a pickle, if its type is spelled with an O or as "object"; a backslash could spell either.
    """
    start = reader.read(12)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\x01" else start[8:12], "little")
    reader.seek(10 if start[6:7] == b"\x01" else 12)
    header = reader.read(min(length, _NPY_HEADER_MAX))
    if len(header) < length or b"descr" not in header:
        findings.note(Verdict.ERROR, f"{where}the numpy header of {length:,} bytes cannot be read")
        return
    if not any(sign in header for sign in (b"O", b"object", b"\\")):
        return
    content = reader.read(MEMBER_BYTES_MAX + 1)
    if len(content) > MEMBER_BYTES_MAX:
        findings.note(Verdict.SUSPICIOUS, f"{where}an array of objects of more than {MEMBER_BYTES_MAX >> 20} MiB")
    findings.note(Verdict.SUSPICIOUS, f"{where}a numpy array of Python objects, which is a pickle")
    _scan_series(io.BytesIO(content), len(content), findings, where, limits)


def _inner_name(name: str) -> str:
    """A member's name without the archive's own folder: torch writes everything into one."""
    return name.partition("/")[2] or name


def _shown(text: str) -> str:
    escape = ascii(text[:100])[1:-1]
    return escape if len(text) <= 100 else escape + "…"
