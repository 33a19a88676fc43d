"""Options and presets: named, complete, checked when they are made."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar, get_args

from graphmem.errors import ConfigError
from graphmem.types import Route


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `low` to `high`, both included; `whole` are integers alone.

    >>> str(Range(0, 1)), 0.5 in Range(0, 1), float("nan") in Range(0, 1), 0.5 in Range(0, 1, True)
    ('in [0, 1]', True, False, False)
    """

    low: float
    high: float
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether it is a number in the range; a truth value is none."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """As docstrings and errors say it."""
        return f"{'an integer ' if self.whole else ''}in [{self.low:g}, {self.high:g}]"


def _real(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"range": Range(low, high)})


def _whole(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"range": Range(low, high, whole=True)})


@dataclass(frozen=True, slots=True)
class Options:
    """Base of all options: every number has a range, which is checked when they are made."""

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            ConfigError: Naming the option, its value and its range.
        """
        for option in fields(self):
            value, range_ = getattr(self, option.name), option.metadata["range"]
            if value not in range_:
                said = range_ if isinstance(range_, Range) else f"one of {', '.join(range_)}"
                raise ConfigError(f"{option.name} must be {said}, not {value!r}")


C = TypeVar("C", bound=Options)
RENAMED: Final[Mapping[str, str]] = {"pull": "preference", "word_pull": "word_preference"}
"""Options that had another name before 0.2.0; the old ones work for one release, and warn."""


def renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their names of today; an old name warns, and counts where both are given.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True):
    ...     renamed({"pull": 2.0, "damping": 0.5})
    {'damping': 0.5, 'preference': 2.0}
    """
    old = [name for name in options if name in RENAMED]
    for name in old:
        said = f"the option {name} is called {RENAMED[name]} now; the old name ends with 0.3.0"
        warnings.warn(said, DeprecationWarning, stacklevel=4)
    kept = {name: value for name, value in options.items() if name not in RENAMED}
    return {**kept, **{RENAMED[name]: options[name] for name in old}}


def _with_old_names(config: type[C]) -> type[C]:
    """The same class, made with the old names of options too."""
    make = config.__init__

    def __init__(self: C, *values: Any, **options: Any) -> None:
        make(self, *values, **renamed(options))

    config.__init__ = functools.wraps(make)(__init__)  # type: ignore[method-assign, assignment]
    return config


_ROUTES: Final = tuple(route for route in get_args(Route) if route != "fusion")


@_with_old_names
@dataclass(frozen=True, slots=True)
class RetrievalConfig(Options):
    """How a question becomes a ranking.

    The restart vector of the walk has an entity part, whose share is
    `entity_share` * s / (s + `specificity_half`) with s the largest 1/df of the entities that the
    question names, and a passage part for the rest. BM25 below is the sum with learned words, each
    divided by its best, where the index keeps them (`searching.word_search`).

    Attributes:
        route: "graph" walks; "dense" ranks by cosine, "lexical" by BM25.
        damping: Probability of going on at every step of the walk; in [0, 0.99].
        entity_share: Share of the entity part where the question names a unique entity; in [0, 1].
        specificity_half: The s that halves this share: hubs say little about a passage; in [1e-06,
            1e+06].
        entity_power: An entity's seed weight is df^-entity_power; in [0, 20].
        lexical_share: Share of BM25 in the passage part, the rest is dense; in [0, 1].
        dense_power: Min-max scaled cosines are raised to this power; in [0, 100].
        lexical_power: Min-max scaled BM25 scores are raised to this power; in [0, 100].
        passage_seeds: How many of the best passages are seeds, of each kind; an integer in [1,
            1e+06].
        preference: The walk prefers a passage by exp(preference * cosine + word_preference * b);
            in [0, 20].
        word_preference: b is the BM25 of the question's words outside its names, divided by the
            best: what is asked about the names; in [0, 20].
        nameless_words: Where a question names nothing there is no walk: a passage scores its cosine
            plus this times its BM25, divided by the best, or by a fifth of what the question's
            words could reach where that is more; in [0, 20].
        tolerance: Bound on the L1 error of the walk; in [1e-06, 1].
        candidates: How many of the first passages the second stage orders; 0 leaves it out; an
            integer in [0, 1000].
        fact_weight: What a standard deviation in each feature of `fact_evidence` adds to the log-
            odds of a candidate, where the index has facts; in [0, 20].
        source_size: A source of more passages than this many times the median source weighs less;
            0 weighs all alike; an integer in [0, 1e+06]. Against floods: see
            `graphmem.storage.weighted`. A source is what metadata call "source", else the document,
            else the passage.
    """

    route: Route = field(default="graph", metadata={"range": _ROUTES})
    damping: float = _real(0.75, 0, 0.99)
    entity_share: float = _real(0.9, 0, 1)
    specificity_half: float = _real(0.05, 1e-6, 1e6)
    entity_power: float = _real(2.0, 0, 20)
    lexical_share: float = _real(0.4, 0, 1)
    dense_power: float = _real(8.0, 0, 100)
    lexical_power: float = _real(3.0, 0, 100)
    passage_seeds: int = _whole(200, 1, 1_000_000)
    preference: float = _real(3.0, 0, 20)
    word_preference: float = _real(1.5, 0, 20)
    nameless_words: float = _real(0.3, 0, 20)
    tolerance: float = _real(1e-2, 1e-6, 1)
    candidates: int = _whole(40, 0, 1000)
    fact_weight: float = _real(0.25, 0, 20)
    source_size: int = _whole(0, 0, 1_000_000)


@dataclass(frozen=True, slots=True)
class HippoRag2Config(Options):
    """HippoRAG 2 (Gutierrez et al. 2025, arXiv 2502.14802), with the numbers of its code.

    Attributes:
        facts: How many of the facts nearest to the question go through the fact filter; an integer
            in [1, 1000].
        phrases: How many of the phrases of the kept facts are seeds; an integer in [1, 1000].
        passage_weight: Weight of a passage seed beside a phrase seed, times its scaled cosine; in
            [1e-09, 1e+06].
        damping: Probability of going on at every step of the walk; in [0, 0.99].
        margin: The filter without a model: a fact stays whose cosine is at most this much below the
            best; 2 keeps all; in [0, 2].
        least_cosine: The filter without a model: a fact stays whose cosine is at least this; -1
            keeps all. Where none stays, the ranking is dense; in [-1, 1].
        tolerance: Bound on the L1 error of the walk; in [1e-06, 1].
    """

    facts: int = _whole(5, 1, 1000)
    phrases: int = _whole(5, 1, 1000)
    passage_weight: float = _real(0.05, 1e-09, 1e6)
    damping: float = _real(0.5, 0, 0.99)
    margin: float = _real(2.0, 0, 2)
    least_cosine: float = _real(-1.0, -1, 1)
    tolerance: float = _real(1e-5, 1e-6, 1)


@dataclass(frozen=True, slots=True)
class HippoRagConfig(Options):
    """HippoRAG, version 1 (Gutierrez et al. 2024, arXiv 2405.14831).

    Attributes:
        damping: Probability of going on at every step of the walk; in [0, 0.99].
        tolerance: Bound on the L1 error of the walk; in [1e-06, 1].
    """

    damping: float = _real(0.5, 0, 0.99)
    tolerance: float = _real(1e-5, 1e-6, 1)


@dataclass(frozen=True, slots=True)
class LinearRagConfig(Options):
    """LinearRAG (arXiv 2510.10114), with the numbers of its command line.

    Attributes:
        rounds: How often activation goes from entities over sentences to entities; an integer in
            [0, 10].
        sentences: Over how many sentences it leaves an entity; an integer in [1, 1000].
        threshold: Activation below this is dropped; in [0, 1].
        passage_ratio: Weight of a passage's scaled cosine beside its activated entities; in [0,
            1e+06].
        passage_weight: Weight of a passage seed beside an entity seed; in [0, 1e+06].
        damping: Probability of going on at every step of the walk; in [0, 0.99].
        nearest_passages: An entity's sentences are sought in so many of its passages, those nearest
            to the question; its code looks at all, which changes recall@5 by less than a point and
            has many more sentences embedded; an integer in [1, 1000].
        tolerance: Bound on the L1 error of the walk; in [1e-06, 1].
    """

    rounds: int = _whole(2, 0, 10)
    sentences: int = _whole(3, 1, 1000)
    threshold: float = _real(0.4, 0, 1)
    passage_ratio: float = _real(2.0, 0, 1e6)
    passage_weight: float = _real(0.05, 0, 1e6)
    damping: float = _real(0.5, 0, 0.99)
    nearest_passages: int = _whole(5, 1, 1000)
    tolerance: float = _real(1e-5, 1e-6, 1)


@dataclass(frozen=True, slots=True)
class FusionConfig(Options):
    """Reciprocal rank fusion of dense and BM25 (Cormack et al. 2009).

    Attributes:
        constant: Added to every rank: the larger, the less the first ranks stand out; in [0,
            1e+06].
    """

    constant: float = _real(60.0, 0, 1e6)


SearchConfig = RetrievalConfig | HippoRag2Config | HippoRagConfig | LinearRagConfig | FusionConfig
"""How a question becomes a ranking, by any method."""


PRESETS: Final[dict[str, SearchConfig]] = {
    "default": RetrievalConfig(),
    "walk": RetrievalConfig(candidates=0),
    "hipporag2": HippoRag2Config(),
    "hipporag": HippoRagConfig(),
    "linearrag": LinearRagConfig(),
    "rrf": FusionConfig(),
    "dense": RetrievalConfig(route="dense"),
    "bm25": RetrievalConfig(route="lexical"),
}


def preset(name: str) -> SearchConfig:
    """The preset of this name.

    Raises:
        ConfigError: There is none; the message lists all.

    >>> preset("rrf")
    FusionConfig(constant=60.0)
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]
