"""The machine that a pickle walk runs on: bytes, stack and memo, each with its limit, and what values mean.

The same stack and memo that unpickling has, and nothing else: a global is kept as its name, calling one gives a note of
the call, and only the few calls that rebuild tensors are understood, as "a tensor of this shape". Nothing is imported,
called or set. What the opcodes do with it is in ``modelyard.inspection.pickle_opcodes``.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from modelyard.inspection.budget import Budget, OverBudget
from modelyard.inspection.header import Tensor

ARGUMENT_BYTES_MAX = 1 << 20
LINE_BYTES_MAX = 1 << 16
INTEGER_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle imports; ``?`` where it is computed and cannot be told."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class ReducedObject:
    """What a call would make, not made: the function, its arguments, and the state that BUILD gives it."""

    function: object
    arguments: object
    state: object = None


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers outside the pickle, by a persistent id."""

    dtype: str
    numbers: int | None


class _Mark:
    pass


class Opaque:
    """A value that is not needed for names and shapes: floats, long bytes, odd keys."""


MARK: Final = _Mark()
OPAQUE: Final = Opaque()
UNKNOWN_NAME = "?"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(slots=True)
class PickleTrace:
    """The result of a walk; ``problem`` is empty if the pickle ended with STOP."""

    value: object = None
    globals: set[Global] = field(default_factory=set)
    end: int = 0  # position after the last byte walked
    problem: str = ""
    over_limit: bool = False
    # The bytes ended within the pickle: more of them could go on with it.
    is_cut: bool = False
    # Extension-registry codes name globals in a table that only the loading program has.
    extensions: bool = False


class Stop(Exception):
    """Ends the walk; the text is the problem."""

    def __init__(self, problem: str, *, is_cut: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_cut = is_cut


class Machine:
    """The stack machine of one walk. With ``is_strict`` it stops where every loader stops: at a name that no module can
    have, and at a persistent id, whose meaning only the loading program knows."""

    def __init__(self, reader: BinaryIO, budget: Budget, *, is_strict: bool = False) -> None:
        self.trace = PickleTrace()
        self.position = reader.tell()
        self.budget = budget
        self.is_strict = is_strict
        self._reader = reader
        self._end = reader.seek(0, os.SEEK_END)
        reader.seek(self.position)
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    # --- bytes ---

    def read(self, count: int) -> bytes:
        self.budget.spend_bytes(count)
        data = self._reader.read(count)
        self.position += len(data)
        if len(data) < count:
            raise Stop(f"ends at byte {self.position:,} without STOP", is_cut=True)
        return data

    def number(self, width: int, signed: bool = False) -> int:
        return int.from_bytes(self.read(width), "little", signed=signed)

    def counted(self, width: int) -> bytes | Opaque:
        """An argument that says its length; a long one is stepped over."""
        length = self.number(width)
        if length <= ARGUMENT_BYTES_MAX:
            return self.read(length)
        if length > self._end - self.position:
            raise Stop(f"announces {length:,} bytes at byte {self.position:,}, ends without STOP", is_cut=True)
        self._reader.seek(length, os.SEEK_CUR)
        self.position += length
        return OPAQUE

    def line(self, start: re.Pattern[bytes] | None = None) -> bytes | Opaque:
        """An argument that ends with its line; a long one is stepped over, if it begins as it has to."""
        begin = self.position
        line = self._read_line(begin)
        if line.endswith(b"\n"):
            return line[:-1]
        if start is not None and not start.match(line):
            raise Stop(f"has {line[:20]!a} for a value at byte {begin:,}")
        while not line.endswith(b"\n"):
            line = self._read_line(begin)
        return OPAQUE

    def _read_line(self, begin: int) -> bytes:
        size_bytes = min(LINE_BYTES_MAX, self.budget.bytes)
        line = self._reader.readline(size_bytes)
        self.budget.spend_bytes(len(line))
        self.position += len(line)
        if line.endswith(b"\n"):
            return line
        if len(line) < size_bytes:
            raise Stop(f"has a line at byte {begin:,} that does not end", is_cut=True)
        if not self.budget.bytes:
            limit = self.budget.limits.bytes
            raise OverBudget(f"is longer than {limit:,} bytes: the line at byte {begin:,} does not end")
        return line

    # --- stack ---

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self) -> object:
        if not self._stack:
            raise Stop(f"takes from an empty stack at byte {self.position:,}")
        return self._stack.pop()

    def top(self) -> object:
        if not self._stack:
            raise Stop(f"looks at an empty stack at byte {self.position:,}")
        return self._stack[-1]

    def pop_to_mark(self) -> list[object]:
        stack = self._stack
        for depth in range(len(stack) - 1, -1, -1):
            if stack[depth] is MARK:
                taken = stack[depth + 1 :]
                del stack[depth:]
                self.budget.spend_work(len(taken) + 1)
                return taken
        raise Stop(f"looks for a mark that is not there at byte {self.position:,}")

    def memo_put(self, key: int) -> None:
        self._memo[key] = self.top()

    def memo_next(self) -> int:
        return len(self._memo)

    def memo_get(self, key: int) -> object:
        if key not in self._memo:
            raise Stop(f"asks for memo {key}, which is not there, at byte {self.position:,}")
        return self._memo[key]

    # --- meaning ---

    def import_global(self, module: object, name: object) -> Global:
        if isinstance(module, str) and isinstance(name, str):
            reference = Global(module, name)
        else:
            reference = Global(UNKNOWN_NAME, UNKNOWN_NAME)
        # Only calls of earlier imports compute names.
        if self.is_strict and not self.trace.globals and not _NAME.fullmatch(str(reference)):
            raise Stop(f"imports {str(reference)[:40]!a}, which is no name")
        self.trace.globals.add(reference)
        return reference

    def call(self, function: object, arguments: object) -> object:
        """Return the result of a call, as far as names and shapes need it."""
        if isinstance(function, Global) and isinstance(arguments, tuple):
            rebuild = _REBUILDS.get((function.module, function.name))
            if rebuild is not None:
                made = rebuild(self, arguments)
                if made is not None:
                    return made
        return ReducedObject(function, arguments)

    def build(self, state: object) -> None:
        target = self.top()
        if isinstance(target, ReducedObject):
            array = _numpy_array(target, state)
            if array is not None:
                # The memo holds the unbuilt array as well; both names mean the same object.
                target.function, target.arguments = array, None
            target.state = state

    def set_item(self, target: object, key: object, value: object) -> None:
        if isinstance(target, ReducedObject):
            target = _items_of(target)
        # Only keys whose hash is cheap and cannot recurse: a tuple nested a million deep would end the process.
        if isinstance(target, dict) and type(key) in (str, int):
            target[key] = value


def _items_of(made: ReducedObject) -> object:
    """The dict that an unknown mapping type is given by SETITEMS."""
    if made.state is None:
        made.state = {}
    return made.state


def _numpy_array(made: ReducedObject, state: object) -> Tensor | None:
    """An array made by numpy's _reconstruct and the state (version, shape, dtype, …) that follows it."""
    function = made.function
    if not (isinstance(function, Global) and function.name == "_reconstruct" and "numpy" in function.module):
        return None
    if not (isinstance(state, tuple) and len(state) >= 3 and _is_shape(state[1])):
        return None
    dtype = "unknown"
    kind = state[2]
    if isinstance(kind, ReducedObject) and isinstance(kind.arguments, tuple) and kind.arguments:
        dtype = _NUMPY_DTYPES.get(str(kind.arguments[0]), "unknown")
    return Tensor(dtype, state[1])


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) <= 16
        and all(type(size) is int and 0 <= size < 1 << 48 for size in value)
    )


def _rebuild_tensor(_: Machine, arguments: tuple[object, ...]) -> object:
    """torch._utils._rebuild_tensor and its newer forms: (storage, offset, size, stride, …)."""
    if len(arguments) < 3 or not isinstance(arguments[0], Storage) or not _is_shape(arguments[2]):
        return None
    return Tensor(arguments[0].dtype, arguments[2])  # type: ignore[arg-type]  # _is_shape says it is a tuple of int


def _first_argument(_: Machine, arguments: tuple[object, ...]) -> object:
    return arguments[0] if arguments else None


def _new_mapping(machine: Machine, arguments: tuple[object, ...]) -> object:
    """An empty dict, or one of the pairs that older pickles pass as a list."""
    made: dict[object, object] = {}
    if len(arguments) == 1 and isinstance(arguments[0], list):
        machine.budget.spend_work(len(arguments[0]))
        for pair in arguments[0]:
            if isinstance(pair, (list, tuple)) and len(pair) == 2:
                machine.set_item(made, pair[0], pair[1])
    return made


_REBUILDS: Mapping[tuple[str, str], Callable[[Machine, tuple[object, ...]], object]] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _first_argument,
    ("torch._utils", "_rebuild_parameter_with_state"): _first_argument,
    ("torch._tensor", "_rebuild_from_type_v2"): lambda machine, arguments: (
        machine.call(arguments[0], arguments[2]) if len(arguments) >= 3 else None
    ),
    ("torch", "Size"): _first_argument,
    ("collections", "OrderedDict"): _new_mapping,
    ("collections", "defaultdict"): lambda machine, arguments: _new_mapping(machine, arguments[1:]),
}

_STORAGE_DTYPES: Mapping[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
_NUMPY_DTYPES: Mapping[str, str] = {
    "f8": "F64",
    "f4": "F32",
    "f2": "F16",
    "i8": "I64",
    "i4": "I32",
    "i2": "I16",
    "i1": "I8",
    "u1": "U8",
    "b1": "BOOL",
}


def persistent_object(identity: object) -> object:
    """torch's persistent id: ("storage", type, key, location, numbers, …)."""
    if isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage":
        kind, numbers = identity[1], identity[4]
        name = kind.name if isinstance(kind, Global) else ""
        return Storage(_STORAGE_DTYPES.get(name, "unknown"), numbers if type(numbers) is int else None)
    return OPAQUE
