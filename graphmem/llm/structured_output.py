"""The JSON object in what a model wrote: parsed as data, never evaluated, never guessed at.

Code fences, prose around it, thoughts before it and trailing commas are forgiven. What is cut
off in the middle is not: half an answer is no answer, and the model is asked once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from graphmem.llm.prompts import REPAIR
from graphmem.protocols import ChatModel, Remembering
from graphmem.types import ChatRequest, Completion, Message

T = TypeVar("T")

LONGEST = 200_000
"""Characters of an answer that are looked at; a longer one is refused."""

_QUOTED = 200  # characters of a bad answer that an error shows
_SHOWN = 2000  # and that the model is shown again
_STARTS = 50  # places where an object may begin that are tried
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_THINK = "<think"
_THOUGHT_END = re.compile(r"</think(?:ing)?>")
_LONGEST_END = len("</thinking>")
# A string is taken whole, so that a comma inside one stays.
_STRING_OR_COMMA = re.compile(r'(?<!\\)"(?:[^"\\]|\\.)*+"|,(?=\s*[\]}])', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)


def ask(chat: ChatModel, request: ChatRequest, read: Callable[[Completion], T]) -> tuple[T, bool]:
    """Ask; where `read` raises ValueError, show the model its answer and ask once more.

    Both answers stay in a cache, so that a killed run asks for neither again; they are forgotten
    when the second is no better, so that the next run asks anew.

    Returns:
        What was read, and whether that took a second call.

    Raises:
        ValueError: The second answer cannot be read either; says why, and how it begins.
        ModelError: A call failed.
    """
    answer = chat.complete(request)
    try:
        return read(answer), False
    except ValueError as error:
        reason = _reason(answer, error)
    said = Message("assistant", answer.text[:_SHOWN] or "(nothing)")
    complaint = Message("user", REPAIR.format(error=reason))
    again = replace(request, messages=(*request.messages, said, complaint))
    answer = chat.complete(again)
    try:
        return read(answer), True
    except ValueError as error:
        reason = _reason(answer, error)
    if isinstance(chat, Remembering):
        chat.forget(again)
        chat.forget(request)
    shown = " ".join(answer.text.split())[:_QUOTED]
    raise ValueError(f"asked twice: {reason}; it answered {shown!r}")


def _reason(answer: Completion, error: ValueError) -> str:
    if answer.finish == "length":
        return "it was cut off at its length limit, give fewer entries"
    return str(error)


def without_thoughts(text: str) -> str:
    """Text without the thinking that some models put before their answer.

    >>> without_thoughts("<think>Hm.</think>Ada.")
    'Ada.'
    """
    last = max((end.end() for end in _THOUGHT_END.finditer(text)), default=0)
    return (_THOUGHT.sub("", text[:last]) + text[last:]).strip()  # none is sought without an end


def visible(pieces: Generator[str, None, T]) -> Generator[str, None, T]:
    r"""Pieces of an answer as they come, without the thinking before it.

    >>> "".join(visible(piece for piece in ("<thi", "nk>Hm", ".</think>", "\nAda", ".")))
    'Ada.'
    """
    held, thinking = "", True
    with closing(pieces):
        while True:
            try:
                piece = next(pieces)
            except StopIteration as stop:
                if thinking and held:
                    yield without_thoughts(held)
                result: T = stop.value
                return result
            if not thinking:
                yield piece
                continue
            held = (held + piece).lstrip()
            ended = _THOUGHT_END.search(held, max(0, len(held) - len(piece) - _LONGEST_END))
            thought = _THOUGHT.match(held) if ended else None
            if thought:
                held = held[thought.end() :].lstrip()
            if held and not _THINK.startswith(held[: len(_THINK)]):
                thinking = False
                yield held


def parse_object(text: str, key: str) -> dict[str, Any]:
    """The first JSON object in `text` that has `key`; a bare list is taken for the key's value.

    Raises:
        ValueError: There is none; says what is wrong.

    >>> parse_object('Here you are: ```json {"entities": ["Ada",],}```', "entities")
    {'entities': ['Ada']}
    >>> parse_object('["Ada"]', "entities")
    {'entities': ['Ada']}
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text)} characters, more than {LONGEST}")
    text = without_thoughts(text)
    if not text:
        raise ValueError("the answer is empty")
    reason = "no JSON in it"
    for candidate in (text, _without_trailing_commas(text)):
        bare: list[Any] | None = None
        for value in _values(candidate):
            if isinstance(value, str):
                reason = value
            elif isinstance(value, dict) and key in value:
                return value
            elif isinstance(value, list) and bare is None:
                bare = value
            elif isinstance(value, dict):
                reason = f'the JSON object has no "{key}"'
        if bare is not None and candidate.lstrip("`json \n").startswith("["):
            return {key: bare}
    raise ValueError(reason)


def _values(text: str) -> Iterator[dict[str, Any] | list[Any] | str]:
    """Objects and lists in a text, the outermost of each place; why, where one breaks off."""
    position = 0
    for _ in range(_STARTS):
        found = re.compile(r"[{\[]").search(text, position)
        if found is None:
            return
        try:
            value, position = _DECODER.raw_decode(text, found.start())
        except json.JSONDecodeError as error:
            position = found.start() + 1
            yield f"the JSON is broken after character {error.pos}: {error.msg}"
        except RecursionError:
            yield "the JSON is nested too deeply"
            return
        else:
            yield value


def _without_trailing_commas(text: str) -> str:
    return _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], text)


def strings(value: Any) -> list[str]:
    """The non-empty strings and numbers of a list, as strings; what else it holds is left out.

    >>> strings(["Ada", " ", 1843, None, ["x"]])
    ['Ada', '1843']
    """
    if not isinstance(value, list):
        return []
    return [text for item in value if (text := as_text(item))]


def as_text(value: Any) -> str:
    """A string or number as one line of text; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return " ".join(storable(str(value)).split())


def storable(text: str) -> str:
    r"""Text without lone surrogates, which have no UTF-8, and without NUL.

    >>> storable("a\ud800\0b")
    'a? b'
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
