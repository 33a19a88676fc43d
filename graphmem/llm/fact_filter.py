"""Recognition memory by a language model (HippoRAG 2, arXiv 2502.14802, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from graphmem.errors import ConfigError, ModelError
from graphmem.llm.prompts import FACT_FILTER_SCHEMA, fact_filter_prompt
from graphmem.llm.structured_output import as_text, ask, parse_object
from graphmem.protocols import ChatModel
from graphmem.types import ChatRequest, Completion, Triple

MOST_FACTS: Final = 4
"""The reference keeps at most four of its five candidates."""
_ANSWER_TOKENS = 128


class ModelFactFilter:
    """Fact filter that asks a chat model, with worked examples; one call for a question.

    Args:
        chat: The model, with a cache before it if nothing is to be paid twice.
        limit: How many facts it may keep.
        concurrency: Questions under way at once.

    >>> from graphmem.llm.scripted import ScriptedChat
    >>> facts = [Triple("Alien", "directed by", "Ridley Scott"), Triple("bread", "is", "food")]
    >>> ModelFactFilter(ScriptedChat(['{"facts": [1]}'])).keep(["Who made Alien?"], [facts])
    [[0]]
    """

    def __init__(self, chat: ChatModel, limit: int = MOST_FACTS, concurrency: int = 8) -> None:
        """Take the model.

        Raises:
            ConfigError: A number is below 1.
        """
        if limit < 1 or concurrency < 1:
            raise ConfigError("limit and concurrency of a fact filter must be 1 or more")
        self._chat = chat
        self._limit = limit
        self._concurrency = concurrency

    def keep(
        self, questions: Sequence[str], facts: Sequence[Sequence[Triple]]
    ) -> list[Sequence[int]]:
        """For every question the positions of the facts to keep; none is an answer.

        Raises:
            ModelError: A call failed, or the answer was in the wrong shape twice.
            BudgetExceeded: The budget does not hold a call.
        """
        if len(questions) == 1:
            return [self._keep(questions[0], facts[0])]
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="facts") as pool:
            return list(pool.map(self._keep, questions, facts))

    def _keep(self, question: str, facts: Sequence[Triple]) -> Sequence[int]:
        if not facts:
            return []
        listed = [f"{fact.subject} {fact.predicate} {fact.object}" for fact in facts]
        asked = fact_filter_prompt(question, listed, self._limit)
        request = ChatRequest(asked, FACT_FILTER_SCHEMA, _ANSWER_TOKENS, "facts")
        try:
            found, _ = ask(self._chat, request, lambda said: self._read(said, len(facts)))
        except ValueError as error:
            raise ModelError(f"{self._chat.model}: the fact filter gave none, {error}") from None
        return found

    def _read(self, said: Completion, count: int) -> list[int]:
        """Positions, in the order of the model.

        Raises:
            ValueError: There is no list, or none of its entries is a fact's number.
        """
        listed = parse_object(said.text, "facts")["facts"]
        if not isinstance(listed, list):
            raise ValueError('"facts" is no list')
        given = [as_text(entry) for entry in listed]
        numbers = [int(n) for n in given if n.isdecimal() and n.isascii() and len(n) < 5]
        kept = [number - 1 for number in dict.fromkeys(numbers) if 1 <= number <= count]
        if listed and not kept:
            raise ValueError(f'"facts" must hold numbers from 1 to {count}')
        return kept[: self._limit]
