"""What was chosen on the vectors of one embedder: how hard cosines pull, and the second stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the cosines of an embedder are worth.

    Attributes:
        pull: Times `RetrievalConfig.preference`: how hard a cosine pulls the walk, 1 with the
            default embedder; more where cosines lie closer together.
        trees: File of the second stage's parameters, trained on these cosines.
    """

    pull: float
    trees: str


DEFAULT: Final = Tuning(1.0, "second_stage.json")
TUNINGS: Final = {"bge-small-en-v1.5": Tuning(7 / 3, "second_stage_bge_small.json")}
"""By name of the model; figures are in pipelines/results/ranking.md."""


def tuning_of(fingerprint: str) -> Tuning:
    """That of an embedder, which its fingerprint names before the first colon; else DEFAULT.

    >>> tuning_of("bge-small-en-v1.5:fp32:512:cls:a463fc7bfd55").trees
    'second_stage_bge_small.json'
    >>> tuning_of("my-own:1") is DEFAULT
    True
    """
    return TUNINGS.get(fingerprint.partition(":")[0], DEFAULT)
