"""Searches led by a chat model: the method of a variant, the model of an experiment, its costs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from graphmem.answering.chat_session import (
    METHODS,
    MODEL_VARIABLE,
    STEPS,
    ChatSettings,
    Language,
    Method,
)
from graphmem.errors import ConfigError
from graphmem.evaluation.runs.recorded import ModelUse, Paid, Tokens
from graphmem.llm.response_cache import CachedChat
from graphmem.llm.usage import cost, parse_budget
from graphmem.llm.wrapper import ChatWrapper
from graphmem.protocols import ChatModel, Remembering
from graphmem.types import ChatRequest, Completion, Price

ANSWERS: Final = "answers.sqlite"
"""File of a results folder with all that its models answered."""

CHAT_KEYS: Final[Mapping[str, type]] = {
    "model": str,
    "threads": int,
    "budget": str,
    "price": list,
}
"""Keys of an experiment file about its chat model."""


@dataclass(frozen=True, slots=True)
class IterateOptions:
    """How the searches of a variant are led.

    Attributes:
        method: One of `language.METHODS`.
        steps: Sentences at most, for "ircot"; 0 for the others.
    """

    method: Method
    steps: int


def read_iterate(item: Mapping[str, Any]) -> IterateOptions | None:
    """The method of one of 'variants' in an experiment file; None where it names none.

    Raises:
        ConfigError: There is no such method, or 'steps' is out of range or goes with another.
    """
    method = item.get("method")
    if "steps" in item and method != "ircot":
        raise ConfigError("'variants.steps' goes with method = \"ircot\"")
    if method is None:
        return None
    if method not in METHODS:
        raise ConfigError(
            f"'variants.method' cannot be {method!r}: choose from {', '.join(METHODS)}"
        )
    steps = item.get("steps", STEPS) if method == "ircot" else 0
    if method == "ircot" and steps < 1:
        raise ConfigError(f"'variants.steps' must be 1 or more, not {steps}")
    return IterateOptions(method, steps)


def read_chat(table: Mapping[str, Any]) -> tuple[ChatSettings, Price | None]:
    """Model, threads, budget and price of an experiment file.

    Raises:
        ConfigError: A value is malformed or out of range.
    """
    threads = table.get("threads", 8)
    if threads < 1:
        raise ConfigError(f"'threads' must be 1 or more, not {threads}")
    price = _price(table["price"]) if "price" in table else None
    try:
        budget = parse_budget(table["budget"], price) if "budget" in table else None
    except ConfigError as error:
        raise ConfigError(f"'budget': {error}") from error
    return ChatSettings(table.get("model", ""), threads, budget=budget), price


def _price(pair: list[Any]) -> Price:
    numbers = [n for n in pair if isinstance(n, int | float) and not isinstance(n, bool)]
    if len(pair) != 2 or len(numbers) != 2 or not all(0 <= n < 1e9 for n in numbers):
        raise ConfigError(
            f"'price' must be [IN, OUT], money for a million tokens: [0.15, 0.60], not {pair}"
        )
    return Price(*map(float, numbers))


def open_chat(settings: ChatSettings, out: Path) -> CachedChat:
    """The chat model of an experiment, with its answers kept in the results folder.

    Raises:
        ConfigError: None is named.
    """
    try:
        return Language(out / ANSWERS, settings).answering
    except ConfigError as error:
        raise ConfigError(
            f"'variants.method' needs a chat model: name it by 'model', or set {MODEL_VARIABLE}; "
            "the server's address is OPENAI_BASE_URL, the key OPENAI_API_KEY"
        ) from error


class CountingChat(ChatWrapper):
    """A chat model that counts calls and tokens: of all, and of those that no cache answered."""

    def __init__(self, chat: ChatModel) -> None:
        """Stand before `chat`."""
        super().__init__(chat)
        self._lock = Lock()
        self.calls = 0
        self.tokens = Tokens()
        self.paid = Paid()

    def complete(self, request: ChatRequest) -> Completion:
        """As the model answers."""
        found = self._chat.complete(request)
        with self._lock:
            self.calls += 1
            read, written = found.prompt_tokens, found.completion_tokens
            self.tokens = Tokens(self.tokens.prompt + read, self.tokens.completion + written)
            if not found.cached:
                paid = self.paid
                self.paid = Paid(paid.prompt + read, paid.completion + written, paid.calls + 1)
        return found

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """As the model answers; not counted, for nothing here streams."""
        return self._chat.stream(request)

    def kept(self, request: ChatRequest) -> Completion | None:
        """The answer that is kept behind; not counted."""
        return self._chat.kept(request) if isinstance(self._chat, Remembering) else None

    def forget(self, request: ChatRequest) -> None:
        """Ask anew when the same request comes again."""
        if isinstance(self._chat, Remembering):
            self._chat.forget(request)

    def use(self, price: Price | None) -> ModelUse:
        """What the calls took, also where a cache gave the answers; what was paid now beside it."""
        return ModelUse(
            model=self.model,
            tokens=self.tokens,
            calls=self.calls,
            cost=cost(price, self.tokens.prompt, self.tokens.completion) if price else 0.0,
            paid=self.paid,
        )
