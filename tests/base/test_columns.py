import tracemalloc

import numpy as np
import pytest

from graphmem.base.columns import StringColumn, map_array, write_strings, write_vectors
from graphmem.errors import StorageError


def test_vectors_are_written_as_one_array(tmp_path):
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    write_vectors(tmp_path / "vectors.npy", rows, 3)
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), rows)


@pytest.mark.parametrize("count", [2, 4])
def test_as_many_vectors_as_rows_or_an_error(tmp_path, count):
    with pytest.raises(StorageError, match=f"3 vectors for {count} rows"):
        write_vectors(tmp_path / "vectors.npy", np.ones((3, 2), dtype=np.float32), count)


def test_vectors_of_two_lengths_are_an_error(tmp_path):
    rows = [np.ones(2, dtype=np.float32), np.ones(3, dtype=np.float32)]
    with pytest.raises(StorageError, match="vector 1 is"):
        write_vectors(tmp_path / "vectors.npy", rows, 2)


@pytest.mark.parametrize("strings", [[], ["", "Ada", "Zoë \ud800", "x" * 100_000]])
def test_strings_are_written_in_a_stream_as_numpy_saves_them(tmp_path, strings):
    write_strings(tmp_path, "ids", (string for string in strings))
    data, offsets = np.load(tmp_path / "ids_data.npy"), np.load(tmp_path / "ids_offsets.npy")
    assert list(StringColumn(data, offsets)) == strings
    np.save(tmp_path / "saved.npy", data)
    assert (tmp_path / "saved.npy").read_bytes() == (tmp_path / "ids_data.npy").read_bytes()


def test_strings_are_not_held_while_they_are_written(tmp_path):
    tracemalloc.start()
    try:
        write_strings(tmp_path, "texts", ("x" * 100_000 for _ in range(200)))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert (tmp_path / "texts_data.npy").stat().st_size > 20_000_000


@pytest.mark.parametrize("dtype", ["<f4", "<i8", "<u8", "|u1", "|b1", "<i4"])
@pytest.mark.parametrize("shape", [(0,), (5,), (3, 4), (0, 4), (), (400, 200)])
def test_arrays_are_mapped_as_numpy_saves_them(tmp_path, dtype, shape):
    array = np.ones(shape, dtype=dtype)
    np.save(tmp_path / "a.npy", array)
    mapped = map_array(tmp_path / "a.npy")
    assert mapped.dtype == array.dtype and np.array_equal(mapped, array)
    assert not mapped.flags.writeable or not mapped.size


HEADERS = [
    *("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "__import__('os')", "", "{" * 99),
    "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (999,), }",
    f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'9' * 40},), }}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
    "{'descr': '<f3', 'fortran_order': False, 'shape': (3,), }",
]


@pytest.mark.parametrize("header", HEADERS)
def test_what_is_no_plain_array_is_refused(tmp_path, header):
    data = header.encode() + b"\n"
    file = tmp_path / "a.npy"
    file.write_bytes(b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data + bytes(12))
    with pytest.raises((ValueError, OverflowError, TypeError)):
        map_array(file)
    file.write_bytes(b"\x93NUMPY\x03\x00" + bytes(200))
    with pytest.raises(ValueError, match=r"version 1\.0"):
        map_array(file)
