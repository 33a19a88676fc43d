"""An experiment as it is written down: read, completed and checked before anything is done."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

import regex

from graphmem.answering.chat_session import ChatSettings
from graphmem.config import (
    PRESETS,
    HippoRag2Config,
    HippoRagConfig,
    LinearRagConfig,
    SearchConfig,
    preset,
    renamed,
)
from graphmem.errors import ConfigError, DataError
from graphmem.evaluation.runs.iterating import CHAT_KEYS, IterateOptions, read_chat, read_iterate
from graphmem.evaluation.runs.rerankers import RerankOptions, read_rerank
from graphmem.types import Price

CUTOFFS = (2, 5, 10, 20)
_SLUG = regex.compile(r"[^\p{L}\p{N}._=+-]+")


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Where a data set is and how to read it.

    Attributes:
        path: Its folder or file.
        format: One of `formats.FORMATS`.
        name: What to call it, "" for the name of the folder or file.
        limit: Only its first questions, 0 for all.
        skip_unjudged: Leave questions without gold out, instead of refusing them.
        openie: Triples of its passages in HippoRAG's form; openie.json of its folder where None.
        options: What else the format's reader takes.
    """

    path: Path
    format: str = "graphmem"
    name: str = ""
    limit: int = 0
    skip_unjudged: bool = False
    openie: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index is made; as for `graphmem index`, or with the triples of an `openie` file.

    One with sentences is the same folder as the one without, and has more in it. One with learned
    words (`sparse`) is another.
    """

    embedder: str = "default"
    spacy_model: str = ""
    passage_tokens: int = 0
    openie: str = ""
    sparse: bool = False
    sentences: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to retrieve: a preset, what is changed, its index, a reranker, what leads it."""

    name: str
    config: SearchConfig
    preset: str
    overrides: Mapping[str, Any] = field(default_factory=dict, hash=False)
    index: IndexOptions = field(default_factory=IndexOptions)
    rerank: RerankOptions | None = None
    iterate: IterateOptions | None = None


def for_dataset(variant: Variant, spec: DatasetSpec) -> Variant | None:
    """The variant as it runs on a data set; None where it needs triples and there are none.

    Presets whose graph is made of triples get the index of the data set's OpenIE file;
    linearrag gets an index that keeps its sentences.
    """
    if isinstance(variant.config, LinearRagConfig):
        return dataclasses.replace(
            variant, index=dataclasses.replace(variant.index, sentences=True)
        )
    if not isinstance(variant.config, HippoRag2Config | HippoRagConfig):
        return variant
    file = spec.openie or spec.path / "openie.json"
    if not file.is_file():
        return None
    return dataclasses.replace(
        variant, index=dataclasses.replace(variant.index, openie=str(file.resolve()))
    )


@dataclass(frozen=True, slots=True)
class Experiment:
    """All that decides the result of an experiment.

    Attributes:
        name: For the report.
        datasets: What is searched.
        variants: What is compared.
        cutoffs: Every k of the measures.
        depth: How many passages of each question are ranked.
        seeds: The corpus is shuffled with each before it is indexed; the first also seeds the
            bootstrap.
        baseline: Name of the variant that the others are tested against.
        fail_on: How many questions of a run may fail: a share below 1 or a count.
        explain: How many questions of each data set are shown with explanations.
        latency: How many questions are timed one by one.
        chat: The model that leads the variants with a method, how fast, and for how much.
        price: Its price, None where cost is not counted.
    """

    name: str
    datasets: tuple[DatasetSpec, ...]
    variants: tuple[Variant, ...]
    cutoffs: tuple[int, ...] = CUTOFFS
    depth: int = 100
    seeds: tuple[int, ...] = (0,)
    baseline: str = ""
    fail_on: float = 0.05
    explain: int = 10
    latency: int = 100
    chat: ChatSettings = ChatSettings()
    price: Price | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ConfigError: Saying what is wrong.
        """
        _require(bool(self.datasets), "no data set to evaluate on")
        _require(bool(self.variants), "no preset or variant to evaluate")
        _require(bool(self.seeds), "'seeds' is empty")
        _require(
            bool(self.cutoffs) and min(self.cutoffs) > 0,
            f"'k' must be numbers above 0, not {list(self.cutoffs)}",
        )
        _require(
            self.depth >= max(self.cutoffs),
            f"'depth' ({self.depth}) is below the largest k ({max(self.cutoffs)})",
        )
        _require(self.fail_on >= 0, f"'fail_on' must be 0 or more, not {self.fail_on}")
        names = [variant.name for variant in self.variants]
        for name in names:
            same = [other for other in names if slug(other).lower() == slug(name).lower()]
            _require(len(same) == 1, f"two variants are called {name!r}")
        if self.baseline:
            _known(self.baseline, names, "baseline")
        for spec in self.datasets:
            _require(spec.openie is None or spec.openie.is_file(), f"no such file: {spec.openie}")
        for variant in self.variants:
            _require(
                any(for_dataset(variant, spec) for spec in self.datasets),
                f"{variant.name} needs triples: no data set has an 'openie' file",
            )

    def failures_allowed(self, questions: int) -> int:
        """How many of so many questions may fail."""
        share = self.fail_on < 1
        return int(self.fail_on * questions) if share else int(self.fail_on)


def slug(name: str) -> str:
    """A name as part of a path.

    >>> slug("damping=0.5 / no title")
    'damping=0.5-no-title'
    """
    return _SLUG.sub("-", name).strip("-.") or "unnamed"


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file (TOML); its paths are relative to it.

    Raises:
        ConfigError: A key, preset, option or value is wrong; says which is meant.
        DataError: The file is missing or no TOML.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"expected TOML: {error}", str(path)) from error
    try:
        return _experiment(table, path.parent, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "datasets": list,
    "presets": list,
    "variants": list,
    "sweep": dict,
    "ablation": dict,
    "index": dict,
    "k": list,
    "depth": int,
    "seeds": list,
    "baseline": str,
    "fail_on": (int, float),
    "explain": int,
    "latency": int,
    **CHAT_KEYS,
}


def _experiment(table: Mapping[str, Any], folder: Path, name: str) -> Experiment:
    _check_keys(table, _KEYS, "")
    index = _index_options(table.get("index", {}), IndexOptions(), folder)
    variants = [preset_variant(str(item), index) for item in table.get("presets", [])]
    variants += [_variant(item, index, folder) for item in table.get("variants", [])]
    variants += _ablation(table.get("ablation", {}), index)
    variants += _sweep(table.get("sweep", {}), index)
    for key in CHAT_KEYS.keys() & table.keys():
        _require(any(v.iterate for v in variants), f"{key!r} goes with a variant that has a method")
    chat, price = read_chat(table)
    return Experiment(
        name=table.get("name", name),
        datasets=tuple(_dataset(item, folder) for item in table.get("datasets", [])),
        variants=tuple(variants),
        cutoffs=_numbers(table.get("k", list(CUTOFFS)), "k"),
        depth=table.get("depth", max(100, *_numbers(table.get("k", [1]), "k"), 1)),
        seeds=_numbers(table.get("seeds", [0]), "seeds"),
        baseline=table.get("baseline", ""),
        fail_on=float(table.get("fail_on", 0.05)),
        explain=table.get("explain", 10),
        latency=table.get("latency", 100),
        chat=chat,
        price=price,
    )


def preset_variant(name: str, index: IndexOptions) -> Variant:
    """The variant that is a preset unchanged.

    Raises:
        ConfigError: There is no such preset.
    """
    _known(name, list(PRESETS), "preset")
    return Variant(name, preset(name), name, {}, index)


def override(base: str, changes: Mapping[str, Any]) -> SearchConfig:
    """A preset with some options changed.

    Raises:
        ConfigError: No such preset or option, or the value has the wrong type or is out of range.
    """
    config = preset_variant(base, IndexOptions()).config
    types = get_type_hints(type(config))
    changes = renamed(changes)
    for name, value in changes.items():
        _known(name, list(types), "option")
        if not _fits(value, types[name]):
            raise ConfigError(f"the option {name} cannot be {value!r}")
    return dataclasses.replace(config, **changes)


def _fits(value: Any, type_: Any) -> bool:
    if type_ is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(type_, type):
        return isinstance(value, type_)
    choices = get_args(type_)
    if choices and all(isinstance(choice, str) for choice in choices):
        return value in choices
    return True  # a type that the options check themselves


def _variant(item: Any, index: IndexOptions, folder: Path) -> Variant:
    _require(isinstance(item, dict), "every one of 'variants' must be a table")
    keys: dict[str, type] = {"name": str, "preset": str, "overrides": dict, "index": dict}
    keys |= {"reranker": str, "rerank_depth": int, "method": str, "steps": int}
    _check_keys(item, keys, "variants.")
    _require("name" in item, "every one of 'variants' needs a name")
    base, changes = item.get("preset", "default"), item.get("overrides", {})
    own = _index_options(item.get("index", {}), index, folder)
    ends = read_rerank(item, folder), read_iterate(item)
    return Variant(item["name"], override(base, changes), base, changes, own, *ends)


def _ablation(table: Mapping[str, Any], index: IndexOptions) -> list[Variant]:
    """One variant for each name: {"preset": base, "without title": {option: value}, ..}."""
    base = str(table.get("preset", "default"))
    named = {name: changes for name, changes in table.items() if name != "preset"}
    for name, changes in named.items():
        _require(isinstance(changes, dict), f"'ablation.{name}' must be a table of options")
    return [
        Variant(name, override(base, changes), base, changes, index)
        for name, changes in named.items()
    ]


def _sweep(table: Mapping[str, Any], index: IndexOptions) -> list[Variant]:
    """The cross product: {"preset": base, option: [values], ..}."""
    base = str(table.get("preset", "default"))
    axes = {name: values for name, values in table.items() if name != "preset"}
    for name, values in axes.items():
        _require(bool(values) and isinstance(values, list), f"'sweep.{name}' must be a list")
    if not axes:
        return []
    variants = []
    for values in itertools.product(*axes.values()):
        changes = dict(zip(axes, values, strict=True))
        label = ",".join(f"{name}={value}" for name, value in changes.items())
        name = label if base == "default" else f"{base},{label}"
        variants.append(Variant(name, override(base, changes), base, changes, index))
    return variants


def _index_options(table: Any, base: IndexOptions, folder: Path) -> IndexOptions:
    _require(isinstance(table, dict), "'index' must be a table")
    keys = {"embedder": str, "spacy_model": str, "passage_tokens": int, "sparse": bool}
    _check_keys(table, keys, "index.")
    changes = dict(table)
    for name in ("embedder", "spacy_model"):
        beside = folder / changes.get(name, "")
        if changes.get(name, "").startswith((".", "/")):
            _require(beside.exists(), f"index.{name}: no such folder: {beside}")
            changes[name] = str(beside.resolve())
    return dataclasses.replace(base, **changes)


_READER_OPTIONS = {"scope": str, "corpus": str, "split": str, "granularity": str}


def _dataset(item: Any, folder: Path) -> DatasetSpec:
    if isinstance(item, str):
        return dataset_spec(item, folder)
    _require(isinstance(item, dict), "every one of 'datasets' must be a path or a table")
    keys = {"path": str, "format": str, "name": str, "limit": int, "skip_unjudged": bool}
    _check_keys(item, {**keys, **_READER_OPTIONS, "openie": str}, "datasets.")
    _require("path" in item, "every one of 'datasets' needs a path")
    options = {name: item[name] for name in _READER_OPTIONS if name in item}
    if "corpus" in options:
        options["corpus"] = folder / options["corpus"]
    given = {name: item[name] for name in keys if name in item and name != "path"}
    openie = folder / item["openie"] if "openie" in item else None
    return DatasetSpec(folder / item["path"], **given, openie=openie, options=options)


def dataset_spec(word: str, folder: Path) -> DatasetSpec:
    """A data set as it is named in one word: PATH, or FORMAT:PATH."""
    from graphmem.evaluation.datasets.formats import FORMATS

    format_, colon, path = word.partition(":")
    if colon and format_ in FORMATS:
        return DatasetSpec(folder / path, format_)
    return DatasetSpec(folder / word)


def _numbers(values: Sequence[Any], name: str) -> tuple[int, ...]:
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    _require(whole, f"{name!r} must be a list of whole numbers")
    return tuple(sorted(set(values)) if name == "k" else values)


def _check_keys(table: Mapping[str, Any], keys: Mapping[str, Any], where: str) -> None:
    for key, value in table.items():
        _known(key, list(keys), f"key {where}".strip())
        right = isinstance(value, keys[key])
        if isinstance(value, bool) and keys[key] is not bool:
            right = False
        _require(right, f"'{where}{key}' cannot be {value!r}")


def _known(name: str, names: Sequence[str], kind: str) -> None:
    if name in names:
        return
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(names)}"
    raise ConfigError(f"no {kind} {name!r}: {hint}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)
