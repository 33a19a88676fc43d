"""What an extraction will take, found by rehearsing it: every call is counted, none is made."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from graphmem.errors import ModelError
from graphmem.llm.prompts import as_json, estimate_tokens, request_tokens
from graphmem.llm.wrapper import ChatWrapper
from graphmem.protocols import ChatModel, Remembering
from graphmem.types import ChatRequest, Completion, Price

# Tokens written for a token of the passage; GPT-3.5 wrote 0.33 and 1.11 on MuSiQue.
_WRITTEN: Final = {"entities": 0.35, "triples": 1.2}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an extraction will take, before anything is spent.

    Attributes:
        passages: How many would be extracted.
        calls: Calls to the model, where no answer must be asked for again.
        prompt_tokens: Tokens sent, by four characters to a token.
        completion_tokens: Tokens written, assumed in proportion to the passages' length.
        cost: Money, None without a price.
        seconds: Time, by an assumed speed of the model.
    """

    passages: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    seconds: float


class RehearsedChat(ChatWrapper):
    """A chat model that gives the answers that are kept, and counts the calls for all others.

    Those get an answer in which nothing is found.

    Args:
        chat: Who would be asked.
        pack: How many passages one request is about at most.
    """

    def __init__(self, chat: ChatModel, pack: int) -> None:
        """Count from 0."""
        super().__init__(chat)
        self._kept = chat.kept if isinstance(chat, Remembering) else lambda request: None
        self._calls = 0
        self._sent = self._written = 0.0
        nothing: dict[str, list[str]] = {stage: [] for stage in _WRITTEN}
        passages = [{"number": number, **nothing} for number in range(1, pack + 1)]
        self._answer = Completion(as_json({**nothing, "passages": passages}))

    def complete(self, request: ChatRequest) -> Completion:
        """The answer that is kept; else one is made up and the call counted."""
        kept = self._kept(request)
        if kept is not None:
            return kept
        size = estimate_tokens(request.messages[-1].content)
        written = min(request.max_tokens, 8 + _WRITTEN[request.stage] * size)
        self._calls += 1
        self._written += written
        # The names of the first answer are sent with the second request.
        self._sent += request_tokens(request) + (written if request.stage == "entities" else 0)
        return self._answer

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """No rehearsal streams.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.model}: a rehearsal answers no stream")
        yield ""

    def estimate(self, passages: int, price: Price | None, tokens_per_second: float) -> Estimate:
        """What was counted.

        Args:
            passages: How many were rehearsed.
            price: Of a million tokens, None for no cost.
            tokens_per_second: What all calls under way write together.
        """
        sent, written = round(self._sent), round(self._written)
        cost = None
        if price is not None:
            cost = (sent * price.prompt + written * price.completion) / 1_000_000
        seconds = written / tokens_per_second
        return Estimate(passages, self._calls, sent, written, cost, seconds)
