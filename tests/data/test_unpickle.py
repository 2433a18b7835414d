"""Batches as Python 2 and 3 write them are read; nothing that a pickle names is run, and none takes all memory."""

import builtins
import contextlib
import copyreg
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from convscope.data.unpickle import MAX_OPCODES, read_pickle
from convscope.errors import DataError

DATA = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
NAMES = [b"a.png", b"b.png", b"a.png", b"\xff\x80.png"]
BATCH = {b"batch_label": b"x", b"labels": [3, 0, 9, 3], b"data": DATA, b"filenames": NAMES}

# The opcodes of the array (2, 3) with the bytes 0..5 as Python 2.7 with NumPy 1.8 writes it, protocol 2.
PYTHON_2_ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02K\x03\x86"
    b"cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x06\x00\x01\x02\x03\x04\x05tb"
)


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as error:
        read_pickle(content, "batch")
    message = str(error.value)
    assert message.startswith("batch: refused, not the pickle of a CIFAR batch: ")
    assert "\n" not in message
    return message.split("batch: ", 2)[2]


def test_python_2_strings_come_as_bytes_and_its_arrays_as_arrays() -> None:
    found = read_pickle(b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x07K\x01eU\x04data" + PYTHON_2_ARRAY + b"u.", "")
    assert found["labels"] == [7, 1]
    assert isinstance(found["data"], np.ndarray)
    np.testing.assert_array_equal(found["data"], np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize("protocol", range(5))
def test_every_protocol_of_python_3_is_read(protocol: int) -> None:
    found = read_pickle(pickle.dumps(BATCH, protocol), "batch")
    np.testing.assert_array_equal(found.pop("data"), DATA)
    assert found == {"batch_label": b"x", "labels": [3, 0, 9, 3], "filenames": NAMES}


@pytest.mark.parametrize("protocol", range(5))
def test_an_array_in_fortran_order_is_not_transposed(protocol: int) -> None:
    found = read_pickle(pickle.dumps({"data": np.asfortranarray(DATA)}, protocol), "batch")
    np.testing.assert_array_equal(found["data"], DATA)


class Call:
    """Pickled, it stands for any call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.parts


@pytest.mark.parametrize("protocol", range(5))
def test_no_function_that_a_pickle_names_is_run(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for call in [
        Call(os.system, f"touch {mark}"),
        Call(eval, f"open({str(mark)!r}, 'w')"),
        Call(open, str(mark), "w"),
        Call(getattr, np.ndarray, "tofile"),
        Call(np.save, str(mark), 1),
        Call(os.mkdir, str(mark)),
    ]:
        content = pickle.dumps(BATCH | {b"batch_label": call}, protocol)
        assert "it names" in refusal(content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "numpy.core.multiarray scalar",
        "numpy ndarray.tofile",
        "numpy load",
        "builtins eval",
        "_codecs decode",
    ],
)
def test_globals_are_allowed_by_their_exact_names(name: str) -> None:
    module, attribute = name.split()
    assert f"it names '{module}.{attribute}'" in refusal(f"c{module}\n{attribute}\n.".encode())
    stack_global = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(attribute)])
    assert f"it names '{module}.{attribute}'" in refusal(stack_global + attribute.encode() + b"\x93.")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([{"a": 1}, None], dtype=object), "'O8'"),
        (DATA.astype(np.int8), "'i1'"),
        (DATA.astype(np.uint16), "'u2'"),
        (DATA.view([("r", "u1"), ("g", "u1")]), "'V2'"),
        (np.ma.masked_array(DATA), "it names"),
        (np.matrix(DATA), "it names 'numpy.matrix'"),
        (np.uint8(3), "scalar"),
        (np.dtype("u1"), "a value is numpy.dtype"),
        (np.ndarray, "a value is numpy.ndarray"),
        (OrderedDict(a=1), "it names 'collections.OrderedDict'"),
        ({1, 2}, "opcode EMPTY_SET"),
        (1.5, "opcode BINFLOAT"),
        (2**40, "opcode LONG1"),
        (Path("x"), "it names 'pathlib"),
    ],
)
def test_no_value_goes_beyond_what_a_batch_needs(value: object, reason: str) -> None:
    assert reason in refusal(pickle.dumps(BATCH | {b"data": value}, 4))


def test_the_bytes_of_an_array_must_be_those_of_its_shape() -> None:
    raw = pickle.dumps({"data": DATA}, 2)
    assert "shape (5, 6) holds 24 bytes" in refusal(raw.replace(b"K\x04K\x06\x86", b"K\x05K\x06\x86"))
    assert "shape" in refusal(raw.replace(b"K\x04K\x06\x86", b"J\xff\xff\xff\xffK\x06\x86"))
    assert "was not made the way" in refusal(b"}U\x04datacnumpy.core.multiarray\n_reconstruct\n)Rs.")


def test_the_root_is_a_dictionary_with_text_as_keys() -> None:
    assert "it holds a list" in refusal(pickle.dumps([1, 2]))
    assert "key of type int" in refusal(pickle.dumps({1: 2}))


def test_state_cannot_be_planted_in_what_stands_for_a_global() -> None:
    plant = b"cnumpy\nndarray\n}U\x08__call__K\x01sb0."  # BUILD with a state for the class itself
    for name in (b"numpy\nndarray", b"numpy\ndtype", b"_codecs\nencode"):
        with contextlib.suppress(DataError):
            read_pickle(b"}U\x01ac" + name + b"\nN}U\x08__call__K\x01s\x86bs.", "batch")
    assert "opcode POP" in refusal(plant)
    found = read_pickle(pickle.dumps(BATCH, 2), "batch")  # and all works as before
    np.testing.assert_array_equal(found["data"], DATA)


def test_persistent_ids_and_extension_codes_are_refused() -> None:
    assert "opcode PERSID" in refusal(b"Pname\n.")
    assert "opcode BINPERSID" in refusal(b"K\x01Q.")
    copyreg.add_extension("builtins", "eval", 200)
    try:
        pickle.loads(b"\x82\xc8.")  # now it is in a cache that find_class never sees
        assert pickle.loads(b"\x82\xc8.") is builtins.eval
        assert "opcode EXT1" in refusal(b"}\x82\xc8K\x01s.")
    finally:
        copyreg.remove_extension("builtins", "eval", 200)


def test_a_few_bytes_cannot_claim_gigabytes() -> None:
    for put in (b"r" + struct.pack("<I", 2**31 - 1), b"p4000000000\n"):  # memo entry two billion
        assert "memo" in refusal(b"}" + put + b".") or "32 bits" in refusal(b"}" + put + b".")
    for size in (b"X", b"B", b"T"):  # strings that claim two gigabytes
        assert "expected 2147483647 bytes" in refusal(b"}" + size + struct.pack("<I", 2**31 - 1) + b"short")
    assert f"more than {MAX_OPCODES} opcodes" in refusal(b"(" + b"]" * MAX_OPCODES + b"t.")
    text = b"X" + struct.pack("<I", 10_000) + b"x" * 10_000
    again = (
        b"c_codecs\nencode\nq\x00X\x06\x00\x00\x00latin1q\x01" + text + b"q\x02](" + b"h\x00h\x02h\x01\x86R" * 50_000
    )
    assert "more than its own size" in refusal(again + b"e.")


def test_a_few_bytes_cannot_take_for_ever() -> None:
    doubling = b")" + b"q\x00h\x00\x86" * 60  # a tuple of twice the tuple before, sixty times
    assert "uses one value twice" in refusal(b"}" + doubling + b"K\x01s.")
    assert "opcode DUP" in refusal(b"})2\x86K\x01s.")
    assert "nests or hoards tuples" in refusal(b"})" + b"\x85" * 400_000 + b"K\x01s.")  # its hash overflows the stack


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_no_random_damage_gets_through_as_another_error(protocol: int) -> None:
    rng = np.random.default_rng(protocol)
    whole = pickle.dumps(BATCH, protocol)
    for length in range(len(whole)):
        refusal(whole[:length])
    for _ in range(3000):
        raw = bytearray(whole)
        for place in rng.integers(0, len(raw), rng.integers(1, 4)):
            raw[place] = rng.integers(256)
        with contextlib.suppress(DataError):
            read_pickle(bytes(raw), "batch")
