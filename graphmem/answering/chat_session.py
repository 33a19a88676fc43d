"""The language model of one index: which, how fast, for how much; and the searches that use it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from graphmem.answering.iterative import Iteration, clues, ircot, residual
from graphmem.errors import ConfigError, EndpointError, ModelError
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.usage import Budget, Meter
from graphmem.protocols import ChatModel
from graphmem.types import Ranking

MODEL_VARIABLE: Final = "GRAPHMEM_MODEL"
"""Environment variable with the name of the chat model where none is given."""

Method = Literal["ircot", "residual", "clues"]
METHODS: Final[tuple[Method, ...]] = ("ircot", "residual", "clues")

STEPS: Final = 3
"""Sentences at most, for "ircot"."""

# What is merged by scaled scores is searched this deep, then cut: the best 5 are the first of the
# best 100, and what the model reads does not depend on how many hits are wanted.
_DEEP = 100


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """Which chat model is asked, how fast, and for how much.

    Attributes:
        model: Name at the server that OPENAI_BASE_URL and OPENAI_API_KEY lead to, or an object;
            "" is GRAPHMEM_MODEL, else what the index was made with.
        concurrency: Calls under way at once.
        requests_per_minute: Calls started in a minute; 0 is no limit.
        budget: What may be spent while the memory is open; None is no limit.
        pack: Short passages that are extracted in one call; None is as the index was made.
    """

    model: str | ChatModel = ""
    concurrency: int = 8
    requests_per_minute: float = 0.0
    budget: Budget | None = None
    pack: int | None = None


class Language:
    """A chat model whose answers are kept in a file; made when it is first needed.

    Args:
        responses: The file, in the folder of the index or experiment.
        settings: Which model, how fast, for how much.
        recorded: Name of the model that the index was extracted with, "" for none.
    """

    def __init__(self, responses: Path, settings: ChatSettings, recorded: str = "") -> None:
        """Touch nothing yet."""
        self.settings = settings
        self._responses = responses
        self._recorded = recorded
        self._meter = Meter(settings.budget) if settings.budget else None
        self._made: dict[str, CachedChat] = {}

    @property
    def extracting(self) -> CachedChat:
        """For extraction: the model that is named, else the one the index was made with.

        Raises:
            ConfigError: None is named.
        """
        return self._chat(self._recorded or os.environ.get(MODEL_VARIABLE, ""))

    @property
    def answering(self) -> CachedChat:
        """For questions: the model that is named, else GRAPHMEM_MODEL, else the index's own.

        Raises:
            ConfigError: None is named.
        """
        return self._chat(os.environ.get(MODEL_VARIABLE, "") or self._recorded)

    def flush(self) -> None:
        """Write the ledger."""
        for chat in self._made.values():
            chat.flush()

    def _chat(self, default: str) -> CachedChat:
        named = default if self.settings.model == "" else self.settings.model
        if not named:
            raise ConfigError(
                f"this needs a chat model: --model NAME, or set {MODEL_VARIABLE}; the server's "
                "address is OPENAI_BASE_URL, the key OPENAI_API_KEY"
            )
        name = named if isinstance(named, str) else ""
        if name not in self._made:
            chat = self._load(named) if isinstance(named, str) else named
            self._made[name] = CachedChat(chat, ResponseCache(self._responses), self._meter)
        return self._made[name]

    def _load(self, name: str) -> ChatModel:
        return OpenAIChat(
            name.removeprefix("openai:"),
            concurrency=self.settings.concurrency,
            requests_per_minute=self.settings.requests_per_minute,
        )


def search_again(
    question: str,
    search: Callable[[str, int], Ranking],
    chat: ChatModel,
    k: int,
    method: Method,
    steps: int,
) -> Iteration:
    """Search several times, led by the model; the best `k` passages of all searches.

    Args:
        question: The question.
        search: Ranks so many passages for a query.
        chat: The model.
        k: How many hits.
        method: "ircot" reasons sentence by sentence, "residual" asks for what the first hits leave
            open, "clues" searches with a draft of the answer too.
        steps: Sentences at most, for "ircot".

    Raises:
        ConfigError: There is no such method, or a number is out of range.
        ModelError: A call failed.
    """
    if method not in METHODS:
        raise ConfigError(f"no method {method!r}: choose from {', '.join(METHODS)}")
    if k < 1:
        raise ConfigError(f"k must be 1 or more, not {k}")
    depth = max(k, _DEEP)

    def ranked(query: str) -> Ranking:
        return search(query, depth)

    if method == "ircot":
        found = ircot(question, ranked, chat, steps=steps)
    elif method == "residual":
        found = residual(question, ranked, chat)
    else:
        found = clues(question, ranked, chat)
    cut = replace(found.ranking, hits=found.ranking.hits[:k])
    return replace(found, ranking=cut)


def search_each(
    questions: Sequence[str],
    search: Callable[[str, int], Ranking],
    chat: ChatModel,
    k: int,
    method: Method,
    steps: int,
    threads: int,
) -> Generator[Iteration | ModelError, None, None]:
    """`search_again` for many questions: what was found for each, in their order, or its error.

    Args:
        questions: The questions.
        search: As for `search_again`; never called by two threads at once.
        chat: The model, asked by several threads.
        k: As for `search_again`.
        method: As for `search_again`.
        steps: As for `search_again`.
        threads: Questions under way at once.

    Raises:
        ConfigError: As for `search_again`.
        EndpointError: Every call would fail alike.
        BudgetExceeded: The budget ended.
    """
    turn = threading.Lock()

    def in_turn(query: str, depth: int) -> Ranking:
        with turn:
            return search(query, depth)

    def one(question: str) -> Iteration | ModelError:
        try:
            return search_again(question, in_turn, chat, k, method, steps)
        except EndpointError:
            raise
        except ModelError as error:
            return error

    pool = ThreadPoolExecutor(threads, "questions")
    try:
        yield from pool.map(one, questions)
    finally:
        pool.shutdown(cancel_futures=True)
