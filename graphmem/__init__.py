"""Long-term memory for language models: multi-hop retrieval over a knowledge graph."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from graphmem.config import RetrievalConfig, preset
from graphmem.errors import GraphmemError
from graphmem.types import Answer, Extraction, Hit, Passage, Ranking, Triple

if TYPE_CHECKING:
    from graphmem.answering.chat_session import ChatSettings
    from graphmem.explaining.explain import Explanation
    from graphmem.memory import GraphMemory
    from graphmem.protocols import ChatModel, Embedder, Extractor, FactFilter, Reranker

    __version__: str

__all__ = [
    "Answer",
    "ChatModel",
    "ChatSettings",
    "Embedder",
    "Explanation",
    "Extraction",
    "Extractor",
    "FactFilter",
    "GraphMemory",
    "GraphmemError",
    "Hit",
    "Passage",
    "Ranking",
    "Reranker",
    "RetrievalConfig",
    "Triple",
    "preset",
]

_WHERE: Final = {
    "ChatModel": "graphmem.protocols",
    "ChatSettings": "graphmem.answering.chat_session",
    "Embedder": "graphmem.protocols",
    "Explanation": "graphmem.explaining.explain",
    "Extractor": "graphmem.protocols",
    "FactFilter": "graphmem.protocols",
    "GraphMemory": "graphmem.memory",
    "Reranker": "graphmem.protocols",
}


def __getattr__(name: str) -> Any:
    """Load what stands on libraries, and these, when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("graphmem")
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
