"""The contracts that adapters fulfil: structural, sequence in, so that batching is theirs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from graphmem.errors import ExtractionError, ModelError
from graphmem.types import ChatRequest, Completion, Extraction, Passage, Triple

TextKind = Literal["passage", "question"]

Progress = Callable[[str, int, int], None]
"""Told of a stage, how much of it is done, and of how much; 0 where the whole is not known."""


@runtime_checkable
class Extractor(Protocol):
    """Finds the entities (and facts) of passages."""

    @property
    def fingerprint(self) -> str:
        """Name and version of whatever decides the result; stored with every extraction."""
        ...

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Extract every passage alone: a result never depends on its neighbours in the batch.

        Answers one `Extraction` for each passage, of strings that UTF-8 can hold; anything else is
        refused before it is stored.
        """
        ...


@runtime_checkable
class EachExtractor(Protocol):
    """An extractor whose passages succeed or fail one by one; it has threads of its own."""

    @property
    def fingerprint(self) -> str:
        """As for `Extractor`."""
        ...

    @property
    def pack(self) -> int:
        """How many passages are best asked about together; 1 where each is alone."""
        ...

    def extract_each(
        self, packs: Sequence[Sequence[Passage]]
    ) -> Generator[tuple[int, Sequence[Extraction | ExtractionError | ModelError]], None, None]:
        """Number of a pack and the outcomes of its passages, in any order of packs.

        Passages of one pack share what is asked; a pack is read when its turn comes.

        Raises:
            BudgetExceeded: The budget is used up; after the outcomes of the calls under way.
            EndpointError: Every call would fail alike; likewise.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors, of which the direction counts.

    Whatever it answers passes `embedding.checked.checked_vectors`: numbers, finite, one vector for
    each text, all of one width. A vector of another length than 1 is scaled to 1, since texts are
    compared by their cosine; a vector of zeros has no direction and is refused.
    """

    @property
    def fingerprint(self) -> str:
        """Name and version of whatever decides the vectors; stored with the index."""
        ...

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text it reads; the rest is ignored."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of each text in this model's tokens, without truncation."""
        ...

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """Vectors, float32 [len(texts), d]; a vector never depends on the rest of the batch.

        May be called by two threads at once: the next questions while these are ranked.

        Raises:
            ModelError: The model cannot be loaded or did not answer.
        """
        ...


@runtime_checkable
class Reranker(Protocol):
    """Reads the question beside each text, which is slower and knows more than two vectors."""

    @property
    def fingerprint(self) -> str:
        """Name and version of whatever decides the scores; stored with results."""
        ...

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers, float32 [len(texts)], finite, the larger the better.

        The scores of one question compare with each other only; each depends on its own text and
        the question alone. What a model cannot read of a long text is left out.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        ...


@runtime_checkable
class Threaded(Protocol):
    """An embedder whose number of threads can be set, as worker processes want it."""

    def with_threads(self, threads: int | None) -> Embedder:
        """The same embedder with `threads` threads for one text; the vectors stay the same."""
        ...


@runtime_checkable
class Fetched(Protocol):
    """An embedder whose weights may have to be fetched first."""

    def fetch(self, progress: Progress | None = None) -> None:
        """Fetch what is missing; told in bytes.

        Raises:
            ModelError: It cannot be fetched; says what to do.
        """
        ...


@runtime_checkable
class ChatModel(Protocol):
    """A language model that answers conversations; safe to use from several threads."""

    @property
    def model(self) -> str:
        """The model's name, as the usage ledger shows it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Model and parameters: all that decides an answer beside the request; no secrets."""
        ...

    def complete(self, request: ChatRequest) -> Completion:
        """Answer.

        Raises:
            ModelError: The call failed after its retries, or the answer is unreadable.
            EndpointError: Every call would fail alike.
            BudgetExceeded: The call was not made, for it could pass the budget.
        """
        ...

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """Answer piece by piece; the generator's return value is the whole.

        Raises:
            ModelError: As for `complete`, also in the middle.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A chat model that keeps answers, and can drop one that proved useless."""

    def kept(self, request: ChatRequest) -> Completion | None:
        """The answer that is kept, None where there is none; nothing is asked or counted."""
        ...

    def forget(self, request: ChatRequest) -> None:
        """Ask anew when the same request comes again."""
        ...


@runtime_checkable
class FactFilter(Protocol):
    """Recognition memory: chooses, among the facts nearest to a question, those that matter."""

    def keep(
        self, questions: Sequence[str], facts: Sequence[Sequence[Triple]]
    ) -> list[Sequence[int]]:
        """For every question the positions of the facts to keep, in any order; none is an answer.

        Raises:
            ModelError: The model cannot be asked; never an empty answer in its place.
        """
        ...
