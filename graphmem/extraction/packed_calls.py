"""Asking a model about several passages at once, and reading what it answered, with patience."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphmem.llm import prompts
from graphmem.llm.prompts import as_json, numbered, with_names
from graphmem.llm.structured_output import as_text, parse_object
from graphmem.types import Completion, Message, Passage, Triple

PACKED_TOKENS: Final = 400
"""A passage that is longer than about so many tokens is extracted alone."""


def packed_prompt(
    passages: Sequence[Passage], entities: Sequence[Sequence[str]] | None = None
) -> tuple[Message, ...]:
    """Ask for the named entities of several passages; given those, for the statements of each."""
    shown = [passage for passage, _, _ in prompts.PACKED_EXAMPLE]
    names = [found for _, found, _ in prompts.PACKED_EXAMPLE]
    if entities is None:
        answer = [{"number": i, "entities": found} for i, found in enumerate(names, start=1)]
        turns = [(numbered(shown), as_json({"passages": answer}))]
        return prompts.conversation(prompts.PACKED_ENTITIES, turns, numbered(passages))
    stated = [
        {"number": i, "triples": found}
        for i, (_, _, found) in enumerate(prompts.PACKED_EXAMPLE, start=1)
    ]
    turns = [(_with_all_names(shown, names), as_json({"passages": stated}))]
    asked = _with_all_names(passages, entities)
    return prompts.conversation(prompts.PACKED_TRIPLES, turns, asked)


def _with_all_names(passages: Sequence[Passage], names: Sequence[Sequence[str]]) -> str:
    parts = zip(passages, names, strict=True)
    return "\n\n".join(
        f"Passage {number}\n{with_names(*part)}" for number, part in enumerate(parts, start=1)
    )


def read_packed(text: str, key: str, count: int) -> dict[int, list[Any]]:
    """The list under `key` of every passage, by its place from 0; what is unclear is left out.

    Entries are taken as a list of objects with a number, or as an object whose keys are numbers. A
    number that is none of 1 to `count`, or that comes twice, tells nothing.

    Raises:
        ValueError: There is no such JSON.

    >>> read_packed('{"passages": [{"number": 2, "entities": ["Ada"]}]}', "entities", 2)
    {1: ['Ada']}
    >>> read_packed('{"passages": {"1": ["Ada"], "7": []}}', "entities", 2)
    {0: ['Ada']}
    """
    value = parse_object(text, "passages")["passages"]
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = [(e.get("number"), e) for e in value if isinstance(e, dict)]
    else:
        raise ValueError('"passages" is no list')
    found: dict[int, list[Any]] = {}
    seen: set[int] = set()
    for number, entry in entries:
        place = _place(number, count)
        listed = entry.get(key) if isinstance(entry, dict) else entry
        if place is None:
            continue
        if place in seen:
            found.pop(place, None)
        elif isinstance(listed, list):
            found[place] = listed
        seen.add(place)
    return found


def _place(number: Any, count: int) -> int | None:
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 9:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= count:
        return None
    return number - 1


def read_triple(entry: Any) -> Triple | None:
    """A triple from a list of three strings or numbers, or an object of such; None for others.

    >>> read_triple(["Ada", "born in", 1815])
    Triple(subject='Ada', predicate='born in', object='1815')
    >>> read_triple(["Ada", "born"]) is None
    True
    """
    if isinstance(entry, dict):
        entry = [entry.get(name) for name in ("subject", "predicate", "object")]
    if not isinstance(entry, list) or len(entry) != 3:
        return None
    parts = [as_text(part) for part in entry]
    return Triple(*parts) if all(parts) else None


def read_list(answer: Completion, key: str) -> list[Any]:
    """The list under `key` in an answer.

    Raises:
        ValueError: There is none.
    """
    value = parse_object(answer.text, key)[key]
    if not isinstance(value, list):
        raise ValueError(f'"{key}" is no list')
    return value
