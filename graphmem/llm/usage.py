"""What models cost: the ledger's lines, budgets, and the meter that stops before one is passed."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from graphmem.errors import BudgetExceeded, ConfigError
from graphmem.types import ChatRequest, Completion, Price

_TOKENS = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)")
_MONEY = re.compile(r"[$€£¥]\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*(?:[$€£¥]|[A-Za-z]{3})")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What one model used in one stage.

    Attributes:
        model: The model's name.
        stage: What it was asked for.
        calls: Calls that were paid.
        cached: Calls that the cache answered.
        prompt_tokens: Tokens read in the paid calls.
        completion_tokens: Tokens written in them.
        seconds: Time they took, summed over parallel calls.
    """

    model: str
    stage: str
    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may spend: tokens (read and written together), money, or both; None is no limit.

    Raises:
        ConfigError: Money without a price, or a limit below 0.
    """

    tokens: int | None = None
    money: float | None = None
    price: Price | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        if self.money is not None and self.price is None:
            raise ConfigError("a budget in money needs the price of a million tokens, in and out")
        if (self.tokens or 0) < 0 or (self.money or 0) < 0:
            raise ConfigError("a budget must be 0 or more")


def parse_budget(text: str, price: Price | None = None) -> Budget:
    """A budget as the command line takes it: tokens ("500000", "500k", "2M") or money ("3.5usd").

    Raises:
        ConfigError: It is neither, or it is money and there is no price.

    >>> parse_budget("500k").tokens
    500000
    >>> parse_budget("$3.50", Price(0.15, 0.6)).money
    3.5
    """
    text = text.strip()
    if found := _TOKENS.fullmatch(text):
        return Budget(tokens=int(float(found[1]) * _FACTORS[found[2].lower()]), price=price)
    if found := _MONEY.fullmatch(text):
        return Budget(money=float(found[1] or found[2]), price=price)
    raise ConfigError(
        f"budget {text!r}: expected tokens (500000, 500k, 2M) or money ($3.50, 3.5usd)"
    )


def cost(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """Money for so many tokens.

    >>> cost(Price(1.0, 10.0), 500_000, 100_000)
    1.5
    """
    return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1_000_000


def total(lines: Sequence[UsageLine]) -> UsageLine:
    """The sum over all models and stages."""
    return UsageLine(
        "",
        "",
        sum(line.calls for line in lines),
        sum(line.cached for line in lines),
        sum(line.prompt_tokens for line in lines),
        sum(line.completion_tokens for line in lines),
        sum(line.seconds for line in lines),
    )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens that a call can read and write at most, and whether it is a stream."""

    prompt: int
    answer: int
    streamed: bool = False


class Meter:
    """Lets a call through if the budget surely holds it, whatever the calls under way will cost.

    A call reserves the most it can take: its prompt by a high estimate, its answer up to the
    length limit. Where only the reservations of calls under way stand against it, it waits for
    them, but not for streams: who reads one may be the same who asks now, and it would wait for
    ever. What an open stream can cost counts as spent. Every run counts from 0.

    Args:
        budget: What may be spent.
    """

    def __init__(self, budget: Budget) -> None:
        """Start with nothing spent."""
        self.budget = budget
        self._changed = threading.Condition()
        self._spent = [0, 0]
        self._reserved = [0, 0]
        self._streaming = [0, 0]

    @property
    def spent(self) -> tuple[int, int]:
        """Tokens read and written so far."""
        with self._changed:
            return self._spent[0], self._spent[1]

    def reserve(self, request: ChatRequest, *, streamed: bool = False) -> Reservation:
        """Put aside what a request can cost at most; give it back to `settle`.

        Args:
            request: What will be asked.
            streamed: Whether the answer comes as a stream.

        Raises:
            BudgetExceeded: The budget does not hold it beside what is spent and streamed.
        """
        most = Reservation(most_tokens(request), request.max_tokens, streamed)
        with self._changed:
            while not self._holds(most, self._reserved, self._streaming):
                if not self._holds(most, self._streaming):
                    raise BudgetExceeded(self._words(most))
                self._changed.wait()
            self._move(self._streaming if streamed else self._reserved, most, 1)
        return most

    def settle(self, reserved: Reservation, used: Completion | None) -> None:
        """Replace a reservation by what the call used; None where it failed."""
        with self._changed:
            self._move(self._streaming if reserved.streamed else self._reserved, reserved, -1)
            if used is not None:
                spent = Reservation(used.prompt_tokens, used.completion_tokens)
                self._move(self._spent, spent, 1)
            self._changed.notify_all()

    def _holds(self, more: Reservation, *reserved: Sequence[int]) -> bool:
        read, written = map(
            sum, zip(self._spent, (more.prompt, more.answer), *reserved, strict=True)
        )
        limit = self.budget
        if limit.tokens is not None and read + written > limit.tokens:
            return False
        if limit.money is not None and limit.price is not None:
            return cost(limit.price, read, written) <= limit.money
        return True

    def _words(self, more: Reservation) -> str:
        limit = self.budget
        spent = f"{sum(self._spent)} of {limit.tokens} tokens"
        needed = f"{more.prompt + more.answer} tokens"
        if limit.money is not None and limit.price is not None:
            spent = f"{cost(limit.price, *self._spent):.4f} of {limit.money:g}"
            needed = f"{cost(limit.price, more.prompt, more.answer):.4f}"
        if any(self._streaming):
            spent += f" and {sum(self._streaming)} tokens reserved for open streams"
        return (
            f"the budget is used up: {spent} spent, the next call can take {needed}; "
            "what was answered is kept: run the same command again with a larger --budget"
        )

    @staticmethod
    def _move(counts: list[int], by: Reservation, sign: int) -> None:
        counts[0] += sign * by.prompt
        counts[1] += sign * by.answer


def most_tokens(request: ChatRequest) -> int:
    """A high estimate of what a request sends: three ASCII characters, or half another, a token."""
    texts = [message.content for message in request.messages]
    if request.schema is not None:
        texts.append(str(request.schema))
    plain = sum(sum(map(str.isascii, text)) for text in texts)
    other = sum(map(len, texts)) - plain
    return plain // 3 + 2 * other + 8 * len(texts)
