"""The pickle of a CIFAR batch -> plain values and uint8 arrays; nothing that the pickle names is ever run.

Three walls, each enough against most attacks:
1. the opcodes are read first, as text: those with which a pickle imports, builds objects or asks for absurd
   amounts of memory are refused before the pickle machine starts;
2. the few globals that a batch names do not stand for NumPy's functions but for `Recorded`, which remembers
   what it was given and does nothing;
3. the array is made here, from the recorded bytes, once type, shape and length fit together.
"""

import io
import math
import pickle
import pickletools

import numpy as np
from numpy.typing import NDArray

from convscope.errors import DataError

RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
ENCODE = "_codecs.encode"  # how Python 3 writes bytes with protocols 0 to 2
ALLOWED_GLOBALS = frozenset({*RECONSTRUCT, "numpy.ndarray", "numpy.dtype", ENCODE})

TEXTS = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"})
BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES"})
GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
SHAREABLE = TEXTS | BYTES | {"GLOBAL", "STACK_GLOBAL", "REDUCE"}
CONSTANTS = frozenset({"NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "EMPTY_TUPLE"})
CONTAINERS = frozenset({"EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"})
ALLOWED_OPCODES = frozenset({"PROTO", "FRAME", "MARK", "BUILD", "STOP"}).union(
    CONSTANTS, CONTAINERS, TUPLES, SHAREABLE, GETS, PUTS
)
MAX_OPCODES = 1_000_000  # a batch of 50,000 pictures has some 200,000, written by Python 3 up to 600,000
MAX_BARE_TUPLES = 8  # an array needs two: its shape, and the (0,) from which NumPy starts

# What pickle and pickletools are known to raise on hostile bytes; the warning, of a text's odd escapes, where
# warnings are errors.
BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    DeprecationWarning,
)


class Recorded:
    """Stands where NumPy's own object would: remembers its name, its arguments and its state."""

    __slots__ = ("arguments", "name", "state")  # no __dict__, so the pickle cannot plant anything in it

    def __init__(self, name: str, arguments: tuple[object, ...] | None = None) -> None:
        self.name = name
        self.arguments = arguments
        self.state: object = None

    def __call__(self, *arguments: object) -> object:
        return Recorded(self.name, arguments)

    def __setstate__(self, state: object) -> None:
        self.state = state


class Encode(Recorded):
    """Stands for ``_codecs.encode``: text to the bytes it was; in all no more of them than the pickle has."""

    __slots__ = ("budget",)

    def __init__(self, budget: int) -> None:
        super().__init__(ENCODE)
        self.budget = budget

    def __call__(self, *arguments: object) -> object:
        match arguments:
            case (str() as text, "latin1" | b"latin1"):
                self.budget -= len(text)
                if self.budget < 0:
                    raise pickle.UnpicklingError("it repeats its bytes to more than its own size")
                return text.encode("latin-1")
        raise pickle.UnpicklingError(f"it calls {ENCODE} otherwise than Python does")


class BatchUnpickler(pickle.Unpickler):
    """Reads Python 2's strings as bytes and gives every allowed global an inert stand-in."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._encode = Encode(len(content))

    def find_class(self, module: str, name: str) -> Recorded:
        full = f"{module}.{name}"
        if full not in ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it names {full!r}, which a batch of pictures has no use for")
        return self._encode if full == ENCODE else Recorded(full)


def read_pickle(content: bytes, where: str) -> dict[str, object]:
    """The dictionary in a CIFAR pickle: keys as text, arrays as uint8, the rest numbers, bytes, text, lists.

    Args:
        content: the whole pickle, protocol 0 to 4, written by Python 2 or 3.
        where: what to call it in an error.

    Raises:
        DataError: broken, not a dictionary, or anything in it goes beyond what a batch needs.
    """
    try:
        _check_opcodes(content)
        value = BatchUnpickler(content).load()
        if not isinstance(value, dict):
            raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, expected a dictionary")
        return {_text(key): _plain(item) for key, item in value.items()}
    except BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{where}: refused, not the pickle of a CIFAR batch: {reason}") from None


def _check_opcodes(content: bytes) -> None:
    """Refuse what the pickle machine would do blindly, however small the pickle is.

    - One LONG_BINPUT of five bytes makes CPython's memo as long as its argument: up to 64 GiB.
    - A tuple in a tuple in a tuple, as the key of a dictionary, overflows the stack when it is hashed; one
      of twice the tuple before, forty times, takes a day. Real tuples are consumed at once, as arguments or
      state, but for the few that are shapes; only texts, globals and what calls returned are used again.
    - Large numbers, as keys, can be chosen so that all collide; real numbers are sizes and labels.
    """
    memo: dict[int, str] = {}  # index -> the opcode that made what is kept there
    made, bare_tuples = "", 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        name = opcode.name
        if count >= MAX_OPCODES:
            raise pickle.UnpicklingError(f"it has more than {MAX_OPCODES} opcodes")
        if name not in ALLOWED_OPCODES:
            raise pickle.UnpicklingError(f"it has the opcode {name}")
        if isinstance(argument, int) and not -(2**31) <= argument < 2**31:
            raise pickle.UnpicklingError(f"it has a number beyond 32 bits with {name}")
        if name in PUTS:
            index = len(memo) if argument is None else int(argument)
            if not 0 <= index < MAX_OPCODES:
                raise pickle.UnpicklingError(f"it asks for a memo of {index} entries")
            memo[index] = made
            continue
        if name in GETS and memo.get(int(argument or 0)) not in SHAREABLE:
            raise pickle.UnpicklingError("it uses one value twice")
        bare_tuples += made in TUPLES and name not in ("REDUCE", "BUILD")
        if bare_tuples > MAX_BARE_TUPLES:
            raise pickle.UnpicklingError("it nests or hoards tuples")
        made = name


def _text(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("ascii")
    if isinstance(key, str):
        return key
    raise pickle.UnpicklingError(f"it has a key of type {type(key).__name__}, expected text")


def _plain(value: object) -> object:
    return _array(value) if isinstance(value, Recorded) else value


def _array(recorded: Recorded) -> NDArray[np.uint8]:
    """The uint8 array whose making was recorded: ``_reconstruct(ndarray, (0,), b'b')`` with its state."""
    if recorded.name not in RECONSTRUCT:
        raise pickle.UnpicklingError(f"a value is {recorded.name}, expected a plain NumPy array")
    match recorded.arguments, recorded.state:
        case (
            (Recorded(name="numpy.ndarray", arguments=None), (0,), b"b" | "b"),
            (_, tuple() as shape, Recorded() as dtype, order, raw),
        ):
            _check_dtype(dtype)
        case _:
            raise pickle.UnpicklingError("an array was not made the way NumPy makes one")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise pickle.UnpicklingError("an array's shape is not made of whole numbers")
    if not isinstance(raw, bytes) or len(raw) != math.prod(shape):
        came = f"{len(raw)} bytes" if isinstance(raw, bytes) else f"a {type(raw).__name__}"
        raise pickle.UnpicklingError(f"an array of shape {shape} holds {came}")
    return np.frombuffer(raw, dtype=np.uint8).reshape(shape, order="F" if order else "C")


def _check_dtype(dtype: Recorded) -> None:
    """Refuse any element type but uint8; its recorded state must not add fields or a sub-array."""
    match dtype.arguments, dtype.state:
        case ((b"u1" | "u1", *_), (_, b"|" | "|", None, None, None, *_)) if dtype.name == "numpy.dtype":
            return
        case ((bytes() | str() as kind, *_), _):
            raise pickle.UnpicklingError(f"an array has elements of type {kind!r}, expected 'u1' (uint8)")
    raise pickle.UnpicklingError("an array's elements are not plain uint8")
