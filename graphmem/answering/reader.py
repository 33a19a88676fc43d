"""Hits to answer: what the model says they hold, the passages it rests on, and their conflicts."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Any

from graphmem.base.text import tokens
from graphmem.errors import ConfigError, ModelError
from graphmem.llm import prompts
from graphmem.llm.structured_output import as_text, ask, parse_object, visible, without_thoughts
from graphmem.protocols import ChatModel
from graphmem.types import Answer, ChatRequest, Claim, Completion, Hit, Passage

# Runs are taken whole and from their start only (possessive, look-behind): time stays linear.
_CITATION = re.compile(r"(?:(?<!\s)\s++)?\[(\d[\d\s]*+(?:,\s*+\d[\d\s]*+)*+,?\s*+)\]")
_CONFLICT = re.compile(r"^[^\w\n]*+conflict[^\w\n:]*+:\s*(.+)$", re.IGNORECASE | re.MULTILINE)


class Reader:
    """Answers questions from the passages of a ranking.

    Args:
        chat: The model.
        passages: How many of the first hits it reads.
        max_tokens: Length of an answer.
    """

    def __init__(self, chat: ChatModel, passages: int = 5, max_tokens: int = 512) -> None:
        """Take the model.

        Raises:
            ConfigError: A number is below 1.
        """
        if passages < 1 or max_tokens < 1:
            raise ConfigError("a reader needs 1 passage and 1 token of answer, or more")
        self._chat = chat
        self._passages = passages
        self._max_tokens = max_tokens

    def answer(self, question: str, hits: Sequence[Hit]) -> Answer:
        """A concise answer with its sources; not found, without a call, where there are no hits.

        Raises:
            ConfigError: The question is blank.
            ModelError: The call failed, or the answer was in the wrong shape twice.
            BudgetExceeded: The budget does not hold the call.
        """
        passages = self._read(question, hits)
        if not passages:
            return _not_found(question)
        asked = prompts.reader_prompt(question, passages)
        request = ChatRequest(asked, prompts.READER_SCHEMA, self._max_tokens, "answer")
        try:
            found, _ = ask(self._chat, request, lambda said: _parse(question, passages, said))
        except ValueError as error:
            raise ModelError(f"{self._chat.model}: no answer could be read, {error}") from None
        return found

    def stream(self, question: str, hits: Sequence[Hit]) -> Generator[str, None, Answer]:
        """The answer as text, piece by piece, with numbers of hits in brackets.

        The generator's return value is the whole, its sources by id.

        Raises:
            ConfigError: As for `answer`.
            ModelError: As for `answer`, also in the middle.
        """
        passages = self._read(question, hits)
        if not passages:
            yield prompts.NOT_FOUND
            return _not_found(question)
        asked = prompts.reader_text_prompt(question, passages)
        request = ChatRequest(asked, None, self._max_tokens, "answer")
        completion = yield from visible(self._chat.stream(request))
        try:
            return _from_text(question, passages, without_thoughts(completion.text))
        except ValueError as error:
            raise ModelError(f"{self._chat.model}: no answer could be read, {error}") from None

    def _read(self, question: str, hits: Sequence[Hit]) -> list[Passage]:
        if not question.strip():
            raise ConfigError("the question is empty")
        return [hit.passage for hit in hits[: self._passages]]


def _parse(question: str, passages: Sequence[Passage], said: Completion) -> Answer:
    """An answer from JSON, or from prose where a model gives no JSON at all.

    Raises:
        ValueError: It is empty, or JSON or code that cannot be read.
    """
    try:
        found = parse_object(said.text, "answer")
    except ValueError:
        prose = without_thoughts(said.text)
        if not prose or said.finish == "length" or any(mark in prose for mark in ("{", "```")):
            raise
        return _from_text(question, passages, prose)
    text = as_text(found["answer"])
    if str(found.get("found", True)).lower() == "false" or _says_not_found(text):
        return _not_found(question)
    if not text:
        raise ValueError('"answer" is no text')
    sources = _ids(passages, found.get("passages"))
    return Answer(question, text, True, sources, _conflicts(passages, found.get("conflicts")))


def _from_text(question: str, passages: Sequence[Passage], text: str) -> Answer:
    """An answer from prose with numbers in brackets and lines of conflicts.

    Raises:
        ValueError: It is empty.
    """
    claims = [(_without_numbers(line), _cited(line)) for line in _CONFLICT.findall(text)]
    listed = [{"claim": claim, "passages": numbers} for claim, numbers in claims]
    body = _CONFLICT.sub("", text).strip()
    if not body:
        raise ValueError("the answer is empty")
    if _says_not_found(body):
        return _not_found(question)
    sources = _ids(passages, _cited(body))
    return Answer(question, _without_numbers(body), True, sources, _conflicts(passages, listed))


def _conflicts(passages: Sequence[Passage], listed: Any) -> tuple[Claim, ...]:
    """Claims with their sources; less than two that have one are no conflict."""
    claims = [
        Claim(text, sources)
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict)
        and (text := as_text(entry.get("claim")))
        and (sources := _ids(passages, entry.get("passages")))
    ]
    return tuple(claims) if len(claims) > 1 else ()


def _ids(passages: Sequence[Passage], numbers: Any) -> tuple[str, ...]:
    """Ids of the passages with these numbers, from 1; numbers of none are left out."""
    given = numbers if isinstance(numbers, list) else []
    found = [int(n) for number in given if (n := as_text(number)).isdecimal() and len(n) < 5]
    return tuple(dict.fromkeys(passages[n - 1].id for n in found if 1 <= n <= len(passages)))


def _cited(text: str) -> list[int]:
    return [int(n) for group in _CITATION.findall(text) for n in re.findall(r"\d+", group)]


def _without_numbers(text: str) -> str:
    return _CITATION.sub("", text).strip()


def _says_not_found(text: str) -> bool:
    return tokens(text) == tokens(prompts.NOT_FOUND)


def _not_found(question: str) -> Answer:
    return Answer(question, prompts.NOT_FOUND, False)
