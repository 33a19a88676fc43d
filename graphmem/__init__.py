"""Long-term memory for language models: multi-hop retrieval over a knowledge graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphmem.config import RetrievalConfig
from graphmem.errors import GraphmemError
from graphmem.types import Answer, Extraction, Hit, Passage, Ranking, Triple

if TYPE_CHECKING:
    from graphmem.answering.chat_session import ChatSettings
    from graphmem.memory import GraphMemory

__all__ = [
    "Answer",
    "ChatSettings",
    "Extraction",
    "GraphMemory",
    "GraphmemError",
    "Hit",
    "Passage",
    "Ranking",
    "RetrievalConfig",
    "Triple",
]


def __getattr__(name: str) -> Any:
    """Load the facade, and the libraries below it, when it is first asked for."""
    if name == "GraphMemory":
        from graphmem.memory import GraphMemory

        return GraphMemory
    if name == "ChatSettings":
        from graphmem.answering.chat_session import ChatSettings

        return ChatSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
