"""Walk a pickle's opcodes without running them: which globals it names, and which tensors it would build.

Every cost is paid from the file's budget before it arises: bytes read, opcodes, work on containers. What is over a
limit ends the walk with a problem; what was found until then is kept, because a pickle has run by then as well.
"""

import pickletools
import re
from collections.abc import Callable, Mapping
from typing import BinaryIO

from modelyard.inspection.budget import Budget, OverBudget
from modelyard.inspection.pickle_vm import (
    INTEGER_BYTES_MAX,
    MARK,
    OPAQUE,
    Global,
    Machine,
    Opaque,
    PickleTrace,
    Stop,
    persistent_object,
)

LINE_DIGITS_MAX = 100


def walk(reader: BinaryIO, budget: Budget | None = None, *, is_strict: bool = False) -> PickleTrace:
    """Walk one pickle from where ``reader`` stands to its STOP. ``is_strict``: stop where every loader stops."""
    machine = Machine(reader, budget or Budget(), is_strict=is_strict)
    trace = machine.trace
    try:
        _run(machine)
    except Stop as stop:
        trace.problem, trace.is_cut = stop.problem, stop.is_cut
    except OverBudget as stop:
        trace.problem = stop.problem
        trace.over_limit = True
    trace.end = machine.position
    return trace


def _run(machine: Machine) -> None:
    steps, budget = _STEPS, machine.budget
    while True:
        code = machine.read(1)
        entry = steps.get(code[0])
        if entry is None:
            raise Stop(f"byte {machine.position - 1:,} is no opcode: {code[0]:#04x}")
        budget.spend_opcode()
        argument_of, step = entry
        if step(machine, argument_of(machine) if argument_of is not None else None):
            return


# --- one function an opcode; True ends the walk ---

_Argument = Callable[[Machine], object]
_Step = Callable[[Machine, object], bool]


def _text(data: bytes | Opaque) -> object:
    return data.decode(errors="replace") if isinstance(data, bytes) else OPAQUE


def _integer(data: bytes | Opaque) -> object:
    if isinstance(data, bytes) and len(data) <= INTEGER_BYTES_MAX:
        return int.from_bytes(data, "little", signed=True)
    return OPAQUE


def _integer_line(m: Machine) -> object:
    line = m.line(_NUMBER)
    if not isinstance(line, bytes):
        return OPAQUE
    if line in (b"00", b"01"):
        return line == b"01"
    # Readers in C end a number at its NUL, and read other bases; those in Python do neither.
    digits = line.partition(b"\0")[0].rstrip(b"L")
    if len(digits) > LINE_DIGITS_MAX:
        return OPAQUE
    try:
        return int(digits)
    except ValueError:
        if _NUMBER.match(digits):
            return OPAQUE
        raise Stop(f"has {line[:20]!a} for a number") from None


def _quoted_line(m: Machine) -> object:
    """STRING: a quoted text with Python's escapes, which can spell any name."""
    line = m.line(_QUOTE)
    if not isinstance(line, bytes) or len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        return OPAQUE
    return _ESCAPE.sub(_unescaped, line[1:-1]).decode(errors="replace")


# What a line begins with that is a number, or a quoted text.
_NUMBER = re.compile(rb"\s*[+-]?[0-9.in]", re.IGNORECASE)
_QUOTE = re.compile(rb"\s*['\"]")
# codecs.escape_decode does this too, and warns of escapes that it does not know, which will be errors some day.
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"\n": b""}


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if len(code) == 3 and code[:1] == b"x":
        return bytes([int(code[1:], 16)])
    if code.isdigit() and code < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPED.get(code, code if code in (b"\\", b"'", b'"') else match[0])


def _escaped_line(m: Machine) -> object:
    """UNICODE: a text with \\u escapes, which can spell any name."""
    line = m.line()
    return line.decode("raw-unicode-escape", errors="replace") if isinstance(line, bytes) else OPAQUE


def _key_line(m: Machine) -> object:
    """PUT: a number, if there is anything to put."""
    m.top()
    return _integer_line(m)


def _identity_line(m: Machine) -> object:
    if m.is_strict:
        raise Stop(f"asks for a persistent id at byte {m.position:,}")
    return m.line()


def _push(m: Machine, argument: object) -> bool:
    m.push(argument)
    return False


def _push_opaque(m: Machine, _: object) -> bool:
    m.push(OPAQUE)
    return False


def _nothing(_: Machine, __: object) -> bool:
    return False


def _tuple_of(count: int) -> _Step:
    def step(m: Machine, _: object) -> bool:
        taken = [m.pop() for _ in range(count)]
        m.push(tuple(reversed(taken)))
        return False

    return step


def _pop(m: Machine, _: object) -> bool:
    m.pop()
    return False


def _pop_mark(m: Machine, _: object) -> bool:
    m.pop_to_mark()
    return False


def _dup(m: Machine, _: object) -> bool:
    m.push(m.top())
    return False


def _append(m: Machine, _: object) -> bool:
    item = m.pop()
    _extend(m, [item])
    return False


def _appends(m: Machine, _: object) -> bool:
    _extend(m, m.pop_to_mark())
    return False


def _extend(m: Machine, items: list[object]) -> None:
    target = m.top()
    if isinstance(target, list):
        target.extend(items)


def _set_item(m: Machine, _: object) -> bool:
    value, key = m.pop(), m.pop()
    m.set_item(m.top(), key, value)
    return False


def _set_items(m: Machine, _: object) -> bool:
    items = m.pop_to_mark()
    target = m.top()
    for index in range(0, len(items) - 1, 2):
        m.set_item(target, items[index], items[index + 1])
    return False


def _dict_of(m: Machine, _: object) -> bool:
    items = m.pop_to_mark()
    made: dict[object, object] = {}
    for index in range(0, len(items) - 1, 2):
        m.set_item(made, items[index], items[index + 1])
    m.push(made)
    return False


def _global(m: Machine, names: object) -> bool:
    m.push(_named(m, names))
    return False


def _named(m: Machine, names: object) -> Global:
    module, name = names if isinstance(names, tuple) else (OPAQUE, OPAQUE)
    return m.import_global(module, name)


def _stack_global(m: Machine, _: object) -> bool:
    name, module = m.pop(), m.pop()
    m.push(m.import_global(module, name))
    return False


def _instance(m: Machine, names: object) -> bool:
    function = _named(m, names)
    m.push(m.call(function, tuple(m.pop_to_mark())))
    return False


def _object(m: Machine, _: object) -> bool:
    taken = m.pop_to_mark()
    if not taken:
        raise Stop(f"makes an object of nothing at byte {m.position:,}")
    m.push(m.call(taken[0], tuple(taken[1:])))
    return False


def _reduce(m: Machine, _: object) -> bool:
    arguments, function = m.pop(), m.pop()
    m.push(m.call(function, arguments))
    return False


def _new_object_ex(m: Machine, _: object) -> bool:
    m.pop()
    return _reduce(m, None)


def _build(m: Machine, _: object) -> bool:
    state = m.pop()
    m.build(state)
    return False


def _extension(m: Machine, _: object) -> bool:
    m.trace.extensions = True
    m.push(OPAQUE)
    return False


def _persistent_pop(m: Machine, _: object) -> bool:
    if m.is_strict:
        raise Stop(f"asks for a persistent id at byte {m.position:,}")
    m.push(persistent_object(m.pop()))
    return False


def _put(m: Machine, key: object) -> bool:
    if type(key) is not int or key < 0:
        raise Stop("numbers a memo entry with no number")
    m.memo_put(key)
    return False


def _memoize(m: Machine, _: object) -> bool:
    m.memo_put(m.memo_next())
    return False


def _get(m: Machine, key: object) -> bool:
    if type(key) is not int:
        raise Stop("asks for a memo entry with no number")
    m.push(m.memo_get(key))
    return False


def _stop(m: Machine, _: object) -> bool:
    m.trace.value = m.pop()
    return True


# No module and no class has a NUL in its name. A header's length has four in a row: without this, a length that
# begins as an import would be followed through all the tensors to the end of the budget.
_NAME = re.compile(rb"[^\0]{8}")


def _two_lines(m: Machine) -> object:
    return _text(m.line(_NAME)), _text(m.line(_NAME))


# By the names that pickletools gives them: a test compares both, so that a new protocol's opcodes are noticed.
_NAMED: Mapping[str, tuple[_Argument | None, _Step]] = {
    "INT": (_integer_line, _push),
    "BININT": (lambda m: m.number(4, signed=True), _push),
    "BININT1": (lambda m: m.number(1), _push),
    "BININT2": (lambda m: m.number(2), _push),
    "LONG": (_integer_line, _push),
    "LONG1": (lambda m: _integer(m.counted(1)), _push),
    "LONG4": (lambda m: _integer(m.counted(4)), _push),
    "STRING": (_quoted_line, _push),
    "BINSTRING": (lambda m: _text(m.counted(4)), _push),
    "SHORT_BINSTRING": (lambda m: _text(m.counted(1)), _push),
    "BINBYTES": (lambda m: m.counted(4), _push_opaque),
    "SHORT_BINBYTES": (lambda m: m.counted(1), _push_opaque),
    "BINBYTES8": (lambda m: m.counted(8), _push_opaque),
    "BYTEARRAY8": (lambda m: m.counted(8), _push_opaque),
    "NEXT_BUFFER": (None, _push_opaque),
    "READONLY_BUFFER": (None, _nothing),
    "NONE": (None, _push),
    "NEWTRUE": (None, lambda m, _: _push(m, True)),
    "NEWFALSE": (None, lambda m, _: _push(m, False)),
    "UNICODE": (_escaped_line, _push),
    "SHORT_BINUNICODE": (lambda m: _text(m.counted(1)), _push),
    "BINUNICODE": (lambda m: _text(m.counted(4)), _push),
    "BINUNICODE8": (lambda m: _text(m.counted(8)), _push),
    "FLOAT": (lambda m: m.line(_NUMBER), _push_opaque),
    "BINFLOAT": (lambda m: m.number(8), _push_opaque),
    "EMPTY_LIST": (None, lambda m, _: _push(m, [])),
    "APPEND": (None, _append),
    "APPENDS": (None, _appends),
    "LIST": (None, lambda m, _: _push(m, m.pop_to_mark())),
    "EMPTY_TUPLE": (None, lambda m, _: _push(m, ())),
    "TUPLE": (None, lambda m, _: _push(m, tuple(m.pop_to_mark()))),
    "TUPLE1": (None, _tuple_of(1)),
    "TUPLE2": (None, _tuple_of(2)),
    "TUPLE3": (None, _tuple_of(3)),
    "EMPTY_DICT": (None, lambda m, _: _push(m, {})),
    "DICT": (None, _dict_of),
    "SETITEM": (None, _set_item),
    "SETITEMS": (None, _set_items),
    "EMPTY_SET": (None, lambda m, _: _push(m, [])),
    "ADDITEMS": (None, _appends),
    "FROZENSET": (None, lambda m, _: _push(m, m.pop_to_mark())),
    "POP": (None, _pop),
    "DUP": (None, _dup),
    "MARK": (None, lambda m, _: _push(m, MARK)),
    "POP_MARK": (None, _pop_mark),
    "GET": (_integer_line, _get),
    "BINGET": (lambda m: m.number(1), _get),
    "LONG_BINGET": (lambda m: m.number(4), _get),
    "PUT": (_key_line, _put),
    "BINPUT": (lambda m: m.number(1), _put),
    "LONG_BINPUT": (lambda m: m.number(4), _put),
    "MEMOIZE": (None, _memoize),
    "EXT1": (lambda m: m.number(1), _extension),
    "EXT2": (lambda m: m.number(2), _extension),
    "EXT4": (lambda m: m.number(4), _extension),
    "GLOBAL": (_two_lines, _global),
    "STACK_GLOBAL": (None, _stack_global),
    "REDUCE": (None, _reduce),
    "BUILD": (None, _build),
    "INST": (_two_lines, _instance),
    "OBJ": (None, _object),
    "NEWOBJ": (None, _reduce),
    "NEWOBJ_EX": (None, _new_object_ex),
    "PROTO": (lambda m: m.number(1), _nothing),
    "STOP": (None, _stop),
    "FRAME": (lambda m: m.number(8), _nothing),
    "PERSID": (_identity_line, _push_opaque),
    "BINPERSID": (None, _persistent_pop),
}
_STEPS = {ord(opcode.code): _NAMED[opcode.name] for opcode in pickletools.opcodes if opcode.name in _NAMED}
