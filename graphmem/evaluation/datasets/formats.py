"""Every format that a data set can be read from, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from graphmem.errors import ConfigError, DataError
from graphmem.evaluation.datasets.beir import read_beir, read_multihop_rag
from graphmem.evaluation.datasets.conversations import read_locomo, read_longmemeval
from graphmem.evaluation.datasets.dataset import Dataset, read_own
from graphmem.evaluation.datasets.published import read_hipporag, read_hotpot, read_musique

FORMATS: Final[dict[str, tuple[Callable[..., Dataset], frozenset[str]]]] = {
    "graphmem": (read_own, frozenset({"scope"})),
    "musique": (read_musique, frozenset({"corpus"})),
    "hotpot": (read_hotpot, frozenset({"corpus"})),
    "2wiki": (read_hotpot, frozenset({"corpus"})),
    "hipporag": (read_hipporag, frozenset({"corpus"})),
    "beir": (read_beir, frozenset({"split"})),
    "multihop-rag": (read_multihop_rag, frozenset()),
    "locomo": (read_locomo, frozenset({"granularity"})),
    "longmemeval": (read_longmemeval, frozenset({"granularity"})),
}
"""Reader of each format, and the options that it takes."""

FOLDERS: Final = frozenset({"graphmem", "beir", "multihop-rag"})
"""Formats that are folders; the others are files."""


def read_dataset(path: Path, format_: str = "graphmem", name: str = "", **options: Any) -> Dataset:
    """Read a data set of any format.

    Args:
        path: Its folder or file.
        format_: One of `FORMATS`.
        name: What to call it; "" takes the name of the folder or file.
        options: "corpus" (a Path), "split", "scope" or "granularity", where the format has them.

    Raises:
        ConfigError: No such format, or an option that it does not have.
        DataError: It is missing or malformed.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"no format {format_!r}: choose from {', '.join(FORMATS)}")
    reader, known = FORMATS[format_]
    given = {key: value for key, value in options.items() if value not in (None, "")}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise ConfigError(f"the format {format_} has no option {unknown[0]!r}")
    if given.get("granularity", "turn") not in ("turn", "session"):
        raise ConfigError(f"granularity must be turn or session, not {given['granularity']!r}")
    if not path.exists():
        raise DataError("no such data set", str(path))
    if format_ in FOLDERS and not path.is_dir():
        raise DataError(f"the format {format_} is a folder, this is a file", str(path))
    if format_ not in FOLDERS and path.is_dir():
        raise DataError(f"the format {format_} is a file, this is a folder", str(path))
    return reader(path, name, **given)
