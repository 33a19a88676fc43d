"""A chat model without a model: answers from a script, for tests and offline runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence

from graphmem.errors import ModelError
from graphmem.llm.prompts import estimate_tokens, request_tokens
from graphmem.types import ChatRequest, Completion

Reply = str | Exception


class ScriptedChat:
    """Answers each request by a function of it, or by the next line of a list.

    Args:
        script: A function from request to answer, or answers in order; an exception is raised.
        model: The name it goes by.

    >>> from graphmem.types import Message
    >>> chat = ScriptedChat(["Ada."])
    >>> chat.complete(ChatRequest((Message("user", "Who wrote it?"),))).text
    'Ada.'
    """

    def __init__(
        self, script: Callable[[ChatRequest], Reply] | Sequence[Reply], model: str = "scripted"
    ) -> None:
        """Keep the script; `requests` remembers what was asked."""
        self.model = model
        self.requests: list[ChatRequest] = []
        self._lock = threading.Lock()
        self._script = script

    @property
    def fingerprint(self) -> str:
        """The name; two scripts of one name are taken for one model."""
        return f"scripted:{self.model}"

    def complete(self, request: ChatRequest) -> Completion:
        """The scripted answer.

        Raises:
            ModelError: The list is used up.
        """
        with self._lock:
            self.requests.append(request)
            if callable(self._script):
                reply = self._script(request)
            elif len(self.requests) > len(self._script):
                raise ModelError(f"{self.model}: the script has no answer left")
            else:
                reply = self._script[len(self.requests) - 1]
        if isinstance(reply, Exception):
            raise reply
        return Completion(reply, request_tokens(request), estimate_tokens(reply))

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """The scripted answer, line by line."""
        completion = self.complete(request)
        yield from completion.text.splitlines(keepends=True)
        return completion
