"""Options and presets: named, complete, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from graphmem.errors import ConfigError
from graphmem.types import Route


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """How a question becomes a ranking.

    The restart vector of the walk has an entity part, whose share is
    `entity_share` * s / (s + `specificity_half`) with s the largest 1/df of the entities that the
    question names, and a passage part for the rest.

    Attributes:
        route: "graph" walks; "dense" ranks by cosine, "lexical" by BM25.
        damping: Probability of going on at every step of the walk, in [0, 1).
        entity_share: Share of the entity part where the question names a unique entity, in [0, 1].
        specificity_half: The s that halves this share: hubs say little about a passage; > 0.
        entity_power: An entity's seed weight is df^-entity_power.
        lexical_share: Share of BM25 in the passage part, the rest is dense, in [0, 1].
        dense_power: Min-max scaled cosines are raised to this power.
        lexical_power: Min-max scaled BM25 scores are raised to this power.
        passage_seeds: How many of the best passages are seeds, of each kind; > 0.
        pull: The walk prefers a passage by exp(pull * cosine + word_pull * b), in [0, 20].
        word_pull: b is the BM25 of the question's words outside its names, divided by the best:
            what is asked about the names; in [0, 20].
        nameless_words: Where a question names nothing there is no walk: a passage scores its cosine
            plus this times its BM25, divided by the best; in [0, 20].
        tolerance: Bound on the L1 error of the walk, > 0.
        candidates: How many of the first passages the second stage orders; 0 leaves it out.
        fact_weight: What a standard deviation in each feature of `fact_evidence` adds to the
            log-odds of a candidate, where the index has facts; in [0, 20].
    """

    route: Route = "graph"
    damping: float = 0.75
    entity_share: float = 0.9
    specificity_half: float = 0.05
    entity_power: float = 2.0
    lexical_share: float = 0.4
    dense_power: float = 8.0
    lexical_power: float = 3.0
    passage_seeds: int = 200
    pull: float = 3.0
    word_pull: float = 1.5
    nameless_words: float = 0.3
    tolerance: float = 1e-2
    candidates: int = 40
    fact_weight: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            ConfigError: Naming the option, its value and its range.
        """
        _check_walk(self)
        _check_shares(self, "entity_share", "lexical_share")
        _check_positive(self, "specificity_half", "passage_seeds", "tolerance")
        _require(self, "candidates", self.candidates >= 0, "0 or more")
        for name in ("pull", "word_pull", "nameless_words", "fact_weight"):
            _require(self, name, 0 <= getattr(self, name) <= 20, "in [0, 20]")


@dataclass(frozen=True, slots=True)
class HippoRag2Config:
    """HippoRAG 2 (Gutierrez et al. 2025, arXiv 2502.14802), with the numbers of its code.

    Attributes:
        facts: How many of the facts nearest to the question go through the fact filter, > 0.
        phrases: How many of the phrases of the kept facts are seeds, > 0.
        passage_weight: Weight of a passage seed beside a phrase seed, times its scaled cosine.
        damping: Probability of going on at every step of the walk, in [0, 1).
        margin: The filter without a model: a fact stays whose cosine is at most this much below
            the best; 2 keeps all.
        least_cosine: The filter without a model: a fact stays whose cosine is at least this; -1
            keeps all. Where none stays, the ranking is dense.
        tolerance: Bound on the L1 error of the walk, > 0.
    """

    facts: int = 5
    phrases: int = 5
    passage_weight: float = 0.05
    damping: float = 0.5
    margin: float = 2.0
    least_cosine: float = -1.0
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            ConfigError: Naming the option, its value and its range.
        """
        _check_walk(self)
        _check_positive(self, "facts", "phrases", "passage_weight", "tolerance")
        _require(self, "margin", self.margin >= 0, "0 or more")


@dataclass(frozen=True, slots=True)
class HippoRagConfig:
    """HippoRAG, version 1 (Gutierrez et al. 2024, arXiv 2405.14831).

    Attributes:
        damping: Probability of going on at every step of the walk, in [0, 1).
        tolerance: Bound on the L1 error of the walk, > 0.
    """

    damping: float = 0.5
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            ConfigError: Naming the option, its value and its range.
        """
        _check_walk(self)
        _check_positive(self, "tolerance")


@dataclass(frozen=True, slots=True)
class LinearRagConfig:
    """LinearRAG (arXiv 2510.10114), with the numbers of its command line.

    Attributes:
        rounds: How often activation goes from entities over sentences to entities, >= 0.
        sentences: Over how many sentences it leaves an entity, > 0.
        threshold: Activation below this is dropped, in [0, 1].
        passage_ratio: Weight of a passage's scaled cosine beside its activated entities, >= 0.
        passage_weight: Weight of a passage seed beside an entity seed, >= 0.
        damping: Probability of going on at every step of the walk, in [0, 1).
        nearest_passages: An entity's sentences are sought in so many of its passages, those
            nearest to the question, > 0; its code looks at all, which changes recall@5 by less
            than a point and has many more sentences embedded.
        tolerance: Bound on the L1 error of the walk, > 0.
    """

    rounds: int = 2
    sentences: int = 3
    threshold: float = 0.4
    passage_ratio: float = 2.0
    passage_weight: float = 0.05
    damping: float = 0.5
    nearest_passages: int = 5
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            ConfigError: Naming the option, its value and its range.
        """
        _check_walk(self)
        _check_shares(self, "threshold")
        _check_positive(self, "sentences", "nearest_passages", "tolerance")
        for name in ("rounds", "passage_ratio", "passage_weight"):
            _require(self, name, getattr(self, name) >= 0, "0 or more")


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """Reciprocal rank fusion of dense and BM25 (Cormack et al. 2009).

    Attributes:
        constant: Added to every rank: the larger, the less the first ranks stand out; >= 0.
    """

    constant: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what is out of range.

        Raises:
            ConfigError: Naming the option, its value and its range.
        """
        _require(self, "constant", self.constant >= 0, "0 or more")


SearchConfig = RetrievalConfig | HippoRag2Config | HippoRagConfig | LinearRagConfig | FusionConfig
"""How a question becomes a ranking, by any method."""


def _check_walk(config: Any) -> None:
    _require(config, "damping", 0 <= config.damping < 1, "in [0, 1)")


def _check_shares(config: Any, *names: str) -> None:
    for name in names:
        _require(config, name, 0 <= getattr(config, name) <= 1, "in [0, 1]")


def _check_positive(config: Any, *names: str) -> None:
    for name in names:
        _require(config, name, getattr(config, name) > 0, "above 0")


def _require(config: Any, name: str, holds: bool, range_: str) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {range_}, not {getattr(config, name)!r}")


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
