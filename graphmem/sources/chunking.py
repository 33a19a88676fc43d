"""Cutting long texts into passages that an embedder reads whole."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import regex

from graphmem.base.text import sentence_spans
from graphmem.errors import ConfigError
from graphmem.sources.formats import Cut
from graphmem.sources.formats.content import Places
from graphmem.sources.structure import Unit, line_units, markdown_units
from graphmem.types import Passage

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Length of each text in tokens, as `Embedder.count_tokens`."""

Span = tuple[int, int]

SMALLEST_BUDGET = 8
# Some tokenizers make one unknown token of a word of any length; a piece stays readable all the
# same if a token never stands for more characters than this on average.
_CHARACTERS_PER_TOKEN = 32
_BATCH_PASSAGES = 512
_BATCH_CHARACTERS = 2_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """A whole text, what is known of where it stands, and how it may be cut."""

    passage: Passage
    places: Places = ()
    cut: Cut = "markdown"


def cut_passages(
    passages: Iterable[Passage],
    *,
    count_tokens: TokenCounter,
    passage_tokens: int,
    overlap: int = 0,
) -> Iterator[Passage]:
    r"""Cut every passage whose title and text pass the budget; the others stay as they are.

    Texts are cut at sentence ends, and where they have structure as Markdown has it, between list
    items, code blocks and each row of a table; a piece then begins with the headings that it stands
    under and the header of its table, and its metadata has the "headings". A sentence above the
    budget is cut at line ends, else at word ends, and a word above it between characters. Pieces
    are filled from the front, so that an edit changes no piece before it; the last two of a text
    without structure share their sentences when the last would be tiny. The title counts, since it
    is embedded with every piece (`title + "\n" + text`), but takes half of the budget at most.
    Streams: a few hundred passages are held at a time.

    Args:
        passages: Whole texts, in any order.
        count_tokens: Length of each text in the embedder's tokens.
        passage_tokens: Budget of tokens for a title and a text, at least 8.
        overlap: Whole sentences of up to this many tokens are repeated in the next piece.

    Yields:
        Pieces named `f"{id}#{n}"` with position n from 0 and the passage's document, or where it
        has none its id; in the order of the input.

    Raises:
        ConfigError: The budget is too small, or the overlap not below it.

    >>> def count_words(texts):
    ...     return [len(text.split()) for text in texts]
    >>> whole = Passage("ada", "Ada was a countess. She wrote a program. It was the first one.")
    >>> for piece in cut_passages([whole], count_tokens=count_words, passage_tokens=8):
    ...     print(piece.id, piece.text)
    ada#0 Ada was a countess. She wrote a program.
    ada#1 It was the first one.
    """
    documents = (Document(passage) for passage in passages)
    return cut_documents(
        documents, count_tokens=count_tokens, passage_tokens=passage_tokens, overlap=overlap
    )


def cut_documents(
    documents: Iterable[Document],
    *,
    count_tokens: TokenCounter,
    passage_tokens: int,
    overlap: int = 0,
) -> Iterator[Passage]:
    """As `cut_passages`; pieces have their place in the document in their metadata.

    Args:
        documents: Whole texts, in any order.
        count_tokens: As for `cut_passages`.
        passage_tokens: As for `cut_passages`.
        overlap: As for `cut_passages`.

    Raises:
        ConfigError: As for `cut_passages`.
    """
    if passage_tokens < SMALLEST_BUDGET:
        raise ConfigError(f"passage_tokens is {passage_tokens}, at least {SMALLEST_BUDGET} needed")
    if not 0 <= overlap < passage_tokens:
        raise ConfigError(
            f"overlap is {overlap}, it must be at least 0 and below passage_tokens {passage_tokens}"
        )
    return _cut_all(documents, count_tokens, passage_tokens, overlap)


def _cut_all(
    documents: Iterable[Document], count_tokens: TokenCounter, budget: int, overlap: int
) -> Iterator[Passage]:
    special = count_tokens([""])[0]  # tokens that the model adds to every text
    for batch in _batches(documents):
        fits = _fit([document.passage for document in batch], count_tokens, budget, special)
        for document, fit in zip(batch, fits, strict=True):
            if fit:
                yield _placed(document, document.passage, 0)
            else:
                yield from _cut(document, count_tokens, budget, overlap, special)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.passage.text)
        if len(batch) >= _BATCH_PASSAGES or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _prefix(passage: Passage) -> str:
    return f"{passage.title}\n" if passage.title else ""


def _fit(
    batch: Sequence[Passage], count_tokens: TokenCounter, budget: int, special: int
) -> list[bool]:
    """Whether each passage is within the budget, counting only where the length leaves doubt."""
    fits = []
    doubtful: dict[int, str] = {}
    for row, passage in enumerate(batch):
        text = _prefix(passage) + passage.text
        # No tokenizer makes more than one token of an ASCII character; other characters may be
        # taken apart into bytes or letters and marks.
        short = len(text) + special + 1 <= budget and text.isascii()
        if not short and len(passage.text) <= budget * _CHARACTERS_PER_TOKEN:
            doubtful[row] = text
        fits.append(short)
    if doubtful:
        counts = count_tokens(list(doubtful.values()))
        for row, count in zip(doubtful, counts, strict=True):
            fits[row] = count <= budget
    return fits


def _cut(
    document: Document, count_tokens: TokenCounter, budget: int, overlap: int, special: int
) -> Iterator[Passage]:
    passage = document.passage
    prefix = _prefix(passage)
    title_tokens = count_tokens([prefix])[0] - special if prefix else 0
    if title_tokens > budget // 2:
        prefix, title_tokens, budget = "", 0, budget - budget // 2
    room = max(1, budget - special - title_tokens)

    def cost(texts: Sequence[str]) -> list[int]:
        counts = count_tokens(texts)
        return [
            max(1, count - special, -(-len(text) // _CHARACTERS_PER_TOKEN))
            for text, count in zip(texts, counts, strict=True)
        ]

    def count_with_title(texts: Sequence[str]) -> list[int]:
        return count_tokens([prefix + text for text in texts])

    text = passage.text
    structure = _structure(document)
    if structure:
        cut = _Structured(text, structure, room, cost, overlap)
        ranges = cut.verified(count_with_title, budget)
        pieces = [(cut.units[first].start, cut.text_of(first, end)) for first, end in ranges]
        headings = [cut.path(first, end) for first, end in ranges]
    else:
        spans, costs = _units(text, room, cost)
        packed = _pack(costs, room, overlap)
        ranges = _in_order(_verify(text, spans, packed, count_with_title, budget))
        pieces = [
            (spans[first][0], text[spans[first][0] : spans[end - 1][1]]) for first, end in ranges
        ]
        headings = [()] * len(pieces)
    if len(pieces) == 1:
        yield _placed(document, replace(passage, text=pieces[0][1]), 0)
        return
    for position, ((start, piece), over) in enumerate(zip(pieces, headings, strict=True)):
        yield _placed(
            document,
            replace(
                passage,
                id=f"{passage.id}#{position}",
                text=piece,
                document=passage.document or passage.id,
                position=position,
            ),
            start,
            [line.lstrip("#").split("\n")[0].strip(" \t#") for line in over],
            cut=True,
        )


def _structure(document: Document) -> list[Unit]:
    if document.cut == "lines":
        return line_units(document.passage.text)
    return markdown_units(document.passage.text) if document.cut == "markdown" else []


def _placed(
    document: Document,
    passage: Passage,
    start: int,
    headings: Sequence[str] = (),
    cut: bool = False,
) -> Passage:
    """The passage with what is known of the place of its first character in its metadata."""
    known: dict[str, Any] = {}
    if headings:
        known["headings"] = list(headings)
    row = bisect_right(document.places, start, key=lambda place: place[0]) - 1
    if row >= 0:
        at, fields = document.places[row]
        known |= fields
        if "line" in known:
            known["line"] += document.passage.text.count("\n", at, start)
            if not cut:
                del known["line"]  # a whole text begins where its file does
    if not known:
        return passage
    return replace(passage, metadata={**known, **passage.metadata})


class _Structured:
    """Pieces of a text that has headings, tables, lists, code or lines."""

    def __init__(
        self,
        text: str,
        units: list[Unit],
        room: int,
        cost: Callable[[Sequence[str]], list[int]],
        overlap: int,
    ) -> None:
        self._text = text
        self._room = room
        self._cost = cost
        self._overlap = overlap
        self._contexts: dict[tuple[tuple[str, ...], str], tuple[str, int]] = {}
        costs = cost([text[unit.start : unit.end] for unit in units])
        # A part that is cut may stand alone: its context must leave room for half a piece.
        self.units, self.costs = self._refined(units, costs)

    def _refined(self, units: Sequence[Unit], costs: Sequence[int]) -> tuple[list[Unit], list[int]]:
        """Units that pass what their context leaves are cut into smaller ones."""
        fine: list[Unit] = []
        fine_costs: list[int] = []
        for unit, cost in zip(units, costs, strict=True):
            room = self._room - self._context(unit)[1]
            if cost <= room:
                fine.append(unit)
                fine_costs.append(cost)
                continue
            part = self._text[unit.start : unit.end]
            if unit.kind in ("code", "row"):
                spans = [match.span() for match in regex.finditer(r"[^\n]*\S", part)]
                spans, parts = _finer(part, spans, self._cost, room)
            else:
                spans, parts = _units(part, room, self._cost)
            kind = "text" if unit.kind == "head" else unit.kind
            fine += [
                replace(unit, start=unit.start + a, end=unit.start + b, kind=kind) for a, b in spans
            ]
            fine_costs += parts
        return fine, fine_costs

    def _context(self, unit: Unit) -> tuple[str, int]:
        """What a piece that begins with this unit repeats before it, and its cost."""
        key = (unit.headings, unit.header)
        if key not in self._contexts:
            headings = list(unit.headings)
            while True:
                context = "\n\n".join([*headings, unit.header] if unit.header else headings)
                if not context:
                    self._contexts[key] = ("", 0)
                    break
                (cost,) = self._cost([context])
                if cost <= self._room // 2:
                    self._contexts[key] = (context + ("\n" if unit.header else "\n\n"), cost)
                    break
                if not headings:
                    self._contexts[key] = ("", 0)
                    break
                del headings[0]
        return self._contexts[key]

    def text_of(self, first: int, end: int) -> str:
        """The text of a piece, after what it stands under."""
        unit = self.units[first]
        return self._context(unit)[0] + self._text[unit.start : self.units[end - 1].end]

    def path(self, first: int, end: int) -> tuple[str, ...]:
        """The headings that the first text of a piece stands under, those of the piece too."""
        body = next((row for row in range(first, end) if not self._is_section(row)), None)
        if body is not None:
            return self.units[body].headings
        last = self.units[end - 1]
        return (*last.headings, self._text[last.start : last.end])

    def _ranges(self) -> Iterator[Span]:
        units, costs = self.units, self.costs
        start = 0
        while start < len(units):
            room = self._room - self._context(units[start])[1]
            used, end = costs[start], start + 1
            while end < len(units) and used + costs[end] <= room:
                if units[end - 1].kind == "row" and not self._is_one_row(end):
                    break  # names of one row are lost among those of many others
                if self._is_section(end) and used >= room // 2:
                    break
                used += costs[end]
                end += 1
            while end < len(units) and end - start > 1 and units[end - 1].kind == "head":
                end -= 1
            yield start, end
            start = self._next(start, end)

    def _is_one_row(self, row: int) -> bool:
        """Whether a unit goes on with the row before it, which was cut."""
        unit = self.units[row]
        return unit.kind == "row" and "\n" not in self._text[self.units[row - 1].end : unit.start]

    def _is_section(self, row: int) -> bool:
        unit = self.units[row]
        return unit.kind == "head" and self._text[unit.start] != "|"

    def _next(self, start: int, end: int) -> int:
        """Where the next piece begins: before `end` where sentences are repeated."""
        if end == len(self.units):
            return end
        back, used = end, 0
        while (
            back - 1 > start
            and self.units[back - 1].kind in ("text", "line")
            and self.units[back - 1].headings == self.units[end].headings
            and used + self.costs[back - 1] <= self._overlap
        ):
            back -= 1
            used += self.costs[back]
        return back

    def verified(self, count: TokenCounter, budget: int) -> list[Span]:
        """The ranges of units that are pieces; those that cost too much together are halved."""
        ranges = list(self._ranges())
        checked: list[Span] = []
        while ranges:
            counts = count([self.text_of(*piece) for piece in ranges])
            again: list[Span] = []
            for (first, end), tokens in zip(ranges, counts, strict=True):
                if tokens <= budget or end - first == 1:
                    checked.append((first, end))
                else:
                    middle = (first + end) // 2
                    again += [(first, middle), (middle, end)]
            ranges = again
        return _in_order(sorted(checked))


def _units(
    text: str, room: int, cost: Callable[[Sequence[str]], list[int]]
) -> tuple[list[Span], list[int]]:
    """Spans of the smallest parts to pack and their costs: sentences, where they are not too long.

    A part is counted with the white space before it, as tokenizers that keep it do.
    """
    return _finer(text, sentence_spans(text), cost, room)


def _finer(
    text: str, spans: list[Span], cost: Callable[[Sequence[str]], list[int]], room: int
) -> tuple[list[Span], list[int]]:
    """The spans, and in place of those that cost more than `room` smaller ones."""
    some = max(1, room // 16)
    finer = [
        r"\S(?:[^\n]*\S)?",  # lines
        r"\S+",  # words
        rf"\X{{1,{some}}}",  # whole characters with their marks
        rf"(?s:.{{1,{some}}})",  # a character with hundreds of marks
        r"(?s:.)",
    ]
    costs = cost(_parts(text, spans, spans[0][0]))
    for pattern in finer:
        if max(costs) <= room:
            break
        spans, costs = _refine(text, spans, costs, regex.compile(pattern), room, cost)
    return spans, costs


def _parts(text: str, spans: Sequence[Span], start: int) -> list[str]:
    starts = [start, *(end for _, end in spans[:-1])]
    return [text[start:end] for start, (_, end) in zip(starts, spans, strict=True)]


def _refine(
    text: str,
    spans: Sequence[Span],
    costs: Sequence[int],
    pattern: regex.Pattern[str],
    room: int,
    cost: Callable[[Sequence[str]], list[int]],
) -> tuple[list[Span], list[int]]:
    """Replace the spans that cost more than `room` by the pattern's matches inside them."""
    new_spans: list[Span] = []
    new_costs: list[int] = []
    for span, old_cost in zip(spans, costs, strict=True):
        if old_cost <= room:
            new_spans.append(span)
            new_costs.append(old_cost)
            continue
        parts = [match.span() for match in pattern.finditer(text, *span)]
        before = new_spans[-1][1] if new_spans else span[0]
        new_costs += [old_cost] if len(parts) == 1 else cost(_parts(text, parts, before))
        new_spans += parts
    return new_spans, new_costs


def _pack(costs: Sequence[int], room: int, overlap: int) -> list[Span]:
    """Ranges [first, end) of parts, each within `room` where a single part does not pass it.

    >>> _pack([4, 4, 4, 4, 1], room=8, overlap=0)
    [(0, 2), (2, 3), (3, 5)]
    >>> _pack([2, 2, 2, 2, 2, 2], room=6, overlap=2)
    [(0, 3), (2, 5), (4, 6)]
    """
    starts: list[int] = []
    firsts: list[int] = []
    start = 0
    while start < len(costs):
        floor = firsts[-1] + 1 if firsts else start
        first, used = _carry(costs, start, floor, min(overlap, room - costs[start]))
        starts.append(start)
        firsts.append(first)
        used += costs[start]
        start += 1
        while start < len(costs) and used + costs[start] <= room:
            used += costs[start]
            start += 1
    if len(starts) > 1:
        border, tail = _balance(costs, starts[-2], starts[-1], room)
        if border < starts[-1]:
            starts[-1] = border
            floor = firsts[-2] + 1
            firsts[-1], _ = _carry(costs, border, floor, min(overlap, room - tail))
    return list(zip(firsts, [*starts[1:], len(costs)], strict=True))


def _carry(costs: Sequence[int], start: int, floor: int, allowed: int) -> tuple[int, int]:
    """First part to repeat before `start`, not before `floor`, and what the repeated ones cost."""
    used = 0
    while start > floor and used + costs[start - 1] <= allowed:
        start -= 1
        used += costs[start]
    return start, used


def _balance(costs: Sequence[int], before: int, start: int, room: int) -> tuple[int, int]:
    """New start of the last piece, earlier if it is tiny, and the cost of what it holds."""
    tail, head = sum(costs[start:]), sum(costs[before:start])
    if tail * 4 < room:
        while start - before > 1 and tail + costs[start - 1] <= min(room, head):
            start -= 1
            tail += costs[start]
            head -= costs[start]
    return start, tail


def _verify(
    text: str, spans: Sequence[Span], pieces: Sequence[Span], count: TokenCounter, budget: int
) -> list[Span]:
    """Halve the pieces that cost more than the sum of their parts, as cut words may."""
    counts = count([text[spans[first][0] : spans[end - 1][1]] for first, end in pieces])
    checked: list[Span] = []
    for (first, end), tokens in zip(pieces, counts, strict=True):
        if tokens <= budget or end - first == 1:
            checked.append((first, end))
        else:
            middle = (first + end) // 2
            checked += _verify(text, spans, [(first, middle), (middle, end)], count, budget)
    return checked


def _in_order(pieces: Sequence[Span]) -> list[Span]:
    """Drop and shorten repeated parts so that every piece begins and ends after the one before.

    >>> _in_order([(0, 4), (2, 4), (4, 5), (3, 7)])
    [(0, 4), (4, 5), (5, 7)]
    """
    ordered: list[Span] = []
    for first, end in pieces:
        if not ordered:
            ordered.append((first, end))
        elif end > ordered[-1][1]:
            ordered.append((max(first, ordered[-1][0] + 1), end))
    return ordered
