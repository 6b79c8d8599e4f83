"""Judge pickles by the names they import, alone or in zips, and read their tensors' names and shapes. Never unpickle.

The scan joins two opinions. Ours is an allow-list. The few globals that weights need are clean. A global that runs
commands, opens files or finds other names is dangerous. Every other global is suspicious, because no list of bad names
is complete. picklescan has a deny-list that its authors keep current. The worse verdict counts. "Clean" means that the
scan saw everything, and found only imports that weights need. What is not proven is not clean.

    clean        only imports that weights need
    suspicious   imports that weights do not need, something that cannot be looked into, or too much to check
    dangerous    an import that runs code, or one whose name is computed
    error        not a whole pickle, and nothing bad in the part that is there
"""

import io
import logging
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from picklescan.relaxed_zipfile import RelaxedZipFile  # type: ignore[import-untyped]  # it ships no types
from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # type: ignore[import-untyped]  # it ships no types

from modelyard.domain import Verdict
from modelyard.inspection import member_kinds, pickle_opcodes, state_dict
from modelyard.inspection.budget import Budget, OverBudget
from modelyard.inspection.header import Header
from modelyard.inspection.pickle_imports import judge_global
from modelyard.inspection.pickle_vm import UNKNOWN_NAME, Global, PickleTrace
from modelyard.inspection.zip_directory import DIRECTORY_BYTES_MAX, find_ambiguity

# picklescan reports through logging as well; its findings are in its result, so the log would say everything twice.
logging.getLogger("picklescan").addHandler(logging.NullHandler())

MEMBER_BYTES_MAX = 64 << 20
# So much of a member that only begins as a pickle may is read at first. Few tensors' bytes are walked beyond it.
_PROBE_BYTES = 1 << 16
NESTING_MAX = 3
_NPY_HEADER_MAX = 65_536
# A pickle file may hold several pickles after each other (torch's old format has five).
PICKLES_MAX = 64
_LEGACY_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_TORCH_PICKLES = 5
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib")


# What zipfile and the decompressors raise for what is damaged, beyond the file, or packed by a method they lack.
_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    OSError,
    OverflowError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
)


_BADNESS: Final = {verdict: level for level, verdict in enumerate(Verdict)}


def worse(one: Verdict, other: Verdict) -> Verdict:
    """Return the worse of two verdicts."""
    return max(one, other, key=_BADNESS.__getitem__)


def worst_of(files: Iterable[tuple[str, Verdict, str]], reason: str) -> tuple[Verdict, str]:
    """Return the verdict on files together, by name, verdict and reason of each: the first of the worst, with its name.

    ``reason`` is the reason if all are clean.
    """
    verdict = Verdict.CLEAN
    for name, of_file, why in files:
        if worse(verdict, of_file) is not verdict:
            verdict, reason = of_file, f"{name}: {why}"
    return verdict, reason


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

    budget: Budget
    verdict: Verdict = Verdict.CLEAN
    reasons: list[str] = field(default_factory=list)
    globals: set[Global] = field(default_factory=set)
    pickles: int = 0

    def note(self, verdict: Verdict, reason: str) -> None:
        self.verdict = worse(self.verdict, verdict)
        if len(self.reasons) < 16 and reason not in self.reasons:
            self.reasons.append(reason)

    @contextmanager
    def within_budget(self) -> Iterator[None]:
        """Note where the budget ends the scan."""
        try:
            yield
        except OverBudget as stop:
            self.note(Verdict.SUSPICIOUS, f"too much to check: {stop.problem}")


def scan_pickle(reader: BinaryIO, size_bytes: int, budget: Budget | None = None) -> PickleScan:
    """Judge a file that is one or more pickles, torch's old format among them."""
    findings = _Findings(budget or Budget())
    values: list[object] = []
    with findings.within_budget():
        values = _scan_series(reader, size_bytes, findings, "")
    legacy = bool(values) and values[0] == _LEGACY_TORCH_MAGIC
    value = values[3] if legacy and len(values) > 3 else values[0] if values else None
    return _result(findings, state_dict.header_of(value), "torch legacy" if legacy else "pickle")


def scan_zip(reader: BinaryIO, size_bytes: int, budget: Budget | None = None) -> PickleScan:
    """Judge every pickle in a zip, and in the zips inside it; torch's format is a zip with ``data.pkl``."""
    findings = _Findings(budget or Budget())
    values: dict[str, object] = {}
    kind = "zip"
    with findings.within_budget():
        values, kind = _scan_members(reader, size_bytes, findings, "", NESTING_MAX)
    header = None
    if kind == "torch zip":
        header = state_dict.header_of(values.get("data.pkl"))
    return _result(findings, header, kind)


def scan_npy(reader: BinaryIO, budget: Budget | None = None) -> PickleScan:
    """Judge a numpy array: one of Python objects is a pickle behind a header."""
    findings = _Findings(budget or Budget())
    reader.seek(0)
    with findings.within_budget():
        _scan_array(reader, findings, "")
    return _result(findings, None, "npy")


def find_hidden_pickle(reader: BinaryIO, budget: Budget) -> PickleScan | None:
    """Judge bytes of another format as pickles from where ``reader`` stands; None if loading them would do nothing.

    A length or a count begins as many opcodes do by chance. So a walk is a finding if it comes to an import, if it has
    an extension code and comes to its STOP, or if the budget ends it. Every loader stops where the walk stops.
    """
    for _ in range(PICKLES_MAX):
        walk = pickle_opcodes.walk(reader, budget, is_strict=True)
        if walk.globals or walk.over_limit or (walk.extensions and not walk.problem):
            return _judge_hidden(walk)
        if walk.problem:
            return None
    return PickleScan(Verdict.SUSPICIOUS, f"read as a pickle: more than {PICKLES_MAX} pickles, not all looked at")


def _judge_hidden(walk: PickleTrace) -> PickleScan:
    names = tuple(sorted(str(reference) for reference in walk.globals))
    if any(judge_global(reference) is not Verdict.CLEAN for reference in walk.globals):
        shown = ", ".join(_shown(name) for name in names[:4])
        return PickleScan(Verdict.DANGEROUS, f"a pickle that runs code when it is unpickled ({shown})", names)
    problem = walk.problem or ("it imports by extension code" if walk.extensions else "it imports names")
    return PickleScan(Verdict.SUSPICIOUS, f"read as a pickle, the same bytes do something: {problem}", names)


def _result(findings: _Findings, header: Header | None, kind: str) -> PickleScan:
    names = tuple(sorted(str(reference) for reference in findings.globals))
    if findings.reasons:
        reason = "; ".join(findings.reasons)
    elif findings.pickles:
        reason = "no known bad import in the pickle; that is not a promise that loading it is safe"
    else:
        reason = "holds no pickle"
    return PickleScan(findings.verdict, reason, names, header, kind)


def _scan_series(reader: BinaryIO, size_bytes: int, findings: _Findings, where: str) -> list[object]:
    """Judge pickles that follow each other; return their values. What follows the first bytes that are none is
    ignored, as loaders do; torch's old format has its tensors there."""
    values: list[object] = []
    at = 0
    while at < size_bytes:
        if len(values) == PICKLES_MAX:
            findings.note(Verdict.SUSPICIOUS, f"{where}more than {PICKLES_MAX} pickles, not all looked at")
            break
        reader.seek(at)
        walk = pickle_opcodes.walk(reader, findings.budget)
        if at and walk.problem and not walk.globals and not walk.over_limit:
            break  # not a pickle any more
        _judge_walk(walk, findings, where)
        _ask_picklescan(reader, at, walk, findings, where)
        if walk.problem:
            break
        values.append(walk.value)
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
        raise OverBudget(f"{where}{walk.problem}")
    if walk.problem:
        findings.note(Verdict.ERROR, f"{where}{walk.problem}")


def _ask_picklescan(reader: BinaryIO, begin: int, walk: PickleTrace, findings: _Findings, where: str) -> None:
    """The second opinion, on the bytes that the walk covered. picklescan keeps every opcode in memory, so it is not
    given what the walk found to be over the limits."""
    if walk.over_limit or walk.end - begin > MEMBER_BYTES_MAX:
        return
    findings.budget.spend_bytes(walk.end - begin)
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
    reader: BinaryIO, size_bytes: int, findings: _Findings, where: str, nesting: int
) -> tuple[dict[str, object], str]:
    """Judge a zip's members; return the values of its pickles by their name inside the archive's folder, and its
    kind."""
    values: dict[str, object] = {}
    if ambiguity := find_ambiguity(reader, size_bytes, findings.budget):
        findings.note(Verdict.SUSPICIOUS, f"{where}readers may see other members in the zip: {ambiguity}")
    guarded = _Guarded(reader, DIRECTORY_BYTES_MAX)
    reader.seek(0)
    try:
        archive = RelaxedZipFile(guarded)
        members = archive.infolist()
    except _UNREADABLE as error:
        findings.note(Verdict.ERROR, f"{where}the zip cannot be read: {_shown(str(error))}")
        return values, "zip"
    if ambiguity:
        findings.budget.spend_members(len(members))  # otherwise they are paid for
    guarded.read_max = MEMBER_BYTES_MAX
    with archive:
        names = {_inner_name(member.filename) for member in members}
        for member in members:
            findings.budget.check_time()
            value = _scan_member(archive, member, findings, where, nesting)
            if value is not None:
                inner = _inner_name(member.filename)
                if inner in values:
                    findings.note(Verdict.SUSPICIOUS, f"{where}has two members that are {_shown(inner)}")
                values.setdefault(inner, value)
    kind = "torch zip" if "data.pkl" in names else "zip"
    if kind == "torch zip" and "constants.pkl" in names:
        kind = "torchscript"
        findings.note(Verdict.SUSPICIOUS, f"{where}is a TorchScript program, which runs when it is loaded")
    if not where and not findings.pickles and not any(name.lower().endswith(".npy") for name in names):
        findings.note(Verdict.SUSPICIOUS, "a zip that holds no weights")
    return values, kind


def _scan_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, findings: _Findings, where: str, nesting: int
) -> object:
    """Judge one member; return its first pickle's value."""
    here = f"{where}{_shown(member.filename)}: "
    if member.flag_bits & 1:
        # Read as plain bytes all the same: torch's reader ignores the flag, so it can hide a pickle from other
        # scanners.
        findings.note(Verdict.SUSPICIOUS, f"{here}is marked as encrypted")
    is_named_pickle = member.filename.lower().endswith(_PICKLE_SUFFIXES)
    try:
        content = _read_member(archive, member, is_named_pickle, findings, here)
    except _UNREADABLE as error:
        verdict = Verdict.SUSPICIOUS if is_named_pickle else Verdict.ERROR
        findings.note(verdict, f"{here}cannot be looked into: {_shown(str(error))}")
        return None
    if content is None:
        return None
    if len(content) > MEMBER_BYTES_MAX:
        findings.note(Verdict.SUSPICIOUS, f"{here}is larger than {MEMBER_BYTES_MAX >> 20} MiB and not looked at")
        _scan_cut(content, findings, here)
        return None
    inner = io.BytesIO(content)
    if content.startswith(b"PK\x03\x04"):
        if nesting <= 0:
            findings.note(Verdict.SUSPICIOUS, f"{here}zips are nested deeper than {NESTING_MAX}")
        else:
            _scan_members(inner, len(content), findings, here, nesting - 1)
        return None
    if content.startswith(b"\x93NUMPY"):
        _scan_array(inner, findings, here)
        return None
    values = _scan_series(inner, len(content), findings, here)
    return values[0] if values else None


def _read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, is_named_pickle: bool, findings: _Findings, here: str
) -> bytes | None:
    """Return a member's bytes, at most one more than the limit; None if it is nothing that could run code."""
    budget = findings.budget
    with archive.open(member) as stream:
        start = stream.read(8)
        if problem := member_kinds.find_problem(member.filename, start):
            findings.note(Verdict.SUSPICIOUS, f"{here}{problem}")
        is_chance = not is_named_pickle and not start.startswith((b"\x93NUMPY", b"PK\x03\x04"))
        if is_chance:
            if not _starts_as_pickle(start):
                return None
            budget.spend_bytes(_PROBE_BYTES)
            start += stream.read(_PROBE_BYTES - len(start))
            if _is_no_pickle(start, budget, is_whole=len(start) == member.file_size):
                return None
        budget.spend_bytes(min(member.file_size, MEMBER_BYTES_MAX))
        content = start + stream.read(MEMBER_BYTES_MAX + 1 - len(start))
    is_whole = len(content) == member.file_size
    return None if is_chance and _is_no_pickle(content, budget, is_whole=is_whole) else content


def _is_no_pickle(start: bytes, budget: Budget, *, is_whole: bool) -> bool:
    """Whether the first bytes show that this is a tensor, which begins as a pickle does by chance."""
    probe = pickle_opcodes.walk(io.BytesIO(start), budget)
    if not probe.problem or probe.globals or probe.extensions or probe.over_limit:
        return False
    return is_whole or not probe.is_cut


def _scan_cut(content: bytes, findings: _Findings, where: str) -> None:
    """Judge the imports of a member that is too large to be read whole."""
    walk = pickle_opcodes.walk(io.BytesIO(content), findings.budget)
    walk.problem = walk.problem if walk.over_limit else ""
    _judge_walk(walk, findings, where)


def _starts_as_pickle(start: bytes) -> bool:
    """Whether bytes begin as any protocol's pickle of an object or an import may."""
    return (start[:1] == b"\x80" and start[1:2] <= b"\x05") or start[:1] in (b"c", b"(", b"]", b"}", b"i")


def _scan_array(reader: BinaryIO, findings: _Findings, where: str) -> None:
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
    _scan_series(io.BytesIO(content), len(content), findings, where)


def _inner_name(name: str) -> str:
    """A member's name without the archive's own folder: torch writes everything into one."""
    return name.partition("/")[2] or name


def _shown(text: str) -> str:
    escape = ascii(text[:100])[1:-1]
    return escape if len(text) <= 100 else escape + "…"
