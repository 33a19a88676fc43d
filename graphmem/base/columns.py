"""Columns on disk: strings and vectors as .npy files that are mapped, and written in a stream."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import regex
from numpy.typing import NDArray

from graphmem.errors import StorageError

_SMALL = 1 << 16  # bytes of a column that is read, not mapped
_HEADER = regex.compile(
    rb"\{'descr': '([<|][biuf][1248])', 'fortran_order': False, "
    rb"'shape': \(([0-9, ]{0,60})\), \} *\n"
)


@dataclass(frozen=True, slots=True)
class StringColumn:
    """Strings in one block of UTF-8 bytes; item i is data[offsets[i]:offsets[i + 1]]."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of strings."""
        return self.offsets.size - 1

    def __getitem__(self, row: int) -> str:
        """The string of one row."""
        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        try:
            return self.data[start:end].tobytes().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise StorageError(f"a damaged column of strings: {error}") from error


class Strings(Protocol):
    """Strings by row: a list, or a column that is mapped."""

    def __len__(self) -> int:
        """Number of strings."""
        ...

    def __getitem__(self, row: int, /) -> str:
        """The string of one row."""
        ...


@dataclass(frozen=True, slots=True)
class Picked:
    """Some rows of a column of strings, read when they are asked for.

    >>> picked = Picked(["ada", "bo", "cy"], np.array([2, 0]))
    >>> len(picked), picked[0]
    (2, 'cy')
    """

    strings: Strings
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of strings."""
        return self.rows.size

    def __getitem__(self, row: int) -> str:
        """The string of one row."""
        if not 0 <= row < self.rows.size:
            raise IndexError(row)
        return self.strings[int(self.rows[row])]


@dataclass(frozen=True, slots=True)
class Chained:
    """The strings of two columns, one after the other.

    >>> both = Chained(["ada", "bo"], ["cy"])
    >>> len(both), both[1], both[2]
    (3, 'bo', 'cy')
    """

    first: Strings
    second: Strings

    def __len__(self) -> int:
        """Number of strings."""
        return len(self.first) + len(self.second)

    def __getitem__(self, row: int) -> str:
        """The string of one row."""
        border = len(self.first)
        return self.first[row] if row < border else self.second[row - border]


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Vectors of d dimensions by row, left where they are mapped.

    Attributes:
        blocks: Arrays, float32 [n, d] each, one after the other.
        rows: Which of their rows count, int64; None is all.
    """

    blocks: tuple[NDArray[np.float32], ...]
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of vectors."""
        return sum(map(len, self.blocks)) if self.rows is None else self.rows.size

    @property
    def width(self) -> int:
        """Number of dimensions d."""
        return int(self.blocks[0].shape[1])

    def pick(self, rows: NDArray[np.int64]) -> VectorRows:
        """Some of them, in this order."""
        return VectorRows(self.blocks, rows if self.rows is None else self.rows[rows])

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Those of some rows, in this order, float32 [r, d].

        >>> both = VectorRows((np.zeros((2, 1)), np.ones((2, 1))), np.array([0, 2, 3]))
        >>> both.take(np.array([2, 0, 1])).ravel().tolist()
        [1.0, 0.0, 1.0]
        """
        chosen = rows if self.rows is None else self.rows[rows]
        if len(self.blocks) == 1:
            return self.blocks[0][chosen]
        vectors = np.empty((chosen.size, self.width), dtype=np.float32)
        start = 0
        for block in self.blocks:
            here = (chosen >= start) & (chosen < start + len(block))
            vectors[here] = block[chosen[here] - start]
            start += len(block)
        return vectors


def renumbered(kept: NDArray[np.integer[Any]], count: int) -> NDArray[np.int32]:
    """The place in `kept` of each of `count` rows, -1 where it is not there, int32 [count].

    >>> renumbered(np.array([2, 0]), 4).tolist()
    [1, -1, 0, -1]
    """
    new = np.full(count, -1, dtype=np.int32)
    new[kept] = np.arange(kept.size, dtype=np.int32)
    return new


def write_strings(folder: Path, name: str, strings: Iterable[str]) -> None:
    """Write a string column as `name`_data.npy and `name`_offsets.npy, without holding it."""
    offsets = array("q", [0])
    with (folder / f"{name}_data.npy").open("wb") as stream:
        _write_bytes_header(stream, 0)
        for string in strings:
            written = stream.write(string.encode("utf-8", "surrogatepass"))
            offsets.append(offsets[-1] + written)
        # The length is known now: headers have room for it.
        stream.seek(0)
        _write_bytes_header(stream, offsets[-1])
    np.save(folder / f"{name}_offsets.npy", np.frombuffer(offsets, dtype=np.int64))


def _write_bytes_header(stream: IO[bytes], count: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(stream, header)


def map_array(file: Path) -> NDArray[Any]:
    """Map a .npy file of numbers or truth values, as `np.save` writes them, from disk; read-only.

    A small one is read: a mapping holds a file open, and an index has some thirty columns.

    `np.load` reads the header as Python, which takes what no array of ours has, and which Python
    3.11 cannot do in two threads at once (python/cpython#106905: a SystemError).

    Raises:
        ValueError: It is none, or shorter than it says.
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        if stream.read(8) != b"\x93NUMPY\x01\x00":
            raise ValueError("no array of version 1.0")
        length = int.from_bytes(stream.read(2), "little")
        header = _HEADER.fullmatch(stream.read(length))
        if header is None:
            raise ValueError("no header of a plain array")
        dtype = np.dtype(header[1].decode())
        shape = tuple(int(size) for size in header[2].replace(b",", b" ").split())
        if 0 in shape:
            return np.zeros(shape, dtype=dtype)
        count = math.prod(shape)
        if count * dtype.itemsize <= _SMALL:
            return np.frombuffer(stream.read(), dtype, count).reshape(shape)
    # A plain view of the mapping: numpy's memmap class makes every small access slower.
    return np.asarray(np.memmap(file, dtype, "r", 10 + length, shape))


def write_vectors(file: Path, vectors: Iterable[NDArray[np.float32]], count: int) -> None:
    """Write `count` vectors as float32 [count, d], without holding them all; d is 0 without any.

    Raises:
        StorageError: There are more or fewer of them, or they differ in length.
    """
    rows: Iterator[NDArray[np.float32]] = iter(vectors)
    first = next(rows, None)
    if first is None:
        rows, first = iter(()), np.zeros(0, dtype=np.float32)
    else:
        rows = chain([first], rows)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, first.size)}
    # Written, not mapped: on a full disk a mapped file kills the process, without an error.
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        written = 0
        for row in rows:
            if row.shape != first.shape:
                raise StorageError(f"{file}: vector {written} is {row.shape}, not {first.shape}")
            stream.write(row.astype("<f4", copy=False).tobytes())
            written += 1
    if written != count:
        raise StorageError(f"{file}: {written} vectors for {count} rows")
