"""The second stage: order the first passages of the walk by all the evidence that is at hand.

The walk brings the evidence of a question into the first twenty or so. A small ensemble of trees
weighs what `walk_evidence`, `pair_evidence` and `asked_again` say of each; the pipeline
train_rerank.py makes its parameters, which know the cosines of an embedder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphmem.searching.asked_again import AGAIN_FEATURES
from graphmem.searching.candidates import Candidates
from graphmem.searching.pair_evidence import PAIR_FEATURES
from graphmem.searching.scores import above_rest
from graphmem.searching.walk_evidence import WALK_FEATURES

FEATURES: Final = WALK_FEATURES + PAIR_FEATURES + AGAIN_FEATURES
_OWN_TREES: Final = {"bge-small-en-v1.5": "second_stage_bge_small.json"}
"""By name of the embedder; the default's trees order the cosines of all others."""
_WALK, _SPECIFICITY = FEATURES.index("walk"), FEATURES.index("specificity")


@dataclass(frozen=True, slots=True)
class TreeEnsemble:
    """A sum of T binary trees of depth D, each a heap: the children of node i are 2i+1 and 2i+2.

    Attributes:
        feature: Feature that an inner node asks for, int64 [T, 2^D - 1].
        threshold: It goes right where the feature is above this, float32 [T, 2^D - 1].
        value: What a node predicts on average, float32 [T, 2^(D+1) - 1].
        base: What all start from.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    value: NDArray[np.float32]
    base: float

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> TreeEnsemble:
        """From the JSON object that pipelines/train_rerank.py writes.

        Raises:
            ValueError: It was made for other features.
        """
        if tuple(data["features"]) != FEATURES:
            raise ValueError("the rerank model was made for other features: train it again")
        return cls(
            np.array(data["feature"], dtype=np.int64),
            np.array(data["threshold"], dtype=np.float32),
            np.array(data["value"], dtype=np.float32),
            float(data["base"]),
        )

    def scores(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds that a candidate is relevant, float32 [n]."""
        count, size = self.value.shape
        leaves = self.value.take(np.arange(count) * size + self._walk(evidence)[-1])
        scores: NDArray[np.float32] = leaves.sum(axis=1) + np.float32(self.base)
        return scores

    def contributions(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Part of each feature in the scores, [n, F]; rows sum to the score without the base.

        Every step down a tree is put down to the feature it asks for (Saabas 2014).
        """
        trees = np.arange(self.value.shape[0])
        parts = np.zeros(evidence.shape, dtype=np.float32)
        walk = self._walk(evidence)
        rows = np.broadcast_to(np.arange(len(evidence))[:, None], walk[0].shape)
        for parent, child in zip(walk[:-1], walk[1:], strict=True):
            change = self.value[trees, child] - self.value[trees, parent]
            np.add.at(parts, (rows, self.feature[trees, parent]), change)
        return parts

    def _walk(self, evidence: NDArray[np.float32]) -> list[NDArray[np.int64]]:
        """Node that each candidate is at in each tree, [n, T], from the root to the leaf."""
        count, inner = self.feature.shape
        # Places in flat arrays: taking from these is several times faster than indexing by pairs.
        tree = np.arange(count) * inner
        row = np.arange(len(evidence))[:, None] * evidence.shape[1]
        nodes = [np.zeros((len(evidence), count), dtype=np.int64)]
        while (nodes[-1][0, 0] if len(evidence) else inner) < inner:
            place = tree + nodes[-1]
            asked = evidence.take(row + self.feature.take(place))
            nodes.append(2 * nodes[-1] + 1 + (asked > self.threshold.take(place)))
        return nodes


def mixed_log_odds(
    log_odds: NDArray[np.float32], evidence: NDArray[np.float32], specificity_half: float
) -> NDArray[np.float32]:
    """(1 - g) log mass + g log-odds, float32 [n].

    g = s / (s + specificity_half) and s is the largest 1/df of the question's entities: where these
    are hubs, as in conversations, the trees were not trained for it and the order of the walk
    counts.

    Args:
        log_odds: What the trees say of each candidate, float32 [n].
        evidence: Their features, float32 [n, F].
        specificity_half: As in the walk's configuration.
    """
    gate = _gate(evidence, specificity_half)
    mixed: NDArray[np.float32] = (1 - gate) * evidence[:, _WALK] + gate * log_odds
    return mixed


def not_lifted(log_odds: NDArray[np.float32], prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-odds by which no candidate that weighs less than 1 passes one that was better, [n].

    A text that was written to be found looks as relevant as it likes, and the trees see no weight.

    Args:
        log_odds: Of the candidates, best first by the walk, float32 [n].
        prior: What each weighs, float32 [n].

    >>> not_lifted(np.array([1, -1, 5, 2.0]), np.array([1, 1, 0.1, 1])).tolist()
    [1.0, -1.0, -1.0, 2.0]
    """
    return np.where(prior < 1, np.minimum.accumulate(log_odds), log_odds)


def rerank(
    candidates: Candidates, log_odds: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores of all passages after the second stage, float32 [P].

    A candidate gets the logistic function of its log-odds. All other passages keep their order,
    below the candidates.

    Args:
        candidates: n candidates, best first.
        log_odds: Their mixed log-odds, float32 [n].
        scores: Mass of all passages after the walk, float32 [P].
    """
    one = np.float32(1)
    return above_rest(scores, candidates.rows, one / (one + np.exp(-log_odds)))


def parts_of_log_odds(
    model: TreeEnsemble, evidence: NDArray[np.float32], specificity_half: float
) -> NDArray[np.float32]:
    """What each feature adds to the mixed log-odds, float32 [n, F].

    Rows sum to the log-odds, but for the share of the trees' constant.
    """
    gate = _gate(evidence, specificity_half)
    parts = gate[:, None] * model.contributions(evidence)
    parts[:, _WALK] += (1 - gate) * evidence[:, _WALK]
    return parts


def _gate(evidence: NDArray[np.float32], specificity_half: float) -> NDArray[np.float32]:
    specificity = evidence[:, _SPECIFICITY]
    gate: NDArray[np.float32] = specificity / (specificity + np.float32(specificity_half))
    return gate


def trees_file(fingerprint: str) -> str:
    """The file of the trees for an embedder, which its fingerprint names before the first colon.

    >>> trees_file("bge-small-en-v1.5:fp32:512:cls:a463fc7bfd55"), trees_file("my-own:1")
    ('second_stage_bge_small.json', 'second_stage.json')
    """
    return _OWN_TREES.get(fingerprint.partition(":")[0], "second_stage.json")


def load_model(fingerprint: str) -> TreeEnsemble:
    """The parameters that come with the package, for the cosines of an embedder."""
    text = files("graphmem.searching").joinpath(trees_file(fingerprint)).read_text("utf-8")
    return TreeEnsemble.parse(json.loads(text))
