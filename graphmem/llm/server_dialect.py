"""Which parameters a server takes, found out by what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from graphmem.types import ChatRequest

SEED = 7


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which parameters a server takes; it starts with all and loses what the server refuses."""

    format: Literal["json_schema", "json_object", "none"] = "json_schema"
    temperature: bool = True
    seed: bool = True
    limit: Literal["max_tokens", "max_completion_tokens", "none"] = "max_tokens"
    stream_usage: bool = True

    def without(self, refusal: str, schema: bool, streaming: bool) -> Dialect | None:
        """The next dialect to try after a refusal in these words; None where none is left."""
        words = refusal.lower()
        if streaming and self.stream_usage and "stream_options" in words:
            return replace(self, stream_usage=False)
        if self.limit == "max_tokens" and (
            "max_completion_tokens" in words or "'max_tokens'" in words
        ):
            return replace(self, limit="max_completion_tokens")
        if self.limit == "max_completion_tokens" and "max_completion_tokens" in words:
            return replace(self, limit="none")
        if self.temperature and "temperature" in words:
            return replace(self, temperature=False)
        if self.seed and "seed" in words:
            return replace(self, seed=False)
        if schema and self.format == "json_schema":
            return replace(self, format="json_object")
        if schema and self.format == "json_object":
            return replace(self, format="none")
        return None

    def parameters(self, request: ChatRequest) -> dict[str, Any]:
        """The call's parameters beside model and messages."""
        found: dict[str, Any] = {}
        if self.limit == "max_tokens":
            found["max_tokens"] = request.max_tokens
        elif self.limit == "max_completion_tokens":  # unknown to old versions of the library
            found["extra_body"] = {"max_completion_tokens": request.max_tokens}
        if self.temperature:
            found["temperature"] = 0
        if self.seed:
            found["seed"] = SEED
        if request.schema is not None and self.format == "json_schema":
            schema = {"name": request.stage or "answer", "strict": True, "schema": request.schema}
            found["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and self.format == "json_object":
            found["response_format"] = {"type": "json_object"}
        return found
