"""Extractors: what finds the entities (and facts) of a passage."""

from __future__ import annotations

from graphmem.errors import ConfigError
from graphmem.protocols import ChatModel, Extractor


def load_extractor(
    spacy_model: str = "",
    *,
    spec: str = "spacy",
    chat: ChatModel | None = None,
    concurrency: int = 8,
    pack: int = 1,
) -> Extractor:
    """The extractor that a word of the command line or of a configuration names.

    Args:
        spacy_model: For "spacy": a pipeline, or "" for the small English one.
        spec: "spacy", "llm" (needs `chat`), "import:FILE" (OpenIE results in HippoRAG's form), or
            "spacy+" and one of the last two: spaCy's names with the facts of the other.
        chat: The model that "llm" asks.
        concurrency: For "llm": passages, or packs, under way at once.
        pack: For "llm": short passages in one call.

    Raises:
        ConfigError: `spec` is none of these, or the model is missing.
    """
    if spec == "spacy":
        from graphmem.extraction.spacy import SpacyExtractor

        return SpacyExtractor(spacy_model)
    if spec.startswith("spacy+"):
        from graphmem.extraction.names_and_facts import NamesAndFacts, NamesAndModelFacts

        facts = load_extractor(
            spec=spec.removeprefix("spacy+"), chat=chat, concurrency=concurrency, pack=pack
        )
        joined = NamesAndModelFacts if spec == "spacy+llm" else NamesAndFacts
        return joined(load_extractor(spacy_model), facts)
    if spec == "llm":
        from graphmem.extraction.openie import LlmExtractor

        if chat is None:
            raise ConfigError("the llm extractor needs a chat model: name one")
        return LlmExtractor(chat, concurrency, pack=pack)
    if spec.startswith("import:") and len(spec) > len("import:"):
        from graphmem.extraction.imported import ImportedExtractor

        return ImportedExtractor(spec.removeprefix("import:"))
    raise ConfigError(
        f"unknown extractor {spec!r}: expected spacy, llm, import:FILE, "
        "spacy+llm or spacy+import:FILE"
    )
