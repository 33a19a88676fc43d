import numpy as np
import pytest

from graphmem.base.columns import write_vectors
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
