"""A memory behind an agent: turns go in, a question brings those that matter, some are forgotten.

python examples/agent_memory.py
"""

import tempfile
from pathlib import Path

from graphmem import GraphMemory, Passage, Ranking

TURNS = [
    ("ada", "My sister Grace Lind moved to Trondheim last spring."),
    ("bob", "Does she still play the violin?"),
    ("ada", "Grace Lind plays in the Nidaros Quartet now."),
    ("bob", "I met Olav Berg once, he founded the Nidaros Quartet."),
    ("ada", "Olav Berg teaches at the school in Levanger, I think."),
    ("bob", "We could visit Stockholm in June."),
]


def remember(memory: GraphMemory) -> None:
    """Add the turns; who spoke is metadata, which comes back with every hit."""
    turns = [
        Passage(f"turn-{number:03d}", text, metadata={"speaker": speaker})
        for number, (speaker, text) in enumerate(TURNS)
    ]
    report = memory.add(turns)
    print(f"{report.passages} turns in the memory")


def context(found: Ranking) -> str:
    """What an agent would put before its model, best first, each turn with its source."""
    return "\n".join(
        f"[{hit.passage.id}] {hit.passage.metadata['speaker']}: {hit.passage.text}"
        for hit in found.hits
    )


def main() -> None:
    """Remember, ask, forget, ask again."""
    with tempfile.TemporaryDirectory() as folder:
        memory = GraphMemory.open(Path(folder) / "agent.index")
        remember(memory)
        question = "Where does the founder of Grace Lind's quartet teach?"
        print(f"\n{question}\n{context(memory.search(question, k=4))}")

        memory.delete(where={"speaker": "bob"})
        memory.compact()  # its bytes are gone from the folder too
        print(f"\nwithout what bob said\n{context(memory.search(question, k=4))}")


if __name__ == "__main__":
    main()
