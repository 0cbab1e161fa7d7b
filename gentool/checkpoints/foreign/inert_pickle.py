"""Read a pickle without importing or calling anything that it names. No torch.

A pickle is a program for a small stack machine. Here the machine builds plain containers only: a
class or function stays a name (`Global`), and a call, an object or its state stay a note of what
was asked for (`Inert`). So the names, numbers and options in a file come out, and no code runs.

The traps avoided: keys whose hash or comparison takes exponential or quadratic time, and numbers
of operations that take minutes.
"""

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

MOST_OPERATIONS = 5_000_000
LARGEST_KEY = 2**61 - 2  # larger integers may be chosen so that all of their hashes are equal


class DamagedPickle(Exception):
    """Report a pickle that is damaged, or beyond what a checkpoint needs."""


@dataclass(frozen=True, eq=False)
class Global:
    """Hold the name of a class or function that a pickle names; it is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Inert:
    """Hold what a pickle asks for: a call of `callee`, and what it would give to the result.

    `state` is the state of an object, `items` are those set by key, `values` those appended.
    """

    callee: object
    args: object = ()
    state: object = None
    items: dict = field(default_factory=dict)
    values: list = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the dotted name of what is called; empty if that is itself an object."""
        return str(self.callee) if isinstance(self.callee, Global) else ""


@dataclass(frozen=True, eq=False)
class Persistent:
    """Hold a persistent id: what the pickle refers to outside of itself, in PyTorch a storage."""

    key: object


class _Mark:
    """Stand for the mark from which an operation takes all items of the stack."""


_MARK = _Mark()
_PUSHED = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    ]
)
_SET = Global("builtins", "set")


def read_pickle(file: BinaryIO) -> tuple[object, list[object]]:
    """Return the content of the pickle at the position of a file, and its persistent ids.

    The file is left behind the pickle. Raise DamagedPickle if it is damaged.
    """
    machine = _Machine()
    count = 0
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python, on damaged texts
            for opcode, argument, _ in pickletools.genops(file):
                count += 1
                if count > MOST_OPERATIONS:
                    raise DamagedPickle(f"it has more than {MOST_OPERATIONS:,} operations")
                machine.do(opcode.name, argument)
            if len(machine.stack) != 1:
                raise DamagedPickle("it does not end with one object")
            return machine.stack[0], machine.persistent
    except DamagedPickle:
        raise
    except Exception as error:  # the bytes of a damaged file may be anything
        raise DamagedPickle(str(error).splitlines()[0] if str(error) else "damaged") from error


class _Machine:
    """Hold the stack and the memo while a pickle is read."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self.persistent: list[object] = []

    def do(self, name: str, argument: object) -> None:
        """Do one operation. Raise an exception of any kind if the stack does not hold its input."""
        if name in _PUSHED:
            self.stack.append(argument)
        else:
            _OPERATIONS[name](self, argument)

    def pop(self) -> object:
        item = self.stack.pop()
        if item is _MARK:
            raise DamagedPickle("a mark stands where an object should")
        return item

    def pop_to_mark(self) -> list[object]:
        items: list[object] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        items.reverse()
        return items

    def pops(self, count: int) -> tuple[object, ...]:
        items = [self.pop() for _ in range(count)]
        return tuple(reversed(items))

    def append(self, values: list[object]) -> None:
        target = self.stack[-1]
        (target if isinstance(target, list) else target.values).extend(values)

    def set_items(self, items: list[object]) -> None:
        target = self.stack[-1]
        _set_items(target if isinstance(target, dict) else target.items, items)

    def persist(self, key: object) -> None:
        """Push what a persistent id refers to; a class with its source code is the class."""
        if isinstance(key, tuple) and len(key) > 1 and key[0] == "module":
            self.stack.append(key[1])
            return
        self.persistent.append(key)
        self.stack.append(Persistent(key))

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif not isinstance(target, (dict, Global, Persistent)):
            raise DamagedPickle("a state is given to a plain value")


def _set_items(target: dict, items: list[object]) -> None:
    if len(items) % 2:
        raise DamagedPickle("a key has no value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(key, tuple):
            key = Inert(None, key)  # by identity: the hash of nested tuples may take forever
        elif isinstance(key, int) and abs(key) > LARGEST_KEY:
            raise DamagedPickle("a key is too large a number")
        target[key] = value


def _dict_of(items: list[object]) -> dict:
    target: dict = {}
    _set_items(target, items)
    return target


def _global(argument: str) -> Global:
    module, _, name = argument.partition(" ")
    return Global(module, name)


def _stack_global(machine: _Machine) -> Global:
    module, name = machine.pops(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise DamagedPickle("the name of a class is not a string")
    return Global(module, name)


def _operations() -> dict[str, Callable[[_Machine, object], None]]:
    """Return the operations by name; those of _PUSHED apart, and extension codes not at all."""

    def pushing(make: Callable[[_Machine], object]) -> Callable[[_Machine, object], None]:
        return lambda machine, _: machine.stack.append(make(machine))

    def nothing(_machine: _Machine, _argument: object) -> None:
        pass

    def put(machine: _Machine, index: int) -> None:
        machine.memo[index] = machine.stack[-1]

    def get(machine: _Machine, index: int) -> None:
        machine.stack.append(machine.memo[index])

    def memoize(machine: _Machine, _argument: object) -> None:
        machine.memo[len(machine.memo)] = machine.stack[-1]

    def inst(machine: _Machine, argument: str) -> None:
        machine.stack.append(Inert(_global(argument), tuple(machine.pop_to_mark())))

    def obj(machine: _Machine) -> Inert:
        callee, *args = machine.pop_to_mark()
        return Inert(callee, tuple(args))

    def called(machine: _Machine) -> Inert:
        return Inert(*machine.pops(2))

    def called_with_keywords(machine: _Machine) -> Inert:
        callee, args, _ = machine.pops(3)
        return Inert(callee, args)

    def ended(machine: _Machine, _argument: object) -> None:
        machine.stack[:] = [machine.pop()]

    return {
        "PROTO": nothing,
        "FRAME": nothing,
        "STOP": ended,
        "MARK": pushing(lambda _: _MARK),
        "POP": lambda machine, _: machine.stack.pop() and None,
        "POP_MARK": lambda machine, _: machine.pop_to_mark() and None,
        "DUP": pushing(lambda machine: machine.stack[-1]),
        "NONE": pushing(lambda _: None),
        "NEWTRUE": pushing(lambda _: True),
        "NEWFALSE": pushing(lambda _: False),
        "EMPTY_LIST": pushing(lambda _: []),
        "LIST": pushing(lambda machine: machine.pop_to_mark()),
        "APPEND": lambda machine, _: machine.append([machine.pop()]),
        "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
        "EMPTY_TUPLE": pushing(lambda _: ()),
        "TUPLE": pushing(lambda machine: tuple(machine.pop_to_mark())),
        "TUPLE1": pushing(lambda machine: machine.pops(1)),
        "TUPLE2": pushing(lambda machine: machine.pops(2)),
        "TUPLE3": pushing(lambda machine: machine.pops(3)),
        "EMPTY_DICT": pushing(lambda _: {}),
        "DICT": pushing(lambda machine: _dict_of(machine.pop_to_mark())),
        "SETITEM": lambda machine, _: machine.set_items(list(machine.pops(2))),
        "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
        "EMPTY_SET": pushing(lambda _: Inert(_SET)),
        "ADDITEMS": lambda machine, _: machine.append(machine.pop_to_mark()),
        "FROZENSET": pushing(lambda machine: Inert(_SET, values=machine.pop_to_mark())),
        "GLOBAL": lambda machine, argument: machine.stack.append(_global(argument)),
        "STACK_GLOBAL": pushing(_stack_global),
        "INST": inst,
        "OBJ": pushing(obj),
        "NEWOBJ": pushing(called),
        "NEWOBJ_EX": pushing(called_with_keywords),
        "REDUCE": pushing(called),
        "BUILD": lambda machine, _: machine.build(),
        "PUT": put,
        "BINPUT": put,
        "LONG_BINPUT": put,
        "MEMOIZE": memoize,
        "GET": get,
        "BINGET": get,
        "LONG_BINGET": get,
        "PERSID": lambda machine, argument: machine.persist(argument),
        "BINPERSID": lambda machine, _: machine.persist(machine.pop()),
    }


_OPERATIONS = _operations()
