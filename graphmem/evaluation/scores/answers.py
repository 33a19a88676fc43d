"""Exact match and F1 of short answers, as SQuAD and MuSiQue define them."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence

import regex

_ARTICLES = regex.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and extra blanks (Rajpurkar et al. 2016).

    >>> normalise_answer("The  U.S. Army's")
    'us armys'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, accepted: Sequence[str]) -> float:
    """1 where the answer equals an accepted one after normalisation, else 0; 0 where none is.

    >>> exact_match("the Rhine.", ["Rhine", "Rhine River"])
    1.0
    """
    normal = normalise_answer(answer)
    return float(any(normal == normalise_answer(gold) for gold in accepted))


def f1(answer: str, accepted: Sequence[str]) -> float:
    """Best F1 over the accepted answers, of the normalised tokens as multisets.

    Where either has no token, 1 if both have none, else 0.

    >>> round(f1("South Shields, England", ["South Shields"]), 3)
    0.8
    """
    return max((_f1(normalise_answer(answer).split(), gold) for gold in accepted), default=0.0)


def _f1(found: list[str], accepted: str) -> float:
    expected = normalise_answer(accepted).split()
    if not found or not expected:
        return float(found == expected)
    same = sum((Counter(found) & Counter(expected)).values())
    return 2 * same / (len(found) + len(expected))
