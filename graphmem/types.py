"""The values that travel between rooms: frozen, slotted, without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Route = Literal["graph", "dense", "lexical", "fusion"]
"""How a ranking was made."""


@dataclass(frozen=True, slots=True)
class Passage:
    """The unit that is indexed, retrieved and judged.

    Attributes:
        id: Unique and stable in one index.
        text: The body, never empty.
        title: What the passage is about, "" where unknown.
        document: Id of the document it was cut from, "" where it is whole.
        position: Place among the pieces of its document, from 0.
        metadata: Further fields of the source, JSON values, returned with every hit.
        source: Where it was read, "file:line", for error messages only.
    """

    id: str
    text: str
    title: str = ""
    document: str = ""
    position: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Triple:
    """One statement of one passage."""

    subject: str
    predicate: str
    object: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extractor found in one passage: entity names as written, and triples."""

    entities: tuple[str, ...] = ()
    triples: tuple[Triple, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved passage. `score` falls with `rank` (from 1) and compares within one ranking.

    Attributes:
        rank: Its place, from 1.
        score: Its score.
        passage: The best of the passages that have its text.
        copies: Ids of the others of these, sorted: they take no places of their own.
    """

    rank: int
    score: float
    passage: Passage
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """The hits of one question, best first, how they were made, and where the walk started.

    Attributes:
        question: The question.
        route: How the passages were scored.
        hits: The passages; none where no passage has anything of the question.
        entities: What the question names, as far as the index knows it.
        facts: The facts that it started from, in presets that start from facts.
        reranker: Fingerprint of the reranker that ordered the first hits after that, "" for none.
        reranked: How many of the first hits it ordered.
    """

    question: str
    route: Route
    hits: tuple[Hit, ...]
    entities: tuple[str, ...] = ()
    facts: tuple[Triple, ...] = ()
    reranker: str = ""
    reranked: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with a chat model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """All that a chat model is asked.

    Attributes:
        messages: The conversation so far.
        schema: JSON schema of the answer, None for free text.
        max_tokens: The answer is cut off after this many tokens.
        stage: What the call is for ("entities", "triples", "answer"), in the usage ledger only.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 1024
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a chat model answered.

    Attributes:
        text: The answer, "" where the model gave none.
        prompt_tokens: Tokens read, as the server counts, or estimated where it does not say.
        completion_tokens: Tokens written, likewise.
        finish: "stop"; "length" where the answer was cut off; other words are the server's.
        seconds: How long the call took; 0 for an answer from the cache.
        cached: Whether the answer came from the cache and cost nothing now.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str = "stop"
    seconds: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """Money for a million tokens, in any one currency."""

    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement and the ids of the passages that make it."""

    text: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader answered from passages.

    Attributes:
        question: The question.
        text: The answer, concise.
        found: Whether the passages hold it.
        passages: Ids of the passages that it rests on, best first.
        conflicts: Claims of the passages that cannot all be true, with their sources.
    """

    question: str
    text: str
    found: bool
    passages: tuple[str, ...] = ()
    conflicts: tuple[Claim, ...] = ()
