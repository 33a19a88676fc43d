import tracemalloc

import numpy as np
import pytest

from graphmem.base.columns import StringColumn, write_strings, write_vectors
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
