"""Entities and triples by a language model: two calls a passage, as in HippoRAG 2 (2502.14802).

Or two calls for a pack of several short passages; what such an answer leaves out or garbles is
asked for again, passage by passage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeVar

from graphmem.base.text import normalise_phrase
from graphmem.errors import (
    BudgetExceeded,
    ConfigError,
    EndpointError,
    ExtractionError,
    GraphmemError,
    ModelError,
)
from graphmem.extraction.estimate import Estimate, RehearsedChat
from graphmem.extraction.packed_calls import (
    PACKED_TOKENS,
    packed_prompt,
    read_list,
    read_packed,
    read_triple,
)
from graphmem.llm import prompts
from graphmem.llm.prompts import estimate_tokens
from graphmem.llm.structured_output import ask, strings
from graphmem.protocols import ChatModel
from graphmem.types import ChatRequest, Completion, Extraction, Passage, Price, Triple

MOST_ENTITIES: Final = 200
MOST_TRIPLES: Final = 200
LONGEST_NAME: Final = 500
"""No more entities and triples of one passage are kept, and no longer names; others are counted."""

ENTITY_TOKENS: Final = 1024
TRIPLE_TOKENS: Final = 2048
_AHEAD = 2  # passages, or packs, handed out for each thread
_PACKED_LIMIT = 4  # times the length limit of one passage, at most, for a pack

T = TypeVar("T")
Outcome = Extraction | ExtractionError | ModelError


@dataclass(frozen=True, slots=True)
class Counts:
    """What was left out of answers that were otherwise good.

    Attributes:
        malformed: Entries that are no entity or not three strings.
        too_long: Entries with a name longer than `LONGEST_NAME`.
        over_limit: Entries beyond `MOST_ENTITIES` or `MOST_TRIPLES`.
        repaired: Answers that were good only when asked for again.
    """

    malformed: int = 0
    too_long: int = 0
    over_limit: int = 0
    repaired: int = 0


class LlmExtractor:
    """Extractor over any chat model; several passages at once, each alone in its calls.

    Args:
        chat: The model, with a cache before it if nothing is to be paid twice.
        concurrency: Passages, or packs of them, under way at once.
        pack: Short passages in one call. It costs less, since the instructions are sent once for
            all, but what one passage says can then reach the extraction of its neighbours.
        entity_tokens: Length limit of the first answer, for each passage.
        triple_tokens: Length limit of the second.
    """

    def __init__(
        self,
        chat: ChatModel,
        concurrency: int = 8,
        *,
        pack: int = 1,
        entity_tokens: int = ENTITY_TOKENS,
        triple_tokens: int = TRIPLE_TOKENS,
    ) -> None:
        """Take the model.

        Raises:
            ConfigError: A number is below 1.
        """
        if min(concurrency, pack, entity_tokens, triple_tokens) < 1:
            raise ConfigError("concurrency, pack and length limits must be 1 or more")
        self.pack = pack
        self._tokens = entity_tokens, triple_tokens
        self._chat = chat
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._counts = Counts()

    @property
    def fingerprint(self) -> str:
        """The model, its parameters, and the version of prompts and limits."""
        limits = "" if self._tokens == (ENTITY_TOKENS, TRIPLE_TOKENS) else f":{self._tokens}"
        packed = f":packed-{packed_version()}" if self.pack > 1 else ""
        return f"openie:{self._chat.fingerprint}:{prompt_version()}{limits}{packed}"

    @property
    def counts(self) -> Counts:
        """What was left out or repaired so far."""
        return self._counts

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Extract every passage.

        Raises:
            ExtractionError: The model answered one in the wrong shape, twice.
            ModelError: A call failed.
            BudgetExceeded: The budget is used up.
        """
        found: dict[int, Extraction] = {}
        starts = range(0, len(passages), self.pack)
        packs = [passages[start : start + self.pack] for start in starts]
        with closing(self.extract_each(packs)) as results:
            for number, outcomes in results:
                for position, outcome in enumerate(outcomes, start=starts[number]):
                    if isinstance(outcome, GraphmemError):
                        raise outcome
                    found[position] = outcome
        return [found[position] for position in range(len(passages))]

    def extract_each(
        self, packs: Sequence[Sequence[Passage]]
    ) -> Generator[tuple[int, list[Outcome]], None, None]:
        """Number of a pack and the outcomes of its passages, which share calls, as they come.

        One passage's failure is its outcome and loses no other. What stops all is raised, after
        the outcomes of the calls under way.

        Raises:
            BudgetExceeded: The budget is used up.
            EndpointError: Every call would fail alike.
        """
        waiting = iter(range(len(packs)))
        running: dict[Future[list[Outcome]], int] = {}
        stopped: GraphmemError | None = None
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="openie")
        try:
            while True:
                room = self._concurrency * _AHEAD - len(running)
                for number in islice(waiting, 0 if stopped else room):
                    running[pool.submit(self._outcomes, packs[number])] = number
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    error = future.exception()
                    if not isinstance(error, BudgetExceeded | EndpointError):
                        yield number, future.result()
                    elif stopped is None:
                        stopped = error
                if stopped is not None:
                    running = {f: n for f, n in running.items() if not f.cancel()}
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if stopped is not None:
            raise stopped

    def estimate(
        self,
        packs: Sequence[Sequence[Passage]],
        price: Price | None = None,
        tokens_per_second: float = 50.0,
    ) -> Estimate:
        """What extracting these packs will take, without any call: it is rehearsed.

        Args:
            packs: Passages, as they are asked about together.
            price: Of a million tokens, for the cost.
            tokens_per_second: What the model writes in one call, for the time.
        """
        chat = RehearsedChat(self._chat, max(map(len, packs), default=1))
        first, second = self._tokens
        rehearsed = LlmExtractor(chat, pack=self.pack, entity_tokens=first, triple_tokens=second)
        passages = sum(len(rehearsed._outcomes(pack)) for pack in packs)
        return chat.estimate(passages, price, tokens_per_second * self._concurrency)

    def _request(
        self, stage: str, passages: Sequence[Passage], entities: Sequence[Sequence[str]] = ()
    ) -> ChatRequest:
        """What is asked of one passage, or of several at once; for triples given their entities."""
        first = stage == "entities"
        limit = self._tokens[0 if first else 1]
        if len(passages) == 1 and first:
            asked = prompts.entities_prompt(passages[0])
            return ChatRequest(asked, prompts.ENTITIES_SCHEMA, limit, stage)
        if len(passages) == 1:
            asked = prompts.triples_prompt(passages[0], entities[0])
            return ChatRequest(asked, prompts.TRIPLES_SCHEMA, limit, stage)
        asked = packed_prompt(passages, None if first else entities)
        longest = limit * min(len(passages), _PACKED_LIMIT)
        return ChatRequest(asked, prompts.PACKED_SCHEMAS[stage], longest, stage)

    # -- several passages -------------------------------------------------------------------

    def _calls(self, passages: Sequence[Passage]) -> list[list[int]]:
        """Places of those of a pack that share their calls: the short ones, if there are two."""
        sizes = [estimate_tokens(prompts.passage_text(passage)) for passage in passages]
        short = [i for i, size in enumerate(sizes) if size <= PACKED_TOKENS]
        if len(short) < 2:
            return [[i] for i in range(len(passages))]
        return [short, *([i] for i in range(len(passages)) if i not in short)]

    def _outcomes(self, passages: Sequence[Passage]) -> list[Outcome]:
        together = self._calls(passages)[0]
        entities = self._packed("entities", passages, together, (), self._kept_entities)
        given = [entities[i] for i in entities]
        triples = self._packed("triples", passages, list(entities), given, self._kept_triples)
        return [
            self._outcome(passage, entities.get(i), triples.get(i))
            for i, passage in enumerate(passages)
        ]

    def _packed(
        self,
        stage: str,
        passages: Sequence[Passage],
        places: Sequence[int],
        entities: Sequence[Sequence[str]],
        keep: Callable[[list[Any]], T],
    ) -> dict[int, T]:
        """What one call for some of a pack gave, by place; without what it left out or garbled."""
        found: dict[int, T] = {}
        if len(places) < 2:
            return found
        try:
            asked = [passages[i] for i in places]
            answer = self._chat.complete(self._request(stage, asked, entities))
            listed = read_packed(answer.text, stage, len(places))
        except EndpointError:
            raise
        except (ValueError, ModelError):  # they are asked about one by one
            listed = {}
        for number in sorted(listed):
            with suppress(ValueError):
                found[places[number]] = keep(listed[number])
        self._count(repaired=len(places) - len(found))
        return found

    # -- one passage ------------------------------------------------------------------------

    def _outcome(
        self,
        passage: Passage,
        entities: tuple[str, ...] | None = None,
        triples: tuple[Triple, ...] | None = None,
    ) -> Outcome:
        """The extraction of one passage; what is not given is asked for."""
        try:
            if entities is None:
                request = self._request("entities", [passage])
                entities = self._ask(passage, request, self._read_entities)
            if triples is None:
                request = self._request("triples", [passage], [entities])
                triples = self._ask(passage, request, self._read_triples)
        except EndpointError:
            raise
        except ModelError as error:
            return ModelError(f"passage {passage.id}: {error}")
        except ExtractionError as error:
            return error
        return Extraction(entities, triples)

    def _ask(self, passage: Passage, request: ChatRequest, read: Callable[[Completion], T]) -> T:
        try:
            found, repaired = ask(self._chat, request, read)
        except ValueError as error:
            raise ExtractionError(
                f"passage {passage.id}: {self._chat.model} did not give its {request.stage}, "
                f"{error}"
            ) from None
        self._count(repaired=int(repaired))
        return found

    def _read_entities(self, answer: Completion) -> tuple[str, ...]:
        return self._kept_entities(read_list(answer, "entities"))

    def _kept_entities(self, listed: list[Any]) -> tuple[str, ...]:
        names = strings(listed)
        if listed and not names:
            raise ValueError('"entities" holds no strings')
        short = [name for name in names if len(name) <= LONGEST_NAME]
        distinct: dict[str, str] = {}
        for name in short:
            distinct.setdefault(normalise_phrase(name), name)
        distinct.pop("", None)
        kept = tuple(distinct.values())[:MOST_ENTITIES]
        self._count(
            malformed=len(listed) - len(names),
            too_long=len(names) - len(short),
            over_limit=len(distinct) - len(kept),
        )
        return kept

    def _read_triples(self, answer: Completion) -> tuple[Triple, ...]:
        return self._kept_triples(read_list(answer, "triples"))

    def _kept_triples(self, listed: list[Any]) -> tuple[Triple, ...]:
        found = [triple for entry in listed if (triple := read_triple(entry)) is not None]
        if listed and not found:
            raise ValueError('no entry of "triples" is three strings')
        short = [
            t for t in found if max(map(len, (t.subject, t.predicate, t.object))) <= LONGEST_NAME
        ]
        distinct = tuple(dict.fromkeys(short))
        self._count(
            malformed=len(listed) - len(found),
            too_long=len(found) - len(short),
            over_limit=max(0, len(distinct) - MOST_TRIPLES),
        )
        return distinct[:MOST_TRIPLES]

    def _count(self, **more: int) -> None:
        with self._lock:
            added = {name: getattr(self._counts, name) + n for name, n in more.items()}
            self._counts = replace(self._counts, **added)


def prompt_version() -> str:
    """Changes with whatever here decides an extraction beside the model."""
    return prompts.version(
        *(message.content for message in prompts.triples_prompt(Passage("", ""), ())),
        *(message.content for message in prompts.entities_prompt(Passage("", ""))),
        prompts.REPAIR,
        prompts.ENTITIES_SCHEMA,
        prompts.TRIPLES_SCHEMA,
        f"{MOST_ENTITIES} {MOST_TRIPLES} {LONGEST_NAME}",
    )


def packed_version() -> str:
    """The same for packs."""
    empty = [Passage("", ""), Passage("", "")]
    return prompts.version(
        *(m.content for asked in (None, ((), ())) for m in packed_prompt(empty, asked)),
        *prompts.PACKED_SCHEMAS.values(),
        f"{PACKED_TOKENS} {_PACKED_LIMIT}",
    )
