"""The part of the facade that needs a chat model at every question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence

from graphmem.answering.chat_session import STEPS, Language, Method, search_again, search_each
from graphmem.answering.iterative import Iteration
from graphmem.answering.reader import Reader
from graphmem.config import SearchConfig
from graphmem.errors import ModelError
from graphmem.storage.filters import Filter
from graphmem.types import Answer, Ranking

Preset = str | SearchConfig


class Asking(ABC):
    """What a memory does with a chat model: answer, and search led by it."""

    _language: Language

    @abstractmethod
    def _search_one(
        self, question: str, k: int, preset: Preset, filter: Filter | None = None
    ) -> Ranking:
        """The best `k` passages."""

    def search_again(
        self,
        question: str,
        k: int = 5,
        preset: Preset = "default",
        *,
        method: Method = "ircot",
        steps: int = STEPS,
        filter: Filter | None = None,
    ) -> Iteration:
        """Search several times, led by the chat model; the best `k` passages of all searches.

        Args:
            question: The question.
            k: How many hits, 1 to all.
            preset: As for `search`.
            method: "ircot" reasons sentence by sentence and searches for each, "residual" searches
                for what the first hits leave open, "clues" with a draft of the answer too.
            steps: Sentences at most, for "ircot"; it ends sooner when the answer is known.
            filter: As for `search`.

        Raises:
            ConfigError: As for `search`, or there is no such method or no chat model.
            ModelError: A call failed.
        """

        def search(query: str, depth: int) -> Ranking:
            return self._search_one(query, depth, preset, filter)

        try:
            return search_again(question, search, self._language.answering, k, method, steps)
        finally:
            self._language.flush()

    def search_each(
        self,
        questions: Sequence[str],
        k: int = 5,
        preset: Preset = "default",
        *,
        method: Method = "ircot",
        steps: int = STEPS,
        filter: Filter | None = None,
    ) -> Generator[Iteration | ModelError, None, None]:
        """As `search_again`, for many questions: what was found for each, in their order.

        Several ask the model at once. A question that fails is told as its error and loses no
        other; what the model answered is kept, so that the same call again asks only what is left.

        Args:
            questions: The questions.
            k: As for `search_again`.
            preset: As for `search`.
            method: As for `search_again`.
            steps: As for `search_again`.
            filter: As for `search`.

        Raises:
            ConfigError: As for `search_again`.
            EndpointError: Every call would fail alike.
        """

        def search(query: str, depth: int) -> Ranking:
            return self._search_one(query, depth, preset, filter)

        chat, threads = self._language.answering, self._language.settings.concurrency
        try:
            yield from search_each(questions, search, chat, k, method, steps, threads)
        finally:
            self._language.flush()

    def ask(
        self,
        question: str,
        k: int = 5,
        preset: Preset = "default",
        *,
        method: Method | None = None,
        steps: int = STEPS,
        filter: Filter | None = None,
    ) -> Answer:
        """Search, and let the chat model answer from the first `k` hits and nothing else.

        Args:
            question: The question.
            k: How many hits the model reads.
            preset: As for `search`.
            method: As for `search_again`; None is one search.
            steps: As for `search_again`.
            filter: As for `search`.

        Returns:
            The answer with the ids of its passages; `found` is False where they do not hold it.

        Raises:
            ConfigError: As for `search`, or there is no chat model.
            ModelError: A call failed, or the answer was in the wrong shape twice.
        """
        if method is None:
            return self.answer(self._search_one(question, k, preset, filter))
        found = self.search_again(question, k, preset, method=method, steps=steps, filter=filter)
        return self.answer(found.ranking)

    def answer(self, ranking: Ranking) -> Answer:
        """Let the chat model answer the question of a ranking from all its hits.

        Raises:
            ConfigError: There is no chat model.
            ModelError: The call failed, or the answer was in the wrong shape twice.
        """
        reader = Reader(self._language.answering, max(1, len(ranking.hits)))
        try:
            return reader.answer(ranking.question, ranking.hits)
        finally:
            self._language.flush()

    def stream_answer(self, ranking: Ranking) -> Generator[str, None, Answer]:
        """The answer as text, piece by piece, with ranks of hits in brackets; returns the whole.

        Raises:
            ConfigError: There is no chat model.
            ModelError: The call failed, also in the middle.
        """
        reader = Reader(self._language.answering, max(1, len(ranking.hits)))
        try:
            return (yield from reader.stream(ranking.question, ranking.hits))
        finally:
            self._language.flush()
