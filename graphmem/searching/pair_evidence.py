"""What two passages say together: evidence of the second stage beside that of each alone.

No single passage answers a question of several hops, so the best of them need not look like it.
Each says a part: what the others leave open. A passage counts here with another that it is linked
to, where one mentions what the other is about. Figures are in pipelines/results/ranking.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from graphmem.searching.candidates import Candidates

PAIR_FEATURES: Final = (
    "pair cosine",  # with what a linked one leaves open of the question, and that one's; the best
    "pair cosine gap",  # to the best candidate
    "pair words gap",  # share of the question's words that both hold, the best; to the best of all
    "new words",  # share of those of the question's words that it holds, which none before it says
)
_NEAR: Final = np.float32(1e-3)
"""Least squared sine; a passage that is nearer to the question leaves nothing open."""


def pair_evidence(
    candidates: Candidates, mentions: NDArray[np.float32], listed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """What each candidate says with one that it is linked to, float32 [n, len(PAIR_FEATURES)].

    Words count by how rare they are.

    Args:
        candidates: n passages.
        mentions: Whether one mentions the subject of another, float32 [n, n].
        listed: Those that are `lists` of names; what these hold is new in one after them, bool [n].
    """
    one, other = np.nonzero(mentions + mentions.T)
    cosine, held = candidates.cosine, candidates.held
    weights = candidates.held_weights / max(float(candidates.held_weights.sum()), 1e-9)
    # Products by einsum, for the reasons given in retriever.py.
    between = np.einsum("pd,pd->p", candidates.vectors[one], candidates.vectors[other])
    said = _with(cosine, one, _said(cosine[one], cosine[other], between))
    both = np.einsum("pw,w->p", held[one] | held[other], weights)
    alone = np.einsum("nw,w->n", held, weights)
    words = _with(alone, one, both)
    before = np.zeros_like(held)
    before[1:] = np.logical_or.accumulate(held & ~listed[:, None], axis=0)[:-1]
    # Of its own words: of all words, chats would put a message that says little but new ones first.
    added = np.einsum("nw,w->n", held & ~before, weights)
    new = np.divide(added, alone, out=np.zeros_like(added), where=alone > 0)
    columns = [said, said - said.max(initial=-1), words - words.max(initial=0), new]
    return np.column_stack(columns).astype(np.float32)


def _said(
    cosine: NDArray[np.float32], other: NDArray[np.float32], between: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How much of the question two passages say, one after the other, [p].

    The other one says its cosine, and leaves open the part of the question at right angles to it
    (Gram-Schmidt); this one says its cosine with that part. Both count as sides of a right angle,
    where they are above 0.

    Args:
        cosine: Of the question with this one.
        other: With the other one.
        between: Of both.
    """
    left_open = np.sqrt(np.maximum(1 - other * other, _NEAR))
    rest = np.maximum((cosine - other * between) / left_open, 0)
    said: NDArray[np.float32] = np.hypot(np.maximum(other, 0), rest)
    return said


def _with(
    alone: NDArray[np.float32], one: NDArray[np.int64], pairs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The best of each alone and in a pair, [n]."""
    best = alone.astype(np.float32)
    np.maximum.at(best, one, pairs.astype(np.float32))
    return best
