"""Chat by any server that speaks OpenAI's API: OPENAI_BASE_URL, OPENAI_API_KEY."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from graphmem.errors import ConfigError, EndpointError, MissingExtraError, ModelError
from graphmem.llm.prompts import estimate_tokens, request_tokens
from graphmem.llm.rate_limit import LONGEST_WAIT, Gate, pause_before
from graphmem.llm.server_dialect import SEED, Dialect
from graphmem.llm.structured_output import storable
from graphmem.types import ChatRequest, Completion

_RETRIED = frozenset({408, 409, 429})  # and all from 500
_HOPELESS = frozenset({401, 403, 404})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_log = logging.getLogger(__name__)


class OpenAIChat:
    """Answers by calls to `/chat/completions`; nothing is imported or called before the first.

    Failed calls (408, 409, 429, 5xx, no connection, no answer in time) are tried again, after the
    server's Retry-After or a growing pause. Where the server refuses structured outputs, JSON mode
    is tried, then none; likewise it goes without temperature, seed and the old name of the length
    limit. What worked is remembered for all later calls.

    Args:
        model: The model's name at the server.
        base_url: The server's address; "" is OPENAI_BASE_URL, or OpenAI's own.
        timeout: Seconds for one try; a try surely ends within twice as long.
        max_retries: Further tries after a failed one.
        concurrency: Calls under way at once, over all threads.
        requests_per_minute: Calls started in a minute, tries counted alone; 0 is no limit.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "",
        timeout: float = 120.0,
        max_retries: int = 5,
        concurrency: int = 8,
        requests_per_minute: float = 0.0,
    ) -> None:
        """Keep the settings.

        Raises:
            ConfigError: A setting is out of range.
        """
        if not model:
            raise ConfigError("the chat model needs a name: openai:MODEL")
        if timeout <= 0 or max_retries < 0 or concurrency < 1 or requests_per_minute < 0:
            raise ConfigError(
                "expected timeout above 0, concurrency from 1, retries and requests a minute from 0"
            )
        self.model = model
        self._base_url = base_url
        self._timeout = timeout
        self._max_retries = max_retries
        self._gate = Gate(concurrency, requests_per_minute)
        self._dialect = Dialect()

    @property
    def fingerprint(self) -> str:
        """Model and parameters; the server is trusted to serve one model by one name."""
        return f"openai:{self.model}:temperature=0:seed={SEED}"

    def complete(self, request: ChatRequest) -> Completion:
        """Answer.

        Raises:
            MissingExtraError: The openai library is not installed.
            EndpointError: Wrong key, unknown model, quota used up, or no settings.
            ModelError: No answer after all tries, or one in the wrong shape.
        """
        answer: Completion = self._negotiate(request, self._ask)
        return answer

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """Answer piece by piece; the generator's return value is the whole.

        Only what fails before the first piece is tried again.

        Raises:
            ModelError: As for `complete`.
        """
        start = time.monotonic()
        parts: list[str] = []
        with ExitStack() as place:  # of the gate, as long as the server is busy with this
            pieces = self._negotiate(request, self._open_stream, place)
            while True:
                # One step at a time, so that the caller's errors are not taken for the server's.
                outcome = self._guard(lambda: next(pieces))
                if isinstance(outcome, _Failure):
                    raise outcome.error
                if isinstance(outcome, Completion):
                    break
                if outcome:
                    parts.append(outcome)
                    yield outcome
        return self._completed(
            request,
            "".join(parts),
            outcome.finish,
            (outcome.prompt_tokens, outcome.completion_tokens),
            start,
        )

    # -- one request, until it is answered --------------------------------------------------

    def _negotiate(
        self, request: ChatRequest, act: Callable[..., Any], place: ExitStack | None = None
    ) -> Any:
        """Act in the dialect known so far, and in simpler ones as long as the server refuses."""
        dialect = self._dialect
        first: _Failure | None = None
        while True:
            outcome = self._persist(request, dialect, act, place)
            if not isinstance(outcome, _Failure):
                if first is not None:
                    _log.info("%s: the server takes %s", self.model, dialect)
                    self._dialect = dialect
                return outcome
            first = first or outcome
            simpler = None
            if outcome.status in (400, 422):
                simpler = dialect.without(
                    str(outcome.error), request.schema is not None, act == self._open_stream
                )
            if simpler is None:
                raise first.error
            dialect = simpler

    def _persist(
        self,
        request: ChatRequest,
        dialect: Dialect,
        act: Callable[..., Any],
        place: ExitStack | None,
    ) -> Any:
        """Act, and again after failures that may pass; `place` takes the gate's, to hold it."""
        attempt = 0
        while True:
            with self._gate.passing() as passed:
                outcome = self._guard(lambda: act(request, dialect))
                if place is not None and not isinstance(outcome, _Failure):
                    place.push(passed.pop_all())
            attempt += 1
            if not isinstance(outcome, _Failure) or not outcome.passing:
                return outcome
            if attempt > self._max_retries:
                return outcome
            if outcome.wait > LONGEST_WAIT:
                return outcome
            pause = outcome.wait or pause_before(attempt)
            _log.info("%s; try %d in %.1f s", outcome.error, attempt + 1, pause)
            if outcome.wait:
                self._gate.hold(pause)  # all threads share the key that was told to wait
            else:
                time.sleep(pause)

    def _ask(self, request: ChatRequest, dialect: Dialect) -> Completion:
        """One call; the clock is watched while the answer comes, however slowly it drips."""
        start = time.monotonic()
        create = self._client.chat.completions.with_streaming_response.create
        data = bytearray()
        with create(**self._parameters(request, dialect)) as response:
            for chunk in response.iter_bytes():
                data += chunk
                self._check_clock(start)
        return self._read(request, json.loads(bytes(data)), start)

    def _open_stream(self, request: ChatRequest, dialect: Dialect) -> Iterator[str | Completion]:
        """Open the stream and read up to its first piece."""
        start = time.monotonic()
        options = {"stream_options": {"include_usage": True}} if dialect.stream_usage else {}
        chunks = self._client.chat.completions.create(
            **self._parameters(request, dialect), stream=True, **options
        )
        pieces = self._pieces(chunks, start)
        first = next(pieces)

        def all_pieces() -> Iterator[str | Completion]:
            yield first
            yield from pieces

        return all_pieces()

    def _pieces(self, chunks: Any, start: float) -> Iterator[str | Completion]:
        """Pieces of text, then a completion that holds what else the stream told."""
        finish, usage = "", (0, 0)
        with chunks:
            for chunk in chunks:
                self._check_clock(start)
                if getattr(chunk, "usage", None):
                    usage = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                for choice in (chunk.choices or ())[:1]:
                    finish = choice.finish_reason or finish
                    if choice.delta and choice.delta.content:
                        yield str(choice.delta.content)
        if not finish:  # also where a server answers without streaming
            raise ValueError("the stream broke off")
        yield Completion("", *usage, finish)

    def _parameters(self, request: ChatRequest, dialect: Dialect) -> dict[str, Any]:
        messages = [{"role": m.role, "content": storable(m.content)} for m in request.messages]
        return {"model": self.model, "messages": messages, **dialect.parameters(request)}

    def _read(self, request: ChatRequest, answer: Any, start: float) -> Completion:
        """The completion in the JSON of an answer."""
        choice = answer["choices"][0]
        text = choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError("the content is no text")
        finish = choice.get("finish_reason") or "stop"
        if choice["message"].get("refusal"):
            finish = "refusal"
        usage = answer.get("usage") or {}
        counts = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        return self._completed(request, text, str(finish), counts, start)

    def _completed(
        self, request: ChatRequest, text: str, finish: str, counts: tuple[int, int], start: float
    ) -> Completion:
        """A completion; where the server does not count tokens, they are estimated."""
        read, written = counts
        return Completion(
            storable(text),
            read or request_tokens(request),
            written or estimate_tokens(text),
            finish,
            time.monotonic() - start,
        )

    def _check_clock(self, start: float) -> None:
        if time.monotonic() - start > self._timeout:
            raise TimeoutError(f"not done within {self._timeout:g} s")

    # -- failures ---------------------------------------------------------------------------

    def _guard(self, action: Callable[[], Any]) -> Any:
        """What `action` gives, or the failure it ran into.

        The failure is returned, not raised, so that the error a caller sees has no context: the
        library's own errors hold the request with its key.
        """
        self._client  # noqa: B018  settings and library are checked outside
        import openai

        broken: tuple[type[Exception], ...] = (
            openai.APIConnectionError,
            TimeoutError,
            *_transport_errors(),
        )
        try:
            return action()
        except openai.APIStatusError as error:
            return self._status_failure(error)
        except broken as error:
            return _Failure(ModelError(self._words(error)), passing=True)
        except (openai.OpenAIError, ValueError, LookupError, TypeError, AttributeError) as error:
            words = self._words(error, "unreadable answer: ")
            return _Failure(ModelError(words), passing=isinstance(error, json.JSONDecodeError))

    def _status_failure(self, error: Any) -> _Failure:
        status = int(error.status_code)
        code = str(getattr(error, "code", None) or getattr(error, "type", None) or "")
        if status in _HOPELESS or code in _QUOTA_CODES:
            return _Failure(EndpointError(self._words(error)), status=status)
        wish = error.response.headers.get("x-should-retry")
        passing = status in _RETRIED or status >= 500
        if wish in ("true", "false"):
            passing = wish == "true"
        wait = retry_after(error.response.headers)
        words = self._words(error)
        if passing and wait > LONGEST_WAIT:
            words += f" (the server asks to wait {wait:.0f} s)"
        return _Failure(ModelError(words), status, passing, wait)

    def _words(self, error: Exception, what: str = "") -> str:
        """Model and cause in one line, without the key."""
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        parameter = getattr(error, "param", None)
        parameter = f" (parameter '{parameter}')" if parameter else ""
        line = " ".join(f"{type(error).__name__}: {error}{cause}{parameter}".split())[:1000]
        for secret in self._secrets():
            line = line.replace(secret, "***")
        return f"{self.model}: {what}{line}"

    def _secrets(self) -> list[str]:
        """What no message may hold; a word of three characters or fewer keeps no secret."""
        password = urlsplit(self._address).password if "@" in self._address else None
        found = (_key(), password)
        return [secret for secret in found if secret and len(secret) > 3]

    @property
    def _address(self) -> str:
        return self._base_url or os.environ.get("OPENAI_BASE_URL") or ""

    @cached_property
    def _client(self) -> Any:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(
                "OpenAI chat models need the openai library: pip install 'graphmem[openai]'"
            ) from error
        key = _key()
        if not key and not self._address:
            raise EndpointError(
                f"{self.model}: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EndpointError(f"{self.model}: OPENAI_API_KEY holds characters no key can have")
        return openai.OpenAI(
            api_key=key or "none",
            base_url=self._address or None,
            timeout=self._timeout,
            max_retries=0,  # tries are counted here, where the rate limit sees them
        )


def _key() -> str:
    """The key, "" where there is none; read anew each time, never kept."""
    return os.environ.get("OPENAI_API_KEY", "").strip()


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try that failed: its error, HTTP status (0: none), and whether and when to try again."""

    error: ModelError
    status: int = 0
    passing: bool = False
    wait: float = 0.0


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, 0 where it does not say.

    >>> retry_after({"retry-after": "3"}), retry_after({"retry-after-ms": "250"})
    (3.0, 0.25)
    >>> retry_after({"retry-after": "soon"}), retry_after({})
    (0.0, 0.0)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return wait if 0 < wait < float("inf") else 0.0
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, date.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _transport_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP library below openai, raised where an answer breaks off."""
    libraries = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return tuple(library.HTTPError for library in libraries if library is not None)
