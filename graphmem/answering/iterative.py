"""Retrieve, think, retrieve again: IRCoT, residual questions, and draft answers as clues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from graphmem.base.text import sentence_spans
from graphmem.errors import ConfigError, ModelError
from graphmem.llm import prompts
from graphmem.llm.structured_output import as_text, ask, parse_object, without_thoughts
from graphmem.protocols import ChatModel
from graphmem.types import ChatRequest, Completion, Hit, Ranking

Search = Callable[[str], Ranking]

_THOUGHT_TOKENS = 128
_QUESTION_TOKENS = 128
_DRAFT_TOKENS = 200
_LONGEST_QUERY = 1000  # characters of a thought or draft that are searched with


@dataclass(frozen=True, slots=True)
class Iteration:
    """A ranking that took several searches.

    Attributes:
        ranking: The hits of all searches, every passage once.
        queries: What was searched for, in order; the question is the first.
        enough: Whether the model said that the answer is known.
    """

    ranking: Ranking
    queries: tuple[str, ...]
    enough: bool = False


def ircot(
    question: str,
    search: Search,
    chat: ChatModel,
    *,
    steps: int = 3,
    shown: int = 5,
) -> Iteration:
    """Interleave retrieval with reasoning (IRCoT, arXiv 2212.10509).

    In each step the model reads the first hits of the searches so far and writes one sentence,
    which is searched for next; it ends when the sentence says that the answer is known, says
    nothing new, or after `steps`. A passage's score is its best over the searches, each
    min-max scaled.

    Args:
        question: The question.
        search: Ranks passages for a query.
        chat: The model.
        steps: How many sentences at most; 0 is a plain search.
        shown: How many passages the model reads.

    Raises:
        ConfigError: A number is out of range.
        ModelError: A call failed.
    """
    if steps < 0 or shown < 1:
        raise ConfigError("expected steps from 0 and shown from 1")
    rankings = [search(question)]
    thoughts: list[str] = []
    for _ in range(steps):
        passages = [hit.passage for hit in merge_best(rankings).hits[:shown]]
        asked = prompts.ircot_prompt(question, passages, thoughts)
        said = chat.complete(ChatRequest(asked, None, _THOUGHT_TOKENS, "reasoning"))
        text = " ".join(without_thoughts(said.text).split())
        if prompts.IRCOT_END in text.lower():
            return Iteration(merge_best(rankings), (question, *thoughts), enough=True)
        thought = _first_sentence(text)
        if not thought or thought in (question, *thoughts):
            break
        thoughts.append(thought)
        rankings.append(search(thought))
    return Iteration(merge_best(rankings), (question, *thoughts))


def residual(question: str, search: Search, chat: ChatModel, *, shown: int = 5) -> Iteration:
    """Search again for what the first hits leave open (arXiv 2608.13006).

    The scores of both searches are min-max scaled apart, then averaged.

    Args:
        question: The question.
        search: Ranks passages for a query; deeper than what is wanted in the end, since a passage
            outside a ranking counts as its last.
        chat: The model.
        shown: How many of the first hits the model reads.

    Raises:
        ConfigError: `shown` is below 1.
        ModelError: A call failed, or the model gave no question, twice.
    """
    if shown < 1:
        raise ConfigError("expected shown from 1")
    first = search(question)
    if not first.hits:
        return Iteration(first, (question,))
    asked = prompts.residual_prompt(question, [hit.passage for hit in first.hits[:shown]])
    request = ChatRequest(asked, prompts.RESIDUAL_SCHEMA, _QUESTION_TOKENS, "residual")
    try:
        remaining, _ = ask(chat, request, _read_question)
    except ValueError as error:
        raise ModelError(f"{chat.model}: no residual question, {error}") from None
    if remaining.casefold() == question.strip().casefold():
        return Iteration(first, (question,))
    return Iteration(merge_mean([first, search(remaining)]), (question, remaining))


def clues(question: str, search: Search, chat: ChatModel) -> Iteration:
    """Search also with a draft of the answer (MemoRAG, arXiv 2409.05591).

    The scores of both searches are min-max scaled apart, then averaged.

    Raises:
        ModelError: The call failed.
    """
    asked = prompts.clues_prompt(question)
    said = chat.complete(ChatRequest(asked, None, _DRAFT_TOKENS, "clues"))
    draft = " ".join(without_thoughts(said.text).split())[:_LONGEST_QUERY]
    first = search(question)
    if not draft:
        return Iteration(first, (question,))
    return Iteration(merge_mean([first, search(draft)]), (question, draft))


def merge_best(rankings: Sequence[Ranking]) -> Ranking:
    """One ranking of all passages by their best min-max scaled score; the first searches win ties.

    Raises:
        ValueError: There is no ranking.
    """
    return _merged(rankings, max)


def merge_mean(rankings: Sequence[Ranking]) -> Ranking:
    """One ranking of all passages by their mean min-max scaled score, 0 where one lacks them.

    Raises:
        ValueError: There is no ranking.
    """
    return _merged(rankings, lambda scores: sum(scores) / len(rankings))


def _merged(rankings: Sequence[Ranking], combine: Callable[[list[float]], float]) -> Ranking:
    """Question and route are the first one's; as many hits as the longest ranking has."""
    if not rankings:
        raise ValueError("nothing to merge")
    scores: dict[str, list[float]] = {}
    hits: dict[str, Hit] = {}
    for ranking in rankings:
        for hit, score in zip(ranking.hits, _scaled(ranking), strict=True):
            hits.setdefault(hit.passage.id, hit)
            scores.setdefault(hit.passage.id, []).append(score)
    total = {passage: combine(found) for passage, found in scores.items()}
    order = sorted(hits, key=lambda passage: -total[passage])  # stable: first come, first served
    depth = max(len(ranking.hits) for ranking in rankings)
    return Ranking(
        rankings[0].question,
        rankings[0].route,
        tuple(
            replace(hits[passage], rank=rank, score=total[passage])
            for rank, passage in enumerate(order[:depth], start=1)
        ),
        tuple(dict.fromkeys(name for ranking in rankings for name in ranking.entities)),
        reranker=rankings[0].reranker,
        reranked=rankings[0].reranked,
    )


def _scaled(ranking: Ranking) -> list[float]:
    """Scores from 0 to 1; all 1 where they are equal."""
    scores = [hit.score for hit in ranking.hits]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _first_sentence(text: str) -> str:
    spans = sentence_spans(text)
    return text[: spans[0][1]][:_LONGEST_QUERY] if spans else ""


def _read_question(said: Completion) -> str:
    """The question in JSON, or a single line that is one.

    Raises:
        ValueError: There is none.
    """
    try:
        question = as_text(parse_object(said.text, "question")["question"])
    except ValueError:
        line = without_thoughts(said.text)
        if not line or "\n" in line or any(mark in line for mark in "{}[]`"):
            raise
        question = line
    if not question:
        raise ValueError('"question" is no text')
    return question[:_LONGEST_QUERY]
