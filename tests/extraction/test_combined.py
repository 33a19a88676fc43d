"""Names by one extractor, facts by another."""

import json

import pytest
from chat_helpers import extraction_text, outcomes_of, passage

from graphmem import GraphMemory
from graphmem.errors import ConfigError, ExtractionError
from graphmem.extraction import load_extractor
from graphmem.extraction.names_and_facts import NamesAndModelFacts
from graphmem.extraction.openie import LlmExtractor
from graphmem.llm.scripted import ScriptedChat
from graphmem.protocols import EachExtractor, Extractor
from graphmem.types import Extraction, Triple


class Towns:
    """Finds the title alone."""

    fingerprint = "towns:1"

    def extract(self, passages):
        return [Extraction((p.title,)) for p in passages]


def test_entities_of_one_and_triples_of_the_other():
    def script(request):
        if "Town 2\n" in request.messages[3].content:
            return "no idea"
        return extraction_text(request.messages)

    extractor = NamesAndModelFacts(Towns(), LlmExtractor(ScriptedChat(script), pack=1))
    assert isinstance(extractor, Extractor)
    assert isinstance(extractor, EachExtractor)
    outcomes = dict(outcomes_of(extractor, [passage(i) for i in range(4)], 2))
    assert outcomes[1] == Extraction(("Town 1",), (Triple("Town 1", "lies on", "River 1"),))
    assert isinstance(outcomes[2], ExtractionError)
    assert extractor.fingerprint.startswith("towns:1+openie:")


def test_import_with_spacys_names(tmp_path):
    document = {
        "passage": "Ada Lovelace wrote notes on the engine.",
        "extracted_entities": ["engine"],
        "extracted_triples": [["Ada Lovelace", "wrote", "notes"]],
    }
    (tmp_path / "openie.json").write_text(json.dumps({"docs": [document]}), "utf-8")
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": "a", "text": document["passage"]}) + "\n")
    spec = f"spacy+import:{tmp_path / 'openie.json'}"
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing", extractor=spec)
    memory.add(tmp_path / "c.jsonl", workers=1)
    snapshot = memory.retriever.snapshot
    names = {snapshot.labels[row] for row in range(snapshot.entities)}
    assert "Ada Lovelace" in names and "engine" not in names
    assert snapshot.facts.table.triple(0) == Triple("ada lovelace", "wrote", "notes")
    assert "+imported:" in snapshot.manifest["extractor"]
    assert not GraphMemory.open(tmp_path / "i").add(tmp_path / "c.jsonl").changed


@pytest.mark.parametrize("spec", ["spacy+", "spacy+magic", "llm+spacy", "spacy+llm"])
def test_what_cannot_be_combined(spec):
    with pytest.raises(ConfigError):
        load_extractor(spec=spec)
